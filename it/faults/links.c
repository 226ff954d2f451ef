/* The proxy between the nodes and the servers. */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

static struct child proxy = {.in = -1, .out = -1};
static FILE *answers;
static char servers[NODES_MAX + 1][256];

static void read_line(char *line, int size)
{
    if (!fgets(line, size, answers))
        give_up("the proxy ended");
}

static void take_link(const char *line)
{
    char address[64];
    int node, server;

    if (sscanf(line, "link %d %d %63s", &node, &server, address) != 3 || node > NODES_MAX)
        give_up("the proxy says %s", line);
    if (servers[node][0])
        strcat(servers[node], ",");
    strcat(servers[node], address);
}

void links_start(void)
{
    char path[4200], count[8], line[128];
    const char *argv[] = {path, count, ensemble_server(1), ensemble_server(2), ensemble_server(3), NULL};

    snprintf(path, sizeof path, "%s", program("it/faults/proxy"));
    snprintf(count, sizeof count, "%d", options.nodes);
    child_start(&proxy, argv, true, -1, NULL);
    answers = fdopen(proxy.out, "r");
    if (!answers)
        give_up("no memory");
    for (read_line(line, sizeof line); strcmp(line, "ready\n") != 0; read_line(line, sizeof line))
        take_link(line);
}

void links_stop(void)
{
    if (answers)
        fclose(answers);
    answers = NULL;
    proxy.out = -1;
    child_kill(&proxy);
}

int link_order(const char *verb, int node, int server, int argument)
{
    char line[64];
    int number = 0;

    snprintf(line, sizeof line, "%s %d %d %d", verb, node, server, argument);
    child_tell(&proxy, line);
    read_line(line, sizeof line);
    if (strncmp(line, "ok", 2) != 0)
        give_up("the proxy does not take %s %d %d %d", verb, node, server, argument);
    sscanf(line, "ok %d", &number);
    return number;
}

const char *link_servers(int node)
{
    return servers[node];
}
