/* All memory is allocated here, so that tests can make each allocation fail. */
#ifndef OZ_MEM_H
#define OZ_MEM_H

#include <stddef.h>

void *oz_alloc(size_t size);            /* zeroed */
void *oz_realloc(void *p, size_t size); /* like realloc */
char *oz_strdup(const char *s);
char *oz_strndup(const char *s, size_t n);
void *oz_memdup(const void *p, size_t n); /* one byte longer, zero-terminated */
char *oz_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tests only: the n-th allocation from now (1 is the next) fails, once; 0 switches it off. */
void oz_mem_fail_at(long n);
/* Tests only: how many allocations were made since the start. */
long oz_mem_count(void);

#endif
