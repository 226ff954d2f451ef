/* A command in a process group of its own, which does not outlive this process. */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid;   /* leads the process group; 0: not started */
    pid_t guard; /* a member of the group that kills it when this process is gone; 0: none */
    int guard_fd;
    bool has_terminal; /* the terminal's foreground was handed to it */
};

/*
 * Starts `argv` with `envp`. An errno when it cannot be run (nothing is left then), 0 otherwise.
 * Safe in a process with threads. The child has descriptors 0, 1 and 2 and no others.
 */
int child_start(struct child *child, char *const argv[], char *const envp[]);

/* Sends a signal to all of the group. */
void child_signal(const struct child *child, int number);

enum child_state {
    CHILD_RUNS,
    CHILD_STOPPED, /* by its terminal: the shell has to learn of that, see child_suspend() */
    CHILD_ENDED
};

/* Looks what became of it, without waiting; `status` is a wait status. */
enum child_state child_poll(struct child *child, int *status);

/* Stops this process's job like the child, until it is continued; takes the terminal meanwhile. */
void child_suspend(struct child *child);

/* Continues it, with the terminal if that is ours. */
void child_continue(struct child *child);

/* Ends the guard and takes the terminal back; the child has ended. */
void child_finish(struct child *child);

#endif
