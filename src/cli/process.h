/* What programs that are run for the user start with, and how they are found. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <stdbool.h>

/*
 * Makes descriptors 0 to 2 exist, remembers the signal state that programs run for the user are to
 * start with, and ignores SIGPIPE. Comes first, while there is one thread; false: errno is set.
 */
bool process_init(void);

/* Gives a child, between fork and exec, the signal state that odezk was started with. */
void process_child_signals(void);

/* The path of a program as a shell finds it, to be freed; NULL: errno is ENOENT, EACCES, ENOMEM. */
char *process_find(const char *name);

/* What a shell makes of a wait status, and of the errno of a failed exec. */
int process_exit_code(int status);
int process_exec_exit_code(int error);

#endif
