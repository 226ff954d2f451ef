/* The crash-fast leave: a helper process that ends our session as soon as this process is dead, so that the others need
 * not wait for the session timeout. Without it, whatever the reason, only speed is lost. doc/reaper.md has the whole
 * story.
 *
 * All functions belong to one thread. None waits for the helper. */
#ifndef OZ_REAPER_H
#define OZ_REAPER_H

#include "session/port.h"

#include <odezk/config.h>

struct oz_reaper;

/* The settings say whether there will be a helper, and which. NULL when out of memory. */
struct oz_reaper *oz_reaper_new(const odezk_config *config);
/* The present session and where its servers are. Starts a helper when there is none, or none any more. */
void oz_reaper_session(struct oz_reaper *r, const struct oz_identity *identity, const char *hosts);
/* The znode that has to be gone; NULL: none. */
void oz_reaper_member(struct oz_reaper *r, const char *path);
/* The session was ended properly: the helper leaves. */
void oz_reaper_dismiss(struct oz_reaper *r);
/* NULL does nothing. */
void oz_reaper_free(struct oz_reaper *r);

#endif
