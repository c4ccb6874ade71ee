/* grant/rehearse.c - only a platform knows what an id, a date or a domain of it looks like. So its request
 * function is run when the agency asks, and stopped where it would send, wait or save: what it refuses until
 * then as badly configured is told to the agency, not to the client days later. What it refuses of the bare
 * item as well (a hub that has not consented yet) is no fault of this item, and may be in order by then: the
 * request is made, with a notice that nobody can approve it as things stand. */
#include "grant/rehearse.h"
#include "grant/exchange.h"
#include "grant/params.h"

#include <string.h>

struct rehearsal {
    struct gd_call *c;
    gd_rehearsed_fn *fn;
    size_t at;         /* item */
    bool bare;         /* without asset, scopes and parameters */
    struct gd_err err; /* of the item as it was given */
    json_t *notices;
};

static void on_tried(void *arg, struct gd_op *op, const struct gd_op_result *r);

static void end(struct rehearsal *h, const struct gd_err *err)
{
    GD_AUTO_FREE char *notices = gd_json_dump(h->notices);

    h->fn(h->c, gd_arena_strdup(h->c->arena, notices), err);
    json_decref(h->notices);
    gd_free(h);
}

/* Nothing of it is kept. */
static void fill(struct gd_flow *f, const struct rehearsal *h, const json_t *it)
{
    struct gd_flow_item *to = &f->items[0];
    GD_AUTO_FREE char *params = NULL;

    (void)snprintf(f->workspace, sizeof f->workspace, "%s", h->c->workspace);
    f->app = gd_app_find(h->c->b, gd_json_text(it, "app", ""));
    f->state = f->nonce = f->verifier =
        gd_arena_strdup(f->arena, "0123456789012345678901234567890123456789012");
    f->nitems = 1;
    to->role = gd_arena_strdup(f->arena, gd_json_text(it, "role", NULL));
    to->mode = gd_arena_strdup(f->arena, gd_json_text(it, "mode", NULL));
    if (h->bare)
        return;
    to->scope = gd_arena_strdup(f->arena, gd_json_text(it, "scope", NULL));
    params = gd_params_text(f->app->app.platform, json_object_get(it, "params"));
    to->asset = gd_arena_strdup(f->arena, gd_json_text(it, "asset", NULL));
    to->params = gd_arena_strdup(f->arena, params);
}

static void try_item(struct rehearsal *h)
{
    struct gd_broker *b = h->c->b;
    json_t *it = json_array_get(json_object_get(h->c->params, "items"), h->at);
    struct gd_op_start o = { .kind = GD_OP_REQUEST,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = true,
                             .rehearsal = true,
                             .on_end = on_tried,
                             .arg = h };
    struct gd_flow f = { .arena = gd_arena_new(0) };
    struct gd_flow_given given;

    fill(&f, h, it);
    o.platform = f.app->app.platform;
    o.app = f.app->app.id;
    gd_flow_given(b, &f, &o.given, &given);
    o.given.args[GRANTD_ARG_CODE_CHALLENGE] = f.verifier;
    o.given.args[GRANTD_ARG_CODE_VERIFIER] = NULL;
    gd_op_start(&b->env, &o);
    gd_flow_given_done(&given);
    gd_arena_free(f.arena);
}

static void next_item(struct rehearsal *h)
{
    h->bare = false;
    if (++h->at < json_array_size(json_object_get(h->c->params, "items")))
        try_item(h);
    else
        end(h, NULL);
}

static void note(struct rehearsal *h)
{
    const json_t *it = json_array_get(json_object_get(h->c->params, "items"), h->at);
    const struct gd_app_state *a = gd_app_find(h->c->b, gd_json_text(it, "app", ""));

    json_array_append_new(
        h->notices,
        json_pack("{s:s, s:s, s:s, s:s}", "platform", a->app.platform->p.name, "reason",
                  gd_reason_word(h->err.reason), "client", gd_json_text(h->c->params, "client", ""), "text",
                  gd_arena_strf(h->c->arena, "items[%zu] cannot be approved as things stand: %.300s", h->at,
                                h->err.text)));
}

static bool is_refused(const struct gd_op_result *r)
{
    return r->end == GD_OP_FAILED && r->fail_class == GRANTD_E_CONFIG;
}

static void on_tried(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct rehearsal *h = arg;
    struct gd_err err;

    (void)op;
    if (!h->bare && is_refused(r)) {
        h->err = r->err;
        h->bare = true;
        try_item(h);
    } else if (!h->bare) {
        next_item(h);
    } else if (is_refused(r) && !strcmp(h->err.text, r->err.text)) {
        note(h);
        next_item(h);
    } else {
        gd_err_set(&err, h->err.reason, "items[%zu]: %.300s", h->at, h->err.text);
        end(h, &err);
    }
}

void gd_rehearse(struct gd_call *c, gd_rehearsed_fn *fn)
{
    struct rehearsal *h = gd_new(sizeof *h);

    h->c = c;
    h->fn = fn;
    h->notices = json_array();
    try_item(h);
}
