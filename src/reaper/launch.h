/* Starts the helper as nobody's child. */
#ifndef OZ_LAUNCH_H
#define OZ_LAUNCH_H

/* Runs the program `path` with descriptors 0 (`socket`) and 1 (`pidfd`); of the others it gets those that are not
 * close-on-exec. Its parent is init; the calling process never has a child that wait() or SIGCHLD would tell of, and
 * its memory is not copied. All signals have to be blocked, and stay so in the helper. Returns 0 or an errno. */
int oz_launch(const char *path, int socket, int pidfd);

#endif
