/* Names, fields, directories, seats and inboxes: what the recipes share. */
#include "check.h"
#include "rig.h"

#include "base/clock.h"
#include "base/mem.h"
#include "znode/fields.h"
#include "znode/inbox.h"
#include "znode/names.h"
#include "znode/seat.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sequence numbers ---- */

static void test_compare(void)
{
    static const int32_t in_order[] = {INT32_MAX - 2, INT32_MAX - 1, INT32_MAX,
                                       INT32_MIN,     INT32_MIN + 1, INT32_MIN + 5};
    size_t count = sizeof in_order / sizeof *in_order, i, k;

    for (i = 0; i < count; i++)
        for (k = 0; k < count; k++) {
            int order = oz_seq_compare(in_order[i], in_order[k]);

            CU_ASSERT_EQUAL(order < 0, i < k);
            CU_ASSERT_EQUAL(order > 0, i > k);
        }
    CU_ASSERT_TRUE(oz_seq_compare(-1, 0) < 0);
    CU_ASSERT_TRUE(oz_seq_compare(0, 1) < 0);
    CU_ASSERT_TRUE(oz_seq_compare(2000000000, 5) > 0);
}

static void test_split(void)
{
    static const int32_t numbers[] = {0, 7, 1234567890, INT32_MAX, INT32_MIN, -999999999, -10000000, -1, -1000000000};
    static const char *const bad[] = {"",
                                      "a",
                                      "a#",
                                      "a#123",
                                      "a#00000000001",
                                      "a#000000000x",
                                      "a#2147483648",
                                      "a#-2147483649",
                                      "a# 000000001",
                                      "a#+000000001",
                                      "a#--00000001",
                                      "a#-00000000001",
                                      "0000000001"};
    char name[64];
    size_t prefix, i;
    int32_t seq;

    for (i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(name, sizeof name, "n#ode#%010" PRId32, numbers[i]); /* as the server writes it */
        seq = 1;
        CU_ASSERT_TRUE(oz_name_split(name, &prefix, &seq));
        CU_ASSERT_EQUAL(prefix, 5);
        CU_ASSERT_EQUAL(seq, numbers[i]);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_FALSE(oz_name_split(bad[i], &prefix, &seq));
    CU_ASSERT_STRING_EQUAL(oz_basename("/a/b"), "b");
    CU_ASSERT_STRING_EQUAL(oz_basename("b"), "b");
}

/* ---- keys ---- */

/* Encodes a key, checks that it is one valid part of a path, and decodes it again. */
static void round_trip(const char *key)
{
    struct oz_buf name = {0}, back = {0};
    const char *p;

    oz_encode_key(&name, key);
    for (p = oz_buf_str(&name); *p; p++)
        CU_ASSERT_TRUE(*p > 0x20 && *p < 0x7f && *p != '/' && *p != '#');
    CU_ASSERT_TRUE(name.len > 0);
    CU_ASSERT_STRING_NOT_EQUAL(oz_buf_str(&name), ".");
    CU_ASSERT_STRING_NOT_EQUAL(oz_buf_str(&name), "..");
    CU_ASSERT_TRUE(oz_decode_key(&back, oz_buf_str(&name), name.len));
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&back), key);
    oz_buf_free(&name);
    oz_buf_free(&back);
}

