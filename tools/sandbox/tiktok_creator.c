/* tiktok_creator.c - the stand-in for TikTok: what a creator's token does (tiktok.md 5.5): minting,
 * extending, looking at and deleting Spark codes, and the list of posts. */
#include "tiktok.h"
#include "base/mem.h"

#include <string.h>

#define SECONDS "%Y-%m-%d %H:%M:%S"

/* 3.1 "passes as business_id"; another's is not yours [assumed: 40001]. */
static bool own_business(struct sb_req *r, const json_t *args, const json_t *token)
{
    if (sb_same(gd_json_text(args, "business_id", NULL), gd_json_text(token, "open_id", NULL)))
        return true;
    tiktok_fail(r, 40001, "no permission to operate this business_id");
    return false;
}

/* The creator's post, or NULL with the answer given: 1.4 "| 40002 |". */
static json_t *own_post(struct sb_req *r, const json_t *args, const json_t *token)
{
    json_t *post;

    if (!own_business(r, args, token))
        return NULL;
    post = tiktok_post(r, gd_json_text(args, "item_id", ""));
    if (post && sb_same(gd_json_text(post, "creator", NULL), gd_json_text(token, "open_id", NULL)) &&
        strcmp(gd_json_text(post, "status", ""), "USER_DELETE") != 0)
        return post;
    tiktok_fail(r, 40002, "the post does not exist or is not this account's");
    return NULL;
}

/* 5.5 "Needs user-level ad authorisation switched on"; code and text [assumed]. */
static bool switched_on(struct sb_req *r, const json_t *token)
{
    if (gd_json_bool(tiktok_creator(r, gd_json_text(token, "open_id", "")), "ad_authorization", false))
        return true;
    tiktok_fail(r, 40002, "ad authorization is switched off in the account's settings");
    return false;
}

/* 5.5 "POST /business/post/authorize/setting/": the five fields; 5.5 "found response bodies EMPTY in
 * practice". */
static void answer_code(struct sb_req *r, const json_t *code, const char *status)
{
    json_t *data = json_pack("{s:O, s:O, s:s, s:s, s:O}", "item_id", json_object_get(code, "item_id"),
                             "auth_code", json_object_get(code, "code"), "auth_code_start_time",
                             sb_time(r, gd_json_i64(code, "start", 0), SECONDS), "auth_code_end_time",
                             sb_time(r, gd_json_i64(code, "end", 0), SECONDS), "authorization_days",
                             json_object_get(code, "days"));

    if (status) {
        json_object_set_new(data, "auth_code_status", json_string(status));
    } else if (sb_option_bool(r, "empty_bodies")) {
        json_object_clear(data);
    }
    tiktok_ok(r, data);
}

/* 5.5 "Cannot switch the setting off while the post is used in Spark Ads": nor delete, on the same line; the
 * code is [assumed]. */
static bool free_of_ads(struct sb_req *r, const json_t *post)
{
    if (!gd_json_bool(post, "in_active_ad", false))
        return true;
    tiktok_fail(r, 40002, "the post is used in Spark Ads");
    return false;
}

static void delete_code(struct sb_req *r, const json_t *post)
{
    json_t *code = tiktok_code_of(r, gd_json_text(post, "item_id", ""));

    if (code)
        json_object_set_new(code, "state", json_string("DELETED"));
}

/* 5.5 "POST /business/post/authorize/setting/": when true the five fields; when false {}. */
static void setting(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *post = own_post(r, args, token), *code;
    bool on = gd_json_bool(args, "is_ad_promotable", false);

    if (!post || !switched_on(r, token) || (!on && !free_of_ads(r, post)))
        return;
    json_object_set_new(post, "promotable", json_boolean(on));
    if (!on) {
        delete_code(r, post);
        tiktok_ok(r, json_object());
        return;
    }
    code = tiktok_code_of(r, gd_json_text(args, "item_id", ""));
    if (!code)
        code = tiktok_code_new(r, gd_json_text(args, "item_id", ""),
                               gd_json_i64(args, "authorization_days", 30));
    answer_code(r, code, NULL);
}

/* 5.5 "ADDS days to an existing code", or mints a fresh one if the code was deleted. */
static void extend(struct sb_req *r, const json_t *args, json_t *token)
{
    int64_t days = gd_json_i64(args, "authorization_days", 30);
    json_t *code;

    if (!own_post(r, args, token) || !switched_on(r, token))
        return;
    code = tiktok_code_of(r, gd_json_text(args, "item_id", ""));
    if (code)
        tiktok_code_extend(code, days);
    else
        code = tiktok_code_new(r, gd_json_text(args, "item_id", ""), days);
    answer_code(r, code, NULL);
}

/* 5.5 "GET /business/post/authorize/status/": the five and auth_code_status; an error when the post has no
 * code. */
static void status(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *code;

    if (!own_post(r, args, token))
        return;
    code = tiktok_code_of(r, gd_json_text(args, "item_id", ""));
    if (!code)
        tiktok_fail(r, 40002, "the post has no authorization code");
    else if (gd_json_i64(code, "end", 0) <= sb_now(r))
        answer_code(r, code, "EXPIRED");
    else
        answer_code(r, code, tiktok_code_used(r, code) ? "IN_USE" : "NOT_USED");
}

/* 5.5 "POST /business/post/authorize/delete/": an error when there is no code. */
static void delete (struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *post = own_post(r, args, token);

    if (!post)
        return;
    if (!tiktok_code_of(r, gd_json_text(args, "item_id", ""))) {
        tiktok_fail(r, 40002, "the post has no authorization code");
        return;
    }
    if (!free_of_ads(r, post))
        return;
    delete_code(r, post);
    tiktok_ok(r, json_pack("{s:O, s:s}", "item_id", json_object_get(args, "item_id"), "auth_code_status",
                           "DELETED"));
}

