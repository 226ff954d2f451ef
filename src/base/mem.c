#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fail_at;
static atomic_long allocations;

static int must_fail(void)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fail_at, memory_order_relaxed) == 0)
        return 0;
    return atomic_fetch_sub(&fail_at, 1) == 1;
}

void oz_mem_fail_at(long n)
{
    atomic_store(&fail_at, n);
}

long oz_mem_count(void)
{
    return atomic_load(&allocations);
}

void *oz_alloc(size_t size)
{
    return must_fail() ? NULL : calloc(1, size);
}

void *oz_realloc(void *p, size_t size)
{
    return must_fail() ? NULL : realloc(p, size);
}

void *oz_memdup(const void *p, size_t n)
{
    char *copy = must_fail() ? NULL : malloc(n + 1);

    if (copy) {
        if (n)
            memcpy(copy, p, n);
        copy[n] = '\0';
    }
    return copy;
}

char *oz_strdup(const char *s)
{
    return oz_memdup(s, strlen(s));
}

char *oz_strndup(const char *s, size_t n)
{
    return oz_memdup(s, strnlen(s, n));
}

char *oz_format(const char *format, ...)
{
    va_list args;
    int n;
    char *s;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        return NULL;
    s = oz_alloc((size_t)n + 1);
    if (!s)
        return NULL;
    va_start(args, format);
    vsnprintf(s, (size_t)n + 1, format, args);
    va_end(args);
    return s;
}
