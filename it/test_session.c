/* The session: servers that come, go, stall and move; closing in every state; calls from callbacks.
 */
#include "harness.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEALTHY_CLOSE_MS = 2000, CLOSE_MS = 6000 };

/* ---- names that have the addresses we say ---- */

static const char *_Atomic addresses[4]; /* of "several.test"; none: it does not exist */
static atomic_int look_ups;

/* Takes the place of the C library's, for the ZooKeeper client and for ours. */
int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct addrinfo **end = found;

    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!name || strcmp(name, "several.test") != 0 || (hints && hints->ai_flags & AI_NUMERICHOST))
        return real(name, service, hints, found);
    look_ups++;
    for (int i = 0; i < 4 && addresses[i]; i++) {
        int rc = real(addresses[i], service, hints, end);
        if (rc != 0)
            return rc;
        while (*end)
            end = &(*end)->ai_next;
    }
    return addresses[0] ? 0 : EAI_NONAME;
}

/* ---- helpers ---- */

/* A handle whose servers are these. */
static odezk_cluster *open_at(odezk_role role, const char *id, const char *servers)
{
    odezk_config *config = it_config(id, "servers", servers, "operation-timeout", "60000", NULL);
    odezk_cluster *cluster = it_new(role, config);

    odezk_config_free(config);
    return cluster;
}

static odezk_cluster *open_behind(const struct it_proxy *proxy, odezk_role role, const char *id)
{
    char servers[64];

    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(proxy));
    return open_at(role, id, servers);
}

static odezk_session_info look(odezk_cluster *cluster)
{
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};

    CHECK(odezk_cluster_session(cluster, &info) == ODEZK_OK);
    return info;
}

/* Says what else it was. */
static bool is(int error, int wanted)
{
    if (error != wanted)
        it_note("%s instead of %s: %s", odezk_errname(error), odezk_errname(wanted), odezk_last_error());
    return error == wanted;
}

/* How long it takes to close, in milliseconds as of a build that is not instrumented. */
static int64_t time_close(odezk_cluster *cluster)
{
    int64_t since = it_running_ms();

    CHECK(odezk_cluster_close(cluster) == ODEZK_OK);
    return (it_running_ms() - since) * 1000 / it_ms(1000);
}

/* ---- servers that come and go ---- */

static void servers_come_later(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);

    NEED(proxy != NULL);
    it_proxy_cut(proxy, true);
    odezk_cluster *a = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    CHECK(look(a).state == ODEZK_SESSION_CONNECTING && look(a).session_id == 0);
    int64_t since = it_now_ms(), running = it_running_ms();
    CHECK(is(odezk_cluster_join(a, 300), ODEZK_EUNREACHABLE));
    CHECK(it_now_ms() - since >= 300 && it_running_ms() - running < 300 + it_ms(300));
    CHECK(is(odezk_cluster_join(a, 0), ODEZK_EUNREACHABLE));
    CHECK(it_count(log, "session connected *") == 0);
    it_proxy_cut(proxy, false);
    NEED(it_expect(log, 10000, "session connected 1"));
    NEED(it_expect(log, 5000, "ready *"));
    CHECK(odezk_cluster_join(a, 0) == ODEZK_OK);
    CHECK(odezk_cluster_start(a) == ODEZK_OK);
}

static void ensemble_comes_later(void)
{
    NEED(it_all_servers("stop"));
    odezk_cluster *a = it_open(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    NEED(odezk_cluster_start(a) == ODEZK_OK);
    it_pass(300);
    NEED(it_all_servers("start"));
    NEED(it_expect(log, 15000, "session connected 1"));
    NEED(it_expect(log, 5000, "ready *"));
}

static void server_restart(void)
{
    it_set_timeout(20000); /* time for the servers to start */
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_MEMBER, "b");
    struct it_log *at_a = it_events(a), *at_b = it_events(b);

    NEED(it_expect(at_a, 5000, "ready *"));
    NEED(it_all_servers("stop"));
    NEED(it_expect(at_a, 5000, "session suspended 1"));
    CHECK(look(a).state == ODEZK_SESSION_SUSPENDED && look(a).session_id != 0);
    NEED(it_all_servers("start"));
    NEED(it_expect(at_a, 15000, "session connected 1"));
    CHECK(it_expect_all(at_b, 15000, "session suspended 1", NULL));
    CHECK(it_count(at_b, "member left *") == 0 && it_count(at_b, "member restarted *") == 0);
    odezk_cluster *c = it_join(ODEZK_ROLE_MEMBER, "c");
    CHECK(c != NULL);
    CHECK(it_expect(at_b, 5000, "member joined c *") != NULL);
}

