#include "session/internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT 1000 /* more only queues up in the server, and far more would break the C client's pipe */
#define RESERVED 100   /* of those, not for bulk */

struct oz_op {
    struct oz_msg msg; /* carries the reply to the dispatcher */
    struct oz_list link;
    struct oz_conn *conn; /* while in flight */
    struct oz_request request;
    oz_op_cb cb;
    void *owner;
    int64_t sent, acked;
    struct oz_reply reply;
    void *reply_memory;
    unsigned cuts;             /* of the session's, when it was submitted */
    bool answered;             /* with OZ_GONE, before its real reply came */
    struct oz_request items[]; /* of a multi; behind them what the requests' pointers point to */
};

/* ---- one request ---- */

static char *copy_text(char **to, const void *from, size_t len)
{
    char *start = *to;

    if (len)
        memcpy(start, from, len);
    start[len] = '\0';
    *to += len + 1;
    return start;
}

static size_t text_size(const struct oz_request *r)
{
    return (r->path ? strlen(r->path) : 0) + r->len + 2;
}

static void copy_request(struct oz_request *to, const struct oz_request *from, char **text)
{
    *to = *from;
    to->path = copy_text(text, from->path ? from->path : "", from->path ? strlen(from->path) : 0);
    to->data = copy_text(text, from->data, from->len);
}

static struct oz_op *new_op(const struct oz_request *request)
{
    size_t size = text_size(request) + request->count * sizeof *request, i;
    struct oz_op *op;
    char *text;

    for (i = 0; i < request->count; i++)
        size += text_size(&request->items[i]);
    op = oz_alloc(sizeof *op + size);
    if (!op)
        return NULL;
    oz_list_init(&op->link);
    text = (char *)(op->items + request->count);
    copy_request(&op->request, request, &text);
    for (i = 0; i < request->count; i++)
        copy_request(&op->items[i], &request->items[i], &text);
    op->request.items = op->items;
    return op;
}

static void free_op(struct oz_op *op)
{
    oz_list_remove(&op->link);
    free(op->reply_memory);
    free(op);
}

static void finish_op(struct oz_op *op)
{
    oz_op_cb cb = op->cb;

    op->cb = NULL;
    if (cb)
        cb(op->owner, &op->reply);
    free_op(op);
}

static void finish_with(struct oz_op *op, enum oz_rc rc)
{
    op->reply.rc = rc;
    finish_op(op);
}

void oz_op_detach(struct oz_op *op)
{
    if (op)
        op->cb = NULL;
}

void oz_ignore_reply(void *owner, const struct oz_reply *reply)
{
    (void)owner;
    (void)reply;
}

/* ---- replies ---- */

static size_t reply_size(const struct oz_reply *r)
{
    size_t size = r->count * sizeof(char *) + r->len + 1 + (r->path ? strlen(r->path) + 1 : 0), i;

    for (i = 0; i < r->count; i++)
        size += strlen(r->names[i]) + 1;
    return size;
}

/* The client frees its reply when its callback returns. Without memory for a copy the outcome is unknown. */
static void copy_reply(struct oz_op *op, const struct oz_reply *from)
{
    char *text, **names;
    size_t i;

    op->reply = *from;
    if (!from->path && !from->data && !from->count)
        return;
    names = oz_alloc(reply_size(from));
    if (!names) {
        op->reply = (struct oz_reply){.rc = OZ_UNKNOWN};
        return;
    }
    op->reply_memory = names;
    text = (char *)(names + from->count);
    for (i = 0; i < from->count; i++)
        names[i] = copy_text(&text, from->names[i], strlen(from->names[i]));
    op->reply.names = (const char *const *)names;
    if (from->path)
        op->reply.path = copy_text(&text, from->path, strlen(from->path));
    op->reply.data = copy_text(&text, from->data, from->len);
}

void oz_conn_reply(void *ctx, void *token, const struct oz_reply *reply)
{
    struct oz_conn *conn = ctx;
    struct oz_op *op = token;

    op->acked = oz_now();
    copy_reply(op, reply);
    oz_dispatch_post(conn->session->dispatch, &op->msg);
}

/* Whether the answer shows that the request reached the leader. */
static bool passed_leader(const struct oz_op *op)
{
    switch (op->request.verb) {
    case OZ_CREATE:
    case OZ_DELETE:
    case OZ_SET:
    case OZ_MULTI:
    case OZ_SYNC:
        return op->reply.rc != OZ_UNKNOWN && op->reply.rc != OZ_GONE && op->reply.rc != OZ_FAILED &&
               op->reply.rc != OZ_DENIED; /* the client itself may say so */
    default:
        return false;
    }
}

static void flush_now(void *arg)
{
    oz_session_flush(arg);
}

static void flush_later(struct oz_session *s)
{
    if (!s->flush_timer.armed)
        oz_session_later(s, &s->flush_timer, OZ_RETRY_AFTER, flush_now, s);
}

/* Where a request waits for its turn. */
static struct oz_list *list_of(struct oz_session *s, const struct oz_op *op)
{
    return op->request.bulk ? &s->bulk : &s->parked;
}

static void repeat(struct oz_session *s, struct oz_op *op)
{
    free(op->reply_memory);
    op->reply_memory = NULL;
    op->conn = NULL;
    oz_list_append(list_of(s, op), &op->link);
    flush_later(s);
}

