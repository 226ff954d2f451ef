/* The calls of <odezk/config.h>, and configurations that are about to be used. */
#include "test_config.h"

#include "base/mem.h"
#include "config/config.h"
#include "config/nodeid.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_arguments(void)
{
    odezk_config *config = NULL, *untouched = (odezk_config *)&config;

    CU_ASSERT_EQUAL(odezk_config_new(NULL), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_config_load(NULL, NULL, NULL), ODEZK_EINVAL);
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(NULL, &config, NULL), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "cluster"), "default");
    CU_ASSERT_EQUAL(odezk_config_set(NULL, "cluster", "a", NULL), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_config_set(config, NULL, "a", NULL), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_config_set(config, "nope", "a", NULL), ODEZK_ENOTFOUND);
    CU_ASSERT_STRING_EQUAL(odezk_last_error(), "no such setting: 'nope'");
    CU_ASSERT_EQUAL(odezk_config_set(config, "", "a", NULL), ODEZK_ENOTFOUND);
    CU_ASSERT_EQUAL(odezk_config_copy(NULL, &untouched), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_config_copy(config, NULL), ODEZK_EINVAL);
    CU_ASSERT_PTR_EQUAL(untouched, &config);
    CU_ASSERT_PTR_NULL(odezk_config_get(NULL, "cluster"));
    CU_ASSERT_PTR_NULL(odezk_config_get(config, NULL));
    CU_ASSERT_PTR_NULL(odezk_config_get(config, "nope"));
    CU_ASSERT_PTR_NULL(odezk_config_masked(NULL, "cluster"));
    CU_ASSERT_PTR_NULL(odezk_config_masked(config, "nope"));
    CU_ASSERT_PTR_NULL(odezk_config_source(config, "nope"));
    CU_ASSERT_PTR_NULL(odezk_config_source(NULL, "cluster"));
    CU_ASSERT_EQUAL(odezk_config_number(config, "nope"), -1);
    CU_ASSERT_EQUAL(odezk_config_number(NULL, "session-timeout"), -1);
    CU_ASSERT_EQUAL(odezk_config_number(config, "cluster"), -1);
    CU_ASSERT_EQUAL(odezk_config_number(config, "log-level"), -1);
    CU_ASSERT_EQUAL(odezk_config_number(config, "lease-lag"), -1);
    CU_ASSERT_EQUAL(odezk_config_number(config, "session-timeout"), 10000);
    odezk_config_free(config);
    odezk_config_free(NULL);
    odezk_problems_free(NULL);
    CU_ASSERT_EQUAL(odezk_problems_count(NULL), 0);
    CU_ASSERT_PTR_NULL(odezk_problems_at(NULL, 0));
}

static void test_set(void)
{
    odezk_config *config = NULL, *copy = NULL;

    CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_set(config, "cluster", " a ", "--cluster"), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "cluster"), "a");
    CU_ASSERT_STRING_EQUAL(odezk_config_source(config, "cluster"), "--cluster");
    CU_ASSERT_EQUAL(odezk_config_set(config, "cluster", "a b", "other"), ODEZK_ECONFIG);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "cluster"), "a");
    CU_ASSERT_STRING_EQUAL(odezk_config_source(config, "cluster"), "--cluster");
    CU_ASSERT_EQUAL(odezk_config_set(config, "cluster", "default", NULL), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_source(config, "cluster"), "program");
    CU_ASSERT_EQUAL(odezk_config_set(config, "log4c-file", "x", NULL), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "log4c-file"), "x");
    CU_ASSERT_EQUAL(odezk_config_set(config, "session-timeout", "4000", NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_number(config, "session-timeout"), 4000);
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(config, "auth"), "");
    CU_ASSERT_EQUAL(odezk_config_set(config, "auth", "digest:u:p", NULL), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(config, "auth"), "********");
    /* a value of its own may be set again */
    CU_ASSERT_EQUAL(
        odezk_config_set(config, "auth", odezk_config_get(config, "auth"), odezk_config_source(config, "auth")),
        ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_source(config, "auth"), "program");

    CU_ASSERT_EQUAL_FATAL(odezk_config_copy(config, &copy), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_set(config, "cluster", NULL, NULL), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_source(config, "cluster"), "default");
    CU_ASSERT_EQUAL(odezk_config_set(config, "session-timeout", NULL, "x"), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_number(config, "session-timeout"), 10000);
    odezk_config_free(config);
    CU_ASSERT_STRING_EQUAL(odezk_config_source(copy, "cluster"), "program");
    CU_ASSERT_EQUAL(odezk_config_number(copy, "session-timeout"), 4000);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(copy, "auth"), "digest:u:p");
    odezk_config_free(copy);
}

