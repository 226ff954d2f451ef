#include "rig.h"

#include "base/clock.h"

#include <odezk/config.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(struct rig *r, const char *word)
{
    size_t n = strlen(r->said);

    snprintf(r->said + n, sizeof r->said - n, "%s%s", n ? " " : "", word);
}

static void on_event(void *self, enum oz_session_event event)
{
    static const char *const names[] = {"UP", "SUSPENDED", "RESUMED", "HELD", "LOST", "DOWN"};
    struct rig *r = self;

    say(r, names[event]);
    if (event == OZ_LEASE_LOST && oz_session_lease_end(r->s) > oz_now())
        say(r, "(LATE)"); /* somebody may have trusted a grant again before it ended */
}

static void on_state(void *arg, odezk_session_state state, const char *why)
{
    (void)why;
    say(arg, odezk_session_state_name(state));
}

static void on_refused(void *arg, int error, const char *why)
{
    struct rig *r = arg;

    (void)why;
    r->refused = error;
    say(r, "refused");
}

static void on_closed(void *arg)
{
    struct rig *r = arg;

    r->closed = true;
    say(r, "gone");
}

void rig_make(struct rig *r, int slot, const char *servers, ...)
{
    struct oz_session_options options = {.port = &fake_port, .state = on_state, .refused = on_refused, .arg = r};
    struct oz_listener listener = {on_event, r};
    odezk_config *config = NULL;
    char timeout[16];
    const char *name;
    va_list args;
    bool good;

    *r = (struct rig){.slot = slot};
    snprintf(timeout, sizeof timeout, "%d", WORLD_TIMEOUT);
    good = odezk_config_new(&config) == ODEZK_OK && odezk_config_set(config, "servers", servers, NULL) == ODEZK_OK &&
           odezk_config_set(config, "session-timeout", timeout, NULL) == ODEZK_OK;
    va_start(args, servers);
    while (good && (name = va_arg(args, const char *)) != NULL)
        good = odezk_config_set(config, name, va_arg(args, const char *), NULL) == ODEZK_OK;
    va_end(args);
    if (!good)
        abort();
    r->d = oz_dispatch_new(NULL);
    options.dispatch = r->d;
    options.config = config;
    r->s = oz_session_new(&options);
    odezk_config_free(config);
    if (r->s)
        oz_session_listen(r->s, &listener);
}

void rig_open(struct rig *r, int slot)
{
    char servers[32];

    snprintf(servers, sizeof servers, "127.0.0.1:%d", slot);
    rig_make(r, slot, servers, NULL);
    oz_session_start(r->s);
    rig_run(r);
    r->said[0] = '\0';
}

static bool turn(struct rig *r)
{
    bool did = false;

    while (fake_step())
        did = true;
    if (!fake_stopped(r->slot))
        did |= oz_dispatch_step(r->d, 0);
    return did;
}

void rig_run(struct rig *r)
{
    while (turn(r))
        ;
}

bool rig_wait(struct rig *r, bool (*condition)(void *arg), void *arg, int64_t ms)
{
    int64_t until = oz_now() + ms * OZ_MS;

    while (!condition || !condition(arg)) {
        int64_t at = fake_next();

        if (turn(r))
            continue;
        if (oz_now() >= until)
            return false;
        if (!fake_stopped(r->slot) && oz_timers_next(oz_dispatch_timers(r->d)) < at)
            at = oz_timers_next(oz_dispatch_timers(r->d));
        if (at > until)
            at = until;
        world_jump_to(at);
    }
    return true;
}

void rig_pass(struct rig *r, int64_t ms)
{
    rig_wait(r, NULL, NULL, ms);
}

static bool is_closed(void *arg)
{
    return ((struct rig *)arg)->closed;
}

void rig_close(struct rig *r)
{
    if (r->s && !r->closed) {
        oz_session_close(r->s, on_closed, r);
        if (!rig_wait(r, is_closed, r, 10000))
            world_fail("the session does not close");
    }
    if (oz_timers_next(oz_dispatch_timers(r->d)) != OZ_NEVER)
        world_fail("a timer is left");
    oz_session_free(r->s);
    oz_dispatch_free(r->d);
    r->s = NULL;
    r->d = NULL;
}

bool rig_said(struct rig *r, const char *words)
{
    bool same = strcmp(r->said, words) == 0;

    if (!same)
        printf("\n    said \"%s\", expected \"%s\" ", r->said, words);
    r->said[0] = '\0';
    return same;
}

void rig_replied(void *rig_reply, const struct oz_reply *reply)
{
    static int order;
    struct rig_reply *to = rig_reply;

    to->rc = reply->rc;
    to->count++;
    to->stat = reply->stat;
    snprintf(to->path, sizeof to->path, "%s", reply->path ? reply->path : "");
    snprintf(to->data, sizeof to->data, "%s", reply->data ? reply->data : "");
    to->names = reply->count;
    to->failed = reply->failed;
    to->order = ++order;
}
