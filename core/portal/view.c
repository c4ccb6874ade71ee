/* portal/view.c - see view.h. Every key that a template reads inside a list is set on each element, if only
 * to null: an absent one would be looked up further out. */
#include "portal/view.h"

#include "base/mem.h"
#include "base/text.h"

#include <qrencode.h>
#include <stdio.h>
#include <string.h>

#define QR_QUIET 4 /* modules of margin, ISO/IEC 18004 */

static const char *text_or(const json_t *obj, const char *key, const char *dflt)
{
    const char *s = gd_json_text(obj, key, dflt);

    return s && *s ? s : dflt;
}

/* NULL becomes null; what is no UTF-8 too. */
static void set(json_t *obj, const char *key, const char *text)
{
    json_t *v = text && *text ? json_string(text) : NULL;

    json_object_set_new(obj, key, v ? v : json_null());
}

static void copy(json_t *to, const json_t *from, const char *key)
{
    set(to, key, gd_json_text(from, key, NULL));
}

/* ---- QR ---------------------------------------------------------------------------------------------------
 */

static bool dark(const QRcode *qr, int x, int y)
{
    return (qr->data[y * qr->width + x] & 1) != 0;
}

static void add_row(struct gd_buf *path, const QRcode *qr, int y)
{
    for (int x = 0; x < qr->width; x++) {
        int from = x;

        while (x < qr->width && dark(qr, x, y))
            x++;
        if (x > from)
            gd_buf_addf(path, "M%d %dh%dv1h-%dz", from + QR_QUIET, y + QR_QUIET, x - from, x - from);
    }
}

json_t *gd_portal_view_qr(const char *text)
{
    QRcode *qr = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    struct gd_buf path;
    json_t *v;

    if (!qr)
        return NULL;
    gd_buf_init(&path, 262144);
    for (int y = 0; y < qr->width; y++)
        add_row(&path, qr, y);
    v = json_pack("{s:i, s:s, s:s}", "size", qr->width + 2 * QR_QUIET, "path", path.ptr ? path.ptr : "",
                  "text", text);
    QRcode_free(qr);
    gd_buf_done(&path);
    return v;
}

/* ---- items ------------------------------------------------------------------------------------------------
 */

/* The choices of a step, numbered, as "many" (any of them) or "one" (exactly one). */
static void add_choices(json_t *v, const json_t *step)
{
    bool many = gd_json_bool(step, "many", false);
    json_t *list = json_array(), *c;
    size_t i;

    json_array_foreach(json_object_get(step, "choices"), i, c)
    {
        json_t *row = json_copy(c);

        json_object_set_new(row, "at", json_integer((json_int_t)i + 1));
        json_array_append_new(list, row);
    }
    json_object_set_new(v, many ? "many" : "one", list);
}

/* How an answer is given: picked, written in lines, or in one line. */
static void add_ask(json_t *v, const json_t *step)
{
    bool asks = *gd_json_text(step, "ask", "") != '\0';
    bool picks = json_array_size(json_object_get(step, "choices")) > 0;
    bool lines = gd_json_bool(step, "lines", false);

    json_object_set_new(v, "as_choices", json_boolean(asks && picks));
    json_object_set_new(v, "as_lines", json_boolean(asks && !picks && lines));
    json_object_set_new(v, "as_text", json_boolean(asks && !picks && !lines));
    if (asks && picks)
        add_choices(v, step);
}

static json_t *view_step(const struct gd_portal_pages *p, const json_t *step, size_t n)
{
    const char *qr = gd_json_text(step, "qr", NULL);
    json_t *v = json_object(), *code = qr && *qr ? gd_portal_view_qr(qr) : NULL;

    copy(v, step, "title");
    copy(v, step, "text");
    copy(v, step, "url");
    copy(v, step, "copy");
    copy(v, step, "ask");
    set(v, "ask_label", text_or(step, "ask_label", gd_portal_pages_sentence(p, "step_ask")));
    add_ask(v, step);
    json_object_set_new(v, "n", json_integer((json_int_t)n + 1));
    json_object_set_new(v, "qr", code ? code : json_null());
    return v;
}

