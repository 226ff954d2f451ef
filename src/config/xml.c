/*
 * The parser's events fill the settings and find the mistakes, so that each has its line and our
 * words; libxml2 also builds its tree from them, which the schema then has to accept.
 */
#include "config/xml.h"

#include "config/encoding.h"
#include "config/text.h"
#include "config/xsd.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/xmlschemas.h>
#include <libxml/xmlschemastypes.h>
#include <odezk/error.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "ode-cluster"
#define MAX_DEPTH 16
#define XSI "http://www.w3.org/2001/XMLSchema-instance"
#define BLANKS " \t\r\n"

struct reader {
    xmlParserCtxtPtr parser;
    const char *file;
    oz_xml_cb found;
    void *arg;
    odezk_problems *problems;
    int depth;
    int skipped;             /* the depth of an element whose content is not looked at; 0: none */
    enum oz_setting_id open; /* the setting we are in; OZ_SETTING_COUNT: none */
    int open_line;           /* where it begins */
    bool holds_element;      /* it has an element in it, which was told */
    bool stray_text;         /* text between settings was told, until the next tag */
    bool stopped;            /* nothing after this place is looked at */
    int cut;                 /* the line of bytes that are no text, where the file ends for us; 0: none */
    bool out_of_memory;
    int first[OZ_SETTING_COUNT]; /* the line where each stood first; 0: not yet */
    struct oz_buf text;          /* of the open setting */
};

static void problem(struct reader *r, int line, const char *what)
{
    oz_problem(r->problems, r->file, line, "%s", what);
}

/* Tells a mistake that was put together in `b`, and empties it. */
static void problem_buf(struct reader *r, int line, struct oz_buf *b)
{
    if (oz_buf_failed(b))
        r->out_of_memory = true;
    else
        problem(r, line, oz_buf_str(b));
    oz_buf_free(b);
}

static void stop(struct reader *r)
{
    r->stopped = true;
    xmlStopParser(r->parser);
}

static int newlines(const xmlChar *from, const xmlChar *to)
{
    int n = 0;

    for (; from < to; from++)
        n += *from == '\n';
    return n;
}

/* Where the start tag begins that the parser is at the end of. No other '<' can be in it. */
static const xmlChar *tag_start(const xmlParserInput *input)
{
    const xmlChar *p = input->cur;

    while (p > input->base && *--p != '<')
        ;
    return p;
}

static int tag_line(const xmlParserInput *input)
{
    return input->line - newlines(tag_start(input), input->cur);
}

/* A value with references or newlines in it is not in the parser's buffer: the line of the tag must
 * do for it. */
static int attribute_line(const xmlParserInput *input, const xmlChar *value)
{
    const xmlChar *start = tag_start(input);

    if ((uintptr_t)value <= (uintptr_t)start || (uintptr_t)value >= (uintptr_t)input->cur)
        return tag_line(input);
    return input->line - newlines(value, input->cur);
}

static void add_name(struct oz_buf *b, const xmlChar *prefix, const xmlChar *name)
{
    struct oz_buf full = {0};

    if (prefix)
        oz_buf_printf(&full, "%s:", (const char *)prefix);
    oz_buf_puts(&full, (const char *)name);
    oz_quote(b, oz_buf_str(&full));
    b->failed |= full.failed;
    oz_buf_free(&full);
}

/* Editors want to know the schema of a document: that much is allowed, and ignored. */
static bool is_schema_hint(const struct reader *r, const xmlChar *const *attribute)
{
    return r->depth == 1 && attribute[2] && xmlStrEqual(attribute[2], BAD_CAST XSI) &&
           (xmlStrEqual(attribute[0], BAD_CAST "noNamespaceSchemaLocation") ||
            xmlStrEqual(attribute[0], BAD_CAST "schemaLocation"));
}

