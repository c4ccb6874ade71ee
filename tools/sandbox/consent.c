/* consent.c - where a person says who it is, what it shares, and yes or no. What waits for an answer is in
 * "consents" of the world, by a random id; it is gone once it was answered. */
#include "base/mem.h"
#include "sandbox_int.h"

#include <string.h>

static bool offered(const json_t *list, const char *value)
{
    return sb_find(list, "value", value) != NULL;
}

/* What auto_NAME says: the query parameter, or the option. */
static const char *auto_text(struct sb_req *r, const char *name)
{
    const char *q = sb_query(r, name);

    return q ? q : sb_option_text(r, name);
}

static json_t *all_values(const json_t *list, const char *who)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        const char *owner = gd_json_text(one, "who", NULL);

        if (!owner || !who || strcmp(owner, who) == 0)
            json_array_append_new(out, json_string(gd_json_text(one, "value", "")));
    }
    return out;
}

static json_t *listed_values(struct sb_req *r, const json_t *list, const char *text)
{
    char *copy = gd_arena_strdup(r->arena, text), *one;
    json_t *out = json_array();

    while ((one = strsep(&copy, ",")))
        if (offered(list, one))
            json_array_append_new(out, json_string(one));
    return out;
}

static void decide(struct sb_req *r, const struct sb_choice *c)
{
    r->platform->consent(r, c);
    if (!sb_answered(r))
        sb_text(r, 500, "text/plain", "grantd-sandbox: this consent answered nothing\n");
}

/* The first of the comma list that is offered, NULL when none is; without a list the first of all. */
static const char *auto_person(struct sb_req *r, const json_t *people)
{
    char *copy = gd_arena_strdup(r->arena, auto_text(r, "auto_who")), *one;

    if (!*copy)
        return gd_json_text(json_array_get(people, 0), "value", NULL);
    while ((one = strsep(&copy, ",")))
        if (offered(people, one))
            return one;
    return NULL;
}

static void decide_now(struct sb_req *r, const json_t *page, bool approved)
{
    const json_t *people = json_object_get(page, "who"), *assets = json_object_get(page, "assets");
    const char *wanted = auto_text(r, "auto_assets");
    struct sb_choice c = { .approved = approved, .page = page, .who = auto_person(r, people) };

    if (!c.who && json_array_size(people)) {
        sb_page(r, 400, "Nobody of that name", "auto_who names nobody who is offered here.");
        return;
    }
    c.assets = *wanted ? listed_values(r, assets, wanted) : all_values(assets, c.who);
    c.scopes = all_values(json_object_get(page, "scopes"), NULL);
    decide(r, &c);
    json_decref(c.assets);
    json_decref(c.scopes);
}

/* ---- the page ---- */

static void add_choices(struct gd_buf *b, const json_t *list, const char *name, const char *legend,
                        bool boxes)
{
    size_t i;
    json_t *one;

    if (json_array_size(list) == 0)
        return;
    gd_buf_addf(b, "<fieldset><legend>%s</legend>\n", legend);
    json_array_foreach(list, i, one)
    {
        gd_buf_addf(b, "<label><input type=\"%s\" name=\"%s\" value=\"", boxes ? "checkbox" : "radio", name);
        html_text(b, gd_json_text(one, "value", ""));
        gd_buf_addf(b, "\"%s> ", boxes || i == 0 ? " checked" : "");
        html_text(b, gd_json_text(one, "label", gd_json_text(one, "value", "")));
        gd_buf_adds(b, "</label>\n");
    }
    gd_buf_adds(b, "</fieldset>\n");
}

