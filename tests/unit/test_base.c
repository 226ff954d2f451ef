/* Buffers, lists, maps, memory, errors, the clock, and the timer heap against a naive model. */
#include "check.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "session/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t seed = 1;

static unsigned below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % n;
}

/* ---- buf ---- */

static void test_buf_grows(void)
{
    struct oz_buf b = {0};
    char *text;
    int i;

    CU_ASSERT_STRING_EQUAL(oz_buf_str(&b), "");
    for (i = 0; i < 1000; i++)
        oz_buf_printf(&b, "%03d,", i);
    CU_ASSERT_EQUAL(b.len, 4000);
    CU_ASSERT_NSTRING_EQUAL(oz_buf_str(&b) + 3996, "999,", 5);
    oz_buf_putc(&b, '!');
    oz_buf_puts(&b, "ab");
    oz_buf_add(&b, "\0z", 2);
    oz_buf_add(&b, NULL, 0);
    CU_ASSERT_EQUAL(b.len, 4005);
    CU_ASSERT_EQUAL(memcmp(b.data + 4000, "!ab\0z", 6), 0);
    text = oz_buf_take(&b);
    CU_ASSERT_PTR_NOT_NULL(text);
    CU_ASSERT_PTR_NULL(b.data);
    free(text);
    text = oz_buf_take(&b);
    CU_ASSERT_STRING_EQUAL(text, "");
    free(text);
    oz_buf_free(&b);
}

/* Texts that end exactly where the memory does. */
static void test_buf_edges(void)
{
    char text[300];
    size_t n;

    memset(text, 'x', sizeof text);
    for (n = 0; n < sizeof text; n++) {
        struct oz_buf a = {0}, b = {0};

        oz_buf_add(&a, text, n);
        oz_buf_printf(&b, "%.*s", (int)n, text);
        CU_ASSERT_EQUAL(a.len, n);
        CU_ASSERT_EQUAL(strlen(oz_buf_str(&a)), n);
        CU_ASSERT_STRING_EQUAL(oz_buf_str(&a), oz_buf_str(&b));
        oz_buf_free(&a);
        oz_buf_free(&b);
    }
}

static void test_buf_without_memory(void)
{
    struct oz_buf b = {0};

    oz_buf_puts(&b, "there");
    oz_mem_fail_at(1);
    oz_buf_printf(&b, "%200s", "x");
    CU_ASSERT_TRUE(oz_buf_failed(&b));
    oz_buf_puts(&b, "later");
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&b), "there");
    CU_ASSERT_PTR_NULL(oz_buf_take(&b));
    CU_ASSERT_FALSE(oz_buf_failed(&b));
    oz_buf_free(&b);
}

/* ---- list ---- */

struct item {
    struct oz_list link;
    int n;
};

static int numbers(struct oz_list *head)
{
    struct oz_list *node;
    int all = 0;

    oz_list_each(node, head)
        all = 10 * all + oz_container(node, struct item, link)->n;
    return all;
}

static void test_list(void)
{
    struct oz_list a, b, *node, *tmp;
    struct item items[5];
    int i;

    oz_list_init(&a);
    oz_list_init(&b);
    CU_ASSERT_PTR_NULL(oz_list_pop(&a));
    oz_list_splice(&b, &a);
    CU_ASSERT_TRUE(oz_list_empty(&b));
    for (i = 0; i < 5; i++) {
        items[i].n = i + 1;
        oz_list_init(&items[i].link);
        oz_list_append(i < 3 ? &a : &b, &items[i].link);
    }
    oz_list_remove(&items[1].link);
    oz_list_remove(&items[1].link);
    CU_ASSERT_EQUAL(numbers(&a), 13);
    oz_list_prepend(&a, &items[1].link);
    CU_ASSERT_EQUAL(numbers(&a), 213);
    oz_list_splice(&b, &a);
    CU_ASSERT_TRUE(oz_list_empty(&a));
    CU_ASSERT_EQUAL(numbers(&b), 45213);
    oz_list_each_safe(node, tmp, &b)
        if (oz_container(node, struct item, link)->n % 2)
            oz_list_remove(node);
    CU_ASSERT_EQUAL(numbers(&b), 42);
    CU_ASSERT_PTR_EQUAL(oz_list_pop(&b), &items[3].link);
    oz_list_prepend(&a, &items[3].link);
    CU_ASSERT_EQUAL(numbers(&a), 4);
}