static void test_keys(void)
{
    char key[513];
    int a, b;

    for (a = 1; a < 256; a++)
        for (b = 0; b < 256; b++) {
            snprintf(key, sizeof key, "%c%c", a, b);
            round_trip(key);
        }
    round_trip(".");
    round_trip("..");
    round_trip("...");
    round_trip("a.b");
    round_trip("%2F");
    round_trip("Stra\xc3\x9f"
               "e/\xe2\x82\xac/\xf0\x9f\x98\x80 #1");
    memset(key, '/', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    round_trip(key);
    memset(key, 0xff, sizeof key - 1);
    round_trip(key);
}

static void test_bad_names(void)
{
    static const char *const bad[] = {"%", "%2", "%2g", "%gf", "a%", "%%41", "%2f", "%4"};
    struct oz_buf b = {0};
    size_t i;

    for (i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_FALSE(oz_decode_key(&b, bad[i], strlen(bad[i])));
    oz_buf_free(&b);
    CU_ASSERT_FALSE(oz_decode_key(&b, "a%41", 3)); /* not beyond its end */
    oz_buf_free(&b);
}

/* Where a lock's znode is must never change. */
static void test_buckets(void)
{
    int counts[256] = {0}, i, most = 0;
    char key[32], bucket[3];

    oz_bucket("a", bucket);
    CU_ASSERT_STRING_EQUAL(bucket, "ed");
    for (i = 0; i < 25600; i++) {
        snprintf(key, sizeof key, "%d", i);
        oz_bucket(key, bucket);
        CU_ASSERT_EQUAL(strlen(bucket), 2);
        counts[strtol(bucket, NULL, 16)]++;
    }
    for (i = 0; i < 256; i++)
        if (counts[i] > most)
            most = counts[i];
    CU_ASSERT_TRUE(most < 200);
}

static void test_utf8(void)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "a\xc3\xa4z"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2z",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xfe",
                                      "\xff",
                                      "a\xf0\x9f\x98"};
    size_t i;

    for (i = 0; i < sizeof good / sizeof *good; i++)
        CU_ASSERT_TRUE(oz_is_utf8(good[i]));
    for (i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_FALSE(oz_is_utf8(bad[i]));
}

static void test_is_name(void)
{
    char longest[66];

    memset(longest, 'x', 64);
    longest[64] = '\0';
    CU_ASSERT_TRUE(oz_is_name(longest, ""));
    longest[64] = 'x';
    longest[65] = '\0';
    CU_ASSERT_FALSE(oz_is_name(longest, ""));
    CU_ASSERT_TRUE(oz_is_name("A-z_0.9", ""));
    CU_ASSERT_TRUE(oz_is_name("...", ""));
    CU_ASSERT_TRUE(oz_is_name("a@b", "@"));
    CU_ASSERT_FALSE(oz_is_name("a@b", ""));
    CU_ASSERT_FALSE(oz_is_name("", ""));
    CU_ASSERT_FALSE(oz_is_name(".", ""));
    CU_ASSERT_FALSE(oz_is_name("..", ""));
    CU_ASSERT_FALSE(oz_is_name("a/b", ""));
    CU_ASSERT_FALSE(oz_is_name("\xc3\xa4", ""));
}

/* ---- fields ---- */

static void test_fields(void)
{
    struct oz_buf text = {0}, value = {0}, key = {0};
    const char *next;
    char small[4], large[64];

    oz_field_add(&text, "host", "a=b%\r\nc");
    oz_field_number(&text, "pid", INT64_MIN);
    oz_field_add(&text, "empty", "");
    oz_field_add(&text, "host", "second");
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&text), "host=a=b%25%0D%0Ac\npid=-9223372036854775808\nempty=\nhost=second\n");
    CU_ASSERT_TRUE(oz_field_get(oz_buf_str(&text), "host", &value));
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&value), "a=b%\r\nc");
    CU_ASSERT_EQUAL(oz_field_int(oz_buf_str(&text), "pid"), INT64_MIN);
    CU_ASSERT_EQUAL(oz_field_int(oz_buf_str(&text), "none"), 0);
    oz_field_copy(oz_buf_str(&text), "host", large, sizeof large);
    CU_ASSERT_STRING_EQUAL(large, "a=b%\r\nc");
    strcpy(small, "old");
    oz_field_copy(oz_buf_str(&text), "host", small, sizeof small); /* too long */
    CU_ASSERT_STRING_EQUAL(small, "");
    oz_field_copy("k=abc\n", "k", small, sizeof small);
    CU_ASSERT_STRING_EQUAL(small, "abc");
    oz_field_copy("k=abcd\n", "k", small, sizeof small);
    CU_ASSERT_STRING_EQUAL(small, "");
    oz_field_copy("k=a%41%4", "k", small, sizeof small);
    CU_ASSERT_STRING_EQUAL(small, "");
    next = oz_field_next(oz_buf_str(&text), &key, &value);
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&key), "host");
    next = oz_field_next(next, &key, &value);
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&key), "pid");
    next = oz_field_next(next, &key, &value);
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&value), "");
    next = oz_field_next(next, &key, &value);
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&value), "second");
    CU_ASSERT_PTR_NULL(oz_field_next(next, &key, &value));
    oz_buf_free(&text);
    oz_buf_free(&value);
    oz_buf_free(&key);
}

