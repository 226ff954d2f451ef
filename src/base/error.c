#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_error[1024];

const char *odezk_strerror(int code)
{
    switch (code) {
#define TEXT(name, number, text)                                                                                       \
    case number:                                                                                                       \
        return text;
        ODEZK_ERRORS(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}

const char *odezk_errname(int code)
{
    switch (code) {
#define NAME(name, number, text)                                                                                       \
    case number:                                                                                                       \
        return "ODEZK_" #name;
        ODEZK_ERRORS(NAME)
#undef NAME
    default:
        return "ODEZK_UNKNOWN";
    }
}

const char *odezk_last_error(void)
{
    return last_error;
}

int oz_fail(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(last_error, sizeof last_error, format, args);
    va_end(args);
    return code;
}
