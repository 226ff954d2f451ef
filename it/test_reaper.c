/* The crash-fast leave: who is killed is gone at once, and who lives is left alone. */
#include "harness.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READY_MS = 20000, KILLS = 50, KILLS_SILENT = 20, RSS_MAX_KB = 1536 };

/* ---- helpers, as /proc shows them ---- */

static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    return length > 0;
}

/* The number behind a name at the start of a line; -1 when there is none. */
static long proc_number(pid_t pid, const char *name, const char *key)
{
    char text[4096], wanted[64];

    snprintf(wanted, sizeof wanted, "\n%s", key);
    if (!read_proc(pid, name, text, sizeof text))
        return -1;
    const char *line = strstr(text, wanted);
    return line ? strtol(line + strlen(wanted), NULL, 10) : -1;
}

static bool is_helper_of(pid_t pid, pid_t parent)
{
    char name[64];

    return read_proc(pid, "comm", name, sizeof name) && strcmp(name, "odezk-reaper\n") == 0 &&
           proc_number(pid, "fdinfo/1", "Pid:") == parent;
}

struct helper {
    pid_t parent, pid;
};

/* The pidfd that it has tells whose helper it is. */
static bool look_for_helper(void *arg)
{
    struct helper *helper = arg;
    DIR *dir = opendir("/proc");
    struct dirent *entry;

    helper->pid = 0;
    while (dir && helper->pid == 0 && (entry = readdir(dir)) != NULL) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && is_helper_of(pid, helper->parent))
            helper->pid = pid;
    }
    if (dir)
        closedir(dir);
    return helper->pid > 0;
}

static pid_t helper_of(const struct it_process *process)
{
    struct helper helper = {.parent = process->pid};

    it_until(5000, look_for_helper, &helper);
    return helper.pid;
}

/* Gone, or only waiting to be waited for. */
static bool is_gone(void *arg)
{
    char text[512];
    const char *state;

    if (!read_proc(*(pid_t *)arg, "stat", text, sizeof text))
        return true;
    state = strrchr(text, ')');
    return state && (state[2] == 'Z' || state[2] == 'X');
}

/* ---- victims ---- */

/* With the helper of this build, unless the setting is another. */
static struct it_process *start_victim(const char *mode, const char *setting, const char *value)
{
    char timeout[16], helper[4096];

    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    snprintf(helper, sizeof helper, "%s", it_program("odezk-reaper"));
    return it_start("it/victim", it_servers(), it_base(), timeout, "v", mode, "crash-leave-helper", helper, setting,
                    value, NULL);
}

static struct it_log *watch(void)
{
    odezk_cluster *watcher = it_join(ODEZK_ROLE_CLIENT, NULL);

    return it_events(watcher);
}

static bool joined(struct it_process *victim, struct it_log *log)
{
    return it_expect(victim->log, it_ms(READY_MS), "ready") && it_expect(log, 5000, "member joined v *");
}

/* How long it took until the others were told, in milliseconds; -1: longer than `most`. */
static int64_t time_to_leave(struct it_log *log, int most)
{
    int64_t before = it_now_ms();

    return it_expect(log, most, "member left v *") ? it_now_ms() - before : -1;
}

static int64_t kill_victim(struct it_process *victim, struct it_log *log)
{
    it_signal(victim, SIGKILL);
    return time_to_leave(log, 2 * it_timeout());
}

/* A session that nobody ended lives for at least two thirds of its timeout, less what the machine stood still; one that
 * the helper ended, for milliseconds and what the machine stands still. */
static bool at_once(int64_t ms)
{
    return ms >= 0 && ms < it_timeout() / 2;
}

static bool by_timeout(int64_t ms)
{
    return ms > it_timeout() / 4;
}

/* ---- noticed at once ---- */

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void tell_times(int64_t *times, int count)
{
    qsort(times, (size_t)count, sizeof *times, compare_times);
    it_note("SIGKILL to \"left\", %d times: p50 %lld ms, p99 %lld ms (session timeout %d ms)", count,
            (long long)times[count / 2], (long long)times[(count * 99 - 1) / 100], it_timeout());
}

