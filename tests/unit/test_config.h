/* What the tests of the configuration share. */
#ifndef TEST_CONFIG_H
#define TEST_CONFIG_H

#include <CUnit/CUnit.h>
#include <odezk/config.h>
#include <odezk/error.h>
#include <stdbool.h>

/* A directory of its own for each test, made before and taken away after it. */
const char *test_dir(void);

/* Writes a file of the directory; `size` bytes. */
void test_write(const char *name, const void *data, size_t size);
void test_write_text(const char *name, const char *text);
/* The path of a file of the directory, valid until the next call. */
const char *test_path(const char *name);
/* Takes all files of the directory away. */
void test_clear(void);

/* All mistakes of a load, a line each, without the directory's name; "" when there are none. The
 * caller frees it. */
char *test_load(void);

/* CU_ASSERT for two strings, which shows them when they differ. */
void test_same(const char *what, const char *got, const char *expected);

extern CU_TestInfo test_values[], test_files[], test_odd_files[], test_api[], test_node_id[];

#endif
