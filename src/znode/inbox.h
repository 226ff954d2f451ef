/* A node's inbox: a directory in which other sessions ask it for something, by ephemeral znodes of their own. One child
 * watch serves all requests. The directory is persistent, as ephemeral znodes have no children: its node
 * removes it, or the master when the node died. */
#ifndef OZ_INBOX_H
#define OZ_INBOX_H

#include "session/session.h"

/* The request to give up the mastership. */
#define OZ_INBOX_RESIGN "resign"

/* Requests to write into the entry which locks are in use; the rest of the name tells askers apart. */
#define OZ_INBOX_REPORT "report"

struct oz_inbox;

/* `request` is called for each entry, by name, and `read` after all that were there. `request` may return an answer, to
 * be freed, which is written into the entry for its maker to read and remove; otherwise the entry is removed. NULL when
 * out of memory. */
struct oz_inbox *oz_inbox_new(struct oz_session *s, const char *root, void (*read)(void *owner),
                              char *(*request)(void *owner, const char *name), void *owner);
/* Opens the inbox of a member znode's name, for the present session. */
void oz_inbox_open(struct oz_inbox *inbox, const char *member);
/* Reads it, even if no watch fired. */
void oz_inbox_look(struct oz_inbox *inbox);
/* Removes it from ZooKeeper, if the session still lives. */
void oz_inbox_remove(struct oz_inbox *inbox);
void oz_inbox_free(struct oz_inbox *inbox);

/* Removes the inboxes whose members are gone, whoever's they are. */
void oz_inbox_sweep(struct oz_inbox *inbox);

#endif
