/* Cutting a server off from the others: packet filters, in a network of our own. */
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 4096 };

/* The ports at which the servers talk to each other. */
static int quorum_port[SERVERS + 1], election_port[SERVERS + 1];
static bool usable;

static bool filter(const char *rules)
{
    FILE *tool = popen("iptables-restore --noflush 2>/dev/null", "we");

    if (!tool)
        return false;
    fprintf(tool, "*filter\n%sCOMMIT\n", rules);
    return pclose(tool) == 0;
}

static bool raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

void network_enter(void)
{
    if (options.no_namespace || geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
        say("no network of our own: servers are not cut off from each other, they are stopped");
        return;
    }
    if (!raise_loopback())
        give_up("no loopback in a network of our own: %s", strerror(errno));
    usable = filter(":FAULTS - [0:0]\n-A INPUT -j FAULTS\n");
    if (!usable)
        say("no iptables: servers are not cut off from each other, they are stopped");
}

bool network_can_cut(void)
{
    return usable;
}

/* ---- who talks to whom ---- */

static void read_ports(void)
{
    char path[PATH_MAX + 32], line[256];
    int server, quorum, election;
    FILE *file;

    snprintf(path, sizeof path, "%s/1/zoo.cfg", ensemble_dir());
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "server.%d=%*[0-9.]:%d:%d", &server, &quorum, &election) == 3 && server >= 1 &&
            server <= SERVERS) {
            quorum_port[server] = quorum;
            election_port[server] = election;
        }
    if (file)
        fclose(file);
}

/* The child of the sandbox that runs in the server's folder. */
static pid_t find_process(int server)
{
    char path[64], folder[PATH_MAX + 16], cwd[PATH_MAX + 1];
    pid_t found = 0;
    int pid;
    FILE *list;

    snprintf(folder, sizeof folder, "%s/%d", ensemble_dir(), server);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)ensemble_pid(), (int)ensemble_pid());
    list = fopen(path, "re");
    while (list && !found && fscanf(list, "%d", &pid) == 1) {
        snprintf(path, sizeof path, "/proc/%d/cwd", pid);
        ssize_t length = readlink(path, cwd, sizeof cwd - 1);
        cwd[length > 0 ? length : 0] = '\0';
        if (strcmp(cwd, folder) == 0)
            found = pid;
    }
    if (list)
        fclose(list);
    return found;
}

static int list_sockets(pid_t pid, unsigned long inodes[SOCKETS])
{
    char path[320], target[64];
    struct dirent *entry;
    int count = 0;
    DIR *fds;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    fds = opendir(path);
    while (fds && count < SOCKETS && (entry = readdir(fds)) != NULL) {
        snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pid, entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inodes[count]) == 1)
            count++;
    }
    if (fds)
        closedir(fds);
    return count;
}

static bool is_between_servers(int port)
{
    for (int server = 1; server <= SERVERS; server++)
        if (port == quorum_port[server] || port == election_port[server])
            return true;
    return false;
}

static bool is_one_of(unsigned long inode, const unsigned long *inodes, int count)
{
    for (int i = 0; i < count; i++)
        if (inodes[i] == inode)
            return true;
    return false;
}

/* Adds rules against the connections that a process has with other servers. */
static void add_connections(FILE *rules, const char *table, const unsigned long *inodes, int count)
{
    unsigned local, remote, state;
    unsigned long inode;
    char line[512];
    FILE *list = fopen(table, "re");

    while (list && fgets(line, sizeof line, list))
        if (sscanf(line, "%*d: %*[0-9A-F]:%X %*[0-9A-F]:%X %X %*s %*s %*s %*s %*s %lu", &local, &remote, &state,
                   &inode) == 4 &&
            remote != 0 && (is_between_servers((int)local) || is_between_servers((int)remote)) &&
            is_one_of(inode, inodes, count))
            fprintf(rules,
                    "-A FAULTS -p tcp --sport %u --dport %u -j DROP\n"
                    "-A FAULTS -p tcp --sport %u --dport %u -j DROP\n",
                    local, remote, remote, local);
    if (list)
        fclose(list);
}

/*
 * Who begins a connection cannot be told from outside. A server that is cut off would begin one for
 * an election only, so nobody may; the two others have theirs already.
 */
static void add_beginnings(FILE *rules, int server)
{
    fprintf(rules, "-A FAULTS -p tcp --syn --dport %d -j DROP\n", quorum_port[server]);
    for (int other = 1; other <= SERVERS; other++)
        fprintf(rules, "-A FAULTS -p tcp --syn --dport %d -j DROP\n", election_port[other]);
}

static bool cut_off(int server)
{
    static unsigned long inodes[SOCKETS];
    char *text = NULL;
    size_t size;
    FILE *rules = open_memstream(&text, &size);
    int count = list_sockets(find_process(server), inodes);
    bool good;

    if (!rules)
        return false;
    fputs(":FAULTS - [0:0]\n", rules);
    add_connections(rules, "/proc/self/net/tcp", inodes, count);
    add_connections(rules, "/proc/self/net/tcp6", inodes, count);
    add_beginnings(rules, server);
    fclose(rules);
    good = count > 0 && filter(text);
    free(text);
    return good;
}

bool network_cut(int server)
{
    if (!usable)
        return false;
    if (quorum_port[1] == 0)
        read_ports();
    return server == 0 ? filter(":FAULTS - [0:0]\n") : cut_off(server);
}
