/* Error codes of odezk, their names and their texts. */
#ifndef ODEZK_ERROR_H
#define ODEZK_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* One list: name, number, text. Numbers never change once released. */
#define ODEZK_ERRORS(X)                                                                                                \
    X(OK, 0, "done")                                                                                                   \
    X(EINVAL, -1, "invalid argument")                                                                                  \
    X(ENOMEM, -2, "out of memory")                                                                                     \
    X(ESYSTEM, -3, "the operating system refused")                                                                     \
    X(ECONFIG, -4, "invalid configuration")                                                                            \
    X(EUNREACHABLE, -5, "no ZooKeeper server answered in time")                                                        \
    X(ETIMEDOUT, -6, "the deadline passed")                                                                            \
    X(EBUSY, -7, "held by another")                                                                                    \
    X(ELOST, -8, "the grant was lost")                                                                                 \
    X(ENOTHELD, -9, "not held")                                                                                        \
    X(ECANCELED, -10, "canceled")                                                                                      \
    X(ECLOSED, -11, "the handle is closed")                                                                            \
    X(EINCALLBACK, -12, "a blocking call is refused inside a callback")                                                \
    X(EDUPLICATE, -13, "a living node has this id")                                                                    \
    X(ENOTFOUND, -14, "no such node or setting")                                                                       \
    X(ESTATE, -15, "not possible in this state or role")                                                               \
    X(EAUTH, -16, "ZooKeeper refused the credentials or denied access")                                                \
    X(ECHROOT, -17, "the chroot of the connect string does not exist")                                                 \
    X(ESERVER, -18, "unexpected answer from ZooKeeper")                                                                \
    X(EFORKED, -19, "the handle belongs to the parent process")                                                        \
    X(ECONFLICT, -20, "a znode is not as the write expects it")                                                        \
    X(EUNKNOWN, -21, "the connection broke, and the outcome is unknown")

typedef enum odezk_error {
#define ODEZK_ERROR_ENUM(name, number, text) ODEZK_##name = (number),
    ODEZK_ERRORS(ODEZK_ERROR_ENUM)
#undef ODEZK_ERROR_ENUM
} odezk_error;

/**
 * The text of an error code.
 *
 * @param code an odezk_error, or any other int
 * @return a constant string, never NULL ("unknown error" for any other number)
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
const char *odezk_strerror(int code);

/**
 * The name of an error code, such as "ODEZK_EINVAL".
 *
 * @return a constant string, never NULL ("ODEZK_UNKNOWN" for any other number)
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
const char *odezk_errname(int code);

/**
 * What went wrong in the calling thread's last failed call, in one sentence with the particulars
 * (which file, which host, which key). Meaningful directly after a call that returned an error.
 *
 * @return a string owned by the library, valid until the thread's next failing call; "" if none failed
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
const char *odezk_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
