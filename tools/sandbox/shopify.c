/* shopify.c - the stand-in for Shopify: shops as hosts, tokens, webhooks; what merchants do outside of the
 * API, faults and options (linkedin_shopify_oauth2.md 2.1, 2.2.8, 2.6, 2.7). */
#include "shopify_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LAST_PERPETUAL 1798761600 /* 2.2.5 "**all public apps by 2027-01-01**" */

json_t *shopify_shop(struct sb_req *r)
{
    return sb_find(sb_list(r, "shops"), "domain", r->host);
}

json_t *shopify_app(struct sb_req *r, const char *id)
{
    return id ? sb_find(sb_list(r, "apps"), "id", id) : NULL;
}

json_t *shopify_install(struct sb_req *r, const char *shop, const char *app)
{
    return sb_find2(sb_list(r, "installs"), "shop", shop, "app", app);
}

/* ---- who calls ---- */

static bool errors(struct sb_req *r, int status, const char *text)
{
    sb_json(r, status, json_pack("{s:s}", "errors", text));
    return false;
}

/* 0.1 "402 has the body"; 2.1 "| 402 | shop frozen" and "| 423 | shop locked". */
static bool open_shop(struct sb_req *r, const json_t *shop)
{
    const char *state = gd_json_text(shop, "state", "open");

    if (strcmp(state, "locked") == 0)
        return errors(r, 423, "Locked");
    if (strcmp(state, "frozen") != 0)
        return true;
    if (!strstr(r->path, "graphql"))
        return errors(r, 402, "Unavailable Shop");
    sb_json(r, 402,
            json_pack("{s:[{s:s,s:{s:s}}]}", "errors", "message", "Unavailable Shop", "extensions", "code",
                      "PAYMENT_REQUIRED"));
    return false;
}

/* 2.2.5 "Custom apps and merchant-created apps are exempt"; 2.1 "| 403 | scope missing". */
static bool perpetual_allowed(struct sb_req *r, const struct shopify_caller *c)
{
    bool late = sb_now(r) >= LAST_PERPETUAL || sb_option_bool(r, "refuse_non_expiring");

    if (!late || !gd_json_bool(c->app, "public", false) ||
        !sb_same(gd_json_text(c->token, "sort", NULL), "perpetual"))
        return true;
    return errors(r, 403, "[API] Non-expiring access tokens are no longer accepted for the Admin API.");
}

/* 2.1 "Auth header on API calls", "| 401 `{", of an unknown shop "| 404, 406, 414, 415 | our URL or headers
 * |" */
bool shopify_auth(struct sb_req *r, struct shopify_caller *c)
{
    const char *value = sb_header(r, "X-Shopify-Access-Token");

    *c = (struct shopify_caller){ .token = sb_token(r, "access", value), .shop = shopify_shop(r) };
    c->app = shopify_app(r, gd_json_text(c->token, "app", NULL));
    c->install = shopify_install(r, r->host, gd_json_text(c->app, "id", ""));
    if (!c->shop)
        return errors(r, 404, "Not Found");
    if (!open_shop(r, c->shop))
        return false;
    if (!c->install || sb_token_state(r, c->token) != SB_LIVE ||
        !sb_same(gd_json_text(c->token, "shop", NULL), r->host))
        return errors(r, 401, "[API] Invalid API key or access token (unrecognized login or wrong password)");
    return perpetual_allowed(r, c);
}

/* 2.2.4 "after expanding `write_x` ⇒ `read_x`" */
bool shopify_has_scope(const struct shopify_caller *c, const char *scope)
{
    const json_t *held = json_object_get(c->token, "scopes");
    char write[100] = "write_";

    if (sb_has_text(held, scope))
        return true;
    if (strncmp(scope, "read_", 5) != 0 || strlen(scope) > 90)
        return false;
    memcpy(write + 6, scope + 5, strlen(scope) - 4);
    return sb_has_text(held, write);
}

/* ---- leaving ---- */

