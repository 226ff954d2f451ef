/* One log line: bounded, and without control characters. */
#ifndef OZ_LINE_H
#define OZ_LINE_H

#include <odezk/log.h>
#include <stddef.h>
#include <stdint.h>

#define OZ_LINE_MAX 900 /* log4c's "dated" layout cuts at 1,023 bytes, with its own prefix before the text */

struct oz_line_header {
    const char *category;
    int64_t time_ms;
    uint64_t dropped; /* lines lost between the line before and this one */
    odezk_log_level level;
    uint32_t length;
};

struct oz_line {
    struct oz_line_header header;
    char text[OZ_LINE_MAX + 1];
};
_Static_assert(offsetof(struct oz_line, text) == sizeof(struct oz_line_header), "a line is copied in one piece");

/* Sets text and length. Trailing newlines go, other control characters are escaped, what is too long ends in dots. */
void oz_line_set(struct oz_line *line, const char *text);
/* To stderr. */
void oz_line_print(const struct oz_line *line);

#endif
