/* Files that are no text, no files, too big, too deep, too many, and what happens when memory runs
 * out. */
#include "test_config.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define X "ode-cluster.xml"
#define P "ode-axis2.properties"
#define K "ode-axis2.clustering.zookeeper."
#define MIB ((size_t)1 << 20)

static void expect(const char *what, const char *expected)
{
    char *text = test_load();

    test_same(what, text, expected);
    free(text);
    test_clear();
}

static void test_no_files(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    CU_ASSERT_EQUAL(mkdir(test_path(X), 0755), 0);
    expect("a directory", X ": found a directory, allowed: a regular file");
    CU_ASSERT_EQUAL(mkfifo(test_path(X), 0644), 0);
    expect("a fifo", X ": found a pipe, socket or device, allowed: a regular file");
    CU_ASSERT_EQUAL(mkfifo(test_path(P), 0644), 0);
    expect("a fifo", P ": found a pipe, socket or device, allowed: a regular file");
    CU_ASSERT_EQUAL(symlink("/dev/zero", test_path(X)), 0);
    expect("a device", X ": found a pipe, socket or device, allowed: a regular file");
    CU_ASSERT_EQUAL(symlink("nowhere", test_path(X)), 0);
    expect("a dangling link", X ": found a symbolic link to nothing, allowed: a file or a link to one");
    CU_ASSERT_EQUAL(symlink("nowhere", test_path(P)), 0);
    expect("a dangling link", P ": found a symbolic link to nothing, allowed: a file or a link to one");
    CU_ASSERT_EQUAL(symlink(X, test_path(X)), 0);
    expect("a link to itself", X ": found a file that cannot be read (Too many levels of symbolic "
                                 "links), allowed: a readable file");
    snprintf(address.sun_path, sizeof address.sun_path, "%s", test_path(X));
    CU_ASSERT_EQUAL(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    expect("a socket", X ": found a file that cannot be read (No such device or address), "
                         "allowed: a readable file");
    close(s);
}

static void test_unreadable(void)
{
    uid_t uid = geteuid();

    test_write_text(X, "<ode-cluster/>");
    CU_ASSERT_EQUAL(chmod(test_path(X), 0), 0);
    CU_ASSERT_EQUAL(chmod(test_dir(), 0755), 0);
    if (uid == 0)
        CU_ASSERT_EQUAL(seteuid(65534), 0);
    char *text = test_load();
    if (uid == 0)
        CU_ASSERT_EQUAL(seteuid(uid), 0);
    test_same("no permission", text,
              X ": found a file that cannot be read (Permission denied), allowed: a readable file");
    free(text);
    test_clear();
}

static void test_links(void)
{
    test_write_text("real.xml", "<ode-cluster>\n<x></ode-cluster>");
    CU_ASSERT_EQUAL(symlink("real.xml", test_path(X)), 0);
    test_write_text(P, "");
    expect("a link", X ":2: found the unknown setting 'x', allowed: NAMES\n" X
                       ":2: found malformed XML (an end tag that does not match the start tag), "
                       "allowed: well-formed XML");
}

static void write_filled(const char *name, const char *begin, char fill, size_t size, const char *end)
{
    char *data = malloc(size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    memset(data, fill, size);
    memcpy(data, begin, strlen(begin));
    memcpy(data + size - strlen(end), end, strlen(end));
    test_write(name, data, size);
    free(data);
}

static void test_sizes(void)
{
    write_filled(X, "<ode-cluster>", ' ', MIB, "</ode-cluster>");
    expect("1 MiB", "");
    write_filled(X, "<ode-cluster>", ' ', MIB + 1, "</ode-cluster>");
    expect("1 MiB and 1", X ": found a file of more than 1 MiB, allowed: at most 1 MiB");
    write_filled(X, "<ode-cluster>", ' ', 2 * MIB, "</ode-cluster>");
    expect("2 MiB", X ": found a file of more than 1 MiB, allowed: at most 1 MiB");
    write_filled(P, "#", 'x', MIB, "");
    expect("a comment of 1 MiB", "");
    write_filled(P, "a=", '\\', MIB, "");
    expect("backslashes", "");
    write_filled(P, "#", 'x', 2 * MIB, "");
    expect("2 MiB", P ": found a file of more than 1 MiB, allowed: at most 1 MiB");
    write_filled(X, "<ode-cluster><cluster>", 'x', MIB, "</cluster></ode-cluster>");
    expect("a long value", X ":1: cluster: found 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'... "
                             "(it has more than 64 bytes), allowed: 1 to 64 characters of A-Z a-z 0-9 . _ - but "
                             "not '.' or '..'");
}

/* Lines beyond what libxml2 keeps in its tree. */
static void test_far_lines(void)
{
    char *data = malloc(MIB);
    const char *end = "<cluster\na='b'>,</cluster>\nx</ode-cluster>";
    size_t n;

    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    n = (size_t)sprintf(data, "<ode-cluster>");
    memset(data + n, '\n', 99999);
    memcpy(data + n + 99999, end, strlen(end));
    test_write(X, data, n + 99999 + strlen(end));
    expect("100,000 lines", X ":100000: cluster: found ',', allowed: 1 to 64 characters of A-Z a-z 0-9 . _ - but "
                              "not '.' or '..'\n" X ":100001: found the attribute 'a' of 'cluster', allowed: none\n" X
                              ":100002: found text between the settings, allowed: elements only");
    memset(data, '\n', 99999);
    strcpy(data + 99999, "<ode-cluster><base></ode-cluster>");
    test_write_text(X, data);
    expect("100,000 lines", X ":100000: found malformed XML inside 'base' (an end tag that does not match the start "
                              "tag), allowed: well-formed XML");
    memset(data, '\n', 99999);
    strcpy(data + 99999, K "cluster=\\\n\\\n\\u");
    test_write_text(P, data);
    expect("100,000 lines", P ":100002: found a malformed \\uXXXX, allowed: four hexadecimal digits after \\u");
    free(data);
}

static void test_depth(void)
{
    char *data = malloc(MIB);
    size_t i;

    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    for (i = 0; i < 300000; i++)
        memcpy(data + 3 * i, "<a>", 3);
    test_write(X, data, 3 * i);
    free(data);
    expect("deep", X ":1: found the root element 'a', allowed: 'ode-cluster'\n" X
                     ":1: found elements nested more than 16 deep, allowed: settings inside "
                     "'ode-cluster'");
}

/* 200,000 mistakes are told as 1,000 and a word about the others. */
static void test_many_mistakes(void)
{
    odezk_problems *problems = NULL;
    odezk_config *config = NULL;
    char *data = malloc(MIB);
    size_t n, i;

    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    n = (size_t)sprintf(data, "<ode-cluster>");
    for (i = 0; i < 200000; i++, n += 5)
        memcpy(data + n, "\n<a/>", 5);
    test_write(X, data, n);
    free(data);
    CU_ASSERT_EQUAL(odezk_config_load(test_dir(), &config, &problems), ODEZK_ECONFIG);
    CU_ASSERT_EQUAL_FATAL(odezk_problems_count(problems), 1001);
    CU_ASSERT_EQUAL(odezk_problems_at(problems, 999)->line, 1001);
    CU_ASSERT_STRING_EQUAL(odezk_problems_at(problems, 1000)->message,
                           "found more mistakes than can be shown, allowed: none");
    CU_ASSERT_PTR_NULL(odezk_problems_at(problems, 1001));
    CU_ASSERT_PTR_NOT_NULL(strstr(odezk_last_error(), "(and 1000 more)"));
    odezk_problems_free(problems);
    test_clear();
}

static void test_bytes(void)
{
    static const char nul[] = "<ode-cluster>\n<base>/a\0b</base></ode-cluster>";
    static const char little[] = "\xff\xfe<\0o\0d\0e\0-\0c\0l\0u\0s\0t\0e\0r\0>\0\n\0<\0a\0/\0>\0"
                                 "<\0/\0o\0d\0e\0-\0c\0l\0u\0s\0t\0e\0r\0>\0";
    static const char big[] = "\xfe\xff\0<\0o\0d\0e\0-\0c\0l\0u\0s\0t\0e\0r\0/\0>";
    static const char odd[] = "\xfe\xff\0<\0o\0d\0e\0-\0c\0l\0u\0s\0t\0e\0r\0/\0>\0";
    static const char property[] = K "cluster=a\0b";

    test_write(X, nul, sizeof nul - 1);
    expect("NUL", X ":2: found a NUL byte, allowed: text");
    test_write(X, "\0\0\0\0", 4);
    expect("NULs", X ":1: found a NUL byte, allowed: text");
    test_write(X, little, sizeof little - 1);
    expect("UTF-16LE", X ":2: found the unknown setting 'a', allowed: NAMES");
    test_write(X, big, sizeof big - 1);
    expect("UTF-16BE", "");
    test_write(X, odd, sizeof odd - 1);
    expect("half a character at the end",
           X ":1: found bytes that are not text in the file's encoding, allowed: UTF-8, or what "
             "the XML declaration names");
    test_write(X, "\xff\xfe<\0\0\0", 6);
    expect("UTF-16 NUL", X ":1: found a NUL byte, allowed: text");
    test_write(X, "\xff\xfe", 2);
    expect("only a BOM", X ":1: found an empty file, allowed: an element 'ode-cluster'");
    test_write(P, property, sizeof property - 1);
    expect("NUL in a property",
           P ":1: cluster: found 'a\\u0000b' (a character that no value may have), allowed: 1 to 64 "
             "characters of A-Z a-z 0-9 . _ - but not '.' or '..'");
}

/* The name of the directory is not ours to choose. */
static void test_directory_names(void)
{
    odezk_config *config = NULL;
    odezk_problems *problems = NULL;
    char path[512];

    snprintf(path, sizeof path, "%s/a\nb", test_dir());
    CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
    test_write_text("a\nb/" X, "x");
    CU_ASSERT_EQUAL(odezk_config_load(path, &config, &problems), ODEZK_ECONFIG);
    CU_ASSERT_PTR_NOT_NULL_FATAL(odezk_problems_at(problems, 0));
    CU_ASSERT_PTR_NOT_NULL(strstr(odezk_problems_at(problems, 0)->file, "/a\nb/" X));
    CU_ASSERT_PTR_NOT_NULL(strstr(odezk_problems_at(problems, 0)->text, "/a\\nb/" X ":1: "));
    odezk_problems_free(problems);
    unlink(test_path("a\nb/" X));
    test_clear();
}

static const char full_xml[] = "<?xml version='1.0'?>\n<ode-cluster>\n<servers>a:1,[::1]:2/x</servers><base>/b</base>\n"
                               "<session-timeout>8000</session-timeout><log-level>debug</log-level>\n%s</ode-cluster>";
static const char full_properties[] =
    "a=${b}\nb=c\n" K "cluster=${a}${user.name}\n" K "auth=digest:u:p\n" K "log4c-file=l\n" K "config=other.xml\n%s";

/* One load in which the n-th allocation fails; true when there was none to fail. */
static bool load_failing(long n, const char *what, int expected)
{
    odezk_config *config = NULL;
    odezk_problems *problems = NULL;
    long before = oz_mem_count();
    bool failed;
    int rc;

    oz_mem_fail_at(n);
    rc = odezk_config_load(test_dir(), &config, &problems);
    oz_mem_fail_at(0);
    failed = oz_mem_count() - before >= n;
    CU_ASSERT_EQUAL(rc, failed ? ODEZK_ENOMEM : expected);
    CU_ASSERT_EQUAL(config != NULL, rc == ODEZK_OK);
    CU_ASSERT_EQUAL(problems != NULL, rc == ODEZK_ECONFIG);
    if (rc != (failed ? ODEZK_ENOMEM : expected))
        fprintf(stderr, "\n%s: allocation %ld fails: %d\n", what, n, rc);
    odezk_config_free(config);
    odezk_problems_free(problems);
    return !failed;
}

static void write_full(const char *more_xml, const char *more_properties)
{
    char text[2048];

    test_write_text("l", "");
    snprintf(text, sizeof text, full_xml, more_xml);
    test_write_text("other.xml", text);
    snprintf(text, sizeof text, full_properties, more_properties);
    test_write_text(P, text);
}

static void test_no_memory(void)
{
    long n;

    write_full("", "");
    for (n = 1; !load_failing(n, "good", ODEZK_OK); n++)
        ;
    CU_ASSERT(n > 50);
    write_full("text<x a='b'/><lease-lag>9999</lease-lag><base/><cluster a='b'>,</cluster>",
               K "y=z\nz=\\u\n" K "node-id=${no}\n" K "servers=,");
    for (n = 1; !load_failing(n, "bad", ODEZK_ECONFIG); n++)
        ;
    CU_ASSERT(n > 100);
    test_clear();
}

CU_TestInfo test_odd_files[] = {{"what is no file", test_no_files},
                                {"no permission", test_unreadable},
                                {"links", test_links},
                                {"sizes", test_sizes},
                                {"lines beyond 65,535", test_far_lines},
                                {"depth", test_depth},
                                {"many mistakes", test_many_mistakes},
                                {"bytes", test_bytes},
                                {"odd directories", test_directory_names},
                                {"out of memory", test_no_memory},
                                CU_TEST_INFO_NULL};
