#include "event.h"

#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *add(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *add_node(json_t *object, const odezk_event *event)
{
    object = add(object, "id", output_string(event->id));
    return add(object, "incarnation", json_integer(event->incarnation));
}

static const char *event_name(const odezk_event *event)
{
    switch (event->type) {
    case ODEZK_EVENT_SESSION:
        return "session";
    case ODEZK_EVENT_READY:
        return "ready";
    case ODEZK_EVENT_MEMBER:
        return "member";
    case ODEZK_EVENT_MASTER:
        return "master";
    case ODEZK_EVENT_MASTERSHIP:
        return "mastership";
    case ODEZK_EVENT_REFUSED:
        return "refused";
    default:
        return "unknown";
    }
}

static json_t *add_particulars(json_t *object, const odezk_event *event)
{
    switch (event->type) {
    case ODEZK_EVENT_SESSION:
        object = add(object, "state", json_string(odezk_session_state_name(event->state)));
        object = add(object, "generation", json_integer((json_int_t)event->generation));
        return event->reason ? add(object, "reason", output_string(event->reason)) : object;
    case ODEZK_EVENT_READY:
        return add(object, "incarnation", json_integer(event->incarnation));
    case ODEZK_EVENT_MEMBER:
        object = add(object, "change", json_string(odezk_member_change_name(event->change)));
        return add_node(object, event);
    case ODEZK_EVENT_MASTER:
        object = add(object, "id", output_string(event->id));
        return add(object, "epoch", json_integer(event->epoch));
    case ODEZK_EVENT_MASTERSHIP:
        object = add(object, "held", json_boolean(event->held));
        object = add(object, "epoch", json_integer(event->epoch));
        return add(object, "reason", output_string(event->reason));
    case ODEZK_EVENT_REFUSED:
        return add(object, "reason", output_string(event->reason));
    default:
        return object;
    }
}

static void print_json(FILE *out, const odezk_event *event, const char *node)
{
    json_t *object = add(json_object(), "event", json_string(event_name(event)));

    object = add(object, "time", output_time_value(event->time_ms));
    object = add(object, "node", output_string(node));
    object = add_particulars(object, event);
    if (object)
        json_dumpf(object, out, JSON_COMPACT);
    json_decref(object);
}

static void print_reason(FILE *out, const char *before, const char *reason)
{
    if (!reason)
        return;
    fputs(before, out);
    output_text(out, reason);
}

static void print_member(FILE *out, const odezk_event *event)
{
    fputs("member      ", out);
    output_text(out, event->id);
    fprintf(out, " %s, incarnation %" PRId64, odezk_member_change_name(event->change), event->incarnation);
}

static void print_master(FILE *out, const odezk_event *event)
{
    fputs("master      ", out);
    if (!event->id) {
        fputs("none", out);
        return;
    }
    output_text(out, event->id);
    fprintf(out, ", epoch %" PRId64, event->epoch);
}

static void print_text(FILE *out, const odezk_event *event)
{
    char time[OUTPUT_TIME_SIZE];

    output_time(event->time_ms, time);
    fprintf(out, "%s  ", time);
    switch (event->type) {
    case ODEZK_EVENT_SESSION:
        fprintf(out, "session     %s, generation %" PRIu64, odezk_session_state_name(event->state), event->generation);
        print_reason(out, ": ", event->reason);
        break;
    case ODEZK_EVENT_READY:
        fprintf(out, "ready       incarnation %" PRId64, event->incarnation);
        break;
    case ODEZK_EVENT_MEMBER:
        print_member(out, event);
        break;
    case ODEZK_EVENT_MASTER:
        print_master(out, event);
        break;
    case ODEZK_EVENT_MASTERSHIP:
        fprintf(out, "mastership  %s, epoch %" PRId64, event->held ? "began" : "ended", event->epoch);
        print_reason(out, ": ", event->reason);
        break;
    case ODEZK_EVENT_REFUSED:
        print_reason(out, "refused     ", event->reason);
        break;
    default:
        fputs(event_name(event), out);
        break;
    }
}

char *event_line(const odezk_event *event, const char *node, bool json)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);

    if (!out)
        return NULL;
    if (json)
        print_json(out, event, node);
    else
        print_text(out, event);
    fputc('\n', out);
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed && size > 1)
        return line;
    free(line);
    return NULL;
}
