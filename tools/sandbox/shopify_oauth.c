/* shopify_oauth.c - installing an app, codes and tokens of the stand-in for Shopify
 * (linkedin_shopify_oauth2.md 2.2). */
#include "shopify_int.h"
#include "apps.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define ACCESS_LIVES 3600 /* 2.2.4 "`expires_in` (3600)" */
#define ONLINE_LIVES 86399
#define MONTH        (30 * 86400) /* 2.2.5 "at most 30 days after its own first use" */
#define OLD_REPLAY   3600         /* 2.2.5 "until 2026-08-27" */
#define MIGRATION    (7 * 86400)  /* 2.2.6 "**same pair** for up to 7 days" */

static const char OFFLINE_TYPE[] = "urn:shopify:params:oauth:token-type:offline-access-token";

/* ---- the callback's signature ---- */

/* 2.2.3 "but space as `%20`, not `+`" */
static char *encoded(struct sb_req *r, const char *s)
{
    char *out = gd_arena_alloc(r->arena, 3 * strlen(s) + 1), *to = out;

    for (; *s; s++) {
        unsigned char ch = (unsigned char)*s;

        if (isalnum(ch) || strchr("*-._", ch)) {
            *to++ = *s;
        } else {
            *to++ = '%';
            *to++ = "0123456789ABCDEF"[ch >> 4];
            *to++ = "0123456789ABCDEF"[ch & 15];
        }
    }
    return out;
}

char *shopify_message(struct sb_req *r, const char *const *pairs)
{
    char *out = sb_strf(r, "%s", "");

    for (; *pairs; pairs += 2)
        if (pairs[1])
            out = sb_strf(r, "%s%s%s=%s", out, *out ? "&" : "", encoded(r, pairs[0]), encoded(r, pairs[1]));
    return out;
}

/* base64 of the admin's path, with padding: 2.2.3 "V4 padding trap". */
static const char *host_param(struct sb_req *r, const char *shop)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *path = sb_strf(r, "admin.shopify.com/store/%.*s", (int)strcspn(shop, "."), shop);
    size_t n = strlen(path);
    char *out = gd_arena_alloc(r->arena, 4 * ((n + 2) / 3) + 1), *to = out;

    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(unsigned char)path[i] << 16;

        v |= i + 1 < n ? (unsigned)(unsigned char)path[i + 1] << 8 : 0;
        v |= i + 2 < n ? (unsigned)(unsigned char)path[i + 2] : 0;
        *to++ = digits[v >> 18];
        *to++ = digits[(v >> 12) & 63];
        *to++ = i + 1 < n ? digits[(v >> 6) & 63] : '=';
        *to++ = i + 2 < n ? digits[v & 63] : '=';
    }
    return out;
}

/* ---- authorise ---- */

