/* tests/portal/double.c - see double.h. */
#include "double.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct reply {
    struct gd_list node;
    struct gd_broker *b;
    uv_timer_t timer;
    gd_reply_fn *fn;
    void *arg;
    json_t *result;
    struct gd_err err;
};

void double_init(struct gd_broker *b, uv_loop_t *loop)
{
    static const struct double_item items[4] = {
        { "it1", "acme", "Advertising account", "act_4711", "open", "" },
        { "it2", "acme", "Page <b>Bold & Co.</b>", "", "open", "" },
        { "it3", "guide", "Post code", "", "open", "" },
        { "it4", "acme", "Old page", "", "declined", "" },
    };

    memset(b, 0, sizeof *b);
    b->loop = loop;
    memcpy(b->items, items, sizeof items);
    (void)snprintf(b->authorize, sizeof b->authorize, "https://login.example/authorize");
    (void)snprintf(b->context, sizeof b->context, "main.acme");
    gd_list_init(&b->waiting);
}

void double_done(struct gd_broker *b)
{
    json_decref(b->last_query);
}

static void on_closed(uv_handle_t *h)
{
    struct reply *r = h->data;

    json_decref(r->result);
    gd_free(r);
}

static void on_time(uv_timer_t *t)
{
    struct reply *r = t->data;

    r->fn(r->arg, r->result, r->result ? NULL : &r->err);
    uv_close((uv_handle_t *)t, on_closed);
}

static void schedule(struct reply *r)
{
    (void)uv_timer_start(&r->timer, on_time, 0, 0);
}

static struct reply *reply_new(struct gd_broker *b, gd_reply_fn *fn, void *arg)
{
    struct reply *r = gd_new(sizeof *r);

    r->b = b;
    r->fn = fn;
    r->arg = arg;
    r->timer.data = r;
    (void)uv_timer_init(b->loop, &r->timer);
    gd_list_init(&r->node);
    if (b->hold)
        gd_list_add(&b->waiting, &r->node);
    else
        schedule(r);
    return r;
}

void double_release(struct gd_broker *b)
{
    struct gd_list *n;

    b->hold = false;
    while ((n = gd_list_pop(&b->waiting)) != NULL)
        schedule(gd_container_of(n, struct reply, node));
}

static void fail(struct gd_broker *b, gd_reply_fn *fn, void *arg, const char *word)
{
    struct reply *r = reply_new(b, fn, arg);

    gd_err_set(&r->err, gd_reason_find(word), "the double says %s", word);
}

static void done(struct gd_broker *b, gd_reply_fn *fn, void *arg, json_t *result)
{
    if (b->word[0]) {
        json_decref(result);
        fail(b, fn, arg, b->word);
    } else {
        reply_new(b, fn, arg)->result = result;
    }
}

/* The reason why this visitor may not stand here, or NULL. */
static const char *refusal(const struct gd_broker *b, const struct gd_visitor *v)
{
    bool by_session = v->session && b->session[0] && strcmp(v->session, b->session) == 0;

    if (!v->link || (strcmp(v->link, DOUBLE_LINK) != 0 && strcmp(v->link, DOUBLE_GONE) != 0))
        return "LINK_UNKNOWN";
    if (!(v->secret && strcmp(v->secret, DOUBLE_SECRET) == 0) && !by_session)
        return "LINK_UNKNOWN";
    return strcmp(v->link, DOUBLE_GONE) == 0 ? "LINK_EXPIRED" : NULL;
}

static json_t *steps_of(const struct double_item *it)
{
    if (strcmp(it->app, "guide") != 0 || strcmp(it->state, "waiting") != 0)
        return json_array();
    return json_pack("[{s:s, s:s, s:s}, {s:s, s:s}, {s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:b},"
                     " {s:s, s:s, s:s, s:b, s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]}]",
                     "title", "Open the settings", "text", "Go to the settings of the post.", "url",
                     "https://platform.example/settings", "title", "Copy our number", "copy", "7123456789",
                     "title", "Hand back the code", "qr", "https://platform.example/x", "ask", "code",
                     "ask_label", "The code", "title", "All codes", "ask", "codes", "ask_label", "One a line",
                     "lines", 1, "title", "Which accounts", "ask", "accounts", "ask_label", "Share these",
                     "many", 1, "choices", "value", "701", "label", "Shoes <EU>", "value", "702", "label",
                     "Hats", "value", "703", "label", "Gloves");
}

