/* notice.c - what Meta calls us for (facts: A2, "Webhook topic application"): once the handshake of the
 * set-up, which is answered with its challenge, then that a client has removed the app. Nothing is believed
 * that is not signed, and no challenge is echoed to who does not know the word that the agency typed at Meta.
 */
#include "meta.h"

enum { CHALLENGE_MAX = 200, ENTRIES_MAX = 1000, CHANGES_MAX = 100 };

/* ---- the handshake
 * ------------------------------------------------------------------------------------------ */

/* Meta sends a number; whatever it is, it can be no markup. */
static int is_challenge(const char *s)
{
    size_t n = s ? strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") : 0;

    return n > 0 && n <= CHALLENGE_MAX && !s[n];
}

static grantd_next *handshake(grantd_op *op)
{
    const char *word = grantd_option(op, "webhook_verify_token"),
               *said = grantd_query(op, "hub.verify_token");
    const char *challenge = grantd_query(op, "hub.challenge"), *mode = grantd_query(op, "hub.mode");

    if (!word || !*word)
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "somebody asks for the webhook's handshake, but webhook_verify_token is not set");
    if (!mode || strcmp(mode, "subscribe") != 0 || !is_challenge(challenge))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "this is no handshake of a webhook");
    if (!said || !grantd_same(op, said, word))
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "the handshake's hub.verify_token is not webhook_verify_token");
    grantd_observe(op, "event", "handshake");
    return grantd_done(op, .reply = challenge);
}

/* ---- a notice
 * ----------------------------------------------------------------------------------------------- */
static int genuine(grantd_op *op, const grantd_doc *d)
{
    const char *body = grantd_body(op, d), *signature = grantd_header(op, d, "x-hub-signature-256");

    if (!body || !*body || !signature || strncmp(signature, "sha256=", 7) != 0)
        return 0;
    return grantd_same(op, signature + 7,
                       grantd_digest(op, GRANTD_HMAC_SHA256_HEX, grantd_option(op, "app_secret"), body));
}

/* What a notice says of delegated logins. */
struct said {
    const char *event, *business;
    int others; /* it names further businesses */
};

/* A removed app weighs more than what else stands in the same notice. */
static void hear(struct said *s, const char *event, const char *business)
{
    int ends = !strcmp(event, "uninstall"), ended = s->event && !strcmp(s->event, "uninstall");

    if (s->business && business && strcmp(s->business, business) != 0)
        s->others = 1;
    if (s->event && (ended || !ends))
        return;
    s->event = event;
    s->business = business;
}

static void read_changes(grantd_op *op, const grantd_doc *d, const char *list, struct said *s)
{
    static const char *const events[] = { "uninstall", "install", "update" };
    static const char begins[] = "business_integration_";

    for (int64_t k = 0; k < grantd_len(op, d, list) && k < CHANGES_MAX; k++) {
        const char *at = grantd_strf(op, "%s.%lld", list, (long long)k);
        const char *field = grantd_text(op, d, grantd_strf(op, "%s.field", at));

        if (!field || strncmp(field, begins, sizeof begins - 1) != 0)
            continue;
        for (size_t i = 0; i < sizeof events / sizeof *events; i++)
            if (!strcmp(field + sizeof begins - 1, events[i]))
                hear(s, events[i], grantd_text(op, d, grantd_strf(op, "%s.value.business_manager_id", at)));
    }
}

/* One account can be named to the host: the others are seen by the daily look. */
grantd_next *me_notice(grantd_op *op)
{
    const grantd_doc *d = grantd_document(op, GRANTD_DOC_NOTICE);
    struct said s = { 0 };

    if (grantd_query(op, "hub.mode"))
        return handshake(op);
    if (!d || !genuine(op, d))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "the signature of the notice is not the app's");
    if (grantd_type(op, d, "entry") != GRANTD_IS_LIST)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the notice holds no list of entries");
    for (int64_t i = 0; i < grantd_len(op, d, "entry") && i < ENTRIES_MAX; i++)
        read_changes(op, d, grantd_strf(op, "entry.%lld.changes", (long long)i), &s);
    grantd_observe(op, "event", s.event ? s.event : "other");
    if (!s.event) /* of a field that is none of ours: taken, else Meta would send it again and again */
        return grantd_finish(op);
    if (!me_digits(s.business))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the notice names no business");
    if (s.others)
        grantd_log(op, GRANTD_WARN, "a notice names several businesses; the others are looked at daily");
    if (!strcmp(s.event, "uninstall"))
        grantd_observe(op, "alive", "no");
    return grantd_done(op, .account_id = s.business);
}