/* ---- business/video/list ---- */

static bool video_wanted(const json_t *args, const json_t *post, const char *creator)
{
    const json_t *filters = json_object_get(args, "filters"), *ids = json_object_get(filters, "video_ids");
    int64_t cursor = gd_json_i64(args, "cursor", 0);

    return sb_same(gd_json_text(post, "creator", NULL), creator) &&
           strcmp(gd_json_text(post, "status", ""), "USER_DELETE") != 0 &&
           (!ids || sb_has_text(ids, gd_json_text(post, "item_id", ""))) &&
           (!gd_json_bool(filters, "ad_post_only", false) || gd_json_bool(post, "promotable", false)) &&
           (!cursor || gd_json_i64(post, "create_time", 0) * 1000 < cursor);
}

/* create_time is a text: 7.7 "dawn ride"; item_id always comes, alone when no fields are asked for [assumed].
 */
static json_t *video_row(struct sb_req *r, const json_t *post, const json_t *fields)
{
    json_t *all = json_pack("{s:O, s:O, s:s, s:s}", "item_id", json_object_get(post, "item_id"), "caption",
                            json_object_get(post, "text"), "create_time",
                            sb_strf(r, "%lld", (long long)gd_json_i64(post, "create_time", 0)), "share_url",
                            sb_strf(r, "https://www.tiktok.com/share/%s", gd_json_text(post, "item_id", "")));
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(all, next, name,
                             value) if (!sb_has_text(fields, name) && strcmp(name, "item_id") != 0)
        json_object_del(all, name);
    return all;
}

/* The newest post that is older than the last one taken, or NULL. */
static const json_t *next_post(struct sb_req *r, const json_t *args, const char *creator, int64_t before)
{
    const json_t *best = NULL;
    size_t i;
    json_t *post;

    json_array_foreach(sb_list(r, "posts"), i, post)
    {
        int64_t at = gd_json_i64(post, "create_time", 0);

        if (at < before && video_wanted(args, post, creator) &&
            (!best || at > gd_json_i64(best, "create_time", 0)))
            best = post;
    }
    return best;
}

/* 5.5 "GET /business/video/list/": max_count up to 20; 6 "business/video/list (cursor = ms, has_more)". */
static void video_list(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *creator = gd_json_text(token, "open_id", "");
    int64_t count = gd_json_i64(args, "max_count", 20), before = INT64_MAX;
    json_t *videos;
    const json_t *post;

    if (!own_business(r, args, token))
        return;
    videos = json_array();
    while ((int64_t)json_array_size(videos) < count && (post = next_post(r, args, creator, before))) {
        json_array_append_new(videos, video_row(r, post, json_object_get(args, "fields")));
        before = gd_json_i64(post, "create_time", 0);
    }
    tiktok_ok(r, json_pack("{s:o, s:I, s:b}", "videos", videos, "cursor",
                           (json_int_t)(before == INT64_MAX ? 0 : before * 1000), "has_more",
                           (int)(next_post(r, args, creator, before) != NULL)));
}

/* ---- table ---- */

#define BUSINESS                      \
    { "business_id", TT_TEXT, true }, \
    {                                 \
        "item_id", TT_ID, true        \
    }
#define DAYS                         \
    {                                \
        "authorization_days", TT_INT \
    }

/* 5.5 "authorization_days 7/30/60/180/365"; 1.4 "| 40002 |". */
static bool days_fit(struct sb_req *r, const json_t *args)
{
    int64_t d = gd_json_i64(args, "authorization_days", 30);

    if (d == 7 || d == 30 || d == 60 || d == 180 || d == 365)
        return true;
    tiktok_fail(r, 40002, "authorization_days: not a valid value");
    return false;
}

/* 5.5 "POST /business/post/authorize/setting/" */
static void setting_checked(struct sb_req *r, const json_t *args, json_t *token)
{
    if (days_fit(r, args))
        setting(r, args, token);
}

/* 5.5 "POST /business/post/authorize/ |" */
static void extend_checked(struct sb_req *r, const json_t *args, json_t *token)
{
    if (days_fit(r, args))
        extend(r, args, token);
}

static const struct tt_param setting_params[] = {
    BUSINESS, { "is_ad_promotable", TT_BOOL, true }, DAYS, { 0 }
};
static const struct tt_param extend_params[] = { BUSINESS, DAYS, { 0 } };
static const struct tt_param post_params[] = { BUSINESS, { 0 } };
static const struct tt_param list_params[] = { { "business_id", TT_TEXT, true },
                                               { "fields", TT_TEXTS },
                                               { "filters", TT_OBJECT },
                                               { "cursor", TT_INT },
                                               { "max_count", TT_INT, false, NULL, 1, 20 },
                                               { 0 } };

/* 3.1 "Spark needs": biz.spark.auth, and video.list for the list of posts. */
const struct tt_call tiktok_creator_calls[] = {
    { "POST", "/business/post/authorize/setting/", TT_CREATOR, 0, "biz.spark.auth", setting_params,
      setting_checked },
    { "POST", "/business/post/authorize/", TT_CREATOR, 0, "biz.spark.auth", extend_params, extend_checked },
    { "GET", "/business/post/authorize/status/", TT_CREATOR, 0, "biz.spark.auth", post_params, status },
    { "POST", "/business/post/authorize/delete/", TT_CREATOR, 0, "biz.spark.auth", post_params, delete },
    { "GET", "/business/video/list/", TT_CREATOR, 0, "video.list", list_params, video_list },
    { 0 },
};