static void add_steps(const struct gd_portal_pages *p, json_t *v, const json_t *steps, bool living)
{
    json_t *list = json_array(), *step;
    bool asks = false;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        asks = asks || *gd_json_text(step, "ask", "");
        json_array_append_new(list, view_step(p, step, i));
    }
    json_object_set_new(v, "has_steps", json_boolean(living && json_array_size(list) > 0));
    json_object_set_new(v, "asks", json_boolean(asks));
    json_object_set_new(v, "steps", list);
}

/* A text, or a list of texts, as one line. */
static char *joined(const json_t *v)
{
    struct gd_buf b;
    json_t *one;
    size_t i;

    gd_buf_init(&b, 8192);
    if (json_is_string(v))
        gd_buf_adds(&b, json_string_value(v));
    json_array_foreach(v, i, one)
    {
        if (json_is_string(one))
            gd_buf_addf(&b, "%s%s", b.len ? ", " : "", json_string_value(one));
    }
    return gd_buf_steal(&b);
}

static json_t *view_role(const json_t *role)
{
    GD_AUTO_FREE char *may = joined(json_object_get(role, "may"));
    GD_AUTO_FREE char *may_not = joined(json_object_get(role, "may_not"));
    const char *title = json_is_string(role) ? json_string_value(role) : gd_json_text(role, "title", NULL);
    json_t *v;

    if (!title || !*title)
        return json_null();
    v = json_object();
    set(v, "title", title);
    set(v, "may", may);
    set(v, "may_not", may_not);
    return v;
}

/* NULL where the title says it already. */
static const char *asset_text(const json_t *item, const char *title)
{
    const json_t *asset = json_object_get(item, "asset");
    const char *text = json_is_string(asset) ? json_string_value(asset)
                                             : text_or(asset, "name", gd_json_text(asset, "id", NULL));

    return text && title && !strcmp(text, title) ? NULL : text;
}

static bool one_of(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || (c && strcmp(word, c) == 0);
}

static const char *state_class(const char *state)
{
    if (strcmp(state, "granted") == 0)
        return "good";
    return one_of(state, "declined", "expired", NULL) ? "bad" : "soft";
}

/* Words of our own have a sentence of their own; those of platforms come with theirs. */
static const char *item_reason(const struct gd_portal_pages *p, const json_t *item)
{
    const char *word = gd_json_text(item, "reason", NULL), *text = gd_json_text(item, "reason_text", NULL);

    if (!word || !*word)
        return NULL;
    if (gd_reason_find(word) == GD_R_INTERNAL && strcmp(word, "INTERNAL") != 0 && text)
        return text;
    return gd_portal_pages_reason(p, word);
}

/* What was not granted, each with what to do. */
static json_t *view_problems(const json_t *item)
{
    json_t *list = json_array(), *one;
    size_t i;

    json_array_foreach(json_object_get(item, "problems"), i, one)
    {
        json_t *v = json_object();

        set(v, "problem_name", text_or(one, "name", gd_json_text(one, "id", "")));
        set(v, "problem_text", text_or(one, "text", gd_json_text(one, "problem", "")));
        json_array_append_new(list, v);
    }
    return list;
}

/* Something that only the client can do is asked. */
static bool has_steps(const json_t *item)
{
    return !strcmp(gd_json_text(item, "state", ""), "waiting") &&
           json_array_size(json_object_get(item, "steps")) > 0;
}

static json_t *view_item(const struct gd_portal_pages *p, const json_t *item)
{
    const char *state = gd_json_text(item, "state", ""),
               *title = text_or(item, "title", gd_json_text(item, "id", NULL));
    bool living = one_of(state, "open", "started", "waiting");
    json_t *v = json_object();
    char key[64];

    copy(v, item, "id");
    set(v, "title", title);
    set(v, "asset_text", asset_text(item, title));
    (void)snprintf(key, sizeof key, "state_%.32s", has_steps(item) ? "steps" : state);
    set(v, "state_text", gd_portal_pages_sentence(p, key));
    set(v, "state_class", state_class(state));
    set(v, "reason_text", item_reason(p, item));
    json_object_set_new(v, "problems", view_problems(item));
    json_object_set_new(v, "can_decline", json_boolean(living));
    json_object_set_new(v, "approvable", json_boolean(one_of(state, "open", "started", NULL)));
    json_object_set_new(v, "can_again", json_boolean(strcmp(state, "declined") == 0));
    json_object_set_new(v, "role", view_role(json_object_get(item, "role")));
    add_steps(p, v, json_object_get(item, "steps"), living);
    return v;
}

