/* Which side of a fork() we are on. Threads do not survive a fork: a handle made before it is the parent's. */
#ifndef OZ_FORK_H
#define OZ_FORK_H

/* Counts the forks between this process and the one that loaded the library. */
unsigned oz_fork_count(void);

#endif
