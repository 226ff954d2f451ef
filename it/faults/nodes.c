#include "faults.h"

#include <limits.h>
#include <odezk/odezk.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a running process may not ask whether it is master. */
#define SILENCE (10000 * NS_PER_MS)
#define LATE (1000 * NS_PER_MS)

struct node nodes[NODES_MAX + 1];

/* Of all processes. */
static struct {
    uint64_t count, late;
    int64_t slowest;
} totals[CALLS];
static uint64_t answers, grants, writes, refused_writes;

/* ---- disturbing ---- */

void node_disturb(int node)
{
    nodes[node].busy = true;
    nodes[node].calm_since = INT64_MAX;
}

void node_calm(int node)
{
    nodes[node].busy = false;
    nodes[node].calm_since = record_now();
}

/* ---- processes ---- */

void node_start(int node)
{
    struct node *n = &nodes[node];
    char path[PATH_MAX + 64], log[PATH_MAX + 64], id[8], timeout[16];
    const char *helper = options.no_helper ? "false" : "true";
    const char *argv[] = {path, id, link_servers(node), timeout, helper, NULL};
    int fd;

    n->number = node;
    n->life++;
    snprintf(path, sizeof path, "%s", program("it/faults/node"));
    snprintf(log, sizeof log, "%s/n%d.%d.log", options.logs ? options.logs : "", node, n->life);
    snprintf(id, sizeof id, "n%d", node);
    snprintf(timeout, sizeof timeout, "%d", options.timeout_ms);
    n->record = record_make(&fd);
    if (!n->record)
        give_up("no memory for the records of a node");
    n->record->steady = options.scenario != NULL;
    n->stopped = n->leaves = n->helpless = false;
    members_forget(node, 0);
    n->count = (struct count){0};
    n->growth = (struct growth){0};
    child_start(&n->child, argv, false, fd, options.logs ? log : NULL);
    close(fd);
}

void node_stop(int node)
{
    kill(nodes[node].child.pid, SIGSTOP);
    nodes[node].stopped = true;
}

void node_continue(int node)
{
    if (nodes[node].child.pid > 0)
        kill(nodes[node].child.pid, SIGCONT);
    nodes[node].stopped = false;
}

void node_tell(int node, const char *order)
{
    struct node *n = &nodes[node];

    if (strcmp(order, "leave") == 0) {
        n->leaves = true;
        members_left(node);
    } else if (strcmp(order, "join") == 0) {
        n->leaves = false;
    }
    child_tell(&n->child, order);
}

bool node_is_out(int node)
{
    return !nodes[node].record || nodes[node].record->phase == PHASE_OUT;
}

/* ---- what they recorded ---- */

static void take_records(struct node *n, bool all)
{
    struct claim claim;
    struct event event;

    while (event_take(n->record, &event))
        members_event(n->number, &event);
    for (int i = 0; i < 1 + WORKERS; i++) {
        while (claim_take(&n->record->claims[i], &claim))
            claims_add(&claim, n->number, n->life);
        if (all && claim_peek(&n->record->claims[i], &claim))
            claims_add(&claim, n->number, n->life);
    }
}

static void count_calls(struct node *n)
{
    struct record *r = n->record;

    for (int i = 0; i < CALLS; i++) {
        uint64_t late = r->calls[i].late;

        if (late > n->count.late[i])
            violation(CHECK_HANGS, "n%d: %s came back more than a second late, %d times, at most after %.1f s",
                      n->number, call_name((enum call)i), (int)(late - n->count.late[i]),
                      (double)r->calls[i].slowest / 1e9);
        n->count.late[i] = late;
    }
    for (int i = 0; i < ERRORS; i++) {
        uint64_t errors = r->errors[i];

        if (errors > n->count.errors[i])
            violation(CHECK_ERRORS, "n%d: %s, %d times", n->number, odezk_errname(-i),
                      (int)(errors - n->count.errors[i]));
        n->count.errors[i] = errors;
    }
}

void nodes_count(void)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            count_calls(&nodes[i]);
}

static void add_totals(const struct record *r)
{
    for (int i = 0; i < CALLS; i++) {
        totals[i].count += r->calls[i].count;
        totals[i].late += r->calls[i].late;
        if (r->calls[i].slowest > totals[i].slowest)
            totals[i].slowest = r->calls[i].slowest;
    }
    answers += r->answers;
    grants += r->grants;
    writes += r->writes;
    refused_writes += r->refused_writes;
}

void node_kill(int node)
{
    struct node *n = &nodes[node];
    int64_t epoch, now = record_now();

    if (!n->record)
        return;
    if (claiming_master(&epoch) == node && !n->helpless)
        handover_begin("kill", now, epoch);
    members_killed(node, now);
    child_kill(&n->child);
    take_records(n, true);
    count_calls(n);
    add_totals(n->record);
    record_free(n->record);
    n->record = NULL;
    n->stopped = false;
    members_forget(node, 0);
}

/* ---- hangs ---- */

static void look_for_hangs(struct node *n)
{
    int64_t now = record_now(), beat = n->record->beat;

    if (n->stopped || !beat)
        return;
    if (now - beat > SILENCE && !n->count.silent) {
        n->count.silent = true;
        violation(CHECK_HANGS, "n%d has not asked whether it is master for %.1f s", n->number,
                  (double)(now - beat) / 1e9);
    }
    for (int i = 0; i < CALLERS; i++) {
        const struct caller *c = &n->record->callers[i];
        int64_t since = c->since;

        if (call_behind(n->record, i) <= LATE || since == n->count.hanging[i] || since != c->since)
            continue;
        n->count.hanging[i] = since;
        violation(CHECK_HANGS, "n%d: %s does not come back", n->number, call_name((enum call)c->call));
    }
}

void nodes_turn(void)
{
    for (int i = 1; i <= options.nodes; i++) {
        struct node *n = &nodes[i];

        if (!n->record)
            continue;
        take_records(n, false);
        look_for_hangs(n);
        if (n->child.pid > 0 && child_wait(&n->child, 0))
            give_up("n%d ended by itself", i);
    }
}

int claiming_master(int64_t *epoch)
{
    struct claim claim;

    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record && claim_peek(&nodes[i].record->claims[0], &claim) &&
            (nodes[i].stopped || record_now() - claim.last_after < 100 * NS_PER_MS)) {
            *epoch = claim.token;
            return i;
        }
    return 0;
}

/* ---- the end ---- */

void nodes_report(void)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            add_totals(nodes[i].record);
    printf("work: %llu times asked whether master, %llu lock grants, %llu guarded writes done, "
           "%llu refused\n",
           (unsigned long long)answers, (unsigned long long)grants, (unsigned long long)writes,
           (unsigned long long)refused_writes);
    printf("calls:\n");
    for (int i = 0; i < CALLS; i++)
        printf("  %-16s %10llu times, longest %8.1f ms\n", call_name((enum call)i), (unsigned long long)totals[i].count,
               (double)totals[i].slowest / 1e6);
}
