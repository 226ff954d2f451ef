/* The connect string: HOST:PORT,HOST:PORT,.../chroot */
#ifndef OZ_SERVERS_H
#define OZ_SERVERS_H

#include <stddef.h>
#include <stdint.h>

struct oz_servers {
    size_t count;
    struct oz_server {
        char *host; /* a name or an address; IPv6 without brackets */
        uint16_t port;
    } * items;
    char *chroot; /* NULL without one */
};

/* ODEZK_OK; ODEZK_ECONFIG (`why` says what is wrong) or ODEZK_ENOMEM, both with `out` untouched. */
int oz_servers_parse(const char *text, struct oz_servers *out, char *why, size_t size);

void oz_servers_free(struct oz_servers *servers); /* what is in it; it is empty then */

#endif
