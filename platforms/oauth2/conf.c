/* conf.c - reading the provider description and making lists. Strings are the host's and live for the run. */
#include "oauth2.h"

const char *oa_text(grantd_op *op, const char *path, const char *dflt)
{
    const char *text = grantd_text(op, oa(op)->d, path);

    return text ? text : dflt;
}

int64_t oa_num(grantd_op *op, const char *path, int64_t dflt)
{
    return grantd_num(op, oa(op)->d, path, dflt);
}

int oa_has(grantd_op *op, const char *path)
{
    return grantd_type(op, oa(op)->d, path) > GRANTD_IS_NULL;
}

const char *oa_path2(grantd_op *op, const char *block, const char *base, const char *member)
{
    const char *path = grantd_strf(op, "%s.%s", block, member);

    return oa_has(op, path) || !base ? path : grantd_strf(op, "%s.%s", base, member);
}

const char *oa_text2(grantd_op *op, const char *block, const char *base, const char *member, const char *dflt)
{
    return oa_text(op, oa_path2(op, block, base, member), dflt);
}

/* "authorize.params" and "a/b" become "/authorize/params/a~1b": names may hold dots. */
const char *oa_member(grantd_op *op, const char *path, const char *name)
{
    size_t n = strlen(path), m = strlen(name), at = 0;
    char *s = grantd_alloc(op, n + 2 * m + 3);

    if (!s)
        return "";
    s[at++] = '/';
    for (size_t i = 0; i < n; i++)
        s[at++] = path[i] == '.' ? '/' : path[i];
    s[at++] = '/';
    for (size_t i = 0; i < m; i++) {
        if (name[i] == '~' || name[i] == '/') {
            s[at++] = '~';
            s[at++] = name[i] == '~' ? '0' : '1';
        } else {
            s[at++] = name[i];
        }
    }
    return s;
}

const char *oa_nth(grantd_op *op, const char *path, int64_t i)
{
    const grantd_doc *d = oa(op)->d;

    if (grantd_type(op, d, path) == GRANTD_IS_LIST)
        return grantd_text(op, d, grantd_strf(op, "%s.%lld", path, (long long)i));
    return i == 0 ? grantd_text(op, d, path) : NULL;
}

int oa_listed(grantd_op *op, const char *path, const char *word)
{
    const char *have;

    for (int64_t i = 0; (have = oa_nth(op, path, i)); i++)
        if (!strcmp(have, word))
            return 1;
    return 0;
}

int oa_listed_num(grantd_op *op, const char *path, int64_t n)
{
    const grantd_doc *d = oa(op)->d;
    int64_t len = grantd_len(op, d, path);

    for (int64_t i = 0; i < len; i++)
        if (grantd_num(op, d, grantd_strf(op, "%s.%lld", path, (long long)i), -1) == n)
            return 1;
    return 0;
}

const char *oa_value(grantd_op *op, const grantd_doc *d, const char *path)
{
    switch (grantd_type(op, d, path)) {
    case GRANTD_IS_TEXT:
        return grantd_text(op, d, path);
    case GRANTD_IS_NUMBER: {
        int64_t n = grantd_num(op, d, path, INT64_MIN);

        return n == INT64_MIN ? NULL : grantd_strf(op, "%lld", (long long)n);
    }
    case GRANTD_IS_BOOL:
        return grantd_num(op, d, path, 0) ? "true" : "false";
    default:
        return NULL;
    }
}

static int grow(grantd_op *op, struct oa_list *l)
{
    size_t cap = l->cap ? 2 * l->cap : 32;
    const char **kv;

    if (l->n + 3 <= l->cap)
        return 1;
    kv = grantd_alloc(op, cap * sizeof *kv);
    if (!kv)
        return 0;
    if (l->n)
        memcpy(kv, l->kv, l->n * sizeof *kv);
    l->kv = kv;
    l->cap = cap;
    return 1;
}

/* A budget that is used up is remembered by the host: the next constructor fails, nothing half-made leaves.
 */