static json_t *view_group(const struct gd_portal_pages *p, const json_t *group, size_t n)
{
    json_t *v = json_object(), *items = json_array(), *item;
    bool can_approve = false;
    size_t i;

    json_array_foreach(json_object_get(group, "items"), i, item)
    {
        can_approve = can_approve || one_of(gd_json_text(item, "state", ""), "open", "started", NULL);
        json_array_append_new(items, view_item(p, item));
    }
    copy(v, group, "app");
    set(v, "title", text_or(group, "provider_title", gd_json_text(group, "platform_title", NULL)));
    json_object_set_new(v, "n", json_integer((json_int_t)n + 1));
    json_object_set_new(v, "can_approve", json_boolean(can_approve));
    json_object_set_new(v, "items", items);
    return v;
}

/* ---- pages ------------------------------------------------------------------------------------------------
 */

static void add_expiry(json_t *request, const json_t *shown)
{
    const json_t *at = json_object_get(shown, "expires_at");
    char text[32] = "";

    if (json_is_integer(at) && json_integer_value(at) > 0)
        gd_time_text(text, json_integer_value(at));
    else if (json_is_string(at))
        (void)snprintf(text, sizeof text, "%s", json_string_value(at));
    if (strlen(text) >= 10) {
        text[10] = '\0'; /* the day is enough for people */
        set(request, "expires", text);
    }
}

static void add_named(const struct gd_portal_pages *p, json_t *v, const json_t *shown, const char *key,
                      const char *member, const char *dflt)
{
    const json_t *from = json_object_get(shown, key);
    json_t *o = json_object();

    set(o, member, text_or(from, member, text_or(from, "name", gd_portal_pages_sentence(p, dflt))));
    json_object_set_new(v, key, o);
}

json_t *gd_portal_view_link(const struct gd_portal_pages *p, const json_t *shown,
                            const struct gd_portal_view_form *form)
{
    json_t *v = json_object(), *groups = json_array(), *request = json_object(), *group;
    size_t i;

    copy(request, json_object_get(shown, "request"), "message");
    add_expiry(request, json_object_get(shown, "request"));
    json_object_set_new(v, "request", request);
    add_named(p, v, shown, "workspace", "title", "untitled_workspace");
    add_named(p, v, shown, "client", "name", "untitled_client");
    json_object_set_new(v, "form", json_pack("{s:s, s:s}", "action", form->action, "csrf", form->csrf));
    json_array_foreach(json_object_get(shown, "groups"), i, group)
    {
        json_array_append_new(groups, view_group(p, group, i));
    }
    json_object_set_new(v, "groups", groups);
    json_object_set_new(v, "open", json_integer(gd_json_i64(shown, "open", 0)));
    json_object_set_new(v, "done", json_boolean(gd_json_bool(shown, "done", false)));
    return v;
}

/* A platform that waits for the client is not worked at: nobody may be told to leave. */
static bool asks_the_client(const json_t *shown)
{
    const json_t *group, *item;
    size_t i, k;

    json_array_foreach(json_object_get(shown, "groups"), i, group)
    {
        json_array_foreach(json_object_get(group, "items"), k, item)
        {
            if (has_steps(item))
                return true;
        }
    }
    return false;
}

