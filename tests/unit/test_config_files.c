/* Whole files: every mistake once, in order, in our words, and where good values come from. */
#include "test_config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define X "ode-cluster.xml"
#define P "ode-axis2.properties"
#define K "ode-axis2.clustering.zookeeper."
#define NAMES "NAMES" /* see test_load() */
#define SERVERS                                                                                                        \
    "HOST:PORT,... with PORT 1 to 65535 (2181 if left out), IPv6 as [::1]:2181, then perhaps a "                       \
    "chroot /PATH"
#define CLUSTER "1 to 64 characters of A-Z a-z 0-9 . _ - but not '.' or '..'"
#define BASE "a ZooKeeper path such as /ode: absolute, no empty part, no '.' or '..', not below /zookeeper"
#define AUTH "digest:USER:PASSWORD, or nothing"
#define TIMEOUT "500 to 600000 (milliseconds)"
#define BETWEEN "found text between the settings, allowed: elements only"
#define DOCTYPE "found a DOCTYPE, allowed: none, and no entities"
#define DEEP "found elements nested more than 16 deep, allowed: settings inside 'ode-cluster'"
#define ROOT(name) "found the root element '" name "', allowed: 'ode-cluster'"
#define EMPTY "found an empty file, allowed: an element 'ode-cluster'"
#define NUL "found a NUL byte, allowed: text"
#define MALFORMED(what) "found malformed XML (" what "), allowed: well-formed XML"
#define MALFORMED_IN(name, what) "found malformed XML inside '" name "' (" what "), allowed: well-formed XML"
#define EARLY "the end of the file before the end tag"
#define MISMATCH "an end tag that does not match the start tag"
#define NOTHING "a '&' or '<' that begins nothing; write &amp; or &lt;"
#define ENTITY "an entity other than &lt; &gt; &amp; &quot; &apos;"
#define ATTRIBUTE "an attribute that is not NAME=\"VALUE\""
#define CHARACTER "a character that XML does not allow"
#define ENCODING                                                                                                       \
    "found bytes that are not text in the file's encoding, allowed: UTF-8, or what the XML "                           \
    "declaration names"
#define UNKNOWN_ENCODING                                                                                               \
    "found an unknown encoding in the XML declaration, allowed: UTF-8, UTF-16, ISO-8859-1 and "                        \
    "others by their IANA names"
#define HEX "found a malformed \\uXXXX, allowed: four hexadecimal digits after \\u"
#define UNDEFINED                                                                                                      \
    "which nothing defines, allowed: keys of this file, env.NAME, user.home, user.dir, "                               \
    "user.name, java.io.tmpdir, file.separator, org.apache.ode.configDir"
#define UNSET "which is not in the environment, allowed: variables that are set"
#define CIRCLE "which leads back to itself, allowed: no circles"
#define FILLED(s) s s s s s s s s s s s s s s s s s s s s

/* Settings in the element that belongs around them. */
#define IN(settings) "<ode-cluster>" settings "</ode-cluster>"

