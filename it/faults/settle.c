/* What is checked at rest: when all faults are over, when nobody works, and when nobody is there.
 */
#include "faults.h"

#include "../harness.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "/odezk-faults"
#define CLUSTER ROOT "/c"
#define WRITTEN ROOT "/written"

enum { SERVERS_MS = 60000, CONVERGE_MS = 30000, IDLE_MS = 15000, OUT_MS = 20000 };

static struct it_zk *zk;

void settle_begin(void)
{
    zk = it_zk_open(ensemble_servers(), 30000);
    it_zk_create(zk, ROOT, "", false, false, NULL, 0);
    it_zk_create(zk, WRITTEN, "", false, false, NULL, 0);
}

void settle_end(void)
{
    it_zk_close(zk);
    zk = NULL;
}

/* ---- nothing amiss any more ---- */

static bool all_serve(void *arg)
{
    (void)arg;
    return ensemble_serves();
}

static void end_all_faults(void)
{
    finish_everything(); /* an end may plan another */
    ensemble_wait();
    if (!pump_until(SERVERS_MS, all_serve, NULL))
        give_up("the servers do not come back");
    finish_everything();
    servers_calm(0);
}

static bool converged(void *arg)
{
    (void)arg;
    return members_agree();
}

bool converge(void)
{
    return pump_until(CONVERGE_MS + 4 * options.timeout_ms, converged, NULL);
}

/* ---- nobody works ---- */

static bool nobody_works(void *arg)
{
    (void)arg;
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record && nodes[i].record->working > 0)
            return false;
    return true;
}

static void be_quiet(bool quiet)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            nodes[i].record->quiet = quiet;
}

/* ---- znodes ---- */

struct remains {
    int count;
    char first[512];
};

/* Everything so many levels below a path. */
static void look(const char *path, int depth, struct remains *remains)
{
    struct it_names names;
    char child[512];

    if (it_zk_children(zk, path, &names) != IT_OK)
        return;
    for (int i = 0; i < names.count; i++) {
        snprintf(child, sizeof child, "%s/%s", path, names.names[i]);
        if (depth > 1)
            look(child, depth - 1, remains);
        else if (remains->count++ == 0)
            memcpy(remains->first, child, sizeof child);
    }
    it_names_free(&names);
}

/* Below spaces and buckets. */
static bool no_lock_znodes(void *arg)
{
    struct remains *remains = arg;

    *remains = (struct remains){0};
    look(CLUSTER "/locks", 3, remains);
    look(CLUSTER "/queue", 3, remains);
    return remains->count == 0;
}

static bool no_znodes(void *arg)
{
    struct remains *remains = arg;

    if (!no_lock_znodes(remains))
        return false;
    look(CLUSTER "/members", 1, remains);
    look(CLUSTER "/election", 1, remains);
    look(CLUSTER "/inbox", 1, remains);
    return remains->count == 0;
}

static void check_znodes(const char *when, int ms, bool (*clean)(void *))
{
    struct remains remains;

    if (!pump_until(ms, clean, &remains))
        violation(CHECK_ZNODES, "%s: %d left, such as %s", when, remains.count, remains.first);
}

bool remove_seat(int64_t epoch)
{
    struct it_names names;
    struct it_stat stat;
    char path[512];
    bool removed = false;

    if (it_zk_children(zk, CLUSTER "/election", &names) != IT_OK)
        return false;
    for (int i = 0; i < names.count && !removed; i++) {
        snprintf(path, sizeof path, CLUSTER "/election/%s", names.names[i]);
        removed = it_zk_stat(zk, path, &stat) == IT_OK && stat.czxid == epoch && it_zk_delete(zk, path) == IT_OK;
    }
    it_names_free(&names);
    return removed;
}

/* ---- guarded writes ---- */

struct written {
    int key;
    int64_t token, zxid;
};

static int by_zxid(const void *a, const void *b)
{
    const struct written *x = a, *y = b;

    return x->zxid < y->zxid ? -1 : x->zxid > y->zxid;
}

static void check_order(const struct written *written, int count)
{
    int64_t newest[KEYS + 1] = {0};

    for (int i = 0; i < count; i++) {
        int key = written[i].key;

        if (written[i].token < newest[key])
            violation(CHECK_WRITES, "%s %d: token %lld wrote after %lld", key == MASTERSHIP ? "mastership" : "key", key,
                      (long long)written[i].token, (long long)newest[key]);
        else
            newest[key] = written[i].token;
    }
}

static void check_writes(void)
{
    struct it_names names;
    struct written *written;
    int count = 0;

    if (it_zk_children(zk, WRITTEN, &names) != IT_OK)
        return;
    written = calloc((size_t)names.count + 1, sizeof *written);
    for (int i = 0; written && i < names.count; i++) {
        struct written *w = &written[count];
        struct it_stat stat;
        long long token;
        char path[512];

        snprintf(path, sizeof path, WRITTEN "/%s", names.names[i]);
        if (sscanf(names.names[i], "%d-%lld-", &w->key, &token) != 2 || w->key < 0 || w->key > KEYS ||
            it_zk_stat(zk, path, &stat) != IT_OK)
            continue;
        w->token = token;
        w->zxid = stat.czxid;
        count++;
        it_zk_delete(zk, path);
    }
    it_names_free(&names);
    if (written) {
        qsort(written, (size_t)count, sizeof *written, by_zxid);
        check_order(written, count);
    }
    free(written);
}

/* ---- nobody is there ---- */

static bool all_out(void *arg)
{
    (void)arg;
    for (int i = 1; i <= options.nodes; i++)
        if (!node_is_out(i))
            return false;
    return true;
}

static void leave_and_join(void)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            node_tell(i, "leave");
    if (!pump_until(OUT_MS, all_out, NULL))
        violation(CHECK_HANGS, "not all nodes have left after %d s", OUT_MS / 1000);
    check_znodes("everybody has left", options.timeout_ms + 3000, no_znodes);
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            node_tell(i, "join");
}

/* ---- all together ---- */

static void check_at_rest(void)
{
    be_quiet(true);
    if (!pump_until(IDLE_MS, nobody_works, NULL))
        violation(CHECK_HANGS, "somebody still works under a lock after %d s", IDLE_MS / 1000);
    check_znodes("nobody has or wants a lock", 5000, no_lock_znodes);
    claims_check();
    claims_forget();
    members_check();
    nodes_count();
    check_writes();
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            growth_check(i);
}

void settle(bool leave)
{
    end_all_faults();
    if (!converge()) {
        violation(CHECK_REST, "the nodes do not agree");
        members_tell_disagreement();
    }
    check_at_rest();
    if (leave) {
        leave_and_join();
        if (!converge()) {
            violation(CHECK_REST, "the nodes do not agree after all joined again");
            members_tell_disagreement();
        }
    }
    be_quiet(false);
}
