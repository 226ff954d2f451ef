/*
 * The other side of Dump.java: "generate DIR COUNT SEED" writes files that are hard to read, "dump
 * DIR" prints what our reader reads from them.
 */
#include "config/properties.h"
#include "base/buf.h"
#include "config/problems.h"
#include "config/text.h"

#include <dirent.h>
#include <odezk/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(s)                                                                                                        \
    {                                                                                                                  \
        s, sizeof(s) - 1                                                                                               \
    }

struct text {
    const char *s;
    size_t n;
};

/* Whole files. */
static const struct text corpus[] = {
    TEXT(""),
    TEXT("\n"),
    TEXT("\r"),
    TEXT("\r\n"),
    TEXT("#"),
    TEXT("#\n"),
    TEXT("!x\ra=b"),
    TEXT("# c\\\na=b"),
    TEXT("#\r\n#\ra=b\n"),
    TEXT("  # c\n \t! d\na b"),
    TEXT("a"),
    TEXT("a="),
    TEXT("a:"),
    TEXT("a "),
    TEXT("=b"),
    TEXT(":b"),
    TEXT("="),
    TEXT(" = "),
    TEXT("a==b"),
    TEXT("a=:b"),
    TEXT("a:=b"),
    TEXT("a : = b"),
    TEXT("a b=c"),
    TEXT("a\tb"),
    TEXT("a\fb"),
    TEXT("a\vb"),
    TEXT("\fa=b"),
    TEXT("a = b \t "),
    TEXT("a=b\na=c"),
    TEXT("a=b\r\n\r\na=c"),
    TEXT("\\"),
    TEXT("\\\n"),
    TEXT("\\\r"),
    TEXT("\\\r\n"),
    TEXT("\\\n\n"),
    TEXT("\\\n\\\n"),
    TEXT("\\\n#a=b"),
    TEXT("\\\n  #a=b\nc=d"),
    TEXT("a\\\n#b=c"),
    TEXT("a\\\n\nb=c"),
    TEXT("a\\\n \nb=c"),
    TEXT("a=b\\"),
    TEXT("a=b\\\\"),
    TEXT("a=b\\\\\\"),
    TEXT("a=b\\\n"),
    TEXT("a=b\\\\\n"),
    TEXT("a=b\\\\\\\n"),
    TEXT("a=b\\\nc"),
    TEXT("a=b\\\n \t\fc"),
    TEXT("a=b\\\rc"),
    TEXT("a=b\\\r\nc"),
    TEXT("a=b\\\r\rc"),
    TEXT("a=b\\\n\rc"),
    TEXT("a=b\\\\\nc"),
    TEXT("a\\\n=b"),
    TEXT("a\\\n\\\n=\\\nb"),
    TEXT("a\\=b=c"),
    TEXT("a\\:b=c"),
    TEXT("a\\ b=c"),
    TEXT("a\\\\=b"),
    TEXT("a\\\\ b"),
    TEXT("a\\\\\\ b c"),
    TEXT("\\#a=b"),
    TEXT("\\!a=b"),
    TEXT("\\ a=b"),
    TEXT("a=\\ b"),
    TEXT("a=\\tb\\rc\\nd\\fe"),
    TEXT("a=\\b\\v\\0\\x41\\\"\\'"),
    TEXT("a=\\u0041"),
    TEXT("a=\\u00e4\\uABCD\\uabcd"),
    TEXT("a=\\U0041"),
    TEXT("\\u0061=b"),
    TEXT("a\\u003db"),
    TEXT("a\\u0020b=c"),
    TEXT("a=\\u000ab"),
    TEXT("\\u0023a=b"),
    TEXT("a=\\u"),
    TEXT("a=\\u0"),
    TEXT("a=\\u004"),
    TEXT("a=\\u004g"),
    TEXT("a=\\uuuu0041"),
    TEXT("a=\\u00\\\n41"),
    TEXT("a=\\\nu0041"),
    TEXT("a=\\\\u0041"),
    TEXT("\\u00=b"),
    TEXT("\\u00 41=b"),
    TEXT("#\\u00"),
    TEXT("a=\\u+041"),
    TEXT("a=\\ud83d\\ude00"),
    TEXT("a=\\ud83d"),
    TEXT("a=\\ude00"),
    TEXT("a=\\ude00\\ud83d"),
    TEXT("a=\\ud83dx\\ude00"),
    TEXT("a=\\ud83d\\ud83d\\ude00"),
    TEXT("a=\\u0000"),
    TEXT("\\u0000=b\nc=d"),
    TEXT("a=\\uffff\\ufffe\\ufeff"),
    TEXT("a=\0b"),
    TEXT("\0=b"),
    TEXT("a\0b=c"),
    TEXT("\xef\xbb\xbf"
         "a=b"),
    TEXT("a=\xc3\xa4"),
    TEXT("\xe4=\xff\x80\x85\xa0"),
    TEXT("\xff\xfe"
         "a\0=\0"),
    TEXT("a=b\x1a"),
    TEXT("a=\x7f\x01"),
    TEXT("a\xa0=b"),
    TEXT("\xa0 a=b"),
    TEXT("\x85#a=b"),
    TEXT("a=#b"),
    TEXT("a=!b"),
    TEXT("a#b=c"),
    TEXT("a=\"b\""),
    TEXT("a='b'"),
    TEXT("<a>=b</a>"),
    TEXT("a;b"),
    TEXT("a,b=c"),
    TEXT("[a]"),
    TEXT("\\\\\\=a"),
    TEXT("\\==a"),
    TEXT("\\:\\=\\ =:"),
    TEXT("  \\\n  a = b"),
    TEXT("a\\\n   b\\\n   = c\\\n   d"),
    TEXT("a=\\\n#b"),
    TEXT("a= \\\n \\\n \\\n b"),
};