/* A server that hears and does not answer. */
static void stalled_servers(void)
{
    it_set_timeout(IT_STEADY);
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    odezk_status *status = NULL;

    NEED(it_expect(log, 5000, "ready *"));
    NEED(it_all_servers("pause"));
    int64_t since = it_running_ms();
    CHECK(odezk_cluster_status(a, 300, &status) == ODEZK_EUNREACHABLE && !status);
    CHECK(it_running_ms() - since < 300 + it_ms(300));
    odezk_cluster *b = it_open(ODEZK_ROLE_MEMBER, "b");
    CHECK(is(odezk_cluster_join(b, 300), ODEZK_EUNREACHABLE));
    NEED(it_expect(log, it_timeout(), "session suspended 1"));
    NEED(it_all_servers("cont"));
    NEED(it_expect(log, 10000, "session connected *"));
    CHECK(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    CHECK(odezk_cluster_join(b, it_ms(10000)) == ODEZK_OK);
    CHECK(odezk_cluster_status(a, it_ms(5000), &status) == ODEZK_OK);
    odezk_status_free(status);
}

struct nodes {
    odezk_cluster *nodes[6];
    struct it_log *logs[6];
};

static bool has_master(void *arg)
{
    struct nodes *all = arg;

    for (int k = 0; k < 6; k++)
        if (odezk_is_master(all->nodes[k], NULL))
            return true;
    return false;
}

/* One server of three stands still: those connected to it move on, with the same session. */
static void one_stalled_server(void)
{
    struct nodes all;
    char id[16];
    int ended[6];

    it_set_timeout(15000); /* the lease outlives the election of a leader, and its new proof */
    for (int k = 0; k < 6; k++) {
        snprintf(id, sizeof id, "n%d", k);
        all.nodes[k] = it_join(ODEZK_ROLE_MEMBER, id);
        NEED(all.nodes[k] != NULL);
        all.logs[k] = it_events(all.nodes[k]);
    }
    NEED(it_until(10000, has_master, &all));
    for (int k = 0; k < 6; k++)
        CHECK(it_until(it_timeout(), it_has_lease, all.nodes[k]));
    for (int k = 0; k < 6; k++)
        ended[k] = it_count(all.logs[k], "mastership ended *");
    for (int i = 1; i <= it_server_count(); i++) {
        NEED(it_server("pause", i));
        it_pass(it_timeout() * 5 / 4);
        NEED(it_server("cont", i));
        NEED(it_serves(i));
        for (int k = 0; k < 6; k++) {
            CHECK(it_until(it_timeout(), it_has_lease, all.nodes[k]));
            CHECK(look(all.nodes[k]).generation == 1);
        }
    }
    for (int k = 0; k < 6; k++) {
        CHECK(it_count(all.logs[k], "member left *") == 0 && it_count(all.logs[k], "member restarted *") == 0);
        CHECK(it_count(all.logs[k], "mastership ended *") == ended[k]);
    }
}

static void expired_again_and_again(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    char pattern[40];

    NEED(it_expect(log, 5000, "ready *"));
    for (int i = 1; i <= 4; i++) {
        CHECK(look(a).generation == (uint64_t)i);
        NEED(it_zk_expire(look(a).session_id));
        snprintf(pattern, sizeof pattern, "session lost %d", i);
        NEED(it_expect(log, it_timeout() + 5000, pattern));
        snprintf(pattern, sizeof pattern, "session connected %d", i + 1);
        NEED(it_expect(log, 5000, pattern));
        NEED(it_expect(log, 5000, "ready *"));
    }
    CHECK(it_zk_count(it_path("members"), "*") == 1);
}

struct flapped {
    odezk_cluster *cluster;
    struct it_log *log;
};

static bool is_told_and_connected(void *arg)
{
    struct flapped *f = arg;

    return look(f->cluster).state == ODEZK_SESSION_CONNECTED &&
           it_count(f->log, "session suspended 1") + 1 == it_count(f->log, "session connected 1");
}

/* Connections that break all the time hurt nobody. */
static void flapping(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);

    NEED(proxy != NULL);
    odezk_cluster *a = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    NEED(it_expect(log, 5000, "mastership began *"));
    for (int i = 0; i < 20; i++) {
        it_proxy_cut(proxy, false);
        it_pass(i * 10);
    }
    CHECK(it_until(5000, is_told_and_connected, &(struct flapped){a, log}));
    CHECK(odezk_is_master(a, NULL));
    CHECK(it_count(log, "mastership *") == 1);
    CHECK(look(a).generation == 1);
    CHECK(it_count(log, "session suspended 1") > 2);
}

/* ---- where the servers are ---- */

static void wrong_chroot(void)
{
    char servers[512];

    snprintf(servers, sizeof servers, "%s%s/nowhere", it_servers(), it_base());
    odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, "a", servers);
    struct it_log *log = it_events(a);
    odezk_status *status = NULL;
    odezk_lock *lock = NULL;
    CHECK(is(odezk_cluster_join(a, it_ms(10000)), ODEZK_ECHROOT));
    CHECK(strstr(odezk_last_error(), "/nowhere") != NULL);
    CHECK(it_expect(log, 5000, "refused *chroot*") != NULL);
    CHECK(it_expect(log, 5000, "session closed *") != NULL);
    CHECK(is(odezk_cluster_status(a, 1000, &status), ODEZK_ECHROOT));
    CHECK(is(odezk_lock_acquire(a, "s", "k", 0, &lock), ODEZK_ECHROOT));
    odezk_cluster *client = open_at(ODEZK_ROLE_CLIENT, NULL, servers);
    CHECK(is(odezk_cluster_status(client, it_ms(10000), &status), ODEZK_ECHROOT));
    client = open_at(ODEZK_ROLE_CLIENT, NULL, servers);
    CHECK(is(odezk_lock_acquire(client, "s", "k", 0, &lock), ODEZK_ECHROOT));
    client = open_at(ODEZK_ROLE_CLIENT, NULL, servers);
    CHECK(is(odezk_resign_node(client, "a", it_ms(10000)), ODEZK_ECHROOT));
    CHECK(it_zk_stat(it_zk(), it_base(), NULL) == IT_NONODE);
}