static void killed(void)
{
    struct it_log *log = watch();
    int64_t times[KILLS];

    for (int i = 0; i < KILLS; i++) {
        struct it_process *victim = start_victim("plain", NULL, NULL);
        NEED(joined(victim, log));
        NEED(helper_of(victim) > 0);
        times[i] = kill_victim(victim, log);
        NEED(at_once(times[i]));
    }
    tell_times(times, KILLS);
    CHECK(it_count(log, "member left v *") == KILLS);
    CHECK(it_count(log, "member restarted v *") == 0);
}

/* One of the servers does not answer: another is asked soon. The watcher and the victim are at the
 * leader. */
static void killed_beside_a_silent_server(void)
{
    int64_t times[KILLS_SILENT];
    char leader[64];
    int silent = 0;

    for (int i = 1; i <= it_server_count(); i++) {
        if (it_leads(i))
            snprintf(leader, sizeof leader, "%s:%d", it_server_address(i), it_server_port(i));
        else
            silent = i;
    }
    odezk_config *config = it_config(NULL, "servers", leader, NULL);
    odezk_cluster *watcher = it_new(ODEZK_ROLE_CLIENT, config);
    struct it_log *log = it_events(watcher);
    odezk_config_free(config);
    NEED(odezk_cluster_join(watcher, it_ms(READY_MS)) == ODEZK_OK);
    for (int i = 0; i < KILLS_SILENT; i++) {
        struct it_process *victim = start_victim("plain", NULL, NULL);
        NEED(joined(victim, log));
        NEED(helper_of(victim) > 0);
        NEED(it_server("pause", silent));
        times[i] = kill_victim(victim, log);
        NEED(it_server("cont", silent));
        NEED(at_once(times[i]));
    }
    tell_times(times, KILLS_SILENT);
}

static void ends_without_closing(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);

    NEED(joined(victim, log));
    it_signal(victim, SIGHUP);
    CHECK(at_once(time_to_leave(log, 2 * it_timeout())));
    CHECK(it_exit(victim, 5000) == 0);
}

static void killed_in_its_second_session(void)
{
    struct it_log *log = watch();
    struct it_process *node = it_node("v", NULL);

    NEED(it_expect(node->log, it_ms(READY_MS), "ready *"));
    NEED(it_expect(log, 5000, "member joined v *"));
    const char *path = it_zk_find(it_path("members"), "v#*");
    struct it_stat stat;
    NEED(path && it_zk_stat(it_zk(), path, &stat) == IT_OK);
    NEED(it_zk_expire(stat.owner));
    NEED(it_expect(node->log, 5000, "session connected 2"));
    NEED(it_expect(node->log, 5000, "ready *"));
    NEED(it_expect(log, 5000, "member [jr]* v *"));
    it_signal(node, SIGKILL);
    CHECK(at_once(time_to_leave(log, 2 * it_timeout())));
}

static void restarts_without_waiting(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);

    NEED(joined(victim, log));
    it_signal(victim, SIGKILL);
    int64_t before = it_running_ms();
    NEED(it_expect(start_victim("plain", NULL, NULL)->log, it_ms(READY_MS), "ready"));
    CHECK(it_running_ms() - before < it_timeout() / 2);
}

/* A lock that a tool held: of a client, with a child process and a guard beside it. */
static void lock_of_a_killed_command(void)
{
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL;
    char timeout[16];

    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    struct it_process *tool =
        it_start("odezk", "exec", "--servers", it_servers(), "--base", it_base(), "--cluster", "c", "--session-timeout",
                 timeout, "--lock", "k", "--", "sh", "-c", "echo held; exec sleep 1000", NULL);
    NEED(it_expect(tool->log, it_ms(READY_MS), "held"));
    NEED(odezk_lock_acquire(client, "default", "k", 0, &lock) == ODEZK_EBUSY);
    NEED(helper_of(tool) > 0);
    it_signal(tool, SIGKILL);
    CHECK(odezk_lock_acquire(client, "default", "k", it_timeout() / 2, &lock) == ODEZK_OK);
    odezk_lock_free(lock);
}

/* ---- the living are left alone ---- */

static void stopped(void)
{
    struct it_log *log = watch();
    struct it_process *node = it_node("v", NULL);
    pid_t helper;

    NEED(it_expect(node->log, it_ms(READY_MS), "ready *"));
    NEED(it_expect(log, 5000, "member joined v *"));
    helper = helper_of(node);
    NEED(helper > 0);
    it_signal(node, SIGSTOP);
    CHECK(!it_until(2000, is_gone, &helper));
    CHECK(it_count(log, "member left v *") == 0);
    it_signal(node, SIGCONT);
    CHECK(!it_until(500, is_gone, &helper));
    CHECK(it_count(log, "member left v *") == 0);
    CHECK(it_count(node->log, "session *") == it_count(node->log, "session connect* [01]"));
    it_signal(node, SIGKILL);
    CHECK(at_once(time_to_leave(log, 2 * it_timeout())));
}

