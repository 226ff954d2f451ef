#include "ensemble.h"
#include "loop.h"
#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define JAR_DIR "/usr/share/java"

/* What a server needs of the package's dependencies; a class path of all jars starts slower. */
static const char *const jars[] = {
    "zookeeper.jar", "zookeeper-jute.jar", "slf4j-api.jar", "slf4j-simple.jar", "metrics-core.jar", "snappy-java.jar",
};

/* One address each: the C client takes servers on one address for one server. */
static const char *const addresses[ENSEMBLE_MAX] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};

enum { JAR_COUNT = sizeof jars / sizeof jars[0], PROBE_EVERY_MS = 10, PROBE_TIMEOUT_MS = 500 };

static char *java_path(void)
{
    const char *home = getenv("JAVA_HOME");
    char *path = NULL;

    if (home && *home) {
        if (asprintf(&path, "%s/bin/java", home) < 0)
            return NULL;
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return process_find("java");
}

bool ensemble_find_java(struct ensemble *ensemble, char *message, size_t size)
{
    size_t len = 0;

    ensemble->java = java_path();
    if (!ensemble->java) {
        snprintf(message, size, "no java found: install the package default-jre-headless");
        return false;
    }
    for (size_t i = 0; i < JAR_COUNT; i++) {
        char jar[128];
        snprintf(jar, sizeof jar, JAR_DIR "/%s", jars[i]);
        if (access(jar, R_OK) != 0) {
            snprintf(message, size, "%s not found: install the package zookeeper", jar);
            return false;
        }
        len += (size_t)snprintf(ensemble->class_path + len, sizeof ensemble->class_path - len, "%s%s", i > 0 ? ":" : "",
                                jar);
    }
    return true;
}

/* The ports that the kernel does not give to outgoing connections. */
static void port_range(int *low, int *high)
{
    int first = 32768, last = 60999;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

    if (file) {
        if (fscanf(file, "%d %d", &first, &last) != 2)
            first = 32768;
        fclose(file);
    }
    *low = 10240;
    *high = first - 1;
    if (first - 10240 < 2000 && last < 63000) {
        *low = last + 1;
        *high = 65535;
    }
}

/* A socket bound to `port` (0: any), or -1. */
static int bind_port(const char *address, int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (inet_pton(AF_INET, address, &name.sin_addr) == 1 && bind(fd, (const struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;

    return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? ntohs(name.sin_port) : 0;
}

/*
 * Binds a free port that no client's own end can take while the server is down: a client that tries
 * again and again would in time be given the server's port, and be connected to itself.
 */
static int bind_free(const char *address)
{
    int low, high;

    port_range(&low, &high);
    for (int tries = 0; tries < 100 && high - low >= 100; tries++) {
        uint32_t random;
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
            break;
        int fd = bind_port(address, low + (int)(random % (uint32_t)(high - low + 1)));
        if (fd >= 0)
            return fd;
    }
    return bind_port(address, 0);
}

/* All ports are bound at once, so that they differ; the servers bind them anew. */
static int choose_ports(struct ensemble *ensemble)
{
    int fds[ENSEMBLE_MAX * 3];
    int bound = 0;
    int wanted = ensemble->count * 3;

    while (bound < wanted) {
        struct server *server = &ensemble->servers[bound / 3];
        int *const ports[] = {&server->client_port, &server->quorum_port, &server->election_port};
        fds[bound] = bind_free(server->address);
        if (fds[bound] < 0)
            break;
        *ports[bound % 3] = bound_port(fds[bound]);
        bound++;
    }
    int error = errno;
    for (int i = 0; i < bound; i++)
        close(fds[i]);
    errno = error;
    return bound == wanted ? 0 : -1;
}

static void server_file(const struct ensemble *ensemble, const struct server *server, const char *name, char *path)
{
    snprintf(path, PATH_MAX, "%s/%d/%s", ensemble->dir, server->id, name);
}

static void write_quorum(FILE *file, const struct ensemble *ensemble)
{
    for (int i = 0; i < ensemble->count; i++) {
        const struct server *server = &ensemble->servers[i];
        fprintf(file, "server.%d=%s:%d:%d\n", server->id, server->address, server->quorum_port, server->election_port);
    }
}

static void write_settings(FILE *file, const struct ensemble *ensemble, const struct server *server)
{
    fprintf(file,
            "clientPortAddress=%s\n"
            "clientPort=%d\n"
            "dataDir=%s/%d\n"
            "tickTime=%d\n"
            "maxSessionTimeout=60000\n"
            "initLimit=20\n"
            "syncLimit=6\n"
            "maxClientCnxns=0\n"
            "admin.enableServer=false\n"
            "4lw.commands.whitelist=*\n"
            "extendedTypesEnabled=true\n"
            "snapshot.trust.empty=true\n"
            "forceSync=no\n"
            "autopurge.purgeInterval=1\n",
            server->address, server->client_port, ensemble->dir, server->id, ensemble->tick_ms);
    if (ensemble->count > 1)
        write_quorum(file, ensemble);
}

static int close_written(FILE *file)
{
    bool failed = ferror(file) != 0;
    return fclose(file) != 0 || failed ? -1 : 0;
}

static int write_files(const struct ensemble *ensemble, const struct server *server)
{
    char path[PATH_MAX];

    server_file(ensemble, server, "", path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;

    server_file(ensemble, server, "myid", path);
    FILE *file = fopen(path, "we");
    if (!file)
        return -1;
    fprintf(file, "%d\n", server->id);
    if (close_written(file) != 0)
        return -1;

    server_file(ensemble, server, "zoo.cfg", path);
    file = fopen(path, "we");
    if (!file)
        return -1;
    write_settings(file, ensemble, server);
    return close_written(file);
}

int ensemble_configure(struct ensemble *ensemble)
{
    for (int i = 0; i < ensemble->count; i++) {
        struct server *server = &ensemble->servers[i];
        server->id = i + 1;
        server->address = addresses[i];
    }
    if (choose_ports(ensemble) != 0)
        return -1;
    for (int i = 0; i < ensemble->count; i++)
        if (write_files(ensemble, &ensemble->servers[i]) != 0)
            return -1;
    return 0;
}

void ensemble_connect_string(const struct ensemble *ensemble, char *out)
{
    size_t len = 0;

    for (int i = 0; i < ensemble->count; i++)
        len += (size_t)snprintf(out + len, ENSEMBLE_CONNECT_SIZE - len, "%s%s:%d", i > 0 ? "," : "",
                                ensemble->servers[i].address, ensemble->servers[i].client_port);
}

static bool redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags, 0600);
    return fd >= 0 && dup2(fd, to) == to;
}

/* The child's part: a group of its own, so that a terminal's Ctrl-C does not reach it. */
static void run_server(const struct ensemble *ensemble, const struct server *server, pid_t parent)
{
    char folder[PATH_MAX];
    const char *const argv[] = {ensemble->java,
                                "-Xmx128m",
                                "-XX:+UseSerialGC",
                                "-XX:TieredStopAtLevel=1",
                                "-XX:-UsePerfData",
                                "-XX:+ExitOnOutOfMemoryError",
                                "-Djava.awt.headless=true",
                                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                                "-Dzookeeper.jmx.log4j.disable=true",
                                "-cp",
                                ensemble->class_path,
                                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                                "./zoo.cfg",
                                NULL};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    server_file(ensemble, server, "", folder);
    if (setpgid(0, 0) != 0 || chdir(folder) != 0 || !redirect("/dev/null", O_RDONLY, 0) ||
        !redirect("log", O_WRONLY | O_CREAT | O_APPEND, 1) || dup2(1, 2) != 2)
        _exit(127);
    closefrom(3);
    process_child_signals();
    execv(ensemble->java, (char *const *)argv);
    _exit(127);
}

int ensemble_start(struct ensemble *ensemble, struct server *server)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return -1;
    if (pid == 0)
        run_server(ensemble, server, parent);
    server->pid = pid;
    server->paused = false;
    server->mode[0] = '\0';
    return 0;
}

static int connect_to(const struct server *server)
{
    const struct timeval timeout = {.tv_usec = PROBE_TIMEOUT_MS * 1000};
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server->client_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
        inet_pton(AF_INET, server->address, &name.sin_addr) == 1 &&
        connect(fd, (const struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Asks a server for its mode, which it has from the moment on that it serves. */
static void probe(struct server *server)
{
    char answer[1024];
    size_t len = 0;
    int fd = connect_to(server);

    if (fd < 0)
        return;
    if (send(fd, "srvr", 4, MSG_NOSIGNAL) == 4) {
        ssize_t got;
        while (len < sizeof answer - 1 && (got = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0)
            len += (size_t)got;
    }
    close(fd);
    answer[len] = '\0';
    const char *mode = strstr(answer, "Mode: ");
    if (mode)
        sscanf(mode, "Mode: %15[a-z]", server->mode);
}

static void reap(struct server *server)
{
    if (server->pid > 0 && waitpid(server->pid, NULL, WNOHANG) == server->pid)
        server->pid = 0;
}

/* Probes the servers that do not serve yet. */
static enum ensemble_result look(struct server *first, int count)
{
    bool all = true;

    for (struct server *server = first; server < first + count; server++) {
        reap(server);
        if (server->pid == 0)
            return ENSEMBLE_DIED;
        if (!server->mode[0])
            probe(server);
        all = all && server->mode[0];
    }
    return all ? ENSEMBLE_OK : ENSEMBLE_LATE;
}

enum ensemble_result ensemble_wait(struct server *first, int count, int timeout_ms, int signal_fd, int *signal)
{
    const int64_t deadline = loop_now_ms() + timeout_ms;
    struct pollfd signals = {.fd = signal_fd, .events = POLLIN};
    enum ensemble_result result;

    while ((result = look(first, count)) == ENSEMBLE_LATE && loop_now_ms() < deadline) {
        if (poll(&signals, 1, PROBE_EVERY_MS) <= 0)
            continue;
        *signal = loop_read_signal(signal_fd, NULL);
        if (*signal != 0 && *signal != SIGCHLD)
            return ENSEMBLE_INTERRUPTED;
    }
    return result;
}

bool ensemble_has_quorum(const struct ensemble *ensemble)
{
    int running = 0;

    for (int i = 0; i < ensemble->count; i++)
        running += ensemble->servers[i].pid > 0 && !ensemble->servers[i].paused;
    return running > ensemble->count / 2;
}

void ensemble_pause(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGSTOP);
        server->paused = true;
    }
}

void ensemble_resume(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGCONT);
        server->paused = false;
    }
}

void ensemble_stop(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    server->pid = 0;
    server->mode[0] = '\0';
}

void ensemble_stop_all(struct ensemble *ensemble)
{
    for (int i = 0; i < ensemble->count; i++)
        ensemble_stop(&ensemble->servers[i]);
}

void ensemble_reap(struct ensemble *ensemble)
{
    for (int i = 0; i < ensemble->count; i++)
        reap(&ensemble->servers[i]);
}

void ensemble_print_log(const struct ensemble *ensemble, const struct server *server)
{
    char path[PATH_MAX], tail[2048];

    server_file(ensemble, server, "log", path);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fseek(file, -(long)sizeof tail, SEEK_END) != 0)
        rewind(file);
    size_t len = fread(tail, 1, sizeof tail, file);
    fclose(file);
    fwrite(tail, 1, len, stderr);
}

void ensemble_free(struct ensemble *ensemble)
{
    ensemble_stop_all(ensemble);
    free(ensemble->java);
    ensemble->java = NULL;
}
