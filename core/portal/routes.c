/* portal/routes.c - which request means what, and what must hold before the broker hears of it: limits, the
 * session's cookie, where a form came from, its token. A visit begins here and ends in answer.c; in between
 * it waits for the broker, whose replies never come inside the call. */
#include "portal/portal_int.h"

#include "base/id.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define SECRET_MAX  128
#define CONTEXT_MAX 200

/* ---- what came --------------------------------------------------------------------------------------------
 */

static bool plain_word(const char *s, size_t max)
{
    size_t n = strlen(s);

    return n > 0 && n <= max &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") == n &&
           s[0] != '.';
}

static bool is_id(const char *s, const char *kind)
{
    struct gd_id id;

    return gd_id_parse(&id, kind, s, strlen(s));
}

/* The part of the path behind prefix, when nothing but a plain word stands there. */
static const char *word_after(const char *path, const char *prefix, size_t max)
{
    size_t n = strlen(prefix);

    return strncmp(path, prefix, n) == 0 && plain_word(path + n, max) ? path + n : NULL;
}

/* "/a/{link}/{secret}". A path of that form whose parts are malformed is an unknown link like any other. */
static bool link_route(struct gd_portal_visit *v, const char *path)
{
    const char *slash;

    if (strncmp(path, "/a/", 3) != 0)
        return false;
    path += 3;
    slash = strchr(path, '/');
    if (!slash)
        return false;
    v->route = "/a/{link}";
    v->link = gd_strndup(path, (size_t)(slash - path));
    v->secret = gd_strdup(slash + 1);
    if (!is_id(v->link, "ln") || !plain_word(v->secret, SECRET_MAX)) {
        gd_free(v->link);
        v->link = NULL;
    }
    return true;
}

/* ---- limits -----------------------------------------------------------------------------------------------
 */

/* Wrong secrets and states are slowed down, never locked out: the bucket of a link delays only what is wrong.
 */
static int64_t count_wrong(struct gd_portal_visit *v)
{
    struct gd_portal *p = v->p;
    int64_t now = gd_mono(p->clock), wait;
    const char *link = v->link ? v->link : "";

    p->wrong++;
    (void)gd_portal_bucket_force(p->wrong_by_net, &v->net, sizeof v->net, now);
    wait = gd_portal_bucket_force(p->wrong_by_link, link, strlen(link), now);
    return wait < GD_PORTAL_DELAY_MAX ? wait : GD_PORTAL_DELAY_MAX;
}

/* True when the visit was ended because its network asks too often or guesses. */
static bool limited(struct gd_portal_visit *v)
{
    struct gd_portal *p = v->p;
    int64_t now = gd_mono(p->clock), wait = gd_portal_bucket_take(p->by_net, &v->net, sizeof v->net, now);

    if (wait == 0)
        wait = gd_portal_bucket_look(p->wrong_by_net, &v->net, sizeof v->net, now);
    if (wait == 0)
        return false;
    p->limited++;
    gd_portal_visit_error(v, 429, "RATE_LIMITED", wait, 0);
    return true;
}

/* ---- the broker's replies ---------------------------------------------------------------------------------
 */

static bool is_wrong(const struct gd_err *err)
{
    const char *word = gd_reason_word(err->reason);

    return strcmp(word, "LINK_UNKNOWN") == 0 || strcmp(word, "STATE_UNKNOWN") == 0;
}

static void on_err(struct gd_portal_visit *v, const struct gd_err *err)
{
    v->new_session = false;
    if (strcmp(gd_reason_word(err->reason), "LINK_UNKNOWN") == 0)
        gd_portal_visit_error(v, 404, "LINK_UNKNOWN", 0, count_wrong(v));
    else
        gd_portal_visit_err(v, err, is_wrong(err) ? count_wrong(v) : 0);
}

