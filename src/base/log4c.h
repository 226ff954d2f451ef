/* Log lines for log4c, which is not safe from every thread and may read its configuration again inside any call: only
 * the log thread, and whoever starts it, may call these functions. */
#ifndef OZ_LOG4C_H
#define OZ_LOG4C_H

#include "base/line.h"

#include <stdbool.h>

/* Starts log4c if that was not done, and loads the file, unless that is NULL. Returns ODEZK_OK or an error. */
int oz_log4c_configure(const char *file);
/* Whether this is the file that was loaded last. */
bool oz_log4c_has_file(const char *file);
/* False: nothing is configured that would take the line. */
bool oz_log4c_write(const struct oz_line *line);
/* After a fork, in the child: log4c may have been caught in the middle of a line, and is never used again. */
void oz_log4c_abandon(void);

#endif
