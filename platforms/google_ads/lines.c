/* lines.c - the accounts of an item in notes: one line each, so that what is known of them outlives a run, a
 * wait and a crash. */
#include "google_ads.h"

#define PER_NOTE  20  /* lines of one note */
#define LINES_MAX 800 /* accounts of one item */
#define NAME_MAX  100

#define NOTES (LINES_MAX / PER_NOTE)

/* What the notes say, read once a run. */
struct ga_list {
    int64_t n;
    const char *notes[NOTES];
    struct ga_line at[LINES_MAX];
};

/* The word at *p, which moves behind it. "-" is "". */
static const char *word(grantd_op *op, const char **p)
{
    size_t n = strcspn(*p, " \n");
    const char *w = grantd_strf(op, "%.*s", (int)n, *p);

    *p += n + ((*p)[n] == ' ');
    return strcmp(w, "-") ? w : "";
}

static struct ga_line read_line(grantd_op *op, const char *p)
{
    struct ga_line l;

    l.state = *word(op, &p);
    l.state = l.state ? l.state : GA_IGNORED;
    l.since = ga_number(word(op, &p));
    l.cid = word(op, &p);
    l.via = word(op, &p);
    l.ref = word(op, &p);
    l.name = grantd_strf(op, "%.*s", (int)strcspn(p, "\n"), p);
    return l;
}

static const char *key(grantd_op *op, int64_t note)
{
    return grantd_strf(op, "acc_%lld", (long long)note);
}

static void read_note(grantd_op *op, struct ga_list *list, int64_t note)
{
    const char *p = list->notes[note] = grantd_noted(op, key(op, note));

    for (; p && list->n < LINES_MAX; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        list->at[list->n++] = read_line(op, p);
}

/* NULL when memory is used up: the host ends the operation then. */
static struct ga_list *list_of(grantd_op *op)
{
    struct ga *st = ga(op);
    struct ga_list *list = st->list ? st->list : grantd_alloc(op, sizeof *list);

    for (int64_t i = 0; list && !st->list && i < NOTES; i++)
        if (list->n == i * PER_NOTE)
            read_note(op, list, i);
    st->list = list;
    return list;
}

int64_t ga_lines(grantd_op *op)
{
    struct ga_list *list = list_of(op);

    return list ? list->n : 0;
}

struct ga_line ga_line(grantd_op *op, int64_t i)
{
    struct ga_list *list = list_of(op);

    return list && i >= 0 && i < list->n ? list->at[i] : (struct ga_line){ GA_IGNORED, 0, "", "", "", "" };
}

static const char *or_dash(const char *s)
{
    return s && *s ? s : "-";
}

/* Start of line k. */
static const char *line_at(const char *note, int64_t k)
{
    for (; note && k > 0; k--) {
        note = strchr(note, '\n');
        note = note ? note + 1 : NULL;
    }
    return note;
}

static void write_note(grantd_op *op, struct ga_list *list, int64_t i)
{
    const struct ga_line *l = &list->at[i];
    const char *note = list->notes[i / PER_NOTE], *from = line_at(note, i % PER_NOTE);
    const char *behind = from ? strchr(from, '\n') : NULL;
    size_t before = from ? (size_t)(from - note) : note ? strlen(note) : 0;

    list->notes[i / PER_NOTE] =
        grantd_strf(op, "%.*s%s%c %lld %s %s %s %s%s", (int)before, note ? note : "",
                    !from && before ? "\n" : "", l->state, (long long)l->since, or_dash(l->cid),
                    or_dash(l->via), or_dash(l->ref), l->name, behind ? behind : "");
    grantd_note(op, key(op, i / PER_NOTE), list->notes[i / PER_NOTE]);
}

void ga_put(grantd_op *op, int64_t i, const struct ga_line *l)
{
    struct ga_list *list = list_of(op);

    if (!list || i < 0 || i > list->n || i >= LINES_MAX)
        return;
    list->n += i == list->n;
    list->at[i] = *l;
    list->at[i].name = grantd_shown(op, l->name ? l->name : "", NAME_MAX);
    write_note(op, list, i);
}

int64_t ga_find(grantd_op *op, const char *cid)
{
    for (int64_t i = 0, n = ga_lines(op); i < n; i++)
        if (!strcmp(ga_line(op, i).cid, cid))
            return i;
    return -1;
}

void ga_add(grantd_op *op, char state, const char *cid, const char *via, const char *name)
{
    struct ga_line l = { state, 0, cid, via, "", name };
    int64_t n = ga_lines(op);

    if (n >= LINES_MAX)
        grantd_warn(op, "ACCOUNTS_TOO_MANY",
                    "the person reaches more than %d accounts: name those that are wanted in the item",
                    LINES_MAX);
    else
        ga_put(op, n, &l);
}

int64_t ga_next(grantd_op *op, int64_t from, const char *states)
{
    for (int64_t i = from, n = ga_lines(op); i < n; i++)
        if (strchr(states, ga_line(op, i).state))
            return i;
    return -1;
}

int64_t ga_count(grantd_op *op, const char *states)
{
    int64_t n = 0;

    for (int64_t i = ga_next(op, 0, states); i >= 0; i = ga_next(op, i + 1, states))
        n++;
    return n;
}

int64_t ga_ids(grantd_op *op, const char *text, const char **ids, int64_t max)
{
    int64_t n = 0;

    while (text && *(text += strspn(text, ", \r\n\t"))) {
        size_t len = strcspn(text, ", \r\n\t"), k = 0;
        char id[11] = "";

        for (size_t i = 0; i < len; i++)
            if (text[i] != '-') {
                if (k == 10)
                    return -1;
                id[k++] = text[i];
            }
        id[k] = '\0';
        if (!ga_cid(id) || n == max)
            return -1;
        ids[n++] = grantd_strf(op, "%s", id);
        text += len;
    }
    return n;
}

void ga_all(grantd_op *op, const char *states, char to, const char *ref)
{
    for (int64_t i = ga_next(op, 0, states); i >= 0; i = ga_next(op, i + 1, states)) {
        struct ga_line l = ga_line(op, i);

        l.state = to;
        l.ref = ref ? ref : l.ref;
        ga_put(op, i, &l);
    }
}
