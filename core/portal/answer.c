/* portal/answer.c - what every answer carries, errors included: the policy, the other protective fields, one
 * log line with the route's template (never the path: it holds the link's secret). */
#include "portal/portal_int.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <string.h>

/* Chromium holds form-action against every redirect that follows a form's POST, and a platform's login passes
 * through hosts that nobody can list beforehand. So a page whose form leads to a platform allows any https
 * origin (and, when everything is on this machine, any loopback port); the forms' own targets are paths of
 * ours, fixed in the template. */
static const char *form_action(const struct gd_portal *p, bool may_leave)
{
    if (!may_leave)
        return "'self'";
    if (p->secure)
        return "'self' https:";
    return "'self' https: http://127.0.0.1:* http://localhost:*";
}

static void add_fields(const struct gd_portal *p, struct gd_portal_reply *r, bool may_leave)
{
    gd_buf_addf(
        &r->head,
        "Content-Security-Policy: default-src 'none'; style-src %s; form-action %s; frame-ancestors 'none'; "
        "base-uri 'none'\r\n",
        gd_portal_pages_style_hash(p->pages), form_action(p, may_leave));
    gd_buf_adds(&r->head, "X-Frame-Options: DENY\r\n"
                          "X-Content-Type-Options: nosniff\r\n"
                          "Referrer-Policy: no-referrer\r\n"
                          "Cache-Control: no-store\r\n"
                          "X-Robots-Tag: noindex\r\n");
    if (p->secure)
        gd_buf_adds(&r->head, "Strict-Transport-Security: max-age=31536000\r\n");
    if (r->status == 405)
        gd_buf_adds(&r->head, "Allow: GET, HEAD, POST\r\n");
    if (r->body.len)
        gd_buf_addf(&r->head, "Content-Type: %s; charset=utf-8\r\n",
                    r->body.ptr[0] == '<' ? "text/html" : "text/plain");
}

const char *gd_portal_cookie_name(const struct gd_portal *p)
{
    return p->secure ? "__Host-grantd" : "grantd";
}

static void add_cookie(const struct gd_portal_visit *v, struct gd_portal_reply *r)
{
    if (v->new_session)
        gd_buf_addf(&r->head, "Set-Cookie: %s=%s; Path=/; %sHttpOnly; SameSite=Lax\r\n",
                    gd_portal_cookie_name(v->p), v->session, v->p->secure ? "Secure; " : "");
}

void gd_portal_csrf(const struct gd_portal *p, const char *session, const char *page, char *out)
{
    GD_AUTO_FREE char *bound = gd_strf("%s|%s", session, page);
    unsigned char mac[32];

    gd_hmac_sha256(mac, p->cookie_key, sizeof p->cookie_key, bound, strlen(bound));
    gd_b64url(out, mac, sizeof mac);
    gd_wipe(mac, sizeof mac);
}

static void free_visit(struct gd_portal_visit *v)
{
    gd_free(v->link);
    gd_free(v->secret);
    gd_free(v->flow);
    gd_free(v->found_link);
    json_decref(v->form);
    json_decref(v->shown);
    gd_free(v);
}

static const char *method_name(const struct gd_portal_request *q)
{
    return q->method == GD_METHOD_POST ? "POST" : q->method == GD_METHOD_HEAD ? "HEAD" : "GET";
}

static void finish(struct gd_portal_visit *v, struct gd_portal_reply *r, const char *word, int64_t delay_ms)
{
    const struct gd_portal *p = v->p;
    int64_t took = gd_mono(p->clock) - v->x->begun;

    /* A load balancer looks every moment. */
    enum gd_log_level level =
        strcmp(v->route, "/health") == 0 && r->status == 200 ? GD_LOG_DEBUG : GD_LOG_INFO;

    GD_LOG(p->log, level, "portal.request", GD_F_STR("method", method_name(v->x->request)),
           GD_F_STR("route", v->route), GD_F_STR("link", v->link ? v->link : ""),
           GD_F_STR("flow", v->flow ? v->flow : ""), GD_F_INT("status", r->status), GD_F_STR("reason", word),
           GD_F_STR("address", v->address), GD_F_INT("ms", took));
    gd_portal_exchange_answer(v->x, r, delay_ms);
    free_visit(v);
}

/* False when the page cannot be made; the reply then holds one line of text. */
static void render(const struct gd_portal *p, struct gd_portal_reply *r, enum gd_portal_page page,
                   json_t *view)
{
    if (gd_portal_pages_render(p->pages, page, view, &r->body))
        return;
    gd_buf_done(&r->body);
    gd_buf_adds(&r->body, "This page cannot be shown.\n");
    r->status = 500;
}

void gd_portal_visit_page(struct gd_portal_visit *v, enum gd_portal_page page, json_t *view)
{
    struct gd_portal_reply r;

    gd_portal_reply_init(&r, 200);
    render(v->p, &r, page, view);
    json_decref(view);
    add_fields(v->p, &r, v->may_leave);
    add_cookie(v, &r);
    finish(v, &r, "OK", 0);
}

