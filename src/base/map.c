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

/* Eight bytes at a time: a look-up is a good part of what taking a kept lock costs. */
static uint64_t mix(uint64_t h, const char *text, size_t len)
{
    uint64_t word;

    h ^= len;
    for (; len >= sizeof word; text += sizeof word, len -= sizeof word) {
        memcpy(&word, text, sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (; len; text++, len--)
        h = (h ^ (unsigned char)*text) * 0x9e3779b97f4a7c15u;
    return h;
}

static uint32_t hash_parts(const char *first, size_t first_len, const char *rest)
{
    uint64_t h = mix(mix(0, first, first_len), rest, strlen(rest));

    return (uint32_t)(h ^ h >> 32);
}

static uint32_t slot_hash(const char *key)
{
    size_t first_len = strcspn(key, "/");

    return hash_parts(key, first_len, key[first_len] ? key + first_len + 1 : "");
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

struct oz_map_node *oz_map_find_parts(const struct oz_map *m, const char *first, const char *rest)
{
    size_t len = strlen(first);
    uint32_t hash = hash_parts(first, len, rest);
    struct oz_map_node *node;

    if (!m->size)
        return NULL;
    for (node = m->slots[hash & (m->size - 1)]; node; node = node->next)
        if (node->hash == hash && strncmp(node->key, first, len) == 0 && node->key[len] == '/' &&
            strcmp(node->key + len + 1, rest) == 0)
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
