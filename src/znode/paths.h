/* Where the znodes of a cluster lie below its root. Every path is to be freed; NULL when out of memory. */
#ifndef OZ_PATHS_H
#define OZ_PATHS_H

#include <stdint.h>

char *oz_path_members(const char *root);
char *oz_path_member(const char *root, const char *name);

char *oz_path_election(const char *root);
char *oz_path_leader(const char *root);

char *oz_path_inboxes(const char *root);
char *oz_path_inbox(const char *root, const char *member);
/* A request in the inbox of a member; inbox.h has the names. */
char *oz_path_request(const char *root, const char *member, const char *request);
/* The request to give a lock up; with a token, to end the grant that has it. 0 is no token. */
char *oz_path_lock_request(const char *root, const char *member, const char *space, const char *key, int64_t token);

/* The spaces of the locks, of the queues for them. */
char *oz_path_locks(const char *root);
char *oz_path_queues(const char *root);
/* One of the 256 directories of a space. */
char *oz_path_lock_dir(const char *root, const char *space, const char *key);
char *oz_path_queue_dir(const char *root, const char *space, const char *key);
char *oz_path_lock(const char *root, const char *space, const char *key);

#endif
