/* answer.c - reading what a token endpoint answered: by the paths of the description, of lenient types
 * (numbers may come as text, scopes as an array), but never making a token out of something else. */
#include "oauth2.h"

enum { LIFE_MAX = 315360000 }; /* ten years: nobody means more, and sums stay small */

struct reader {
    const grantd_doc *answer;
    const char *prefix, *root;
};

static const char *under(grantd_op *op, const char *root, const char *path)
{
    return !*root || *path == '/' ? path : grantd_strf(op, "%s.%s", root, path);
}

/* Path of a member that is there; NULL when none of its alternatives is. */
static const char *locate(grantd_op *op, const struct reader *r, const char *member, const char *dflt)
{
    const char *field = grantd_strf(op, "%s.%s", r->prefix, member);
    const char *path = oa_nth(op, field, 0);

    if (!path)
        path = dflt;
    for (int64_t i = 1; path; i++) {
        path = under(op, r->root, path);
        if (grantd_type(op, r->answer, path) > GRANTD_IS_NULL)
            return path;
        path = oa_nth(op, field, i);
    }
    return NULL;
}

static const char *text_at(grantd_op *op, const struct reader *r, const char *member, const char *dflt)
{
    const char *path = locate(op, r, member, dflt), *text = path ? grantd_text(op, r->answer, path) : NULL;

    return text && *text ? text : NULL;
}

static const char *value_at(grantd_op *op, const struct reader *r, const char *member)
{
    const char *path = locate(op, r, member, NULL);

    return path ? oa_value(op, r->answer, path) : NULL;
}

/* ---- clocks
 * --------------------------------------------------------------------------------------------------- */
static int64_t life_at(grantd_op *op, const struct reader *r, const char *path)
{
    int64_t n = path ? grantd_num(op, r->answer, path, 0) : 0;

    if (!strcmp(oa_text(op, grantd_strf(op, "%s.expires_unit", r->prefix), "s"), "ms"))
        n /= 1000;
    return n <= 0 ? 0 : n > LIFE_MAX ? LIFE_MAX : n;
}

static int64_t moment_at(grantd_op *op, const struct reader *r, const char *path)
{
    int64_t n = path ? grantd_num(op, r->answer, path, 0) : 0, far = grantd_now(op) + LIFE_MAX;
    const char *text = path && !n ? grantd_text(op, r->answer, path) : NULL;

    if (text)
        n = oa_time_iso(text);
    if (n > 100000000000)
        n /= 1000;
    return n <= 0 ? 0 : n > far ? far : n;
}

static int64_t fallback(grantd_op *op, const struct reader *r, const char *member)
{
    int64_t n = oa_num(op, grantd_strf(op, "%s.%s", r->prefix, member), 0);

    return n < 0 ? GRANTD_NEVER : n > LIFE_MAX ? LIFE_MAX : n;
}

static void read_clocks(grantd_op *op, const struct reader *r, struct oa_tokens *t)
{
    const char *path = locate(op, r, "refresh_expires_in", "refresh_token_expires_in");

    t->expires_in = life_at(op, r, locate(op, r, "expires_in", "expires_in"));
    t->expires_at = moment_at(op, r, locate(op, r, "expires_at", NULL));
    if (!oa_knows_end(t))
        t->expires_in = fallback(op, r, "default_ttl_s");
    if (!path && !oa_has(op, grantd_strf(op, "%s.refresh_expires_in", r->prefix)))
        path = under(op, r->root, "refresh_expires_in");
    t->refresh_expires_in = life_at(op, r, path);
    t->refresh_expires_at = moment_at(op, r, locate(op, r, "refresh_expires_at", NULL));
    if (t->refresh && !t->refresh_expires_in && !t->refresh_expires_at)
        t->refresh_expires_in = fallback(op, r, "refresh_ttl_s");
}

int oa_knows_end(const struct oa_tokens *t)
{
    return t->expires_in || t->expires_at;
}

/* ---- scopes, token type
 * ------------------------------------------------------------------------------------- */
