/* plugin/op_result.c - what a platform hands over: tokens with their clocks, assets, steps, surfaces, facts.
 * It is copied and checked here, once, so that nobody behind the driver meets a token with a line break in
 * it. What came with a spent refresh token is never thrown away for the sake of something beside it: an odd
 * lifetime counts as unknown, an odd name as none. */
#include "plugin/op_int.h"
#include "base/mem.h"
#include "base/text.h"
#include "plugin/warnings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIFETIME_MAX (100LL * 366 * 86400)

/* ---- results
 * ----------------------------------------------------------------------------------------------- */

static void set_text(const char **slot, const char *s)
{
    char *copy = gd_strdup(s);

    gd_free((char *)(uintptr_t)*slot);
    *slot = copy;
}

/* Visible ASCII (RFC 6749 appendix A), not empty, not too long. */
static bool token_fine(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || n > GD_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] > 0x7e)
            return false;
    return true;
}

static void take_token(struct gd_op *op, const char **slot, const char *s, const char *what)
{
    if (!s)
        return;
    if (token_fine(s))
        set_text(slot, s);
    else
        gd_op_stick(op, GRANTD_E_PROTOCOL, "the %s is empty, longer than %d bytes or not visible ASCII", what,
                    GD_TOKEN_MAX);
}

static void take_name(const char **slot, const char *s, size_t max)
{
    if (s && *s && strlen(s) <= max && gd_text_clean(s, strlen(s)))
        set_text(slot, s);
}

static int64_t lifetime(int64_t seconds)
{
    return seconds == GRANTD_NEVER || (seconds > 0 && seconds <= LIFETIME_MAX) ? seconds : 0;
}

static int64_t moment(int64_t unix_seconds)
{
    return unix_seconds > 0 && unix_seconds <= 4102444800LL * 2 ? unix_seconds : 0;
}

/* "in" counts from the request that brought it; once another one has left it must be a date. */
static void fix_dates(struct gd_op *op)
{
    struct grantd_result *r = &op->res;

    if (r->expires_in > 0)
        r->expires_at = op->res_sent_at / 1000 + r->expires_in;
    if (r->refresh_expires_in > 0)
        r->refresh_expires_at = op->res_sent_at / 1000 + r->refresh_expires_in;
    if (r->expires_in > 0)
        r->expires_in = 0;
    if (r->refresh_expires_in > 0)
        r->refresh_expires_in = 0;
}

/* A new token, or new clocks, replace the old clocks as a whole. */
static void take_clocks(struct gd_op *op, const struct grantd_result *r)
{
    if (r->access_token || r->expires_in || r->expires_at) {
        op->res.expires_in = lifetime(r->expires_in);
        op->res.expires_at = moment(r->expires_at);
    }
    if (r->refresh_token || r->refresh_expires_in || r->refresh_expires_at) {
        op->res.refresh_expires_in = lifetime(r->refresh_expires_in);
        op->res.refresh_expires_at = moment(r->refresh_expires_at);
    }
    if (moment(r->horizon_at))
        op->res.horizon_at = moment(r->horizon_at);
    op->res_sent_at = op->sent_at ? op->sent_at : gd_now(op->env.clock);
}

static void take_numbers(struct gd_op *op, const struct grantd_result *r)
{
    if (r->shape > GRANTD_SHAPE_SEAT || r->retry_class > GRANTD_RETRY_FAMILY) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "the result has an unknown shape or retry class");
        return;
    }
    if (r->shape)
        op->res.shape = r->shape;
    if (r->retry_class)
        op->res.retry_class = r->retry_class;
    if (r->retry_grace)
        op->res.retry_grace = r->retry_grace;
    if (r->margin)
        op->res.margin = r->margin;
    if (r->min_age)
        op->res.min_age = r->min_age;
    if (r->idle)
        op->res.idle = r->idle;
}

