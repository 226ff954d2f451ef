/* Membership: who is there, and nobody twice. */
#include "check.h"
#include "world.h"

#include "base/buf.h"
#include "base/clock.h"
#include "recipe/process.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS WORLD_ROOT "/members"
#define ELSEWHERE "host=there\npid=12\nboot=other\nticks=1\nhandle=1\n"

static void end(void)
{
    world_clean();
    CU_ASSERT_FALSE(world_failed());
    world_end();
}

/* ---- views ---- */

static void test_view(void)
{
    static const char *const names[] = {"b#0000000003", "a#0000000009",  "a#0000000007", "junk",          "#0000000001",
                                        "c#2147483647", "c#-2147483648", "b#0000000002", "x#y#0000000001"};
    struct oz_view view = {0};
    char name[OZ_MEMBER_NAME_SIZE], longest[90];
    const char *const ids[] = {longest, longest + 1};
    struct oz_node node;

    CU_ASSERT_EQUAL(oz_view_parse(&view, names, sizeof names / sizeof *names), 0);
    CU_ASSERT_EQUAL_FATAL(view.count, 4);
    CU_ASSERT_STRING_EQUAL(view.nodes[0].id, "a");
    CU_ASSERT_EQUAL(view.nodes[0].seq, 7);
    CU_ASSERT_EQUAL(view.nodes[1].seq, 2);
    CU_ASSERT_EQUAL(view.nodes[2].seq, INT32_MAX); /* the older one, by a counter that overflowed */
    CU_ASSERT_STRING_EQUAL(view.nodes[3].id, "x#y");
    CU_ASSERT_PTR_EQUAL(oz_view_find(&view, "c"), &view.nodes[2]);
    CU_ASSERT_PTR_NULL(oz_view_find(&view, "bb"));
    oz_node_name(&view.nodes[2], name);
    CU_ASSERT_STRING_EQUAL(name, "c#2147483647");
    oz_view_free(&view);
    CU_ASSERT_PTR_NULL(oz_view_find(&view, "c"));
    node = (struct oz_node){"n", -5};
    oz_node_name(&node, name);
    CU_ASSERT_STRING_EQUAL(name, "n#-000000005");
    CU_ASSERT_EQUAL(oz_incarnation(-1), INT64_C(4294967295));
    memset(longest, 'i', sizeof longest);
    strcpy(longest + 65, "#0000000001");
    CU_ASSERT_EQUAL_FATAL(oz_view_parse(&view, ids, 2), 0);
    CU_ASSERT_EQUAL_FATAL(view.count, 1);
    CU_ASSERT_EQUAL(strlen(view.nodes[0].id), 64);
    oz_view_free(&view);
}

/* ---- joining and leaving ---- */

static void test_join_and_leave(void)
{
    struct world_node *a, *b;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    CU_ASSERT_TRUE(world_said(a, "connecting connected +a#0 ready#0 held master:a"));
    b = world_join("b", ODEZK_ROLE_MEMBER, 2);
    CU_ASSERT_TRUE(world_said(a, "+b#1"));
    CU_ASSERT_TRUE(world_said(b, "connecting connected +a#0 +b#1 master:a ready#1"));
    world_free(b);
    world_pass(100);
    CU_ASSERT_TRUE(world_said(a, "-b#1"));
    b = world_join("b", ODEZK_ROLE_OBSERVER, 2);
    CU_ASSERT_TRUE(world_said(a, "+b#2"));
    CU_ASSERT_EQUAL(a->readies, 1);
    end();
}

