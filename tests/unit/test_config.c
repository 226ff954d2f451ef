/* The tests of the configuration: the runner and what the tests share. */
#include "test_config.h"

#include <CUnit/Basic.h>
#include <dirent.h>
#include <fcntl.h>
#include <odezk/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256];

const char *test_dir(void)
{
    return dir;
}

const char *test_path(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

void test_write(const char *name, const void *data, size_t size)
{
    int fd = open(test_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(write(fd, data, size), (ssize_t)size);
    CU_ASSERT_EQUAL_FATAL(close(fd), 0);
}

void test_write_text(const char *name, const char *text)
{
    test_write(name, text, strlen(text));
}

void test_clear(void)
{
    DIR *d = opendir(dir);
    struct dirent *entry;

    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            CU_ASSERT_EQUAL(remove(test_path(entry->d_name)), 0);
    closedir(d);
}

/* The names of all settings as a message lists them, the caller frees it. */
static char *all_names(void)
{
    size_t count, i, size;
    const odezk_setting *settings = odezk_settings(&count);
    char *text = NULL;
    FILE *f = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    for (i = 0; i < count; i++)
        fprintf(f, "%s%s", i ? ", " : "", settings[i].name);
    fclose(f);
    return text;
}

/* Prints a line with NAMES in the place of the list of all settings, so that tests need not know
 * it. */
static void print_line(FILE *f, const char *line)
{
    char *names = all_names();
    const char *at = strstr(line, names);

    if (at)
        fprintf(f, "%.*sNAMES%s", (int)(at - line), line, at + strlen(names));
    else
        fputs(line, f);
    free(names);
}

char *test_load(void)
{
    odezk_config *config = NULL;
    odezk_problems *problems = NULL;
    int rc = odezk_config_load(dir, &config, &problems);
    char *text = NULL;
    size_t size, i, n = strlen(dir);
    FILE *f = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_EQUAL(rc, odezk_problems_count(problems) ? ODEZK_ECONFIG : ODEZK_OK);
    CU_ASSERT_EQUAL(config != NULL, rc == ODEZK_OK);
    for (i = 0; i < odezk_problems_count(problems); i++) {
        const char *line = odezk_problems_at(problems, i)->text;

        if (strncmp(line, dir, n) == 0 && line[n] == '/')
            line += n + 1;
        fputs(i ? "\n" : "", f);
        print_line(f, line);
    }
    fclose(f);
    odezk_config_free(config);
    odezk_problems_free(problems);
    return text;
}

void test_same(const char *what, const char *got, const char *expected)
{
    bool same = got && strcmp(got, expected) == 0;

    CU_ASSERT(same);
    if (!same)
        fprintf(stderr, "\n--- input\n%s\n--- found\n%s\n--- expected\n%s\n", what, got ? got : "(null)", expected);
}

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");
    char *real = realpath(tmp && *tmp ? tmp : "/tmp", NULL);

    snprintf(dir, sizeof dir, "%s/odezk-test.XXXXXX", real ? real : "/tmp");
    free(real);
    if (!mkdtemp(dir))
        abort();
}

static void tear_down(void)
{
    test_clear();
    CU_ASSERT_EQUAL(rmdir(dir), 0);
}

int main(void)
{
    CU_SuiteInfo suites[] = {{"values", NULL, NULL, set_up, tear_down, test_values},
                             {"files", NULL, NULL, set_up, tear_down, test_files},
                             {"odd files", NULL, NULL, set_up, tear_down, test_odd_files},
                             {"calls", NULL, NULL, set_up, tear_down, test_api},
                             {"node id", NULL, NULL, set_up, tear_down, test_node_id},
                             CU_SUITE_INFO_NULL};
    unsigned failures;

    odezk_log_set_level(ODEZK_LOG_ERROR); /* damaged files and the like are warned of, on purpose */
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}
