/* control.c - /_sandbox/: what nobody can do at a real platform. From loopback only, and not from a page of
 * some other site that a browser on this machine shows. */
#include "base/mem.h"
#include "base/text.h"
#include "sandbox_int.h"

#include <string.h>

static void refuse(struct sb_req *r, int status, const char *why)
{
    sb_json(r, status, json_pack("{s:s}", "error", why));
}

/* The platform that the request names, or NULL with the answer given. */
static const struct sb_platform *named(struct sb_req *r, const json_t *args)
{
    const char *name = args ? gd_json_text(args, "platform", NULL) : sb_query(r, "platform");

    r->platform = platform_named(name);
    if (!r->platform)
        refuse(r, 400, name ? "no platform of that name" : "\"platform\" is missing");
    return r->platform;
}

/* ---- GET ---- */

static json_t *names_of_acts(const struct sb_platform *p)
{
    json_t *out = json_object();

    for (const struct sb_act *a = p->acts; a && a->name; a++)
        json_object_set_new(out, a->name, json_string(a->help));
    return out;
}

static json_t *names_of_faults(const struct sb_platform *p)
{
    json_t *out = json_object();

    for (const struct sb_fault_kind *f = fault_common; f->name; f++)
        json_object_set_new(out, f->name, json_string(f->help));
    for (const struct sb_fault_kind *f = p->faults; f && f->name; f++)
        json_object_set_new(out, f->name, json_string(f->help));
    return out;
}

static json_t *names_of_options(const struct sb_platform *p)
{
    json_t *out = json_object();

    for (const struct sb_option *o = p->options; o && o->name; o++)
        json_object_set_new(out, o->name, json_pack("{s:s, s:s}", "default", o->dflt, "help", o->help));
    return out;
}

static void get_index(struct sb_req *r)
{
    json_t *out = json_object();

    for (const struct sb_platform *const *p = sb_platforms; *p; p++) {
        json_t *origins = json_array();

        for (const char *const *o = (*p)->origins; *o; o++)
            json_array_append_new(origins, json_string(*o));
        json_object_set_new(out, (*p)->name,
                            json_pack("{s:o, s:o, s:o, s:o}", "origins", origins, "acts", names_of_acts(*p),
                                      "faults", names_of_faults(*p), "options", names_of_options(*p)));
    }
    sb_json(r, 200, json_pack("{s:I, s:o}", "now", (json_int_t)clock_now(r->sb), "platforms", out));
}

static void get_state(struct sb_req *r)
{
    if (!sb_query(r, "platform"))
        sb_json(r, 200, json_deep_copy(r->sb->worlds));
    else if (named(r, NULL))
        sb_json(r, 200, json_deep_copy(sb_world(r)));
}

static void get_log(struct sb_req *r)
{
    sb_json(r, 200, json_pack("{s:o}", "requests", seen_list(r->sb, r)));
}

static void get_sent(struct sb_req *r)
{
    sb_json(r, 200, json_pack("{s:o}", "sent", send_list()));
}

static void get_faults(struct sb_req *r)
{
    sb_json(r, 200, json_deep_copy(r->sb->faults));
}

static void get_clock(struct sb_req *r)
{
    sb_json(r, 200,
            json_pack("{s:I, s:b}", "now", (json_int_t)clock_now(r->sb), "hold", (int)r->sb->clock_held));
}

/* ---- POST ---- */

static void post_clock(struct sb_req *r)
{
    const json_t *args = sb_body_json(r);
    const json_t *advance = json_object_get(args, "advance"), *set = json_object_get(args, "set"),
                 *hold = json_object_get(args, "hold");

    if ((!advance && !set && !hold) || (advance && !json_is_integer(advance)) ||
        (set && !json_is_integer(set)) || (hold && !json_is_boolean(hold))) {
        refuse(r, 400, "{\"advance\": seconds}, {\"set\": unix seconds} or {\"hold\": true}");
        return;
    }
    if (hold)
        clock_hold(r->sb, json_is_true(hold));
    if (set)
        clock_set(r->sb, json_integer_value(set));
    if (advance)
        clock_set(r->sb, gd_add_sat(clock_now(r->sb), json_integer_value(advance)));
    clock_tell(r);
    get_clock(r);
}

