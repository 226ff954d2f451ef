/* Contradictions between what the nodes were told. */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

enum { TOLD = 256, EXCUSED = 16 };

struct grant {
    struct claim claim;
    int node, life;
    bool open;    /* not over: taken down for one check only */
    bool checked; /* against all the others that are */
};

struct grants {
    struct grant *list;
    int count, size;
};

static struct grants grants[KEYS + 1]; /* by key; the last: masterships */
static struct grants history;          /* of the masterships, for the times of their changes */
static long grant_count, mastership_count;
static int64_t excused[EXCUSED]; /* masterships, the newest ones */

static void append(struct grants *g, const struct grant *grant)
{
    if (g->count == g->size) {
        g->size = g->size ? 2 * g->size : 256;
        g->list = realloc(g->list, (size_t)g->size * sizeof *g->list);
        if (!g->list)
            abort();
    }
    g->list[g->count++] = *grant;
}

static const char *describe(const struct grant *g, char text[80])
{
    snprintf(text, 80, "n%d (its process %d) with %lld", g->node, g->life, (long long)g->claim.token);
    return text;
}

/* ---- the history of masterships ---- */

/* The entry of this mastership, or where it belongs. */
static int place_in_history(int64_t epoch)
{
    int i = history.count;

    while (i > 0 && history.list[i - 1].claim.token >= epoch)
        i--;
    return i;
}

static void note_mastership(const struct grant *grant)
{
    int i = place_in_history(grant->claim.token);

    if (i == history.count || history.list[i].claim.token != grant->claim.token) {
        append(&history, grant);
        memmove(&history.list[i + 1], &history.list[i], (size_t)(history.count - 1 - i) * sizeof history.list[0]);
        history.list[i] = *grant;
        mastership_count++;
    } else if (grant->claim.last_after > history.list[i].claim.last_after) {
        history.list[i].claim.last_after = grant->claim.last_after;
    }
}

/* The claims that go on: known up to now. */
static void note_masters(void)
{
    struct grant grant = {0};

    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record && claim_peek(&nodes[i].record->claims[0], &grant.claim)) {
            grant.node = i;
            grant.life = nodes[i].life;
            note_mastership(&grant);
        }
}

bool claims_handover(int64_t epoch, int64_t *ended, int64_t *next)
{
    int i;

    note_masters();
    i = place_in_history(epoch);
    if (i + 1 >= history.count || history.list[i].claim.token != epoch)
        return false;
    *ended = history.list[i].claim.last_after;
    *next = history.list[i + 1].claim.first_after;
    return true;
}

/* ---- taking down ---- */

void claims_add(const struct claim *claim, int node, int life)
{
    struct grant grant = {.claim = *claim, .node = node, .life = life};

    if (claim->key < 0 || claim->key > KEYS)
        give_up("n%d recorded nonsense", node);
    append(&grants[claim->key], &grant);
    if (claim->key == MASTERSHIP)
        note_mastership(&grant);
    else
        grant_count++;
}

static void add_open(struct node *n)
{
    struct grant grant = {.node = n->number, .life = n->life, .open = true};

    for (int i = 0; i < 1 + WORKERS; i++)
        if (claim_peek(&n->record->claims[i], &grant.claim) && grant.claim.key >= 0 && grant.claim.key <= KEYS)
            append(&grants[grant.claim.key], &grant);
}

/* ---- checking ---- */

static int by_token(const void *a, const void *b)
{
    const struct grant *x = a, *y = b;

    if (x->claim.token != y->claim.token)
        return x->claim.token < y->claim.token ? -1 : 1;
    return x->claim.first_before < y->claim.first_before ? -1 : x->claim.first_before > y->claim.first_before;
}

static int by_asked(const void *a, const void *b)
{
    const struct grant *x = *(struct grant *const *)a, *y = *(struct grant *const *)b;

    return x->claim.asked < y->claim.asked ? -1 : x->claim.asked > y->claim.asked;
}

static int by_first(const void *a, const void *b)
{
    const struct grant *x = *(struct grant *const *)a, *y = *(struct grant *const *)b;

    return x->claim.first_after < y->claim.first_after ? -1 : x->claim.first_after > y->claim.first_after;
}

static enum check kind_of(int key)
{
    return key == MASTERSHIP ? CHECK_MASTERS : CHECK_HOLDERS;
}

/* A claim that went on when it was told of is looked at once more when it is over. */
static bool told_before(int key, int64_t old, int64_t new)
{
    static struct {
        int key;
        int64_t old, new;
    } told[TOLD];
    static unsigned count;

    for (unsigned i = 0; i < TOLD; i++)
        if (told[i].key == key && told[i].old == old && told[i].new == new)
            return true;
    told[count % TOLD].key = key;
    told[count % TOLD].old = old;
    told[count++ % TOLD].new = new;
    return false;
}