/* The path of the page that the visit stands on. Caller frees. */
static char *page_path(const struct gd_portal_visit *v)
{
    return v->flow ? gd_strf("/end/%s", v->flow) : gd_strf("/a/%s/%s", v->link, v->secret);
}

/* past: what gd_given_show said; NULL on the end page. */
static void show_page(struct gd_portal_visit *v, json_t *result, const json_t *past)
{
    char csrf[44];
    GD_AUTO_FREE char *path = page_path(v);
    struct gd_portal_view_form form;
    json_t *view;

    gd_portal_csrf(v->p, v->session, v->flow ? v->flow : v->link, csrf);
    form = (struct gd_portal_view_form){ path, csrf };
    v->may_leave = true;
    view = v->flow ? gd_portal_view_end(v->p->pages, result, &form)
                   : gd_portal_view_link(v->p->pages, result, &form);
    json_object_set_new(view, "past", past ? gd_portal_view_past(v->p->pages, past) : json_null());
    gd_portal_visit_page(v, v->flow ? GD_PAGE_END : GD_PAGE_LINK, view);
}

static void on_past(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;

    if (result)
        show_page(v, v->shown, result);
    else
        on_err(v, err);
}

static void on_shown(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;

    if (!result) {
        on_err(v, err);
    } else if (v->flow) {
        show_page(v, result, NULL);
    } else {
        v->shown = json_incref(result);
        gd_given_show(v->p->broker, &v->visitor, on_past, v);
    }
}

static void back_to_page(struct gd_portal_visit *v)
{
    GD_AUTO_FREE char *path = page_path(v);

    gd_portal_visit_redirect(v, path);
}

static void on_acted(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;

    if (result)
        back_to_page(v);
    else
        on_err(v, err);
}

static void on_started(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;
    const char *url = gd_json_text(result, "redirect", NULL);

    if (!result) {
        on_err(v, err);
    } else if (url) {
        v->may_leave = true;
        gd_portal_visit_redirect(v, url);
    } else {
        back_to_page(v); /* guided steps: the page shows them */
    }
}

static void on_back(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;
    const char *flow = gd_json_text(result, "flow", "");
    GD_AUTO_FREE char *path = gd_strf("/end/%s", flow);

    if (!result)
        on_err(v, err);
    else if (!plain_word(flow, SECRET_MAX))
        gd_portal_visit_error(v, 500, "INTERNAL", 0, 0);
    else
        gd_portal_visit_redirect(v, path);
}

/* ---- acts -------------------------------------------------------------------------------------------------
 */

/* A browser ends lines with CR LF. Caller frees. */
static char *unix_lines(const char *s)
{
    char *text = gd_strdup(s), *to = text;

    for (const char *from = text; *from; from++)
        if (from[0] != '\r' || from[1] != '\n')
            *to++ = *from;
    *to = '\0';
    return text;
}

/* One more answer; several to one question ("in.<name>:<number>", boxes that were ticked) are lines of one.
 */
static bool add_input(json_t *inputs, const char *key, const char *value)
{
    GD_AUTO_FREE char *name = gd_strndup(key, strcspn(key, ":"));
    GD_AUTO_FREE char *text = unix_lines(value);
    GD_AUTO_FREE char *all = NULL;
    const char *before = gd_json_text(inputs, name, NULL);

    if (!*name || !gd_text_clean(text, strlen(text)) || (strchr(key, ':') && strchr(text, '\n')))
        return false;
    all = before ? gd_strf("%s\n%s", before, text) : gd_strdup(text);
    return json_object_set_new(inputs, name, json_string(all)) == 0;
}

/* Fields "in.<name>" of a guided step's form; a new reference, NULL when one is not clean text. */
static json_t *inputs_of(json_t *form)
{
    json_t *inputs = json_object(), *value;
    const char *key;

    json_object_foreach(form, key, value)
    {
        if (strncmp(key, "in.", 3) != 0 || !key[3])
            continue;
        if (!add_input(inputs, key + 3, json_string_value(value))) {
            json_decref(inputs);
            return NULL;
        }
    }
    return inputs;
}