static bool knows_fault(const struct sb_platform *p, const char *name)
{
    for (const struct sb_fault_kind *f = fault_common; name && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return true;
    for (const struct sb_fault_kind *f = p->faults; name && f && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return true;
    return false;
}

static void post_fault(struct sb_req *r)
{
    json_t *args = sb_body_json(r);

    if (!named(r, args))
        return;
    if (!knows_fault(r->platform, gd_json_text(args, "fault", NULL)) || gd_json_i64(args, "times", 1) < 0) {
        refuse(r, 400, "no fault of that name; GET /_sandbox/ lists them");
        return;
    }
    json_array_append(json_object_get(r->sb->faults, r->platform->name), args);
    sb_json(r, 200, json_object());
}

static void delete_faults(struct sb_req *r)
{
    for (const struct sb_platform *const *p = sb_platforms; *p; p++)
        json_array_clear(json_object_get(r->sb->faults, (*p)->name));
    sb_json(r, 200, json_object());
}

static void post_option(struct sb_req *r)
{
    const json_t *args = sb_body_json(r);
    const char *name = gd_json_text(args, "name", "");
    json_t *value = json_object_get(args, "value");

    if (!named(r, args))
        return;
    if (!option_named(r->platform, name) || !value) {
        refuse(r, 400, "{\"platform\", \"name\", \"value\"} with a name that GET /_sandbox/ lists");
        return;
    }
    json_object_set(sb_table(r, "options"), name, value);
    sb_json(r, 200, json_object());
}

static const struct sb_act *act_named(const struct sb_platform *p, const char *name)
{
    for (const struct sb_act *a = p->acts; a && a->name; a++)
        if (strcmp(a->name, name) == 0)
            return a;
    return NULL;
}

static void post_act(struct sb_req *r)
{
    const json_t *args = sb_body_json(r);
    const struct sb_act *a;
    json_t *ret = NULL;
    const char *why;

    if (!named(r, args))
        return;
    a = act_named(r->platform, gd_json_text(args, "act", ""));
    if (!a) {
        refuse(r, 400, "no act of that name; GET /_sandbox/ lists them");
        return;
    }
    why = a->run(r, args, &ret);
    if (why) {
        json_decref(ret);
        refuse(r, 409, why);
    } else {
        sb_json(r, 200, ret ? ret : json_object());
    }
}

/* {"platform", "world": {...}}: members given take the place of those that are there; "whole": true drops the
 * others. */
static void post_world(struct sb_req *r)
{
    const json_t *args = sb_body_json(r);
    json_t *world = json_object_get(args, "world");

    if (!named(r, args))
        return;
    if (!json_is_object(world)) {
        refuse(r, 400, "{\"platform\", \"world\": {...}}");
        return;
    }
    if (gd_json_bool(args, "whole", false))
        json_object_clear(sb_world(r));
    world = json_deep_copy(world);
    json_object_update(sb_world(r), world);
    json_decref(world);
    sb_json(r, 200, json_object());
}

/* {} or {"platform"}: the world as it was at the start; faults and log are emptied. The clock stays. */
static void post_reset(struct sb_req *r)
{
    const json_t *args = sb_body_json(r);
    const char *name = gd_json_text(args, "platform", NULL);

    if (name && !named(r, args))
        return;
    world_reset(r->sb, name);
    json_array_clear(r->sb->seen);
    send_clear();
    sb_json(r, 200, json_object());
}

static void delete_log(struct sb_req *r)
{
    json_array_clear(r->sb->seen);
    send_clear();
    sb_json(r, 200, json_object());
}

static const struct {
    const char *method, *path;
    void (*run)(struct sb_req *r);
} table[] = {
    { "GET", "", get_index },         { "GET", "/", get_index },
    { "GET", "/state", get_state },   { "GET", "/log", get_log },
    { "GET", "/sent", get_sent },     { "GET", "/faults", get_faults },
    { "GET", "/clock", get_clock },   { "POST", "/clock", post_clock },
    { "POST", "/fault", post_fault }, { "POST", "/option", post_option },
    { "POST", "/act", post_act },     { "POST", "/world", post_world },
    { "POST", "/reset", post_reset }, { "DELETE", "/faults", delete_faults },
    { "DELETE", "/log", delete_log },
};

/* A name that resolves to loopback by some trick is not one of ours; neither is a form of a foreign page. */
static bool called_by_its_name(struct sb_req *r)
{
    const char *host = sb_header(r, "Host"), *origin = sb_header(r, "Origin");
    size_t n = host ? strcspn(host, ":") : 0;

    if (!host || !((n == 9 && (strncmp(host, "127.0.0.1", n) == 0 || strncmp(host, "localhost", n) == 0))))
        return false;
    return !origin || (strncmp(origin, "http://", 7) == 0 && strcmp(origin + 7, host) == 0);
}

void control_request(struct own *o, const char *path)
{
    struct sb_req *r = &o->r;
    bool near = false;

    if (!server_peer_is_local(o) || !called_by_its_name(r)) {
        refuse(r, 403, "the control interface answers to this machine only, under 127.0.0.1 or localhost");
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].path, path) != 0)
            continue;
        near = true;
        if (strcmp(table[i].method, r->method) != 0)
            continue;
        if (*r->method == 'P' && !json_is_object(sb_body_json(r)))
            refuse(r, 400, "the body must be a JSON object");
        else
            table[i].run(r);
        return;
    }
    refuse(r, near ? 405 : 404,
           near ? "not with this method" : "there is no such page; GET /_sandbox/ lists all");
}
