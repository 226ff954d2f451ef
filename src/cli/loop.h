/* What a main thread waits for: signals, wake-ups by other threads, deadlines. */
#ifndef CLI_LOOP_H
#define CLI_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds of a clock that nobody sets. */
int64_t loop_now_ms(void);

/*
 * A descriptor that reads SIGTERM, SIGINT, SIGHUP and SIGQUIT (the last two unless they were
 * ignored), and SIGCHLD. Comes before any thread is made, so that all have them blocked. -1: errno.
 */
int loop_signal_fd(void);

/*
 * Reads one signal from it: its number, 0 when there is none. `typed` (may be NULL) is set when the
 * terminal sent it, to the whole foreground process group.
 */
int loop_read_signal(int fd, bool *typed);

/* A descriptor that reads as ready from loop_wake() to loop_clear_wake(). -1: errno. */
int loop_wake_fd(void);
void loop_wake(int fd);
void loop_clear_wake(int fd);

#endif