static bool scope_known(const char *scope)
{
    const char *rest = strncmp(scope, "unauthenticated_", 16) == 0 ? scope + 16 : scope;

    if (strncmp(rest, "read_", 5) != 0 && strncmp(rest, "write_", 6) != 0)
        return false;
    return rest[strspn(rest, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
}

/* 2.2.2 "`redirect_uri` must match a configured URL exactly"; what else is refused on the page is [assumed].
 */
static const char *request_wrong(struct sb_req *r, const json_t *app, const json_t *scopes)
{
    const json_t *one;
    size_t i;

    if (!app)
        return "Oauth error invalid_request: Could not find Shopify API application with this api_key";
    if (!sb_app_redirect(app, sb_query(r, "redirect_uri")))
        return "Oauth error invalid_request: The redirect_uri is not whitelisted";
    json_array_foreach(scopes, i, one)
    {
        if (!scope_known(json_string_value(one)))
            return "Oauth error invalid_scope: The access scope is invalid";
    }
    return json_array_size(scopes) ? NULL : "Oauth error invalid_scope: no scope";
}

static json_t *boxes(const json_t *scopes)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(scopes, i, one)
    {
        json_array_append_new(out, json_pack("{s:O,s:O}", "value", one, "label", one));
    }
    return out;
}

static void authorize(struct sb_req *r)
{
    json_t *shop = shopify_shop(r), *app = shopify_app(r, sb_query(r, "client_id")), *page;
    json_t *scopes = sb_words(sb_query(r, "scope"), ", "); /* 2.2.2 "Scopes are comma-separated" */
    const char *wrong = request_wrong(r, app, scopes), *per = sb_query(r, "grant_options[]");

    if (!shop || wrong) {
        json_decref(scopes);
        sb_page(r, shop ? 400 : 404, shop ? "Oauth error" : "Sorry, this shop is currently unavailable.",
                wrong ? wrong : "");
        return;
    }
    page = json_pack("{s:s,s:O,s:s,s:[{s:s,s:O}],s:o,s:O,s:s,s:O,s:b}", "title", "Install app", "app",
                     json_object_get(app, "name"), "text", "wants to be installed in this store.", "who",
                     "value", "owner", "label", json_object_get(shop, "name"), "scopes", boxes(scopes),
                     "client", json_object_get(app, "id"), "redirect_uri", sb_query(r, "redirect_uri"),
                     "shop", json_object_get(shop, "domain"), "online", sb_same(per, "per-user"));
    if (sb_query(r, "state"))
        json_object_set_new(page, "state", json_string(sb_query(r, "state")));
    json_decref(scopes);
    sb_consent(r, page);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In order, and without the read_x that comes along: 2.2.4 "after expanding `write_x` ⇒ `read_x`". */
static json_t *sorted(struct sb_req *r, const json_t *scopes)
{
    size_t n = json_array_size(scopes);
    const char **names = gd_arena_alloc(r->arena, (n + 1) * sizeof *names);
    json_t *out = json_array();

    for (size_t i = 0; i < n; i++)
        names[i] = json_string_value(json_array_get(scopes, i));
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i], "read_", 5) != 0 || !sb_has_text(scopes, sb_strf(r, "write_%s", names[i] + 5)))
            json_array_append_new(out, json_string(names[i]));
    return out;
}

static void install(struct sb_req *r, const char *shop, const char *app, const json_t *scopes)
{
    json_t *found = shopify_install(r, shop, app);

    if (!found) {
        found = json_pack("{s:s,s:s,s:s,s:[]}", "shop", shop, "app", app, "id",
                          sb_make_digits(r, "install", "7", 6), "optional");
        json_array_append_new(sb_list(r, "installs"), found);
    }
    json_object_set_new(found, "scopes", json_deep_copy(scopes));
}

/* 2.2.2 "Cancel: no error redirect is documented": the option makes the observed one. */
static void cancelled(struct sb_req *r, const char *back, const char *shop)
{
    if (sb_option_bool(r, "cancel_redirects"))
        sb_redirect(r, back, "error", "access_denied", "shop", shop, NULL);
    else
        sb_page(r, 200, "Installation cancelled", "The app was not installed.");
}

/* 2.2.3 "more may be added, so never hard-code the set" */
static void call_back(struct sb_req *r, const json_t *page, const char *code)
{
    const char *back = gd_json_text(page, "redirect_uri", ""), *shop = gd_json_text(page, "shop", "");
    const char *state = gd_json_text(page, "state", NULL), *now = sb_strf(r, "%lld", (long long)sb_now(r));
    const char *host = sb_option_bool(r, "without_host") ? NULL : host_param(r, shop);
    const char *extra = *sb_option_text(r, "callback_extra") ? sb_option_text(r, "callback_extra") : NULL;
    /* sorted by name; NULL values fall out */
    const char *const pairs[] = { "code", code,    "custom", extra,       "host", host, "shop",
                                  shop,   "state", state,    "timestamp", now,    NULL };
    const json_t *app = shopify_app(r, gd_json_text(page, "client", ""));
    const char *message = shopify_message(r, pairs);
    const char *hmac = sb_hmac_hex(r, gd_json_text(app, "secret", ""), message, strlen(message));

    sb_redirect(r, back, "code", code, "custom", extra, "hmac", hmac, "host", host, "shop", shop, "state",
                state, "timestamp", now, NULL);
}

