#include "config/zpath.h"

#include "config/text.h"

#include <stdio.h>
#include <string.h>

/* The server looks at UTF-16 units, so that it refuses all characters beyond U+FFFF as surrogates.
 */
static bool is_refused(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c <= 0xf8ff) || c >= 0xfff0;
}

static const char *fault_of_part(const char *part, size_t n)
{
    const char *p;
    uint32_t c;

    if (n == 0)
        return "an empty part";
    if (n <= 2 && strncmp(part, "..", n) == 0)
        return "a part '.' or '..'";
    for (p = part; p < part + n; p += oz_utf8_next(p, &c)) {
        oz_utf8_next(p, &c);
        if (is_refused(c))
            return "a character that ZooKeeper refuses";
    }
    return NULL;
}

static const char *fault(const char *path)
{
    const char *why;
    size_t n;

    if (*path != '/')
        return "no '/' at the beginning";
    if (!path[1])
        return NULL;
    if (path[strlen(path) - 1] == '/')
        return "a '/' at the end";
    for (; *path; path += n) {
        n = strcspn(++path, "/");
        why = fault_of_part(path, n);
        if (why)
            return why;
    }
    return NULL;
}

bool oz_zpath_check(const char *path, char *why, size_t size)
{
    const char *text = fault(path);

    if (!text && strncmp(path, "/zookeeper", 10) == 0 && (path[10] == '/' || !path[10]))
        text = "/zookeeper belongs to the servers";
    if (text)
        snprintf(why, size, "%s", text);
    return !text;
}
