/* What all programs of unit tests share. */
#ifndef CHECK_H
#define CHECK_H

#include <CUnit/Basic.h>

struct check {
    const char *name;
    void (*run)(void);
};

/* Runs the tests as one suite; what main() returns. With an argument only those whose name contains
 * it. */
int check_run(const char *suite, const struct check *checks, size_t count, int argc, char **argv);

#define CHECK_RUN(suite, checks, argc, argv) check_run(suite, checks, sizeof(checks) / sizeof *(checks), argc, argv)

#endif
