/* Who is in the cluster: joining, leaving, restarting, and being refused. */
#include "internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what a handle sees ---- */

struct sight {
    odezk_cluster *cluster;
    char wanted[256]; /* ids, in order, with a blank behind each */
};

static void list_ids(odezk_cluster *cluster, char *ids, size_t size)
{
    odezk_node_list *list = NULL;
    size_t length = 0;

    ids[0] = '\0';
    if (odezk_members(cluster, &list) != ODEZK_OK)
        return;
    for (size_t i = 0; i < list->count && length < size; i++)
        length += (size_t)snprintf(ids + length, size - length, "%s ", list->nodes[i].id);
    odezk_node_list_free(list);
}

static bool sees_wanted(void *arg)
{
    struct sight *sight = arg;
    char ids[256];

    list_ids(sight->cluster, ids, sizeof ids);
    return strcmp(ids, sight->wanted) == 0;
}

static bool sees(odezk_cluster *cluster, int ms, const char *ids)
{
    struct sight sight = {.cluster = cluster};

    snprintf(sight.wanted, sizeof sight.wanted, "%s", ids);
    return it_until(ms, sees_wanted, &sight);
}

static int64_t incarnation_of(odezk_cluster *cluster, const char *id)
{
    odezk_node_list *list = NULL;
    int64_t incarnation = -1;

    if (odezk_members(cluster, &list) != ODEZK_OK)
        return -1;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->nodes[i].id, id) == 0)
            incarnation = list->nodes[i].incarnation;
    odezk_node_list_free(list);
    return incarnation;
}

/* ---- tests ---- */

static void join_and_leave(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b;
    struct it_log *at_a = it_events(a), *at_b;

    NEED(it_expect(at_a, 5000, "session connected 1"));
    NEED(it_expect(at_a, 5000, "member joined a *"));
    NEED(it_expect(at_a, 5000, "ready *"));
    b = it_join(ODEZK_ROLE_MEMBER, "b");
    at_b = it_events(b);
    NEED(it_expect(at_a, 5000, "member joined b *"));
    NEED(it_expect(at_b, 5000, "member joined a *"));
    NEED(it_expect(at_b, 5000, "member joined b *"));
    CHECK(sees(a, 5000, "a b "));
    CHECK(sees(b, 5000, "a b "));
    it_free(b);
    NEED(it_expect(at_a, 5000, "member left b *"));
    CHECK(sees(a, 5000, "a "));
    CHECK(it_count(at_a, "member joined b *") == 1);
    CHECK(it_count(at_a, "member left *") == 1);
    CHECK(it_number(it_last(at_a, "member joined b *")) == it_number(it_last(at_a, "member left b *")));
    it_free(a);
}

static void replay(void)
{
    odezk_cluster *b = it_join(ODEZK_ROLE_MEMBER, "b");
    struct it_log *first = it_events(b), *late;

    NEED(it_expect_all(first, 5000, "ready *", "mastership began *", "master b *", NULL));
    it_join(ODEZK_ROLE_MEMBER, "c");
    it_join(ODEZK_ROLE_MEMBER, "a");
    NEED(sees(b, 5000, "a b c "));
    late = it_events(b);
    NEED(it_expect(late, 5000, "session connected 1"));
    NEED(it_expect(late, 5000, "member joined a *"));
    NEED(it_expect(late, 5000, "member joined b *"));
    NEED(it_expect(late, 5000, "member joined c *"));
    NEED(it_expect_all(late, 5000, "ready *", "master b *", "mastership began *", NULL));
    CHECK(it_count(late, "*") == 7);
}

/* Each life of a node is seen to begin and to end, once, in that order. */
static void none_is_lost(void)
{
    enum { ROUNDS = 12 };
    odezk_cluster *watcher = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_log *log = it_events(watcher);
    int64_t last = -1;

    for (int i = 0; i < ROUNDS; i++) {
        odezk_cluster *node = it_join(ODEZK_ROLE_MEMBER, "n");
        NEED(node != NULL);
        NEED(it_expect(log, 5000, "member joined n *"));
        int64_t incarnation = it_number(it_last(log, "member joined n *"));
        CHECK(incarnation > last);
        last = incarnation;
        it_free(node);
        NEED(it_expect(log, 5000, "member left n *"));
        CHECK(it_number(it_last(log, "member left n *")) == incarnation);
    }
    CHECK(it_count(log, "member *") == 2 * ROUNDS);
    CHECK(it_count(log, "session *") <= 2);
}

