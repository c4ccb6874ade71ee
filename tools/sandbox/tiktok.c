/* tiktok.c - the stand-in for TikTok: the gateway of business-api.tiktok.com (paths, tokens, limits,
 * parameters, envelope), which checks in the order of tiktok.md 7.11 "Check order per call". */
#include "tiktok.h"
#include "base/mem.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>

#define HOST "business-api.tiktok.com"

/* ---- answers ---- */

/* {"code","message","request_id","data"}: 1.3 "HTTP status is 200 for almost every application error"; 1.2
 * "Response headers seen: X-TT-LOGID". */
void tiktok_answer(struct sb_req *r, int code, const char *message, json_t *data)
{
    const char *stamp = sb_time(r, sb_now(r), "%Y%m%d%H%M%S");
    char *id = gd_arena_strdup(r->arena, sb_make(r, "request_id", stamp, 20));

    for (char *c = id; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    sb_json(
        r, 200,
        json_pack("{s:i, s:s, s:s, s:o}", "code", code, "message", message, "request_id", id, "data", data));
    sb_answer_header(r, "X-TT-LOGID", "%s", id);
}

void tiktok_ok(struct sb_req *r, json_t *data)
{
    tiktok_answer(r, 0, "OK", data);
}

void tiktok_fail(struct sb_req *r, int code, const char *fmt, ...)
{
    va_list ap;
    char *message;

    va_start(ap, fmt);
    message = gd_arena_vstrf(r->arena, fmt, ap);
    va_end(ap);
    /* 1.3 "on error `data` is `{}`": null is allowed too. */
    tiktok_answer(r, code, message, sb_option_bool(r, "null_data") ? json_null() : json_object());
}

/* 4 "Paging: request page (>=1)"; 6 "page_info may be all zero". */
void tiktok_page(struct sb_req *r, const json_t *args, const char *key, json_t *list, int64_t dflt_size)
{
    int64_t page = gd_json_i64(args, "page", 1), size = gd_json_i64(args, "page_size", dflt_size);
    int64_t total = (int64_t)json_array_size(list), pages = (total + size - 1) / size;
    json_t *out = json_array(), *info;

    for (int64_t i = (page - 1) * size; i < total && i < page * size; i++)
        json_array_append(out, json_array_get(list, (size_t)i));
    if (total == 0 && sb_option_bool(r, "zero_page_info"))
        page = size = 0;
    info = json_pack("{s:I, s:I, s:I, s:I}", "page", (json_int_t)page, "page_size", (json_int_t)size,
                     "total_number", (json_int_t)total, "total_page", (json_int_t)pages);
    json_decref(list);
    tiktok_ok(r, json_pack("{s:o, s:o}", key, out, "page_info", info));
}

/* "ines@x.example" as "i**s@x.example": the samples of 7.2 and 7.5. */
const char *tiktok_masked(struct sb_req *r, const char *email)
{
    char *s = gd_arena_strdup(r->arena, email);
    size_t n = s ? strcspn(s, "@") : 0;

    for (size_t i = 1; i + 1 < n; i++)
        s[i] = '*';
    return s;
}

/* 1.1 "Every Business API path ends in a slash": else 404 with plain text, not JSON; 1.3 "HTTP 4xx = wrong
 * path or method". */
static void missing(struct sb_req *r, bool wrong_method)
{
    if (wrong_method)
        sb_text(r, 405, "text/plain", "405 method not allowed");
    else
        sb_text(r, 404, "text/plain", "404 page not found");
}

/* ---- parameters ---- */

static bool word_in(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = words; n && (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

/* 1.2 "All ids are decimal int64 carried as JSON strings" */
static bool is_id(const json_t *v)
{
    const char *s = json_string_value(v);
    size_t n = s ? strlen(s) : 0;

    return n > 0 && n <= 19 && strspn(s, "0123456789") == n;
}

static bool is_item(const struct tt_param *p, const json_t *v)
{
    if (p->kind == TT_IDS)
        return is_id(v);
    return json_is_string(v) && (p->kind != TT_WORDS || word_in(p->words, json_string_value(v)));
}

static bool is_list(const struct tt_param *p, const json_t *v)
{
    size_t i;
    json_t *one;

    json_array_foreach(v, i, one) if (!is_item(p, one)) return false;
    return json_is_array(v);
}

static bool is_text(const struct tt_param *p, const char *s)
{
    int64_t chars = 0;

    for (const char *c = s; *c; c++)
        chars += ((unsigned char)*c & 0xC0) != 0x80;
    return (*s || !p->must) && (!p->max || chars <= p->max);
}

static bool is_kind(const struct tt_param *p, const json_t *v)
{
    switch (p->kind) {
    case TT_TEXT:
        return json_is_string(v) && is_text(p, json_string_value(v));
    case TT_ID:
        return is_id(v);
    case TT_WORD:
        return json_is_string(v) && word_in(p->words, json_string_value(v));
    case TT_INT:
        return json_is_integer(v) &&
               (!p->max || (json_integer_value(v) >= p->min && json_integer_value(v) <= p->max));
    case TT_BOOL:
        return json_is_boolean(v);
    case TT_IDS:
    case TT_WORDS:
    case TT_TEXTS:
        return is_list(p, v);
    case TT_OBJECT:
        return json_is_object(v);
    }
    return false;
}

/* A value of the query as JSON; new reference, NULL when it is none of its kind. */
static json_t *from_query(struct sb_req *r, const struct tt_param *p, const char *text)
{
    int64_t n;

    switch (p->kind) {
    case TT_TEXT:
    case TT_ID:
    case TT_WORD:
        return json_string(text);
    case TT_INT:
        return gd_parse_i64(text, &n) ? json_integer(n) : NULL;
    case TT_BOOL:
        return strcmp(text, "true") == 0 ? json_true() : strcmp(text, "false") == 0 ? json_false() : NULL;
    default: /* 1.2 "Arrays and objects are JSON text" */
        return json_incref(sb_json_of(r, text));
    }
}

/* New reference, or NULL: absent (*bad stays) or no value of its kind (*bad). */
static json_t *value_of(struct sb_req *r, const struct tt_param *p, const json_t *body, bool *bad)
{
    json_t *v;

    if (body) {
        v = json_incref(json_object_get(body, p->name));
    } else {
        const char *text = sb_query(r, p->name);

        v = text ? from_query(r, p, text) : NULL;
        *bad = sb_param_count(&r->query, p->name) > 1 || (text && !v);
    }
    if (v && json_is_null(v)) {
        json_decref(v);
        v = NULL;
    }
    if (v && !is_kind(p, v))
        *bad = true;
    return v;
}

/* Reads into args; false with the answer given. 1.4 "| 40002 |" (missing field, bad enumeration) and "| 40011
 * |"; the texts are [assumed]. Which parameters there are is cited at the function that takes them. */
static bool read_args(struct sb_req *r, const struct tt_param *params, const json_t *body, json_t *args)
{
    for (const struct tt_param *p = params; p && p->name; p++) {
        bool bad = false;
        json_t *v = value_of(r, p, body, &bad);

        if (v)
            json_object_set_new(args, p->name, v);
        if (bad) {
            tiktok_fail(r, 40002, "%s: not a valid value", p->name);
            return false;
        }
        if (!v && p->must) {
            tiktok_fail(r, 40002, "%s: Missing data for required field", p->name);
            return false;
        }
        if (json_is_array(v) && p->max && json_array_size(v) > (size_t)p->max) {
            tiktok_fail(r, 40011, "%s: more than %d", p->name, (int)p->max);
            return false;
        }
    }
    return true;
}

/* 1.2 "JSON object body": oauth/token also takes a form; the code is [assumed]. */
static bool read_body(struct sb_req *r, const struct tt_call *c, const json_t **ret)
{
    json_t *body = sb_has_type(r, "application/json") ? sb_body_json(r) : NULL;

    if (!body && strcmp(c->path, "/oauth/token/") == 0 &&
        sb_has_type(r, "application/x-www-form-urlencoded")) {
        const struct sb_params *form = sb_form(r);

        body = sb_json_of(r, "{}");
        for (size_t i = 0; i < form->n; i++)
            json_object_set_new(body, form->at[i].name, json_string(form->at[i].value));
    }
    if (json_is_object(body)) {
        *ret = body;
        return true;
    }
    tiktok_fail(r, 40002, "the body must be a JSON object, Content-Type application/json");
    return false;
}

/* ---- tokens and permissions ---- */

/* 1.4 "| 40104 |", "| 40105 |" and "| 40102 |"; with a word before it the token is unknown: 1.2 "yields
 * 40105". */
static json_t *live_token(struct sb_req *r, enum tt_caller caller)
{
    const char *value = sb_header(r, "Access-Token");
    json_t *t = sb_token(r, caller == TT_CREATOR ? "creator" : "advertiser", value);
    enum sb_token_state state = sb_token_state(r, t);

    if (!value || !*value)
        tiktok_fail(r, 40104, "access token is empty; use header Access-Token");
    else if (state == SB_EXPIRED)
        tiktok_fail(r, 40102, "access token is expired");
    else if (state != SB_LIVE)
        tiktok_fail(r, 40105, "access token is incorrect or revoked");
    else
        return t;
    return NULL;
}

static bool holds(const json_t *scopes, int64_t id)
{
    size_t i;
    json_t *one;

    json_array_foreach(scopes, i, one) if (json_integer_value(one) == id) return true;
    return false;
}

/* 2.9 "parent includes children": 1 > 10 > 100, 15 > 150, 2 > 23 > 230, 69 > 690. */
static bool scope_granted(const json_t *token, int64_t id)
{
    const json_t *scopes = json_object_get(token, "scope");
    int64_t parent = id / 10, top = parent == 10 || parent / 10 == 2 ? parent / 10 : parent;

    return holds(scopes, id) || holds(scopes, parent) || holds(scopes, top);
}

bool tiktok_scope_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* 1.4 "| 40130, 40131 |"; 0.4 "40001 also means a missing permission", with this form of text; the other way
 * is 7.11 "permission by scope id (40130 or 40001)". */
static bool permitted(struct sb_req *r, const struct tt_call *c, const json_t *token)
{
    if (c->permission && !tiktok_scope_word(gd_json_text(token, "scope", ""), c->permission)) {
        tiktok_fail(r, 40131, "the creator did not authorise %s", c->permission);
        return false;
    }
    if (!c->scope || scope_granted(token, c->scope))
        return true;
    if (sb_option_i64(r, "scope_error") == 40130)
        tiktok_fail(r, 40130, "scope %lld is not authorised", (long long)c->scope);
    else
        tiktok_fail(r, 40001, "advertiser does not grant you /open_api/v1.3%s:%s permission", c->path,
                    c->method);
    return false;
}

/* ---- limits ---- */

/* 6 "per developer app, all endpoints together" and "only HTTP 200 + 40100"; 7.10 "App reaches the QPS
 * limit". */
static bool within_limit(struct sb_req *r, const char *app)
{
    int64_t limit = sb_option_i64(r, "qps_limit"), second;
    json_t *bucket = json_object_get(sb_table(r, "rate"), app);

    if (!limit)
        return true;
    second = gd_json_i64(bucket, "second", 0);
    if (second != sb_now(r)) {
        bucket = json_pack("{s:I, s:i}", "second", (json_int_t)sb_now(r), "count", 0);
        json_object_set_new(sb_table(r, "rate"), app, bucket);
    }
    json_object_set_new(bucket, "count", json_integer(gd_json_i64(bucket, "count", 0) + 1));
    if (gd_json_i64(bucket, "count", 0) <= limit)
        return true;
    tiktok_fail(r, 40100, "App reaches the QPS limit");
    return false;
}

/* ---- dispatch ---- */

static const struct tt_call *const tables[] = { tiktok_oauth_calls, tiktok_bc_calls, tiktok_share_calls,
                                                tiktok_spark_calls, tiktok_creator_calls };

static const struct tt_call *find_call(struct sb_req *r, const char *path, bool *near)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct tt_call *c = tables[t]; c->path; c++) {
            if (strcmp(c->path, path) != 0)
                continue;
            *near = true;
            if (strcmp(c->method, r->method) == 0)
                return c;
        }
    return NULL;
}

/* A query that is not well encoded: 40002 [assumed]. */
static void run_call(struct sb_req *r, const struct tt_call *c)
{
    json_t *token = NULL, *args = sb_json_of(r, "{}");
    const json_t *body = NULL;

    if (c->caller != TT_NOBODY && !(token = live_token(r, c->caller)))
        return;
    if (token && !within_limit(r, gd_json_text(token, "app", "")))
        return;
    if (r->query.bad) {
        tiktok_fail(r, 40002, "the query is not percent-encoded UTF-8");
        return;
    }
    if (*c->method == 'P' && !read_body(r, c, &body))
        return;
    if (read_args(r, c->params, body, args) && permitted(r, c, token))
        c->run(r, args, token);
}

static void gateway(struct sb_req *r)
{
    const char *version = sb_path_raw(r, "version"), *rest = sb_path_raw(r, "rest");
    const struct tt_call *c;
    bool near = false;

    if (rest[strlen(rest) - 1] != '/') {
        missing(r, false);
        return;
    }
    if (strcmp(version, "v1.2") == 0) { /* 1.1 "v1.2 switched off Aug 2023"; 1.4 "| 40006 / 40051 |" */
        tiktok_fail(r, 40006, "API version v1.2 is no longer supported");
        return;
    }
    c = strcmp(version, "v1.3") == 0 ? find_call(r, sb_strf(r, "/%s", rest), &near) : NULL;
    if (c)
        run_call(r, c);
    else
        missing(r, near);
}

static const struct sb_route routes[] = {
    { "*", HOST, "/open_api/{version}/{rest...}", gateway },
    { 0 },
};

/* ---- faults ---- */

/* Any row of 1.4 "| code | meaning | class |". */
static void fault_code(struct sb_req *r, const json_t *f)
{
    tiktok_fail(r, (int)gd_json_i64(f, "code", 50000), "%s",
                gd_json_text(f, "message", "injected by the sandbox"));
}

static void fault_qps(struct sb_req *r, const json_t *f)
{
    (void)f;
    tiktok_fail(r, 40100, "App reaches the QPS limit"); /* 7.10 "App reaches the QPS limit" */
}

static void fault_restricted(struct sb_req *r, const json_t *f)
{
    (void)f;
    tiktok_fail(r, 40100,
                "Requests made too frequently and temporarily restricted"); /* 1.4 "requests being temporarily
                                                                               restricted" */
}

static void fault_app_limit(struct sb_req *r, const json_t *f)
{
    (void)f;
    tiktok_fail(r, 40016, "the app reaches its limit"); /* 1.4 "| 40016 |" */
}

/* 1.4 "| 40133 |" */
static void fault_advertiser_limit(struct sb_req *r, const json_t *f)
{
    tiktok_fail(r, 40133, "advertiser %s reaches the QPS limit",
                gd_json_text(f, "advertiser_id", "7311000000000000042"));
}

static void fault_frequent(struct sb_req *r, const json_t *f)
{
    (void)f;
    tiktok_fail(r, 40000, "Too many requests, you are too frequent"); /* 1.4 "some texts mention frequency" */
}

static void fault_system(struct sb_req *r, const json_t *f)
{
    (void)f;
    tiktok_fail(r, 50000, "System error"); /* 1.4 "| 50000, 50002 |" */
}

static void fault_maintenance(struct sb_req *r, const json_t *f)
{
    (void)f;
    tiktok_fail(r, 60001, "System maintenance"); /* 1.4 "| 60001 |" */
}

static void fault_no_request_id(struct sb_req *r, const json_t *f)
{
    (void)f;
    sb_json(
        r, 200,
        json_pack("{s:i, s:s}", "code", 51010, "message",
                  "inner timeout")); /* 1.3 "some samples omit request_id" and "accept absent, null or {}" */
}

static const struct sb_fault_kind faults[] = {
    { "code", "answers {\"code\": N, \"message\"} with HTTP 200; for every row of tiktok.md 1.4",
      fault_code },
    { "qps", "40100, App reaches the QPS limit", fault_qps },
    { "restricted", "40100 with the other text", fault_restricted },
    { "app_limit", "40016", fault_app_limit },
    { "advertiser_limit", "40133, the text names \"advertiser_id\"", fault_advertiser_limit },
    { "frequent", "40000 with a text that speaks of frequency", fault_frequent },
    { "system", "50000", fault_system },
    { "maintenance", "60001", fault_maintenance },
    { "bare", "an error without request_id and data", fault_no_request_id },
    { "partial", "bc/partner/add shares the first half and answers 20001", NULL },
    { "role_downgrade", "bc/partner/add shares with ANALYST whatever was asked", NULL },
    { "linked_elsewhere", "bc/partner/add: already linked to another Business Center (40002)", NULL },
    { "not_indexed", "tt_video/info and authorize: the post is not indexed yet (40002)", NULL },
    { 0 },
};

static const struct sb_option options[] = {
    { "auto_consent", "\"\"", "approve or deny: consent pages decide at once" },
    { "auto_who", "\"\"", "who decides then: a person's or creator's id" },
    { "auto_assets", "\"\"", "which ad accounts then, with commas between" },
    { "loopback_redirects", "true",
      "take redirect URIs to this machine without registration (2.1: localhost allowed)" },
    { "callback_names", "\"both\"", "both, auth_code or code: names of the code in the callback (2.2)" },
    { "reconsent", "\"new\"",
      "new: a second consent gives another token; same: the same; replace: the old one dies (open 9)" },
    { "scope_error", "40001", "40001 or 40130 for a missing permission (7.11)" },
    { "null_data", "false", "data is null on an error (1.3)" },
    { "zero_page_info", "false", "page_info of an empty list is all zero (6)" },
    { "qps_limit", "0", "requests a second of one app, of the sandbox's clock; 0: none (6)" },
    { "keyword_matches_ids", "true", "bc/asset/admin/get finds ids by keyword too (open 15)" },
    { "partner_acceptance", "false", "a share counts only after the act accept_partner (4.5, conflict)" },
    { "role_lowering", "\"ignored\"",
      "ignored or refused: bc/partner/add with a lower role than there is (4.5)" },
    { "max_accounts", "3000", "ad accounts that a Business Center may reach (4.6)" },
    { "creator_access_seconds", "86400", "life of a creator's access token (3.1)" },
    { "creator_refresh_seconds", "31536000", "life of a creator's refresh token (3.1)" },
    { "creator_rotates", "false", "a refresh gives another refresh token and the old one dies (3.1)" },
    { "login_kit_2026", "true",
      "Login Kit: 2 hours, 180 days, always rotating; false: 24 hours, 365 days (3.2)" },
    { "bounce_without_code", "false",
      "who agreed before is sent back without a code unless disable_auto_auth=1 (3.1)" },
    { "info_needs_authorize", "false", "tt_video/info works only after authorize (5.2)" },
    { "code_single_advertiser", "false", "a code serves one advertiser only (5.2)" },
    { "unbind_live", "true", "tt_video/unbind works on a live authorisation (5.2)" },
    { "deleted_code_shows", "\"CANCELED\"",
      "ad_auth_status of a code that the creator deleted; \"\": the row is missing (8)" },
    { "rfc3339_times", "false", "tt_video answers times with T and Z (5.3)" },
    { "max_tt_accounts", "800", "TikTok accounts that a Business Center may hold (4.6)" },
    { "empty_bodies", "false", "business/post/authorize* answer {} (5.5)" },
    { 0 },
};

static const char *const origins[] = { "https://" HOST, "https://ads.tiktok.com", "https://www.tiktok.com",
                                       "https://open.tiktokapis.com", NULL };

const struct sb_platform sb_tiktok = {
    .name = "tiktok",
    .origins = origins,
    .routes = { routes, tiktok_page_routes },
    .missing = missing,
    .consent = tiktok_consent,
    .acts = tiktok_acts,
    .faults = faults,
    .options = options,
};
