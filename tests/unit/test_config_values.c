/* Values, one by one: what odezk_config_set() takes and what it says of what it does not. */
#include "test_config.h"

#include "config/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A16 "aaaaaaaaaaaaaaaa"
#define A60 A16 A16 A16 "aaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
#define A256 A64 A64 A64 A64
#define SERVERS_PATTERN                                                                                                \
    "HOST:PORT,... with PORT 1 to 65535 (2181 if left out), IPv6 as [::1]:2181, then perhaps a "                       \
    "chroot /PATH"
#define BASE_PATTERN "a ZooKeeper path such as /ode: absolute, no empty part, no '.' or '..', not below /zookeeper"

static const struct allowed {
    const char *name, *text;
} allowed[] = {
    {"servers", SERVERS_PATTERN},
    {"base", BASE_PATTERN},
    {"cluster", "1 to 64 characters of A-Z a-z 0-9 . _ - but not '.' or '..'"},
    {"node-id", "1 to 64 characters of A-Z a-z 0-9 . _ : @ + - but not '.' or '..', or auto"},
    {"session-timeout", "500 to 600000 (milliseconds)"},
    {"connect-timeout", "1 to 600000 (milliseconds)"},
    {"operation-timeout", "1 to 600000 (milliseconds)"},
    {"lease-margin", "1 to 600000 (milliseconds) or auto"},
    {"lease-lag", "0 to 600000 (milliseconds) or auto"},
    {"lease-write-period", "10 to 300000 (milliseconds) or auto"},
    {"lock-handovers", "0 to 1000000"},
    {"crash-leave", "true or false"},
    {"auth", "digest:USER:PASSWORD, or nothing"},
    {"log-level", "error, warn, info or debug"},
    {"log4c-file", "a readable file, absolute or relative to the configuration directory, or auto"},
};

