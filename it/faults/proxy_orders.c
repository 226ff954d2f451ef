/* What the runner tells the proxy to do. */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int where(int node)
{
    for (int server = 0; server < proxy.servers; server++)
        for (struct connection *c = proxy.links[node - 1][server].connections; c; c = c->next)
            if (c->answered && !c->ends[TO_NODE].eof && !c->losing)
                return server + 1;
    return 0;
}

static void be_normal(struct link *link)
{
    for (struct connection *c = link->connections; c; c = c->next)
        for (int way = 0; way < 2; way++)
            for (struct chunk *chunk = c->ends[way].first; chunk; chunk = chunk->next)
                chunk->due = 0;
    link->hole = 0;
    link->refuse = false;
    link->lose = link->drop = LOSE_NOTHING;
    link->delay = link->rate = 0;
}

static bool apply(struct link *link, const char *verb, int argument)
{
    if (strcmp(verb, "pass") == 0) {
        be_normal(link);
    } else if (strcmp(verb, "hole") == 0) {
        link->hole = argument;
    } else if (strcmp(verb, "reset") == 0) {
        proxy_drop_all(link, true);
    } else if (strcmp(verb, "refuse") == 0) {
        link->refuse = true;
        proxy_drop_all(link, true);
    } else if (strcmp(verb, "delay") == 0) {
        link->delay = argument * NS_PER_MS;
    } else if (strcmp(verb, "slow") == 0) {
        link->rate = argument;
    } else if (strcmp(verb, "lose") == 0) {
        link->lose = (enum loss)argument;
    } else if (strcmp(verb, "drop") == 0) {
        link->drop = (enum loss)argument;
    } else {
        return false;
    }
    return true;
}

static bool apply_to(int node, int server, const char *verb, int argument)
{
    bool good = true;

    for (int n = 1; n <= proxy.nodes; n++)
        for (int s = 1; s <= proxy.servers; s++)
            if ((node == 0 || node == n) && (server == 0 || server == s))
                good = apply(&proxy.links[n - 1][s - 1], verb, argument) && good;
    return good;
}

static void obey(const char *line)
{
    char verb[16];
    int node, server, argument;

    if (sscanf(line, "%15s %d %d %d", verb, &node, &server, &argument) != 4 || node < 0 || node > proxy.nodes ||
        server < 0 || server > proxy.servers)
        puts("error");
    else if (strcmp(verb, "where") == 0 && node > 0)
        printf("ok %d\n", where(node));
    else if (strcmp(verb, "lost") == 0)
        printf("ok %lu\n", proxy.lost);
    else
        puts(apply_to(node, server, verb, argument) ? "ok" : "error");
    fflush(stdout);
}

bool proxy_take_orders(void)
{
    static char line[128];
    static size_t length;
    char text[128];
    ssize_t got = read(STDIN_FILENO, text, sizeof text);

    if (got <= 0)
        return got < 0 && errno == EINTR;
    for (ssize_t i = 0; i < got; i++) {
        if (text[i] == '\n') {
            line[length] = '\0';
            obey(line);
            length = 0;
        } else if (length < sizeof line - 1) {
            line[length++] = text[i];
        }
    }
    return true;
}