static void show(struct sb_req *r, const json_t *page, const char *id)
{
    struct gd_buf b;

    gd_buf_init(&b, 4 * 1024 * 1024);
    html_head(&b, gd_json_text(page, "title", "Approve access"));
    gd_buf_adds(&b, "<p><strong>");
    html_text(&b, gd_json_text(page, "app", "An app"));
    gd_buf_adds(&b, "</strong> ");
    html_text(&b, gd_json_text(page, "text", "asks for access."));
    gd_buf_addf(&b, "</p>\n<form method=\"post\" action=\"/_consent/%s/%s\">\n", r->platform->name, id);
    add_choices(&b, json_object_get(page, "who"), "who", "You are", false);
    add_choices(&b, json_object_get(page, "assets"), "assets", "Share", gd_json_bool(page, "multiple", true));
    add_choices(&b, json_object_get(page, "scopes"), "scopes", "Allow", true);
    gd_buf_adds(&b, "<button name=\"decision\" value=\"approve\">Approve</button>"
                    "<button name=\"decision\" value=\"decline\">Decline</button>\n</form>\n");
    html_send(r, 200, &b);
}

void sb_consent(struct sb_req *r, json_t *page)
{
    const char *how = sb_query(r, "auto"), *id;

    if (!how)
        how = sb_option_text(r, "auto_consent");
    json_array_append_new(own_of(r)->kept, page);
    if (strcmp(how, "approve") == 0 || strcmp(how, "deny") == 0) {
        decide_now(r, page, *how == 'a');
        return;
    }
    id = sb_make(r, "consent", "", 32);
    json_object_set(sb_table(r, "consents"), id, page);
    show(r, page, id);
}

/* ---- what was posted ---- */

/* False when something was posted that was not offered. */
static bool chosen_values(const struct sb_params *form, const char *name, const json_t *list, json_t *out)
{
    for (size_t i = 0; i < form->n; i++) {
        if (strcmp(form->at[i].name, name) != 0)
            continue;
        if (!offered(list, form->at[i].value))
            return false;
        if (!sb_has_text(out, form->at[i].value))
            json_array_append_new(out, json_string(form->at[i].value));
    }
    return true;
}

static bool read_choice(struct sb_req *r, const json_t *page, struct sb_choice *c)
{
    const struct sb_params *form = sb_form(r);
    const json_t *people = json_object_get(page, "who");
    const char *decision = sb_param(form, "decision");

    if (!decision || (strcmp(decision, "approve") != 0 && strcmp(decision, "decline") != 0))
        return false;
    c->approved = *decision == 'a';
    c->who = sb_param(form, "who");
    if (json_array_size(people) && (!c->who || !offered(people, c->who)))
        return !c->approved && !c->who;
    return chosen_values(form, "assets", json_object_get(page, "assets"), c->assets) &&
           chosen_values(form, "scopes", json_object_get(page, "scopes"), c->scopes);
}

static void answer_page(struct sb_req *r, const char *id)
{
    json_t *page = json_object_get(sb_table(r, "consents"), id);
    struct sb_choice c = { .assets = json_array(), .scopes = json_array(), .page = page };

    json_array_append_new(own_of(r)->kept, c.assets);
    json_array_append_new(own_of(r)->kept, c.scopes);
    if (!page) {
        sb_page(r, 404, "Nothing to approve here", "This page was answered already, or never existed.");
        return;
    }
    if (!sb_has_type(r, "application/x-www-form-urlencoded") || !read_choice(r, page, &c)) {
        sb_page(r, 400, "That was not offered",
                "Post who, assets (repeated), scopes (repeated) and decision=approve or decision=decline as "
                "a form, "
                "with values of the page.");
        return;
    }
    json_array_append(own_of(r)->kept, page);
    json_object_del(sb_table(r, "consents"), id);
    decide(r, &c);
}

void consent_request(struct own *o, const char *path)
{
    struct sb_req *r = &o->r;
    size_t n = strcspn(path, "/");

    r->platform = platform_named(gd_arena_strndup(r->arena, path, n));
    r->host = "";
    if (!r->platform || path[n] != '/')
        sb_page(r, 404, "Nothing to approve here", "No platform of that name.");
    else if (strcmp(r->method, "POST") == 0)
        answer_page(r, path + n + 1);
    else
        sb_page(r, 405, "Nothing to see here", "The answer to a consent page is posted to this address.");
}