static json_t *item_json(const struct double_item *it)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:s?, s:s, s:s?, s:o}", "id", it->id, "title", it->title,
                     "role", "title", "Analyst", "may", "see the figures", "may_not", "spend money", "asset",
                     it->asset[0] ? it->asset : NULL, "state", it->state, "reason",
                     it->reason[0] ? it->reason : NULL, "steps", steps_of(it));
}

static json_t *page(const struct gd_broker *b)
{
    json_t *acme = json_array(), *guide = json_array();
    json_int_t open = 0;

    for (size_t i = 0; i < 4; i++) {
        const struct double_item *it = &b->items[i];

        open += strcmp(it->state, "open") == 0 || strcmp(it->state, "started") == 0 ||
                strcmp(it->state, "waiting") == 0;
        json_array_append_new(strcmp(it->app, "acme") == 0 ? acme : guide, item_json(it));
    }
    return json_pack("{s:{s:s, s:s, s:s}, s:s, s:{s:s, s:s}, s:{s:s}, s:[{s:s, s:s, s:s, s:o}, {s:s, s:s, "
                     "s:n, s:o}], s:I, "
                     "s:b}",
                     "request", "id", "rq1", "message", "Hello,\nplease approve <this>.", "expires_at",
                     "2099-01-02T03:04:05.000Z", "link", DOUBLE_LINK, "workspace", "name", "main", "title",
                     "Example Agency", "client", "name", "Example Shop", "groups", "app", "acme",
                     "platform_title", "OAuth", "provider_title", "Acme Ads", "items", acme, "app", "guide",
                     "platform_title", "Guided", "provider_title", "items", guide, "open", open, "done",
                     open == 0);
}

/* More than one answer may hold. */
static json_t *huge_page(const struct gd_broker *b)
{
    json_t *p = page(b);
    size_t n = (size_t)3 * 1024 * 1024;
    GD_AUTO_FREE char *text = gd_new(n + 1);

    memset(text, '<', n);
    json_object_set_new(json_object_get(p, "request"), "message", json_string(text));
    return p;
}

void gd_link_show(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    const char *why = refusal(b, v);

    b->shows++;
    (void)snprintf(b->last_address, sizeof b->last_address, "%s", v->address);
    if (why)
        fail(b, reply, arg, why);
    else
        done(b, reply, arg, b->huge ? huge_page(b) : page(b));
}

static bool wanted(const json_t *items, const char *id)
{
    const json_t *one;
    size_t i;

    json_array_foreach(items, i, one)
    {
        if (strcmp(json_string_value(one), id) == 0)
            return true;
    }
    return json_array_size(items) == 0;
}

static unsigned start_items(struct gd_broker *b, const char *app, const json_t *items, const char *state)
{
    unsigned n = 0;

    b->last_items[0] = '\0';
    for (size_t i = 0; i < 4; i++) {
        struct double_item *it = &b->items[i];
        size_t len = strlen(b->last_items);

        if (strcmp(it->app, app) != 0 || !wanted(items, it->id))
            continue;
        (void)snprintf(it->state, sizeof it->state, "%s", state);
        (void)snprintf(b->last_items + len, sizeof b->last_items - len, "%s ", it->id);
        n++;
    }
    return n;
}

void gd_flow_start(struct gd_broker *b, const struct gd_visitor *v, const char *app, json_t *items,
                   gd_reply_fn *reply, void *arg)
{
    const char *why = v->session ? refusal(b, v) : "SESSION_MISSING";
    bool guided = strcmp(app, "guide") == 0;
    GD_AUTO_FREE char *url = NULL;

    if (!why && start_items(b, app, items, guided ? "waiting" : "started") == 0)
        why = "ITEM_UNKNOWN";
    if (why) {
        fail(b, reply, arg, why);
        return;
    }
    b->starts++;
    (void)snprintf(b->session, sizeof b->session, "%s", v->session);
    (void)snprintf(b->state, sizeof b->state, "state-%u", b->starts);
    b->used = false;
    url = b->redirect[0] ? gd_strdup(b->redirect) : gd_strf("%s?state=%s", b->authorize, b->state);
    done(b, reply, arg, guided ? json_pack("{s:[]}", "steps") : json_pack("{s:s}", "redirect", url));
}