static void chroot_that_exists(void)
{
    char servers[512];
    odezk_lock *lock = NULL;

    NEED(it_zk_create(it_zk(), it_base(), "", false, false, NULL, 0) == IT_OK);
    snprintf(servers, sizeof servers, "%s%s", it_servers(), it_base());
    odezk_config *config = it_config("a", "servers", servers, "base", "/", NULL);
    odezk_cluster *a = it_new(ODEZK_ROLE_MEMBER, config);
    odezk_config_free(config);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    CHECK(it_zk_count(it_path("members"), "a#*") == 1);
    NEED(odezk_lock_acquire(a, "s", "k", 0, &lock) == ODEZK_OK);
    odezk_lock_free(lock);
}

/* Another address in the list, and an outage that is long enough for both to be tried one after the other. */
static void chroot_after_an_outage(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    char servers[512];

    NEED(proxy != NULL);
    NEED(it_zk_create(it_zk(), it_base(), "", false, false, NULL, 0) == IT_OK);
    snprintf(servers, sizeof servers, "127.0.0.1:%d,127.0.0.9:%d%s", it_proxy_port(proxy), it_proxy_port(proxy),
             it_base());
    odezk_config *config = it_config("a", "servers", servers, "base", "/", NULL);
    odezk_cluster *a = it_new(ODEZK_ROLE_MEMBER, config);
    odezk_config_free(config);
    struct it_log *log = it_events(a);
    NEED(odezk_cluster_join(a, it_ms(15000)) == ODEZK_OK);
    it_proxy_cut(proxy, true);
    NEED(it_expect(log, it_timeout(), "session suspended 1"));
    it_pass(it_timeout() / 2);
    it_proxy_cut(proxy, false);
    CHECK(it_expect(log, 2 * it_timeout() + 5000, "session connected *") != NULL);
    CHECK(odezk_cluster_join(a, it_ms(15000)) == ODEZK_OK);
}

static void ipv6(void)
{
    struct it_proxy *proxy = it_proxy_new("::1", 0, 1);
    char servers[64];

    if (!proxy) {
        it_note("this machine has no IPv6 loopback");
        return;
    }
    snprintf(servers, sizeof servers, "[::1]:%d", it_proxy_port(proxy));
    odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, "a", servers);
    CHECK(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    CHECK(it_proxy_requests(proxy) > 3);
}

static void localhost(void)
{
    char servers[64];

    if (it_server_count() > 1)
        return; /* only the first server is there */
    snprintf(servers, sizeof servers, "localhost:%d", it_server_port(1));
    odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, "a", servers);
    CHECK(odezk_cluster_join(a, it_ms(15000)) == ODEZK_OK);
}

/* The first addresses are nobody's. */
static void several_addresses(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    char servers[64];

    NEED(proxy != NULL);
    addresses[0] = "127.0.0.9";
    addresses[1] = "127.0.0.8";
    addresses[2] = "127.0.0.1";
    addresses[3] = NULL;
    look_ups = 0;
    snprintf(servers, sizeof servers, "several.test:%d", it_proxy_port(proxy));
    odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, "a", servers);
    CHECK(odezk_cluster_join(a, it_ms(15000)) == ODEZK_OK);
    CHECK(look_ups >= 1 && look_ups < 5);
}

/* A server that takes the connection and never says a word: the next one is tried soon, whoever comes first in the
 * client's own order. */
static void mute_server(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000009)};
    socklen_t len = sizeof at;
    int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char servers[64], id[16];

    NEED(proxy != NULL);
    it_set_timeout(24000); /* two thirds of it is what the client gives a server */
    if (bind(mute, (struct sockaddr *)&at, len) != 0 || listen(mute, 64) != 0 ||
        getsockname(mute, (struct sockaddr *)&at, &len) != 0) {
        CU_FAIL("a socket");
    } else {
        snprintf(servers, sizeof servers, "127.0.0.9:%d,127.0.0.1:%d", ntohs(at.sin_port), it_proxy_port(proxy));
        for (int i = 0; i < 6; i++) {
            snprintf(id, sizeof id, "n%d", i);
            odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, id, servers);
            CHECK(odezk_cluster_join(a, it_ms(8000)) == ODEZK_OK);
        }
    }
    close(mute);
}