static void test_foreign_fields(void)
{
    static const char *const texts[] = {NULL, "", "\n\n", "=", "k", "kk=1", "k2=1\nk", "noequals\n\nx=%zz\n"};
    struct oz_buf value = {0}, key = {0};
    size_t i;

    for (i = 0; i < sizeof texts / sizeof *texts; i++)
        CU_ASSERT_FALSE(oz_field_get(texts[i], "k", &value));
    CU_ASSERT_EQUAL(value.len, 0);
    CU_ASSERT_TRUE(oz_field_get("junk\nk=v", "k", &value)); /* no newline at the end */
    CU_ASSERT_STRING_EQUAL(oz_buf_str(&value), "v");
    CU_ASSERT_PTR_NULL(oz_field_next("x=%zz\nnothing\n", &key, &value));
    oz_buf_free(&value);
    oz_buf_free(&key);
}

/* ---- directories ---- */

static struct rig r;
static struct rig_reply made;

/* A test of one thing against every fault at every request, and every allocation that fails. `step`
 * begins it, and returns whether it could; `good` says whether it went well. */
static void (*prepare)(void);
static bool (*begin)(void);
static bool (*is_done)(void *unused);
static void (*verify)(void);

static int64_t session; /* in which it was begun */
static enum fake_fault fault_now;

static bool same_session(void)
{
    return fake_session(1) == session;
}

static void run_once(void)
{
    rig_open(&r, 1);
    session = fake_session(1);
    prepare();
    rig_run(&r);
}

static bool run_with(enum fake_fault fault, long n)
{
    bool happened;

    world_begin((uint64_t)n);
    run_once();
    fault_now = fault;
    fake_set_fault(1, n, fault);
    while (!begin())
        ;
    if (!rig_wait(&r, is_done, NULL, 30000))
        world_fail("it does not end");
    rig_pass(&r, 2000);
    happened = fake_fault_happened();
    fake_set_fault(0, 0, FAKE_NONE);
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    verify();
    rig_close(&r);
    world_end();
    return happened;
}

static void run_without_memory(long n, bool *happened)
{
    long before;

    world_begin((uint64_t)n);
    run_once();
    before = oz_mem_count();
    oz_mem_fail_at(n);
    while (!begin())
        ;
    if (!rig_wait(&r, is_done, NULL, 30000))
        world_fail("it does not end");
    *happened = oz_mem_count() - before >= n;
    oz_mem_fail_at(0);
    rig_pass(&r, 2000);
    verify();
    rig_close(&r);
    world_end();
}

static void torture(const char *name)
{
    long before = world_failures(), n;
    bool happened = true;
    int fault;

    for (fault = FAKE_NONE; fault < FAKE_FAULTS; fault++)
        for (n = 1; n < 30; n++) {
            world_context("%s, %s at request %ld", name, fake_fault_name((enum fake_fault)fault), n);
            if (!run_with((enum fake_fault)fault, n))
                break;
        }
    for (n = 1; happened; n++) {
        world_context("%s, allocation %ld", name, n);
        run_without_memory(n, &happened);
    }
    CU_ASSERT_EQUAL(world_failures(), before);
}

static bool is_made(void *unused)
{
    (void)unused;
    return made.count > 0;
}

static void no_preparation(void)
{
}

static bool make_dirs(void)
{
    made = (struct rig_reply){0};
    return oz_make_dirs(r.s, "/a/b/c/d", rig_replied, &made);
}

static void verify_dirs(void)
{
    if (made.count != 1 || (made.rc != OZ_OK && made.rc != OZ_GONE))
        world_fail("told %d times, %s", made.count, oz_rc_name(made.rc));
    /* A request that is refused alone, and repeated behind the others: whoever asked finds out, and
     * asks again. */
    if (made.rc == OZ_OK && !fake_exists("/a/b/c/d") && fault_now != FAKE_UNKNOWN_UNDONE)
        world_fail("it was not made");
    if (made.rc == OZ_GONE && same_session())
        world_fail("the session is not over");
}

static void test_dirs(void)
{
    prepare = no_preparation;
    begin = make_dirs;
    is_done = is_made;
    verify = verify_dirs;
    torture("directories");
}