void shopify_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *shop = gd_json_text(c->page, "shop", ""), *app = gd_json_text(c->page, "client", ""), *code;
    json_t *scopes;

    if (!c->approved) {
        cancelled(r, gd_json_text(c->page, "redirect_uri", ""), shop);
        return;
    }
    scopes = sorted(r, c->scopes);
    install(r, shop, app, scopes);
    code = sb_make(r, "code", "", 32);
    sb_token_add(r, "code", code, sb_option_i64(r, "code_lives"),
                 json_pack("{s:s,s:s,s:o,s:b}", "app", app, "shop", shop, "scopes", scopes, "online",
                           gd_json_bool(c->page, "online", false)));
    call_back(r, c->page, code);
}

/* ---- the token endpoint ---- */

/* A member of the JSON body, or of the form: 2.1 "Token endpoint accepts `application/json`". Numbers count
 * as their text. */
static const char *field(struct sb_req *r, const char *name)
{
    const json_t *value;

    if (!sb_has_type(r, "application/json"))
        return sb_param(sb_form(r), name);
    value = json_object_get(sb_body_json(r), name);
    if (json_is_integer(value))
        return sb_strf(r, "%lld", (long long)json_integer_value(value));
    return json_string_value(value);
}

/* 2.1 "that Accept header errors come back as an HTML page" */
static void refuse(struct sb_req *r, int status, const char *error, const char *description)
{
    const char *accept = sb_header(r, "Accept");

    if (accept && strstr(accept, "application/json"))
        sb_oauth_error(r, status, error, description);
    else
        sb_text(r, status, "text/html; charset=utf-8",
                sb_strf(r,
                        "<html><head><title>%s - Oauth error %s</title></head><body><p>Oauth error %s: "
                        "%s</p></body></html>",
                        status == 401 ? "unauthorized" : "Bad Request", error, error, description));
}

static json_t *token_fields(const json_t *from, const char *kind_of)
{
    return json_pack("{s:O,s:O,s:O,s:s}", "app", json_object_get(from, "app"), "shop",
                     json_object_get(from, "shop"), "scopes", json_object_get(from, "scopes"), "sort",
                     kind_of);
}

static json_t *answer_of(struct sb_req *r, const char *access, const json_t *from)
{
    return json_pack("{s:s,s:s}", "access_token", access, "scope",
                     sb_join(r, json_object_get(from, "scopes"), ","));
}

/* A fresh expiring pair for the app and shop of from; the refresh token of it in *ret_refresh. */
static json_t *new_pair(struct sb_req *r, const json_t *from, const char **ret_refresh)
{
    const char *access = sb_make(r, "token", "shpat_", 32), *refresh = sb_make(r, "refresh", "shprt_", 32);
    int64_t lives = sb_option_i64(r, "refresh_days") * 86400;
    json_t *answer = answer_of(r, access, from), *record;

    sb_token_add(r, "access", access, ACCESS_LIVES, token_fields(from, "expiring"));
    record = sb_token_add(r, "refresh", refresh, lives, token_fields(from, "expiring"));
    json_object_set_new(record, "access", json_string(access));
    if (!sb_option_bool(
            r, "without_expires_in")) /* 2.2.5 "A refresh answer without `expires_in` has been seen" */
        json_object_set_new(answer, "expires_in", json_integer(ACCESS_LIVES));
    if (!sb_option_bool(r, "without_refresh_token")) { /* 0.1 "`expiring` answers without a refresh token" */
        json_object_set_new(answer, "refresh_token", json_string(refresh));
        json_object_set_new(answer, "refresh_token_expires_in", json_integer(lives));
    }
    *ret_refresh = refresh;
    return answer;
}

/* 0.1 "Re-authorising a non-expiring install returns the same perpetual token" */
static json_t *perpetual(struct sb_req *r, const json_t *from)
{
    const char *value;
    json_t *token;

    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, "sort", NULL), "perpetual") || sb_token_state(r, token) != SB_LIVE ||
            !sb_same(gd_json_text(token, "shop", NULL), gd_json_text(from, "shop", "")) ||
            !sb_same(gd_json_text(token, "app", NULL), gd_json_text(from, "app", "")))
            continue;
        json_object_set(token, "scopes", json_object_get(from, "scopes"));
        return answer_of(r, value, from);
    }
    value = sb_make(r, "token", "shpat_", 32);
    sb_token_add(r, "access", value, 0, token_fields(from, "perpetual"));
    return answer_of(r, value, from);
}

