/* Failing with a sentence: sets what odezk_last_error() says and passes the code through. */
#ifndef OZ_ERROR_H
#define OZ_ERROR_H

#include <odezk/error.h>

/* Records the sentence for this thread and returns `code`, so that `return oz_fail(...)` reads well. */
int oz_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
