/* device.c - RFC 8628: the client enters a short code at the provider, grantd looks until it was done. The
 * device code is a secret and is kept sealed; when to look next is kept beside it. */
#include "oauth2.h"

enum { INTERVAL = 5, INTERVAL_MAX = 300, LIFE = 900, LIFE_MAX = 86400 };

static int64_t between(int64_t n, int64_t low, int64_t high)
{
    return n < low ? low : n > high ? high : n;
}

static const char *number(grantd_op *op, int64_t n)
{
    return grantd_strf(op, "%lld", (long long)n);
}

static int64_t kept_number(grantd_op *op, const char *key, int64_t dflt)
{
    const char *text = grantd_kept(op, key);
    int64_t n = 0;

    if (!text)
        return dflt;
    while (*text >= '0' && *text <= '9' && n < INT64_MAX / 100)
        n = n * 10 + (*text++ - '0');
    return n;
}

/* ---- asking
 * ----------------------------------------------------------------------------------------------------- */
static void tell_person(grantd_op *op, const grantd_doc *answer, const char *url, const char *code)
{
    const char *direct = grantd_text(op, answer, "verification_uri_complete");

    grantd_step(op, .title = "Enter this code", .copy = code, .url = url, .qr = direct ? direct : url,
                .text =
                    "Open the page, sign in, enter the code and approve. This page notices when it is done.");
}

static grantd_next *on_device(grantd_op *op, const grantd_doc *answer)
{
    const char *device = grantd_text(op, answer, "device_code"), *code = grantd_text(op, answer, "user_code");
    const char *url = grantd_text(op, answer, "verification_uri");
    int64_t interval, life, now = grantd_now(op);

    if (!url)
        url = grantd_text(op, answer, "verification_url");
    if (grantd_status(op, answer) != 200)
        return oa_fail(op, answer, OA_AT_API);
    if (!device || !*device || !code || !*code || !url)
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the device authorization answer lacks a code or its address");
    interval = between(grantd_num(op, answer, "interval", INTERVAL), 1, INTERVAL_MAX);
    life = between(grantd_num(op, answer, "expires_in", LIFE), 1, LIFE_MAX);
    grantd_keep(op, "device_code", device);
    grantd_keep(op, "device_interval", number(op, interval));
    grantd_keep(op, "device_until", number(op, now + life));
    tell_person(op, answer, url, code);
    return grantd_pending(op, now + interval);
}

grantd_next *oa_device_request(grantd_op *op)
{
    struct oa_call c;
    const char *scope = oa_scope(op);

    oa_call_init(op, &c, "device", NULL);
    c.url = oa_endpoint(op, "authorize.device_url", "device_authorization_endpoint");
    c.method = "POST";
    if (!c.url)
        return oa_no_url(op, "device codes");
    oa_call_auth(op, &c, NULL);
    if (!oa_get(&c.params, oa_text(op, "client.id_param", "client_id")))
        oa_call_add(op, &c, "client_id", grantd_option(op, "client_id"));
    if (*scope)
        oa_call_add(op, &c, "scope", oa_words(op, scope, NULL, " ", oa_text(op, "scope.join", " ")));
    return oa_call_send(op, &c, on_device);
}

/* ---- looking
 * ---------------------------------------------------------------------------------------------------- */
static grantd_next *look_again(grantd_op *op, int64_t interval)
{
    grantd_keep(op, "device_interval", number(op, interval));
    return grantd_pending(op, grantd_now(op) + interval);
}

static grantd_next *on_poll(grantd_op *op, const grantd_doc *answer)
{
    const char *word = oa_error_word(op, answer);
    int64_t interval = between(kept_number(op, "device_interval", INTERVAL), 1, INTERVAL_MAX);

    if (grantd_status(op, answer) / 100 == 4 && word && !strcmp(word, "authorization_pending"))
        return look_again(op, interval);
    if (grantd_status(op, answer) / 100 == 4 && word && !strcmp(word, "slow_down"))
        return look_again(op, between(interval + 5, 1, INTERVAL_MAX));
    return oa_on_token(op, answer);
}

grantd_next *oa_device_poll(grantd_op *op)
{
    struct oa_call c;
    const char *device = grantd_kept(op, "device_code");
    int64_t until = kept_number(op, "device_until", 0);
    grantd_next *bad;

    if (!device)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "no device code is waiting");
    if (until && until <= grantd_now(op))
        return grantd_fail(op, GRANTD_E_DECLINED, "the code ran out before it was entered");
    bad = oa_token_start(op, &c, "token", NULL, "urn:ietf:params:oauth:grant-type:device_code");
    if (bad)
        return bad;
    oa_call_add(op, &c, "device_code", device);
    oa_call_auth(op, &c, NULL);
    if (!oa_get(&c.params, oa_text(op, "client.id_param", "client_id")))
        oa_call_add(op, &c, "client_id", grantd_option(op, "client_id"));
    return oa_call_send(op, &c, on_poll);
}