void gd_op_take_result(struct gd_op *op, const struct grantd_result *given)
{
    struct grantd_result r = { 0 };

    memcpy(&r, given, given->size < sizeof r ? given->size : sizeof r);
    fix_dates(op);
    take_token(op, &op->res.access_token, r.access_token, "access token");
    take_token(op, &op->res.refresh_token, r.refresh_token, "refresh token");
    take_token(op, &op->res.id_token, r.id_token, "ID token");
    if (r.account_id && !gd_text_clean(r.account_id, strlen(r.account_id)))
        gd_op_stick(op, GRANTD_E_PROTOCOL, "the account id is not plain text");
    take_name(&op->res.account_id, r.account_id, 512);
    take_name(&op->res.account_name, r.account_name, 512);
    take_name(&op->res.scope, r.scope, GD_TOKEN_MAX);
    take_name(&op->res.reply, r.reply, 512);
    if (r.redirect_url) {
        const char *url = gd_op_browser_url(op, r.redirect_url, "the redirect URL");

        if (url)
            set_text(&op->res.redirect_url, url);
    }
    take_clocks(op, &r);
    take_numbers(op, &r);
}

void gd_op_fill_result(struct gd_op *op, struct gd_op_result *r)
{
    if (op->res_sent_at != op->sent_at)
        fix_dates(op);
    r->end = op->at == GD_AT_OVER ? op->end : GD_OP_PENDING;
    if (op->at == GD_AT_OVER && op->end == GD_OP_FAILED) {
        r->fail_class = op->fail_class;
        r->err = op->err;
        r->retry_at = op->retry_at;
        r->err.retry_at = op->retry_at;
    }
    if (op->at == GD_AT_OVER && op->end == GD_OP_DONE)
        json_object_clear(op->notes); /* progress of what is done is no progress */
    r->next_look_at = op->ask.next_look_at * 1000;
    r->sent_at = op->sent_at;
    r->spent = op->spent;
    r->spent_status = op->spent_status;
    r->res = op->res;
    r->res.size = sizeof r->res;
    r->assets = op->assets;
    r->assets_saved = op->assets_saved;
    r->steps = op->steps;
    r->surfaces = op->surfaces;
    r->observed = op->observed;
    r->warnings = op->warnings;
    r->kept = op->kept;
    r->notes = op->notes;
    r->requests = op->requests;
    r->steps_run = op->steps_run;
}

void gd_op_result_done(struct gd_op *op)
{
    const char *texts[] = { op->res.redirect_url, op->res.reply, op->res.access_token, op->res.refresh_token,
                            op->res.id_token,     op->res.scope, op->res.account_id,   op->res.account_name };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        gd_free((char *)(uintptr_t)texts[i]);
    op->res = (struct grantd_result){ 0 };
    gd_map_done(&op->asset_at, NULL);
    json_decref(op->kept);
    json_decref(op->notes);
    json_decref(op->assets);
    json_decref(op->steps);
    json_decref(op->surfaces);
    json_decref(op->observed);
    json_decref(op->warnings);
}

/* ---- what is reported on the way
 * --------------------------------------------------------------------------- */

/* Adds a text when there is one; false (and it sticks) when it is not clean. */
static bool put_text(struct gd_op *op, json_t *o, const char *key, const char *s)
{
    if (!s)
        return true;
    if (strlen(s) > GD_OP_TEXT_MAX || !gd_text_clean(s, strlen(s))) {
        gd_op_stick(op, GRANTD_E_PROTOCOL, "the %s that was reported is not plain text", key);
        return false;
    }
    (void)json_object_set_new(o, key, json_string(s));
    return true;
}

/* Only for people's eyes: a name with a sound in it, or one that was cut within a character, is shown as far
 * as it can be; it is no reason to lose a consent. */
static bool put_shown(struct gd_op *op, json_t *o, const char *key, const char *s)
{
    GD_AUTO_FREE char *out = s ? gd_strdup(s) : NULL;

    for (size_t i = 0, n; out && out[i]; i += n) {
        n = gd_utf8_len(out + i);
        if (n == 0 || out[i] == 0x7f || ((unsigned char)out[i] < 0x20 && out[i] != '\n' && out[i] != '\t'))
            out[i] = n ? ' ' : '?';
        n = n ? n : 1;
    }
    return put_text(op, o, key, out);
}