static void submit(struct gd_portal_visit *v, const char *item)
{
    GD_AUTO_JSON inputs = inputs_of(v->form);

    if (inputs)
        gd_item_submit(v->p->broker, &v->visitor, item, inputs, on_acted, v);
    else
        gd_portal_visit_error(v, 400, "TEXT_INVALID", 0, 0);
}

/* The items that a form names in fields "item.<id>": exactly what the page showed as open, so that approving
 * one platform never takes back an earlier no. A new reference; empty: all. */
static json_t *items_of(json_t *form)
{
    json_t *items = json_array(), *value;
    const char *key;

    json_object_foreach(form, key, value)
    {
        if (strncmp(key, "item.", 5) == 0 && plain_word(key + 5, GD_NAME_MAX))
            json_array_append_new(items, json_string(key + 5));
    }
    return items;
}

/* What was given earlier is asked for with the link itself only. True when the form was about it. */
static bool act_on_past(struct gd_portal_visit *v, const char *what)
{
    const char *code = gd_json_text(v->form, "code", ""), *grant = gd_json_text(v->form, "grant", "");

    if (v->flow)
        return false;
    if (strcmp(what, "ask") == 0)
        gd_given_ask(v->p->broker, &v->visitor, on_acted, v);
    else if (strcmp(what, "enter") == 0)
        gd_given_enter(v->p->broker, &v->visitor, code, on_acted, v);
    else if (strcmp(what, "end") == 0 && is_id(grant, "gr"))
        gd_given_end(v->p->broker, &v->visitor, grant, on_acted, v);
    else
        return false;
    return true;
}

/* The visitor may act; what the form says is done. */
static void act(struct gd_portal_visit *v)
{
    const char *what = gd_json_text(v->form, "act", ""), *app = gd_json_text(v->form, "app", "");
    const char *item = gd_json_text(v->form, "item", "");
    GD_AUTO_JSON items = items_of(v->form);

    if (strcmp(what, "approve") == 0 && plain_word(app, GD_NAME_MAX))
        gd_flow_start(v->p->broker, &v->visitor, app, items, on_started, v);
    else if (strcmp(what, "decline") == 0 && plain_word(item, GD_NAME_MAX))
        gd_item_decline(v->p->broker, &v->visitor, item, on_acted, v);
    else if (strcmp(what, "submit") == 0 && plain_word(item, GD_NAME_MAX))
        submit(v, item);
    else if (!act_on_past(v, what))
        gd_portal_visit_error(v, 400, "FORM_INVALID", 0, 0);
}

/* An act from the end page: whose flow it is, and of which link, is the broker's to say. */
static void on_flow_known(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;
    const char *link = gd_json_text(result, "link", NULL);

    if (!result) {
        on_err(v, err);
        return;
    }
    if (!link) {
        gd_portal_visit_error(v, 500, "INTERNAL", 0, 0);
        return;
    }
    v->found_link = gd_strdup(link);
    v->visitor.link = v->found_link;
    act(v);
}

/* Reads the form and checks its token; ends the visit and returns false when it is not ours. */
static bool form_ours(struct gd_portal_visit *v)
{
    const struct gd_portal_request *q = v->x->request;
    char *duplicate = NULL, token[44];
    struct gd_err err = { 0 };
    const char *word = NULL;
    int status = 403;

    gd_portal_csrf(v->p, v->session, v->flow ? v->flow : v->link, token);
    if (!gd_portal_origin_ours(q, v->p->origin)) {
        word = "FORM_FOREIGN";
    } else if (!gd_portal_content_is_form(q)) {
        word = "FORM_INVALID";
        status = 415;
    } else if (!(v->form = gd_portal_form_parse(q->body.ptr, q->body.len, &duplicate, &err))) {
        word = gd_reason_word(err.reason);
        status = 400;
    } else if (duplicate) {
        word = "FORM_INVALID";
        status = 400;
    } else if (!v->session[0] || !gd_same_text(gd_json_text(v->form, "csrf", ""), token)) {
        word = "FORM_FOREIGN";
    }
    gd_free(duplicate);
    gd_wipe(token, sizeof token);
    if (word)
        gd_portal_visit_error(v, status, word, 0, 0);
    return !word;
}

