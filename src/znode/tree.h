/* Making directories, and deleting until it is certain. */
#ifndef OZ_TREE_H
#define OZ_TREE_H

#include "session/session.h"

/* Makes a persistent znode and all above it, in one round trip; what exists already is fine. The callback is
 * called once with the outcome. False when out of memory: then it is not. */
bool oz_make_dirs(struct oz_session *s, const char *path, oz_op_cb cb, void *owner);

/* Deletes a znode, repeating it until it is certain, or until the session ended. A repetition also deletes what
 * somebody else made under that name meanwhile: either nobody does, or, as with requests in an inbox, it does no harm,
 * because they are made again. Without memory for that the session is ended, which removes what is ephemeral. */
void oz_erase(struct oz_session *s, const char *path);
/* The same behind all bulk requests that were made before. */
void oz_erase_bulk(struct oz_session *s, const char *path);

#endif
