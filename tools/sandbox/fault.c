/* fault.c - faults that are switched on for some requests. Those of transport are here, for every platform;
 * what a platform says in its own words is in its file. */
#include "sandbox_int.h"

#include <fnmatch.h>
#include <string.h>

static void run_http(struct sb_req *r, const json_t *f)
{
    const json_t *headers = json_object_get(f, "headers");
    const json_t *doc = json_object_get(f, "json");
    const char *name;
    json_t *value;

    if (doc)
        sb_json(r, (int)gd_json_i64(f, "status", 503), json_incref((json_t *)(uintptr_t)doc));
    else
        sb_text(r, (int)gd_json_i64(f, "status", 503), gd_json_text(f, "type", "text/html"),
                gd_json_text(f, "body", "<html><body>upstream error</body></html>"));
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
        sb_answer_header(r, name, "%s", json_is_string(value) ? json_string_value(value) : "");
}

static void run_drop(struct sb_req *r, const json_t *f)
{
    (void)f;
    own_of(r)->sending = SEND_NOTHING;
}

const struct sb_fault_kind fault_common[] = {
    { "http", "answers {\"status\": 503, \"type\", \"body\" or \"json\", \"headers\"} without doing anything",
      run_http },
    { "drop", "closes the connection without doing anything", run_drop },
    { "lost", "does all that was asked, then closes the connection without an answer", NULL },
    { "cut", "does all that was asked, sends half of the answer's body and closes the connection", NULL },
    { "slow", "does all that was asked, and answers {\"seconds\": 5} later", NULL },
    { "garbage", "does all that was asked, and answers its status with text that is no JSON", NULL },
    { 0 },
};

static bool fits(const struct own *o, const json_t *f, const char *name)
{
    const char *match = gd_json_text(f, "match", NULL), *method = gd_json_text(f, "method", NULL);
    char where[2048];

    if (strcmp(gd_json_text(f, "fault", ""), name) != 0 || (method && strcmp(method, o->r.method) != 0))
        return false;
    if (!match)
        return true;
    if (snprintf(where, sizeof where, "%s%s", o->r.host, o->r.path) >= (int)sizeof where)
        return false;
    return fnmatch(match, where, 0) == 0;
}

/* "after" requests that fit pass first; "times" 0 stays on until it is switched off. */
static bool use(json_t *list, size_t at, json_t *f)
{
    int64_t after = gd_json_i64(f, "after", 0), times = gd_json_i64(f, "times", 1);

    if (after > 0) {
        json_object_set_new(f, "after", json_integer(after - 1));
        return false;
    }
    if (times == 1)
        json_array_remove(list, at);
    else if (times > 1)
        json_object_set_new(f, "times", json_integer(times - 1));
    return true;
}

const json_t *fault_take(struct own *o, const char *name)
{
    json_t *list = json_object_get(o->r.sb->faults, o->r.platform->name);
    size_t i;
    json_t *f;

    json_array_foreach(list, i, f)
    {
        if (!fits(o, f, name))
            continue;
        json_array_append(o->kept, f);
        if (!use(list, i, f))
            return NULL;
        o->fault = gd_arena_strdup(o->r.arena, name);
        return f;
    }
    return NULL;
}

const json_t *sb_fault(struct sb_req *r, const char *name)
{
    return fault_take(own_of(r), name);
}

/* Runs the first of the table that is on; false when none is. */
static bool run_one(struct own *o, const struct sb_fault_kind *k)
{
    for (; k && k->name; k++) {
        const json_t *f = k->run ? fault_take(o, k->name) : NULL;

        if (!f)
            continue;
        k->run(&o->r, f);
        return true;
    }
    return false;
}

void fault_before(struct own *o)
{
    if (!run_one(o, fault_common))
        run_one(o, o->r.platform->faults);
}

void fault_after(struct own *o)
{
    const json_t *slow = fault_take(o, "slow");

    if (slow)
        o->due_mono = clock_mono() + gd_json_i64(slow, "seconds", 5) * 1000;
    if (fault_take(o, "garbage"))
        sb_text(&o->r, o->status, "application/json", "{\"code\": 0, \"data\": {\"list\": [");
    if (fault_take(o, "lost"))
        o->sending = SEND_NOTHING;
    else if (fault_take(o, "cut"))
        o->sending = SEND_CUT;
}