static void client_is_no_member(void)
{
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_log *log = it_events(client);
    struct it_stat stat;
    odezk_status *status = NULL;

    NEED(it_expect(log, 5000, "session connected 1"));
    CHECK(strcmp(odezk_cluster_node_id(client), "") == 0);
    CHECK(odezk_cluster_set_metadata(client, "k", "v") == ODEZK_ESTATE);
    NEED(odezk_cluster_status(client, 5000, &status) == ODEZK_OK);
    CHECK(status->member_count == 0 && status->master == NULL && status->master_epoch == 0);
    odezk_status_free(status);
    CHECK(it_zk_stat(it_zk(), it_base(), &stat) == IT_NONODE);
    odezk_cluster *node = it_join(ODEZK_ROLE_MEMBER, "a");
    NEED(it_expect(log, 5000, "member joined a *"));
    NEED(it_expect(log, 5000, "master a *"));
    it_free(node);
    NEED(it_expect(log, 5000, "master none"));
    NEED(it_expect(log, 5000, "member left a *"));
    CHECK(it_count(log, "ready *") == 0);
}

static const odezk_member *find_member(const odezk_status *status, const char *id)
{
    for (size_t i = 0; i < status->member_count; i++)
        if (strcmp(status->members[i].id, id) == 0)
            return &status->members[i];
    return NULL;
}

static const char *find_value(const odezk_member *member, const char *key)
{
    for (size_t i = 0; i < member->metadata_count; i++)
        if (strcmp(member->metadata[i].key, key) == 0)
            return member->metadata[i].value;
    return NULL;
}

struct telling {
    odezk_cluster *client;
    const char *id, *key, *value;
};

static bool tells(void *arg)
{
    struct telling *telling = arg;
    odezk_status *status = NULL;

    if (odezk_cluster_status(telling->client, 5000, &status) != ODEZK_OK)
        return false;
    const odezk_member *member = find_member(status, telling->id);
    const char *value = member ? find_value(member, telling->key) : NULL;
    bool same = telling->value ? value && strcmp(value, telling->value) == 0 : member && !value;
    odezk_status_free(status);
    return same;
}

static void check_member(const odezk_member *member)
{
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    CHECK(strcmp(member->host, host) == 0);
    CHECK(member->pid == getpid());
    CHECK(strcmp(member->version, odezk_version()) == 0);
    CHECK(member->since_ms > INT64_C(1600000000000));
    CHECK(member->started_ms > INT64_C(1600000000000));
    CHECK(!member->observer);
    CHECK(member->incarnation >= 0);
}

static void metadata(void)
{
    odezk_cluster *a = it_open(ODEZK_ROLE_MEMBER, "a");
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct telling telling = {client, "a", "late", "line\none = 100%"};
    char kilobyte[1025];

    memset(kilobyte, 'x', sizeof kilobyte);
    NEED(odezk_cluster_set_metadata(a, "early", "gr\xc3\xbc\xc3\x9f") == ODEZK_OK);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    odezk_status *status = NULL;
    NEED(odezk_cluster_status(client, it_ms(5000), &status) == ODEZK_OK);
    const odezk_member *member = find_member(status, "a");
    CHECK(member != NULL);
    if (member) {
        const char *value = find_value(member, "early");
        check_member(member);
        CHECK(value && strcmp(value, "gr\xc3\xbc\xc3\x9f") == 0);
    }
    odezk_status_free(status);
    NEED(odezk_cluster_set_metadata(a, "late", telling.value) == ODEZK_OK);
    CHECK(it_until(it_timeout(), tells, &telling));
    NEED(odezk_cluster_set_metadata(a, "late", NULL) == ODEZK_OK);
    telling.value = NULL;
    CHECK(it_until(it_timeout(), tells, &telling));
    kilobyte[1024] = '\0';
    CHECK(odezk_cluster_set_metadata(a, "big", kilobyte) == ODEZK_EINVAL);
    kilobyte[1024 - strlen("big") - strlen("early") - strlen("gr\xc3\xbc\xc3\x9f")] = '\0';
    CHECK(odezk_cluster_set_metadata(a, "big", kilobyte) == ODEZK_OK);
    telling.key = "big";
    telling.value = kilobyte;
    CHECK(it_until(it_timeout(), tells, &telling));
    CHECK(odezk_cluster_set_metadata(a, "bad key", "v") == ODEZK_EINVAL);
    CHECK(odezk_cluster_set_metadata(a, "k", "\xff") == ODEZK_EINVAL);
}