/* 2.2.4 "Online tokens instead carry" */
static json_t *online(struct sb_req *r, const json_t *from)
{
    const char *value = sb_make(r, "token", "shpat_", 32);
    json_t *answer = answer_of(r, value, from);

    sb_token_add(r, "access", value, ONLINE_LIVES, token_fields(from, "online"));
    json_object_set_new(answer, "expires_in", json_integer(ONLINE_LIVES));
    json_object_set(answer, "associated_user_scope", json_object_get(answer, "scope"));
    json_object_set_new(answer, "associated_user",
                        json_pack("{s:i,s:s,s:s,s:b}", "id", 42, "first_name", "Shop", "last_name", "Owner",
                                  "account_owner", 1));
    return answer;
}

/* What a code or an ID token is traded for: 2.2.5 "revokes all earlier expiring tokens"; 2.2.4 "(string or
 * number 1; 0 or absent = non-expiring)". */
static void acquire(struct sb_req *r, const json_t *from, bool is_online)
{
    const char *expiring = field(r, "expiring"), *refresh;

    if (expiring && strcmp(expiring, "1") != 0 && strcmp(expiring, "0") != 0) {
        refuse(r, 400, "invalid_request", "The parameter expiring is 0 or 1");
        return;
    }
    if (is_online)
        sb_json(r, 200, online(r, from));
    else if (expiring && *expiring == '1') {
        shopify_end_tokens(r, gd_json_text(from, "shop", ""), gd_json_text(from, "app", ""), true);
        sb_json(r, 200, new_pair(r, from, &refresh));
    } else
        sb_json(r, 200, perpetual(r, from));
}

/* Fault role_downgrade: 2.2.4 "a merchant-side reduction means"; of write_x the read_x is left. */
static void reduce(struct sb_req *r, json_t *code)
{
    GD_AUTO_JSON scopes = json_array();
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(code, "scopes"), i, one)
    {
        const char *name = json_string_value(one);
        const char *reads = strncmp(name, "write_", 6) == 0 ? sb_strf(r, "read_%s", name + 6) : name;

        if (!sb_has_text(scopes, reads))
            json_array_append_new(scopes, json_string(reads));
    }
    json_object_set_new(code, "scopes", sorted(r, scopes));
    install(r, gd_json_text(code, "shop", ""), gd_json_text(code, "app", ""), scopes);
}

/* 2.1 "authorization code was not found or was already used" */
static void exchange_code(struct sb_req *r, const json_t *app, const char *shop)
{
    json_t *code = sb_token(r, "code", field(r, "code"));

    if (sb_token_state(r, code) != SB_LIVE || !sb_same(gd_json_text(code, "shop", NULL), shop) ||
        !sb_same(gd_json_text(code, "app", NULL), gd_json_text(app, "id", NULL))) {
        refuse(r, 400, "invalid_request", "The authorization code was not found or was already used");
        return;
    }
    sb_token_end(code, SB_USED);
    if (sb_fault(r, "role_downgrade"))
        reduce(r, code);
    acquire(r, code, gd_json_bool(code, "online", false));
}

/* ---- rotation ---- */

/* May this refresh token be spent now, for the first time or again? 2.2.5 "until 2026-08-27" and "since
 * 2026-08-28". */
static bool may_refresh(struct sb_req *r, const json_t *token)
{
    int64_t used = gd_json_i64(token, "used", 0), age = sb_now(r) - used;

    if (sb_token_state(r, token) != SB_LIVE)
        return false;
    return !used || age < (sb_option_bool(r, "old_rules") ? OLD_REPLAY : MONTH);
}

