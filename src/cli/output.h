/* What goes to standard output: JSON, times, and text that others wrote. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { OUTPUT_TIME_SIZE = sizeof "-292277022657-01-27T08:29:52.123Z" };

/* RFC 3339, UTC, with milliseconds. */
void output_time(int64_t ms, char out[OUTPUT_TIME_SIZE]);

/* A string that is valid UTF-8 whatever `text` is; null for NULL. */
json_t *output_string(const char *text);

/* An RFC 3339 time. */
json_t *output_time_value(int64_t ms);

/* One line of JSON to standard output; takes `value` over. False when there was no memory for it.
 */
bool output_json(json_t *value);

/* Prints text for people: control characters of others do not reach the terminal. */
void output_text(FILE *file, const char *text);

#endif
