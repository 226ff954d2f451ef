#include "base/map.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

uint32_t oz_hash(const char *key)
{
    uint32_t h = 2166136261u;

    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 16777619u;
    return h;
}

/* For the slots: eight bytes at a time, as a look-up is a good part of what taking a kept lock costs. */
static uint32_t slot_hash(const char *key)
{
    size_t len = strlen(key);
    uint64_t h = len, word;

    for (; len >= sizeof word; key += sizeof word, len -= sizeof word) {
        memcpy(&word, key, sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (; len; key++, len--)
        h = (h ^ (unsigned char)*key) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h ^ h >> 32);
}

static int grow(struct oz_map *m)
{
    size_t size = m->size ? 2 * m->size : 16, i;
    struct oz_map_node **slots = oz_alloc(size * sizeof *slots);

    if (!slots)
        return -1;
    for (i = 0; i < m->size; i++) {
        struct oz_map_node *node = m->slots[i];

        while (node) {
            struct oz_map_node *next = node->next;

            node->next = slots[node->hash & (size - 1)];
            slots[node->hash & (size - 1)] = node;
            node = next;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->size = size;
    return 0;
}

struct oz_map_node *oz_map_find(const struct oz_map *m, const char *key)
{
    uint32_t hash = slot_hash(key);
    struct oz_map_node *node;

    if (!m->size)
        return NULL;
    for (node = m->slots[hash & (m->size - 1)]; node; node = node->next)
        if (node->hash == hash && strcmp(node->key, key) == 0)
            return node;
    return NULL;
}

int oz_map_put(struct oz_map *m, struct oz_map_node *node, const char *key)
{
    if (m->count >= m->size && grow(m) != 0 && !m->size)
        return -1; /* a map that cannot grow still takes entries, only slower */
    node->key = key;
    node->hash = slot_hash(key);
    node->next = m->slots[node->hash & (m->size - 1)];
    m->slots[node->hash & (m->size - 1)] = node;
    m->count++;
    return 0;
}

void oz_map_remove(struct oz_map *m, struct oz_map_node *node)
{
    struct oz_map_node **p;

    if (!node->key)
        return;
    for (p = &m->slots[node->hash & (m->size - 1)]; *p; p = &(*p)->next)
        if (*p == node) {
            *p = node->next;
            m->count--;
            break;
        }
    node->key = NULL;
}

void oz_map_free(struct oz_map *m)
{
    free(m->slots);
    *m = (struct oz_map){0};
}