/* Each new session looks the names up again. */
static void moved_servers(void)
{
    struct it_proxy *old = it_proxy_new("127.0.0.1", 0, 1), *new;
    char servers[64];

    NEED(old != NULL);
    addresses[0] = "127.0.0.1";
    addresses[1] = NULL;
    snprintf(servers, sizeof servers, "several.test:%d", it_proxy_port(old));
    odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, "a", servers);
    struct it_log *log = it_events(a);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    NEED(it_expect(log, 5000, "ready *"));
    new = it_proxy_new("127.0.0.2", it_proxy_port(old), 1);
    NEED(new != NULL);
    addresses[0] = "127.0.0.2";
    it_proxy_cut(old, true);
    NEED(it_expect(log, 5000, "session suspended 1"));
    NEED(it_expect(log, it_timeout() + 15000, "session connected *"));
    CHECK(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    CHECK(it_proxy_requests(new) > 0);
}

/* A name that does not exist yet. */
static void name_comes_later(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    char servers[64];

    NEED(proxy != NULL);
    addresses[0] = NULL;
    snprintf(servers, sizeof servers, "several.test:%d", it_proxy_port(proxy));
    odezk_cluster *a = open_at(ODEZK_ROLE_MEMBER, "a", servers);
    CHECK(is(odezk_cluster_join(a, 300), ODEZK_EUNREACHABLE));
    CHECK(strstr(odezk_last_error(), "within 300 ms: cannot look up several.test: ") != NULL);
    addresses[0] = "127.0.0.1";
    addresses[1] = NULL;
    CHECK(odezk_cluster_join(a, it_ms(15000)) == ODEZK_OK);
}

/* ---- the base path ---- */

/* The longest that is allowed, and those that are nearly so: each is one name, and none is taken for another. */
static void long_bases(void)
{
    for (int length = 506; length <= 512; length++) {
        char base[520];
        odezk_lock *lock = NULL;

        memset(base, 'a', sizeof base);
        base[0] = '/';
        base[length - 1] = '\0';
        NEED(it_zk_create(it_zk(), base, "another's", false, false, NULL, 0) == IT_OK);
        base[length - 1] = 'Z';
        base[length] = '\0';
        odezk_config *config = it_config("a", "base", base, NULL);
        odezk_cluster *a = it_new(ODEZK_ROLE_MEMBER, config);
        odezk_config_free(config);
        CHECK(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
        CHECK(odezk_lock_acquire(a, "s", "k", 0, &lock) == ODEZK_OK);
        it_pass(100);
        odezk_lock_free(lock);
        it_free(a);
        it_zk_remove(base);
        base[length - 1] = '\0';
        CHECK(it_zk_stat(it_zk(), base, NULL) == IT_OK);
        it_zk_remove(base);
    }
}

/* ---- credentials ---- */

static void credentials(void)
{
    odezk_config *config = it_config("a", "auth", IT_AUTH, NULL);
    odezk_cluster *a = it_new(ODEZK_ROLE_MEMBER, config);
    odezk_status *status = NULL;
    odezk_lock *lock = NULL;

    odezk_config_free(config);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    NEED(odezk_lock_acquire(a, "s", "k", 0, &lock) == ODEZK_OK);
    odezk_lock_free(lock);
    odezk_cluster *stranger = it_open(ODEZK_ROLE_MEMBER, "b");
    struct it_log *log = it_events(stranger);
    CHECK(is(odezk_cluster_join(stranger, it_ms(10000)), ODEZK_EAUTH));
    CHECK(it_expect(log, 5000, "refused *") != NULL);
    odezk_cluster *client = it_open(ODEZK_ROLE_CLIENT, NULL);
    CHECK(is(odezk_cluster_status(client, it_ms(10000), &status), ODEZK_EAUTH));
    client = it_open(ODEZK_ROLE_CLIENT, NULL);
    CHECK(is(odezk_lock_acquire(client, "s", "k", 0, &lock), ODEZK_EAUTH));
}

/* ---- closing ---- */

static void close_new(void)
{
    odezk_cluster *a = it_open(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);

    CHECK(time_close(a) < HEALTHY_CLOSE_MS);
    CHECK(it_expect(log, 5000, "session closed *") != NULL);
    CHECK(odezk_cluster_close(a) == ODEZK_OK);
    CHECK(is(odezk_cluster_start(a), ODEZK_ECLOSED));
    CHECK(is(odezk_cluster_join(a, 1000), ODEZK_ECLOSED));
    CHECK(look(a).state == ODEZK_SESSION_CLOSED);
    odezk_cluster_free(NULL);
}

static void close_at_any_moment(void)
{
    for (int i = 0; i < 40; i++) {
        odezk_cluster *a = it_open(ODEZK_ROLE_MEMBER, "a");
        NEED(odezk_cluster_start(a) == ODEZK_OK);
        usleep((useconds_t)(i * 700));
        CHECK(time_close(a) < HEALTHY_CLOSE_MS);
        it_free(a);
    }
}

static void close_connecting(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);

    NEED(proxy != NULL);
    it_proxy_cut(proxy, true);
    odezk_cluster *refused = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    CHECK(is(odezk_cluster_join(refused, 200), ODEZK_EUNREACHABLE));
    CHECK(time_close(refused) < CLOSE_MS);
    it_proxy_cut(proxy, false);
    it_proxy_hold(proxy, true);
    odezk_cluster *silent = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    CHECK(is(odezk_cluster_join(silent, 200), ODEZK_EUNREACHABLE));
    CHECK(time_close(silent) < CLOSE_MS);
    addresses[0] = NULL;
    odezk_cluster *nameless = open_at(ODEZK_ROLE_MEMBER, "a", "several.test:1");
    CHECK(is(odezk_cluster_join(nameless, 200), ODEZK_EUNREACHABLE));
    CHECK(time_close(nameless) < CLOSE_MS);
}