static pid_t child_of(const struct it_process *victim)
{
    return (pid_t)it_number(it_last(victim->log, "child *"));
}

static void forked_child_lives_on(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("fork", NULL, NULL);

    NEED(joined(victim, log));
    pid_t child = child_of(victim);
    NEED(child > 0);
    CHECK(at_once(kill_victim(victim, log)));
    CHECK(!is_gone(&child));
    kill(child, SIGKILL);
}

static bool has_left(void *arg)
{
    return it_count(arg, "member left v *") > 0;
}

/* One that the library could not hear of has its end of the socket: there is no proof before it is
 * gone too. */
static void cloned_child_lives_on(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("clone", NULL, NULL);

    NEED(joined(victim, log));
    pid_t child = child_of(victim);
    NEED(child > 0);
    it_signal(victim, SIGKILL);
    CHECK(!it_until(500, has_left, log));
    kill(child, SIGKILL);
    CHECK(at_once(time_to_leave(log, 2 * it_timeout())));
}

/* The process is there, but not what held the session: that ends by its timeout. */
static void becomes_another_program(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("exec", NULL, NULL);

    NEED(it_expect(victim->log, it_ms(READY_MS), "idle"));
    int64_t gone = it_now_ms();
    NEED(it_expect(log, 5000, "member joined v *"));
    pid_t helper = helper_of(victim);
    NEED(helper > 0);
    NEED(time_to_leave(log, 3 * it_timeout()) >= 0);
    CHECK(by_timeout(it_now_ms() - gone));
    CHECK(it_until(4 * it_timeout(), is_gone, &helper));
    CHECK(it_exit(victim, 0) == -1);
}

/* ---- without a helper, or with one that comes late ---- */

static void helper_killed(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);

    NEED(joined(victim, log));
    pid_t helper = helper_of(victim);
    NEED(helper > 0);
    kill(helper, SIGKILL);
    CHECK(!it_until(500, has_left, log));
    CHECK(by_timeout(kill_victim(victim, log)));
}

static void both_killed(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);

    NEED(joined(victim, log));
    pid_t helper = helper_of(victim);
    NEED(helper > 0);
    kill(helper, SIGSTOP); /* so that it cannot be faster than we are */
    it_signal(victim, SIGKILL);
    kill(helper, SIGKILL);
    CHECK(by_timeout(time_to_leave(log, 3 * it_timeout())));
    CHECK(it_count(log, "member left v *") == 1);
}

/* When it acts at last, the node has begun another life, which is not the helper's business. */
static void late_helper(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);

    NEED(joined(victim, log));
    pid_t helper = helper_of(victim);
    NEED(helper > 0);
    kill(helper, SIGSTOP);
    it_signal(victim, SIGKILL);
    struct it_process *second = it_node("v", NULL);
    NEED(it_expect(second->log, 2 * it_timeout() + it_ms(READY_MS), "ready *"));
    kill(helper, SIGCONT);
    CHECK(it_until(10000, is_gone, &helper));
    CHECK(!it_until(500, is_gone, &second->pid));
    CHECK(it_count(second->log, "session *") == it_count(second->log, "session connect* [01]"));
    CHECK(it_zk_count(it_path("members"), "v#*") == 1);
}

static void switched_off(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", "crash-leave", "false");
    struct helper helper;

    NEED(joined(victim, log));
    helper.parent = victim->pid;
    CHECK(!it_until(500, look_for_helper, &helper));
    CHECK(by_timeout(kill_victim(victim, log)));
}

static void no_such_helper(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", "crash-leave-helper", "/nowhere/odezk-reaper");

    NEED(joined(victim, log));
    CHECK(by_timeout(kill_victim(victim, log)));
}

/* It would get a child that it does not know of. */
static void adopts_orphans(void)
{
    it_set_timeout(IT_STEADY);
    struct it_log *log = watch();
    struct it_process *victim = start_victim("adopt", NULL, NULL);
    struct helper helper;

    NEED(joined(victim, log));
    helper.parent = victim->pid;
    CHECK(!it_until(500, look_for_helper, &helper));
    it_signal(victim, SIGUSR1);
    CHECK(it_expect(victim->log, 5000, "*child") != NULL);
    CHECK(it_last(victim->log, "no child") != NULL);
    CHECK(by_timeout(kill_victim(victim, log)));
}