/* ---- a second node with the id of a live one ---- */

static void check_refusal(odezk_cluster *second, struct it_log *log, long pid, const char *host)
{
    char wanted[300];

    CHECK(odezk_cluster_join(second, it_ms(10000)) == ODEZK_EDUPLICATE);
    snprintf(wanted, sizeof wanted, "host %s, pid %ld", host, pid);
    CHECK(strstr(odezk_last_error(), wanted) != NULL);
    if (!strstr(odezk_last_error(), wanted))
        it_note("%s instead of %s", odezk_last_error(), wanted);
    CHECK(it_expect(log, 5000, "refused *a living node has the id a*") != NULL);
    CHECK(it_expect(log, 6000, "session closed *") != NULL);
    CHECK(odezk_cluster_join(second, 0) == ODEZK_EDUPLICATE);
}

static void duplicate_in_one_process(void)
{
    odezk_cluster *first = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *at_first = it_events(first);
    odezk_cluster *second = it_open(ODEZK_ROLE_MEMBER, "a");
    struct it_log *at_second = it_events(second);
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    check_refusal(second, at_second, (long)getpid(), host);
    it_free(second);
    CHECK(sees(first, 5000, "a "));
    CHECK(it_count(at_first, "member left *") == 0 && it_count(at_first, "member restarted *") == 0);
    CHECK(it_zk_count(it_path("members"), "a#*") == 1);
}

static void duplicate_of_another_process(void)
{
    struct it_process *node = it_node("a", NULL);
    odezk_cluster *second = it_open(ODEZK_ROLE_MEMBER, "a");
    struct it_log *at_second = it_events(second);
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    NEED(it_expect(node->log, 10000, "ready *"));
    check_refusal(second, at_second, (long)node->pid, host);
    CHECK(it_count(node->log, "session lost *") == 0);
    it_signal(node, SIGTERM);
    CHECK(it_exit(node, 5000) == 0);
}

/* A member on another machine: it shows that it lives by writing its znode. */
static const char far_text[] = "host=far\npid=4242\nboot=00000000-0000-0000-0000-000000000000\n"
                               "ticks=1\nhandle=1\nversion=0.1.0\nstarted=1\nobserver=0\n";

struct far {
    struct it_zk *zk;
    char path[512];
};

static bool make_far(struct far *far)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "other"); /* makes the directories */

    it_free(a);
    far->zk = it_zk_open(it_servers(), it_timeout());
    return it_zk_create(far->zk, it_path("members/a#"), far_text, true, true, far->path, sizeof far->path) == IT_OK;
}

static void *keep_writing(void *arg)
{
    struct far *far = arg;

    /* Until the znode is gone. */
    while (it_zk_set(far->zk, far->path, far_text) == IT_OK)
        usleep((useconds_t)it_timeout() * 1000 / 6);
    return NULL;
}

static void duplicate_of_another_host(void)
{
    struct far far;
    pthread_t thread;

    it_set_timeout(IT_STEADY);
    NEED(make_far(&far));
    odezk_cluster *second = it_open(ODEZK_ROLE_MEMBER, "a");
    struct it_log *at_second = it_events(second);
    NEED(pthread_create(&thread, NULL, keep_writing, &far) == 0);
    check_refusal(second, at_second, 4242, "far");
    CHECK(it_zk_delete(it_zk(), far.path) == IT_OK);
    pthread_join(thread, NULL);
}

static void waits_for_a_silent_previous_process(void)
{
    struct far far;

    NEED(make_far(&far));
    odezk_cluster *second = it_open(ODEZK_ROLE_MEMBER, "a");
    CHECK(odezk_cluster_join(second, it_ms(700)) == ODEZK_ETIMEDOUT);
    CHECK(strstr(odezk_last_error(), "host far, pid 4242") != NULL);
    it_zk_close(far.zk);
    CHECK(odezk_cluster_join(second, it_ms(5000)) == ODEZK_OK);
}