static void close_joined(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_log *log = it_events(a);
    odezk_lock *lock = NULL;

    NEED(it_expect(log, 5000, "mastership began *"));
    NEED(odezk_lock_acquire(a, "s", "k", 0, &lock) == ODEZK_OK);
    CHECK(time_close(a) < HEALTHY_CLOSE_MS);
    NEED(it_expect(log, 5000, "mastership ended * closing"));
    NEED(it_expect(log, 5000, "session closed *"));
    CHECK(it_zk_count(it_path("members"), "*") == 0);
    CHECK(it_zk_count(it_path("inbox"), "*") == 0);
    odezk_lock_free(lock);
    CHECK(time_close(b) < HEALTHY_CLOSE_MS);
}

static void close_suspended(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);

    NEED(proxy != NULL);
    it_set_timeout(IT_STEADY);
    odezk_cluster *a = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    it_proxy_cut(proxy, true);
    NEED(it_expect(log, 5000, "session suspended 1"));
    CHECK(time_close(a) < CLOSE_MS);
    CHECK(it_count(log, "mastership ended * closing") == it_count(log, "mastership began *"));
}

static void close_stalled(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    odezk_lock *lock = NULL;

    NEED(proxy != NULL);
    it_set_timeout(IT_SHORT);
    odezk_cluster *a = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    NEED(odezk_lock_acquire(a, "s", "k", 0, &lock) == ODEZK_OK);
    it_proxy_hold(proxy, true);
    CHECK(time_close(a) < CLOSE_MS);
    CHECK(!odezk_lock_is_valid(lock));
    odezk_lock_free(lock);
}

static void close_with_stalled_servers(void)
{
    it_set_timeout(IT_SHORT);
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    NEED(it_all_servers("pause"));
    CHECK(time_close(a) < CLOSE_MS);
    NEED(it_all_servers("cont"));
}

static void close_while_it_waits(void)
{
    odezk_cluster *a = it_open(ODEZK_ROLE_MEMBER, "a");
    char path[512];

    it_free(it_join(ODEZK_ROLE_MEMBER, "other")); /* makes the directories */
    NEED(it_zk_create(it_zk(), it_path("members/a#"), "host=far\npid=1\n", true, true, path, sizeof path) == IT_OK);
    CHECK(is(odezk_cluster_join(a, 300), ODEZK_ETIMEDOUT));
    CHECK(time_close(a) < HEALTHY_CLOSE_MS);
    CHECK(it_zk_count(it_path("members"), "*") == 1);
    CHECK(it_zk_delete(it_zk(), path) == IT_OK);
}

struct blocked {
    odezk_cluster *cluster;
    atomic_int waiting, result[4];
};

static void *block_in_join(void *arg)
{
    struct blocked *b = arg;

    b->waiting++;
    b->result[0] = odezk_cluster_join(b->cluster, 60000);
    return NULL;
}

static void *block_in_lock(void *arg)
{
    struct blocked *b = arg;
    odezk_lock *lock = NULL;

    b->waiting++;
    b->result[1] = odezk_lock_acquire(b->cluster, "s", "k", 60000, &lock);
    return NULL;
}

static void *block_in_status(void *arg)
{
    struct blocked *b = arg;
    odezk_status *status = NULL;

    b->waiting++;
    b->result[2] = odezk_cluster_status(b->cluster, 60000, &status);
    return NULL;
}

static void *block_in_resign(void *arg)
{
    struct blocked *b = arg;

    b->waiting++;
    b->result[3] = odezk_resign_node(b->cluster, "a", 60000);
    return NULL;
}

static bool four_wait(void *arg)
{
    return ((struct blocked *)arg)->waiting == 4;
}

static void close_ends_blocking_calls(void)
{
    static void *(*const calls[])(void *) = {block_in_join, block_in_lock, block_in_status, block_in_resign};
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    struct blocked blocked = {0};
    pthread_t threads[4];

    NEED(proxy != NULL);
    it_proxy_cut(proxy, true);
    blocked.cluster = open_behind(proxy, ODEZK_ROLE_MEMBER, "a");
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, calls[i], &blocked) == 0);
    NEED(it_until(5000, four_wait, &blocked));
    it_pass(100); /* from here to inside the call there is nothing to be seen */
    CHECK(time_close(blocked.cluster) < CLOSE_MS);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK(blocked.result[i] == ODEZK_ECLOSED);
    }
}

static void *close_it(void *cluster)
{
    return (void *)(intptr_t)odezk_cluster_close(cluster);
}

