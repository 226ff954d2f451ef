/* Where the library's log lines go: log4c, or a callback of the program. */
#ifndef ODEZK_LOG_H
#define ODEZK_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum odezk_log_level {
    ODEZK_LOG_ERROR = 1,
    ODEZK_LOG_WARN = 2,
    ODEZK_LOG_INFO = 3,
    ODEZK_LOG_DEBUG = 4
} odezk_log_level;

/**
 * A receiver of log lines.
 *
 * @param level    how severe it is
 * @param category "odezk." and session, member, election, lock, cluster, reaper, config, log, or zookeeper (the C
 *                 client's own lines)
 * @param line     one line without a newline; valid during the call only
 * @param arg      what was registered
 *
 * Runs on the library's log thread, one call at a time. It may call any odezk function that does not block, but it must
 * not cause new log lines without end. A slow receiver delays log lines and nothing else; lines past a bounded backlog
 * are dropped and counted.
 */
typedef void (*odezk_log_cb)(odezk_log_level level, const char *category, const char *line, void *arg);

/**
 * Sends log lines to a callback instead of log4c.
 *
 * @param cb  the receiver, or NULL to go back to log4c
 * @param arg handed to it unchanged; must live until another callback is set
 *
 * On return the previous callback is not running and will not run again (except when called from
 * inside it). Any thread, also inside a callback; may block for one running log callback. Since 0.1.
 */
void odezk_log_set_callback(odezk_log_cb cb, void *arg);

/**
 * Sets the least severe level that is logged, for the whole process. Until it is set, a callback and log4c get
 * ODEZK_LOG_INFO and worse, and standard error, which is used when there is neither, gets ODEZK_LOG_WARN and worse. A
 * new cluster handle sets it from the setting `log-level` when that is given.
 *
 * @return ODEZK_OK, or ODEZK_EINVAL for any other number
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_log_set_level(odezk_log_level level);

#ifdef __cplusplus
}
#endif

#endif