static const struct bad {
    const char *name, *value, *found;
} bad[] = {
    {"servers", "", "no value"},
    {"servers", " \t\n", "no value"},
    {"servers", ",", "',' (server 1: nothing there)"},
    {"servers", "a:1,", "'a:1,' (server 2: nothing there)"},
    {"servers", ",a:1", "',a:1' (server 1: nothing there)"},
    {"servers", "a:1,,b:1", "'a:1,,b:1' (server 2: nothing there)"},
    {"servers", "a:1, b:1", "'a:1, b:1' (a blank inside)"},
    {"servers", "a :1", "'a :1' (a blank inside)"},
    {"servers", "a b", "'a b' (a blank inside)"},
    {"servers", "a\tb", "'a\\tb' (a character that no value may have)"},
    {"servers", "a:", "'a:' (server 1: no port after ':')"},
    {"servers", "a:0", "'a:0' (server 1: the port is 0)"},
    {"servers", "a:00", "'a:00' (server 1: the port is 0)"},
    {"servers", "b,a:65536", "'b,a:65536' (server 2: the port is above 65535)"},
    {"servers", "a:027822", "'a:027822' (server 1: the port has more than five digits)"},
    {"servers", "a:99999", "'a:99999' (server 1: the port is above 65535)"},
    {"servers", "a:4294967297", "'a:4294967297' (server 1: the port is above 65535)"},
    {"servers", "a:-1", "'a:-1' (server 1: the port is not a number)"},
    {"servers", "a:+1", "'a:+1' (server 1: the port is not a number)"},
    {"servers", "a:21x", "'a:21x' (server 1: the port is not a number)"},
    {"servers", "a:http", "'a:http' (server 1: the port is not a number)"},
    {"servers", ":2181", "':2181' (server 1: no host)"},
    {"servers", ":", "':' (server 1: no host)"},
    {"servers", "::1", "'::1' (server 1: an IPv6 address needs brackets, as in [::1]:2181)"},
    {"servers", "::1:2181", "'::1:2181' (server 1: an IPv6 address needs brackets, as in [::1]:2181)"},
    {"servers", "a:1:2", "'a:1:2' (server 1: an IPv6 address needs brackets, as in [::1]:2181)"},
    {"servers", "[::1", "'[::1' (server 1: no ']' after the IPv6 address)"},
    {"servers", "[", "'[' (server 1: no ']' after the IPv6 address)"},
    {"servers", "[]", "'[]' (server 1: no host)"},
    {"servers", "[]:1", "'[]:1' (server 1: no host)"},
    {"servers", "[::1]2181", "'[::1]2181' (server 1: something other than :PORT after ']')"},
    {"servers", "[::1]]:1", "'[::1]]:1' (server 1: something other than :PORT after ']')"},
    {"servers", "[::1]:", "'[::1]:' (server 1: no port after ':')"},
    {"servers", "[::g]:1", "'[::g]:1' (server 1: no IPv6 address in the brackets)"},
    {"servers", "[1.2.3.4]:1", "'[1.2.3.4]:1' (server 1: no IPv6 address in the brackets)"},
    {"servers", "[localhost]:1", "'[localhost]:1' (server 1: no IPv6 address in the brackets)"},
    {"servers", "[[::1]]", "'[[::1]]' (server 1: something other than :PORT after ']')"},
    {"servers", "[" A64 "]", "'[" A16 A16 A16 "aaaaaaaaaaa'... (server 1: no IPv6 address in the brackets)"},
    {"servers", "[fe80::1%]", "'[fe80::1%]' (server 1: no name of an interface after '%')"},
    {"servers", "[fe80::1%e/0]", "'[fe80::1%e/0]' (server 1: no ']' after the IPv6 address)"},
    {"servers", "a]:1", "'a]:1' (server 1: the host has a character other than A-Z a-z 0-9 . _ -)"},
    {"servers", "user@a:1", "'user@a:1' (server 1: the host has a character other than A-Z a-z 0-9 . _ -)"},
    {"servers", "a;b", "'a;b' (server 1: the host has a character other than A-Z a-z 0-9 . _ -)"},
    {"servers", "h\xc3\xb6st", "'h\xc3\xb6st' (server 1: the host has a character other than A-Z a-z 0-9 . _ -)"},
    {"servers", "h\xf6st", "'h\\xf6st' (a character that no value may have)"},
    {"servers", "zk://a:1", "'zk://a:1' (server 1: no port after ':')"},
    {"servers", "1.2.3", "'1.2.3' (server 1: no IPv4 address)"},
    {"servers", "1.2.3.256:1", "'1.2.3.256:1' (server 1: no IPv4 address)"},
    {"servers", "2181", "'2181' (server 1: no IPv4 address)"},
    {"servers", "a..b", "'a..b' (server 1: the host has an empty part)"},
    {"servers", ".a", "'.a' (server 1: the host has an empty part)"},
    {"servers", "a..", "'a..' (server 1: the host has an empty part)"},
    {"servers", A64, "'" A60 "'... (server 1: the host has a part of more than 63 characters)"},
    {"servers", A256, "'" A60 "'... (server 1: the host has more than 253 characters)"},
    {"servers", "/ode", "'/ode' (no server)"},
    {"servers", "/", "'/' (no server)"},
    {"servers", "a:1//b", "'a:1//b' (chroot: an empty part)"},
    {"servers", "a:1/b/", "'a:1/b/' (chroot: a '/' at the end)"},
    {"servers", "a:1//", "'a:1//' (chroot: a '/' at the end)"},
    {"servers", "a:1/b/./c", "'a:1/b/./c' (chroot: a part '.' or '..')"},
    {"servers", "a:1/..", "'a:1/..' (chroot: a part '.' or '..')"},
    {"servers", "a:1/zookeeper/x", "'a:1/zookeeper/x' (chroot: /zookeeper belongs to the servers)"},
    {"servers", "a:1/b,c:1/b", "'a:1/b,c:1/b' (the chroot comes once, after the last server)"},
    {"servers", "a:1/b\xf0\x9f\x98\x80", "'a:1/b\xf0\x9f\x98\x80' (chroot: a character that ZooKeeper refuses)"},
    {"base", "", "no value"},
    {"base", "ode", "'ode' (no '/' at the beginning)"},
    {"base", "ode/", "'ode/' (no '/' at the beginning)"},
    {"base", "/ode/", "'/ode/' (a '/' at the end)"},
    {"base", "//", "'//' (a '/' at the end)"},
    {"base", "//ode", "'//ode' (an empty part)"},
    {"base", "/a//b", "'/a//b' (an empty part)"},
    {"base", "/.", "'/.' (a part '.' or '..')"},
    {"base", "/a/../b", "'/a/../b' (a part '.' or '..')"},
    {"base", "/a/./b", "'/a/./b' (a part '.' or '..')"},
    {"base", "/zookeeper", "'/zookeeper' (/zookeeper belongs to the servers)"},
    {"base", "/zookeeper/quota", "'/zookeeper/quota' (/zookeeper belongs to the servers)"},
    {"base", "/a\x01", "'/a\\x01' (a character that no value may have)"},
    {"base", "/a\nb", "'/a\\nb' (a character that no value may have)"},
    {"base", "/\xc2\x85", "'/\\u0085' (a character that no value may have)"},
    {"base", "/\xee\x80\x80", "'/\xee\x80\x80' (a character that ZooKeeper refuses)"},
    {"base", "/\xef\xbf\xbf", "'/\xef\xbf\xbf' (a character that ZooKeeper refuses)"},
    {"base", "/\xc0\xaf", "'/\\xc0\\xaf' (a character that no value may have)"},
    {"base", "/\xed\xa0\x80", "'/\\ud800' (a character that no value may have)"},
    {"base", "/\xf4\x90\x80\x80", "'/\\xf4\\x90\\x80\\x80' (a character that no value may have)"},
    {"base", "/\xe2\x82", "'/\\xe2\\x82' (a character that no value may have)"},
    {"base", "/" A256 A256, "'/" A16 A16 A16 "aaaaaaaaaaa'... (it has more than 512 bytes)"},
    {"cluster", "", "no value"},
    {"cluster", ".", "'.'"},
    {"cluster", "..", "'..'"},
    {"cluster", "a b", "'a b'"},
    {"cluster", "a/b", "'a/b'"},
    {"cluster", "a:b", "'a:b'"},
    {"cluster", "a'b\\c", "'a\\'b\\\\c'"},
    {"cluster", "${x}", "'${x}'"},
    {"cluster", "\xc3\xa4", "'\xc3\xa4'"},
    {"cluster",
     "a\xe2\x80\xae"
     "b",
     "'a\\u202eb'"},
    {"cluster", "a\xef\xbb\xbf", "'a\\ufeff'"},
    {"cluster", "\x1b[31mred", "'\\x1b[31mred' (a character that no value may have)"},
    {"cluster", A64 "a", "'" A60 "'... (it has more than 64 bytes)"},
    {"cluster", "digest:u:p", "a value that is not shown"},
    {"node-id", "", "no value"},
    {"node-id", ".", "'.'"},
    {"node-id", "..", "'..'"},
    {"node-id", "a#1", "'a#1'"},
    {"node-id", "a/b", "'a/b'"},
    {"node-id", "a b", "'a b'"},
    {"node-id", "a,b", "'a,b'"},
    {"node-id", A64 "a", "'" A60 "'... (it has more than 64 bytes)"},
    {"session-timeout", "", "no value"},
    {"session-timeout", "499", "'499'"},
    {"session-timeout", "600001", "'600001'"},
    {"session-timeout", "-1", "'-1'"},
    {"session-timeout", "+1000", "'+1000'"},
    {"session-timeout", "0", "'0'"},
    {"session-timeout", "1000.5", "'1000.5'"},
    {"session-timeout", "1e4", "'1e4'"},
    {"session-timeout", "10s", "'10s'"},
    {"session-timeout", "0x3e8", "'0x3e8'"},
    {"session-timeout", "1 000", "'1 000'"},
    {"session-timeout", "1,000", "'1,000'"},
    {"session-timeout", "\xd9\xa1\xd9\xa0\xd9\xa0\xd9\xa0", "'\xd9\xa1\xd9\xa0\xd9\xa0\xd9\xa0'"},
    {"session-timeout", "auto", "'auto'"},
    {"session-timeout", "18446744073709552616", "'18446744073709552616'"},
    {"session-timeout", "99999999999999999999999999999999999999", "'99999999999999999999999999999999999999'"},
    {"connect-timeout", "0", "'0'"},
    {"connect-timeout", "600001", "'600001'"},
    {"operation-timeout", "0", "'0'"},
    {"operation-timeout", "never", "'never'"},
    {"lease-margin", "", "no value"},
    {"lease-margin", "0", "'0'"},
    {"lease-margin", "Auto", "'Auto'"},
    {"lease-margin", "600001", "'600001'"},
    {"lease-lag", "-1", "'-1'"},
    {"lease-lag", "autos", "'autos'"},
    {"lease-write-period", "9", "'9'"},
    {"lease-write-period", "300001", "'300001'"},
    {"lock-handovers", "-1", "'-1'"},
    {"lock-handovers", "1000001", "'1000001'"},
    {"lock-handovers", "auto", "'auto'"},
    {"crash-leave", "yes", "'yes'"},
    {"crash-leave", "TRUE", "'TRUE'"},
    {"crash-leave", "1", "'1'"},
    {"auth", "secret", "a value that is not shown (it does not begin with digest:)"},
    {"auth", "DIGEST:u:p", "a value that is not shown (it does not begin with digest:)"},
    {"auth", "digest", "a value that is not shown (it does not begin with digest:)"},
    {"auth", "digest:", "a value that is not shown (there is no user after digest:)"},
    {"auth", "digest::p", "a value that is not shown (there is no user after digest:)"},
    {"auth", "digest:u", "a value that is not shown (there is no password after the user)"},
    {"auth", "digest:u:", "a value that is not shown (there is no password after the user)"},
    {"auth", "digest:u:p\nq", "a value that is not shown (a character that no value may have)"},
    {"auth", "digest:u:p\xff", "a value that is not shown (a character that no value may have)"},
    {"auth", "digest:u:" A256 A256 A256 A256, "a value that is not shown (it has more than 1024 bytes)"},
    {"log-level", "", "no value"},
    {"log-level", "INFO", "'INFO'"},
    {"log-level", "inf", "'inf'"},
    {"log-level", "error|warn", "'error|warn'"},
    {"log-level", "|", "'|'"},
    {"log-level", "3", "'3'"},
    {"log4c-file", "", "no value"},
    {"log4c-file", "a\x7f", "'a\\x7f' (a character that no value may have)"},
};