static bool posts_limited(struct gd_portal_visit *v)
{
    const char *key = v->flow ? v->flow : v->link;
    int64_t wait = gd_portal_bucket_take(v->p->posts_by_link, key, strlen(key), gd_mono(v->p->clock));

    if (wait == 0)
        return false;
    v->p->limited++;
    gd_portal_visit_error(v, 429, "RATE_LIMITED", wait, 0);
    return true;
}

/* ---- routes -----------------------------------------------------------------------------------------------
 */

static void give_session(struct gd_portal_visit *v)
{
    unsigned char raw[32];

    if (v->session[0])
        return;
    gd_rng_bytes(v->p->rng, raw, sizeof raw);
    gd_b64url(v->session, raw, sizeof raw);
    gd_wipe(raw, sizeof raw);
    v->new_session = true;
    v->visitor.session = v->session;
}

static void go_link(struct gd_portal_visit *v)
{
    if (!v->link) {
        gd_portal_visit_error(v, 404, "LINK_UNKNOWN", 0, count_wrong(v));
        return;
    }
    v->visitor.link = v->link;
    v->visitor.secret = v->secret;
    if (v->x->request->method != GD_METHOD_POST) {
        give_session(v);
        gd_link_show(v->p->broker, &v->visitor, on_shown, v);
    } else if (form_ours(v) && !posts_limited(v)) {
        act(v);
    }
}

static void go_end(struct gd_portal_visit *v)
{
    if (!v->session[0])
        gd_portal_visit_error(v, 403, "SESSION_MISSING", 0, 0);
    else if (v->x->request->method != GD_METHOD_POST)
        gd_flow_show(v->p->broker, v->flow, &v->visitor, on_shown, v);
    else if (form_ours(v) && !posts_limited(v))
        gd_flow_show(v->p->broker, v->flow, &v->visitor, on_flow_known, v);
}

static void go_callback(struct gd_portal_visit *v, const char *context)
{
    const struct gd_portal_request *q = v->x->request;
    GD_AUTO_FREE char *duplicate = NULL;
    GD_AUTO_JSON query = NULL;
    struct gd_err err = { 0 };

    if (q->method != GD_METHOD_GET) {
        gd_portal_visit_error(v, 405, "HTTP_METHOD", 0, 0);
        return;
    }
    query = gd_portal_form_parse(q->query, q->query ? strlen(q->query) : 0, &duplicate, &err);
    if (!query)
        gd_portal_visit_error(v, 400, gd_reason_word(err.reason), 0, 0);
    else
        gd_flow_callback(v->p->broker, context, query, q->query ? q->query : "", duplicate, &v->visitor,
                         on_back, v);
}

static void on_noticed(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_portal_visit *v = arg;

    if (result)
        gd_portal_visit_text(v, gd_json_text(result, "reply", ""));
    else
        gd_portal_visit_err(v, err, 0);
}

/* A platform calls (a webhook). Whether it is genuine is the plugin's to say, by the signature over the bytes
 * as they came. */