/* Watching alone makes nothing, and sees what comes later. */
static void test_client(void)
{
    struct world_node *client, *a;

    world_begin(1);
    client = world_node("auto", ODEZK_ROLE_CLIENT, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    CU_ASSERT_STRING_EQUAL(odezk_cluster_node_id(client->cluster), "");
    world_start(client);
    world_pass(3000);
    CU_ASSERT_TRUE(world_said(client, "connecting connected"));
    CU_ASSERT_FALSE(fake_exists("/ode"));
    a = world_join("a", ODEZK_ROLE_MEMBER, 2);
    CU_ASSERT_TRUE(world_said(client, "+a#0 master:a"));
    world_free(a);
    world_pass(1000);
    CU_ASSERT_EQUAL(client->member_count, 0);
    CU_ASSERT_STRING_EQUAL(client->master, "");
    end();
}

/* One list a change: who was away is told what is different, and not what happened. */
static void test_coalesced(void)
{
    struct world_node *a, *b, *c;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    b = world_join("b", ODEZK_ROLE_MEMBER, 2);
    c = world_join("c", ODEZK_ROLE_MEMBER, 3);
    a->said[0] = '\0';
    fake_cut(1, 2 * OZ_SECOND, false);
    world_free(b);
    b = world_node("b", ODEZK_ROLE_MEMBER, 2);
    world_start(b);
    world_free(c);
    c = world_node("d", ODEZK_ROLE_MEMBER, 3);
    world_start(c);
    world_pass(1000);
    world_free(c);
    world_pass(5000);
    CU_ASSERT_TRUE(world_said(a, "suspended connected *b#3 -c#2"));
    end();
}

/* The whole ensemble was away for longer than the lease, and still knows the sessions: nobody is
 * seen to leave. */
static void test_ensemble_away(void)
{
    struct world_node *a, *b;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    b = world_join("b", ODEZK_ROLE_MEMBER, 2);
    a->said[0] = b->said[0] = '\0';
    fake_cut(1, WORLD_TIMEOUT * 85 / 100 * OZ_MS, false);
    fake_cut(2, WORLD_TIMEOUT * 85 / 100 * OZ_MS, false);
    world_pass(4 * WORLD_TIMEOUT);
    CU_ASSERT_PTR_NULL(strpbrk(a->said, "+-*"));
    CU_ASSERT_PTR_NULL(strpbrk(b->said, "+-*"));
    CU_ASSERT_EQUAL(a->readies + b->readies, 2);
    CU_ASSERT_TRUE(world_is_settled(NULL));
    end();
}

/* The counter of the servers overflows. */
static void test_overflow(void)
{
    struct world_node *a, *b;
    int i;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    fake_set_counter(MEMBERS, INT32_MAX - 1);
    fake_set_counter(WORLD_ROOT "/election", INT32_MAX - 1);
    for (i = 0; i < 4; i++) {
        b = world_join("b", ODEZK_ROLE_MEMBER, 2);
        CU_ASSERT_EQUAL(b->incarnation, INT64_C(2147483646) + i);
        CU_ASSERT_STRING_EQUAL(b->master, "a");
        world_free(b);
    }
    fake_set_counter(MEMBERS, -2);
    for (i = 0; i < 4; i++) {
        b = world_join("b", ODEZK_ROLE_MEMBER, 2);
        world_free(b);
    }
    CU_ASSERT_EQUAL(a->member_count, 1);
    end();
}

/* ---- what foreign hands do ---- */

static void test_removed(void)
{
    struct world_node *a, *b;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    b = world_join("b", ODEZK_ROLE_MEMBER, 2);
    a->said[0] = b->said[0] = '\0';
    CU_ASSERT_TRUE(fake_delete(MEMBERS "/a#0000000000"));
    CU_ASSERT_TRUE(world_wait(world_is_settled, NULL, 10000));
    world_pass(1000);
    CU_ASSERT_EQUAL(a->readies, 2);
    CU_ASSERT_EQUAL(a->incarnation, 2);
    CU_ASSERT_STRING_EQUAL(b->master, "b");
    CU_ASSERT_PTR_NOT_NULL(strstr(a->said, "removed"));
    end();
}

/* The whole directory goes, while a node is away. */
static void test_directory_removed(void)
{
    struct world_node *a;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    fake_cut(1, OZ_SECOND, false);
    world_pass(100);
    CU_ASSERT_TRUE(fake_delete(MEMBERS "/a#0000000000"));
    CU_ASSERT_TRUE(fake_delete(MEMBERS));
    world_pass(2000);
    CU_ASSERT_TRUE(world_wait(world_is_settled, NULL, 10000));
    CU_ASSERT_EQUAL(a->readies, 2);
    end();
}

static void test_forbidden(void)
{
    struct world_node *a;

    world_begin(1);
    fake_set_denied("/ode", OZ_DENIED);
    a = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(a);
    world_pass(1000);
    CU_ASSERT_EQUAL(a->refused, ODEZK_EAUTH);
    CU_ASSERT_TRUE(world_is_closed(a));
    CU_ASSERT_TRUE(world_said(a, "connecting connected refused closed"));
    fake_set_denied(NULL, OZ_OK);
    end();
}

/* A list that fails has set no watch: it has to be repeated. */
static void test_list_fails(void)
{
    struct world_node *a;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    a->said[0] = '\0';
    fake_set_denied(MEMBERS, OZ_FAILED);
    fake_create(MEMBERS "/b#0000000005", ELSEWHERE, fake_foreign_session());
    world_pass(300);
    fake_set_denied(NULL, OZ_OK);
    world_pass(2000);
    CU_ASSERT_TRUE(world_said(a, "+b#5"));
    fake_delete(MEMBERS "/b#0000000005");
    end();
}

/* ---- the id of another ---- */

/* Another process of this machine, which says what a node of it would say. */
static pid_t start_process(char *data, size_t size)
{
    int out[2];
    ssize_t n = -1;
    pid_t pid;

    if (pipe(out) != 0)
        abort();
    pid = fork();
    if (pid == 0) {
        struct oz_buf b = {0};

        oz_process_describe(&b, 1);
        if (write(out[1], oz_buf_str(&b), b.len) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(out[1]);
    n = read(out[0], data, size - 1);
    close(out[0]);
    data[n > 0 ? n : 0] = '\0';
    return pid;
}

static void kill_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_process(void)
{
    struct oz_buf b = {0};
    char data[1000], pid_text[32];
    pid_t pid;

    oz_process_describe(&b, 7);
    CU_ASSERT_EQUAL(oz_process_look(oz_buf_str(&b), 7), OZ_PROCESS_SELF);
    CU_ASSERT_EQUAL(oz_process_look(oz_buf_str(&b), 8), OZ_PROCESS_UNKNOWN);
    CU_ASSERT_EQUAL(oz_process_look(ELSEWHERE, 1), OZ_PROCESS_UNKNOWN);
    CU_ASSERT_EQUAL(oz_process_look("", 1), OZ_PROCESS_UNKNOWN);
    CU_ASSERT_EQUAL(oz_process_look(NULL, 1), OZ_PROCESS_UNKNOWN);
    snprintf(data, sizeof data, "%s", oz_buf_str(&b));
    CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(data, "pid:["));
    *strstr(data, "pid:[") = 'x'; /* the same numbers in another container */
    CU_ASSERT_EQUAL(oz_process_look(data, 7), OZ_PROCESS_UNKNOWN);
    oz_buf_free(&b);
    pid = start_process(data, sizeof data);
    snprintf(pid_text, sizeof pid_text, "pid=%d\n", (int)pid);
    CU_ASSERT_PTR_NOT_NULL(strstr(data, pid_text));
    CU_ASSERT_EQUAL(oz_process_look(data, 1), OZ_PROCESS_OTHER);
    kill(pid, SIGSTOP); /* it lives */
    CU_ASSERT_EQUAL(oz_process_look(data, 1), OZ_PROCESS_OTHER);
    kill_process(pid);
    CU_ASSERT_EQUAL(oz_process_look(data, 1), OZ_PROCESS_UNKNOWN);
}

/* What the kernel says of processes that it still lists. */
static void test_ends(void)
{
#define STAT(state, flags) "7 (a) R 1) " state " 1 7 7 0 -1 " flags " 0 0 0 0 0 0 0 0 20 0 1 0 4711 0\n"
#define STATUS(dumping, own, shared)                                                                                   \
    "Name:\ta\nCoreDumping:\t" dumping "\nSigPnd:\t00000000000" own "\nShdPnd:\t00000000000" shared "\n"
    static const char living[] = STATUS("0", "00000", "00000");

    CU_ASSERT_FALSE(oz_process_ends(STAT("S", "4194304"), living));
    CU_ASSERT_FALSE(oz_process_ends(STAT("T", "4194304"), living)); /* stopped */
    CU_ASSERT_FALSE(oz_process_ends(STAT("S", "4194304"), ""));
    CU_ASSERT_FALSE(oz_process_ends(STAT("S", "4194304"), STATUS("0", "04000", "04000"))); /* SIGTERM */
    CU_ASSERT_TRUE(oz_process_ends(STAT("R", "4194308"), living));                         /* frees its memory */
    CU_ASSERT_TRUE(oz_process_ends(STAT("Z", "4194304"), living));
    CU_ASSERT_TRUE(oz_process_ends(STAT("X", "4194304"), living));
    CU_ASSERT_TRUE(oz_process_ends(STAT("D", "4194304"), STATUS("1", "00000", "00000")));
    CU_ASSERT_TRUE(oz_process_ends(STAT("D", "4194304"), STATUS("0", "00100", "00000"))); /* SIGKILL */
    CU_ASSERT_TRUE(oz_process_ends(STAT("D", "4194304"), STATUS("0", "00000", "00100")));
    CU_ASSERT_TRUE(oz_process_ends("", living));
    CU_ASSERT_TRUE(oz_process_ends("7 (a) S 1", living));
#undef STAT
#undef STATUS
}

/* A first process of a container without a /proc of its own: what /proc/1 says is of another process. */
static void test_foreign_proc(void)
{
    char data[1000];
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (unshare(CLONE_NEWPID) != 0)
            _exit(2); /* not allowed here */
        pid = start_process(data, sizeof data);
        kill_process(pid);
        _exit(strstr(data, "pid=1\n") && !strstr(data, "ticks=") ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_NOT_EQUAL(status, 1 << 8);
    CU_ASSERT_TRUE(WIFEXITED(status));
}

/* Its process is there, but may be about to end; that it writes shows that it lives. */
static void test_duplicate_here(void)
{
    char data[1000], pid_text[32];
    struct world_node *a;
    pid_t pid = start_process(data, sizeof data);

    world_begin(1);
    fake_create(MEMBERS "/a#0000000000", data, fake_foreign_session());
    a = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(a);
    world_pass(3000);
    CU_ASSERT_EQUAL(a->refused, 0);
    fake_set(MEMBERS "/a#0000000000", data);
    world_pass(100);
    CU_ASSERT_EQUAL(a->refused, ODEZK_EDUPLICATE);
    snprintf(pid_text, sizeof pid_text, "pid %d", (int)pid);
    CU_ASSERT_PTR_NOT_NULL(strstr(a->refusal, pid_text));
    CU_ASSERT_PTR_NOT_NULL(strstr(a->refusal, "host "));
    CU_ASSERT_EQUAL(fake_count(MEMBERS), 1);
    CU_ASSERT_EQUAL(odezk_cluster_start(a->cluster), ODEZK_EDUPLICATE);
    CU_ASSERT_TRUE(world_is_closed(a));
    fake_delete(MEMBERS "/a#0000000000");
    end();
    kill_process(pid);
}

/* Its process is dead: its session is waited for. */
static void test_previous_process_here(void)
{
    char data[1000];
    struct world_node *a;
    int64_t former;

    kill_process(start_process(data, sizeof data));
    world_begin(1);
    former = fake_foreign_session();
    fake_create(MEMBERS "/a#0000000000", data, former);
    a = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(a);
    world_pass(10000);
    CU_ASSERT_EQUAL(a->refused, 0);
    CU_ASSERT_TRUE(world_said(a, "connecting connected +a#0"));
    fake_end_session(former);
    world_pass(100);
    CU_ASSERT_TRUE(world_said(a, "*a#1 ready#1 held master:a"));
    end();
}

/* Another machine's node shows that it lives by writing. One write may have been under way when it
 * died. */
static void test_duplicate_elsewhere(void)
{
    struct world_node *a;

    world_begin(1);
    fake_create(MEMBERS "/a#0000000000", ELSEWHERE, fake_foreign_session());
    a = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(a);
    world_pass(3000);
    fake_set(MEMBERS "/a#0000000000", ELSEWHERE);
    world_pass(3000);
    CU_ASSERT_EQUAL(a->refused, 0);
    fake_set(MEMBERS "/a#0000000000", ELSEWHERE);
    world_pass(100);
    CU_ASSERT_EQUAL(a->refused, ODEZK_EDUPLICATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(a->refusal, "host there, pid 12"));
    fake_delete(MEMBERS "/a#0000000000");
    end();
}

/* Its znode cannot be read for a while. */
static void test_duplicate_unread(void)
{
    struct world_node *a;

    world_begin(1);
    fake_create(MEMBERS "/a#0000000000", ELSEWHERE, fake_foreign_session());
    fake_set_denied(MEMBERS "/a#0000000000", OZ_FAILED);
    a = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(a);
    world_pass(1000);
    fake_set_denied(NULL, OZ_OK);
    world_pass(3000);
    fake_set(MEMBERS "/a#0000000000", ELSEWHERE);
    world_pass(3000);
    CU_ASSERT_EQUAL(a->refused, 0);
    fake_set(MEMBERS "/a#0000000000", ELSEWHERE);
    world_pass(100);
    CU_ASSERT_EQUAL(a->refused, ODEZK_EDUPLICATE);
    fake_delete(MEMBERS "/a#0000000000");
    end();
}

/* Two lives before us: the oldest is the live one, then the next. */
static void test_two_previous_processes(void)
{
    struct world_node *a;
    int64_t first, second;

    world_begin(1);
    first = fake_foreign_session();
    second = fake_foreign_session();
    fake_create(MEMBERS "/a#0000000000", ELSEWHERE, first);
    fake_create(MEMBERS "/a#0000000001", ELSEWHERE, second);
    a = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(a);
    world_pass(1000);
    fake_end_session(first);
    world_pass(1000);
    CU_ASSERT_EQUAL(a->readies, 0);
    fake_end_session(second);
    world_pass(1000);
    CU_ASSERT_EQUAL(a->readies, 1);
    CU_ASSERT_TRUE(world_said(a, "connecting connected +a#0 *a#1 *a#2 ready#2 held master:a"));
    end();
}

/* A handle that was closed while no server heard of it. */
static void test_closed_unheard(void)
{
    struct world_node *a;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    world_pass(2000);
    fake_cut(1, OZ_NEVER, false);
    world_begin_close(a);
    world_pass(1000);
    CU_ASSERT_TRUE(world_is_closed(a));
    world_free(a);
    a = world_node("a", ODEZK_ROLE_MEMBER, 2);
    world_start(a);
    CU_ASSERT_TRUE(world_wait(world_is_ready, a, 2 * WORLD_TIMEOUT));
    CU_ASSERT_EQUAL(a->refused, 0);
    end();
}

/* A session that we gave up ourselves, and whose end did not reach the servers. */
static void test_own_former_session(void)
{
    struct world_node *a;

    world_begin(1);
    a = world_join("a", ODEZK_ROLE_MEMBER, 1);
    fake_set_lost_close(true);
    oz_session_fail(a->cluster->session, "a test");
    world_pass(1000);
    fake_set_lost_close(false);
    CU_ASSERT_EQUAL(a->readies, 1);
    CU_ASSERT_EQUAL(fake_count(MEMBERS), 2);
    CU_ASSERT_TRUE(world_wait(world_is_settled, NULL, 3 * WORLD_TIMEOUT));
    CU_ASSERT_EQUAL(a->readies, 2);
    CU_ASSERT_EQUAL(a->refused, 0);
    end();
}

/* ---- under every fault ---- */

/* Three nodes join; one leaves, one dies, both come again. */
static void scenario(void)
{
    struct world_node *a = world_join("a", ODEZK_ROLE_MEMBER, 1), *b = world_join("b", ODEZK_ROLE_OBSERVER, 2);
    struct world_node *c = world_join("c", ODEZK_ROLE_CLIENT, 3);

    if (world_failed())
        return;
    world_free(b);
    b = world_join("b", ODEZK_ROLE_MEMBER, 4);
    world_crash(a);
    world_pass(500);
    a = world_join("a", ODEZK_ROLE_MEMBER, 5);
    world_free(c);
    world_free(b);
    if (!world_wait(world_is_settled, NULL, 20 * WORLD_TIMEOUT))
        world_explain();
    world_free(a);
}

static void test_faults(void)
{
    world_sweep_faults("membership", scenario);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

static void test_memory(void)
{
    world_sweep_memory("membership", scenario);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"views", test_view},
        {"join and leave", test_join_and_leave},
        {"a client", test_client},
        {"changes while one was away", test_coalesced},
        {"the whole ensemble was away", test_ensemble_away},
        {"a counter that overflows", test_overflow},
        {"removed by a foreign hand", test_removed},
        {"the directory removed", test_directory_removed},
        {"forbidden", test_forbidden},
        {"a list that fails", test_list_fails},
        {"which process it is", test_process},
        {"whether a process is about to end", test_ends},
        {"a container with a foreign /proc", test_foreign_proc},
        {"a duplicate on this machine", test_duplicate_here},
        {"a previous process on this machine", test_previous_process_here},
        {"a duplicate elsewhere", test_duplicate_elsewhere},
        {"a duplicate that cannot be read", test_duplicate_unread},
        {"two previous processes", test_two_previous_processes},
        {"closed, and no server heard of it", test_closed_unheard},
        {"an own former session", test_own_former_session},
        {"every fault at every request", test_faults},
        {"every allocation fails", test_memory},
    };
    int rc;

    world_open();
    rc = CHECK_RUN("membership", checks, argc, argv);
    world_close();
    return rc;
}