static const struct bad {
    const char *xml, *properties, *expected;
} bad[] = {
    /* the root and what is around it */
    {"", NULL, X ":1: " EMPTY},
    {" \n\t\r\n ", NULL, X ":1: " EMPTY},
    {"\xef\xbb\xbf\n", NULL, X ":1: " EMPTY},
    {"hello", NULL, X ":1: " MALFORMED("no element where 'ode-cluster' should begin")},
    {"\n\n  servers=a", NULL, X ":3: " MALFORMED("no element where 'ode-cluster' should begin")},
    {"<!-- only this -->\n", NULL, X ":2: " MALFORMED("no element where 'ode-cluster' should begin")},
    {"<ode-clusters/>", NULL, X ":1: " ROOT("ode-clusters")},
    {"<!-- c -->\n<Ode-Cluster/>", NULL, X ":2: " ROOT("Ode-Cluster")},
    {"<configuration><servers>,</servers></configuration>", NULL, X ":1: " ROOT("configuration")},
    {"<servers>a</servers>", NULL, X ":1: " ROOT("servers")},
    {"<a:ode-cluster/>", NULL, X ":1: " ROOT("a:ode-cluster")},
    {"<ode-cluster xmlns='urn:x'><a/></ode-cluster>", NULL,
     X ":1: found the root element 'ode-cluster' in the namespace 'urn:x', allowed: no namespace"},
    {"<ode-cluster xmlns:a='urn:x'\n a:b='c'/>", NULL,
     X ":2: found the attribute 'a:b' of 'ode-cluster', allowed: none"},
    {"<ode-cluster\n\n version='1'>\n</ode-cluster>", NULL,
     X ":3: found the attribute 'version' of 'ode-cluster', allowed: none"},
    {"<ode-cluster xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:type='a'/>", NULL,
     X ":1: found the attribute 'xsi:type' of 'ode-cluster', allowed: none"},
    {IN("") "\n<ode-cluster/>", NULL, X ":2: " MALFORMED("something after the end of the root element")},
    {IN("") "\ntext", NULL, X ":2: " MALFORMED("something after the end of the root element")},
    {"\n<?xml version='1.0'?>" IN(""), NULL,
     X ":2: " MALFORMED("an XML declaration that is not at the very beginning")},
    /* names */
    {IN("<serverz>a</serverz>"), NULL, X ":1: found the unknown setting 'serverz', did you mean 'servers'?"},
    {IN("<Servers>a</Servers>"), NULL, X ":1: found the unknown setting 'Servers', did you mean 'servers'?"},
    {IN("<sessionTimeout/>"), NULL,
     X ":1: found the unknown setting 'sessionTimeout', did you mean 'session-timeout'?"},
    {IN("<session_timeout/>"), NULL,
     X ":1: found the unknown setting 'session_timeout', did you mean 'session-timeout'?"},
    {IN("<nodeid/>"), NULL, X ":1: found the unknown setting 'nodeid', did you mean 'node-id'?"},
    {IN("<lease-lga/>"), NULL, X ":1: found the unknown setting 'lease-lga', did you mean 'lease-lag'?"},
    {IN("<zookeeper/>"), NULL, X ":1: found the unknown setting 'zookeeper', allowed: " NAMES},
    {IN("<x/>"), NULL, X ":1: found the unknown setting 'x', allowed: " NAMES},
    {IN("<config>a</config>"), NULL, X ":1: found the unknown setting 'config', allowed: " NAMES},
    {IN("<" FILLED("abcde") "/>"), NULL,
     X ":1: found the unknown setting "
       "'abcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcde'..., "
       "allowed: " NAMES},
    {IN("<a:servers>a</a:servers>"), NULL, X ":1: found the unknown setting 'a:servers', did you mean 'servers'?"},
    {IN("<a:b:c/>"), NULL, X ":1: found the unknown setting 'a:b:c', allowed: " NAMES},
    {IN("<servers xmlns='urn:x'>a</servers>"), NULL,
     X ":1: found the setting 'servers' in the namespace 'urn:x', allowed: no namespace"},
    {IN("<a:base xmlns:a='urn:x'>/a</a:base>"), NULL,
     X ":1: found the setting 'a:base' in the namespace 'urn:x', allowed: no namespace"},
    {IN("\n<x><servers>,</servers>text<y z='1'/></x>"), NULL, X ":2: found the unknown setting 'x', allowed: " NAMES},
    {IN("<base>/a</base>\n<base>/a</base>\n<base>/b</base>"), NULL,
     X ":2: found 'base' again, allowed: once (it is in line 1 already)\n" X
       ":3: found 'base' again, allowed: once (it is in line 1 already)"},
    {IN("<cluster>a</cluster>\n<cluster>a b</cluster>"), NULL,
     X ":2: found 'cluster' again, allowed: once (it is in line 1 already)\n" X
       ":2: cluster: found 'a b', allowed: " CLUSTER},
    /* what is in a setting */
    {IN("<servers/>"), NULL, X ":1: servers: found no value, allowed: " SERVERS},
    {IN("<cluster> \n </cluster>"), NULL, X ":1: cluster: found no value, allowed: " CLUSTER},
    {IN("\n<cluster>\n\na b\n</cluster>"), NULL, X ":2: cluster: found 'a b', allowed: " CLUSTER},
    {IN("\n<cluster\n>a b</cluster\n>"), NULL, X ":2: cluster: found 'a b', allowed: " CLUSTER},
    {IN("<cluster>a\nb</cluster>"), NULL,
     X ":1: cluster: found 'a\\nb' (a character that no value may have), allowed: " CLUSTER},
    {IN("<cluster>a<!-- c --> b</cluster>"), NULL, X ":1: cluster: found 'a b', allowed: " CLUSTER},
    {IN("<cluster><![CDATA[<a>]]></cluster>"), NULL, X ":1: cluster: found '<a>', allowed: " CLUSTER},
    {IN("<cluster>&lt;&#65;&#x2f;</cluster>"), NULL, X ":1: cluster: found '<A/', allowed: " CLUSTER},
    {IN("<cluster>${user.name}</cluster>"), NULL, X ":1: cluster: found '${user.name}', allowed: " CLUSTER},
    {IN("<session-timeout>10s</session-timeout>"), NULL, X ":1: session-timeout: found '10s', allowed: " TIMEOUT},
    {IN("<servers>a\n<b/></servers>"), NULL, X ":2: servers: found an element inside, allowed: " SERVERS},
    {IN("<cluster><a/><b><c/></b></cluster>"), NULL, X ":1: cluster: found an element inside, allowed: " CLUSTER},
    {IN("<cluster a='1'>c</cluster>"), NULL, X ":1: found the attribute 'a' of 'cluster', allowed: none"},
    {IN("<cluster\na='1'\n\nb='2'>,</cluster>"), NULL,
     X ":1: cluster: found ',', allowed: " CLUSTER "\n" X ":2: found the attribute 'a' of 'cluster', allowed: none\n" X
       ":4: found the attribute 'b' of 'cluster', allowed: none"},
    {IN("<cluster xml:space='preserve' xml:lang='de'>c</cluster>"), NULL,
     X ":1: found the attribute 'xml:space' of 'cluster', allowed: none\n" X
       ":1: found the attribute 'xml:lang' of 'cluster', allowed: none"},
    {IN("<auth value='digest:u:hunter2'/>"), NULL, X ":1: found the attribute 'value' of 'auth', allowed: none"},
    /* text where none belongs */
    {IN("text"), NULL, X ":1: " BETWEEN},
    {IN("a<base>/b</base>c\n<cluster>d</cluster>\n\n e \n f"), NULL, X ":1: " BETWEEN "\n" X ":4: " BETWEEN},
    {IN("\n\n&lt;"), NULL, X ":3: " BETWEEN},
    {IN("\n<![CDATA[\n\nx]]>"), NULL, X ":4: " BETWEEN},
    {IN("<auth/>digest:u:hunter2"), NULL, X ":1: " BETWEEN},
    {IN("servers = a:2181"), NULL, X ":1: " BETWEEN},
    /* malformed */
    {"<ode-cluster>\n<servers>a</servers>\n", NULL, X ":3: " MALFORMED(EARLY)},
    {"<ode-cluster>\n<servers>a", NULL, X ":2: " MALFORMED_IN("servers", EARLY)},
    {IN("\n<servers>a</server>"), NULL, X ":2: " MALFORMED_IN("servers", MISMATCH)},
    {IN("\n<servers>a<servers>"), NULL,
     X ":2: servers: found an element inside, allowed: " SERVERS "\n" X ":2: " MALFORMED_IN("servers", MISMATCH)},
    {"<ode-cluster></ode-cluster", NULL, X ":1: " MALFORMED("a tag without its '>'")},
    {"<", NULL, X ":1: " MALFORMED(NOTHING)},
    {IN("<cluster>a & b</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", NOTHING)},
    {IN("<cluster>a < b</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", NOTHING)},
    {IN("<cluster>a&b</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", NOTHING)},
    {IN("<cluster>&nbsp;</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", ENTITY)},
    {IN("<cluster>&#xzz;</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", "a bad character reference")},
    {IN("<cluster>&#0;</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", CHARACTER)},
    {IN("<cluster>\x01</cluster>"), NULL, X ":1: " MALFORMED_IN("cluster", CHARACTER)},
    {IN("<cluster a=b>c</cluster>"), NULL, X ":1: " MALFORMED(ATTRIBUTE)},
    {IN("<cluster a>c</cluster>"), NULL, X ":1: " MALFORMED(ATTRIBUTE)},
    {IN("<cluster a='<'>c</cluster>"), NULL, X ":1: " MALFORMED(ATTRIBUTE)},
    {IN("<cluster a='1' a='2'>c</cluster>"), NULL, X ":1: " MALFORMED("an attribute that is there twice")},
    {IN("<!-- a -- b -->"), NULL, X ":1: " MALFORMED("a comment that does not end with -->, or has -- in it")},
    {"<ode-cluster><!-- a", NULL, X ":1: " MALFORMED("a comment that does not end with -->, or has -- in it")},
    {IN("<cluster>]]></cluster>"), NULL,
     X ":1: " MALFORMED_IN("cluster", "a CDATA section without its ]]>, or ]]> without one")},
    {IN("<?pi"), NULL, X ":1: found malformed XML, allowed: well-formed XML"},
    {IN("\n<x/><cluster>,</cluster>\n<base>a</bse>\n<y/>"), NULL,
     X ":2: found the unknown setting 'x', allowed: " NAMES "\n" X ":2: cluster: found ',', allowed: " CLUSTER "\n" X
       ":3: " MALFORMED_IN("base", MISMATCH)},
    /* secrets that broke the file are not told */
    {IN("<auth>digest:u:a&hunter2;</auth>"), NULL, X ":1: " MALFORMED_IN("auth", ENTITY)},
    {IN("<auth>digest:u:a<hunter2</auth>"), NULL, X ":1: " MALFORMED_IN("auth", NOTHING)},
    {IN("<auth>digest:u:a<hunter2/>b</auth>"), NULL, X ":1: auth: found an element inside, allowed: " AUTH},
    {IN("<auth>digest:hunter2</auth>"), NULL,
     X ":1: auth: found a value that is not shown (there is no password after the user), "
       "allowed: " AUTH},
    {IN("<cluster>digest:u:hunter2</cluster>"), NULL,
     X ":1: cluster: found a value that is not shown, allowed: " CLUSTER},
    {IN("<auht>digest:u:hunter2</auht>"), NULL, X ":1: found the unknown setting 'auht', did you mean 'auth'?"},
    /* encodings and ends of lines */
    {"<?xml version='1.0' encoding='UTF-42'?>" IN(""), NULL, X ":1: " UNKNOWN_ENCODING},
    {"<?xml version='1.0' encoding=''?>" IN(""), NULL, X ":1: " UNKNOWN_ENCODING},
    {IN("\n<base>/\xe4pfel</base>"), NULL, X ":2: " ENCODING},
    {IN("\n<base>/\xff</base>"), NULL, X ":2: " ENCODING},
    {IN("<x/>\n\xff\n<y/>"), NULL, X ":1: found the unknown setting 'x', allowed: " NAMES "\n" X ":2: " ENCODING},
    {"\n<ode-cluster><base>a</bse>\n\xff", NULL, X ":2: " MALFORMED_IN("base", MISMATCH) "\n" X ":3: " ENCODING},
    {IN("") "\n\xff", NULL, X ":2: " ENCODING},
    {"\xff", NULL, X ":1: " ENCODING},
    {IN("<base>/\xed\xa0\x80</base>"), NULL, X ":1: " ENCODING},
    {IN("<base>/\xef\xbf\xbf</base>"), NULL, X ":1: " MALFORMED_IN("base", CHARACTER)},
    {"<?xml version='1.0' encoding='UTF-8//IGNORE'?>" IN(""), NULL, X ":1: " UNKNOWN_ENCODING},
    {"<?xml version='1.0' encoding=utf-8?>" IN(""), NULL, X ":1: found malformed XML, allowed: well-formed XML"},
    {"<?xml version='1.0' encoding='UTF-16LE'?>" IN("<x/>"), NULL,
     X ":1: " MALFORMED("no element where 'ode-cluster' should begin")},
    {"<?xml version='1.0' encoding='KOI8-R'?>" IN("<cluster>\xc1</cluster>"), NULL,
     X ":1: cluster: found '\xd0\xb0', allowed: " CLUSTER},
    {IN("\n<base>/\xc3</base>"), NULL, X ":2: " ENCODING},
    {"<?xml version='1.0' encoding='US-ASCII'?>" IN("\n<base>/\xc3\xa4</base>"), NULL, X ":2: " ENCODING},
    {"<?xml version='1.0' encoding='ISO-8859-1'?>" IN("<cluster>\xe4</cluster>"), NULL,
     X ":1: cluster: found '\xc3\xa4', allowed: " CLUSTER},
    {"\xef\xbb\xbf" IN("\r\n<a/>\r\n\r\n<a/>"), NULL,
     X ":2: found the unknown setting 'a', allowed: " NAMES "\n" X
       ":4: found the unknown setting 'a', allowed: " NAMES},
    {IN("\r<cluster\r\ra=''>\rb\r</cluster>\rx"), NULL,
     X ":4: found the attribute 'a' of 'cluster', allowed: none\n" X ":7: " BETWEEN},
    /* entities and other bombs */
    {"<!DOCTYPE ode-cluster>" IN(""), NULL, X ":1: " DOCTYPE},
    {"<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'>" IN("<x/>"), NULL, X ":1: " DOCTYPE},
    {"\n<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>" IN("<cluster>&b;</cluster>"), NULL, X ":2: " DOCTYPE},
    {"<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
     "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>"
     "<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f "
     "'&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'>]>" IN("<cluster>&f;&f;&f;</cluster>"),
     NULL, X ":1: " DOCTYPE},
    {"<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://127.0.0.1:1/'> %b;]>" IN(""), NULL, X ":1: " DOCTYPE},
    {"<!DOCTYPE a [<!ATTLIST ode-cluster b CDATA 'c'>]>" IN(""), NULL, X ":1: " DOCTYPE},
    {FILLED("<a>"), NULL, X ":1: " ROOT("a") "\n" X ":1: " DEEP},
    {IN("<servers>" FILLED("<servers>")), NULL,
     X ":1: servers: found an element inside, allowed: " SERVERS "\n" X ":1: " DEEP},
    /* properties: names */
    {NULL, K "serverz=a", P ":1: found the unknown setting 'serverz', did you mean 'servers'?"},
    {NULL, "\n# c\n" K "SERVERS=a", P ":3: found the unknown setting 'SERVERS', did you mean 'servers'?"},
    {NULL, K "session.timeout=1", P ":1: found the unknown setting 'session.timeout', did you mean 'session-timeout'?"},
    {NULL, K "confg=1", P ":1: found the unknown setting 'confg', did you mean 'config'?"},
    {NULL, K "=a", P ":1: found the unknown setting '', allowed: " NAMES ", config"},
    {NULL, K "servers.0=a", P ":1: found the unknown setting 'servers.0', did you mean 'servers'?"},
    {NULL, K "serv\\\n  erz=a\n" K "x\\u0000\\ud800=",
     P ":1: found the unknown setting 'serverz', did you mean 'servers'?\n" P
       ":3: found the unknown setting 'x\\u0000\\ud800', allowed: " NAMES ", config"},
    /* properties: values */
    {NULL, K "cluster", P ":1: cluster: found no value, allowed: " CLUSTER},
    {NULL, K "cluster=a=b", P ":1: cluster: found 'a=b', allowed: " CLUSTER},
    {NULL, K "cluster a b", P ":1: cluster: found 'a b', allowed: " CLUSTER},
    {NULL, K "cluster=\\ta\\tb\\t",
     P ":1: cluster: found 'a\\tb' (a character that no value may have), allowed: " CLUSTER},
    {NULL, K "cluster=\xe4", P ":1: cluster: found '\xc3\xa4', allowed: " CLUSTER},
    {NULL, K "cluster=\xc3\xa4", P ":1: cluster: found '\xc3\x83\xc2\xa4', allowed: " CLUSTER},
    {NULL, K "cluster=a\\u0000b",
     P ":1: cluster: found 'a\\u0000b' (a character that no value may have), allowed: " CLUSTER},
    {NULL, K "cluster=\\ud83d",
     P ":1: cluster: found '\\ud83d' (a character that no value may have), allowed: " CLUSTER},
    {NULL, K "cluster=\\ud83d\\ude00", P ":1: cluster: found '\xf0\x9f\x98\x80', allowed: " CLUSTER},
    {NULL, K "session-timeout=1\n" K "session-timeout=2", P ":2: session-timeout: found '2', allowed: " TIMEOUT},
    {NULL, "a=\\u12\n" K "cluster=\\\n  \\u12g4", P ":1: " HEX "\n" P ":3: " HEX},
    {NULL, K "cluster=${a},\n" K "base=,\na=\\u",
     P ":2: base: found ',' (no '/' at the beginning), allowed: " BASE "\n" P ":3: " HEX},
    {NULL, "\r\r\n\n#x\r" K "cluster=.", P ":5: cluster: found '.', allowed: " CLUSTER},
    {NULL, K "cluster=a # comment", P ":1: cluster: found 'a # comment', allowed: " CLUSTER},
    {NULL, K "servers=a:1\\\n" K "auth=digest:u:hunter2",
     P ":1: servers: found a value that is not shown (server 1: an IPv6 address needs brackets, as "
       "in [::1]:2181), "
       "allowed: " SERVERS},
    {NULL, "\xef\xbb\xbf" K "cluster=,\n" K "cluster=.", P ":2: cluster: found '.', allowed: " CLUSTER},
    /* references */
    {NULL, K "cluster=${nope}", P ":1: found '${nope}', " UNDEFINED},
    {NULL, K "cluster=${}", P ":1: found '${}', " UNDEFINED},
    {NULL, K "cluster=${a ${b}}", P ":1: found '${a ${b}', " UNDEFINED},
    {NULL, K "cluster=a${b", P ":1: found '${b', which does not end, allowed: ${NAME}"},
    {NULL, K "cluster=${x}${y}${x}", P ":1: found '${x}', " UNDEFINED "\n" P ":1: found '${y}', " UNDEFINED},
    {NULL, K "cluster=${env.ODEZK_TEST_UNSET}", P ":1: found '${env.ODEZK_TEST_UNSET}', " UNSET},
    {NULL, K "cluster=${env.}", P ":1: found '${env.}', " UNSET},
    {NULL, K "cluster=${USER.HOME}", P ":1: found '${USER.HOME}', " UNDEFINED},
    {NULL, K "cluster=${" K "cluster}", P ":1: found '${" K "cluster}', " CIRCLE},
    {NULL, K "cluster=${a}\na=${b}\nb=x${a}", P ":3: found '${a}', " CIRCLE},
    {NULL, K "cluster=${a}\na=${b}\n" K "base=${a}\nb=${c}", P ":4: found '${c}', " UNDEFINED},
    {NULL, K "cluster=${a}\na=x y", P ":1: cluster: found 'x y', allowed: " CLUSTER},
    {NULL, K "cluster=${env.ODEZK_TEST_BLANK}", P ":1: cluster: found 'a b', allowed: " CLUSTER},
    {NULL, K "cluster=${env.ODEZK_TEST_BYTES}",
     P ":1: cluster: found 'a\\xff' (a character that no value may have), allowed: " CLUSTER},
    {NULL, K "cluster=${env.ODEZK_TEST_REFERENCE}", P ":1: cluster: found '${a}', allowed: " CLUSTER},
    {NULL,
     K "cluster=${a}\na=${b}${b}${b}${b}${b}\nb=${c}${c}${c}${c}${c}\nc=${d}${d}${d}${d}${d}\n"
       "d=${e}${e}${e}${e}${e}\ne=${f}${f}${f}${f}${f}\nf=",
     P ":6: found '${f}', one of too many references, allowed: 1000 of them in a value"},
    {NULL,
     K "cluster=${a}\na=${b}${b}${b}${b}${b}${b}${b}${b}\nb=${c}${c}${c}${c}${c}${c}${c}${c}\n"
       "c=" FILLED(FILLED("xxxxx")),
     P ":4: found a value that expands to more than 64 KiB, allowed: at most 64 KiB"},
    /* references and secrets */
    {NULL, K "auth=${nope}", P ":1: found a reference that is not shown, " UNDEFINED},
    {NULL, K "auth=digest:u:a${hunter2",
     P ":1: found a reference that is not shown, which does not end, allowed: ${NAME}"},
    {NULL, K "auth=${a}\na=digest:u:${hunter2}", P ":2: found a reference that is not shown, " UNDEFINED},
    {NULL, K "auth=${env.ODEZK_TEST_UNSET}", P ":1: found a reference that is not shown, " UNSET},
    {NULL, K "auth=${pw}\npw=hunter2",
     P ":1: auth: found a value that is not shown (it does not begin with digest:), allowed: " AUTH},
    {NULL, K "cluster=${" K "auth}\n" K "auth=digest:u:hunter2",
     P ":1: cluster: found a value that is not shown, allowed: " CLUSTER},
    {NULL, K "cluster=${env.ODEZK_TEST_PASSWORD}", P ":1: cluster: found a value that is not shown, allowed: " CLUSTER},
    {NULL, K "cluster=${ode-axis2.db.int.password}\node-axis2.db.int.password=hunter 2",
     P ":1: cluster: found a value that is not shown, allowed: " CLUSTER},
    /* another XML file */
    {NULL, K "config=nope.xml", P ":1: config: found 'nope.xml', allowed: the name of an existing XML file"},
    {NULL, K "config=", P ":1: config: found no value, allowed: the name of an existing XML file"},
    {IN("<x/>"), "\n" K "config=${nope}", P ":2: found '${nope}', " UNDEFINED},
    {NULL, K "config=a\\u0000b", P ":1: config: found 'a\\u0000b', allowed: the name of an existing XML file"},
    {NULL, K "config=" P, P ":1: " MALFORMED("no element where 'ode-cluster' should begin")},
    /* both files */
    {IN("\n<x/>\n<y/>"), K "x=1\n" K "y=2",
     X ":2: found the unknown setting 'x', allowed: " NAMES "\n" X ":3: found the unknown setting 'y', allowed: " NAMES
       "\n" P ":1: found the unknown setting 'x', allowed: " NAMES ", config\n" P
       ":2: found the unknown setting 'y', allowed: " NAMES ", config"},
    {IN("<cluster>,</cluster>"), K "cluster=good", X ":1: cluster: found ',', allowed: " CLUSTER},
    /* settings that do not fit each other */
    {IN("<lease-margin>249</lease-margin>"), NULL,
     X ":1: lease-margin: found '249', allowed: at least 250, a 40th of session-timeout (10000)"},
    {IN("<lease-write-period>5000</lease-write-period>"), NULL,
     X ":1: lease-write-period: found '5000', allowed: less than half of session-timeout (10000)"},
    {IN("<lease-margin>7500</lease-margin>"), NULL,
     X ":1: lease-margin: found '7500', allowed: lease-margin (7500) + lease-lag (2500) below "
       "session-timeout (10000)"},
    {IN("\n<lease-lag>9750</lease-lag>"), NULL,
     X ":2: lease-lag: found '9750', allowed: lease-margin (250) + lease-lag (9750) below "
       "session-timeout (10000)"},
    {IN("<lease-margin>6000</lease-margin>\n<lease-lag>5000</lease-lag>"), NULL,
     X ":1: lease-margin: found '6000', allowed: lease-margin (6000) + lease-lag (5000) below "
       "session-timeout (10000)"},
    {IN("<lease-write-period>4000</lease-write-period>"), NULL,
     X ":1: lease-write-period: found '4000', allowed: lease-margin (250) + lease-lag (2500) + 2 x "
       "lease-write-period (4000) below session-timeout (10000)"},
    {IN("<lease-lag>7000</lease-lag>"), NULL,
     X ":1: lease-lag: found '7000', allowed: lease-margin (250) + lease-lag (7000) + 2 x "
       "lease-write-period (1666) below session-timeout (10000)"},
    {IN("<lease-margin>6000</lease-margin><lease-write-period>1000</lease-write-period>"), NULL,
     X ":1: lease-margin: found '6000', allowed: lease-margin (6000) + lease-lag (2500) + 2 x "
       "lease-write-period (1000) below session-timeout (10000)"},
    {IN("<lease-margin>100</lease-margin><lease-write-period>9000</lease-write-period>"), NULL,
     X ":1: lease-margin: found '100', allowed: at least 250, a 40th of session-timeout (10000)\n" X
       ":1: lease-write-period: found '9000', allowed: less than half of session-timeout (10000)"},
    {IN("<lease-lag>3000</lease-lag>"), "\n" K "session-timeout=3000",
     X ":1: lease-lag: found '3000', allowed: lease-margin (75) + lease-lag (3000) below "
       "session-timeout (3000)"},
    {IN("<session-timeout>3000</session-timeout>"), "\n" K "lease-lag=3000",
     P ":2: lease-lag: found '3000', allowed: lease-margin (75) + lease-lag (3000) below "
       "session-timeout (3000)"},
    /* ... told only when it is certain what they are */
    {IN("<lease-lag>9750</lease-lag><session-timeout>x</session-timeout>"), NULL,
     X ":1: session-timeout: found 'x', allowed: " TIMEOUT},
    {IN("<lease-lag>9750</lease-lag><sesion-timeout>60000</sesion-timeout>"), NULL,
     X ":1: found the unknown setting 'sesion-timeout', did you mean 'session-timeout'?"},
    {IN("\n<lease-lag>9750</lease-lag><lease-margin>600</lease-margin><session-timeout>10000</"
        "session-timeout>\n<x/>"),
     NULL,
     X ":2: lease-lag: found '9750', allowed: lease-margin (600) + lease-lag (9750) below "
       "session-timeout (10000)\n" X ":3: found the unknown setting 'x', allowed: " NAMES},
};