/* ---- map ---- */

#define KEYS 500

struct word {
    struct oz_map_node node;
    char text[16];
    bool in;
};

static void check_map(const struct oz_map *m, const struct word *words)
{
    struct oz_map_node *node;
    size_t i, count = 0, seen = 0;

    for (i = 0; i < KEYS; i++) {
        CU_ASSERT_PTR_EQUAL(oz_map_find(m, words[i].text), words[i].in ? &words[i].node : NULL);
        count += words[i].in;
    }
    oz_map_each(m, i, node)
        seen++;
    CU_ASSERT_EQUAL(m->count, count);
    CU_ASSERT_EQUAL(seen, count);
}

static void test_map(void)
{
    struct word *words = calloc(KEYS, sizeof *words);
    struct oz_map m = {0};
    int i, round;

    CU_ASSERT_PTR_NULL(oz_map_find(&m, "none"));
    for (i = 0; i < KEYS; i++)
        snprintf(words[i].text, sizeof words[i].text, "key%d", i * 7);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 400; i++) {
            struct word *w = &words[below(KEYS)];

            if (w->in)
                oz_map_remove(&m, &w->node);
            else
                CU_ASSERT_EQUAL(oz_map_put(&m, &w->node, w->text), 0);
            w->in = !w->in;
        }
        check_map(&m, words);
    }
    for (i = 0; i < KEYS; i++) {
        oz_map_remove(&m, &words[i].node); /* also what is in no map */
        words[i].in = false;
    }
    check_map(&m, words);
    oz_map_free(&m);
    free(words);
}

static void test_map_without_memory(void)
{
    struct word words[20];
    struct oz_map m = {0};
    int i;

    memset(words, 0, sizeof words);
    oz_mem_fail_at(1);
    CU_ASSERT_EQUAL(oz_map_put(&m, &words[0].node, "x"), -1);
    CU_ASSERT_PTR_NULL(oz_map_find(&m, "x"));
    for (i = 0; i < 20; i++) {
        snprintf(words[i].text, sizeof words[i].text, "%d", i);
        oz_mem_fail_at(i == 16); /* it cannot grow: it takes the entry all the same */
        CU_ASSERT_EQUAL(oz_map_put(&m, &words[i].node, words[i].text), 0);
    }
    oz_mem_fail_at(0);
    for (i = 0; i < 20; i++)
        CU_ASSERT_PTR_EQUAL(oz_map_find(&m, words[i].text), &words[i].node);
    oz_map_free(&m);
}

static void test_map_by_parts(void)
{
    static const char *const keys[] = {"a/b", "a/b/c", "instance/12345678", "instance/123456789", "/x", "a/",
                                       "a",   "ab"};
    enum { COUNT = sizeof keys / sizeof *keys };
    struct oz_map_node nodes[COUNT] = {{0}};
    struct oz_map m = {0};

    CU_ASSERT_PTR_NULL(oz_map_find_parts(&m, "a", "b"));
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(oz_map_put(&m, &nodes[i], keys[i]), 0);
    CU_ASSERT_PTR_EQUAL(oz_map_find_parts(&m, "a", "b"), &nodes[0]);
    CU_ASSERT_PTR_EQUAL(oz_map_find_parts(&m, "a", "b/c"), &nodes[1]);
    CU_ASSERT_PTR_EQUAL(oz_map_find_parts(&m, "instance", "12345678"), &nodes[2]);
    CU_ASSERT_PTR_EQUAL(oz_map_find_parts(&m, "instance", "123456789"), &nodes[3]);
    CU_ASSERT_PTR_EQUAL(oz_map_find_parts(&m, "", "x"), &nodes[4]);
    CU_ASSERT_PTR_EQUAL(oz_map_find_parts(&m, "a", ""), &nodes[5]);
    CU_ASSERT_PTR_NULL(oz_map_find_parts(&m, "ab", ""));
    CU_ASSERT_PTR_NULL(oz_map_find_parts(&m, "b", "a"));
    CU_ASSERT_PTR_NULL(oz_map_find_parts(&m, "instance", "1234567"));
    CU_ASSERT_PTR_NULL(oz_map_find_parts(&m, "instance", "1234567890"));
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT_PTR_EQUAL(oz_map_find(&m, keys[i]), &nodes[i]);
    oz_map_free(&m);
}

