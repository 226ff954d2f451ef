#include "config/servers.h"

#include "base/mem.h"
#include "config/zpath.h"

#include <arpa/inet.h>
#include <odezk/error.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 2181
#define MAX_HOST 253
#define MAX_LABEL 63
#define BLANKS " \t\r\n\f\v"
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* One server in the text; `host` has no brackets, `port` is NULL when it was left out. */
struct part {
    const char *host, *port;
    size_t host_length, port_length;
    bool bracketed;
};

static const char *split_bracketed(const char *text, size_t n, struct part *out)
{
    const char *end = memchr(text, ']', n);

    if (!end)
        return "no ']' after the IPv6 address";
    out->bracketed = true;
    out->host = text + 1;
    out->host_length = (size_t)(end - out->host);
    if (++end == text + n)
        return NULL;
    if (*end != ':')
        return "something other than :PORT after ']'";
    out->port = end + 1;
    out->port_length = (size_t)(text + n - out->port);
    return NULL;
}

static const char *split(const char *text, size_t n, struct part *out)
{
    const char *colon = memchr(text, ':', n);

    *out = (struct part){.host = text, .host_length = n};
    if (*text == '[')
        return split_bracketed(text, n, out);
    if (!colon)
        return NULL;
    if (memchr(colon + 1, ':', (size_t)(text + n - colon) - 1))
        return "an IPv6 address needs brackets, as in [::1]:2181";
    out->host_length = (size_t)(colon - text);
    out->port = colon + 1;
    out->port_length = (size_t)(text + n - out->port);
    return NULL;
}

static const char *check_port(const struct part *part, uint16_t *port)
{
    unsigned long value = 0;
    size_t i;

    *port = DEFAULT_PORT;
    if (!part->port)
        return NULL;
    if (part->port_length == 0)
        return "no port after ':'";
    for (i = 0; i < part->port_length; i++) {
        if (part->port[i] < '0' || part->port[i] > '9')
            return "the port is not a number";
        value = i < 5 ? 10 * value + (unsigned long)(part->port[i] - '0') : UINT16_MAX + 1ul;
    }
    if (value == 0)
        return "the port is 0";
    if (part->port_length > 5 && part->port[0] == '0')
        return "the port has more than five digits";
    if (value > UINT16_MAX)
        return "the port is above 65535";
    *port = (uint16_t)value;
    return NULL;
}

static const char *check_ipv6(const char *host)
{
    struct in6_addr address;
    size_t n = strcspn(host, "%");
    const char *zone = host + n;
    char plain[INET6_ADDRSTRLEN];

    if (n >= sizeof plain)
        return "no IPv6 address in the brackets";
    memcpy(plain, host, n);
    plain[n] = '\0';
    if (inet_pton(AF_INET6, plain, &address) != 1)
        return "no IPv6 address in the brackets";
    if (*zone && (!zone[1] || zone[1 + strspn(zone + 1, NAME_CHARACTERS)]))
        return "no name of an interface after '%'";
    return NULL;
}

static const char *check_name(const char *host)
{
    struct in_addr address;
    const char *label = host;
    size_t n;

    if (host[strspn(host, NAME_CHARACTERS)])
        return "the host has a character other than A-Z a-z 0-9 . _ -";
    if (!host[strspn(host, "0123456789.")])
        return inet_pton(AF_INET, host, &address) == 1 ? NULL : "no IPv4 address";
    do {
        n = strcspn(label, ".");
        if (n == 0)
            return "the host has an empty part";
        if (n > MAX_LABEL)
            return "the host has a part of more than 63 characters";
        label += n;
    } while (*label && *++label); /* one dot may end it */
    return NULL;
}

/* Puts one server in; NULL, or what is wrong with it. Out of memory leaves its host NULL. */
static const char *parse_one(const char *text, size_t n, struct oz_server *out)
{
    char host[MAX_HOST + 1];
    struct part part;
    const char *why = split(text, n, &part);

    if (why)
        return why;
    if (part.host_length == 0)
        return "no host";
    if (part.host_length > MAX_HOST)
        return "the host has more than 253 characters";
    memcpy(host, part.host, part.host_length);
    host[part.host_length] = '\0';
    why = part.bracketed ? check_ipv6(host) : check_name(host);
    if (!why)
        why = check_port(&part, &out->port);
    if (!why)
        out->host = oz_strdup(host);
    return why;
}

static int parse_list(const char *text, size_t length, struct oz_servers *out, char *why, size_t size)
{
    const char *end = text + length, *fault = NULL;
    size_t n, most = 1;

    for (n = 0; n < length; n++)
        most += text[n] == ',';
    out->items = oz_alloc(most * sizeof *out->items);
    if (!out->items)
        return ODEZK_ENOMEM;
    for (; out->count < most; text += n + 1) {
        const char *comma = memchr(text, ',', (size_t)(end - text));

        n = (size_t)((comma ? comma : end) - text);
        fault = n ? parse_one(text, n, &out->items[out->count]) : "nothing there";
        out->count++;
        if (fault) {
            snprintf(why, size, "server %zu: %s", out->count, fault);
            return ODEZK_ECONFIG;
        }
        if (!out->items[out->count - 1].host)
            return ODEZK_ENOMEM;
    }
    return ODEZK_OK;
}

static int parse_chroot(const char *text, struct oz_servers *out, char *why, size_t size)
{
    char fault[128];

    if (strcmp(text, "/") == 0 || !*text)
        return ODEZK_OK;
    if (strchr(text, ',')) {
        snprintf(why, size, "the chroot comes once, after the last server");
        return ODEZK_ECONFIG;
    }
    if (!oz_zpath_check(text, fault, sizeof fault)) {
        snprintf(why, size, "chroot: %s", fault);
        return ODEZK_ECONFIG;
    }
    out->chroot = oz_strdup(text);
    return out->chroot ? ODEZK_OK : ODEZK_ENOMEM;
}

int oz_servers_parse(const char *text, struct oz_servers *out, char *why, size_t size)
{
    struct oz_servers servers = {0};
    size_t length = strcspn(text, "/");
    int rc;

    if (text[strcspn(text, BLANKS)]) {
        snprintf(why, size, "a blank inside");
        return ODEZK_ECONFIG;
    }
    if (length == 0) {
        snprintf(why, size, "no server");
        return ODEZK_ECONFIG;
    }
    rc = parse_list(text, length, &servers, why, size);
    if (rc == ODEZK_OK)
        rc = parse_chroot(text + length, &servers, why, size);
    if (rc == ODEZK_OK)
        *out = servers;
    else
        oz_servers_free(&servers);
    return rc;
}

void oz_servers_free(struct oz_servers *servers)
{
    size_t i;

    for (i = 0; i < servers->count; i++)
        free(servers->items[i].host);
    free(servers->items);
    free(servers->chroot);
    *servers = (struct oz_servers){0};
}