static const char *read_scope(grantd_op *op, const struct reader *r)
{
    const char *path = locate(op, r, "scope", "scope"), *words = "", *text;

    if (!path)
        return NULL;
    if (grantd_type(op, r->answer, path) != GRANTD_IS_LIST) {
        text = grantd_text(op, r->answer, path);
        return text ? oa_words(op, text, NULL,
                               oa_text(op, grantd_strf(op, "%s.scope_split", r->prefix), " ,"), " ")
                    : NULL;
    }
    for (int64_t i = 0; i < grantd_len(op, r->answer, path); i++) {
        text = grantd_text(op, r->answer, grantd_strf(op, "%s.%lld", path, (long long)i));
        if (text)
            words = oa_words(op, words, text, " ", " ");
    }
    return words;
}

static int is_bearer(const char *type)
{
    static const char want[] = "bearer";
    size_t i = 0;

    while (want[i] && (type[i] | 0x20) == want[i])
        i++;
    return !want[i] && !type[i];
}

static int type_fits(grantd_op *op, const struct reader *r)
{
    const char *dflt = strcmp(oa_text(op, "kind", "oauth2"), "oidc") ? "optional" : "required";
    const char *rule = oa_text(op, grantd_strf(op, "%s.token_type", r->prefix), dflt);
    const char *type = text_at(op, r, "token_type_path", "token_type");

    if (!strcmp(rule, "any"))
        return 1;
    return type ? is_bearer(type) : !strcmp(rule, "optional");
}

/* ---- tokens
 * --------------------------------------------------------------------------------------------------- */
static void read_all(grantd_op *op, struct reader *r, struct oa_tokens *t)
{
    t->refresh = text_at(op, r, "refresh_token", "refresh_token");
    t->id_token = text_at(op, r, "id_token", "id_token");
    t->scope = read_scope(op, r);
    t->account = value_at(op, r, "account_id");
    t->account_name = value_at(op, r, "account_name");
    read_clocks(op, r, t);
}

int oa_read_tokens(grantd_op *op, const grantd_doc *answer, const char *prefix, struct oa_tokens *ret)
{
    const char *roots = grantd_strf(op, "%s.root", prefix);
    struct reader r = { .answer = answer, .prefix = prefix, .root = oa_nth(op, roots, 0) };
    struct oa_tokens t = { 0 };

    if (!r.root)
        r.root = "";
    for (int64_t i = 1; r.root && !t.access; i++) {
        t.access = text_at(op, &r, "access_token", "access_token");
        if (!t.access)
            r.root = oa_nth(op, roots, i);
    }
    if (!t.access)
        return 0;
    if (!type_fits(op, &r))
        return -1;
    read_all(op, &r, &t);
    *ret = t;
    return 1;
}

/* ---- success
 * ---------------------------------------------------------------------------------------------------- */
static int flag_holds(grantd_op *op, const grantd_doc *answer)
{
    const char *path = oa_text(op, "response.success.path", NULL);
    const char *value = path ? oa_value(op, answer, path) : NULL;

    return !path || (value && !strcmp(value, oa_text(op, "response.success.equals", "true")));
}

grantd_next *oa_check_answer(grantd_op *op, const grantd_doc *answer, const char *block, const char *base,
                             int at)
{
    const char *list = oa_path2(op, block, base, "ok_status");
    int status = grantd_status(op, answer);
    int ok = oa_has(op, list) ? oa_listed_num(op, list, status) : status == 200 || status == 201;

    return ok && flag_holds(op, answer) ? NULL : oa_fail(op, answer, at);
}

int oa_save_answer(grantd_op *op, const grantd_doc *answer, const char *map)
{
    const grantd_doc *d = oa(op)->d;
    const char *path;
    int all = 1;

    for (int64_t i = 0; (path = grantd_key(op, d, map, i)); i++) {
        const char *name = grantd_text(op, d, oa_member(op, map, path));
        const char *value = oa_value(op, answer, path);

        if (name && value)
            all &= oa_save_value(op, name, value);
    }
    return all;
}
