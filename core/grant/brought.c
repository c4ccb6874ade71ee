/* grant/brought.c - what an answer of the platform brings to a run: the record of it, with tokens only where
 * they are new, the other items of the consent, and how far the run has come. exchange.c makes it durable. */
#include "grant/exchange_int.h"
#include "plugin/warnings.h"

#include <string.h>

#define CLOCK_SLACK_MS 2000 /* a date that was told in two ways is the same within this */

static void keep_text(char **to, const char *text)
{
    if (!text)
        return;
    gd_free(*to);
    *to = gd_strdup(text);
}

void gd_brought_reports(struct gd_exchange *x, const struct gd_op_result *r)
{
    const char *word;
    json_t *text;

    gd_reports_take(&x->reports, r);
    json_object_foreach(r->warnings, word, text)
    {
        gd_warnings_merge(x->warnings, word, json_string_value(text), x->news);
    }
}

static int64_t ms(const json_t *rec, const char *key)
{
    return gd_json_i64(rec, key, 0);
}

static bool differs(int64_t a, int64_t b)
{
    return a - b > CLOCK_SLACK_MS || b - a > CLOCK_SLACK_MS;
}

/* The tokens that are durable already, named again or not at all: what the platform does not say of them
 * stays. */
static void same_tokens(const struct gd_exchange *x, struct gd_op_result *r)
{
    r->res.access_token = x->answer.ptr;
    if (!r->res.expires_in && !r->res.expires_at)
        r->res.expires_at = x->clocks.expires_at / 1000;
    if (!r->res.refresh_expires_in && !r->res.refresh_expires_at)
        r->res.refresh_expires_at = x->clocks.refresh_expires_at / 1000;
    if (!r->res.horizon_at)
        r->res.horizon_at = x->clocks.horizon_at / 1000;
    if (!r->res.shape)
        r->res.shape = x->clocks.shape;
    if (!r->res.retry_class)
        r->res.retry_class = x->clocks.retry_class;
    r->sent_at = x->clocks.issued_at;
}

static bool is_same(const struct gd_exchange *x, const struct gd_op_result *r)
{
    return x->gen > 0 && (!r->res.access_token || gd_same_text(r->res.access_token, x->answer.ptr)) &&
           (!r->res.refresh_token || gd_same_text(r->res.refresh_token, x->refresh.ptr));
}

/* Does the record say anything of the same tokens that is not durable yet: who consented, until when? */
static bool is_news(const struct gd_exchange *x, const struct gd_op_result *r, const json_t *kept)
{
    return !json_equal(kept, x->kept) || (r->res.account_id && !x->account) ||
           (r->res.scope && (!x->scope || strcmp(r->res.scope, x->scope) != 0)) ||
           differs(ms(x->rec, "expires_at"), x->clocks.expires_at) ||
           differs(ms(x->rec, "refresh_expires_at"), x->clocks.refresh_expires_at) ||
           differs(ms(x->rec, "horizon_at"), x->clocks.horizon_at);
}

static void take_news(struct gd_exchange *x, const struct gd_op_result *r, json_t *kept)
{
    x->clocks = (struct gd_clocks){ .shape = (uint32_t)ms(x->rec, "shape"),
                                    .retry_class = (uint32_t)ms(x->rec, "retry_class"),
                                    .issued_at = ms(x->rec, "issued_at"),
                                    .expires_at = ms(x->rec, "expires_at"),
                                    .refresh_expires_at = ms(x->rec, "refresh_expires_at"),
                                    .horizon_at = ms(x->rec, "horizon_at") };
    json_decref(x->kept);
    x->kept = json_incref(kept);
    if (r->res.access_token != x->answer.ptr)
        gd_secret_set(&x->answer, r->res.access_token, strlen(r->res.access_token));
    if (r->res.refresh_token)
        gd_secret_set(&x->refresh, r->res.refresh_token, strlen(r->res.refresh_token));
}

