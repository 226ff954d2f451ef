/*
 * The callback thread makes lines and puts them into a buffer; the main thread waits for signals
 * and for room in standard output, and writes. So a reader that stands still holds up neither the
 * library nor the end.
 */
#include "follow.h"

#include "common.h"
#include "event.h"
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LEAVE_MS = 900,         /* how long a clean leave may take */
    BACKLOG_MAX = 16 << 20, /* bytes that nobody reads */
    WRITE_MAX = 4096        /* a pipe that polls as writable takes so much without blocking */
};

struct follow {
    const struct cli *cli;
    odezk_cluster *cluster;
    const struct follow_options *options;
    int wake_fd;
    int64_t deadline; /* of the first connection, then of the leave; -1: none */
    bool leaving;
    int exit_code;

    pthread_mutex_t mutex; /* of what follows */
    char *lines;
    size_t length, capacity;
    bool lost; /* a line that could not be kept */
    bool connected, refused, closed;
};

/* The mutex is held. */
static bool append(struct follow *follow, const char *line)
{
    size_t length = strlen(line), wanted = follow->length + length;

    if (wanted > BACKLOG_MAX)
        return false;
    if (wanted > follow->capacity) {
        size_t capacity = wanted * 2;
        char *lines = realloc(follow->lines, capacity);
        if (!lines)
            return false;
        follow->lines = lines;
        follow->capacity = capacity;
    }
    memcpy(follow->lines + follow->length, line, length);
    follow->length = wanted;
    return true;
}

/* The mutex is held. */
static void note_state(struct follow *follow, const odezk_event *event)
{
    if (event->type == ODEZK_EVENT_SESSION) {
        follow->connected = follow->connected || event->state == ODEZK_SESSION_CONNECTED;
        follow->closed = follow->closed || event->state == ODEZK_SESSION_CLOSED;
    }
    follow->refused = follow->refused || event->type == ODEZK_EVENT_REFUSED;
}

static void on_event(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct follow *follow = arg;
    char *line = event_line(event, follow->options->node, follow->cli->json);

    (void)cluster;
    pthread_mutex_lock(&follow->mutex);
    if (!line || !append(follow, line))
        follow->lost = true;
    note_state(follow, event);
    pthread_mutex_unlock(&follow->mutex);
    free(line);
    loop_wake(follow->wake_fd);
}

static void leave(struct follow *follow, int exit_code)
{
    if (follow->leaving)
        return;
    follow->leaving = true;
    follow->exit_code = exit_code;
    follow->deadline = loop_now_ms() + LEAVE_MS;
    odezk_cluster_begin_close(follow->cluster);
}

static void output_failed(struct follow *follow, const char *why)
{
    if (!follow->leaving || follow->exit_code == EXIT_DONE)
        cli_error(follow->cli, "cannot write to standard output: %s", why);
    leave(follow, EXIT_FAILED);
    follow->exit_code = EXIT_FAILED;
    pthread_mutex_lock(&follow->mutex);
    follow->length = 0;
    pthread_mutex_unlock(&follow->mutex);
}

/* Copies the first lines out, so that the callback thread is not held up while they are written. */
static size_t peek(struct follow *follow, char *chunk)
{
    pthread_mutex_lock(&follow->mutex);
    size_t length = follow->length < WRITE_MAX ? follow->length : WRITE_MAX;
    if (length > 0)
        memcpy(chunk, follow->lines, length);
    pthread_mutex_unlock(&follow->mutex);
    return length;
}

static bool has_lines(struct follow *follow)
{
    pthread_mutex_lock(&follow->mutex);
    bool some = follow->length > 0;
    pthread_mutex_unlock(&follow->mutex);
    return some;
}

static void drop(struct follow *follow, size_t length)
{
    pthread_mutex_lock(&follow->mutex);
    follow->length -= length;
    memmove(follow->lines, follow->lines + length, follow->length);
    pthread_mutex_unlock(&follow->mutex);
}

static void write_lines(struct follow *follow)
{
    char chunk[WRITE_MAX];
    size_t length = peek(follow, chunk);
    ssize_t written = length > 0 ? write(STDOUT_FILENO, chunk, length) : 0;

    if (written > 0)
        drop(follow, (size_t)written);
    else if (written < 0 && errno != EINTR && errno != EAGAIN)
        output_failed(follow, strerror(errno));
}