static void close_twice_at_once(void)
{
    for (int i = 0; i < 5; i++) {
        odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
        pthread_t threads[3];
        void *rc = NULL;
        for (int k = 0; k < 3; k++)
            NEED(pthread_create(&threads[k], NULL, close_it, a) == 0);
        CHECK(odezk_cluster_begin_close(a) == ODEZK_OK);
        for (int k = 0; k < 3; k++) {
            pthread_join(threads[k], &rc);
            CHECK((intptr_t)rc == ODEZK_OK);
        }
        it_free(a);
    }
}

/* ---- calls from callbacks ---- */

struct inside {
    odezk_cluster *cluster;
    atomic_int events, ends, losses;
    atomic_int wrong;
    odezk_lock *lock;
    odezk_subscription *subscription;
};

static void expect(struct inside *in, bool right, const char *what)
{
    if (right)
        return;
    in->wrong++;
    fprintf(stderr, "    # %s: %s\n", what, odezk_last_error());
}

static void on_nothing(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    (void)cluster;
    (void)event;
    (void)arg;
}

static void on_inner_end(int error, odezk_lock *lock, void *arg)
{
    (void)error;
    (void)arg;
    odezk_lock_free(lock);
}

/* What blocks is refused with a code of its own. */
static void call_what_blocks(struct inside *in)
{
    odezk_lock *lock = NULL;
    odezk_status *status = NULL;
    odezk_write write = {ODEZK_WRITE_CREATE, "/a", NULL, 0, 0};

    expect(in, odezk_cluster_join(in->cluster, 1000) == ODEZK_EINCALLBACK, "join");
    expect(in, odezk_master_write(in->cluster, INT64_MAX, &write, 1, 1000) == ODEZK_EINCALLBACK, "master_write");
    expect(in, odezk_lock_write(in->cluster, NULL, &write, 1, 1000) == ODEZK_EINCALLBACK, "lock_write");
    expect(in, odezk_cluster_close(in->cluster) == ODEZK_EINCALLBACK, "close");
    expect(in, odezk_cluster_status(in->cluster, 1000, &status) == ODEZK_EINCALLBACK, "status");
    expect(in, odezk_resign_node(in->cluster, "b", 1000) == ODEZK_EINCALLBACK, "resign_node");
    expect(in, odezk_lock_acquire(in->cluster, "s", "k", 1000, &lock) == ODEZK_EINCALLBACK, "lock_acquire");
    odezk_cluster_free(in->cluster); /* does nothing here */
}

static void call_what_does_not(struct inside *in)
{
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};
    odezk_subscription *subscription = NULL;
    odezk_lock_request *request = NULL;
    odezk_node_list *list = NULL;
    odezk_config *config = NULL;
    odezk_cluster *other = NULL;
    odezk_master master;
    int rc;

    expect(in, odezk_cluster_start(in->cluster) == ODEZK_OK, "start");
    expect(in, odezk_cluster_node_id(in->cluster) != NULL, "node_id");
    expect(in, odezk_cluster_set_metadata(in->cluster, "k", "v") == ODEZK_OK, "set_metadata");
    expect(in, odezk_cluster_session(in->cluster, &info) == ODEZK_OK, "session");
    expect(in, odezk_cluster_subscribe(in->cluster, ODEZK_EVENT_ALL, on_nothing, NULL, &subscription) == ODEZK_OK,
           "subscribe");
    odezk_cluster_unsubscribe(in->cluster, subscription);
    expect(in, odezk_members(in->cluster, &list) == ODEZK_OK, "members");
    odezk_node_list_free(list);
    odezk_is_master(in->cluster, NULL);
    expect(in, odezk_get_master(in->cluster, &master) == ODEZK_OK, "get_master");
    rc = odezk_resign(in->cluster);
    expect(in, rc == ODEZK_OK || rc == ODEZK_ENOTHELD, "resign");
    expect(in, odezk_lock_acquire_async(in->cluster, "inner", "k", 0, on_inner_end, in, &request) == ODEZK_OK,
           "lock_acquire_async");
    odezk_lock_cancel(request);
    expect(in, odezk_config_new(&config) == ODEZK_OK, "config_new");
    expect(in, odezk_cluster_new(config, NULL, &other) == ODEZK_OK, "cluster_new");
    odezk_cluster_free(other);
    odezk_config_free(config);
}

static void call_all(struct inside *in)
{
    call_what_blocks(in);
    call_what_does_not(in);
}

static void on_event_call_all(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct inside *in = arg;

    (void)cluster;
    if (event->type == ODEZK_EVENT_READY || event->type == ODEZK_EVENT_MEMBER || event->type == ODEZK_EVENT_MASTERSHIP)
        call_all(in);
    in->events++;
}

static void on_end_call_all(int error, odezk_lock *lock, void *arg)
{
    struct inside *in = arg;

    call_all(in);
    expect(in, error == ODEZK_OK && odezk_lock_is_valid(lock), "the grant");
    in->lock = lock;
    in->ends++;
}

static void on_lost_call_all(odezk_lock *lock, void *arg)
{
    struct inside *in = arg;

    call_all(in);
    expect(in, odezk_lock_on_lost(lock, NULL, NULL) == ODEZK_OK, "on_lost");
    expect(in, odezk_lock_valid_ms(lock) == 0, "valid_ms");
    expect(in, odezk_lock_release(lock) == ODEZK_ELOST, "release");
    odezk_lock_free(lock);
    in->losses++;
}