/* ---- restarts ---- */

static void clean_restart(void)
{
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_log *log = it_events(client);
    int64_t last = -1;

    for (int i = 0; i < 3; i++) {
        struct it_process *node = it_node("a", NULL);
        NEED(it_expect(node->log, 10000, "ready *"));
        NEED(it_expect(log, 5000, "member joined a *"));
        int64_t incarnation = it_number(it_last(node->log, "ready *"));
        CHECK(incarnation > last);
        last = incarnation;
        int64_t asked = it_running_ms();
        it_signal(node, i % 2 ? SIGINT : SIGTERM);
        CHECK(it_exit(node, 5000) == 0);
        CHECK(it_running_ms() - asked < it_ms(2000));
        NEED(it_expect(log, 5000, "member left a *"));
    }
}

static void restart_after_a_kill(void)
{
    it_set_timeout(IT_STEADY);
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_log *log = it_events(client);
    struct it_process *node = it_node("a", NULL);

    NEED(it_expect(node->log, 10000, "ready *"));
    NEED(it_expect(log, 5000, "member joined a *"));
    int64_t former = it_number(it_last(node->log, "ready *"));
    it_signal(node, SIGKILL);
    NEED(it_exit(node, 5000) == 128 + SIGKILL);
    struct it_process *again = it_node("a", NULL);
    NEED(it_expect(again->log, it_timeout() + 5000, "ready *"));
    CHECK(it_number(it_last(again->log, "ready *")) > former);
    /* Where the new life began late, it left and joined. */
    char *line = it_format("member * a %" PRId64, it_number(it_last(again->log, "ready *")));
    CHECK(it_expect(log, 5000, line) != NULL);
    free(line);
    CHECK(it_count(log, "member restarted *") + it_count(log, "member left *") == 1);
    CHECK(it_zk_count(it_path("members"), "a#*") == 1);
}

/* One that was stopped and one that is killed look alike at first: alive, but silent. Both are waited for, not taken
 * for a duplicate. The one that goes on finds another in its place. */
static void restart_beside_a_stopped_process(void)
{
    it_set_timeout(IT_STEADY);
    struct it_process *node = it_node("a", NULL);
    NEED(it_expect(node->log, 10000, "ready *"));
    it_signal(node, SIGSTOP);
    struct it_process *again = it_node("a", NULL);
    NEED(it_expect(again->log, 2 * it_timeout() + 5000, "ready *"));
    CHECK(it_count(again->log, "refused *") == 0);
    it_signal(node, SIGCONT);
    CHECK(it_expect(node->log, 2 * it_timeout() + 5000, "refused *") != NULL);
    CHECK(it_count(again->log, "session lost *") == 0);
}

/* A node that is killed while it waits for the previous process with its id leaves no third incarnation behind. */
static void killed_while_it_waits(void)
{
    it_set_timeout(IT_STEADY);
    struct it_process *node = it_node("a", NULL);
    NEED(it_expect(node->log, 10000, "ready *"));
    it_signal(node, SIGKILL);
    NEED(it_exit(node, 5000) == 128 + SIGKILL);
    struct it_process *second = it_node("a", NULL);
    NEED(it_expect(second->log, 10000, "session connected 1"));
    it_signal(second, SIGKILL);
    NEED(it_exit(second, 5000) == 128 + SIGKILL);
    struct it_process *third = it_node("a", NULL);
    NEED(it_expect(third->log, 2 * it_timeout() + 5000, "ready *"));
    CHECK(it_zk_count(it_path("members"), "a#*") == 1);
}

static void kill_is_noticed_once(void)
{
    it_set_timeout(IT_STEADY);
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);
    struct it_process *node = it_node("b", NULL);

    NEED(it_expect(node->log, 10000, "ready *"));
    NEED(it_expect(log, 5000, "member joined b *"));
    it_signal(node, SIGKILL);
    int64_t killed = it_running_ms();
    NEED(it_expect(log, it_timeout() + 3000, "member left b *"));
    CHECK(it_running_ms() - killed < it_timeout() + it_ms(1500));
    CHECK(it_number(it_last(log, "member left b *")) == it_number(it_last(node->log, "ready *")));
    CHECK(it_count(log, "member left *") == 1 && it_count(log, "member restarted *") == 0);
}

/* ---- interference ---- */

