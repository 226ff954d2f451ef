/* Which request passes, and which is lost, or its answer. */
#include "proxy.h"

static uint32_t number_at(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum loss kind_of(uint32_t type)
{
    switch (type) {
    case 1:  /* create */
    case 15: /* create2 */
        return LOSE_CREATE;
    case 2:
        return LOSE_DELETE;
    case 14:
        return LOSE_MULTI;
    case 5: /* set */
        return LOSE_ANY;
    default:
        return LOSE_NOTHING;
    }
}

/* Once. */
static bool take_order(enum loss *order, enum loss kind)
{
    if (*order == LOSE_NOTHING || kind == LOSE_NOTHING || (*order != kind && *order != LOSE_ANY))
        return false;
    *order = LOSE_NOTHING;
    proxy.lost++;
    return true;
}

static void request_passes(struct connection *c, uint32_t type)
{
    enum loss kind = kind_of(type);

    if (take_order(&c->link->drop, kind)) {
        c->dropped = true;
        c->reset_at = proxy_now();
    } else if (take_order(&c->link->lose, kind)) {
        c->losing = true;
        c->reset_at = proxy_now() + LOST_AT_MOST;
    }
}

/* Each request is its length, an xid and a type in four bytes each, and the rest. The first one on
 * a connection has only its length in common with the others. */
void proxy_look_at_requests(struct connection *c, const unsigned char *data, size_t size)
{
    size_t i = 0, wanted;

    while (i < size) {
        if (c->left > 0) {
            size_t step = c->left < size - i ? (size_t)c->left : size - i;
            c->left -= step;
            i += step;
            continue;
        }
        wanted = c->greeted ? HEADER : 4;
        c->head[c->head_size++] = data[i++];
        if (c->head_size < wanted)
            continue;
        c->head_size = 0;
        c->left = number_at(c->head);
        c->left -= c->left < wanted - 4 ? c->left : wanted - 4;
        if (c->greeted)
            request_passes(c, number_at(c->head + 8));
        c->greeted = true;
    }
}
