/* seen.c - the log of requests: what arrived and what it was answered, with tokens and secrets shortened. */
#include "base/mem.h"
#include "base/text.h"
#include "sandbox_int.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BODY_SEEN_MAX (32 * 1024) /* larger ones are only counted */

/* Names whose values are never kept whole. */
static bool telling(const char *name)
{
    static const char *const words[] = { "token",     "secret", "code",  "authorization", "password",
                                         "assertion", "hmac",   "proof", "verifier" };
    static const char *const plain[] = { "token_type", "subject_token_type", "requested_token_type",
                                         "code_challenge", "code_challenge_method" };

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcasecmp(name, plain[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

static json_t *shortened(struct sb_req *r, const char *name, const char *value)
{
    if (!telling(name) || strlen(value) < 5)
        return json_string(value);
    return json_string(sb_strf(r, "%.4s... (%zu)", value, strlen(value)));
}

static json_t *params_seen(struct sb_req *r, const struct sb_params *p)
{
    json_t *out = json_array();

    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(
            out, json_pack("[s, o]", p->at[i].name, shortened(r, p->at[i].name, p->at[i].value)));
    return out;
}

static json_t *json_seen(struct sb_req *r, const char *name, const json_t *v)
{
    const char *key;
    json_t *out, *one;
    size_t i;

    if (json_is_string(v))
        return shortened(r, name, json_string_value(v));
    if (json_is_array(v)) {
        out = json_array();
        json_array_foreach(v, i, one) json_array_append_new(out, json_seen(r, name, one));
        return out;
    }
    if (!json_is_object(v))
        return json_deep_copy(v);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)v, key, one)
        json_object_set_new(out, key, json_seen(r, key, one));
    return out;
}

static json_t *body_seen(struct sb_req *r)
{
    if (r->body_len == 0)
        return json_null();
    if (r->body_len <= BODY_SEEN_MAX && json_is_object(sb_body_json(r)))
        return json_seen(r, "", sb_body_json(r));
    if (r->body_len <= BODY_SEEN_MAX && sb_has_type(r, "application/x-www-form-urlencoded"))
        return params_seen(r, sb_form(r));
    return json_string(sb_strf(r, "%zu bytes", r->body_len));
}

struct head {
    struct sb_req *r;
    json_t *out;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct head *h = cls;

    (void)kind;
    json_object_set_new(h->out, name, shortened(h->r, name, value ? value : ""));
    return MHD_YES;
}

void seen_add(struct own *o)
{
    struct sb_req *r = &o->r;
    struct head h = { r, NULL };

    if (r->sb->verbose)
        fprintf(stderr, "%s %s%s %d%s%s\n", r->method, r->host, r->path, o->status, o->fault ? " fault " : "",
                o->fault ? o->fault : "");
    if (!r->platform || strncmp(o->target, "/_sandbox", 9) == 0)
        return;
    h.out = json_object();
    MHD_get_connection_values(o->conn, MHD_HEADER_KIND, on_header, &h);
    r->sb->seen_count++;
    json_array_append_new(
        r->sb->seen, json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:s*}", "n",
                               (json_int_t)r->sb->seen_count, "at", (json_int_t)sb_now(r), "platform",
                               r->platform->name, "host", r->host, "method", r->method, "path", r->path,
                               "query", params_seen(r, &r->query), "headers", h.out, "body", body_seen(r),
                               "status", o->sending == SEND_NOTHING ? 0 : o->status, "fault", o->fault));
    if (json_array_size(r->sb->seen) > SB_SEEN_MAX)
        json_array_remove(r->sb->seen, 0);
}

/* ?platform= &since=N &match=GLOB (of host and path) */
json_t *seen_list(const struct sb *sb, const struct sb_req *r)
{
    const char *platform = sb_param(&r->query, "platform"), *match = sb_param(&r->query, "match");
    const char *after = sb_param(&r->query, "since");
    int64_t since = 0;
    json_t *out = json_array(), *one;
    size_t i;

    if (after)
        gd_parse_i64(after, &since);
    json_array_foreach(sb->seen, i, one)
    {
        GD_AUTO_FREE char *where =
            gd_strf("%s%s", gd_json_text(one, "host", ""), gd_json_text(one, "path", ""));

        if (gd_json_i64(one, "n", 0) <= since ||
            (platform && strcmp(platform, gd_json_text(one, "platform", "")) != 0) ||
            (match && fnmatch(match, where, 0) != 0))
            continue;
        json_array_append(out, one);
    }
    return out;
}