static void fill_error(const struct gd_portal *p, struct gd_portal_reply *r, const char *word,
                       int64_t wait_ms)
{
    GD_AUTO_JSON view = gd_portal_view_error(p->pages, word);

    render(p, r, GD_PAGE_ERROR, view);
    add_fields(p, r, false);
    if (r->status == 429 || r->status == 503)
        gd_buf_addf(&r->head, "Retry-After: %lld\r\n", (long long)(wait_ms + 999) / 1000 + (wait_ms <= 0));
}

void gd_portal_visit_error(struct gd_portal_visit *v, int status, const char *word, int64_t wait_ms,
                           int64_t delay_ms)
{
    struct gd_portal_reply r;

    gd_portal_reply_init(&r, status);
    fill_error(v->p, &r, word, wait_ms);
    finish(v, &r, word, delay_ms);
}

/* Statuses that say more than who has to act. */
static int status_of(const struct gd_err *err)
{
    static const struct {
        const char *word;
        int status;
    } special[] = {
        { "LINK_EXPIRED", 410 },     { "LINK_ENDED", 410 },         { "REQUEST_CANCELLED", 410 },
        { "FLOW_EXPIRED", 410 },     { "STATE_ALREADY_USED", 409 }, { "SESSION_MISSING", 403 },
        { "SESSION_MISMATCH", 403 }, { "CONTEXT_MISMATCH", 403 },   { "CONFLICT", 409 },
        { "CODE_LIMITED", 429 },     { "CODE_LOCKED", 429 },
    };
    const struct gd_reason_info *info = gd_reason_info(err->reason);

    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (strcmp(special[i].word, info->word) == 0)
            return special[i].status;
    switch (info->act) {
    case GD_ACT_USAGE:
        return 400;
    case GD_ACT_NOTFOUND:
        return 404;
    case GD_ACT_DENIED:
        return 403;
    case GD_ACT_PERSON:
        return 409;
    case GD_ACT_LATER:
        return 503;
    case GD_ACT_OK:
    case GD_ACT_DAEMON:
        break;
    }
    return 500;
}

void gd_portal_visit_err(struct gd_portal_visit *v, const struct gd_err *err, int64_t delay_ms)
{
    int64_t wait = err->retry_at ? err->retry_at - gd_now(v->p->clock) : 60000;

    gd_portal_visit_error(v, status_of(err), gd_reason_word(err->reason), wait > 0 ? wait : 0, delay_ms);
}

static bool url_clean(const char *url)
{
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("\"<>\\^`{|}", *p))
            return false;
    return (url[0] == '/' && url[1] != '/') || strncmp(url, "https://", 8) == 0 ||
           strncmp(url, "http://", 7) == 0;
}

/* Always 303: the browser must forget method and body (RFC 9700 4.12). */
void gd_portal_visit_redirect(struct gd_portal_visit *v, const char *url)
{
    struct gd_portal_reply r;

    if (!url_clean(url)) {
        gd_portal_visit_error(v, 500, "INTERNAL", 0, 0);
        return;
    }
    gd_portal_reply_init(&r, 303);
    gd_buf_addf(&r.head, "Location: %s\r\n", url);
    add_fields(v->p, &r, v->may_leave);
    finish(v, &r, "OK", 0);
}

void gd_portal_visit_health(struct gd_portal_visit *v)
{
    struct gd_portal_reply r;

    gd_portal_reply_init(&r, gd_portal_server_closing(v->p->server) ? 503 : 200);
    gd_buf_adds(&r.body, r.status == 200 ? "ok\n" : "closing\n");
    add_fields(v->p, &r, false);
    finish(v, &r, "OK", 0);
}

/* What is sent back was chosen by whoever called: nothing but letters, digits, - _ and . ever is. */
void gd_portal_visit_text(struct gd_portal_visit *v, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    struct gd_portal_reply r;

    gd_portal_reply_init(&r, 200);
    if (strspn(text, plain) == strlen(text))
        gd_buf_adds(&r.body, text);
    add_fields(v->p, &r, false);
    finish(v, &r, "OK", 0);
}

static const char *word_of_status(int status)
{
    switch (status) {
    case 405:
        return "HTTP_METHOD";
    case 408:
    case 503:
        return "HTTP_TIMEOUT";
    case 413:
    case 414:
    case 431:
        return "HTTP_TOO_LARGE";
    default:
        return "HTTP_MALFORMED";
    }
}

void gd_portal_on_refused(void *arg, const struct gd_portal_address *peer, int status, const char *why,
                          struct gd_portal_reply *reply)
{
    const struct gd_portal *p = arg;
    char address[GD_ADDRESS_TEXT];

    gd_portal_address_text(address, peer);
    GD_LOG(p->log, GD_LOG_INFO, "portal.refused", GD_F_INT("status", status),
           GD_F_STR("reason", word_of_status(status)), GD_F_STR("why", why), GD_F_STR("address", address));
    reply->status = status;
    fill_error(p, reply, word_of_status(status), 1000);
}