/* libxml2 gives five pointers for each: name, prefix, namespace, begin and end of the value. */
static void check_attributes(struct reader *r, const char *element, int count, const xmlChar **attributes)
{
    struct oz_buf b = {0};

    for (; count > 0; count--, attributes += 5) {
        if (is_schema_hint(r, (const xmlChar *const *)attributes))
            continue;
        oz_buf_puts(&b, "found the attribute ");
        add_name(&b, attributes[1], attributes[0]);
        oz_buf_printf(&b, " of '%s', allowed: none", element);
        problem_buf(r, attribute_line(r->parser->input, attributes[3]), &b);
    }
}

static bool is_foreign(struct reader *r, const char *what, const xmlChar *name, const xmlChar *prefix,
                       const xmlChar *space, int line)
{
    struct oz_buf b = {0};

    if (!space)
        return false;
    oz_buf_printf(&b, "found the %s ", what);
    add_name(&b, prefix, name);
    oz_buf_puts(&b, " in the namespace ");
    oz_quote(&b, (const char *)space);
    oz_buf_puts(&b, ", allowed: no namespace");
    problem_buf(r, line, &b);
    return true;
}

static void enter_root(struct reader *r, const xmlChar *name, const xmlChar *prefix, const xmlChar *space, int line)
{
    struct oz_buf b = {0};

    r->skipped = r->depth;
    if (prefix || !xmlStrEqual(name, BAD_CAST ROOT)) {
        oz_buf_puts(&b, "found the root element ");
        add_name(&b, prefix, name);
        oz_buf_puts(&b, ", allowed: '" ROOT "'");
        problem_buf(r, line, &b);
    } else if (!is_foreign(r, "root element", name, prefix, space, line)) {
        r->skipped = 0;
    }
}

static void open_setting(struct reader *r, enum oz_setting_id id, int line)
{
    const char *name = oz_settings[id].name;

    r->open = id;
    r->open_line = line;
    r->holds_element = false;
    r->text.len = 0;
    if (r->first[id])
        oz_problem(r->problems, r->file, line, "found '%s' again, allowed: once (it is in line %d already)", name,
                   r->first[id]);
    else
        r->first[id] = line;
}

static void enter_setting(struct reader *r, const xmlChar *name, const xmlChar *prefix, const xmlChar *space, int line)
{
    enum oz_setting_id id = oz_setting_find((const char *)name);
    struct oz_buf full = {0}, b = {0};

    if (!is_foreign(r, "setting", name, prefix, space, line)) {
        if (!prefix && id != OZ_SETTING_COUNT) {
            open_setting(r, id, line);
            return;
        }
        if (prefix)
            oz_buf_printf(&full, "%s:", (const char *)prefix);
        oz_buf_puts(&full, (const char *)name);
        oz_unknown_setting(&b, oz_buf_str(&full), NULL);
        b.failed |= full.failed;
        oz_buf_free(&full);
        problem_buf(r, line, &b);
    }
    r->skipped = r->depth;
}

/* Its name is not told: it may be a piece of a secret with a '<' in it. */
static void enter_inner(struct reader *r, int line)
{
    r->skipped = r->depth;
    if (r->holds_element)
        return;
    r->holds_element = true;
    oz_problem(r->problems, r->file, line, "%s: found an element inside, allowed: %s", oz_settings[r->open].name,
               oz_settings[r->open].allowed);
}

static void start_element(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *space, int space_count,
                          const xmlChar **spaces, int count, int defaulted, const xmlChar **attributes)
{
    struct reader *r = ((xmlParserCtxtPtr)ctx)->_private;
    int line;

    if (r->stopped)
        return;
    line = tag_line(r->parser->input);
    r->stray_text = false;
    if (++r->depth > MAX_DEPTH) {
        problem(r, line, "found elements nested more than 16 deep, allowed: settings inside '" ROOT "'");
        stop(r);
        return;
    }
    if (!r->skipped) {
        if (r->depth == 1)
            enter_root(r, name, prefix, space, line);
        else if (r->depth == 2)
            enter_setting(r, name, prefix, space, line);
        else
            enter_inner(r, line);
        if (!r->skipped)
            check_attributes(r, (const char *)name, count, attributes);
    }
    xmlSAX2StartElementNs(ctx, name, prefix, space, space_count, spaces, count, defaulted, attributes);
}