static void test_dirs_in_their_way(void)
{
    char deep[1001];
    int i;

    world_begin(1);
    rig_open(&r, 1);
    for (i = 0; i < 500; i++)
        memcpy(deep + 2 * i, "/x", 3);
    made = (struct rig_reply){0};
    CU_ASSERT_TRUE(oz_make_dirs(r.s, deep, rig_replied, &made));
    rig_run(&r);
    CU_ASSERT_EQUAL(made.rc, OZ_OK);
    CU_ASSERT_TRUE(fake_exists(deep));
    CU_ASSERT_TRUE(oz_make_dirs(r.s, deep, rig_replied, &made)); /* it exists already */
    rig_run(&r);
    CU_ASSERT_EQUAL(made.rc, OZ_OK);
    fake_set_denied("/den", OZ_DENIED);
    CU_ASSERT_TRUE(oz_make_dirs(r.s, "/den/y/z", rig_replied, &made));
    rig_run(&r);
    CU_ASSERT_EQUAL(made.rc, OZ_DENIED);
    fake_create("/den/y", "", 0); /* what may not be made, but exists */
    fake_set_denied("/den/y/", OZ_OK);
    fake_set_denied("/dex", OZ_FAILED);
    CU_ASSERT_TRUE(oz_make_dirs(r.s, "/den/y/z", rig_replied, &made));
    rig_run(&r);
    CU_ASSERT_EQUAL(made.rc, OZ_OK);
    CU_ASSERT_EQUAL(made.count, 4);
    rig_close(&r);
    world_end();
}

/* ---- erasing ---- */

static void make_victim(void)
{
    fake_create("/dir/victim", "", oz_session_id(r.s));
}

static bool erase(void)
{
    oz_erase(r.s, "/dir/victim");
    return true;
}

static bool is_erased(void *unused)
{
    (void)unused;
    return !fake_exists("/dir/victim");
}

static void verify_erased(void)
{
    if (fake_exists("/dir/victim"))
        world_fail("it is still there");
}

static void test_erase(void)
{
    prepare = make_victim;
    begin = erase;
    is_done = is_erased;
    verify = verify_erased;
    torture("erase");
}

/* ---- seats ---- */

static struct oz_seat *seat;
static int neighbours;
static int seat_told;
static enum oz_rc seat_rc;

static void on_seat(void *owner, struct oz_seat *it, enum oz_rc rc)
{
    (void)owner;
    if (it != seat)
        world_fail("told of another seat");
    seat_told++;
    seat_rc = rc;
}

static bool take_seat(void)
{
    seat_told = 0;
    seat = oz_seat_take(r.s, "/q/w", "me", "data", on_seat, &r);
    return seat != NULL;
}

static bool is_seated(void *unused)
{
    (void)unused;
    return seat_told > 0;
}

/* Others' seats, of another prefix, or of this one but of another session, are not ours. */
static void make_neighbours(void)
{
    int64_t other = fake_foreign_session();

    neighbours = 3;

    fake_create("/q/w/me#0000000000", "", other);
    fake_create("/q/w/mee#0000000001", "", oz_session_id(r.s));
    fake_create("/q/w/me", "", 0);
}

static void be_alone(void)
{
    neighbours = 0;
}

static void verify_seat(void)
{
    struct oz_znode_stat stat;
    char path[100] = "";

    if (seat_told != 1)
        world_fail("told %d times", seat_told);
    if (seat_rc == OZ_OK)
        snprintf(path, sizeof path, "%s", oz_seat_path(seat));
    if (seat_rc == OZ_OK && same_session()) {
        if (!fake_stat(path, &stat) || stat.czxid != oz_seat_czxid(seat) || stat.owner != session)
            world_fail("the seat is not there");
        if (fake_count("/q/w") != neighbours + 1)
            world_fail("there are two seats");
    } else if (seat_rc != OZ_OK && (seat_rc != OZ_GONE || same_session())) {
        world_fail("no seat: %s", oz_rc_name(seat_rc));
    }
    oz_seat_leave(seat);
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    if (*path && fake_exists(path))
        world_fail("the seat was left behind");
}

static void test_seat(void)
{
    prepare = be_alone;
    begin = take_seat;
    is_done = is_seated;
    verify = verify_seat;
    torture("seat");
}

static void test_seat_among_others(void)
{
    prepare = make_neighbours;
    begin = take_seat;
    is_done = is_seated;
    verify = verify_seat;
    torture("seat among others");
}

/* Given up after so many rounds, whatever its state is then. */
static int patience;