int gd_brought_record(struct gd_exchange *x, const struct gd_op_result *given, struct gd_err *err)
{
    struct gd_op_result r = *given;
    GD_AUTO_JSON kept = json_copy(given->kept);
    struct gd_answer a = { .workspace = x->f->workspace,
                           .client = x->f->client,
                           .app = x->f->app->app.id,
                           .cred = x->cred,
                           .attempt = x->attempt,
                           .parent_gen = x->gen,
                           .created_at = gd_now(x->b->d.clock),
                           .is_new = x->gen == 0,
                           .r = &r,
                           .old_refresh_token = x->refresh.ptr };
    bool same = is_same(x, &r);

    if (same)
        same_tokens(x, &r);
    x->mismatch = x->account && r.res.account_id && strcmp(x->account, r.res.account_id) != 0;
    gd_brought_reports(x, &r);
    x->rec = gd_journal_record(x->b, &a, err);
    if (x->rec && same && !is_news(x, &r, kept)) {
        json_decref(x->rec);
        a.known = true;
        x->rec = gd_journal_record(x->b, &a, err);
    }
    if (!x->rec)
        return -1;
    json_object_set_new(x->rec, "of", json_string(x->f->id));
    if (x->mismatch)
        json_object_set_new(x->rec, "rejected", json_true());
    else
        keep_text(&x->account, r.res.account_id);
    keep_text(&x->scope, r.res.scope);
    if (json_object_get(x->rec, "sealed"))
        take_news(x, &r, kept);
    return 0;
}

int gd_brought_split(struct gd_exchange *x, struct gd_err *err)
{
    struct gd_flow other = *x->f;

    if (x->split || x->f->nitems < 2)
        return 0;
    x->others = json_array();
    for (unsigned i = 1; i < x->f->nitems; i++) {
        GD_AUTO_FREE unsigned char *sealed = NULL;
        GD_AUTO_FREE char *b64 = NULL;
        size_t n = 0;

        gd_id_make(other.id, "fl", gd_now(x->b->d.clock), x->b->d.rng);
        sealed = gd_flow_seal(x->b, &other, &n, err);
        if (!sealed)
            return -1;
        b64 = gd_new(4 * ((n + 2) / 3) + 1);
        gd_b64url(b64, sealed, n);
        gd_journal_add_split(
            x->rec, json_pack("{s:s, s:s, s:s}", "flow", other.id, "item", x->f->items[i].id, "sealed", b64));
        json_array_append_new(x->others, json_string(x->f->items[i].id));
    }
    x->split = true;
    return 0;
}

/* In the record of the tokens as well, so that the spool brings back both: but tokens go before all else. */
static void spool_progress(struct gd_exchange *x)
{
    const struct gd_reports *r = &x->reports;
    size_t n = strlen(x->progress), i;
    json_t *part;

    json_array_foreach(r->parts, i, part) n += json_string_length(part);
    if (!json_object_get(x->rec, "sealed") || n >= GD_SPOOL_RECORD_MAX / 4)
        return;
    json_object_set_new(x->rec, "progress", json_string(x->progress));
    json_object_set_new(x->rec, "parts", json_copy(r->parts));
    json_object_set_new(x->rec, "parts_at", json_integer((json_int_t)r->durable));
}

void gd_brought_progress(struct gd_exchange *x, json_t *notes, bool made)
{
    gd_free(x->progress);
    x->progress = gd_flow_progress_text(
        &(struct gd_flow_progress){ .notes = notes, .warnings = x->warnings, .made = made });
    x->moved = gd_reports_cut(&x->reports) || x->moved;
    spool_progress(x);
}

void gd_brought_kept(struct gd_exchange *x, const struct gd_op_result *r)
{
    json_decref(x->kept);
    x->kept = json_copy(r->kept);
    json_decref(x->f->kept);
    x->f->kept = json_incref(x->kept);
}

void gd_brought_part(struct gd_exchange *x, json_t *notes)
{
    static const char *const ends[] = { "grants", "moves", "item", "flow", "hub" };
    GD_AUTO_FREE char *text = gd_json_dump(x->rec);

    if (strlen(text) <= GD_SPOOL_RECORD_MAX || !json_object_get(x->rec, "sealed"))
        return;
    x->rest = json_pack("{s:i, s:s, s:s, s:s, s:O, s:s, s:s}", "v", 1, "workspace", x->f->workspace, "client",
                        x->f->client, "app", x->f->app->app.id, "at", json_object_get(x->rec, "at"), "of",
                        x->f->id, "cred", x->cred);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        json_t *v = json_object_get(x->rec, ends[i]);

        if (v)
            json_object_set(x->rest, ends[i], v);
        json_object_del(x->rec, ends[i]);
    }
    gd_brought_progress(x, notes, true);
}