static void end_element(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *space)
{
    struct reader *r = ((xmlParserCtxtPtr)ctx)->_private;

    if (r->stopped)
        return;
    r->stray_text = false;
    if (r->depth == 2 && r->open != OZ_SETTING_COUNT) {
        if (!r->holds_element && !oz_buf_failed(&r->text))
            r->found(r->arg, r->open, oz_buf_str(&r->text), r->open_line);
        r->open = OZ_SETTING_COUNT;
    }
    if (r->depth == r->skipped)
        r->skipped = 0;
    r->depth--;
    xmlSAX2EndElementNs(ctx, name, prefix, space);
}

/* Not quoted: where a tag is missing or misspelt, this may be a secret. */
static void check_stray_text(struct reader *r, const char *text, size_t n)
{
    size_t blank = 0;

    while (blank < n && strchr(BLANKS, text[blank]))
        blank++;
    if (blank == n || r->stray_text)
        return;
    r->stray_text = true;
    problem(r, r->parser->input->line - newlines((const xmlChar *)text + blank, (const xmlChar *)text + n),
            "found text between the settings, allowed: elements only");
}

/* False when nothing more is to be taken. */
static bool take_text(struct reader *r, const xmlChar *text, int length)
{
    if (r->stopped)
        return false;
    if (r->open != OZ_SETTING_COUNT && !r->skipped)
        oz_buf_add(&r->text, text, (size_t)length);
    else if (r->depth == 1 && !r->skipped)
        check_stray_text(r, (const char *)text, (size_t)length);
    if (!oz_buf_failed(&r->text))
        return true;
    r->out_of_memory = true;
    stop(r);
    return false;
}

static void characters(void *ctx, const xmlChar *text, int length)
{
    if (take_text(((xmlParserCtxtPtr)ctx)->_private, text, length))
        xmlSAX2Characters(ctx, text, length);
}

static void cdata(void *ctx, const xmlChar *text, int length)
{
    if (take_text(((xmlParserCtxtPtr)ctx)->_private, text, length))
        xmlSAX2CDataBlock(ctx, text, length);
}

/* Stopping here, before anything of it is read, keeps out entities of every sort. */
static void doctype(void *ctx, const xmlChar *name, const xmlChar *public_id, const xmlChar *system_id)
{
    struct reader *r = ((xmlParserCtxtPtr)ctx)->_private;

    (void)name;
    (void)public_id;
    (void)system_id;
    problem(r, r->parser->input->line, "found a DOCTYPE, allowed: none, and no entities");
    stop(r);
}

static const char *malformed(int code)
{
    switch (code) {
    case XML_ERR_DOCUMENT_EMPTY:
        return "no element where '" ROOT "' should begin";
    case XML_ERR_DOCUMENT_END:
        return "something after the end of the root element";
    case XML_ERR_INVALID_CHAR:
        return "a character that XML does not allow";
    case XML_ERR_INVALID_HEX_CHARREF:
    case XML_ERR_INVALID_DEC_CHARREF:
    case XML_ERR_INVALID_CHARREF:
        return "a bad character reference";
    case XML_ERR_UNDECLARED_ENTITY:
    case XML_WAR_UNDECLARED_ENTITY:
        return "an entity other than &lt; &gt; &amp; &quot; &apos;";
    case XML_ERR_NAME_REQUIRED:
    case XML_ERR_ENTITYREF_SEMICOL_MISSING:
        return "a '&' or '<' that begins nothing; write &amp; or &lt;";
    case XML_ERR_LT_IN_ATTRIBUTE:
    case XML_ERR_ATTRIBUTE_NOT_STARTED:
    case XML_ERR_ATTRIBUTE_NOT_FINISHED:
    case XML_ERR_ATTRIBUTE_WITHOUT_VALUE:
        return "an attribute that is not NAME=\"VALUE\"";
    case XML_ERR_ATTRIBUTE_REDEFINED:
        return "an attribute that is there twice";
    case XML_ERR_GT_REQUIRED:
        return "a tag without its '>'";
    case XML_ERR_TAG_NAME_MISMATCH:
        return "an end tag that does not match the start tag";
    case XML_ERR_TAG_NOT_FINISHED:
    case XML_ERR_LTSLASH_REQUIRED:
        return "the end of the file before the end tag";
    case XML_ERR_COMMENT_NOT_FINISHED:
    case XML_ERR_HYPHEN_IN_COMMENT:
        return "a comment that does not end with -->, or has -- in it";
    case XML_ERR_CDATA_NOT_FINISHED:
    case XML_ERR_MISPLACED_CDATA_END:
        return "a CDATA section without its ]]>, or ]]> without one";
    case XML_ERR_RESERVED_XML_NAME:
        return "an XML declaration that is not at the very beginning";
    default:
        return NULL;
    }
}