static const char *callback_refusal(const struct gd_broker *b, const char *context, const char *state,
                                    const char *duplicate, const struct gd_visitor *v)
{
    if (duplicate)
        return "PARAM_DUPLICATE";
    if (!state)
        return "STATE_MISSING";
    if (!v->session)
        return "SESSION_MISSING";
    if (!b->state[0] || strcmp(state, b->state) != 0)
        return "STATE_UNKNOWN";
    if (strcmp(context, b->context) != 0)
        return "CONTEXT_MISMATCH";
    if (strcmp(v->session, b->session) != 0)
        return "SESSION_MISMATCH";
    return b->used ? "STATE_ALREADY_USED" : NULL;
}

void gd_flow_callback(struct gd_broker *b, const char *context, json_t *query, const char *raw,
                      const char *duplicate, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    const char *why = callback_refusal(b, context, gd_json_text(query, "state", NULL), duplicate, v);
    bool granted = gd_json_text(query, "code", NULL) != NULL;

    json_decref(b->last_query);
    b->last_query = json_incref(query);
    (void)snprintf(b->last_raw, sizeof b->last_raw, "%s", raw);
    if (why) {
        fail(b, reply, arg, why);
        return;
    }
    b->callbacks++;
    b->used = true;
    for (size_t i = 0; i < 4; i++)
        if (strcmp(b->items[i].state, "started") == 0)
            (void)snprintf(b->items[i].state, sizeof b->items[i].state, "%s",
                           granted ? "granted" : "declined");
    (void)snprintf(b->outcome, sizeof b->outcome, "%s", granted ? "granted" : "declined");
    (void)snprintf(b->reason, sizeof b->reason, "%s", granted ? "" : "CONSENT_DENIED");
    done(b, reply, arg,
         json_pack("{s:s, s:s, s:s, s:s?, s:s}", "link", DOUBLE_LINK, "flow",
                   b->flow[0] ? b->flow : DOUBLE_FLOW, "outcome", b->outcome, "reason",
                   granted ? NULL : b->reason, "text", gd_json_text(query, "error_description", "")));
}

void gd_flow_show(struct gd_broker *b, const char *flow, const struct gd_visitor *v, gd_reply_fn *reply,
                  void *arg)
{
    json_t *p;

    b->flow_shows++;
    if (strcmp(flow, DOUBLE_FLOW) != 0 || !v->session || strcmp(v->session, b->session) != 0) {
        fail(b, reply, arg, "FLOW_UNKNOWN");
        return;
    }
    p = page(b);
    if (b->no_link)
        json_object_del(p, "link");
    json_object_set_new(p, "outcome", json_string(b->outcome));
    json_object_set_new(p, "reason", b->reason[0] ? json_string(b->reason) : json_null());
    json_object_set_new(p, "text", json_string("<script>raw text of the platform</script>"));
    done(b, reply, arg, p);
}

static struct double_item *find_item(struct gd_broker *b, const char *id)
{
    for (size_t i = 0; i < 4; i++)
        if (strcmp(b->items[i].id, id) == 0)
            return &b->items[i];
    return NULL;
}

void gd_item_submit(struct gd_broker *b, const struct gd_visitor *v, const char *item, json_t *inputs,
                    gd_reply_fn *reply, void *arg)
{
    struct double_item *it = find_item(b, item);
    const char *why = refusal(b, v);

    if (why || !it) {
        fail(b, reply, arg, why ? why : "ITEM_UNKNOWN");
        return;
    }
    b->submits++;
    (void)snprintf(b->last_input, sizeof b->last_input, "%s", gd_json_text(inputs, "code", ""));
    (void)snprintf(b->last_lines, sizeof b->last_lines, "%s", gd_json_text(inputs, "codes", ""));
    (void)snprintf(b->last_picked, sizeof b->last_picked, "%s", gd_json_text(inputs, "accounts", ""));
    (void)snprintf(it->state, sizeof it->state, "granted");
    done(b, reply, arg, json_object());
}