/* Ends a refresh token, and with it the access token of its pair when access is set. */
static void retire(struct sb_req *r, const char *refresh, bool access)
{
    json_t *token = sb_token(r, "refresh", refresh),
           *pair = sb_token(r, "access", gd_json_text(token, "access", ""));

    if (token)
        sb_token_end(token, SB_REVOKED);
    if (pair && access)
        sb_token_end(pair, SB_REVOKED);
}

/* 2.2.5 "After a refresh the *previous access token* stays valid" and "Using the replacement retires the
 * predecessor"; a replay makes the last returned pair the only successor [assumed]. */
static void rotate(struct sb_req *r, json_t *token, const char *value)
{
    const char *successor = gd_json_text(token, "successor", NULL),
               *before = gd_json_text(token, "predecessor", NULL);
    const char *refresh;
    json_t *answer;

    if (successor)
        retire(r, successor, true);
    if (before && !sb_option_bool(r, "old_rules"))
        retire(r, before, false);
    if (!gd_json_i64(token, "used", 0))
        json_object_set_new(token, "used", json_integer(sb_now(r)));
    answer = new_pair(r, token, &refresh);
    token = sb_token(r, "refresh", value);
    json_object_set_new(token, "successor", json_string(refresh));
    json_object_set_new(sb_token(r, "refresh", refresh), "predecessor", json_string(value));
    sb_json(r, 200, answer);
    if (sb_fault(r, "consumed_520")) /* 2.2.5 "Incident on record" */
        sb_text(r, 520, "text/html",
                "<html><head><title>520: Web server is returning an unknown error</title></head></html>");
}

/* 2.1 "| 401 `invalid_request`"; 0.1 "A dead refresh token is 400 `invalid_grant`". */
static void refresh_grant(struct sb_req *r, const json_t *app, const char *shop)
{
    const char *value = field(r, "refresh_token"), *how = sb_option_text(r, "dead_refresh");
    json_t *token = sb_token(r, "refresh", value);

    if (may_refresh(r, token) && sb_same(gd_json_text(token, "shop", NULL), shop) &&
        sb_same(gd_json_text(token, "app", NULL), gd_json_text(app, "id", NULL)))
        rotate(r, token, value);
    else if (strcmp(how, "invalid_grant") == 0)
        refuse(r, 400, "invalid_grant", "This request requires an active refresh_token");
    else
        refuse(r, 401, "invalid_request", "This request requires an active refresh_token");
}

/* ---- token exchange ---- */

/* 2.2.6 "until the pair is refreshed or replaced by another acquisition". NULL: no longer. */
static json_t *same_pair(struct sb_req *r, const json_t *old)
{
    json_t *refresh = sb_token(r, "refresh", gd_json_text(old, "pair", ""));
    const char *access = gd_json_text(refresh, "access", "");
    json_t *record = sb_token(r, "access", access), *answer;

    if (sb_token_state(r, refresh) != SB_LIVE || gd_json_i64(refresh, "used", 0) ||
        sb_now(r) - gd_json_i64(old, "migrated", 0) >= MIGRATION)
        return NULL;
    if (sb_token_state(r, record) ==
        SB_EXPIRED) /* access expiry is extended if needed, refresh expiry is not */
        json_object_set_new(record, "expires", json_integer(sb_now(r) + ACCESS_LIVES));
    answer = answer_of(r, access, old);
    json_object_set_new(answer, "expires_in", json_integer(gd_json_i64(record, "expires", 0) - sb_now(r)));
    json_object_set_new(answer, "refresh_token", json_string(gd_json_text(old, "pair", "")));
    json_object_set_new(answer, "refresh_token_expires_in",
                        json_integer(gd_json_i64(refresh, "expires", 0) - sb_now(r)));
    return answer;
}

/* 2.2.6 "Irreversible per shop; the old token stops working for the API at once"; 2.1 "| 400
 * `invalid_subject_token` |". */