/* Single settings are set in any order; whether they fit each other is asked at the end. */
static void test_fit(void)
{
    odezk_config *config = NULL;
    char expected[512];

    test_write_text("ode-cluster.xml", "<ode-cluster>\n<lease-lag>5000</lease-lag></ode-cluster>");
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(test_dir(), &config, NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_config_check(config), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_set(config, "session-timeout", "4000", NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_config_check(config), ODEZK_ECONFIG);
    snprintf(expected, sizeof expected,
             "%s:2: lease-lag: found '5000', allowed: lease-margin (100) + lease-lag (5000) below "
             "session-timeout (4000)",
             test_path("ode-cluster.xml"));
    test_same("lease-lag", odezk_last_error(), expected);
    CU_ASSERT_EQUAL(odezk_config_set(config, "lease-lag", "0", "--lag"), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_config_check(config), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_set(config, "lease-write-period", "2000", "--x"), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_config_check(config), ODEZK_ECONFIG);
    test_same("lease-write-period", odezk_last_error(),
              "--x: lease-write-period: found '2000', allowed: less than half of session-timeout "
              "(4000)");
    odezk_config_free(config);
    test_clear();
}

/* With "auto" everything fits whatever the session timeout is. */
static void test_auto_fits(void)
{
    odezk_config *config = NULL;
    char text[32];
    int timeout;

    CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
    for (timeout = 500; timeout <= 600000; timeout += timeout < 2000 ? 1 : 997) {
        snprintf(text, sizeof text, "%d", timeout);
        CU_ASSERT_EQUAL(odezk_config_set(config, "session-timeout", text, NULL), ODEZK_OK);
        CU_ASSERT_EQUAL(oz_config_check(config), ODEZK_OK);
    }
    odezk_config_free(config);
}

static void test_directories(void)
{
    odezk_config *config = NULL;
    odezk_problems *problems = NULL;
    const odezk_problem *p;

    test_write_text("file", "");
    CU_ASSERT_EQUAL(odezk_config_load(test_path("nowhere"), &config, &problems), ODEZK_ECONFIG);
    p = odezk_problems_at(problems, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_STRING_EQUAL(p->file, test_path("nowhere"));
    CU_ASSERT_EQUAL(p->line, 0);
    CU_ASSERT_STRING_EQUAL(p->message, "found no directory (No such file or directory), allowed: "
                                       "an existing directory");
    odezk_problems_free(problems);
    problems = NULL;
    CU_ASSERT_EQUAL(odezk_config_load(test_path("file"), &config, &problems), ODEZK_ECONFIG);
    p = odezk_problems_at(problems, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_STRING_EQUAL(p->message, "found a file, allowed: a directory");
    odezk_problems_free(problems);
    problems = NULL;
    CU_ASSERT_EQUAL(odezk_config_load("", &config, &problems), ODEZK_ECONFIG);
    p = odezk_problems_at(problems, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_STRING_EQUAL(p->text, "found no directory (No such file or directory), allowed: an "
                                    "existing directory");
    odezk_problems_free(problems);
    CU_ASSERT_PTR_NULL(config);
    test_clear();
}

#define THREADS 8

static void *load_often(void *arg)
{
    const char *dir = arg;
    intptr_t wrong = 0;
    int i;

    for (i = 0; i < 20; i++) {
        odezk_config *config = NULL;
        odezk_problems *problems = NULL;

        wrong += odezk_config_load(dir, &config, NULL) != ODEZK_OK;
        wrong += config && strcmp(odezk_config_get(config, "cluster"), "a") != 0;
        odezk_config_free(config);
        wrong += odezk_config_load("/dev/null", &config, &problems) != ODEZK_ECONFIG;
        odezk_problems_free(problems);
    }
    return (void *)wrong;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    void *wrong;
    int i;

    test_write_text("ode-cluster.xml", "<ode-cluster><cluster>a</cluster></ode-cluster>");
    for (i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, load_often, (void *)test_dir()), 0);
    for (i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], &wrong), 0);
        CU_ASSERT_PTR_NULL(wrong);
    }
    test_clear();
}