void shopify_end_tokens(struct sb_req *r, const char *shop, const char *app, bool expiring)
{
    const char *value;
    json_t *token;

    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, "shop", NULL), shop) ||
            !sb_same(gd_json_text(token, "app", NULL), app) ||
            (expiring && !sb_same(gd_json_text(token, "sort", NULL), "expiring")) ||
            sb_token_state(r, token) != SB_LIVE)
            continue;
        sb_token_end(token, SB_REVOKED);
    }
}

const char *shopify_shop_body(struct sb_req *r, const char *shop)
{
    const json_t *s = sb_find(sb_list(r, "shops"), "domain", shop);
    json_t *body =
        json_pack("{s:I,s:O,s:s,s:s,s:s}", "id", (json_int_t)strtoll(gd_json_text(s, "id", "0"), NULL, 10),
                  "name", json_object_get(s, "name"), "email", gd_json_text(s, "email", ""), "domain",
                  gd_json_text(s, "primary_domain", shop), "myshopify_domain", shop);
    size_t n = json_dumpb(body, NULL, 0, JSON_COMPACT);
    char *out = gd_arena_alloc(r->arena, n + 1);

    json_dumpb(body, out, n, JSON_COMPACT);
    json_decref(body);
    return out;
}

const char *shopify_webhook(struct sb_req *r, const char *shop, const char *app, const char *topic,
                            const char *url, const char *body)
{
    const char *id = sb_make_uuid(r, "webhook_id"), *secret = gd_json_text(shopify_app(r, app), "secret", "");
    const char *mac = sb_hmac_base64(r, secret, body, strlen(body));
    json_t *headers = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "Content-Type", "application/json", "X-Shopify-Topic", topic,
        "X-Shopify-Shop-Domain", shop, "X-Shopify-API-Version", sb_option_text(r, "newest_version"),
        "X-Shopify-Webhook-Id", id, "X-Shopify-Event-Id", sb_make_uuid(r, "event_id"),
        "X-Shopify-Triggered-At", sb_time(r, sb_now(r), "%Y-%m-%dT%H:%M:%S.000Z"), "X-Shopify-Hmac-SHA256",
        sb_option_bool(r, "bad_webhook_hmac") ? "d3Jvbmc=" : mac);

    json_array_append_new(sb_list(r, "deliveries"),
                          json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:O}", "id", id, "shop", shop, "app", app,
                                    "topic", topic, "url", url, "body", body, "headers", headers));
    sb_send(r, url, headers, body, strlen(body));
    json_decref(headers);
    return id;
}

/* 2.2.8 "tokens are already dead"; 2.3 "both also delete the app's webhook subscriptions". */
void shopify_uninstall(struct sb_req *r, const char *shop, const char *app)
{
    const char *body = shopify_shop_body(r, shop),
               *fixed = gd_json_text(shopify_app(r, app), "webhook_url", NULL);
    json_t *list = sb_list(r, "webhooks");

    shop = sb_strf(r, "%s", shop);
    app = sb_strf(r, "%s", app);
    shopify_end_tokens(r, shop, app, false);
    sb_remove(sb_list(r, "installs"), "shop", shop, "app", app);
    if (fixed && *fixed)
        shopify_webhook(r, shop, app, "app/uninstalled", fixed, body);
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *w = json_array_get(list, i);

        if (!sb_same(gd_json_text(w, "shop", NULL), shop) || !sb_same(gd_json_text(w, "app", NULL), app))
            continue;
        if (sb_same(gd_json_text(w, "topic", NULL), "APP_UNINSTALLED"))
            shopify_webhook(r, shop, app, "app/uninstalled", gd_json_text(w, "uri", ""), body);
        json_array_remove(list, i);
    }
}

/* ---- ID tokens (2.2.7) ---- */

static json_t *part_of(struct sb_req *r, const char *start, size_t n)
{
    char *text = gd_arena_alloc(r->arena, n + 4);
    long got = gd_b64url_decode(text, n + 3, start, n);

    if (got < 0)
        return NULL;
    text[got] = '\0';
    return sb_json_of(r, text);
}

