/* call.c - requests to the Pinterest API, lists with all their pages, and what a refusal means. */
#include "pinterest.h"

#define PAGES_MAX 40

int pin_id(const char *s)
{
    size_t n = s ? strspn(s, "0123456789") : 0;

    return n > 0 && n <= 20 && !s[n];
}

int pin_listed(const char *list, const char *word)
{
    size_t n = word ? strlen(word) : 0;

    for (const char *at = list && n ? strstr(list, word) : NULL; at; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ',') && (at[n] == ',' || !at[n]))
            return 1;
    return 0;
}

/* ---- lists of ids in one text ---- */

/* The ids of a hint or an answer, joined by commas; NULL: one is no id, or there is none. */
const char *pin_ids(grantd_op *op, const char *text)
{
    const char *list = NULL;
    int n = 0;

    while (text && *(text += strspn(text, ", \r\n\t"))) {
        size_t len = strcspn(text, ", \r\n\t");
        const char *id = grantd_strf(op, "%.*s", (int)len, text);

        if (!pin_id(id) || ++n > PIN_IDS_MAX)
            return NULL;
        list = list ? grantd_strf(op, "%s,%s", list, id) : id;
        text += len;
    }
    return list;
}

/* The i-th id of a list joined by commas; NULL past the end. */
const char *pin_nth(grantd_op *op, const char *list, int64_t i)
{
    for (; list && i > 0; i--) {
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return list && *list ? grantd_strf(op, "%.*s", (int)strcspn(list, ","), list) : NULL;
}

int pin_mode(const grantd_op *op)
{
    const char *mode = grantd_arg(op, GRANTD_ARG_MODE);

    if (grantd_equal(mode, GRANTD_MODE_HUB))
        return PIN_AGENCY;
    return grantd_equal(mode, "request") ? PIN_REQUEST : grantd_equal(mode, "token") ? PIN_TOKEN : PIN_SHARE;
}

grantd_next *pin_need_hub(grantd_op *op)
{
    if (!pin_id(grantd_arg(op, GRANTD_ARG_HUB_ID)))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "a hub is needed: its id is the agency's business account, digits only");
    if (!grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the agency has not consented for its business account yet: "
                           "grantctl hub connect");
    return NULL;
}

/* ---- refusals ---- */

/* Spec: {"code","message"} with the status. Codes are few and their texts free: the status decides. */
static const struct {
    int status, fails;
    const char *text;
} classes[] = {
    { 400, GRANTD_E_CONFIG, "Pinterest calls the request invalid" },
    { 401, GRANTD_E_REAUTH, "Pinterest does not accept the token" },
    { 403, GRANTD_E_FORBIDDEN, "the person who consented may not do this" },
    { 404, GRANTD_E_FORBIDDEN, "Pinterest knows no such business, partner or account" },
    { 409, GRANTD_E_TRANSIENT, "somebody else is changing it now" },
    { 429, GRANTD_E_LIMITED, "too many requests" },
};

static void say_when(grantd_op *op, const grantd_doc *a)
{
    const char *after = grantd_header(op, a, "retry-after");
    int64_t s = 0;

    for (; after && *after >= '0' && *after <= '9' && s < 1000000; after++)
        s = s * 10 + (*after - '0');
    grantd_retry_after(op, grantd_now(op) + (s ? s : 60));
}

grantd_next *pin_lied(grantd_op *op, const char *what)
{
    return grantd_fail(op, GRANTD_E_PROTOCOL, "Pinterest's answer is not about what was asked: %s", what);
}

grantd_next *pin_fail(grantd_op *op, const grantd_doc *a)
{
    int status = grantd_status(op, a);
    int64_t code = grantd_num(op, a, "code", -1);

    if (status / 100 == 2)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Pinterest's answer is not as its description says");
    if (status >= 500)
        return grantd_fail(op, GRANTD_E_TRANSIENT, "Pinterest answered HTTP %d", status);
    if (status == 429)
        say_when(op, a);
    if (status == 401 && pin(op)->who == PIN_HUB)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "Pinterest does not accept the agency's own consent (code "
                           "%lld): grantctl hub connect makes it anew",
                           (long long)code);
    if (code == -1 && status == 401)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "HTTP 401, but not in Pinterest's words");
    if (code == -1 && status != 429)
        return grantd_fail_answer(op, a); /* nobody of Pinterest's API wrote this */
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].status == status)
            return grantd_fail(op, classes[i].fails, "HTTP %d, code %lld: %s", status, (long long)code,
                               classes[i].text);
    return grantd_fail(op, GRANTD_E_PROTOCOL, "Pinterest answered HTTP %d, code %lld", status,
                       (long long)code);
}

/* ---- requests ---- */

static const char *token(const grantd_op *op, int who)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN),
               *own = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    return who == PIN_HUB && pin_mode(op) != PIN_AGENCY ? hub : own ? own : who == PIN_HUB ? hub : NULL;
}

grantd_next *pin_send(grantd_op *op, int who, const char *method, const char *path, const char *json,
                      uint32_t flags, grantd_doc_fn *next)
{
    if (!token(op, who))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "there is no access token to ask with");
    pin(op)->who = who;
    return grantd_http(op, next, .url = grantd_strf(op, "%s%s", grantd_option(op, "api_url"), path),
                       .method = method, .bearer = token(op, who), .body = json,
                       .content_type = json ? "application/json" : NULL, .flags = flags);
}

