/* The id of a node that has none configured: kept, agreed upon, repaired. */
#include "test_config.h"

#include "base/mem.h"
#include "config/nodeid.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX ".odezk-node-id."
#define PROCESSES 16

/* The only file of the directory, which must be the kept id; "" when there is none. */
static const char *kept_name(void)
{
    static char name[256];
    DIR *d = opendir(test_dir());
    struct dirent *entry;
    int count = 0;

    *name = '\0';
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(name, sizeof name, "%s", entry->d_name);
            count++;
        }
    closedir(d);
    CU_ASSERT(count <= 1);
    CU_ASSERT(count == 0 || strncmp(name, PREFIX, strlen(PREFIX)) == 0);
    return name;
}

static void load(odezk_config **config)
{
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(test_dir(), config, NULL), ODEZK_OK);
}

static void assert_made(const char *id)
{
    size_t n = strlen(id);

    CU_ASSERT_FATAL(n > 7 && n <= 64);
    CU_ASSERT_EQUAL(id[n - 7], '-');
    CU_ASSERT_EQUAL(strspn(id + n - 6, "0123456789abcdef"), 6);
}

static void test_configured(void)
{
    odezk_config *config = NULL;
    char id[OZ_NODE_ID_SIZE];

    load(&config);
    CU_ASSERT_EQUAL(odezk_config_set(config, "node-id", "me", NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_node_id(config, id), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(id, "me");
    CU_ASSERT_STRING_EQUAL(kept_name(), "");
    odezk_config_free(config);
}

static void test_without_directory(void)
{
    odezk_config *config = NULL;
    char first[OZ_NODE_ID_SIZE], second[OZ_NODE_ID_SIZE];

    CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_node_id(config, second), ODEZK_OK);
    assert_made(first);
    CU_ASSERT_STRING_NOT_EQUAL(first, second);
    odezk_config_free(config);
}

static void test_kept(void)
{
    odezk_config *config = NULL, *copy = NULL;
    char first[OZ_NODE_ID_SIZE], second[OZ_NODE_ID_SIZE];
    struct stat st;
    mode_t mask = umask(077);

    load(&config);
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    umask(mask);
    assert_made(first);
    CU_ASSERT_EQUAL(stat(test_path(kept_name()), &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0644);
    CU_ASSERT_EQUAL(st.st_size, (off_t)strlen(first) + 1);
    CU_ASSERT_EQUAL_FATAL(odezk_config_copy(config, &copy), ODEZK_OK);
    odezk_config_free(config);
    CU_ASSERT_EQUAL(oz_node_id(copy, second), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(first, second);
    odezk_config_free(copy);
    test_clear();
}

/* Damaged in every way: it becomes a good one, and stays it. */
static void test_damaged(void)
{
    static const char *const damages[] = {
        "", "\n", "x", "host-12345\n", "other-123456\n", "-------\n", "no newline at the end"};
    odezk_config *config = NULL;
    char first[OZ_NODE_ID_SIZE], second[OZ_NODE_ID_SIZE], name[256];
    size_t i;

    load(&config);
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    snprintf(name, sizeof name, "%s", kept_name());
    for (i = 0; i < sizeof damages / sizeof *damages; i++) {
        test_write_text(name, damages[i]);
        CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
        CU_ASSERT_EQUAL(oz_node_id(config, second), ODEZK_OK);
        assert_made(first);
        CU_ASSERT_STRING_EQUAL(first, second);
        CU_ASSERT_STRING_EQUAL(kept_name(), name);
    }
    odezk_config_free(config);
    test_clear();
}

/* Where nothing can be kept, there still is an id. */
static void test_not_kept(void)
{
    odezk_config *config = NULL;
    char first[OZ_NODE_ID_SIZE], second[OZ_NODE_ID_SIZE], name[256];

    load(&config);
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    snprintf(name, sizeof name, "%s", kept_name());
    test_clear();
    CU_ASSERT_EQUAL(mkdir(test_path(name), 0755), 0); /* a directory is in the way */
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    CU_ASSERT_EQUAL(oz_node_id(config, second), ODEZK_OK);
    CU_ASSERT_STRING_NOT_EQUAL(first, second);
    test_clear();
    CU_ASSERT_EQUAL(symlink("nowhere", test_path(name)), 0);
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    assert_made(first);
    CU_ASSERT_STRING_EQUAL(kept_name(), name);
    test_clear();
    if (geteuid() == 0) { /* root may write everywhere, others not into this directory */
        CU_ASSERT_EQUAL(chmod(test_dir(), 0755), 0);
        CU_ASSERT_EQUAL(seteuid(65534), 0);
        CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
        CU_ASSERT_EQUAL(seteuid(0), 0);
        assert_made(first);
        CU_ASSERT_STRING_EQUAL(kept_name(), "");
    }
    odezk_config_free(config);
    CU_ASSERT_EQUAL(mkdir(test_path("gone"), 0755), 0);
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(test_path("gone"), &config, NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(rmdir(test_path("gone")), 0);
    CU_ASSERT_EQUAL(oz_node_id(config, first), ODEZK_OK);
    assert_made(first);
    odezk_config_free(config);
}

/* Many processes at once; each writes its id into a pipe. */
static void race(const odezk_config *config)
{
    char ids[PROCESSES][OZ_NODE_ID_SIZE] = {{0}};
    int ends[2], go[2], i, status;
    pid_t pids[PROCESSES];

    CU_ASSERT_EQUAL_FATAL(pipe(ends) | pipe(go), 0);
    for (i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char id[OZ_NODE_ID_SIZE] = "", c;

            close(go[1]);
            _exit(read(go[0], &c, 1) != 0 || oz_node_id(config, id) != ODEZK_OK ||
                  write(ends[1], id, sizeof id) != (ssize_t)sizeof id);
        }
    }
    close(go[0]);
    close(go[1]); /* all of them start here */
    for (i = 0; i < PROCESSES; i++) {
        CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
        CU_ASSERT_EQUAL(status, 0);
    }
    for (i = 0; i < PROCESSES; i++) {
        CU_ASSERT_EQUAL(read(ends[0], ids[i], sizeof ids[i]), (ssize_t)sizeof ids[i]);
        test_same("racing processes", ids[i], ids[0]);
    }
    close(ends[0]);
    close(ends[1]);
    assert_made(ids[0]);
}

static void test_race(void)
{
    odezk_config *config = NULL;
    char name[256];
    int i;

    load(&config);
    for (i = 0; i < 20; i++) {
        test_clear();
        race(config);
    }
    snprintf(name, sizeof name, "%s", kept_name());
    for (i = 0; i < 20; i++) {
        test_write_text(name, "damaged");
        race(config);
        CU_ASSERT_STRING_EQUAL(kept_name(), name);
    }
    odezk_config_free(config);
    test_clear();
}

static void test_no_memory(void)
{
    odezk_config *config = NULL;
    char id[OZ_NODE_ID_SIZE] = "untouched";
    long n;

    load(&config);
    for (n = 1;; n++) {
        oz_mem_fail_at(n);
        if (oz_node_id(config, id) == ODEZK_OK)
            break;
        CU_ASSERT_STRING_EQUAL(id, "untouched");
        CU_ASSERT_STRING_EQUAL(kept_name(), "");
    }
    oz_mem_fail_at(0);
    CU_ASSERT_EQUAL(n, 3);
    odezk_config_free(config);
    test_clear();
}

CU_TestInfo test_node_id[] = {{"configured", test_configured},
                              {"without a directory", test_without_directory},
                              {"kept", test_kept},
                              {"damaged", test_damaged},
                              {"not kept", test_not_kept},
                              {"many processes at once", test_race},
                              {"out of memory", test_no_memory},
                              CU_TEST_INFO_NULL};