static bool signed_by(struct sb_req *r, const char *secret, const char *token, const char *signature)
{
    unsigned char mac[33] = { 0 };
    char hex[65];

    if (gd_b64url_decode(mac, sizeof mac, signature, strlen(signature)) != 32)
        return false;
    gd_hex(hex, mac, 32);
    return sb_same(hex, sb_hmac_hex(r, secret, token, (size_t)(signature - 1 - token)));
}

/* 2.2.7 "Library leeway 10 s; `aud` must equal client id": the shop is taken from dest. */
json_t *shopify_id_token(struct sb_req *r, const json_t *app, const char *token)
{
    const char *first = token ? strchr(token, '.') : NULL, *second = first ? strchr(first + 1, '.') : NULL;
    json_t *head, *claims;

    if (!second || strchr(second + 1, '.') ||
        !signed_by(r, gd_json_text(app, "secret", ""), token, second + 1))
        return NULL;
    head = part_of(r, token, (size_t)(first - token));
    claims = part_of(r, first + 1, (size_t)(second - first - 1));
    if (!sb_same(gd_json_text(head, "alg", NULL), "HS256") ||
        !sb_same(gd_json_text(claims, "aud", NULL), gd_json_text(app, "id", "")) ||
        !sb_same(gd_json_text(claims, "dest", NULL), sb_strf(r, "https://%s", r->host)) ||
        gd_json_i64(claims, "exp", 0) + 10 < sb_now(r) ||
        gd_json_i64(claims, "nbf", INT64_MAX) - 10 > sb_now(r))
        return NULL;
    return claims;
}

/* ---- what happens outside of the API ---- */

static const char *app_of(const json_t *args)
{
    return gd_json_text(args, "app", "a61950a2cbd5f32876b0b55587ec7a27");
}

static const char *uninstall(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *shop = gd_json_text(args, "shop", ""), *app = app_of(args),
               *url = gd_json_text(args, "url", NULL);

    (void)ret;
    if (!shopify_install(r, shop, app))
        return "the app is not installed in this shop";
    if (url)
        shopify_webhook(r, shop, app, "app/uninstalled", url, shopify_shop_body(r, shop));
    shopify_uninstall(r, shop, app);
    return NULL;
}

/* Any topic: shop/redact (48 h after the uninstall), customers/redact, customers/data_request, ... */
static const char *webhook(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *shop = gd_json_text(args, "shop", ""), *topic = gd_json_text(args, "topic", NULL);
    const char *url =
        gd_json_text(args, "url", gd_json_text(shopify_app(r, app_of(args)), "webhook_url", NULL));
    const char *body = gd_json_text(args, "body", NULL);

    if (!sb_find(sb_list(r, "shops"), "domain", shop) || !topic || !url || !shopify_app(r, app_of(args)))
        return "shop, topic and url are needed";
    *ret = json_pack(
        "{s:s}", "id",
        shopify_webhook(r, shop, app_of(args), topic, url, body ? body : shopify_shop_body(r, shop)));
    return NULL;
}

/* 2.2.8 "8 retries over 4 h", with the same id. */
static const char *redeliver(struct sb_req *r, const json_t *args, json_t **ret)
{
    const json_t *old = sb_find(sb_list(r, "deliveries"), "id", gd_json_text(args, "id", ""));
    const char *body = gd_json_text(old, "body", "");

    (void)ret;
    if (!old)
        return "id names no delivery";
    sb_send(r, gd_json_text(old, "url", ""), json_object_get(old, "headers"), body, strlen(body));
    return NULL;
}

/* 2.2.2 "Merchants may also start at the App URL": the request is signed like the callback. */
static const char *install_link(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *shop = gd_json_text(args, "shop", ""), *url = gd_json_text(args, "url", NULL);
    const char *now = sb_strf(r, "%lld", (long long)sb_now(r)), *message;
    const char *const pairs[] = { "shop", shop, "timestamp", now, NULL };
    const json_t *app = shopify_app(r, app_of(args));

    if (!url || !app || !sb_find(sb_list(r, "shops"), "domain", shop))
        return "shop and url (of the app) are needed";
    message = shopify_message(r, pairs);
    *ret = json_pack("{s:s}", "url",
                     sb_strf(r, "%s%chmac=%s&%s", url, strchr(url, '?') ? '&' : '?',
                             sb_hmac_hex(r, gd_json_text(app, "secret", ""), message, strlen(message)),
                             message));
    return NULL;
}