static void tell_malformed(struct reader *r, int code, int line)
{
    const char *what = malformed(code);
    struct oz_buf b = {0};

    oz_buf_puts(&b, "found malformed XML");
    if (r->open != OZ_SETTING_COUNT)
        oz_buf_printf(&b, " inside '%s'", oz_settings[r->open].name);
    if (what)
        oz_buf_printf(&b, " (%s)", what);
    oz_buf_puts(&b, ", allowed: well-formed XML");
    problem_buf(r, line, &b);
}

static void on_error(void *ctx, xmlErrorPtr error)
{
    struct reader *r = ((xmlParserCtxtPtr)ctx)->_private;

    if (error->code == XML_ERR_NO_MEMORY)
        r->out_of_memory = true;
    /* One mistake makes libxml2 tell several. What it says of prefixes is an unknown name to us. */
    if (r->stopped || error->level < XML_ERR_ERROR || error->domain == XML_FROM_NAMESPACE)
        return;
    r->stopped = true;
    if (!r->cut || error->line < r->cut)
        tell_malformed(r, error->code, error->line);
}

/* libxml2 tells some lacks of memory to the handler of the thread only, which would print them. */
static void on_stray_error(void *ctx, xmlErrorPtr error)
{
    struct reader *r = ctx;

    if (error->code == XML_ERR_NO_MEMORY)
        r->out_of_memory = true;
}

static pthread_once_t initialised = PTHREAD_ONCE_INIT;

/* libxml2 does these by itself, but not safely when several threads come first. */
static void initialise(void)
{
    xmlInitParser();
    xmlSchemaInitTypes();
}

static void ignore_error(void *line, xmlErrorPtr error)
{
    int *first = line;

    if (first && *first == 0 && error->node)
        *first = (int)xmlGetLineNo(error->node);
}

/* The last word is the schema's, so that what we take and what it describes cannot drift apart. */
static void check_schema(struct reader *r, xmlDocPtr doc)
{
    xmlSchemaParserCtxtPtr parser = xmlSchemaNewMemParserCtxt(oz_xsd, sizeof oz_xsd);
    xmlSchemaPtr schema = NULL;
    xmlSchemaValidCtxtPtr validator = NULL;
    int line = 0, rc = -1;

    if (parser) {
        xmlSchemaSetParserStructuredErrors(parser, ignore_error, NULL);
        schema = xmlSchemaParse(parser);
    }
    if (schema)
        validator = xmlSchemaNewValidCtxt(schema);
    if (validator) {
        xmlSchemaSetValidStructuredErrors(validator, ignore_error, &line);
        rc = xmlSchemaValidateDoc(validator, doc);
    }
    if (rc < 0)
        r->out_of_memory = true;
    else if (rc > 0 && !r->out_of_memory)
        problem(r, line, "found what ode-cluster.xsd refuses, allowed: what it describes");
    xmlSchemaFreeValidCtxt(validator);
    xmlSchemaFree(schema);
    xmlSchemaFreeParserCtxt(parser);
}