/* Pieces of files. */
static const struct text pieces[] = {
    TEXT("\\"),   TEXT("\\"),     TEXT("\\\\"),  TEXT("\n"),      TEXT("\n"),      TEXT("\r"),      TEXT("\r\n"),
    TEXT("\\\n"), TEXT("\\\r\n"), TEXT("\\\r"),  TEXT("="),       TEXT("="),       TEXT(":"),       TEXT(" "),
    TEXT(" "),    TEXT("\t"),     TEXT("\f"),    TEXT("\v"),      TEXT("#"),       TEXT("!"),       TEXT("a"),
    TEXT("b"),    TEXT("key"),    TEXT("value"), TEXT("\\u0041"), TEXT("\\u000a"), TEXT("\\uD83D"), TEXT("\\ude00"),
    TEXT("\\n"),  TEXT("\\t"),    TEXT("\\ "),   TEXT("\\="),     TEXT("\\#"),     TEXT("\\u0000"), TEXT("\0"),
    TEXT("\x80"), TEXT("\xff"),   TEXT("\xa0"),  TEXT("\x1a"),
};
/* Rarely, as one of it is the end of the whole file for Java. */
static const struct text broken[] = {TEXT("\\u"), TEXT("\\u00"), TEXT("\\u00g0"), TEXT("\\u\\n")};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint64_t state;

/* xorshift64*: the same everywhere, unlike rand(). */
static size_t below(size_t n)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * UINT64_C(2685821657736338717)) >> 33) % n;
}

static void add(struct oz_buf *b, const struct text *t)
{
    oz_buf_add(b, t->s, t->n);
}

/* Some files reach over the 8,192 bytes that Java reads at once. */
static void make_file(struct oz_buf *b)
{
    size_t n = below(8) ? below(60) : below(400), i;

    if (below(16) == 0) {
        oz_buf_puts(b, below(2) ? "#" : "long=");
        for (i = 8150 + below(50); b->len < i;)
            oz_buf_putc(b, 'x');
    }
    for (i = 0; i < n; i++) {
        size_t kind = below(100);

        if (kind == 0 && below(10) == 0)
            add(b, &broken[below(COUNT(broken))]);
        else if (kind < 8)
            oz_buf_putc(b, (char)below(256));
        else
            add(b, &pieces[below(COUNT(pieces))]);
    }
}

static int write_file(const char *dir, size_t number, const void *data, size_t n)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%06zu", dir, number);
    f = fopen(path, "w");
    if (!f || (n > 0 && fwrite(data, 1, n, f) != n) || fclose(f) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}

static int generate(const char *dir, size_t count)
{
    struct oz_buf b = {0};
    size_t i;
    int rc = 0;

    for (i = 0; i < COUNT(corpus) && rc == 0; i++)
        rc = write_file(dir, i, corpus[i].s, corpus[i].n);
    for (i = 0; i < count && rc == 0; i++) {
        b.len = 0;
        make_file(&b);
        rc = write_file(dir, COUNT(corpus) + i, b.data, b.len);
    }
    oz_buf_free(&b);
    printf("%zu files: %zu of the corpus, %zu generated\n", COUNT(corpus) + count, COUNT(corpus), count);
    return rc;
}

static void add_hex(struct oz_buf *b, const char *s)
{
    uint32_t c;

    while (*s) {
        s += oz_utf8_next(s, &c);
        if (c >= 0x10000)
            oz_buf_printf(b, "%04x%04x", 0xd800 + (unsigned)((c - 0x10000) >> 10), 0xdc00 + (unsigned)(c & 0x3ff));
        else
            oz_buf_printf(b, "%04x", (unsigned)c);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_properties(const struct oz_properties *properties)
{
    size_t n = 0, i;
    char **lines = calloc(properties->index.count + 1, sizeof *lines);
    const struct oz_property *p;

    for (p = properties->first; p && lines; p = p->next) {
        struct oz_buf b = {0};

        add_hex(&b, p->key);
        oz_buf_putc(&b, ' ');
        add_hex(&b, p->value);
        lines[n++] = oz_buf_take(&b);
    }
    qsort(lines, n, sizeof *lines, compare);
    for (i = 0; i < n; i++) {
        puts(lines[i]);
        free(lines[i]);
    }
    free(lines);
}

static int dump_file(const char *dir, const char *name)
{
    static char text[1 << 20];
    char path[4096];
    odezk_problems *problems = calloc(1, sizeof *problems);
    struct oz_properties properties;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "r");
    if (!f || !problems)
        return 1;
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    printf("file %s\n", name);
    if (oz_properties_read(path, text, n, problems, &properties) != ODEZK_OK)
        return 1;
    if (odezk_problems_count(problems) > 0)
        puts("malformed");
    else
        print_properties(&properties);
    oz_properties_free(&properties);
    odezk_problems_free(problems);
    return 0;
}

static int dump(const char *dir)
{
    struct dirent **names;
    int count = scandir(dir, &names, NULL, alphasort), rc = count < 0, i;

    for (i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.')
            rc |= dump_file(dir, names[i]->d_name);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "generate") == 0) {
        state = strtoull(argv[4], NULL, 10) * 2 + 1; /* never 0 */
        return generate(argv[2], strtoul(argv[3], NULL, 10));
    }
    if (argc == 3 && strcmp(argv[1], "dump") == 0)
        return dump(argv[2]);
    fprintf(stderr, "usage: properties generate DIR COUNT SEED | dump DIR\n");
    return 2;
}