/* Asks why the handle was closed, and leaves. */
static void ask_why(struct follow *follow)
{
    leave(follow, common_fail(follow->cli, odezk_cluster_join(follow->cluster, 0)));
}

/* Draws the conclusions from what the callback noted. True when all is over. */
static bool look(struct follow *follow)
{
    pthread_mutex_lock(&follow->mutex);
    bool lost = follow->lost, closed = follow->closed, empty = follow->length == 0;
    bool connected = follow->connected, ended = follow->refused || closed;
    follow->lost = false;
    pthread_mutex_unlock(&follow->mutex);

    if (lost)
        output_failed(follow, "too many lines wait");
    if (connected && !follow->leaving)
        follow->deadline = -1;
    if (ended && !follow->leaving)
        ask_why(follow);
    return follow->leaving && closed && empty;
}

static bool is_closed(struct follow *follow)
{
    pthread_mutex_lock(&follow->mutex);
    bool closed = follow->closed;
    pthread_mutex_unlock(&follow->mutex);
    return closed;
}

/* Writes all that is taken at once. True when nothing is left. */
static bool write_rest(struct follow *follow)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    while (has_lines(follow) && poll(&out, 1, 0) > 0 && (out.revents & POLLOUT) != 0)
        write_lines(follow);
    return !has_lines(follow);
}

/* The deadline passed; but it may be this thread that is late, and all is done. True when the leave took too long. */
static bool too_late(struct follow *follow)
{
    if (follow->leaving)
        return !is_closed(follow) || !write_rest(follow);
    leave(follow, common_unreachable(follow->cli, follow->cluster, follow->options->connect_timeout_ms));
    return false;
}

static void on_ready(struct follow *follow, const struct pollfd *fds)
{
    if (fds[0].revents != 0) {
        int number = loop_read_signal(follow->options->signal_fd, NULL);
        if (number != 0 && number != SIGCHLD)
            leave(follow, EXIT_DONE);
    }
    if (fds[1].revents != 0)
        loop_clear_wake(follow->wake_fd);
    if ((fds[2].revents & POLLOUT) != 0)
        write_lines(follow);
    else if (fds[2].revents != 0)
        output_failed(follow, strerror(EPIPE));
}

/* False when the leave took too long. */
static bool pump(struct follow *follow)
{
    while (!look(follow)) {
        struct pollfd fds[] = {{.fd = follow->options->signal_fd, .events = POLLIN},
                               {.fd = follow->wake_fd, .events = POLLIN},
                               {.fd = STDOUT_FILENO}};
        int64_t left = follow->deadline - loop_now_ms();

        fds[2].events = has_lines(follow) ? POLLOUT : 0;
        if (follow->deadline >= 0 && left <= 0) {
            if (too_late(follow))
                return false;
            continue;
        }
        if (poll(fds, 3, follow->deadline >= 0 ? (int)left : -1) > 0)
            on_ready(follow, fds);
    }
    return true;
}

static int start(struct follow *follow)
{
    int error = odezk_cluster_subscribe(follow->cluster, follow->options->types, on_event, follow, NULL);

    if (error == ODEZK_OK)
        error = odezk_cluster_start(follow->cluster);
    return error == ODEZK_OK ? EXIT_DONE : common_fail(follow->cli, error);
}

/* The leave takes too long: because of the servers, or of who reads standard output. */
static void end_late(struct follow *follow)
{
    if (is_closed(follow)) {
        output_failed(follow, "nobody reads it");
        return;
    }
    cli_error(follow->cli, "ended before the servers could be told");
    _exit(follow->exit_code);
}

int follow(const struct cli *cli, odezk_cluster *cluster, const struct follow_options *options)
{
    struct follow follow = {
        .cli = cli, .cluster = cluster, .options = options, .deadline = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};

    follow.wake_fd = loop_wake_fd();
    if (follow.wake_fd < 0) {
        cli_error(cli, "no descriptor: %s", strerror(errno));
        return EXIT_FAILED;
    }
    if (options->connect_timeout_ms >= 0)
        follow.deadline = loop_now_ms() + options->connect_timeout_ms;
    follow.exit_code = start(&follow);
    if (follow.exit_code == EXIT_DONE && !pump(&follow))
        end_late(&follow);
    odezk_cluster_close(cluster);
    close(follow.wake_fd);
    free(follow.lines);
    return follow.exit_code;
}
