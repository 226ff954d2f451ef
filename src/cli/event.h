/* An event as a line of text. */
#ifndef CLI_EVENT_H
#define CLI_EVENT_H

#include <odezk/cluster.h>
#include <stdbool.h>

/* The line with its newline, to be freed; NULL when out of memory. `node` may be NULL. */
char *event_line(const odezk_event *event, const char *node, bool json);

#endif