void gd_item_decline(struct gd_broker *b, const struct gd_visitor *v, const char *item, gd_reply_fn *reply,
                     void *arg)
{
    struct double_item *it = find_item(b, item);
    const char *why = refusal(b, v);

    if (why || !it) {
        fail(b, reply, arg, why ? why : "ITEM_UNKNOWN");
        return;
    }
    b->declines++;
    (void)snprintf(it->state, sizeof it->state, "declined");
    done(b, reply, arg, json_object());
}

/* Genuine is what carries the word. */
void gd_notice(struct gd_broker *b, const char *context, const struct gd_http_answer *call, json_t *query,
               const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    (void)v;
    if (query) { /* a handshake: the challenge is sent back */
        done(b, reply, arg, json_pack("{s:s?}", "reply", gd_json_text(query, "challenge", NULL)));
        return;
    }
    if (strcmp(context, b->context) != 0) {
        fail(b, reply, arg, "NOT_FOUND");
        return;
    }
    for (size_t i = 0; i < call->nheaders; i++)
        if (!strcmp(call->headers[i].name, "x-genuine") && call->body_len < sizeof b->last_notice) {
            memcpy(b->last_notice, call->body ? call->body : "", call->body_len);
            b->last_notice[call->body_len] = '\0';
            b->notices++;
            done(b, reply, arg, json_object());
            return;
        }
    fail(b, reply, arg, "NOTICE_REFUSED");
}

/* ---- what was given earlier: one grant, opened by one code ---- */

static json_t *given_grants(const struct gd_broker *b)
{
    return json_pack("[{s:s, s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:n}, {s:s, s:s, s:s}]}]", "id",
                     DOUBLE_GRANT, "platform", "Acme Ads", "asset", "Account <1>", "role", "Analyst", "since",
                     "2026-03-04T05:06:07.000Z", "state", b->ends ? "ended" : "live", "surfaces", "kind",
                     "token", "outcome", b->ends ? "closed" : "open", "note", "kind", "page share", "outcome",
                     b->ends ? "manual" : "open", "note", "Open <settings> and remove the agency.");
}

void gd_given_show(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    bool mine = v->session && b->code_session[0] && strcmp(v->session, b->code_session) == 0;

    done(b, reply, arg,
         json_pack("{s:b, s:b, s:b, s:o}", "offered", (int)!b->no_mail, "asked", (int)(mine && !b->opened),
                   "opened", (int)(mine && b->opened), "grants",
                   mine && b->opened ? given_grants(b) : json_array()));
}

void gd_given_ask(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    const char *why = v->secret ? refusal(b, v) : "LINK_UNKNOWN";

    if (why) {
        fail(b, reply, arg, why);
        return;
    }
    b->asks++;
    (void)snprintf(b->code_session, sizeof b->code_session, "%s", v->session);
    done(b, reply, arg, json_object());
}

void gd_given_enter(struct gd_broker *b, const struct gd_visitor *v, const char *code, gd_reply_fn *reply,
                    void *arg)
{
    (void)v;
    if (strcmp(code, DOUBLE_CODE) != 0) {
        fail(b, reply, arg, "CODE_WRONG");
        return;
    }
    b->opened = true;
    done(b, reply, arg, json_object());
}

void gd_given_end(struct gd_broker *b, const struct gd_visitor *v, const char *grant, gd_reply_fn *reply,
                  void *arg)
{
    if (!b->opened || !v->session || strcmp(v->session, b->code_session) != 0) {
        fail(b, reply, arg, "CODE_NEEDED");
    } else if (strcmp(grant, DOUBLE_GRANT) != 0) {
        fail(b, reply, arg, "NOT_FOUND");
    } else {
        b->ends++;
        done(b, reply, arg, json_object());
    }
}