void oa_add(grantd_op *op, struct oa_list *l, const char *name, const char *value)
{
    if (!value || !grow(op, l))
        return;
    l->kv[l->n++] = name;
    l->kv[l->n++] = value;
    l->kv[l->n] = NULL;
}

const char *oa_get(const struct oa_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i += 2)
        if (!strcmp(l->kv[i], name))
            return l->kv[i + 1];
    return NULL;
}

grantd_next *oa_begin(grantd_op *op)
{
    struct oa *st = oa(op);
    const char *issuer;

    st->d = grantd_document(op, GRANTD_DOC_DESCRIPTION);
    if (!st->d)
        return grantd_fail(op, GRANTD_E_CONFIG, "the app names no provider description (option provider)");
    if (oa_num(op, "schema", 0) != 1)
        return grantd_fail(op, GRANTD_E_CONFIG, "the provider description has a schema other than 1");
    issuer = oa_text(op, "issuer", NULL);
    st->issuer = issuer ? oa_expand(op, issuer, OA_URL) : grantd_option(op, "issuer");
    if (oa_discovers(op) && !st->issuer)
        return grantd_fail(op, GRANTD_E_CONFIG, "%s",
                           st->why ? st->why
                                   : "this provider needs the option issuer, e.g. https://login.example");
    return NULL;
}

/* ---- words ------------------------------------------------------------------------------------------------
 */
static int same_word(const char *a, size_t na, const char *b)
{
    return !strncmp(a, b, na) && !b[na];
}

int oa_word_in(const char *words, const char *word)
{
    while (words && *words) {
        size_t n = strcspn(words, " ");

        if (n && same_word(words, n, word))
            return 1;
        words += n + (words[n] == ' ');
    }
    return 0;
}

static const char *add_words(grantd_op *op, const char *have, const char *more, const char *sep)
{
    while (more && *more) {
        size_t n = strcspn(more, sep);
        const char *word = grantd_strf(op, "%.*s", (int)n, more);

        if (n && !oa_word_in(have, word))
            have = grantd_strf(op, "%s%s%s", have, *have ? " " : "", word);
        more += n + (more[n] != 0);
    }
    return have;
}

const char *oa_words(grantd_op *op, const char *have, const char *more, const char *sep, const char *join)
{
    const char *out = add_words(op, add_words(op, "", have, sep), more, sep);
    const char *joined = "";

    if (!strcmp(join, " "))
        return out;
    while (*out) {
        size_t n = strcspn(out, " ");

        joined = grantd_strf(op, "%s%s%.*s", joined, *joined ? join : "", (int)n, out);
        out += n + (out[n] == ' ');
    }
    return joined;
}

static const char *default_scope(grantd_op *op)
{
    const char *words = "", *word;

    for (int64_t i = 0; (word = oa_nth(op, "scope.default", i)); i++)
        words = oa_words(op, words, word, " ", " ");
    return words;
}

/* A provider that lists its scopes and does not list the offline one gives refresh tokens in another way. */
static const char *offline_scope(grantd_op *op)
{
    const char *offline = oa_text(op, "scope.offline", NULL);
    const grantd_doc *meta = oa(op)->meta;
    int64_t n = meta ? grantd_len(op, meta, "scopes_supported") : 0;

    for (int64_t i = 0; offline && i < n; i++) {
        const char *has = grantd_text(op, meta, grantd_strf(op, "scopes_supported.%lld", (long long)i));

        if (has && !strcmp(has, offline))
            return offline;
    }
    return n ? NULL : offline;
}

const char *oa_scope(grantd_op *op)
{
    const char *own = grantd_option(op, "scopes"), *asked = grantd_arg(op, GRANTD_ARG_SCOPE);
    const char *words = own && *own ? own : default_scope(op);

    if (!oa_num(op, "scope.fixed", 0))
        words = oa_words(op, words, asked, " ,", " ");
    return oa_words(op, words, offline_scope(op), " ", " ");
}

int oa_wants_openid(grantd_op *op)
{
    return oa(op)->issuer && oa_word_in(oa_scope(op), "openid");
}