/* The hash says where a lock's znode is: it must never change. */
static void test_hash(void)
{
    CU_ASSERT_EQUAL(oz_hash(""), 2166136261u);
    CU_ASSERT_EQUAL(oz_hash("a"), 0xe40c292cu);
    CU_ASSERT_EQUAL(oz_hash("foobar"), 0xbf9cf968u);
    CU_ASSERT_EQUAL(oz_hash("\xff"), (2166136261u ^ 0xffu) * 16777619u);
}

/* ---- mem, error, fork ---- */

static void test_mem(void)
{
    char *s, *p;
    long before = oz_mem_count();

    s = oz_format("%s-%d", "abc", 7);
    CU_ASSERT_STRING_EQUAL(s, "abc-7");
    free(s);
    s = oz_strndup("abcdef", 3);
    CU_ASSERT_STRING_EQUAL(s, "abc");
    free(s);
    s = oz_memdup("a\0b", 3);
    CU_ASSERT_EQUAL(memcmp(s, "a\0b", 4), 0);
    free(s);
    p = oz_alloc(64);
    for (s = p; s < p + 64; s++)
        CU_ASSERT_EQUAL(*s, 0);
    free(p);
    CU_ASSERT_EQUAL(oz_mem_count() - before, 4);
    oz_mem_fail_at(2);
    s = oz_strdup("one");
    CU_ASSERT_PTR_NOT_NULL(s);
    CU_ASSERT_PTR_NULL(oz_realloc(s, 100));
    CU_ASSERT_STRING_EQUAL(s, "one");
    p = oz_strdup("two"); /* only once */
    CU_ASSERT_PTR_NOT_NULL(p);
    free(s);
    free(p);
    oz_mem_fail_at(0);
}

static void test_error(void)
{
    int code;

    CU_ASSERT_EQUAL(oz_fail(ODEZK_EBUSY, "held by %s", "x"), ODEZK_EBUSY);
    CU_ASSERT_STRING_EQUAL(odezk_last_error(), "held by x");
    CU_ASSERT_STRING_EQUAL(odezk_strerror(ODEZK_OK), "done");
    CU_ASSERT_STRING_EQUAL(odezk_errname(ODEZK_ELOST), "ODEZK_ELOST");
    CU_ASSERT_STRING_EQUAL(odezk_strerror(-99), "unknown error");
    CU_ASSERT_STRING_EQUAL(odezk_errname(1), "ODEZK_UNKNOWN");
    for (code = 0; strcmp(odezk_errname(code), "ODEZK_UNKNOWN"); code--)
        CU_ASSERT_STRING_NOT_EQUAL(odezk_strerror(code), "unknown error");
    CU_ASSERT_TRUE(code <= -20);
}

