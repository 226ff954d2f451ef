#include "config/expand.h"

#include "base/mem.h"
#include "config/text.h"

#include <limits.h>
#include <odezk/error.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LENGTH ((size_t)64 * 1024)
#define MAX_REFERENCES 1000
#define MAX_DEPTH 32

struct run {
    const struct oz_expander *e;
    struct oz_buf out;
    struct oz_buf name; /* of the reference at hand */
    int references;
    bool secret;  /* something secret was put in */
    bool wrong;   /* a mistake was told */
    bool stopped; /* by a bound */
    bool out_of_memory;
};

/* A property that is being expanded, and the one that refers to it. */
struct frame {
    const struct frame *outer;
    const struct oz_property *property;
    int depth;
    bool hidden; /* nothing of its value may be told */
};

static void expand_value(struct run *run, const struct frame *frame);

static void mistake(struct run *run, const struct frame *frame, const char *what, const char *allowed)
{
    struct oz_buf b = {0};

    if (frame->hidden)
        oz_buf_puts(&b, "a reference that is not shown");
    else
        oz_quote(&b, oz_buf_str(&run->name));
    run->wrong = true;
    run->out_of_memory |= b.failed;
    oz_problem(run->e->problems, run->e->file, frame->property->line, "found %s, %s, allowed: %s", oz_buf_str(&b), what,
               allowed);
    oz_buf_free(&b);
}

static void add(struct run *run, const struct frame *frame, const char *text, size_t n)
{
    if (run->stopped)
        return;
    if (n <= MAX_LENGTH - run->out.len) {
        oz_buf_add(&run->out, text, n);
        return;
    }
    run->wrong = run->stopped = true;
    oz_problem(run->e->problems, run->e->file, frame->property->line,
               "found a value that expands to more than 64 KiB, allowed: at most 64 KiB");
}

static void expand_environment(struct run *run, const struct frame *frame, const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        mistake(run, frame, "which is not in the environment", "variables that are set");
        return;
    }
    run->secret |= oz_name_looks_secret(name);
    add(run, frame, value, strlen(value));
}

static bool is_circle(const struct frame *frame, const struct oz_property *property)
{
    for (; frame; frame = frame->outer)
        if (frame->property == property)
            return true;
    return false;
}

static void expand_property(struct run *run, const struct frame *frame, const struct oz_property *property)
{
    bool secret = run->e->is_secret(property->key) || oz_name_looks_secret(property->key);
    struct frame inner = {frame, property, frame->depth + 1, frame->hidden || secret};

    if (is_circle(frame, property)) {
        mistake(run, frame, "which leads back to itself", "no circles");
        return;
    }
    if (inner.depth > MAX_DEPTH) {
        mistake(run, frame, "which is nested too deep", "32 references in a row");
        return;
    }
    run->secret |= secret;
    expand_value(run, &inner);
}

/* What the system properties of a Java program would say. */
static bool expand_system(struct run *run, const struct frame *frame, const char *name)
{
    struct passwd user, *found = NULL;
    char buffer[PATH_MAX];
    const char *value = NULL;

    if (strcmp(name, "org.apache.ode.configDir") == 0) {
        value = run->e->dir;
    } else if (strcmp(name, "file.separator") == 0) {
        value = "/";
    } else if (strcmp(name, "java.io.tmpdir") == 0) {
        value = "/tmp";
    } else if (strcmp(name, "user.dir") == 0) {
        value = getcwd(buffer, sizeof buffer);
    } else if (strcmp(name, "user.name") == 0 || strcmp(name, "user.home") == 0) {
        getpwuid_r(getuid(), &user, buffer, sizeof buffer, &found);
        if (found)
            value = strcmp(name, "user.name") == 0 ? found->pw_name : found->pw_dir;
    }
    if (value)
        add(run, frame, value, strlen(value));
    return value != NULL;
}

/* Expands the reference whose name stands in run->name as "${name}". */
static void expand_reference(struct run *run, const struct frame *frame)
{
    const struct oz_property *property;
    char *name;

    if (++run->references > MAX_REFERENCES) {
        mistake(run, frame, "one of too many references", "1000 of them in a value");
        run->stopped = true;
        return;
    }
    name = oz_strndup(oz_buf_str(&run->name) + 2, run->name.len - 3);
    if (!name) {
        run->out_of_memory = true;
        return;
    }
    property = oz_properties_find(run->e->properties, name);
    if (strncmp(name, "env.", 4) == 0)
        expand_environment(run, frame, name + 4);
    else if (property)
        expand_property(run, frame, property);
    else if (!expand_system(run, frame, name))
        mistake(run, frame, "which nothing defines",
                "keys of this file, env.NAME, user.home, user.dir, user.name, java.io.tmpdir, "
                "file.separator, org.apache.ode.configDir");
    free(name);
}

static bool goes_on(const struct run *run)
{
    return !run->stopped && !run->out_of_memory && !run->out.failed && !run->name.failed;
}

static void expand_value(struct run *run, const struct frame *frame)
{
    const char *at = frame->property->value, *open, *close;

    if (frame->property->malformed) {
        run->wrong = true;
        return;
    }
    while (goes_on(run) && (open = strstr(at, "${"))) {
        add(run, frame, at, (size_t)(open - at));
        close = strchr(open, '}');
        run->name.len = 0;
        oz_buf_add(&run->name, open, close ? (size_t)(close - open) + 1 : strlen(open));
        if (run->name.failed)
            return;
        if (!close) {
            mistake(run, frame, "which does not end", "${NAME}");
            return;
        }
        expand_reference(run, frame);
        at = close + 1;
    }
    if (goes_on(run))
        add(run, frame, at, strlen(at));
}

int oz_expand(const struct oz_expander *e, const struct oz_property *property, bool *secret, char **text)
{
    struct run run = {.e = e};
    struct frame frame = {NULL, property, 0, *secret};
    char *result = NULL;

    expand_value(&run, &frame);
    run.out_of_memory |= run.name.failed || run.out.failed;
    if (!run.wrong && !run.out_of_memory)
        result = oz_buf_take(&run.out);
    oz_buf_free(&run.out);
    oz_buf_free(&run.name);
    if (!result)
        return run.wrong && !run.out_of_memory ? ODEZK_ECONFIG : ODEZK_ENOMEM;
    *secret |= run.secret;
    *text = result;
    return ODEZK_OK;
}