static void op_replied(struct oz_msg *msg)
{
    struct oz_op *op = oz_container(msg, struct oz_op, msg);
    struct oz_conn *conn = op->conn;
    struct oz_session *s = conn->session;

    oz_list_remove(&op->link);
    conn->in_flight--;
    if (op->reply.rc != OZ_UNKNOWN)
        s->waits_since = oz_now();
    if (op->answered) {
        free_op(op);
        return;
    }
    if (s->up && conn == s->conn && passed_leader(op)) {
        oz_renewal_acked(s, op->sent, op->acked, op->request.verb != OZ_SYNC);
        oz_silence_answered(s, op->sent, op->acked);
    }
    if (op->reply.rc == OZ_UNKNOWN && op->request.retry && op->cb) {
        repeat(s, op);
        return;
    }
    finish_op(op);
    if (!s->flush_timer.armed)
        oz_session_flush(s);
}

/* ---- sending ---- */

/* False: the client does not take it, and it is in no list. */
static bool send_op(struct oz_session *s, struct oz_op *op)
{
    struct oz_conn *conn = s->conn;

    op->msg.run = op_replied;
    op->conn = conn;
    op->sent = oz_now(); /* before it is sent: the lease counts from here */
    oz_list_append(&conn->ops, &op->link);
    conn->in_flight++;
    /* It was meant for a connection that is gone. The answer comes as others do: whoever submits a request may hold a
     * lock that the receiver of this answer wants. */
    if (!op->request.retry && op->cuts != s->cuts) {
        op->reply.rc = OZ_UNKNOWN;
        oz_dispatch_post(s->dispatch, &op->msg);
        return true;
    }
    if (s->port->submit(conn->port, &op->request, op))
        return true;
    oz_list_remove(&op->link);
    conn->in_flight--;
    op->conn = NULL;
    return false;
}

/* The next request to be sent, taken out of its list. */
static struct oz_list *next_to_send(struct oz_session *s)
{
    struct oz_list *node = NULL;

    if (s->connected && s->conn->in_flight < IN_FLIGHT)
        node = oz_list_pop(&s->parked);
    if (!node && s->connected && s->conn->in_flight < IN_FLIGHT - RESERVED)
        node = oz_list_pop(&s->bulk);
    return node;
}

void oz_session_flush(struct oz_session *s)
{
    struct oz_list *node;

    oz_timer_clear(s->timers, &s->flush_timer);
    while ((node = next_to_send(s)) != NULL) {
        struct oz_op *op = oz_container(node, struct oz_op, link);

        if (!send_op(s, op)) { /* it stays the first */
            oz_list_prepend(list_of(s, op), node);
            flush_later(s);
            return;
        }
    }
}

static void op_without_session(struct oz_msg *msg)
{
    finish_with(oz_container(msg, struct oz_op, msg), OZ_GONE);
}

struct oz_op *oz_submit(struct oz_session *s, const struct oz_request *request, oz_op_cb cb, void *owner)
{
    struct oz_op *op = new_op(request);

    if (!op)
        return NULL;
    op->cb = cb;
    op->owner = owner;
    op->cuts = s->cuts;
    if (!s->conn || s->identity.id == 0) {
        op->msg.run = op_without_session;
        oz_dispatch_post(s->dispatch, &op->msg);
        return op;
    }
    oz_list_append(list_of(s, op), &op->link);
    if (!s->flush_timer.armed)
        oz_session_flush(s);
    return op;
}

const char *oz_session_nowhere(const struct oz_session *s, char path[OZ_NOWHERE_SIZE])
{
    snprintf(path, OZ_NOWHERE_SIZE, "%s/no-member-%llx", strcmp(s->root, "/") ? s->root : "",
             (unsigned long long)s->identity.id);
    return path;
}

struct oz_op *oz_barrier(struct oz_session *s, bool bulk, oz_op_cb cb, void *owner)
{
    char path[OZ_NOWHERE_SIZE];
    struct oz_request request = {.verb = OZ_DELETE, .path = oz_session_nowhere(s, path), .bulk = bulk, .retry = true};

    return oz_submit(s, &request, cb, owner);
}

/* ---- the end ---- */

void oz_session_fail_ops(struct oz_session *s, struct oz_conn *conn)
{
    struct oz_list parked, *node, *tmp;

    oz_list_init(&parked);
    oz_list_splice(&parked, &s->parked);
    oz_list_splice(&parked, &s->bulk);
    oz_timer_clear(s->timers, &s->flush_timer);
    oz_list_each_safe(node, tmp, &conn->ops) {
        struct oz_op *op = oz_container(node, struct oz_op, link);
        oz_op_cb cb = op->cb;
        struct oz_reply gone = {.rc = OZ_GONE};

        op->answered = true;
        op->cb = NULL;
        if (cb)
            cb(op->owner, &gone);
    }
    while ((node = oz_list_pop(&parked)) != NULL)
        finish_with(oz_container(node, struct oz_op, link), OZ_GONE);
}

void oz_conn_free_ops(struct oz_conn *conn)
{
    struct oz_list *node;

    while ((node = oz_list_pop(&conn->ops)) != NULL)
        free_op(oz_container(node, struct oz_op, link));
}

int64_t oz_conn_oldest(const struct oz_conn *conn)
{
    return oz_list_empty(&conn->ops) ? OZ_NEVER : oz_container(conn->ops.next, struct oz_op, link)->sent;
}
