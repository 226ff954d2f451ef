/* An intrusive hash map from strings: the node lives in the caller's struct, the key belongs to the caller. */
#ifndef OZ_MAP_H
#define OZ_MAP_H

#include <stddef.h>
#include <stdint.h>

struct oz_map_node {
    struct oz_map_node *next;
    const char *key; /* NULL while in no map */
    uint32_t hash;
};

struct oz_map {
    struct oz_map_node **slots;
    size_t size; /* a power of two, or 0 */
    size_t count;
};

uint32_t oz_hash(const char *key); /* FNV-1a; part of the layout in ZooKeeper, never to be changed */

struct oz_map_node *oz_map_find(const struct oz_map *m, const char *key);
/* What oz_map_find() finds by "first/rest", without putting that together; `first` must have no slash. */
struct oz_map_node *oz_map_find_parts(const struct oz_map *m, const char *first, const char *rest);
/* 0, or -1 when out of memory. The key must not be in the map. */
int oz_map_put(struct oz_map *m, struct oz_map_node *node, const char *key);
void oz_map_remove(struct oz_map *m, struct oz_map_node *node);
void oz_map_free(struct oz_map *m); /* the slots; the nodes belong to the caller */

#define oz_map_each(m, i, node)                                                                                        \
    for ((i) = 0; (i) < (m)->size; (i)++)                                                                              \
        for ((node) = (m)->slots[i]; (node); (node) = (node)->next)

#endif
