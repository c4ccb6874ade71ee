/* words.c - ids, tasks and roles. Ids are opaque but of a known form (facts: A1, "IDs"), which is checked
 * before one becomes part of a path. */
#include "meta.h"

static const struct me_kind kinds[] = {
    { "ad_account", "client_ad_accounts", "id,account_id,name,permitted_tasks", "pending_client_ad_accounts",
      "id,ad_account,permitted_tasks", "ad_account", "ad_accounts", "adaccount_id", "me/adaccounts",
      "id,account_id,name,account_status,business{id,name},user_tasks", "ad_accounts", "Ad accounts",
      "ads_" },
    { "page", "client_pages", "id,name,permitted_tasks", "pending_client_pages", "id,page,permitted_tasks",
      "page", "pages", "page_id", "me/accounts", "id,name", "pages", "Pages", "pages_" },
};

const struct grantd_role me_roles[] = {
    { "analyst", "Analyst", "see campaigns, posts and their figures",
      "change or publish anything, or spend money" },
    { "advertiser", "Advertiser", "create and change campaigns, and see their figures",
      "change who has access, who pays, or the settings of the account" },
    { "admin", "Admin", "do everything an advertiser may, and change the settings of the account or Page",
      "own it: it stays in your portfolio, and you can take the access back at any time" },
    { 0 },
};

/* Facts: A3, role mapping; sets are sent whole. The second list of a page is of the other vocabulary. */
static const struct {
    const char *kind, *style, *role, *json, *words;
} sets[] = {
    { "ad_account", "classic", "admin", "[\"MANAGE\",\"ADVERTISE\",\"ANALYZE\"]",
      "MANAGE ADVERTISE ANALYZE" },
    { "ad_account", "classic", "advertiser", "[\"ADVERTISE\",\"ANALYZE\"]", "ADVERTISE ANALYZE" },
    { "ad_account", "classic", "analyst", "[\"ANALYZE\"]", "ANALYZE" },
    { "page", "classic", "admin", "[\"MANAGE\",\"CREATE_CONTENT\",\"MODERATE\",\"ADVERTISE\",\"ANALYZE\"]",
      "MANAGE CREATE_CONTENT MODERATE ADVERTISE ANALYZE" },
    { "page", "classic", "advertiser", "[\"ADVERTISE\",\"ANALYZE\"]", "ADVERTISE ANALYZE" },
    { "page", "classic", "analyst", "[\"ANALYZE\"]", "ANALYZE" },
    { "page", "profile_plus", "admin",
      "[\"PROFILE_PLUS_MANAGE\",\"PROFILE_PLUS_CREATE_CONTENT\",\"PROFILE_PLUS_MODERATE\",\"PROFILE_PLUS_"
      "ADVERTISE\",\"PROFILE_PLUS_ANALYZE\"]",
      "MANAGE CREATE_CONTENT MODERATE ADVERTISE ANALYZE" },
    { "page", "profile_plus", "advertiser", "[\"PROFILE_PLUS_ADVERTISE\",\"PROFILE_PLUS_ANALYZE\"]",
      "ADVERTISE ANALYZE" },
    { "page", "profile_plus", "analyst", "[\"PROFILE_PLUS_ANALYZE\"]", "ANALYZE" },
};
enum { NSETS = sizeof sets / sizeof sets[0] };

/* ---- ids
 * --------------------------------------------------------------------------------------------------- */
int me_digits(const char *s)
{
    size_t n = s ? strspn(s, "0123456789") : 0;

    return n > 0 && n <= 20 && !s[n];
}

const struct me_kind *me_kind_of(const char *id)
{
    return id && !strncmp(id, "act_", 4) ? &kinds[0] : &kinds[1];
}

const struct me_kind *me_item_kind(const grantd_op *op)
{
    const char *kind = grantd_param(op, "kind");

    return kind && !strcmp(kind, kinds[1].name) ? &kinds[1] : &kinds[0];
}

const char *me_id(grantd_op *op, const struct me_kind *k, const char *text, size_t len)
{
    char id[ME_ID_MAX] = { 0 };
    const char *digits = id;

    if (len == 0 || len >= sizeof id)
        return NULL;
    memcpy(id, text, len);
    if (k == &kinds[0] && !strncmp(id, "act_", 4))
        digits = id + 4;
    if (!me_digits(digits))
        return NULL;
    return grantd_strf(op, "%s%s", k == &kinds[0] ? "act_" : "", digits);
}

int me_same_id(const char *a, const char *b)
{
    if (!a || !b)
        return 0;
    a += !strncmp(a, "act_", 4) ? 4 : 0;
    b += !strncmp(b, "act_", 4) ? 4 : 0;
    return *a && !strcmp(a, b);
}

/* ---- tasks
 * ------------------------------------------------------------------------------------------------- */
const char *me_tasks(const grantd_op *op, const struct me_kind *k, const char *role)
{
    const char *style = k == &kinds[0] ? "classic" : grantd_option(op, "page_tasks");

    for (size_t i = 0; i < NSETS; i++)
        if (!strcmp(sets[i].kind, k->name) && !strcmp(sets[i].style, style) &&
            grantd_equal(sets[i].role, role))
            return sets[i].json;
    return "[\"ANALYZE\"]";
}

static int has_task(grantd_op *op, const grantd_doc *a, const char *path, const char *task, size_t len)
{
    static const char plus[] = "PROFILE_PLUS_";
    int64_t n = grantd_len(op, a, path);

    for (int64_t i = 0; i < n; i++) {
        const char *have = grantd_text(op, a, grantd_strf(op, "%s.%lld", path, (long long)i));

        if (have && !strcmp(have, "PROFILE_PLUS_FULL_CONTROL"))
            return 1;
        if (have && !strncmp(have, plus, sizeof plus - 1))
            have += sizeof plus - 1;
        if (have && !strncmp(have, task, len) && !have[len])
            return 1;
    }
    return 0;
}

static int has_all(grantd_op *op, const grantd_doc *a, const char *path, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, " ");

        if (!has_task(op, a, path, words, n))
            return 0;
        words += n + (words[n] == ' ');
    }
    return 1;
}

const char *me_role_at(grantd_op *op, const grantd_doc *a, const char *path)
{
    const struct me_kind *k = me(op)->kind ? me(op)->kind : &kinds[0];

    if (grantd_type(op, a, path) != GRANTD_IS_LIST)
        return NULL;
    for (size_t i = 0; i < NSETS; i++)
        if (!strcmp(sets[i].kind, k->name) && has_all(op, a, path, sets[i].words))
            return sets[i].role;
    return NULL;
}

static int rank(const char *role)
{
    int n = 0;

    for (const struct grantd_role *r = me_roles; role && r->name; r++) {
        n++;
        if (!strcmp(r->name, role))
            return n;
    }
    return 0;
}

int me_role_covers(const char *held, const char *wanted)
{
    return rank(held) >= rank(wanted);
}

const char *me_asked_role(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ROLE);
}

const char *me_mode(grantd_op *op)
{
    const char *mode = grantd_arg(op, GRANTD_ARG_MODE);
    const grantd_doc *d = mode ? NULL : grantd_document(op, GRANTD_DOC_GRANT);

    if (d)
        mode = grantd_text(op, d, "item.mode");
    return mode ? mode : "share";
}
