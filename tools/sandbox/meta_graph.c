/* meta_graph.c - what every call of the Graph API has in common: versions, who calls, fields, pages, errors
 * (meta_google.md A1). */
#include "meta_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A1 "HTTP status to send from the emulator" [assumed]. */
static int status_of(struct sb_req *r, int code)
{
    if (sb_option_bool(r, "http200_errors"))
        return 200;
    if (code == 10 || (code >= 200 && code <= 299))
        return 403;
    return code == 1 || code == 2 ? 500 : 400;
}

void meta_error(struct sb_req *r, int code, int subcode, const char *fmt, ...)
{
    json_t *error;
    char room[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(room, sizeof room, fmt, ap);
    va_end(ap);
    error = json_pack("{s:s,s:s,s:i,s:s}", "message", room, "type",
                      code == 100 && subcode == 33 ? "GraphMethodException" : "OAuthException", "code", code,
                      "fbtrace_id", sb_make(r, "fbtrace_id", "A", 10));
    if (subcode)
        json_object_set_new(error, "error_subcode", json_integer(subcode));
    if (code == 1 || code == 2)
        json_object_set_new(error, "is_transient", json_boolean(code == 2));
    sb_json(r, status_of(r, code), json_pack("{s:o}", "error", error));
}

/* A1 "Writes mostly answer `{": a success that is none says false. */
void meta_success(struct sb_req *r)
{
    sb_json(r, 200, json_pack("{s:b}", "success", !sb_option_bool(r, "success_false")));
}

/* A1 "DELETE carry parameters in the query": or, as the guide does, in the body. */
const char *meta_arg(struct sb_req *r, const char *name)
{
    const char *found = sb_query(r, name);

    return found || !r->body_len ? found : sb_param(sb_form(r), name);
}

int meta_dead_subcode(struct sb_req *r, const json_t *token)
{
    json_int_t horizon = gd_json_i64(token, "data_access", 0);

    switch (sb_token_state(r, token)) {
    case SB_UNKNOWN:
        return 467;
    case SB_EXPIRED:
        return 463; /* A1 "| 190 (463) |" */
    case SB_LIVE:
        /* 0.1 "190/493 (no engagement in 90 days: REAUTH)" */
        return horizon && horizon <= sb_now(r) ? 493 : 0;
    default:
        return (int)gd_json_i64(token, "subcode", 467);
    }
}

/* A1 "| 190 |" and its subcodes. */
void meta_dead_token(struct sb_req *r, const json_t *token)
{
    int subcode = meta_dead_subcode(r, token);

    sb_answer_header(r, "WWW-Authenticate",
                     "OAuth \"Facebook Platform\" \"invalid_token\" \"Error validating access token\"");
    if (!token)
        meta_error(r, 190, 0, "Invalid OAuth access token - Cannot parse access token");
    else
        meta_error(r, 190, subcode, "Error validating access token (%d)", subcode);
}

/* A1 "Token as query/form parameter `access_token`", or in the header. */
static const char *token_of(struct sb_req *r)
{
    const char *header = sb_header(r, "Authorization");

    if (header && strncasecmp(header, "Bearer ", 7) == 0)
        return header + 7;
    return header && strncasecmp(header, "OAuth ", 6) == 0 ? header + 6 : meta_arg(r, "access_token");
}

/* "{app-id}|{app-secret}" */
static json_t *app_of_token(struct sb_req *r, const char *value)
{
    const char *bar = strchr(value, '|');
    json_t *app;

    if (!bar)
        return NULL;
    app = sb_find(sb_list(r, "apps"), "id", sb_strf(r, "%.*s", (int)(bar - value), value));
    return app && sb_same(gd_json_text(app, "secret", NULL), bar + 1) ? app : NULL;
}

/* A1 "`appsecret_proof` = lower-case hex of HMAC-SHA256"; A7 "Reject a wrong appsecret_proof with code 100"
 * [assumed]. */
static bool proof_fits(struct sb_req *r, const struct meta_caller *c)
{
    const char *given = meta_arg(r, "appsecret_proof"), *secret = gd_json_text(c->app, "secret", "");

    if (!given && (!c->token || !sb_option_bool(r, "require_appsecret_proof")))
        return true;
    if (sb_same(given, sb_hmac_hex(r, secret, c->value, strlen(c->value))))
        return true;
    meta_error(r, 100, 0,
               given ? "Invalid appsecret_proof provided in the API argument"
                     : "API calls from the server require an appsecret_proof argument");
    return false;
}

static void fill(struct sb_req *r, struct meta_caller *c)
{
    c->app = sb_find(sb_list(r, "apps"), "id", gd_json_text(c->token, "app", ""));
    c->person = sb_find(sb_list(r, "people"), "id", gd_json_text(c->token, "user", ""));
    c->system_user = sb_find(sb_list(r, "system_users"), "id", gd_json_text(c->token, "system_user", ""));
    c->page = gd_json_text(c->token, "page", NULL);
}

/* A1 "| 190 |"; that a missing token gets it too is [assumed]. */
bool meta_auth(struct sb_req *r, struct meta_caller *c)
{
    *c = (struct meta_caller){ .value = token_of(r) };
    if (!c->value || !*c->value) {
        meta_error(r, 190, 0, "An access token is required to request this resource");
        return false;
    }
    c->app = app_of_token(r, c->value);
    if (!c->app) {
        c->token = sb_token(r, "access", c->value);
        if (meta_dead_subcode(r, c->token)) {
            meta_dead_token(r, c->token);
            return false;
        }
        fill(r, c);
    }
    return proof_fits(r, c);
}

/* A1 "| 10 |" */
bool meta_scope(struct sb_req *r, const struct meta_caller *c, const char *any_of)
{
    const json_t *scopes = json_object_get(c->token, "scopes");
    const char *at = any_of;

    while (*at) {
        size_t n = strcspn(at, " ");

        if (sb_has_text(scopes, sb_strf(r, "%.*s", (int)n, at)))
            return true;
        at += n + (at[n] == ' ');
    }
    meta_error(r, 10, 0, "(#10) This call needs one of these permissions: %s", any_of);
    return false;
}

bool meta_admin(const struct meta_caller *c, const char *business)
{
    const json_t *roles = json_object_get(c->person, "businesses");

    if (!business)
        return false;
    if (c->person)
        return sb_same(gd_json_text(roles, business, NULL), "ADMIN");
    return sb_same(gd_json_text(c->system_user, "business", NULL), business) &&
           sb_same(gd_json_text(c->system_user, "role", NULL), "ADMIN");
}

/* ---- fields=a,b{c,d} ---- */

/* One field at *at, moved behind it; its inner list in *ret_inner (NULL when it has none). */
static char *next_field(struct sb_req *r, const char **at, const char **ret_inner)
{
    size_t n = strcspn(*at, ",{("), depth = 0;
    char *name = sb_strf(r, "%.*s", (int)n, *at);
    const char *start;

    *ret_inner = NULL;
    *at += n;
    if (**at == '(') { /* modifiers such as .limit(5) are taken and left alone */
        *at += strcspn(*at, ")");
        *at += **at == ')';
    }
    if (**at == '{') {
        start = *at + 1;
        for (; **at; (*at)++) {
            depth += **at == '{';
            if (**at == '}' && --depth == 0)
                break;
        }
        *ret_inner = sb_strf(r, "%.*s", (int)(*at - start), start);
        *at += **at == '}';
    }
    *at += **at == ',';
    return name;
}

static json_t *pick(struct sb_req *r, const json_t *whole, const char *fields);

/* A member as it is shown: objects and lists of them by the inner fields, or by their own "__brief". */
static json_t *shown(struct sb_req *r, const json_t *value, const char *inner)
{
    const json_t *one;
    json_t *out;
    size_t i;

    if (json_is_object(value)) {
        inner = inner ? inner : gd_json_text(value, "__brief", NULL);
        return inner ? pick(r, value, inner) : json_deep_copy(value);
    }
    if (!json_is_array(value))
        return json_deep_copy(value);
    out = json_array();
    json_array_foreach(value, i, one)
    {
        json_array_append_new(out, shown(r, one, inner));
    }
    return out;
}

/* NULL when a field is not there: A1 "| 100 |"; a member that is null is there and left out. */
static json_t *pick(struct sb_req *r, const json_t *whole, const char *fields)
{
    json_t *out = json_object(), *value;

    if (json_object_get(whole, "id"))
        json_object_set(out, "id", json_object_get(whole, "id"));
    while (fields && *fields) {
        const char *inner;
        const char *name = next_field(r, &fields, &inner);

        value = json_object_get(whole, name);
        if (!value) {
            meta_error(r, 100, 0, "(#100) Tried accessing nonexisting field (%s)", name);
            json_decref(out);
            return NULL;
        }
        value = json_is_null(value) ? NULL : shown(r, value, inner);
        if (value)
            json_object_set_new(out, name, value);
        else if (sb_answered(r))
            break;
    }
    return out;
}

/* What was asked for, else dflt. */
static const char *fields_of(struct sb_req *r, const char *dflt)
{
    const char *asked = meta_arg(r, "fields");

    return asked && *asked ? asked : dflt;
}

void meta_node(struct sb_req *r, json_t *whole, const char *dflt)
{
    json_t *out = pick(r, whole, fields_of(r, dflt));

    json_decref(whole);
    if (out && !sb_answered(r))
        sb_json(r, 200, out);
    else
        json_decref(out);
}

/* ---- pages ---- */

/* Where the page begins; -1 when the cursor is none of ours. */
static int64_t first_of(struct sb_req *r)
{
    const char *after = meta_arg(r, "after");

    return after ? gd_json_i64(sb_table(r, "cursors"), after, -1) : 0;
}

/* A1 "`next` is a full URL containing the token" */
static json_t *next_url(struct sb_req *r, const char *after)
{
    const char *token = token_of(r), *query = "";

    for (size_t i = 0; i < r->query.n; i++) {
        const struct sb_param *p = &r->query.at[i];

        if (strcmp(p->name, "after") != 0 && strcmp(p->name, "access_token") != 0)
            query = sb_strf(r, "%s&%s=%s", query, p->name, p->raw);
    }
    return json_string(sb_strf(r, "%s%s?access_token=%s%s&after=%s", sb_option_text(r, "next_origin"),
                               r->path, sb_percent(r, token ? token : ""), query, after));
}

static json_t *paging(struct sb_req *r, size_t end, bool more)
{
    const char *before = sb_make(r, "cursor", "QVE", 8), *after = sb_make(r, "cursor", "QVF", 8);
    json_t *out = json_pack("{s:{s:s,s:s}}", "cursors", "before", before, "after", after);

    json_object_set_new(sb_table(r, "cursors"), after, json_integer((json_int_t)end));
    if (more)
        json_object_set_new(out, "next", next_url(r, after));
    return out;
}

/* A1 "a short or empty page does not mean the end": with short_pages the first is empty, the others hold one.
 */
static size_t page_length(struct sb_req *r)
{
    const char *asked = meta_arg(r, "limit");
    int64_t n = 25, most = sb_option_i64(r, "page_size");

    if (sb_option_bool(r, "short_pages"))
        return meta_arg(r, "after") ? 1 : 0;
    if (asked && (!gd_parse_i64(asked, &n) || n < 1))
        n = 25;
    return (size_t)(n < most ? n : most);
}

static json_t *page_of(struct sb_req *r, const json_t *all, size_t first, size_t end, const char *dflt)
{
    json_t *data = json_array();

    for (size_t i = first; i < end && !sb_answered(r); i++)
        json_array_append_new(data, pick(r, json_array_get(all, i), fields_of(r, dflt)));
    return data;
}

/* A1 "Edge reads: `{"; the refusal of a cursor is [assumed]. */
void meta_list(struct sb_req *r, json_t *whole, const char *dflt)
{
    int64_t first = first_of(r);
    size_t total = json_array_size(whole), end = (size_t)first + page_length(r);
    GD_AUTO_JSON all = whole;
    json_t *out;

    if (first < 0) {
        meta_error(r, 100, 0, "(#100) Invalid cursor");
        return;
    }
    end = end > total ? total : end;
    out = json_pack("{s:o}", "data", page_of(r, all, (size_t)first, end, dflt));
    if (total)
        json_object_set_new(out, "paging", paging(r, end, end < total));
    if (meta_arg(r, "summary"))
        json_object_set_new(out, "summary", json_pack("{s:I}", "total_count", (json_int_t)total));
    if (sb_answered(r))
        json_decref(out);
    else
        sb_json(r, 200, out);
}

/* ---- small finders ---- */

json_t *meta_account(struct sb_req *r, const char *act)
{
    return act && strncmp(act, "act_", 4) == 0 ? sb_find(sb_list(r, "ad_accounts"), "id", act + 4) : NULL;
}

json_t *meta_business(struct sb_req *r, const char *id)
{
    return id ? sb_find(sb_list(r, "businesses"), "id", id) : NULL;
}

json_t *meta_time(struct sb_req *r, const json_t *unix_s)
{
    return json_string(sb_time(r, json_integer_value(unix_s), "%Y-%m-%dT%H:%M:%S+0000"));
}

void meta_end_tokens(struct sb_req *r, const char *key, const char *who, const char *app, int subcode)
{
    const char *value;
    json_t *token;

    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, key, NULL), who) ||
            (app && !sb_same(gd_json_text(token, "app", NULL), app)))
            continue;
        sb_token_end(token, SB_REVOKED);
        json_object_set_new(token, "subcode", json_integer(subcode));
    }
}