static void go_notice(struct gd_portal_visit *v, const char *context)
{
    const struct gd_portal_request *q = v->x->request;
    struct gd_http_header headers[GD_PORTAL_FIELDS_MAX];
    struct gd_http_answer call = { .headers = headers, .nheaders = q->nfields, .body = q->body.ptr };
    GD_AUTO_FREE char *duplicate = NULL;
    GD_AUTO_JSON query = NULL;
    struct gd_err err = { 0 };

    if (q->method == GD_METHOD_GET)
        query = gd_portal_form_parse(q->query, q->query ? strlen(q->query) : 0, &duplicate, &err);
    if (q->method == GD_METHOD_GET ? !query || duplicate : q->method != GD_METHOD_POST) {
        gd_portal_visit_error(v, q->method == GD_METHOD_GET ? 400 : 405,
                              q->method == GD_METHOD_GET ? "PARAM_INVALID" : "HTTP_METHOD", 0, 0);
        return;
    }
    call.body_len = q->body.len;
    for (size_t i = 0; i < q->nfields; i++)
        headers[i] = (struct gd_http_header){ q->fields[i].name, q->fields[i].value };
    gd_notice(v->p->broker, context, &call, query, &v->visitor, on_noticed, v);
}

static void route(struct gd_portal_visit *v)
{
    const char *path = v->x->request->path, *word;

    if (link_route(v, path)) {
        go_link(v);
    } else if ((word = word_after(path, "/cb/", CONTEXT_MAX)) != NULL) {
        v->route = "/cb/{context}";
        go_callback(v, word);
    } else if ((word = word_after(path, "/hook/", CONTEXT_MAX)) != NULL) {
        v->route = "/hook/{context}";
        go_notice(v, word);
    } else if ((word = word_after(path, "/end/", SECRET_MAX)) != NULL) {
        v->route = "/end/{flow}";
        v->flow = gd_strdup(word);
        go_end(v);
    } else {
        gd_portal_visit_error(v, 404, "PAGE_UNKNOWN", 0, 0);
    }
}

/* Values of X-Forwarded-For in the order of the chain, joined. Caller frees; NULL when there is none. */
static char *forwarded(const struct gd_portal_request *q)
{
    struct gd_buf b;

    gd_buf_init(&b, GD_PORTAL_HEAD_MAX);
    for (size_t i = 0; i < q->nfields; i++)
        if (strcmp(q->fields[i].name, "x-forwarded-for") == 0)
            gd_buf_addf(&b, "%s%s", b.len ? "," : "", q->fields[i].value);
    return b.len ? gd_buf_steal(&b) : NULL;
}

static void find_visitor(struct gd_portal_visit *v)
{
    GD_AUTO_FREE char *chain = forwarded(v->x->request);
    struct gd_portal_address who =
        gd_portal_address_visitor(&v->x->peer, chain, v->p->trusted, v->p->ntrusted);

    gd_portal_address_text(v->address, &who);
    v->net = gd_portal_address_net(&who);
    v->visitor.address = v->address;
    if (gd_portal_cookie_session(v->x->request, gd_portal_cookie_name(v->p), v->session))
        v->visitor.session = v->session;
    else
        v->session[0] = '\0';
}

/* Behind a proxy, only what came to the proxy by TLS is served, and only through the proxy. */
static bool tls_missing(const struct gd_portal_visit *v)
{
    const struct gd_portal *p = v->p;
    const char *proto = gd_portal_request_field(v->x->request, "x-forwarded-proto");

    if (!p->secure || p->tls)
        return false;
    if (!gd_portal_address_trusted(&v->x->peer, p->trusted, p->ntrusted))
        return true;
    return gd_portal_request_count(v->x->request, "x-forwarded-proto") > 1 ||
           (proto && strcmp(proto, "https") != 0);
}

void gd_portal_on_request(void *arg, struct gd_portal_exchange *x)
{
    struct gd_portal_visit *v = gd_new(sizeof *v);

    v->p = arg;
    v->x = x;
    v->route = "/";
    find_visitor(v);
    if (strcmp(x->request->path, "/health") == 0 && x->request->method != GD_METHOD_POST) {
        v->route = "/health";
        gd_portal_visit_health(v);
    } else if (tls_missing(v)) {
        gd_portal_visit_error(v, 403, "PORTAL_TLS_REQUIRED", 0, 0);
    } else if (!limited(v)) {
        route(v);
    }
}
