#include "base/line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The bytes of the control character at p, 0 if it is none. U+0080 to U+009F are obeyed by terminals too. */
static size_t control_size(const unsigned char *p)
{
    if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
        return 2;
    return *p < 0x20 || *p == 0x7f;
}

static size_t escape(char *out, unsigned char c)
{
    if (c == '\n' || c == '\r' || c == '\t')
        return (size_t)sprintf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    return (size_t)sprintf(out, "\\x%02x", c);
}

/* Ends a text that is too long with dots, but not inside a character. */
static uint32_t cut(char *out, size_t n)
{
    while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
        n--;
    if (n > 0 && (unsigned char)out[n - 1] >= 0xc0)
        n--;
    memcpy(out + n, "...", 4);
    return (uint32_t)n + 3;
}

static uint32_t clean(char *out, const char *text)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
    size_t n = 0;

    while (end > p && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    while (p < end) {
        size_t control = control_size(p);

        if (n + (control ? 4 * control : 1) > OZ_LINE_MAX - 3)
            return cut(out, n);
        if (!control)
            out[n++] = (char)*p++;
        for (; control > 0; control--)
            n += escape(out + n, *p++);
    }
    out[n] = '\0';
    return (uint32_t)n;
}

void oz_line_set(struct oz_line *line, const char *text)
{
    line->header.length = clean(line->text, text);
}

static const char *level_name(odezk_log_level level)
{
    static const char *const names[] = {"NONE", "ERROR", "WARN", "INFO", "DEBUG"};

    return names[level];
}

/* By write(2): a stdio lock that was held during a fork would hang the child. */
void oz_line_print(const struct oz_line *line)
{
    char out[OZ_LINE_MAX + 256], stamp[32];
    time_t seconds = (time_t)(line->header.time_ms / 1000);
    struct tm tm;
    size_t n, done = 0;

    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    n = (size_t)snprintf(out, sizeof out, "%s.%03dZ %s %.64s: %s\n", stamp, (int)(line->header.time_ms % 1000),
                         level_name(line->header.level), line->header.category, line->text);
    while (done < n) {
        ssize_t written = write(STDERR_FILENO, out + done, n - done);

        if (written < 0 && errno != EINTR)
            return;
        done += written > 0 ? (size_t)written : 0;
    }
}