json_t *gd_portal_view_end(const struct gd_portal_pages *p, const json_t *shown,
                           const struct gd_portal_view_form *form)
{
    const char *outcome = gd_json_text(shown, "outcome", "waiting"),
               *reason = gd_json_text(shown, "reason", NULL);
    json_t *v = gd_portal_view_link(p, shown, form);
    bool good = strcmp(outcome, "granted") == 0, bad = one_of(outcome, "declined", "failed", NULL);
    char key[64];

    if (!good && !bad)
        outcome = asks_the_client(shown) ? "steps" : "waiting";
    (void)snprintf(key, sizeof key, "outcome_%s", outcome);
    set(v, "outcome_heading", gd_portal_pages_sentence(p, key));
    (void)snprintf(key, sizeof key, "outcome_text_%s", outcome);
    set(v, "outcome_text", gd_portal_pages_sentence(p, key));
    set(v, "outcome_class", good ? "good" : bad ? "bad" : "soft");
    set(v, "reason_text", bad && reason && *reason ? gd_portal_pages_reason(p, reason) : NULL);
    set(v, "reason", bad && reason && *reason ? reason : NULL);
    set(v, "remedy_text", bad && reason && *reason ? gd_portal_pages_remedy(p, reason) : NULL);
    return v;
}

/* ---- what was given earlier -------------------------------------------------------------------------------
 */

static json_t *view_surface(const struct gd_portal_pages *p, const json_t *surface)
{
    const char *kind = gd_json_text(surface, "kind", ""), *outcome = gd_json_text(surface, "outcome", "");
    json_t *v = json_object();
    const char *sentence;
    char key[64];

    (void)snprintf(key, sizeof key, "surface_kind_%.32s", kind);
    sentence = gd_portal_pages_sentence(p, key);
    set(v, "kind", sentence ? sentence : kind);
    (void)snprintf(key, sizeof key, "surface_%.32s", outcome);
    set(v, "outcome", gd_portal_pages_sentence(p, key));
    set(v, "outcome_class", one_of(outcome, "closed", "gone", NULL) ? "good" : "bad");
    set(v, "step", strcmp(outcome, "manual") == 0 ? gd_json_text(surface, "note", NULL) : NULL);
    return v;
}

static json_t *view_grant(const struct gd_portal_pages *p, const json_t *grant)
{
    const char *state = gd_json_text(grant, "state", "");
    json_t *v = json_object(), *surfaces = json_array(), *one;
    char day[11], key[64];
    size_t i;

    copy(v, grant, "id");
    set(v, "title", gd_json_text(grant, "platform", NULL));
    copy(v, grant, "asset");
    copy(v, grant, "role");
    (void)snprintf(day, sizeof day, "%.10s", gd_json_text(grant, "since", ""));
    set(v, "since", day);
    (void)snprintf(key, sizeof key, "given_%.32s", state);
    set(v, "state_text", gd_portal_pages_sentence(p, key));
    json_object_set_new(v, "can_end", json_boolean(one_of(state, "live", "confirming", NULL)));
    json_array_foreach(json_object_get(grant, "surfaces"), i, one)
    {
        json_array_append_new(surfaces, view_surface(p, one));
    }
    json_object_set_new(v, "has_surfaces", json_boolean(json_array_size(surfaces) > 0));
    json_object_set_new(v, "surfaces", surfaces);
    return v;
}

json_t *gd_portal_view_past(const struct gd_portal_pages *p, const json_t *given)
{
    bool opened = gd_json_bool(given, "opened", false), asked = gd_json_bool(given, "asked", false);
    json_t *v, *list, *one;
    size_t i;

    if (!opened && !gd_json_bool(given, "offered", false))
        return json_null();
    v = json_object();
    list = json_array();
    json_object_set_new(v, "opened", json_boolean(opened));
    json_object_set_new(v, "asked", json_boolean(!opened && asked));
    json_object_set_new(v, "closed", json_boolean(!opened));
    json_array_foreach(json_object_get(given, "grants"), i, one)
    {
        json_array_append_new(list, view_grant(p, one));
    }
    json_object_set_new(v, "none", json_boolean(opened && json_array_size(list) == 0));
    json_object_set_new(v, "grants", list);
    return v;
}

json_t *gd_portal_view_error(const struct gd_portal_pages *p, const char *word)
{
    json_t *v = json_object();

    set(v, "reason", word);
    set(v, "reason_text", gd_portal_pages_reason(p, word));
    set(v, "remedy_text", gd_portal_pages_remedy(p, word));
    return v;
}
