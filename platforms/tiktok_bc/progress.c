/* progress.c - what an operation of TikTok's remembers: lists of ids in notes (3,000 of them fit), numbers,
 * the times of the next looks; and the two ways in which TikTok writes a time. */
#include "tiktok.h"

/* Less than a note may hold, by more than the longest id. */
enum { BLOCK_MAX = 4000, BLOCKS_MAX = 20 };

static const char *block_name(grantd_op *op, const char *list, int64_t i)
{
    return grantd_strf(op, "%s.%lld", list, (long long)i);
}

/* Where the id stands as a whole word, NULL when it does not. */
static const char *find(const char *block, const char *id)
{
    size_t n = strlen(id);

    for (const char *p = block; p && n && (p = strstr(p, id)); p += n)
        if ((p == block || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return p;
    return NULL;
}

int tt_has(grantd_op *op, const char *list, const char *id)
{
    for (int64_t i = 0; id && i < BLOCKS_MAX; i++) {
        const char *block = grantd_noted(op, block_name(op, list, i));

        if (block && find(block, id))
            return 1;
    }
    return 0;
}

void tt_push(grantd_op *op, const char *list, const char *id)
{
    if (!id || tt_has(op, list, id))
        return;
    for (int64_t i = 0; i < BLOCKS_MAX; i++) {
        const char *name = block_name(op, list, i), *block = grantd_noted(op, name);

        if (!block || strlen(block) + 1 + strlen(id) <= BLOCK_MAX) {
            grantd_note(op, name, block ? grantd_strf(op, "%s %s", block, id) : id);
            return;
        }
    }
}

void tt_drop(grantd_op *op, const char *list, const char *id)
{
    for (int64_t i = 0; id && i < BLOCKS_MAX; i++) {
        const char *name = block_name(op, list, i), *block = grantd_noted(op, name);
        const char *at = block ? find(block, id) : NULL, *rest;

        if (!at)
            continue;
        rest = at[strlen(id)] ? at + strlen(id) + 1 : at + strlen(id);
        if (!*rest && at > block)
            at--;
        if (at == block && !*rest)
            grantd_note(op, name, NULL);
        else
            grantd_note(op, name, grantd_strf(op, "%.*s%s", (int)(at - block), block, rest));
        return;
    }
}

void tt_clear(grantd_op *op, const char *list)
{
    for (int64_t i = 0; i < BLOCKS_MAX; i++)
        grantd_note(op, block_name(op, list, i), NULL);
}

static const char *word_at(grantd_op *op, const char *block, int64_t *i)
{
    while (*block) {
        size_t n = strcspn(block, " ");

        if ((*i)-- == 0)
            return grantd_strf(op, "%.*s", (int)n, block);
        block += n + (block[n] == ' ');
    }
    return NULL;
}

const char *tt_nth(grantd_op *op, const char *list, int64_t i)
{
    for (int64_t b = 0; b < BLOCKS_MAX; b++) {
        const char *block = grantd_noted(op, block_name(op, list, b));
        const char *word = block ? word_at(op, block, &i) : NULL;

        if (word)
            return word;
    }
    return NULL;
}

/* ---- whole lists --------------------------------------------------------------------------------------- */

/* Cuts a block into its words, in a copy of its own. */
static void split(grantd_op *op, struct tt_set *s, const char *block)
{
    size_t len = strlen(block);
    char *copy = grantd_alloc(op, len + 1);

    if (!copy)
        return;
    memcpy(copy, block, len + 1);
    for (char *word = copy, *end; *word && s->n < s->room; word = end) {
        end = word + strcspn(word, " ");
        if (*end)
            *end++ = 0;
        s->ids[s->n++] = word;
    }
}

void tt_load(grantd_op *op, struct tt_set *s, const char *name, int64_t more)
{
    *s = (struct tt_set){ .name = name, .room = tt_count(op, name) + more };
    s->ids = grantd_alloc(op, (size_t)(s->room + 1) * sizeof *s->ids);
    for (int64_t i = 0; s->ids && i < BLOCKS_MAX; i++) {
        const char *block = grantd_noted(op, block_name(op, name, i));

        if (block)
            split(op, s, block);
    }
}

int64_t tt_at(const struct tt_set *s, const char *id)
{
    for (int64_t i = 0; id && s->ids && i < s->n; i++)
        if (!strcmp(s->ids[i], id))
            return i;
    return -1;
}

void tt_put(struct tt_set *s, const char *id)
{
    if (id && *id && s->ids && s->n < s->room && tt_at(s, id) < 0)
        s->ids[s->n++] = id;
}

void tt_take(struct tt_set *s, int64_t i)
{
    if (i < 0 || i >= s->n)
        return;
    s->n--;
    memmove(&s->ids[i], &s->ids[i + 1], (size_t)(s->n - i) * sizeof *s->ids);
}

/* As many ids from *i on as one block holds; NULL: none is left. */
static const char *join(grantd_op *op, const struct tt_set *s, int64_t *i)
{
    char *out = *i < s->n ? grantd_alloc(op, BLOCK_MAX + 1) : NULL;
    size_t used = 0, len;

    for (; out && *i < s->n; (*i)++) {
        len = strlen(s->ids[*i]);
        if (used + len + 1 > BLOCK_MAX)
            break;
        if (used)
            out[used++] = ' ';
        memcpy(out + used, s->ids[*i], len);
        used += len;
    }
    return used ? out : NULL;
}

void tt_store(grantd_op *op, const struct tt_set *s)
{
    int64_t at = 0;

    for (int64_t i = 0; s->ids && i < BLOCKS_MAX; i++)
        grantd_note(op, block_name(op, s->name, i), join(op, s, &at));
}

int64_t tt_count(grantd_op *op, const char *list)
{
    int64_t n = 0;

    for (int64_t b = 0; b < BLOCKS_MAX; b++) {
        const char *block = grantd_noted(op, block_name(op, list, b));

        for (; block && *block; block++)
            n += *block == ' ';
        n += block != NULL;
    }
    return n;
}

const char *tt_json_ids(grantd_op *op, const char *list, int64_t n)
{
    const char *out = "[", *id;

    for (int64_t i = 0; i < n && (id = tt_nth(op, list, i)); i++)
        out = grantd_strf(op, "%s%s%s", out, i ? "," : "", grantd_encode(op, GRANTD_JSON, id));
    return grantd_strf(op, "%s]", out);
}

const char *tt_word(grantd_op *op, const char **at)
{
    static const char between[] = " \t\r\n,;\"'";
    const char *from = *at ? *at + strspn(*at, between) : "";
    size_t n = strcspn(from, between);

    *at = from + n;
    return n ? grantd_strf(op, "%.*s", (int)n, from) : NULL;
}

int tt_names(grantd_op *op, const char *text, const char *id)
{
    const char *word;

    while (text && (word = tt_word(op, &text)))
        if (grantd_equal(word, id))
            return 1;
    return 0;
}

/* ---- numbers and looks ------------------------------------------------------------------------------- */

int64_t tt_noted(const grantd_op *op, const char *key, int64_t dflt)
{
    return tt_whole(grantd_noted(op, key), dflt);
}

void tt_note(grantd_op *op, const char *key, int64_t n)
{
    grantd_note(op, key, tt_num_text(op, n));
}

grantd_next *tt_look_again(grantd_op *op)
{
    static const int64_t after[] = { 60, 300, 900, 900, 3600, 3600, 3600, 21600 };
    size_t looks = (size_t)tt_noted(op, "looks", 0), last = sizeof after / sizeof *after - 1;

    tt_note(op, "looks", (int64_t)looks + 1);
    return grantd_pending(op, grantd_now(op) + after[looks < last ? looks : last]);
}

/* ---- times ------------------------------------------------------------------------------------------- */

static int64_t clock_of(const char *p)
{
    int64_t h = grantd_digits(p, 2), m = grantd_digits(p + 3, 2), s = grantd_digits(p + 6, 2);

    return h < 0 || m < 0 || s < 0 || h > 23 || m > 59 || s > 60 || p[2] != ':' || p[5] != ':'
               ? -1
               : h * 3600 + m * 60 + s;
}

/* Seconds east of UTC of "", "Z", "+02:00" or "-0700"; NO_ZONE: something else. */
enum { NO_ZONE = 86400 };

static int64_t zone_of(const char *p)
{
    int64_t h, m;

    if (!*p || !strcmp(p, "Z"))
        return 0;
    if ((*p != '+' && *p != '-') || strlen(p) < 5)
        return NO_ZONE;
    h = grantd_digits(p + 1, 2);
    m = grantd_digits(p + 3 + (p[3] == ':'), 2);
    if (h < 0 || h > 23 || m < 0 || m > 59 || p[5 + (p[3] == ':')])
        return NO_ZONE;
    return (*p == '-' ? -1 : 1) * (h * 3600 + m * 60);
}

int64_t tt_time(const char *text)
{
    int64_t day = grantd_day(text), clock, zone;
    const char *rest;

    if (day < 0 || strlen(text) == 10)
        return day < 0 ? 0 : day * 86400;
    if (strlen(text) < 19 || (text[10] != ' ' && text[10] != 'T'))
        return 0;
    clock = clock_of(text + 11);
    rest = text + 19;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    zone = zone_of(rest);
    return clock < 0 || zone == NO_ZONE ? 0 : day * 86400 + clock - zone;
}

const char *tt_when(grantd_op *op, int64_t at)
{
    struct grantd_date day = grantd_date_of(at / 86400);
    int64_t s = at % 86400;

    return grantd_strf(op, "%04lld-%02lld-%02lld %02lld:%02lld UTC", (long long)day.y, (long long)day.m,
                       (long long)day.d, (long long)(s / 3600), (long long)(s / 60 % 60));
}
