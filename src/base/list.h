/* An intrusive doubly linked list with a head. A node that is in no list points to itself. */
#ifndef OZ_LIST_H
#define OZ_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct oz_list {
    struct oz_list *next, *prev;
};

#define oz_container(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void oz_list_init(struct oz_list *l)
{
    l->next = l->prev = l;
}

static inline bool oz_list_empty(const struct oz_list *l)
{
    return l->next == l;
}

static inline void oz_list_append(struct oz_list *head, struct oz_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void oz_list_prepend(struct oz_list *head, struct oz_list *node)
{
    oz_list_append(head->next, node);
}

/* Safe also for a node that is in no list, as long as it was initialised. */
static inline void oz_list_remove(struct oz_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = node;
}

/* Takes the first node out; NULL when the list is empty. */
static inline struct oz_list *oz_list_pop(struct oz_list *head)
{
    struct oz_list *node = head->next;

    if (node == head)
        return NULL;
    oz_list_remove(node);
    return node;
}

/* Moves all of `from` to the end of `to`. */
static inline void oz_list_splice(struct oz_list *to, struct oz_list *from)
{
    if (oz_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    oz_list_init(from);
}

#define oz_list_each(node, head) for ((node) = (head)->next; (node) != (head); (node) = (node)->next)
#define oz_list_each_safe(node, tmp, head)                                                                             \
    for ((node) = (head)->next, (tmp) = (node)->next; (node) != (head); (node) = (tmp), (tmp) = (node)->next)

#endif