static bool take_and_leave(void)
{
    int i;

    if (!take_seat())
        return false;
    for (i = 0; i < patience; i++)
        if (!fake_step())
            oz_dispatch_step(r.d, 0);
    oz_seat_leave(seat);
    seat_told = 0;
    return true;
}

static bool at_once(void *unused)
{
    (void)unused;
    return true;
}

static void verify_left(void)
{
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    if (fake_ephemerals(""))
        world_fail("a seat that nobody wants is there");
    if (seat_told)
        world_fail("told, although it was given up");
}

static void test_seat_left(void)
{
    prepare = no_preparation;
    begin = take_and_leave;
    is_done = at_once;
    verify = verify_left;
    for (patience = 0; patience < 24; patience++)
        torture("seat, left");
}

/* ---- inboxes ---- */

static struct oz_inbox *inbox;
static int reads;
static char asked[200];

static void on_read(void *owner)
{
    (void)owner;
    reads++;
}

static char *on_request(void *owner, const char *name)
{
    size_t n = strlen(asked);

    (void)owner;
    snprintf(asked + n, sizeof asked - n, "%s ", name);
    return strncmp(name, "report", 6) == 0 ? oz_strdup("the answer") : NULL;
}

static void open_inbox(void)
{
    reads = 0;
    asked[0] = '\0';
    inbox = NULL;
    while (!inbox)
        inbox = oz_inbox_new(r.s, "/ode/x", on_read, on_request, NULL);
    oz_inbox_open(inbox, "n#0000000001");
}

static void close_inbox(void)
{
    oz_inbox_remove(inbox);
    rig_pass(&r, 1000);
    oz_inbox_free(inbox);
}

static void test_inbox(void)
{
    int64_t other;
    char *data;

    world_begin(1);
    rig_open(&r, 1);
    fake_create("/ode/x", "", 0);
    open_inbox();
    rig_run(&r);
    CU_ASSERT_EQUAL(reads, 1);
    CU_ASSERT_TRUE(fake_exists("/ode/x/inbox/n#0000000001"));
    other = fake_foreign_session();
    fake_create("/ode/x/inbox/n#0000000001/resign", "", other);
    rig_run(&r);
    CU_ASSERT_STRING_EQUAL(asked, "resign ");
    CU_ASSERT_FALSE(fake_exists("/ode/x/inbox/n#0000000001/resign"));
    asked[0] = '\0';
    fake_create("/ode/x/inbox/n#0000000001/report.1", "", other);
    rig_run(&r);
    data = fake_data("/ode/x/inbox/n#0000000001/report.1");
    CU_ASSERT_STRING_EQUAL(data, "the answer");
    free(data);
    fake_end_session(other);
    rig_run(&r);
    CU_ASSERT_EQUAL(fake_watches(1), 1);
    close_inbox();
    CU_ASSERT_FALSE(fake_exists("/ode/x/inbox/n#0000000001"));
    rig_close(&r);
    world_end();
}

/* Requests that come while a list is under way. */
static void test_inbox_hears_all(void)
{
    int64_t other;
    char path[100];
    int i, k;

    for (k = 0; k < 12; k++) {
        world_begin(1);
        rig_open(&r, 1);
        fake_create("/ode/x/inbox", "", 0);
        open_inbox();
        for (i = 0; i < k; i++)
            if (!fake_step())
                oz_dispatch_step(r.d, 0);
        other = fake_foreign_session();
        fake_create("/ode/x/inbox/n#0000000001", "", 0);
        for (i = 0; i < 40; i++) {
            snprintf(path, sizeof path, "/ode/x/inbox/n#0000000001/%c%d", 'a' + i % 26, i);
            fake_create(path, "", other);
            if (i % 3 == 0)
                fake_spurious(1);
            if (!fake_step())
                oz_dispatch_step(r.d, 0);
        }
        rig_run(&r);
        CU_ASSERT_EQUAL(fake_count("/ode/x/inbox/n#0000000001"), 0);
        asked[0] = '\0';
        fake_create("/ode/x/inbox/n#0000000001/last", "", other);
        rig_run(&r);
        CU_ASSERT_STRING_EQUAL(asked, "last ");
        close_inbox();
        rig_close(&r);
        world_end();
    }
}

static bool begin_inbox(void)
{
    open_inbox();
    return true;
}

static bool is_open(void *unused)
{
    (void)unused;
    return reads > 0 || !same_session();
}