static void migrate(struct sb_req *r, const json_t *app, const char *shop)
{
    const char *subject = field(r, "subject_token"), *refresh;
    json_t *old = sb_token(r, "access", subject), *answer = NULL;
    bool mine = sb_same(gd_json_text(old, "sort", NULL), "perpetual") &&
                sb_same(gd_json_text(old, "shop", NULL), shop) &&
                sb_same(gd_json_text(old, "app", NULL), gd_json_text(app, "id", NULL));

    if (mine && gd_json_text(old, "pair", NULL)) {
        answer = same_pair(r, old);
    } else if (mine && sb_token_state(r, old) == SB_LIVE && sb_same(field(r, "expiring"), "1")) {
        shopify_end_tokens(r, shop, gd_json_text(app, "id", ""), true);
        answer = new_pair(r, old, &refresh);
        old = sb_token(r, "access", subject);
        sb_token_end(old, SB_REVOKED);
        json_object_set_new(old, "pair", json_string(refresh));
        json_object_set_new(old, "migrated", json_integer(sb_now(r)));
    }
    if (answer)
        sb_json(r, 200, answer);
    else
        refuse(r, 400, sb_option_text(r, "migration_word"), "The subject token cannot be exchanged");
}

/* 2.2.7 "Bad token → 400 `invalid_subject_token`" */
static void id_token_grant(struct sb_req *r, const json_t *app, const char *shop)
{
    const json_t *claims = shopify_id_token(r, app, field(r, "subject_token"));
    const json_t *found = shopify_install(r, shop, gd_json_text(app, "id", ""));
    json_t *from;

    if (!claims || !found) {
        refuse(r, 400, "invalid_subject_token", "The subject token is not valid");
        return;
    }
    from = json_pack("{s:O,s:s,s:O}", "app", json_object_get(app, "id"), "shop", shop, "scopes",
                     json_object_get(found, "scopes"));
    acquire(
        r, from,
        sb_same(field(r, "requested_token_type"), "urn:shopify:params:oauth:token-type:online-access-token"));
    json_decref(from);
}

/* 2.2.6 "`subject_token_type=urn:shopify:params:oauth:token-type:offline-access-token`" and 2.2.7
 * "`subject_token_type=urn:ietf:params:oauth:token-type:id_token`"; the refusal of other types is [assumed].
 */
static void token_exchange(struct sb_req *r, const json_t *app, const char *shop)
{
    const char *type = field(r, "subject_token_type"), *wanted = field(r, "requested_token_type");

    if (sb_same(type, OFFLINE_TYPE) && sb_same(wanted, OFFLINE_TYPE))
        migrate(r, app, shop);
    else if (sb_same(type, "urn:ietf:params:oauth:token-type:id_token"))
        id_token_grant(r, app, shop);
    else
        refuse(r, 400, "invalid_request", "The token types are not supported");
}

/* 2.1 "Token endpoint accepts `application/json`" and "| 404, 406, 414, 415 | our URL or headers |"; the
 * other refusals are [assumed]. */
static void access_token(struct sb_req *r)
{
    const json_t *shop = shopify_shop(r), *app = shopify_app(r, field(r, "client_id"));
    const char *grant = field(r, "grant_type"), *domain = gd_json_text(shop, "domain", "");

    if (!shop)
        sb_page(r, 404, "Not Found", "No such shop.");
    else if (!sb_has_type(r, "application/json") && !sb_has_type(r, "application/x-www-form-urlencoded"))
        refuse(r, 415, "invalid_request", "The type of the body is not supported");
    else if (!app || !sb_same(gd_json_text(app, "secret", NULL), field(r, "client_secret")))
        refuse(r, 401, "invalid_client", "The client could not be authenticated"); /* assumed */
    else if (sb_same(grant, "refresh_token"))
        refresh_grant(r, app, domain);
    else if (sb_same(grant, "urn:ietf:params:oauth:grant-type:token-exchange"))
        token_exchange(r, app, domain);
    else if (grant)
        refuse(r, 400, "unsupported_grant_type", "The grant type is not supported");
    else
        exchange_code(r, app, domain);
}

#define SHOP "*.myshopify.com"
const struct sb_route shopify_oauth_routes[] = {
    { "GET", SHOP, "/admin/oauth/authorize", authorize },
    { "POST", SHOP, "/admin/oauth/access_token", access_token },
    { NULL, NULL, NULL, NULL },
};
