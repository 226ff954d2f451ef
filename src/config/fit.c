#include "base/error.h"
#include "config/config.h"
#include "config/value.h"

#include <stdio.h>

#define BIT(id) (UINT64_C(1) << (id))
_Static_assert(OZ_SETTING_COUNT <= 64, "a set of settings is a uint64_t");

struct fit {
    const odezk_config *config;
    uint64_t unknown;
    oz_misfit_cb misfit;
    void *arg;
    long long timeout, margin, lag, period;
};

static void report(const struct fit *f, enum oz_setting_id id, const char *allowed)
{
    const char *name = oz_settings[id].name;
    char message[256];

    snprintf(message, sizeof message, "%s: found '%s', allowed: %s", name, odezk_config_masked(f->config, name),
             allowed);
    f->misfit(f->arg, id, message);
}

static bool is_set(const struct fit *f, enum oz_setting_id id)
{
    return odezk_config_number(f->config, oz_settings[id].name) != OZ_NO_NUMBER;
}

static bool are_known(const struct fit *f, uint64_t ids)
{
    return !(f->unknown & (ids | BIT(OZ_SESSION_TIMEOUT)));
}

static void check_margin(const struct fit *f)
{
    long long least = (f->timeout + OZ_LEASE_MARGIN_PART - 1) / OZ_LEASE_MARGIN_PART;
    char allowed[128];

    if (!is_set(f, OZ_LEASE_MARGIN) || f->margin >= least)
        return;
    snprintf(allowed, sizeof allowed, "at least %lld, a 40th of session-timeout (%lld)", least, f->timeout);
    report(f, OZ_LEASE_MARGIN, allowed);
}

static bool check_period(const struct fit *f)
{
    char allowed[128];

    if (2 * f->period < f->timeout)
        return true;
    snprintf(allowed, sizeof allowed, "less than half of session-timeout (%lld)", f->timeout);
    report(f, OZ_LEASE_WRITE_PERIOD, allowed);
    return false;
}

static bool check_pause(const struct fit *f)
{
    bool blame_lag = is_set(f, OZ_LEASE_LAG) && (!is_set(f, OZ_LEASE_MARGIN) || f->lag > f->margin);
    char allowed[128];

    if (f->margin + f->lag < f->timeout)
        return true;
    snprintf(allowed, sizeof allowed, "lease-margin (%lld) + lease-lag (%lld) below session-timeout (%lld)", f->margin,
             f->lag, f->timeout);
    report(f, blame_lag ? OZ_LEASE_LAG : OZ_LEASE_MARGIN, allowed);
    return false;
}

/* A write renews the lease, and the next write proves it: the lease must not lapse between the two. */
static void check_renewal(const struct fit *f)
{
    enum oz_setting_id blamed = OZ_LEASE_WRITE_PERIOD;
    long long most = is_set(f, blamed) ? 2 * f->period : -1;
    char allowed[160];

    if (f->margin + f->lag + 2 * f->period < f->timeout)
        return;
    if (is_set(f, OZ_LEASE_LAG) && f->lag > most) {
        blamed = OZ_LEASE_LAG;
        most = f->lag;
    }
    if (is_set(f, OZ_LEASE_MARGIN) && f->margin > most)
        blamed = OZ_LEASE_MARGIN;
    snprintf(allowed, sizeof allowed,
             "lease-margin (%lld) + lease-lag (%lld) + 2 x lease-write-period (%lld) below "
             "session-timeout (%lld)",
             f->margin, f->lag, f->period, f->timeout);
    report(f, blamed, allowed);
}

static long long number(const struct fit *f, enum oz_setting_id id, long long automatic)
{
    int64_t value = odezk_config_number(f->config, oz_settings[id].name);

    return value == OZ_NO_NUMBER ? automatic : value;
}

void oz_config_fit(const odezk_config *config, uint64_t unknown, oz_misfit_cb misfit, void *arg)
{
    struct fit f = {.config = config, .unknown = unknown, .misfit = misfit, .arg = arg};
    const uint64_t margin = BIT(OZ_LEASE_MARGIN), lag = BIT(OZ_LEASE_LAG), period = BIT(OZ_LEASE_WRITE_PERIOD);
    bool fits = true;

    f.timeout = number(&f, OZ_SESSION_TIMEOUT, 0);
    f.margin = number(&f, OZ_LEASE_MARGIN, f.timeout / OZ_LEASE_MARGIN_PART);
    f.lag = number(&f, OZ_LEASE_LAG, f.timeout / OZ_LEASE_LAG_PART);
    f.period = number(&f, OZ_LEASE_WRITE_PERIOD, f.timeout / OZ_LEASE_WRITE_PART);
    if (are_known(&f, margin))
        check_margin(&f);
    if (are_known(&f, period))
        fits = check_period(&f);
    if (are_known(&f, margin | lag))
        fits = check_pause(&f) && fits;
    if (fits && are_known(&f, margin | lag | period))
        check_renewal(&f);
}

struct first {
    const odezk_config *config;
    int rc;
};

static void keep_first(void *arg, enum oz_setting_id id, const char *message)
{
    struct first *first = arg;
    const char *source = odezk_config_source(first->config, oz_settings[id].name);

    if (first->rc == ODEZK_OK)
        first->rc = oz_fail(ODEZK_ECONFIG, "%s: %s", source, message);
}

int oz_config_check(const odezk_config *config)
{
    struct first first = {config, ODEZK_OK};

    oz_config_fit(config, 0, keep_first, &first);
    return first.rc;
}
