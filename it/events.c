/* Events as lines, of handles and of processes. */
#include "harness.h"
#include "internal.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct it_log {
    pthread_mutex_t lock;
    char **lines;
    int count, capacity;
    int seen; /* lines before this one were waited for */
};

struct it_log *it_log_new(void)
{
    struct it_log *log = it_alloc(sizeof *log);

    pthread_mutex_init(&log->lock, NULL);
    return log;
}

void it_log_free(struct it_log *log)
{
    if (!log)
        return;
    for (int i = 0; i < log->count; i++)
        free(log->lines[i]);
    free(log->lines);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

void it_log_add(struct it_log *log, const char *line)
{
    pthread_mutex_lock(&log->lock);
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 16;
        log->lines = it_realloc(log->lines, (size_t)log->capacity * sizeof *log->lines);
    }
    log->lines[log->count++] = it_format("%s", line);
    pthread_mutex_unlock(&log->lock);
}

/* ---- an event as a line ---- */

static char *session_line(const char *state, int64_t generation)
{
    return it_format("session %s %" PRId64, state, generation);
}

static char *mastership_line(bool held, int64_t epoch, const char *reason)
{
    if (held)
        return it_format("mastership began %" PRId64, epoch);
    return it_format("mastership ended %" PRId64 " %s", epoch, reason ? reason : "without a reason");
}

static char *master_line(const char *id, int64_t epoch)
{
    return id ? it_format("master %s %" PRId64, id, epoch) : it_format("master none");
}

static char *event_line(const odezk_event *event)
{
    switch (event->type) {
    case ODEZK_EVENT_SESSION:
        return session_line(odezk_session_state_name(event->state), (int64_t)event->generation);
    case ODEZK_EVENT_READY:
        return it_format("ready %" PRId64, event->incarnation);
    case ODEZK_EVENT_MEMBER:
        return it_format("member %s %s %" PRId64, odezk_member_change_name(event->change), event->id,
                         event->incarnation);
    case ODEZK_EVENT_MASTER:
        return master_line(event->id, event->epoch);
    case ODEZK_EVENT_MASTERSHIP:
        return mastership_line(event->held, event->epoch, event->reason);
    case ODEZK_EVENT_REFUSED:
        return it_format("refused %s", event->reason);
    default:
        return it_format("unknown %d", (int)event->type);
    }
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static char *json_line(const json_t *object)
{
    const char *event = text(object, "event");

    if (!event)
        return NULL;
    if (strcmp(event, "session") == 0 && text(object, "state"))
        return session_line(text(object, "state"), number(object, "generation"));
    if (strcmp(event, "ready") == 0)
        return it_format("ready %" PRId64, number(object, "incarnation"));
    if (strcmp(event, "member") == 0 && text(object, "change") && text(object, "id"))
        return it_format("member %s %s %" PRId64, text(object, "change"), text(object, "id"),
                         number(object, "incarnation"));
    if (strcmp(event, "master") == 0)
        return master_line(text(object, "id"), number(object, "epoch"));
    if (strcmp(event, "mastership") == 0)
        return mastership_line(json_is_true(json_object_get(object, "held")), number(object, "epoch"),
                               text(object, "reason"));
    if (strcmp(event, "refused") == 0 && text(object, "reason"))
        return it_format("refused %s", text(object, "reason"));
    return NULL;
}

void it_log_add_output(struct it_log *log, const char *output)
{
    json_t *object = *output == '{' ? json_loads(output, 0, NULL) : NULL;
    char *line = object ? json_line(object) : NULL;

    it_log_add(log, line ? line : output);
    free(line);
    json_decref(object);
}

static void on_event(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    char *line = event_line(event);

    (void)cluster;
    it_log_add(arg, line);
    free(line);
}

struct it_log *it_events(odezk_cluster *cluster)
{
    struct it_log *log = it_log_new();

    it_keep_log(log);
    if (odezk_cluster_subscribe(cluster, ODEZK_EVENT_ALL, on_event, log, NULL) != ODEZK_OK) {
        it_note("cannot subscribe: %s", odezk_last_error());
        CU_FAIL("odezk_cluster_subscribe");
    }
    return log;
}

/* ---- looking for lines ---- */

static bool matches(const char *line, const char *pattern)
{
    return fnmatch(pattern, line, 0) == 0;
}

struct wanted {
    struct it_log *log;
    const char *pattern;
    const char *found;
};

static bool find(void *arg)
{
    struct wanted *wanted = arg;
    struct it_log *log = wanted->log;

    it_pump();
    pthread_mutex_lock(&log->lock);
    for (int i = log->seen; i < log->count && !wanted->found; i++)
        if (matches(log->lines[i], wanted->pattern)) {
            wanted->found = log->lines[i];
            log->seen = i + 1;
        }
    pthread_mutex_unlock(&log->lock);
    return wanted->found != NULL;
}

const char *it_expect(struct it_log *log, int ms, const char *pattern)
{
    struct wanted wanted = {log, pattern, NULL};

    if (!it_until(ms, find, &wanted)) {
        it_note("\"%s\" did not come within %d ms", pattern, ms);
        it_log_print(log, "what came");
    }
    return wanted.found;
}

struct counted {
    struct it_log *log;
    const char *pattern;
};

static bool is_there(void *arg)
{
    struct counted *counted = arg;

    return it_count(counted->log, counted->pattern) > 0;
}

bool it_expect_all(struct it_log *log, int ms, ...)
{
    struct counted counted = {.log = log};
    bool good = true;
    va_list patterns;

    va_start(patterns, ms);
    while (good && (counted.pattern = va_arg(patterns, const char *)) != NULL)
        good = it_until(ms, is_there, &counted);
    va_end(patterns);
    if (!good)
        it_log_print(log, counted.pattern);
    return good;
}

int it_count(struct it_log *log, const char *pattern)
{
    int count = 0;

    it_pump();
    pthread_mutex_lock(&log->lock);
    for (int i = 0; i < log->count; i++)
        count += matches(log->lines[i], pattern);
    pthread_mutex_unlock(&log->lock);
    return count;
}

const char *it_last(struct it_log *log, const char *pattern)
{
    const char *last = NULL;

    it_pump();
    pthread_mutex_lock(&log->lock);
    for (int i = 0; i < log->count; i++)
        if (matches(log->lines[i], pattern))
            last = log->lines[i];
    pthread_mutex_unlock(&log->lock);
    return last;
}

int64_t it_number(const char *line)
{
    const char *blank = line ? strrchr(line, ' ') : NULL;

    return blank ? strtoll(blank + 1, NULL, 10) : -1;
}

void it_log_print(struct it_log *log, const char *title)
{
    it_pump();
    pthread_mutex_lock(&log->lock);
    it_note("%s:", title);
    for (int i = 0; i < log->count; i++)
        it_note("  %s%s", log->lines[i], i < log->seen ? "" : "   (not waited for)");
    pthread_mutex_unlock(&log->lock);
}