static void verify_inbox(void)
{
    if (same_session()) {
        fake_create("/ode/x/inbox/n#0000000001/resign", "", fake_foreign_session());
        rig_pass(&r, 2000);
        if (!strstr(asked, "resign "))
            world_fail("a request was not heard");
        if (fake_count("/ode/x/inbox/n#0000000001"))
            world_fail("a request is left");
        close_inbox();
        if (fake_exists("/ode/x/inbox/n#0000000001"))
            world_fail("the inbox is left");
    } else {
        close_inbox();
    }
}

static void make_root(void)
{
    fake_create("/ode/x", "", 0);
}

static void test_inbox_torture(void)
{
    prepare = make_root;
    begin = begin_inbox;
    is_done = is_open;
    verify = verify_inbox;
    torture("inbox");
}

/* What dead members left goes; what living ones have stays. */
static void make_remains(void)
{
    int64_t other = fake_foreign_session();

    fake_create("/ode/x/members/alive#0000000001", "", other);
    fake_create("/ode/x/inbox/alive#0000000001/resign", "", other);
    fake_create("/ode/x/inbox/dead#0000000001", "", 0);
    fake_create("/ode/x/inbox/dead#0000000002/space:k", "", other);
    fake_create("/ode/x/inbox/dead#0000000002/space:l", "", other);
}

static bool sweep(void)
{
    inbox = NULL;
    while (!inbox)
        inbox = oz_inbox_new(r.s, "/ode/x", on_read, on_request, NULL);
    oz_inbox_sweep(inbox);
    return true;
}

static void verify_swept(void)
{
    oz_inbox_sweep(inbox); /* what found no memory is left to the next one */
    rig_pass(&r, 2000);
    oz_inbox_free(inbox);
    if (same_session() && fake_below("/ode/x/inbox") != 2)
        world_fail("%d znodes are left instead of 2", fake_below("/ode/x/inbox"));
    if (!fake_exists("/ode/x/inbox/alive#0000000001/resign"))
        world_fail("the living one's is gone");
}

static void test_sweep(void)
{
    prepare = make_remains;
    begin = sweep;
    is_done = at_once;
    verify = verify_swept;
    torture("sweep");
}

/* However often it is asked for while one is under way, there is one more. */
static void test_sweep_of_many(void)
{
    int64_t other;
    char path[100];
    long before;
    int i;

    world_begin(1);
    rig_open(&r, 1);
    other = fake_foreign_session();
    for (i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "/ode/x/inbox/dead#%010d", i);
        fake_create(path, "", 0);
        snprintf(path, sizeof path, "/ode/x/inbox/alive#%010d", 300 + i);
        fake_create(path, "", 0);
        snprintf(path, sizeof path, "/ode/x/members/alive#%010d", 300 + i);
        fake_create(path, "", other);
    }
    before = fake_requests();
    sweep();
    for (i = 0; i < 300; i++)
        oz_inbox_sweep(inbox);
    rig_pass(&r, 2000);
    CU_ASSERT_EQUAL(fake_count("/ode/x/inbox"), 300);
    CU_ASSERT_TRUE(fake_requests() - before < 1500);
    oz_inbox_free(inbox);
    rig_close(&r);
    world_end();
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"sequence numbers over the overflow", test_compare},
        {"names with sequence numbers", test_split},
        {"keys there and back", test_keys},
        {"names that are no keys", test_bad_names},
        {"buckets", test_buckets},
        {"UTF-8", test_utf8},
        {"names", test_is_name},
        {"fields", test_fields},
        {"fields of others", test_foreign_fields},
        {"directories under every fault", test_dirs},
        {"deep, present and forbidden directories", test_dirs_in_their_way},
        {"erasing under every fault", test_erase},
        {"a seat under every fault", test_seat},
        {"a seat among others, under every fault", test_seat_among_others},
        {"a seat given up at each step, under every fault", test_seat_left},
        {"an inbox", test_inbox},
        {"an inbox hears all", test_inbox_hears_all},
        {"an inbox under every fault", test_inbox_torture},
        {"sweeping inboxes under every fault", test_sweep},
        {"sweeping many inboxes", test_sweep_of_many},
    };
    int rc;

    world_open();
    rc = CHECK_RUN("znode", checks, argc, argv);
    world_close();
    return rc;
}