static const struct good {
    const char *name, *value, *text; /* text: what it reads then */
    int64_t number;
} good[] = {
    {"servers", "a", "a", -1},
    {"servers", "  a:1\n", "a:1", -1},
    {"servers", "a.b-c_d.:65535", "a.b-c_d.:65535", -1},
    {"servers", "1.2.3.4:00001,[::1],[fe80::1%eth0]:2,[::ffff:1.2.3.4]",
     "1.2.3.4:00001,[::1],[fe80::1%eth0]:2,[::ffff:1.2.3.4]", -1},
    {"servers", "a/", "a/", -1},
    {"servers", "a,b:1/c/d.e", "a,b:1/c/d.e", -1},
    {"base", "/", "/", -1},
    {"base", "/...", "/...", -1},
    {"base", "/a b/\xc3\xa4", "/a b/\xc3\xa4", -1},
    {"base", "/zookeepers", "/zookeepers", -1},
    {"base", "/a/zookeeper", "/a/zookeeper", -1},
    {"cluster", A64, A64, -1},
    {"cluster", "...", "...", -1},
    {"cluster", "A.b_c-9", "A.b_c-9", -1},
    {"node-id", "a@b:1+2", "a@b:1+2", -1},
    {"node-id", "auto", "auto", -1},
    {"session-timeout", "500", "500", 500},
    {"session-timeout", " 600000 ", "600000", 600000},
    {"session-timeout", "00000000000000000000000000000000010000", "00000000000000000000000000000000010000", 10000},
    {"connect-timeout", "1", "1", 1},
    {"lease-margin", "auto", "auto", -1},
    {"lease-lag", "0", "0", 0},
    {"lease-lag", "000", "000", 0},
    {"lock-handovers", "1000000", "1000000", 1000000},
    {"crash-leave", "true", "true", 1},
    {"crash-leave", " false ", "false", 0},
    {"auth", "", "", -1},
    {"auth", "digest:u:p:q r", "digest:u:p:q r", -1},
    {"log-level", "debug", "debug", -1},
    {"log4c-file", "./x y", "./x y", -1},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *allowed_for(const char *name)
{
    size_t i;

    for (i = 0; i < COUNT(allowed); i++)
        if (strcmp(allowed[i].name, name) == 0)
            return allowed[i].text;
    return "(not in the test's list)";
}

static void test_bad_values(void)
{
    char expected[1024];
    odezk_config *config;
    size_t i;

    CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
    for (i = 0; i < COUNT(bad); i++) {
        snprintf(expected, sizeof expected, "%s: found %s, allowed: %s", bad[i].name, bad[i].found,
                 allowed_for(bad[i].name));
        CU_ASSERT_EQUAL(odezk_config_set(config, bad[i].name, bad[i].value, NULL), ODEZK_ECONFIG);
        test_same(bad[i].value, odezk_last_error(), expected);
        CU_ASSERT_STRING_EQUAL(odezk_config_source(config, bad[i].name), "default");
    }
    odezk_config_free(config);
}

/* Also from a file, where the schema has to agree. */
static void test_good_values(void)
{
    char xml[1024], expected[1024];
    odezk_config *config;
    size_t i;

    test_write_text("x y", "");
    for (i = 0; i < COUNT(good); i++) {
        CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
        CU_ASSERT_EQUAL(odezk_config_set(config, good[i].name, good[i].value, NULL), ODEZK_OK);
        test_same(good[i].value, odezk_config_get(config, good[i].name), good[i].text);
        CU_ASSERT_EQUAL(odezk_config_number(config, good[i].name), good[i].number);
        odezk_config_free(config);

        snprintf(xml, sizeof xml, "<ode-cluster><%s>%s</%s></ode-cluster>", good[i].name, good[i].value, good[i].name);
        test_write_text("ode-cluster.xml", xml);
        config = NULL;
        CU_ASSERT_EQUAL(odezk_config_load(test_dir(), &config, NULL), ODEZK_OK);
        if (strcmp(good[i].name, "log4c-file") == 0)
            snprintf(expected, sizeof expected, "%s/%s", test_dir(), good[i].text);
        else
            snprintf(expected, sizeof expected, "%s", good[i].text);
        test_same(xml, odezk_config_get(config, good[i].name), expected);
        odezk_config_free(config);
    }
}

/* The description of every setting is complete, and its default is a value that it allows. */
static void test_table(void)
{
    size_t count, i;
    const odezk_setting *settings = odezk_settings(&count);
    odezk_config *config;

    CU_ASSERT_EQUAL(odezk_settings(NULL), settings);
    CU_ASSERT_EQUAL_FATAL(odezk_config_new(&config), ODEZK_OK);
    for (i = 0; i < count; i++) {
        const odezk_setting *s = &settings[i];

        CU_ASSERT(strlen(s->name) > 0 && strlen(s->allowed) > 0 && strlen(s->description) > 20);
        CU_ASSERT_PTR_NOT_NULL(strstr("string integer milliseconds boolean choice", s->type));
        CU_ASSERT_EQUAL(s->secret, strcmp(s->name, "auth") == 0);
        test_same(s->name, odezk_config_get(config, s->name), s->default_value);
        CU_ASSERT_EQUAL(odezk_config_set(config, s->name, s->default_value, NULL), ODEZK_OK);
        CU_ASSERT_STRING_EQUAL(odezk_config_source(config, s->name), "program");
        test_same(s->name, odezk_config_get(config, s->name), s->default_value);
    }
    odezk_config_free(config);
}

static void test_servers(void)
{
    struct oz_servers servers = {0};
    char why[128];

    CU_ASSERT_EQUAL_FATAL(oz_servers_parse("a,[::1]:1,b:65535/c/d", &servers, why, sizeof why), ODEZK_OK);
    CU_ASSERT_EQUAL_FATAL(servers.count, 3);
    CU_ASSERT_STRING_EQUAL(servers.items[0].host, "a");
    CU_ASSERT_EQUAL(servers.items[0].port, 2181);
    CU_ASSERT_STRING_EQUAL(servers.items[1].host, "::1");
    CU_ASSERT_EQUAL(servers.items[1].port, 1);
    CU_ASSERT_STRING_EQUAL(servers.items[2].host, "b");
    CU_ASSERT_EQUAL(servers.items[2].port, 65535);
    CU_ASSERT_STRING_EQUAL(servers.chroot, "/c/d");
    CU_ASSERT_EQUAL(oz_servers_parse("", &servers, why, sizeof why), ODEZK_ECONFIG);
    CU_ASSERT_STRING_EQUAL(why, "no server");
    CU_ASSERT_EQUAL(servers.count, 3); /* untouched */
    oz_servers_free(&servers);
    CU_ASSERT_EQUAL_FATAL(oz_servers_parse("a/", &servers, why, sizeof why), ODEZK_OK);
    CU_ASSERT_PTR_NULL(servers.chroot);
    oz_servers_free(&servers);
    oz_servers_free(&servers);
}

CU_TestInfo test_values[] = {{"the table of settings", test_table},
                             {"values that are allowed", test_good_values},
                             {"values that are not", test_bad_values},
                             {"the connect string in its parts", test_servers},
                             CU_TEST_INFO_NULL};
