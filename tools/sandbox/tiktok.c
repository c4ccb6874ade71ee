/* tiktok.c - the stand-in for TikTok: the gateway (envelope, path rules, tokens, limits) of
 * business-api.tiktok.com. */
#include "tiktok.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define HOST "business-api.tiktok.com"

/* tiktok.md 1.3: {"code","message","request_id","data"}, HTTP 200 for almost every application error. */
static void envelope(struct sb_req *r, int code, const char *message, json_t *data)
{
    char *id = gd_arena_strdup(r->arena, sb_make(r, "request_id", sb_time(r, sb_now(r), "%Y%m%d%H%M%S"), 20));

    for (char *c = id; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    sb_json(
        r, 200,
        json_pack("{s:i, s:s, s:s, s:o}", "code", code, "message", message, "request_id", id, "data", data));
}

void tiktok_ok(struct sb_req *r, json_t *data)
{
    envelope(r, 0, "OK", data);
}

void tiktok_fail(struct sb_req *r, int code, const char *fmt, ...)
{
    va_list ap;
    char *message;

    va_start(ap, fmt);
    message = gd_arena_vstrf(r->arena, fmt, ap);
    va_end(ap);
    envelope(r, code, message, json_object());
}

/* tiktok.md 1.1: without the final slash the gateway answers 404 with plain text, not JSON. */
static void missing(struct sb_req *r, bool wrong_method)
{
    if (wrong_method)
        sb_text(r, 405, "text/plain", "405 method not allowed"); /* 1.3: HTTP 4xx = wrong path or method */
    else
        sb_text(r, 404, "text/plain", "404 page not found");
}

static void user_info(struct sb_req *r)
{
    const char *token = sb_header(r, "Access-Token");

    if (!token)
        tiktok_fail(r, 40104, "access token is empty; use header Access-Token");
    else
        tiktok_fail(r, 40105, "access token is incorrect or revoked");
}

static const struct sb_route routes[] = {
    { "GET", HOST, "/open_api/v1.3/user/info/", user_info },
    { 0 },
};

static void consent(struct sb_req *r, const struct sb_choice *c)
{
    sb_redirect(r, gd_json_text(c->page, "redirect_uri", ""), "state", gd_json_text(c->page, "state", NULL),
                NULL);
}

static const char *const origins[] = { "https://business-api.tiktok.com", "https://ads.tiktok.com",
                                       "https://www.tiktok.com", "https://open.tiktokapis.com", NULL };

const struct sb_platform sb_tiktok = {
    .name = "tiktok",
    .origins = origins,
    .routes = { routes },
    .missing = missing,
    .consent = consent,
};
