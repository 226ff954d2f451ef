/* Log lines by category. Every thread may log, and none waits for it. */
#ifndef OZ_LOG_H
#define OZ_LOG_H

#include <odezk/log.h>
#include <stdbool.h>
#include <stddef.h>

/* Categories are constant strings: "odezk.session", "odezk.election", "odezk.lock", ... */
void oz_log(odezk_log_level level, const char *category, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define oz_error(category, ...) oz_log(ODEZK_LOG_ERROR, "odezk." category, __VA_ARGS__)
#define oz_warn(category, ...) oz_log(ODEZK_LOG_WARN, "odezk." category, __VA_ARGS__)
#define oz_info(category, ...) oz_log(ODEZK_LOG_INFO, "odezk." category, __VA_ARGS__)
#define oz_debug(category, ...)                                                                                        \
    (oz_log_enabled(ODEZK_LOG_DEBUG) ? oz_log(ODEZK_LOG_DEBUG, "odezk." category, __VA_ARGS__) : (void)0)

bool oz_log_enabled(odezk_log_level level);

/* Each cluster handle takes the log open and closes it again: the first starts the log thread (with the given log4c
 * configuration file, NULL for log4c's own search), the last flushes and ends it. Lines logged while nobody has it open
 * go straight to stderr when they are warnings or errors. */
int oz_log_open(const char *log4c_file);
void oz_log_close(void);

/* One of the C client's own lines, with its level still in the text. Never blocks, never calls zoo_*. */
void oz_log_zookeeper(const char *line);
/* What the C client logged last about a connection that it could not have with one of these servers (HOST:PORT,...):
 * "HOST:PORT: Connection refused". Made "" when there was nothing. Any thread. */
void oz_log_trouble(const char *servers, char *text, size_t size);

#endif