/* The directory is found again when the program has gone elsewhere. */
static void test_relative_directory(void)
{
    odezk_config *config = NULL;
    char cwd[PATH_MAX], id[OZ_NODE_ID_SIZE], again[OZ_NODE_ID_SIZE];
    const char *name = strrchr(test_dir(), '/') + 1;

    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(cwd, sizeof cwd));
    test_write_text("ode-axis2.properties", "a=ode-axis2\n"
                                            "${a}=b\n"
                                            "ode-axis2.clustering.zookeeper.log4c-file=${org.apache.ode.configDir}/x\n"
                                            "ode-axis2.clustering.zookeeper.crash-leave-helper=y\n"
                                            "ode-axis2.clustering.zookeeper.cluster=c");
    test_write_text("x", "");
    test_write_text("y", "");
    CU_ASSERT_EQUAL_FATAL(chmod(test_path("y"), 0755), 0);
    CU_ASSERT_EQUAL_FATAL(chdir(test_path("..")), 0);
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(name, &config, NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_node_id(config, id), ODEZK_OK);
    CU_ASSERT_EQUAL_FATAL(chdir("/"), 0);
    CU_ASSERT_EQUAL(oz_node_id(config, again), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(id, again);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "log4c-file"), test_path("x"));
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "crash-leave-helper"), test_path("y"));
    CU_ASSERT_EQUAL(strncmp(odezk_config_source(config, "cluster"), name, strlen(name)), 0); /* as opened */
    odezk_config_free(config);
    CU_ASSERT_EQUAL(chdir(cwd), 0);
    test_clear();
}

/* True when allocation number n was not needed any more. */
static bool set_failing(odezk_config *config, long n)
{
    long before = oz_mem_count();
    int rc;

    oz_mem_fail_at(n);
    rc = odezk_config_set(config, "servers", "b:2,c:3/x", "new");
    oz_mem_fail_at(0);
    if (rc == ODEZK_OK)
        return oz_mem_count() - before < n;
    CU_ASSERT_EQUAL(rc, ODEZK_ENOMEM);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "servers"), "a:1");
    CU_ASSERT_STRING_EQUAL(odezk_config_source(config, "servers"), "old");
    return false;
}

static bool copy_failing(const odezk_config *config, long n)
{
    odezk_config *copy = NULL;
    int rc;

    oz_mem_fail_at(n);
    rc = odezk_config_copy(config, &copy);
    oz_mem_fail_at(0);
    CU_ASSERT_EQUAL(rc, copy ? ODEZK_OK : ODEZK_ENOMEM);
    odezk_config_free(copy);
    return rc == ODEZK_OK;
}

static void test_no_memory(void)
{
    odezk_config *config = NULL;
    long n;

    oz_mem_fail_at(1);
    CU_ASSERT_EQUAL(odezk_config_new(&config), ODEZK_ENOMEM);
    oz_mem_fail_at(1);
    CU_ASSERT_EQUAL(odezk_config_load(NULL, &config, NULL), ODEZK_ENOMEM);
    oz_mem_fail_at(0);
    CU_ASSERT_PTR_NULL(config);
    CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_config_set(config, "servers", "a:1", "old"), ODEZK_OK);
    for (n = 1; !set_failing(config, n); n++)
        ;
    CU_ASSERT(n > 4);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "servers"), "b:2,c:3/x");
    for (n = 1; !copy_failing(config, n); n++)
        ;
    CU_ASSERT(n > 2);
    odezk_config_free(config);
}

CU_TestInfo test_api[] = {{"arguments", test_arguments},
                          {"setting values", test_set},
                          {"settings that fit each other", test_fit},
                          {"auto always fits", test_auto_fits},
                          {"directories", test_directories},
                          {"a relative directory", test_relative_directory},
                          {"many threads at once", test_threads},
                          {"out of memory", test_no_memory},
                          CU_TEST_INFO_NULL};
