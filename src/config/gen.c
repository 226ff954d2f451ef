/* Prints what is made from the table of settings: the XSD (also as a C header) and the list of the
 * man page. */
#include "config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST "([A-Za-z0-9._\\-]+|\\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._\\-]+)?\\])"
#define SERVER HOST "(:[0-9]{1,5})?"

static void print_text(FILE *out, const char *s)
{
    for (; *s; s++)
        if (*s == '<')
            fputs("&lt;", out);
        else if (*s == '&')
            fputs("&amp;", out);
        else
            putc(*s, out);
}

static void print_facet(FILE *out, const char *name, const char *value)
{
    fprintf(out, "            <xs:%s value=\"", name);
    print_text(out, value);
    fprintf(out, "\"/>\n");
}

static void print_number_facet(FILE *out, const char *name, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)value);
    print_facet(out, name, text);
}

/* A name must not be "." or "..": it has another character, or three dots. A '-' is escaped within
 * brackets. */
static void print_name_pattern(FILE *out, const struct oz_rule *rule)
{
    char rest[64] = "", pattern[512];
    const char *p;

    for (p = rule->extra; *p; p++)
        if (*p != '.')
            snprintf(rest + strlen(rest), sizeof rest - strlen(rest), "%s%c", *p == '-' ? "\\" : "", *p);
    snprintf(pattern, sizeof pattern, "[A-Za-z0-9.%s]*[A-Za-z0-9%s][A-Za-z0-9.%s]*|\\.{3,}", rest, rest, rest);
    print_facet(out, "pattern", pattern);
}

static void print_choices(FILE *out, const char *choices)
{
    char choice[64];
    size_t n;

    for (; *choices; choices += n + (choices[n] == '|')) {
        n = strcspn(choices, "|");
        snprintf(choice, sizeof choice, "%.*s", (int)n, choices);
        print_facet(out, "enumeration", choice);
    }
}

static void print_facets(FILE *out, const struct oz_rule *rule)
{
    switch (rule->kind) {
    case OZ_KIND_SERVERS:
        print_facet(out, "pattern", SERVER "(," SERVER ")*(/\\S*)?");
        break;
    case OZ_KIND_PATH:
        print_facet(out, "pattern", "/|(/[^/]+)+");
        break;
    case OZ_KIND_NAME:
        print_name_pattern(out, rule);
        break;
    case OZ_KIND_AUTH:
        print_facet(out, "pattern", "(digest:[^:]+:.+)?");
        break;
    case OZ_KIND_FILE:
        print_facet(out, "minLength", "1");
        break;
    case OZ_KIND_BOOLEAN:
    case OZ_KIND_CHOICE:
        print_choices(out, rule->extra);
        return;
    case OZ_KIND_MILLISECONDS:
    case OZ_KIND_INTEGER:
        print_facet(out, "pattern", "[0-9]+");
        print_number_facet(out, "minInclusive", rule->min);
        print_number_facet(out, "maxInclusive", rule->max);
        return;
    }
    print_number_facet(out, "maxLength", rule->max);
}

static void print_restriction(FILE *out, enum oz_setting_id id)
{
    fprintf(out, "          <xs:restriction base=\"xs:%s\">\n", oz_setting_is_number(id) ? "integer" : "token");
    print_facets(out, &oz_rules[id]);
    fprintf(out, "          </xs:restriction>\n");
}

/* A text allows "auto" anyway, a number has to be told. */
static void print_type(FILE *out, enum oz_setting_id id)
{
    if (!oz_setting_is_number(id) || !oz_setting_has_auto(id)) {
        fprintf(out, "        <xs:simpleType>\n");
        print_restriction(out, id);
        fprintf(out, "        </xs:simpleType>\n");
        return;
    }
    fprintf(out, "        <xs:simpleType><xs:union>\n"
                 "          <xs:simpleType><xs:restriction base=\"xs:token\">\n"
                 "            <xs:enumeration value=\"" OZ_AUTO "\"/>\n"
                 "          </xs:restriction></xs:simpleType>\n"
                 "          <xs:simpleType>\n");
    print_restriction(out, id);
    fprintf(out, "          </xs:simpleType>\n"
                 "        </xs:union></xs:simpleType>\n");
}

static void print_element(FILE *out, enum oz_setting_id id)
{
    const odezk_setting *s = &oz_settings[id];

    fprintf(out, "      <xs:element name=\"%s\" minOccurs=\"0\">\n", s->name);
    fprintf(out, "        <xs:annotation><xs:documentation>\n          ");
    print_text(out, s->description);
    fprintf(out, "\n          Allowed: ");
    print_text(out, s->allowed);
    fprintf(out, ". Default: ");
    print_text(out, *s->default_value ? s->default_value : "nothing");
    fprintf(out, ".\n        </xs:documentation></xs:annotation>\n");
    print_type(out, id);
    fprintf(out, "      </xs:element>\n");
}

static void print_xsd(FILE *out)
{
    int id;

    fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                 "<!-- Made from src/config/settings.def: change that, not this. -->\n"
                 "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">\n"
                 "  <xs:element name=\"ode-cluster\">\n"
                 "    <xs:complexType><xs:all>\n");
    for (id = 0; id < OZ_SETTING_COUNT; id++)
        print_element(out, (enum oz_setting_id)id);
    fprintf(out, "    </xs:all></xs:complexType>\n"
                 "  </xs:element>\n"
                 "</xs:schema>\n");
}

/* Numbers, as a string literal may not be that long. */
static int print_header(FILE *out)
{
    char *xsd = NULL;
    size_t size = 0, i;
    FILE *text = open_memstream(&xsd, &size);

    if (!text)
        return EXIT_FAILURE;
    print_xsd(text);
    if (fclose(text) != 0)
        return EXIT_FAILURE;
    fprintf(out, "/* schemas/ode-cluster.xsd, made from src/config/settings.def. */\n"
                 "static const char oz_xsd[] = {");
    for (i = 0; i < size; i++)
        fprintf(out, "%s%d,", i % 20 ? " " : "\n    ", xsd[i]);
    fprintf(out, "\n};\n");
    free(xsd);
    return EXIT_SUCCESS;
}

/* As text of a man page: what roff would take for a command or for an escape is protected. Each sentence begins a
 * line. */
static void print_roff(FILE *out, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", out);
    for (; *s; s++)
        if (*s == '\\')
            fputs("\\e", out);
        else if (s[0] == '.' && s[1] == ' ' && s[2] >= 'A' && s[2] <= 'Z')
            s++, fputs(".\n", out);
        else
            putc(*s, out);
}

static void print_man(FILE *out)
{
    int id;

    for (id = 0; id < OZ_SETTING_COUNT; id++) {
        const odezk_setting *s = &oz_settings[id];

        fprintf(out, ".It Cm %s\n", s->name);
        print_roff(out, s->description);
        fprintf(out, "\n.Pp\nAllowed: ");
        print_roff(out, s->allowed);
        fprintf(out, ".\n.br\nDefault: ");
        print_roff(out, *s->default_value ? s->default_value : "nothing");
        fprintf(out, ".\n");
    }
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    int rc = EXIT_SUCCESS;

    if (strcmp(what, "--xsd") == 0) {
        print_xsd(stdout);
    } else if (strcmp(what, "--c") == 0) {
        rc = print_header(stdout);
    } else if (strcmp(what, "--man") == 0) {
        print_man(stdout);
    } else {
        fprintf(stderr, "usage: gen --xsd | --c | --man\n");
        return 2;
    }
    return fflush(stdout) == 0 ? rc : EXIT_FAILURE;
}
