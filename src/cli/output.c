#include "output.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void output_time(int64_t ms, char out[OUTPUT_TIME_SIZE])
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm tm;
    size_t len = 0;

    if (gmtime_r(&seconds, &tm))
        len = strftime(out, OUTPUT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, OUTPUT_TIME_SIZE - len, ".%03dZ", (int)((ms % 1000 + 1000) % 1000));
}

json_t *output_string(const char *text)
{
    if (!text)
        return json_null();

    json_t *string = json_string(text);
    char *copy = string ? NULL : strdup(text);
    if (copy) {
        for (char *c = copy; *c; c++)
            if ((unsigned char)*c >= 0x80)
                *c = '?';
        string = json_string(copy);
        free(copy);
    }
    return string;
}

json_t *output_time_value(int64_t ms)
{
    char text[OUTPUT_TIME_SIZE];

    output_time(ms, text);
    return json_string(text);
}

bool output_json(json_t *value)
{
    bool done = value && json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY) == 0;

    putchar('\n');
    json_decref(value);
    return done;
}

/* The length of a control character at `text`, in the two ranges that Unicode has; 0 if it is none.
 */
static int control_length(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];

    if (first < 0x20 || first == 0x7f)
        return 1;
    return first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2 : 0;
}

void output_text(FILE *file, const char *text)
{
    while (*text) {
        int control = control_length(text);
        fputc(control > 0 ? '?' : *text, file);
        text += control > 0 ? control : 1;
    }
}