static const struct good {
    const char *xml, *properties, *name, *value, *source; /* source without the directory's name */
} good[] = {
    {NULL, NULL, "servers", "localhost:2181", "default"},
    {IN(""), "", "servers", "localhost:2181", "default"},
    {IN("\n\n<servers>a</servers>"), NULL, "servers", "a", X ":3"},
    {IN("<servers>a</servers>"), "\n" K "servers=b", "servers", "b", P ":2"},
    {IN("<servers>a</servers>"), "\n" K "servers=b", "base", "/ode", "default"},
    {IN("<base>/a</base>"), K "servers=b", "base", "/a", X ":1"},
    {NULL, K "servers=a\n" K "servers=b\n", "servers", "b", P ":2"},
    {NULL, K "servers = a,\\\n   b,\\\n   c \t", "servers", "a,b,c", P ":1"},
    {NULL, K "cluster:\\u0041", "cluster", "A", P ":1"},
    {NULL, "ode-axis2.db.mode=${nope}\nx=\\\\u12\nopenjpa.x=${y", "cluster", "default", "default"},
    {NULL, "ode-jbi.clustering.zookeeper.cluster=a", "cluster", "default", "default"},
    {NULL, "clustering.zookeeper.cluster=a", "cluster", "default", "default"},
    {NULL, "ode-axis2.clustering.zookeeper=a", "cluster", "default", "default"},
    {NULL, K "cluster=${a}-${a}\na=${b}\nb=c", "cluster", "c-c", P ":1"},
    {NULL, K "base=/$a$$-}", "base", "/$a$$-}", P ":1"},
    {NULL, "b=x\n" K "base=/${b}${file.separator}y", "base", "/x/y", P ":2"},
    {NULL, "user.name=me\n" K "cluster=${user.name}", "cluster", "me", P ":2"},
    {NULL, K "base=${java.io.tmpdir}", "base", "/tmp", P ":1"},
    {NULL, K "base=${env.ODEZK_TEST_PATH}/x", "base", "/from/env/x", P ":1"},
    {NULL, "env.ODEZK_TEST_PATH=/no\n" K "base=${env.ODEZK_TEST_PATH}", "base", "/from/env", P ":2"},
    {NULL, K "auth=digest:u:${env.ODEZK_TEST_PASSWORD}", "auth", "digest:u:hunter 2", P ":1"},
    {NULL, K "auth=digest:u:a}b$", "auth", "digest:u:a}b$", P ":1"},
    {NULL, K "auth=", "auth", "", P ":1"},
    {NULL, K "cluster=x${e}\ne=", "cluster", "x", P ":1"},
    {"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\r\n<!-- c --><?pi x?>\r\n" IN(
         "<!-- c -->\r\n<cluster>a</cluster>"),
     NULL, "cluster", "a", X ":4"},
    {"<?xml version='1.0' encoding='ISO-8859-1'?>" IN("<base>/\xe4</base>"), NULL, "base", "/\xc3\xa4", X ":1"},
    {"<?xml version='1.1'?>" IN("<cluster>a</cluster>"), NULL, "cluster", "a", X ":1"},
    {IN("<cluster>\n\ta<!-- b --><![CDATA[c]]><?pi?>&#100;\n</cluster>"), NULL, "cluster", "acd", X ":1"},
    {"<ode-cluster xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' "
     "xsi:noNamespaceSchemaLocation='http://127.0.0.1:1/a.xsd'><cluster>a</cluster></ode-cluster>",
     NULL, "cluster", "a", X ":1"},
    {IN("<x/>"), K "config=other", "cluster", "other", "other:2"},
    {NULL, K "config = ${org.apache.ode.configDir}/other ", "cluster", "other", "other:2"},
    {IN("<session-timeout>600</session-timeout><lease-margin>15</lease-margin><lease-lag>0</"
        "lease-lag>"
        "<lease-write-period>292</lease-write-period>"),
     NULL, "lease-margin", "15", X ":1"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void write_files(const char *xml, const char *properties)
{
    unlink(test_path(X));
    unlink(test_path(P));
    if (xml)
        test_write_text(X, xml);
    if (properties)
        test_write_text(P, properties);
}

static void set_environment(void)
{
    setenv("ODEZK_TEST_BLANK", "a b", 1);
    setenv("ODEZK_TEST_BYTES", "a\xff", 1);
    setenv("ODEZK_TEST_REFERENCE", "${a}", 1);
    setenv("ODEZK_TEST_PATH", "/from/env", 1);
    setenv("ODEZK_TEST_PASSWORD", "hunter 2", 1);
    unsetenv("ODEZK_TEST_UNSET");
}

static void test_mistakes(void)
{
    char what[8192], *text;
    size_t i;

    set_environment();
    for (i = 0; i < COUNT(bad); i++) {
        write_files(bad[i].xml, bad[i].properties);
        text = test_load();
        snprintf(what, sizeof what, "%s\n%s", bad[i].xml ? bad[i].xml : "(no XML file)",
                 bad[i].properties ? bad[i].properties : "(no properties)");
        test_same(what, text, bad[i].expected);
        CU_ASSERT_PTR_NULL(text ? strstr(text, "hunter") : NULL);
        free(text);
    }
}

static void test_sources(void)
{
    char expected[512];
    odezk_config *config;
    size_t i;

    set_environment();
    test_write_text("other", "\n" IN("<cluster>other</cluster>"));
    for (i = 0; i < COUNT(good); i++) {
        const struct good *g = &good[i];
        const char *what = g->properties ? g->properties : g->xml ? g->xml : "(no files)";

        write_files(g->xml, g->properties);
        config = NULL;
        CU_ASSERT_EQUAL(odezk_config_load(test_dir(), &config, NULL), ODEZK_OK);
        if (!config) {
            fprintf(stderr, "\n%s\n%s\n", what, odezk_last_error());
            continue;
        }
        test_same(what, odezk_config_get(config, g->name), g->value);
        snprintf(expected, sizeof expected, "%s%s%s", strcmp(g->source, "default") == 0 ? "" : test_dir(),
                 strcmp(g->source, "default") == 0 ? "" : "/", g->source);
        test_same(what, odezk_config_source(config, g->name), expected);
        odezk_config_free(config);
    }
    test_clear();
}

/* ode-jbi.properties counts only where there is no ode-axis2.properties. */
static void test_dialects(void)
{
    char *text;

    test_clear();
    test_write_text("ode-jbi.properties", "ode-jbi.clustering.zookeeper.x=1\n" K "y=2\n");
    text = test_load();
    test_same("ode-jbi.properties", text,
              "ode-jbi.properties:1: found the unknown setting 'x', allowed: " NAMES ", config");
    free(text);
    test_write_text(P, "");
    text = test_load();
    test_same("both", text, "");
    free(text);
    test_clear();
}

/* What stands for Java's system properties. */
static void test_system_references(void)
{
    char before[PATH_MAX], cwd[PATH_MAX], expected[2 * PATH_MAX];
    odezk_config *config = NULL;

    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(before, sizeof before));
    CU_ASSERT_EQUAL_FATAL(chdir(test_dir()), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(cwd, sizeof cwd));
    test_write_text("x", "");
    write_files(NULL, K "log4c-file=${user.dir}/${file.separator}x\n" K "cluster=${user.name}\n" K "base=${user.home}");
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(test_dir(), &config, NULL), ODEZK_OK);
    snprintf(expected, sizeof expected, "%s//x", cwd);
    test_same("user.dir", odezk_config_get(config, "log4c-file"), expected);
    CU_ASSERT(odezk_config_get(config, "cluster")[0] != '\0');
    CU_ASSERT_EQUAL(odezk_config_get(config, "base")[0], '/');
    odezk_config_free(config);
    CU_ASSERT_EQUAL(chdir(before), 0);
    test_clear();
}

