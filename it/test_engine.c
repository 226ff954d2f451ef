/* The reference engine: each job is run once, whoever dies meanwhile. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 3 };

/* ---- the engine's files and processes ---- */

static char dir[64], db[96];
static struct it_process *nodes[NODES];

static void remove_files(void)
{
    static const char *const names[] = {"ode-axis2.properties", "jobs", "jobs-wal", "jobs-shm", "jobs-journal"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    CHECK(rmdir(dir) == 0);
}

/* The engine has no option for the base: it gets a configuration. */
static bool make_files(void)
{
    char path[128];

    snprintf(dir, sizeof dir, "/tmp/odezk-engine.XXXXXX");
    if (!mkdtemp(dir))
        return false;
    snprintf(db, sizeof db, "%s/jobs", dir);
    snprintf(path, sizeof path, "%s/ode-axis2.properties", dir);
    FILE *file = fopen(path, "we");
    if (!file)
        return false;
    fprintf(file, "ode-axis2.clustering.zookeeper.base=%s\node-axis2.clustering.zookeeper.cluster=c\n", it_base());
    return fclose(file) == 0;
}

static bool start_node(int i)
{
    char id[16], timeout[16];

    snprintf(id, sizeof id, "n%d", i);
    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    nodes[i] = it_start("examples/engine/engine", "node", "--db", db, "--config", dir, "--servers", it_servers(),
                        "--id", id, "--session-timeout", timeout, NULL);
    return it_expect(nodes[i]->log, 10000, "*: joined as incarnation *") != NULL;
}

/* The first one is master before there is another. */
static bool start_nodes(int timeout_ms)
{
    it_set_timeout(timeout_ms);
    for (int i = 0; i < NODES; i++)
        if (!start_node(i) || (i == 0 && !it_expect(nodes[0]->log, 5000, "*: is master, *")))
            return false;
    return true;
}

static int submit_to(const char *ids, const char *jobs, const char *spread_ms)
{
    struct it_process *process = it_start("examples/engine/engine", "submit", "--db", db, "--jobs", jobs, "--nodes",
                                          ids, "--instances", "10", "--spread", spread_ms, "--work", "2", NULL);

    return it_exit(process, 10000);
}

static bool submit(const char *jobs, const char *spread_ms)
{
    return submit_to("n0,n1,n2", jobs, spread_ms) == 0;
}

static bool verify(const char *wait_ms, int expected)
{
    struct it_process *process = it_start("examples/engine/engine", "verify", "--db", db, "--wait", wait_ms, NULL);
    int code = it_exit(process, 120000);

    if (code != expected)
        it_log_print(process->log, "the verdict");
    return code == expected;
}

static bool stop_nodes(void)
{
    bool good = true;

    for (int i = 0; i < NODES; i++)
        it_signal(nodes[i], SIGTERM);
    for (int i = 0; i < NODES; i++)
        if (nodes[i]->pid)
            good = it_exit(nodes[i], 10000) == 0 && good;
    return good;
}

static bool kill_node(int i)
{
    it_signal(nodes[i], SIGKILL);
    return it_exit(nodes[i], 5000) == 128 + SIGKILL;
}

/* ---- tests ---- */

static void each_once(void)
{
    NEED(make_files());
    if (start_nodes(IT_LONG) && submit("120", "1000")) {
        CHECK(verify("30000", 0));
        CHECK(stop_nodes());
    } else {
        CU_FAIL("the nodes do not work");
    }
    remove_files();
}

static void verify_tells_what_is_missing(void)
{
    NEED(make_files());
    CHECK(submit("5", "0"));
    CHECK(verify("100", 1));
    remove_files();
}

static void killed_master(void)
{
    NEED(make_files());
    if (start_nodes(IT_STEADY) && submit("400", "4000")) {
        it_pass(1000);
        CHECK(kill_node(0));
        CHECK(it_expect(nodes[1]->log, it_timeout() + 5000, "*: is master, *") != NULL);
        CHECK(verify("60000", 0));
        CHECK(it_count(nodes[1]->log, "*: took over *") > 0);
        CHECK(stop_nodes());
    } else {
        CU_FAIL("the nodes do not work");
    }
    remove_files();
}

/* One dies and is started again at once, over and over. */
static void restarted_nodes(void)
{
    NEED(make_files());
    bool good = start_nodes(IT_SHORT) && submit("600", "6000");
    for (int i = 0; i < 4 && good; i++) {
        it_pass(800);
        good = kill_node(i % NODES) && start_node(i % NODES);
    }
    CHECK(good);
    CHECK(verify("60000", 0));
    CHECK(stop_nodes());
    remove_files();
}

/* Stopped for longer than its session lives: others run its jobs, and it does not when it goes on.
 */
static void stopped_node(void)
{
    NEED(make_files());
    bool good = start_nodes(IT_SHORT) && submit("600", "6000");
    for (int i = 0; i < 2 && good; i++) {
        it_pass(500);
        it_signal(nodes[i], SIGSTOP);
        good = it_expect(nodes[2]->log, it_timeout() + 5000, "*: n? left") != NULL;
        it_signal(nodes[i], SIGCONT);
    }
    CHECK(good);
    CHECK(verify("60000", 0));
    CHECK(stop_nodes());
    remove_files();
}

static void all_die(void)
{
    NEED(make_files());
    bool good = start_nodes(IT_SHORT) && submit("300", "3000");
    it_pass(500);
    for (int i = 0; i < NODES; i++)
        good = kill_node(i) && good;
    /* Only two of them come back. */
    for (int i = 1; i < NODES && good; i++)
        good = start_node(i);
    CHECK(good);
    CHECK(verify("60000", 0));
    CHECK(stop_nodes());
    remove_files();
}

static void restarted_servers(void)
{
    NEED(make_files());
    bool good = start_nodes(IT_SHORT) && submit("300", "3000");
    it_pass(300);
    good = good && it_all_servers("stop") && it_all_servers("start");
    CHECK(good);
    CHECK(verify("60000", 0));
    CHECK(stop_nodes());
    remove_files();
}

static void submit_wants_ids(void)
{
    NEED(make_files());
    CHECK(submit_to("", "3", "0") == 2);
    CHECK(submit_to("n0,", "3", "0") == 2);
    CHECK(submit_to(",n0", "3", "0") == 2);
    CHECK(submit_to("n0,,n1", "3", "0") == 2);
    CHECK(submit_to("n0", "3", "0") == 0);
    remove_files();
}

static const struct it_test tests[] = {{"each once", each_once, 0},
                                       {"submit wants ids", submit_wants_ids, 0},
                                       {"verify tells what is missing", verify_tells_what_is_missing, 0},
                                       {"killed master", killed_master, IT_FAULTS},
                                       {"restarted nodes", restarted_nodes, IT_FAULTS},
                                       {"stopped node", stopped_node, IT_FAULTS},
                                       {"all die", all_die, IT_FAULTS},
                                       {"restarted servers", restarted_servers, IT_FAULTS},
                                       {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "engine", tests);
}