static void watch_parser(struct reader *r)
{
    xmlSAXHandlerPtr sax = r->parser->sax;

    r->parser->_private = r;
    sax->startElementNs = start_element;
    sax->endElementNs = end_element;
    sax->characters = characters;
    sax->ignorableWhitespace = characters;
    sax->cdataBlock = cdata;
    sax->internalSubset = doctype;
    sax->serror = on_error;
}

static void parse_and_check(struct reader *r, const char *text, size_t length)
{
    size_t before = r->problems->count;
    xmlDocPtr doc;

    r->parser = xmlNewParserCtxt();
    if (!r->parser) {
        r->out_of_memory = true;
        return;
    }
    watch_parser(r);
    doc = xmlCtxtReadMemory(r->parser, text, (int)length, NULL, NULL, XML_PARSE_NONET | XML_PARSE_IGNORE_ENC);
    if (!doc && !r->stopped)
        r->out_of_memory = true;
    if (doc && !r->out_of_memory && !r->cut && r->problems->count == before)
        check_schema(r, doc);
    xmlFreeDoc(doc);
    xmlFreeParserCtxt(r->parser);
}

/* The thread's handlers belong to the program: they are borrowed. */
static void parse(struct reader *r, const char *text, size_t length)
{
    xmlStructuredErrorFunc handler = xmlStructuredError;
    void *context = xmlStructuredErrorContext;

    pthread_once(&initialised, initialise);
    xmlSetStructuredErrorFunc(r, on_stray_error);
    parse_and_check(r, text, length);
    xmlResetLastError();
    xmlSetStructuredErrorFunc(context, handler);
}

/* As XML wants it; libxml2 counts no line at a lone CR. */
static void unify_newlines(struct oz_buf *b)
{
    size_t from, to = 0;

    for (from = 0; from < b->len; from++) {
        bool cr = b->data[from] == '\r';

        if (cr && from + 1 < b->len && b->data[from + 1] == '\n')
            continue;
        b->data[to++] = cr ? '\n' : b->data[from];
    }
    b->len = to;
}

/* Finds what libxml2 has no good words for; false when nothing is left to parse. */
static bool look_over(struct reader *r, struct oz_buf *b, int encoding)
{
    const char *text = oz_buf_str(b);
    size_t n = strlen(text);

    if (encoding == ODEZK_ENOTFOUND) {
        problem(r, 1,
                "found an unknown encoding in the XML declaration, allowed: UTF-8, UTF-16, "
                "ISO-8859-1 and others by their IANA names");
        return false;
    }
    if (n < b->len) {
        problem(r, newlines(BAD_CAST text, BAD_CAST text + n) + 1, "found a NUL byte, allowed: text");
        return false;
    }
    if (encoding == ODEZK_ECONFIG) {
        r->cut = newlines(BAD_CAST text, BAD_CAST text + n) + 1;
        problem(r, r->cut,
                "found bytes that are not text in the file's encoding, allowed: UTF-8, or what the "
                "XML declaration names");
    } else if (!text[strspn(text, BLANKS)]) {
        problem(r, 1, "found an empty file, allowed: an element '" ROOT "'");
        return false;
    }
    return true;
}

int oz_xml_read(const char *file, const char *bytes, size_t length, oz_xml_cb found, void *arg,
                odezk_problems *problems)
{
    struct reader r = {.file = file, .found = found, .arg = arg, .problems = problems};
    struct oz_buf text = {0};
    int encoding = oz_encoding_convert(bytes, length, &text);

    unify_newlines(&text);
    r.open = OZ_SETTING_COUNT;
    if (oz_buf_failed(&text)) {
        r.out_of_memory = true;
    } else if (look_over(&r, &text, encoding)) {
        parse(&r, oz_buf_str(&text), text.len);
    }
    oz_buf_free(&text);
    oz_buf_free(&r.text);
    return r.out_of_memory ? ODEZK_ENOMEM : ODEZK_OK;
}
