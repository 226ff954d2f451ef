#include "check.h"

#include <string.h>

int check_run(const char *suite, const struct check *checks, size_t count, int argc, char **argv)
{
    CU_pSuite s;
    unsigned failed;
    size_t i;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    s = CU_add_suite(suite, NULL, NULL);
    for (i = 0; s && i < count; i++)
        if (argc < 2 || strstr(checks[i].name, argv[1]))
            CU_add_test(s, checks[i].name, checks[i].run);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + (CU_get_number_of_tests_run() == 0);
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
