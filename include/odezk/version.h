/* The version of the library. */
#ifndef ODEZK_VERSION_H
#define ODEZK_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

#define ODEZK_VERSION "0.1.0"

/** The version of the library that is loaded, such as "0.1.0". Any thread; never blocks. Since 0.1. */
const char *odezk_version(void);

#ifdef __cplusplus
}
#endif

#endif