static bool room(struct gd_op *op, const json_t *list, size_t max, const char *what)
{
    size_t n = json_is_array(list) ? json_array_size(list) : json_object_size(list);

    if (n < max)
        return true;
    gd_op_stick(op, GRANTD_E_PLUGIN, "more than %zu %s in one operation", max, what);
    return false;
}

/* A word of capitals, digits and _ (CODE_EXPIRED); NULL is fine. */
static bool put_word(struct gd_op *op, json_t *o, const char *key, const char *s)
{
    size_t n = s ? strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") : 0;

    if (!s)
        return true;
    if (n == 0 || s[n] || n > GD_NAME_MAX) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "a %s is a word of capitals, digits and _", key);
        return false;
    }
    return put_text(op, o, key, s);
}

static void put_time(json_t *o, const char *key, int64_t unix_seconds)
{
    if (moment(unix_seconds))
        (void)json_object_set_new(o, key, json_integer(moment(unix_seconds)));
}

/* Reported again: the later report is the right one. */
static void put_asset(struct gd_op *op, const char *kind, const char *id, json_t *j)
{
    GD_AUTO_FREE char *key = gd_strf("%s %s", kind, id);
    size_t at = (size_t)(uintptr_t)gd_map_get(&op->asset_at, key);

    if (at > op->assets_saved) {
        (void)json_array_set_new(op->assets, at - 1, j);
        return;
    }
    (void)json_array_append_new(op->assets, j);
    (void)gd_map_set(&op->asset_at, key, (void *)(uintptr_t)json_array_size(op->assets));
}

void gd_op_h_asset(grantd_op *p, const struct grantd_asset *given)
{
    struct gd_op *op = gd_op_of(p);
    struct grantd_asset a = { 0 };
    json_t *j;

    memcpy(&a, given, given->size < sizeof a ? given->size : sizeof a);
    if (!a.id || !*a.id || !a.kind || !*a.kind) {
        gd_op_stick(op, GRANTD_E_PROTOCOL, "an asset came without an id or a kind");
        return;
    }
    if (++op->run.assets > GD_OP_ASSETS_MAX) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "more than %d assets in one run; grantd_continue starts a new one",
                    GD_OP_ASSETS_MAX);
        return;
    }
    if (a.layers & ~(uint32_t)(GRANTD_LAYER_TOKEN | GRANTD_LAYER_NATIVE))
        gd_op_stick(op, GRANTD_E_PLUGIN, "an asset has unknown bits in .layers");
    if (!room(op, op->assets, GD_OP_LISTED_MAX, "assets"))
        return;
    j = json_object();
    if (a.layers)
        (void)json_object_set_new(j, "layers", json_integer(a.layers));
    put_time(j, "starts_at", a.starts_at);
    put_time(j, "ends_at", a.ends_at);
    if (put_text(op, j, "id", a.id) && put_text(op, j, "kind", a.kind) && put_shown(op, j, "name", a.name) &&
        put_text(op, j, "role", a.role) && put_shown(op, j, "parent", a.parent) &&
        put_word(op, j, "problem", a.problem) && put_shown(op, j, "text", a.text))
        put_asset(op, a.kind, a.id, j);
    else
        json_decref(j);
}

static bool put_choices(struct gd_op *op, json_t *o, const struct grantd_step *s)
{
    json_t *list = json_array();
    bool fine = true;

    for (const char *const *c = s->choices; c && c[0] && fine; c += 2) {
        json_t *one = json_object();

        fine = room(op, list, GD_OP_CHOICES_MAX, "choices") && put_text(op, one, "value", c[0]) &&
               put_shown(op, one, "label", c[1] ? c[1] : c[0]) && !strpbrk(c[0], "\r\n");
        (void)json_array_append_new(list, one);
    }
    (void)json_object_set_new(o, "choices", list);
    if (!fine)
        gd_op_stick(op, GRANTD_E_PLUGIN, "a choice has a value of more than one line");
    return fine;
}