static bool ended(void *arg)
{
    return ((struct inside *)arg)->ends > 0;
}

static bool was_lost(void *arg)
{
    return ((struct inside *)arg)->losses > 0;
}

static void calls_from_callbacks(void)
{
    struct inside in = {.cluster = it_open(ODEZK_ROLE_MEMBER, "a")};
    odezk_lock_request *request = NULL;

    NEED(odezk_cluster_subscribe(in.cluster, ODEZK_EVENT_ALL, on_event_call_all, &in, &in.subscription) == ODEZK_OK);
    NEED(odezk_cluster_join(in.cluster, it_ms(10000)) == ODEZK_OK);
    NEED(odezk_lock_acquire_async(in.cluster, "s", "k", 0, on_end_call_all, &in, &request) == ODEZK_OK);
    NEED(it_until(10000, ended, &in));
    NEED(odezk_lock_on_lost(in.lock, on_lost_call_all, &in) == ODEZK_OK);
    NEED(it_zk_expire(look(in.cluster).session_id));
    NEED(it_until(it_timeout() + 5000, was_lost, &in));
    NEED(odezk_cluster_join(in.cluster, it_ms(10000)) == ODEZK_OK);
    odezk_cluster_unsubscribe(in.cluster, in.subscription);
    it_free(in.cluster);
    CHECK(in.wrong == 0);
    CHECK(in.events > 5 && in.ends == 1 && in.losses == 1);
}

static void on_event_close(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct inside *in = arg;

    if (event->type == ODEZK_EVENT_READY)
        expect(in, odezk_cluster_begin_close(cluster) == ODEZK_OK, "begin_close");
    if (event->type == ODEZK_EVENT_SESSION && event->state == ODEZK_SESSION_CLOSED)
        in->ends++;
}

static void closed_from_a_callback(void)
{
    struct inside in = {.cluster = it_open(ODEZK_ROLE_MEMBER, "a")};

    NEED(odezk_cluster_subscribe(in.cluster, ODEZK_EVENT_ALL, on_event_close, &in, NULL) == ODEZK_OK);
    NEED(odezk_cluster_start(in.cluster) == ODEZK_OK);
    NEED(it_until(10000, ended, &in));
    CHECK(odezk_cluster_close(in.cluster) == ODEZK_OK);
    it_free(in.cluster);
    CHECK(in.wrong == 0 && in.ends == 1);
}

static void on_event_unsubscribe(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct inside *in = arg;

    (void)event;
    odezk_cluster_unsubscribe(cluster, in->subscription);
    in->ends++;
}

static void unsubscribed_from_its_callback(void)
{
    struct inside in = {.cluster = it_open(ODEZK_ROLE_MEMBER, "a")};

    NEED(odezk_cluster_subscribe(in.cluster, ODEZK_EVENT_ALL, on_event_unsubscribe, &in, &in.subscription) == ODEZK_OK);
    NEED(it_until(5000, ended, &in));
    NEED(odezk_cluster_join(in.cluster, it_ms(10000)) == ODEZK_OK);
    it_free(in.cluster);
    CHECK(in.ends == 1);
}

/* A callback that takes long delays neither the lease nor the mastership. */
static void on_event_dawdle(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    const struct timespec pause = {0, 500000000};
    struct inside *in = arg;

    (void)cluster;
    if (event->type != ODEZK_EVENT_READY)
        return;
    for (int i = 0; i < in->ends; i++)
        nanosleep(&pause, NULL);
    in->losses++;
}

static void slow_callback(void)
{
    struct inside in = {0};

    it_set_timeout(IT_STEADY);
    in.cluster = it_open(ODEZK_ROLE_MEMBER, "a");
    in.ends = 2 * it_timeout() / 500; /* so many halves of a second */
    NEED(odezk_cluster_subscribe(in.cluster, ODEZK_EVENT_ALL, on_event_dawdle, &in, NULL) == ODEZK_OK);
    NEED(odezk_cluster_join(in.cluster, it_ms(10000)) == ODEZK_OK);
    NEED(it_until(4 * it_timeout(), was_lost, &in));
    struct it_log *log = it_events(in.cluster);
    NEED(it_expect(log, 5000, "mastership began *"));
    CHECK(look(in.cluster).generation == 1);
    CHECK(odezk_is_master(in.cluster, NULL));
    it_free(in.cluster);
}

/* ---- the rest ---- */