/* ---- lists ---- */

static grantd_doc_fn on_page;

static grantd_next *ask_page(grantd_op *op)
{
    const struct pin *st = pin(op);

    if (!token(op, st->who))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "there is no access token to ask with");
    return grantd_http(op, on_page,
                       .url = grantd_url(op, grantd_strf(op, "%s%s", grantd_option(op, "api_url"), st->path),
                                         "page_size", st->small ? "50" : "250", "bookmark", st->mark),
                       .query = st->query, .bearer = token(op, st->who), .flags = GRANTD_HTTP_REPEATABLE);
}

static grantd_next *on_page(grantd_op *op, const grantd_doc *a)
{
    struct pin *st = pin(op);
    const char *next = grantd_text(op, a, "bookmark");

    if (!grantd_ok(op, a))
        return st->refused ? st->refused(op, a) : pin_fail(op, a);
    if (grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    for (int64_t i = 0; i < grantd_len(op, a, "items") && !st->bad; i++)
        st->row(op, a, grantd_strf(op, "items.%lld", (long long)i));
    if (st->bad)
        return pin_lied(op, st->bad);
    if (!next || !*next)
        return st->then(op);
    if (grantd_equal(next, st->mark) || ++st->pages > PAGES_MAX)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Pinterest's list does not end");
    st->mark = next;
    return ask_page(op);
}

grantd_next *pin_list(grantd_op *op, int who, const char *path, const char *const *pairs,
                      void (*row)(grantd_op *, const grantd_doc *, const char *), grantd_fn *then,
                      grantd_doc_fn *refused)
{
    struct pin *st = pin(op);

    st->who = who;
    st->path = path;
    st->query = pairs;
    st->row = row;
    st->then = then;
    st->refused = refused;
    st->mark = NULL;
    st->pages = 0;
    return ask_page(op);
}

const char *pin_permissions(grantd_op *op, const grantd_doc *a, const char *path)
{
    const char *all = "";

    for (int64_t i = 0; i < grantd_len(op, a, path); i++) {
        const char *one = grantd_text(op, a, grantd_strf(op, "%s.%lld", path, (long long)i));

        if (one && !strpbrk(one, ", "))
            all = grantd_strf(op, "%s%s%s", all, *all ? "," : "", one);
    }
    return all;
}

/* Spec: GetPartnerAssetsResponse. */
static void asset_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct pin *st = pin(op);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.asset_id", at)), *held;

    if (!pin_id(id)) {
        st->bad = "an asset without an id";
        return;
    }
    held = pin_permissions(op, a, grantd_strf(op, "%s.permissions", at));
    st->ids = st->ids ? grantd_strf(op, "%s,%s", st->ids, id) : id;
    st->rights = grantd_strf(op, "%s%s %s ", st->rights ? st->rights : "", id, held);
    if (grantd_equal(id, st->asset))
        st->held = held;
}

const char *pin_seen_with(grantd_op *op, const char *id)
{
    size_t n = strlen(id), len;

    for (const char *at = pin(op)->rights; at && *at; at += len + (at[len] == ' ')) {
        int is = !strncmp(at, id, n) && at[n] == ' ';

        at += strcspn(at, " ") + 1;
        len = strcspn(at, " ");
        if (is && len)
            return grantd_strf(op, "%.*s", (int)len, at);
    }
    return NULL;
}

static const char *const shared_with_us[] = { "partner_type", "EXTERNAL", "asset_type", "AD_ACCOUNT", NULL };

grantd_next *pin_look(grantd_op *op, const char *business, grantd_fn *then, grantd_doc_fn *refused)
{
    pin(op)->held = pin(op)->ids = pin(op)->rights = NULL;
    return pin_list(
        op, PIN_HUB,
        grantd_strf(op, "/businesses/%s/partners/%s/assets", grantd_arg(op, GRANTD_ARG_HUB_ID), business),
        shared_with_us, asset_row, then, refused);
}

/* ---- what was sent ---- */

/* Spec: InviteResponse; user is whom it was sent to. */
static void invite_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct pin *st = pin(op);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", at));
    const char *to = grantd_text(op, a, grantd_strf(op, "%s.user.id", at));

    if (!pin_id(id))
        st->bad = "an invite without an id";
    else if (grantd_equal(to, st->who == PIN_HUB ? st->business : grantd_arg(op, GRANTD_ARG_HUB_ID)))
        st->invite = id;
}

static const char *const open_invites[] = { "is_member", "false",       "invite_status",
                                            "PENDING",   "invite_type", "PARTNER_INVITE",
                                            NULL };
static const char *const open_requests[] = { "is_member", "false",       "invite_status",
                                             "PENDING",   "invite_type", "PARTNER_REQUEST",
                                             NULL };

grantd_next *pin_find_invite(grantd_op *op, const char *kind, const char *business, grantd_fn *then,
                             grantd_doc_fn *refused)
{
    int asked = grantd_equal(kind, PIN_REQUEST_OUT);

    pin(op)->invite = NULL;
    pin(op)->business = business;
    return pin_list(
        op, asked ? PIN_HUB : PIN_CLIENT,
        grantd_strf(op, "/businesses/%s/invites", asked ? grantd_arg(op, GRANTD_ARG_HUB_ID) : business),
        asked ? open_requests : open_invites, invite_row, then, refused);
}