static void removed_by_a_foreign_hand(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_MEMBER, "b");
    struct it_log *at_a = it_events(a), *at_b = it_events(b);

    NEED(it_expect(at_b, 5000, "member joined b *"));
    NEED(it_expect(at_a, 5000, "ready *"));
    int64_t former = incarnation_of(b, "a");
    const char *path = it_zk_find(it_path("members"), "a#*");
    NEED(path != NULL);
    NEED(it_zk_delete(it_zk(), path) == IT_OK);
    NEED(it_expect(at_a, 5000, "ready *"));
    CHECK(it_number(it_last(at_a, "ready *")) > former);
    CHECK(it_until(5000, sees_wanted, &(struct sight){b, "a b "}));
    CHECK(it_count(at_b, "session lost *") == 0);
    NEED(it_expect(at_b, 5000, "member [jr]* a *"));
    CHECK(incarnation_of(b, "a") == it_number(it_last(at_a, "ready *")));
}

static void expired_session(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_MEMBER, "b");
    struct it_log *at_a = it_events(a), *at_b = it_events(b);
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};

    NEED(it_expect(at_a, 5000, "ready *"));
    NEED(it_expect(at_b, 5000, "ready *"));
    int64_t former = it_number(it_last(at_a, "ready *"));
    NEED(odezk_cluster_session(a, &info) == ODEZK_OK);
    CHECK(info.state == ODEZK_SESSION_CONNECTED && info.generation == 1 && info.session_id != 0);
    NEED(it_zk_expire(info.session_id));
    NEED(it_expect(at_a, it_timeout() + 5000, "session lost 1"));
    NEED(it_expect(at_a, 5000, "session connected 2"));
    NEED(it_expect(at_a, 5000, "ready *"));
    CHECK(it_number(it_last(at_a, "ready *")) > former);
    NEED(it_expect(at_b, 5000, "member [jr]* a *"));
    CHECK(sees(b, 5000, "a b "));
    NEED(odezk_cluster_session(a, &info) == ODEZK_OK);
    CHECK(info.generation == 2);
}

/* Names that are no members', in the directory of the members. */
static void foreign_names(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(a);

    NEED(it_expect(log, 5000, "ready *"));
    NEED(it_zk_create(it_zk(), it_path("members/stray"), "", false, false, NULL, 0) == IT_OK);
    NEED(it_zk_create(it_zk(), it_path("members/x#y"), "", false, false, NULL, 0) == IT_OK);
    NEED(it_zk_create(it_zk(), it_path("members/#0000000001"), "", false, false, NULL, 0) == IT_OK);
    odezk_cluster *b = it_join(ODEZK_ROLE_MEMBER, "b");
    CHECK(b != NULL);
    CHECK(sees(a, 5000, "a b "));
    CHECK(it_zk_delete(it_zk(), it_path("members/stray")) == IT_OK);
    CHECK(it_zk_delete(it_zk(), it_path("members/x#y")) == IT_OK);
    CHECK(it_zk_delete(it_zk(), it_path("members/#0000000001")) == IT_OK);
    CHECK(sees(a, 5000, "a b "));
    CHECK(it_count(log, "member *") == 2);
}

static const struct it_test tests[] = {
    {"join and leave", join_and_leave, 0},
    {"the present state is replayed", replay, 0},
    {"no change is lost", none_is_lost, 0},
    {"a client is no member and makes nothing", client_is_no_member, 0},
    {"metadata", metadata, 0},
    {"duplicate id in one process", duplicate_in_one_process, 0},
    {"duplicate id of another process", duplicate_of_another_process, 0},
    {"duplicate id of another host", duplicate_of_another_host, 0},
    {"waits for a silent previous process", waits_for_a_silent_previous_process, IT_FAULTS},
    {"clean restart", clean_restart, 0},
    {"restart after a kill", restart_after_a_kill, IT_FAULTS},
    {"restart beside a stopped process", restart_beside_a_stopped_process, IT_FAULTS},
    {"killed while it waits", killed_while_it_waits, IT_FAULTS},
    {"a kill is noticed once", kill_is_noticed_once, IT_FAULTS},
    {"member znode removed", removed_by_a_foreign_hand, 0},
    {"expired session", expired_session, IT_FAULTS},
    {"foreign names among the members", foreign_names, 0},
    {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "membership", tests);
}