static void arguments(void)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_session_info info = {.version = 99};
    odezk_cluster *a = it_open(ODEZK_ROLE_MEMBER, "a"), *none = NULL;

    options.version = 99;
    CHECK(odezk_cluster_new(NULL, &options, &none) == ODEZK_EINVAL && !none);
    options.version = ODEZK_CLUSTER_OPTIONS_VERSION;
    options.role = (odezk_role)17;
    CHECK(odezk_cluster_new(NULL, &options, &none) == ODEZK_EINVAL && !none);
    CHECK(is(odezk_cluster_new(NULL, NULL, NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_start(NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_join(NULL, 0), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_join(a, -1), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_close(NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_begin_close(NULL), ODEZK_EINVAL));
    CHECK(odezk_cluster_session(a, &info) == ODEZK_EINVAL && info.version == 99);
    CHECK(is(odezk_cluster_session(a, NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_subscribe(a, ODEZK_EVENT_ALL, NULL, NULL, NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_subscribe(a, 0, on_nothing, NULL, NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_subscribe(a, 1u << 20, on_nothing, NULL, NULL), ODEZK_EINVAL));
    odezk_cluster_unsubscribe(a, NULL);
    CHECK(is(odezk_members(a, NULL), ODEZK_EINVAL));
    CHECK(is(odezk_get_master(a, NULL), ODEZK_EINVAL));
    CHECK(is(odezk_cluster_status(a, 0, NULL), ODEZK_EINVAL));
    odezk_cluster *client = it_open(ODEZK_ROLE_CLIENT, NULL);
    CHECK(is(odezk_resign(client), ODEZK_ENOTHELD) && strcmp(odezk_last_error(), "a client is never master") == 0);
    CHECK(strcmp(odezk_cluster_node_id(a), "a") == 0);
    CHECK(strcmp(odezk_cluster_node_id(NULL), "") == 0);
}

/* In the child a handle answers, and touches nothing of the parent's. */
static int look_in_child(odezk_cluster *cluster, odezk_lock *lock)
{
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};
    odezk_node_list *list = NULL;
    odezk_lock *other = NULL;

    if (odezk_is_master(cluster, NULL) || odezk_lock_is_valid(lock))
        return 1;
    if (odezk_cluster_start(cluster) != ODEZK_EFORKED || odezk_cluster_join(cluster, 0) != ODEZK_EFORKED ||
        odezk_cluster_close(cluster) != ODEZK_EFORKED || odezk_cluster_session(cluster, &info) != ODEZK_EFORKED ||
        odezk_members(cluster, &list) != ODEZK_EFORKED ||
        odezk_lock_acquire(cluster, "s", "k", 0, &other) != ODEZK_EFORKED ||
        odezk_lock_release(lock) != ODEZK_EFORKED || odezk_resign(cluster) != ODEZK_EFORKED)
        return 2;
    odezk_lock_free(lock);
    odezk_cluster_free(cluster);
    return 0;
}

static void forked(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    odezk_lock *lock = NULL;
    int status = -1;

    NEED(it_expect(log, 5000, "mastership began *"));
    NEED(odezk_lock_acquire(a, "s", "k", 0, &lock) == ODEZK_OK);
    pid_t pid = fork();
    if (pid == 0)
        _exit(look_in_child(a, lock));
    NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(odezk_is_master(a, NULL));
    CHECK(odezk_lock_release(lock) == ODEZK_OK);
    odezk_lock_free(lock);
}

static const struct it_test tests[] = {{"servers come later", servers_come_later, 0},
                                       {"the ensemble comes later", ensemble_comes_later, IT_FAULTS},
                                       {"server restart", server_restart, IT_FAULTS},
                                       {"stalled servers", stalled_servers, IT_FAULTS},
                                       {"one stalled server of three", one_stalled_server, IT_FAULTS | IT_QUORUM},
                                       {"expired again and again", expired_again_and_again, IT_FAULTS},
                                       {"flapping", flapping, IT_FAULTS},
                                       {"wrong chroot", wrong_chroot, 0},
                                       {"chroot that exists", chroot_that_exists, 0},
                                       {"chroot, after an outage", chroot_after_an_outage, IT_FAULTS},
                                       {"IPv6", ipv6, 0},
                                       {"localhost", localhost, 0},
                                       {"several addresses", several_addresses, 0},
                                       {"a mute server", mute_server, 0},
                                       {"moved servers", moved_servers, IT_FAULTS},
                                       {"a name comes later", name_comes_later, 0},
                                       {"long bases", long_bases, 0},
                                       {"credentials", credentials, 0},
                                       {"close: new", close_new, 0},
                                       {"close: at any moment", close_at_any_moment, 0},
                                       {"close: connecting", close_connecting, IT_FAULTS},
                                       {"close: joined", close_joined, 0},
                                       {"close: suspended", close_suspended, IT_FAULTS},
                                       {"close: stalled", close_stalled, IT_FAULTS},
                                       {"close: stalled servers", close_with_stalled_servers, IT_FAULTS},
                                       {"close: waiting for the previous process", close_while_it_waits, 0},
                                       {"close ends blocking calls", close_ends_blocking_calls, 0},
                                       {"close: twice at once", close_twice_at_once, 0},
                                       {"calls from callbacks", calls_from_callbacks, IT_FAULTS},
                                       {"closed from a callback", closed_from_a_callback, 0},
                                       {"unsubscribed from its callback", unsubscribed_from_its_callback, 0},
                                       {"slow callback", slow_callback, 0},
                                       {"arguments", arguments, 0},
                                       {"forked", forked, IT_FAULTS},
                                       {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "session", tests);
}
