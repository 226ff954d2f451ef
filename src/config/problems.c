#include "config/problems.h"

#include "base/buf.h"
#include "base/mem.h"
#include "config/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROBLEMS 1000 /* the first ones are enough to begin with */
#define MAX_MESSAGE 2048

static void clear(odezk_problem *p)
{
    free((char *)p->file);
    free((char *)p->message);
    free((char *)p->text);
}

static char *full_text(const char *file, int line, const char *message)
{
    struct oz_buf b = {0};

    oz_escape(&b, file);
    if (line > 0)
        oz_buf_printf(&b, ":%d", line);
    oz_buf_puts(&b, *file ? ": " : "");
    oz_buf_puts(&b, message);
    return oz_buf_take(&b);
}

static bool is_known(const odezk_problems *p, const char *file, int line, const char *message)
{
    size_t i;

    for (i = 0; i < p->count; i++)
        if (p->items[i].line == line && strcmp(p->items[i].message, message) == 0 &&
            strcmp(p->items[i].file, file) == 0)
            return true;
    return false;
}

static bool reserve(odezk_problems *p)
{
    size_t size = p->size ? 2 * p->size : 8;
    odezk_problem *items;

    if (p->count < p->size)
        return true;
    items = oz_realloc(p->items, size * sizeof *items);
    if (!items)
        return false;
    p->items = items;
    p->size = size;
    return true;
}

static void append(odezk_problems *p, const char *file, int line, const char *message)
{
    odezk_problem item = {oz_strdup(file), line, oz_strdup(message), full_text(file, line, message)};

    if (item.file && item.message && item.text && reserve(p)) {
        p->items[p->count++] = item;
        return;
    }
    clear(&item);
    p->failed = true;
}

void oz_problem(odezk_problems *p, const char *file, int line, const char *format, ...)
{
    char message[MAX_MESSAGE];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (p->count > MAX_PROBLEMS || is_known(p, file, line, message))
        return;
    if (p->count < MAX_PROBLEMS)
        append(p, file, line, message);
    else
        append(p, file, line, "found more mistakes than can be shown, allowed: none");
}

/* Insertion keeps the order of mistakes in one line, and they are nearly sorted already. */
void oz_problems_sort(odezk_problems *p, const char *first)
{
    size_t i, j;

    for (i = 1; i < p->count; i++)
        for (j = i; j > 0; j--) {
            odezk_problem *a = &p->items[j - 1], *b = &p->items[j], swap = *a;
            bool a_first = first && strcmp(a->file, first) == 0;
            bool b_first = first && strcmp(b->file, first) == 0;

            if (a_first != b_first ? a_first : a->line <= b->line)
                break;
            *a = *b;
            *b = swap;
        }
}

size_t odezk_problems_count(const odezk_problems *problems)
{
    return problems ? problems->count : 0;
}

const odezk_problem *odezk_problems_at(const odezk_problems *problems, size_t index)
{
    return problems && index < problems->count ? &problems->items[index] : NULL;
}

void odezk_problems_free(odezk_problems *problems)
{
    size_t i;

    if (!problems)
        return;
    for (i = 0; i < problems->count; i++)
        clear(&problems->items[i]);
    free(problems->items);
    free(problems);
}