/* ---- what it is, and that it leaves ---- */

static void leaves_with_its_node(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);
    pid_t helper;

    NEED(joined(victim, log));
    helper = helper_of(victim);
    NEED(helper > 0);
    it_signal(victim, SIGTERM);
    CHECK(it_exit(victim, 5000) == 0);
    CHECK(it_until(5000, is_gone, &helper));
}

static void leaves_with_its_handle(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);
    pid_t helper;

    NEED(joined(victim, log));
    helper = helper_of(victim);
    NEED(helper > 0);
    it_signal(victim, SIGUSR2);
    NEED(it_expect(victim->log, 5000, "closed"));
    CHECK(it_until(5000, is_gone, &helper));
}

static int count_descriptors(pid_t pid)
{
    char path[64];
    struct dirent *entry;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static bool has_only_its_own(void *arg)
{
    return count_descriptors(*(pid_t *)arg) == 2;
}

static void check_secrets(pid_t helper)
{
    char text[8192];

    NEED(read_proc(helper, "cmdline", text, sizeof text));
    CHECK(strlen(text) > strlen("odezk-reaper"));
    CHECK(strcmp(strrchr(text, '/') ? strrchr(text, '/') : text, "/odezk-reaper") == 0);
    CHECK(text[strlen(text) + 1] == '\0');
    /* Where the libraries are is all that may be in it. */
    if (read_proc(helper, "environ", text, sizeof text)) {
        CHECK(strncmp(text, "LD_LIBRARY_PATH=", 16) == 0);
        CHECK(text[strlen(text) + 1] == '\0');
    }
    NEED(read_proc(helper, "limits", text, sizeof text));
    const char *core = strstr(text, "Max core file size");
    CHECK(core && strtol(core + strlen("Max core file size"), NULL, 10) == 0);
}

static void small_and_alone(void)
{
    struct it_log *log = watch();
    struct it_process *victim = start_victim("plain", NULL, NULL);

    NEED(joined(victim, log));
    pid_t helper = helper_of(victim);
    NEED(helper > 0);
    CHECK(it_until(5000, has_only_its_own, &helper));
    check_secrets(helper);
    CHECK(proc_number(helper, "status", "Threads:") == 1);
    CHECK(proc_number(helper, "status", "PPid:") != victim->pid);
    long rss = proc_number(helper, "status", "VmRSS:"), own = proc_number(helper, "status", "RssAnon:");
    it_note("the helper: %ld kB resident, of which %ld kB its own", rss, own);
    CHECK(rss > 0 && rss < RSS_MAX_KB);
    it_signal(victim, SIGUSR1);
    CHECK(it_expect(victim->log, 5000, "*child") != NULL);
    CHECK(it_last(victim->log, "no child") != NULL);
}

static const struct it_test tests[] = {
    {"killed", killed, IT_FAULTS},
    {"killed beside a silent server", killed_beside_a_silent_server, IT_FAULTS | IT_QUORUM},
    {"ends without closing", ends_without_closing, IT_FAULTS},
    {"killed in its second session", killed_in_its_second_session, IT_FAULTS},
    {"restarts without waiting", restarts_without_waiting, IT_FAULTS},
    {"lock of a killed command", lock_of_a_killed_command, IT_FAULTS},
    {"stopped", stopped, IT_FAULTS},
    {"forked child lives on", forked_child_lives_on, IT_FAULTS},
    {"cloned child lives on", cloned_child_lives_on, IT_FAULTS},
    {"becomes another program", becomes_another_program, IT_FAULTS},
    {"helper killed", helper_killed, IT_FAULTS},
    {"helper and node killed", both_killed, IT_FAULTS},
    {"late helper", late_helper, IT_FAULTS},
    {"switched off", switched_off, IT_FAULTS},
    {"no such helper", no_such_helper, IT_FAULTS},
    {"its node adopts orphans", adopts_orphans, IT_FAULTS},
    {"leaves with its node", leaves_with_its_node, 0},
    {"leaves with its handle", leaves_with_its_handle, 0},
    {"small and alone", small_and_alone, 0},
    {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "reaper", tests);
}
