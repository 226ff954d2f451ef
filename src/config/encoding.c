#include "config/encoding.h"

#include "config/text.h"

#include <errno.h>
#include <iconv.h>
#include <odezk/error.h>
#include <string.h>

#define NAME_SIZE 64
#define BLANKS " \t\r\n"

static const struct mark {
    const char *bytes;
    size_t length, skipped; /* of the latter, how many are not text */
    const char *encoding;
} marks[] = {{"\xef\xbb\xbf", 3, 3, "UTF-8"},
             {"\xff\xfe", 2, 2, "UTF-16LE"},
             {"\xfe\xff", 2, 2, "UTF-16BE"},
             {"<\0", 2, 0, "UTF-16LE"},
             {"\0<", 2, 0, "UTF-16BE"}};

static const struct mark *find_mark(const char *bytes, size_t length)
{
    size_t i;

    for (i = 0; i < sizeof marks / sizeof *marks; i++)
        if (length >= marks[i].length && memcmp(bytes, marks[i].bytes, marks[i].length) == 0)
            return &marks[i];
    return NULL;
}

/* The value of encoding="" in the XML declaration; false when it cannot be a name. Without one it
 * is UTF-8. */
static bool read_declaration(const char *bytes, size_t length, char name[NAME_SIZE])
{
    char declaration[256] = "";
    char quote[2] = "", *p;
    size_t n;

    strcpy(name, "UTF-8");
    memcpy(declaration, bytes, length < sizeof declaration ? length : sizeof declaration - 1);
    p = strstr(declaration, "?>");
    if (strncmp(declaration, "<?xml", 5) != 0 || !p)
        return true;
    *p = '\0';
    p = strstr(declaration, "encoding");
    if (!p)
        return true;
    p += strlen("encoding");
    p += strspn(p, BLANKS "=");
    if (*p != '"' && *p != '\'')
        return true;
    quote[0] = *p++;
    n = strcspn(p, quote);
    if (n == 0 || n >= NAME_SIZE)
        return false;
    memcpy(name, p, n);
    name[n] = '\0';
    return true;
}

static int convert(iconv_t converter, const char *bytes, size_t length, struct oz_buf *out)
{
    char chunk[4096], *in = (char *)bytes, *end;
    size_t room, rc;
    int error;

    do {
        end = chunk;
        room = sizeof chunk;
        rc = iconv(converter, &in, &length, &end, &room);
        error = rc == (size_t)-1 ? errno : 0;
        oz_buf_add(out, chunk, (size_t)(end - chunk));
    } while (error == E2BIG);
    if (error)
        return ODEZK_ECONFIG;
    end = chunk;
    room = sizeof chunk;
    iconv(converter, NULL, NULL, &end, &room); /* what it kept, to see whether more belongs to it */
    oz_buf_add(out, chunk, (size_t)(end - chunk));
    return ODEZK_OK;
}

/* By far the most files: these are only looked at. bytes[length] is a NUL, which ends what is not
 * complete. */
static int take_utf8(const char *bytes, size_t length, struct oz_buf *out)
{
    size_t at = 0, n;
    uint32_t c;

    for (; at < length; at += n) {
        n = oz_utf8_next(bytes + at, &c);
        if (c == OZ_NO_CHARACTER || (c == 0 && n > 1) || (c >= 0xd800 && c <= 0xdfff))
            break;
    }
    oz_buf_add(out, bytes, at);
    return at < length ? ODEZK_ECONFIG : ODEZK_OK;
}

static int take_other(const char *name, const char *bytes, size_t length, struct oz_buf *out)
{
    iconv_t converter;
    int rc;

    if (strchr(name, '/')) /* would tell iconv to replace what it cannot convert */
        return ODEZK_ENOTFOUND;
    converter = iconv_open("UTF-8", name);
    if (converter == (iconv_t)-1) {
        out->failed |= errno == ENOMEM;
        return ODEZK_ENOTFOUND;
    }
    rc = convert(converter, bytes, length, out);
    iconv_close(converter);
    return rc;
}

int oz_encoding_convert(const char *bytes, size_t length, struct oz_buf *out)
{
    const struct mark *mark = find_mark(bytes, length);
    size_t skipped = mark ? mark->skipped : 0;
    char declared[NAME_SIZE];
    const char *name = mark ? mark->encoding : declared;

    if (!mark && !read_declaration(bytes, length, declared))
        return ODEZK_ENOTFOUND;
    return strcasecmp(name, "UTF-8") == 0 ? take_utf8(bytes + skipped, length - skipped, out)
                                          : take_other(name, bytes + skipped, length - skipped, out);
}