/* They are stored as one text, which is read back up to a size. */
static void add_step(struct gd_op *op, json_t *j)
{
    GD_AUTO_FREE char *text = NULL;

    (void)json_array_append_new(op->steps, j);
    text = gd_json_dump(op->steps);
    if (strlen(text) <= GD_OP_STEPS_BYTES_MAX)
        return;
    gd_op_stick(op, GRANTD_E_PLUGIN, "steps of more than %d bytes in one operation", GD_OP_STEPS_BYTES_MAX);
    (void)json_array_remove(op->steps, json_array_size(op->steps) - 1);
}

void gd_op_h_step(grantd_op *p, const struct grantd_step *given)
{
    struct gd_op *op = gd_op_of(p);
    struct grantd_step s = { 0 };
    const char *url;
    json_t *j;

    memcpy(&s, given, given->size < sizeof s ? given->size : sizeof s);
    if (!s.title || !*s.title) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "a step for a person has no title");
        return;
    }
    if (!room(op, op->steps, GD_OP_STEPS_SHOWN_MAX, "steps"))
        return;
    url = s.url ? gd_op_browser_url(op, s.url, "the URL of a step") : NULL;
    j = json_object();
    if (put_text(op, j, "title", s.title) && put_shown(op, j, "text", s.text) &&
        put_text(op, j, "url", url) && put_text(op, j, "copy", s.copy) && put_text(op, j, "qr", s.qr) &&
        put_text(op, j, "ask", s.ask) && put_text(op, j, "ask_label", s.ask_label) &&
        (!s.choices || put_choices(op, j, &s))) {
        if (s.flags & GRANTD_STEP_LINES)
            (void)json_object_set_new(j, "lines", json_true());
        if (s.flags & GRANTD_STEP_MANY)
            (void)json_object_set_new(j, "many", json_true());
        add_step(op, j);
    } else {
        json_decref(j);
    }
}

void gd_op_h_surface(grantd_op *p, const struct grantd_surface *given)
{
    static const char *const outcomes[] = { "open", "closed", "gone", "manual", "failed" };
    struct gd_op *op = gd_op_of(p);
    struct grantd_surface s = { 0 };
    json_t *j;

    memcpy(&s, given, given->size < sizeof s ? given->size : sizeof s);
    if (!s.kind || !*s.kind || s.outcome < GRANTD_SURFACE_OPEN || s.outcome > GRANTD_SURFACE_FAILED) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "a surface came without a kind or with an unknown outcome");
        return;
    }
    if (!room(op, op->surfaces, GD_OP_LISTED_MAX, "surfaces"))
        return;
    j = json_pack("{s:s}", "outcome", outcomes[s.outcome - 1]);
    if (put_text(op, j, "kind", s.kind) && put_text(op, j, "id", s.id) && put_shown(op, j, "text", s.text) &&
        put_text(op, j, "asset", s.asset))
        (void)json_array_append_new(op->surfaces, j);
    else
        json_decref(j);
}

void gd_op_h_observe(grantd_op *p, const char *key, const char *value)
{
    struct gd_op *op = gd_op_of(p);

    if (!key || !gd_name_valid(key, 64)) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "an observation has no name of small letters, digits, - and _");
        return;
    }
    if (!value)
        (void)json_object_del(op->observed, key);
    else if (room(op, op->observed, GD_OP_NOTES_MAX, "observations"))
        (void)put_text(op, op->observed, key, value);
}

void gd_op_h_warn(grantd_op *p, const char *word, const char *fmt, ...)
{
    struct gd_op *op = gd_op_of(p);
    GD_AUTO_JSON named = json_object();
    GD_AUTO_FREE char *clean = NULL;
    va_list ap;

    va_start(ap, fmt);
    clean = gd_op_clean_format(op, fmt, ap);
    va_end(ap);
    if (!word || !put_word(op, named, "warning", word) ||
        !room(op, op->warnings, GD_OP_NOTES_MAX, "warnings"))
        return;
    (void)gd_warnings_add(op->warnings, word, clean);
    GD_LOG(op->log, GD_LOG_WARN, "platform.warns", GD_F_STR("word", word), GD_F_STR("text", clean));
}
