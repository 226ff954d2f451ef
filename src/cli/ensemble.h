/* ZooKeeper servers from Debian's package, as child processes that never outlive this one. */
#ifndef CLI_ENSEMBLE_H
#define CLI_ENSEMBLE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { ENSEMBLE_MAX = 3 };

struct server {
    int id; /* from 1 */
    const char *address;
    int client_port, quorum_port, election_port;
    pid_t pid; /* 0: stopped */
    bool paused;
    char mode[16]; /* "standalone", "leader", "follower"; "" until it serves */
};

struct ensemble {
    int count;
    int tick_ms;
    const char *dir; /* one folder for each server is made in it */
    char *java;
    char class_path[1024];
    struct server servers[ENSEMBLE_MAX];
};

enum ensemble_result {
    ENSEMBLE_OK,
    ENSEMBLE_DIED,       /* a server that was waited for ended */
    ENSEMBLE_LATE,       /* the time is over */
    ENSEMBLE_INTERRUPTED /* a signal other than SIGCHLD came */
};

/* Finds java and the jars. On failure a sentence is in `message`. */
bool ensemble_find_java(struct ensemble *ensemble, char *message, size_t size);

/* Settles addresses and free ports and writes the servers' files. -1: errno. */
int ensemble_configure(struct ensemble *ensemble);

/* The connect string, into a buffer of ENSEMBLE_CONNECT_SIZE. */
enum { ENSEMBLE_CONNECT_SIZE = ENSEMBLE_MAX * sizeof "127.0.0.1:65535," };
void ensemble_connect_string(const struct ensemble *ensemble, char *out);

/* Starts a stopped server's process, without waiting for it to serve. -1: errno. */
int ensemble_start(struct ensemble *ensemble, struct server *server);

/* Waits until `count` running servers from `first` on serve; `signal` is what interrupted it. */
enum ensemble_result ensemble_wait(struct server *first, int count, int timeout_ms, int signal_fd, int *signal);

/* Whether enough servers run to make a quorum. */
bool ensemble_has_quorum(const struct ensemble *ensemble);

/* SIGSTOP and SIGCONT. */
void ensemble_pause(struct server *server);
void ensemble_resume(struct server *server);

/* Ends a server by SIGKILL, and waits for its end. Does nothing when it is stopped. */
void ensemble_stop(struct server *server);
void ensemble_stop_all(struct ensemble *ensemble);

/* Notes which servers ended by themselves. */
void ensemble_reap(struct ensemble *ensemble);

/* Copies the last lines that a server logged to standard error. */
void ensemble_print_log(const struct ensemble *ensemble, const struct server *server);

void ensemble_free(struct ensemble *ensemble);

#endif