/* Whoever uses the settings would refuse these, without saying where they come from. */
static void test_named_files(void)
{
    char *text;

    test_write_text("l", "");
    write_files(NULL, K "log4c-file=l\n" K "crash-leave-helper=/bin/sh");
    text = test_load();
    test_same("files that are there", text, "");
    free(text);

    write_files(NULL, "\n" K "log4c-file=nolog4c\n" K "crash-leave-helper=l");
    text = test_load();
    CU_ASSERT_PTR_NOT_NULL(strstr(text, P ":2: log4c-file: found '"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "/nolog4c' (No such file or directory), allowed: a readable file, "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, P ":3: crash-leave-helper: found '"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "/l' (Permission denied), allowed: an executable file, "));
    free(text);

    write_files(NULL, K "log4c-file=.\n" K "crash-leave-helper=/dev/null");
    text = test_load();
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "/.' (a directory), allowed: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "'/dev/null' (a pipe, socket or device), allowed: "));
    free(text);
    test_clear();
}

/* What is made of a secret is one: it is masked, whatever setting it stands in. */
static void test_masks(void)
{
    odezk_config *config = NULL, *copy = NULL;

    set_environment();
    write_files(NULL, "pw=digest:u:p\n" K "auth=${pw}\n" K "cluster=${my.secret}\nmy.secret=s\n" K "node-id=n");
    CU_ASSERT_EQUAL_FATAL(odezk_config_load(test_dir(), &config, NULL), ODEZK_OK);
    CU_ASSERT_EQUAL_FATAL(odezk_config_copy(config, &copy), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(odezk_config_get(config, "auth"), "digest:u:p");
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(config, "auth"), "********");
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(config, "cluster"), "********");
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(copy, "cluster"), "********");
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(config, "node-id"), "n");
    CU_ASSERT_STRING_EQUAL(odezk_config_masked(config, "servers"), "localhost:2181");
    odezk_config_free(config);
    odezk_config_free(copy);
    test_clear();
}

CU_TestInfo test_files[] = {{"mistakes", test_mistakes},
                            {"values and their sources", test_sources},
                            {"the two properties files", test_dialects},
                            {"system references", test_system_references},
                            {"named files", test_named_files},
                            {"masks", test_masks},
                            CU_TEST_INFO_NULL};