static void test_fork(void)
{
    unsigned before = oz_fork_count();
    int status = -1;
    pid_t pid;

    pid = fork();
    if (pid == 0)
        _exit(oz_fork_count() == before + 1 ? 0 : 1);
    waitpid(pid, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(oz_fork_count(), before);
}

/* ---- clock ---- */

static void test_clock(void)
{
    static _Atomic int64_t source;
    int64_t before = oz_now();

    source = 42;
    CU_ASSERT_TRUE(before > 0);
    oz_clock_set_source(&source);
    CU_ASSERT_EQUAL(oz_now(), 42);
    source = OZ_SECOND;
    CU_ASSERT_EQUAL(oz_now(), OZ_SECOND);
    oz_clock_set_source(NULL);
    CU_ASSERT_TRUE(oz_now() >= before);
    CU_ASSERT_TRUE(oz_wall_ms() > INT64_C(1600000000000));
}

/* ---- the timer heap ---- */

#define TIMERS 60

static int fired;

static void fire(void *arg)
{
    fired += *(int *)arg;
}

/* The first of all that are armed, by looking at each. */
static int64_t naive_next(const struct oz_timer *timers, const bool *armed)
{
    int64_t at = OZ_NEVER;
    int i;

    for (i = 0; i < TIMERS; i++)
        if (armed[i] && timers[i].at < at)
            at = timers[i].at;
    return at;
}

static void check_due(struct oz_timers *heap, struct oz_timer *timers, bool *armed, int64_t now)
{
    struct oz_timer *timer;
    int64_t last = 0;

    while ((timer = oz_timers_due(heap, now)) != NULL) {
        int i = (int)(timer - timers);

        CU_ASSERT_TRUE(armed[i]);
        CU_ASSERT_FALSE(timer->armed);
        CU_ASSERT_TRUE(timer->at <= now);
        CU_ASSERT_TRUE(timer->at >= last);
        last = timer->at;
        armed[i] = false;
    }
    CU_ASSERT_TRUE(naive_next(timers, armed) > now);
}

static void test_timers(void)
{
    struct oz_timer timers[TIMERS];
    struct oz_timers heap = {NULL};
    bool armed[TIMERS] = {false};
    int64_t now = 0;
    int i, one = 1;

    memset(timers, 0, sizeof timers);
    CU_ASSERT_EQUAL(oz_timers_next(&heap), OZ_NEVER);
    for (i = 0; i < 100000; i++) {
        int k = (int)below(TIMERS);

        switch (below(5)) {
        case 0:
        case 1:
        case 2:
            oz_timer_set(&heap, &timers[k], now + below(50), fire, &one);
            armed[k] = true;
            break;
        case 3:
            oz_timer_clear(&heap, &timers[k]);
            armed[k] = false;
            break;
        default:
            now += below(20);
            check_due(&heap, timers, armed, now);
        }
        CU_ASSERT_EQUAL(timers[k].armed, armed[k]);
        CU_ASSERT_EQUAL(oz_timers_next(&heap), naive_next(timers, armed));
    }
    check_due(&heap, timers, armed, OZ_NEVER - 1);
    CU_ASSERT_EQUAL(oz_timers_next(&heap), OZ_NEVER);
}

static void test_timer_arguments(void)
{
    struct oz_timers heap = {NULL};
    struct oz_timer a = {0}, *due;
    int five = 5;

    oz_timer_set(&heap, &a, 10, fire, &five);
    CU_ASSERT_PTR_NULL(oz_timers_due(&heap, 9));
    due = oz_timers_due(&heap, 10);
    CU_ASSERT_PTR_EQUAL_FATAL(due, &a);
    fired = 0;
    due->fire(due->arg);
    CU_ASSERT_EQUAL(fired, 5);
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"a buffer grows", test_buf_grows},
        {"a buffer at the edge of its memory", test_buf_edges},
        {"a buffer without memory", test_buf_without_memory},
        {"lists", test_list},
        {"maps against a model", test_map},
        {"maps without memory", test_map_without_memory},
        {"map by parts", test_map_by_parts},
        {"the hash of names", test_hash},
        {"allocation", test_mem},
        {"errors", test_error},
        {"forks are counted", test_fork},
        {"the clock", test_clock},
        {"timers against a model", test_timers},
        {"a timer's argument", test_timer_arguments},
    };

    return CHECK_RUN("base", checks, argc, argv);
}