/* 2.3 "can edit permissions or remove later" */
static const char *collaborator(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *shop = sb_find(sb_list(r, "shops"), "domain", gd_json_text(args, "shop", "")), *staff;
    const char *email = gd_json_text(args, "email", NULL),
               *type = gd_json_text(args, "account_type", "COLLABORATOR");

    (void)ret;
    if (!shop || !email)
        return "shop and email are needed; account_type is REQUESTED, COLLABORATOR, ..., or \"\" to remove";
    staff = json_object_get(shop, "staff");
    if (!staff) {
        staff = json_array();
        json_object_set_new(shop, "staff", staff);
    }
    sb_remove(staff, "email", email, NULL, NULL);
    if (*type)
        json_array_append_new(staff, json_pack("{s:s,s:s,s:b}", "email", email, "account_type", type,
                                               "active", gd_json_bool(args, "active", true)));
    return NULL;
}

static const char *set_shop(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *shop = sb_find(sb_list(r, "shops"), "domain", gd_json_text(args, "shop", ""));

    (void)ret;
    if (!shop)
        return "shop is needed; state is open, frozen or locked; plan is standard, advanced, plus or "
               "enterprise";
    if (gd_json_text(args, "state", NULL))
        json_object_set(shop, "state", json_object_get(args, "state"));
    if (gd_json_text(args, "plan", NULL))
        json_object_set(shop, "plan", json_object_get(args, "plan"));
    return NULL;
}

static const char *set_scopes(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *shop = gd_json_text(args, "shop", ""), *value;
    json_t *found = shopify_install(r, shop, app_of(args)), *scopes = json_object_get(args, "scopes"), *token;

    (void)ret;
    if (!found || !json_is_array(scopes))
        return "shop (with the app installed) and scopes are needed";
    json_object_set_new(found, "scopes", json_deep_copy(scopes));
    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (sb_same(gd_json_text(token, "shop", NULL), shop) &&
            sb_same(gd_json_text(token, "app", NULL), app_of(args)))
            json_object_set_new(token, "scopes", json_deep_copy(scopes));
    }
    return NULL;
}

static const struct sb_act acts[] = {
    { "uninstall", "{shop[, app, url]}: the merchant uninstalls the app; app/uninstalled is sent",
      uninstall },
    { "webhook", "{shop, topic, url[, app, body]}: a webhook of any topic, signed", webhook },
    { "redeliver", "{id}: the same delivery again", redeliver },
    { "install_link", "{shop, url[, app]}: the signed address at which a merchant starts in the admin",
      install_link },
    { "collaborator", "{shop, email, account_type[, active]}: REQUESTED, COLLABORATOR, ...; \"\" removes",
      collaborator },
    { "set_shop", "{shop[, state, plan]}: open, frozen (402), locked (423); the plan", set_shop },
    { "set_scopes", "{shop, scopes[, app]}: what the app holds from now on", set_scopes },
    { 0 },
};

/* ---- faults and options ---- */

/* 2.4 "429 with `Retry-After`"; 2.1 "written with decimals". */
static void rest_throttled(struct sb_req *r, const json_t *f)
{
    sb_answer_header(r, "Retry-After", "%s", gd_json_text(f, "retry_after", "2.0"));
    sb_answer_header(r, "X-Shopify-Shop-Api-Call-Limit", "40/40");
    errors(
        r, 429,
        "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service.");
}

static void graphql_error(struct sb_req *r, const json_t *f)
{
    sb_json(r, 200,
            json_pack("{s:[{s:s,s:{s:s}}]}", "errors", "message",
                      gd_json_text(f, "message", "switched on by hand"), "extensions", "code",
                      gd_json_text(f, "code", "INTERNAL_SERVER_ERROR")));
}