static void tell_overlap(int key, const struct grant *old, const struct grant *new)
{
    char a[80], b[80];

    violation(kind_of(key), "%s was told yes, and %.3f ms later still %s (%.3f to %.3f, %.3f to %.3f)",
              describe(new, a), (double)(old->claim.last_before - new->claim.first_after) / 1e6, describe(old, b),
              seconds(new->claim.first_before), seconds(new->claim.last_after), seconds(old->claim.first_before),
              seconds(old->claim.last_after));
}

static bool is_excused(int key, int64_t token)
{
    for (int i = 0; i < EXCUSED; i++)
        if (key == MASTERSHIP && excused[i] == token)
            return true;
    return false;
}

/* Two answers that cannot both be right; `old` has the same token, or an older one. */
static void compare(int key, const struct grant *old, const struct grant *new)
{
    bool same = old->claim.token == new->claim.token;

    if ((old->checked && new->checked) || is_excused(key, old->claim.token))
        return;
    if (same && (old->node != new->node || old->life != new->life))
        violation(kind_of(key), "n%d and n%d both have token %lld", old->node, new->node, (long long)old->claim.token);
    else if (old->claim.last_before > new->claim.first_after &&
             !(same && old->claim.first_before == new->claim.first_before) && /* noted twice */
             !told_before(key, old->claim.token, new->claim.token))
        tell_overlap(key, old, new);
}

/* A grant was still said to hold after one with a newer token was, or a second one with the same.
 */
static void check_overlaps(int key, struct grants *g)
{
    const struct grant *latest = NULL; /* of all before, who was told yes last */

    for (int i = 0; i < g->count; i++) {
        const struct grant *grant = &g->list[i];

        if (latest)
            compare(key, latest, grant);
        if (!latest || grant->claim.last_before >= latest->claim.last_before)
            latest = grant;
    }
}

/* Who asked after somebody else had it has the larger token. */
static void check_order(int key, struct grants *g)
{
    struct grant **asked = malloc((size_t)g->count * sizeof(struct grant *) + 1);
    struct grant **first = malloc((size_t)g->count * sizeof(struct grant *) + 1);
    const struct grant *newest = NULL;
    char a[80], b[80];
    int k = 0;

    if (!asked || !first)
        abort();
    for (int i = 0; i < g->count; i++)
        asked[i] = first[i] = &g->list[i];
    qsort(asked, (size_t)g->count, sizeof *asked, by_asked);
    qsort(first, (size_t)g->count, sizeof *first, by_first);
    for (int i = 0; i < g->count; i++) {
        for (; k < g->count && first[k]->claim.first_after < asked[i]->claim.asked; k++)
            if (!newest || first[k]->claim.token > newest->claim.token)
                newest = first[k];
        if (newest && newest->claim.token > asked[i]->claim.token && !(newest->checked && asked[i]->checked))
            violation(CHECK_TOKENS, "%s %d: %s, asked for when %s already had it",
                      key == MASTERSHIP ? "mastership" : "key", key, describe(asked[i], a), describe(newest, b));
    }
    free(asked);
    free(first);
}

static void drop_open(struct grants *g)
{
    int kept = 0;

    for (int i = 0; i < g->count; i++)
        if (!g->list[i].open) {
            g->list[kept] = g->list[i];
            g->list[kept++].checked = true;
        }
    g->count = kept;
}

void claims_check(void)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record)
            add_open(&nodes[i]);
    for (int key = 0; key <= KEYS; key++) {
        struct grants *g = &grants[key];

        if (g->count == 0)
            continue;
        qsort(g->list, (size_t)g->count, sizeof *g->list, by_token);
        check_overlaps(key, g);
        check_order(key, g);
        drop_open(g);
    }
}

void claims_excuse(int64_t epoch)
{
    static unsigned count;

    excused[count++ % EXCUSED] = epoch;
}

void claims_forget(void)
{
    for (int key = 0; key <= KEYS; key++) {
        struct grants *g = &grants[key];
        struct grant newest, latest;

        if (g->count < 2)
            continue;
        latest = newest = g->list[g->count - 1];
        for (int i = 0; i < g->count; i++)
            if (g->list[i].claim.last_before > latest.claim.last_before)
                latest = g->list[i];
        g->count = 0;
        append(g, &newest);
        if (latest.claim.token != newest.claim.token)
            append(g, &latest);
    }
}

void claims_report(void)
{
    printf("claims: %ld masterships, %ld lock grants\n", mastership_count, grant_count);
}