static const struct sb_fault_kind faults[] = {
    { "throttled", "{requested, available}: GraphQL answers THROTTLED with HTTP 200", NULL },
    { "rest_throttled", "{retry_after}: 429", rest_throttled },
    { "graphql_error", "{code, message}: SHOP_INACTIVE, ACCESS_DENIED, INTERNAL_SERVER_ERROR, ...",
      graphql_error },
    { "consumed_520", "a refresh spends its token and answers 520", NULL },
    { "uninstall_error", "{code}: appUninstall ends in a user error", NULL },
    { "role_downgrade", "the merchant allows what reads only, whatever was asked (2.2.4)", NULL },
    { 0 },
};

static const struct sb_option options[] = {
    { "auto_consent", "\"\"", "\"approve\" or \"deny\": pages decide by themselves" },
    { "auto_who", "\"\"", "not used here" },
    { "auto_assets", "\"\"", "not used here" },
    { "code_lives", "600", "seconds that a code lives [assumed]" },
    { "cancel_redirects", "false", "cancelling redirects with error=access_denied, unsigned" },
    { "without_host", "false", "callbacks come without host" },
    { "callback_extra", "\"\"", "value of a parameter \"custom\" that callbacks carry too" },
    { "refresh_days", "90", "days that a refresh token lives" },
    { "old_rules", "false", "replay of refresh tokens as before 2026-08-28: 60 minutes" },
    { "dead_refresh", "\"invalid_request\"", "401 invalid_request, or invalid_grant with 400" },
    { "migration_word", "\"invalid_subject_token\"", "or invalid_request: a failed migration" },
    { "without_expires_in", "false", "expiring answers lack expires_in" },
    { "without_refresh_token", "false", "expiring answers lack the refresh token" },
    { "refuse_non_expiring", "false", "as from 2027-01-01 for public apps" },
    { "throttled_as_429", "false", "THROTTLED comes with HTTP 429 (open question)" },
    { "bad_webhook_hmac", "false", "webhooks are signed wrongly" },
    { "oldest_version", "\"2026-01\"", "older ones, and unknown ones, are served by this one" },
    { "newest_version", "\"2026-10\"", "of the API" },
    { 0 },
};

/* ---- every call ---- */

/* 2.1 "Versions `YYYY-MM` with MM ∈ 01,04,07,10" */
static bool is_version(const char *v)
{
    static const char *const months[] = { "01", "04", "07", "10" };

    if (strspn(v, "0123456789") != 4 || v[4] != '-' || strlen(v) != 7)
        return false;
    for (size_t i = 0; i < 4; i++)
        if (strcmp(v + 5, months[i]) == 0)
            return true;
    return false;
}

/* 2.1 "An unsupported version is not refused": the answer says which one served; what is no version at
 * all: 2.1 "| 404, 406, 414, 415 | our URL or headers |". */
static bool before(struct sb_req *r)
{
    const char *oldest = sb_option_text(r, "oldest_version"), *asked;

    sb_answer_header(r, "X-Request-Id", "%s", sb_make_uuid(r, "request_id"));
    if (strncmp(r->path, "/admin/api/", 11) != 0)
        return true;
    asked = sb_strf(r, "%.*s", (int)strcspn(r->path + 11, "/"), r->path + 11);
    if (!is_version(asked))
        return errors(r, 404, "Not Found");
    if (strcmp(asked, oldest) < 0 || strcmp(asked, sb_option_text(r, "newest_version")) > 0)
        asked = oldest;
    sb_answer_header(r, "X-Shopify-API-Version", "%s", asked);
    return true;
}

/* 2.1 "| 404, 406, 414, 415 | our URL or headers |" */
static void missing(struct sb_req *r, bool wrong_method)
{
    errors(r, wrong_method ? 406 : 404, wrong_method ? "Not Acceptable" : "Not Found");
}

static const char *const origins[] = { "https://*.myshopify.com", NULL };

const struct sb_platform sb_shopify = {
    .name = "shopify",
    .origins = origins,
    .routes = { shopify_oauth_routes, shopify_admin_routes },
    .before = before,
    .missing = missing,
    .consent = shopify_consent,
    .acts = acts,
    .faults = faults,
    .options = options,
};
