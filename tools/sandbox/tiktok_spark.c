/* tiktok_spark.c - the stand-in for TikTok: Spark codes as an advertiser uses them (tiktok.md 5.2) and the
 * identities that come of them (5.6). */
#include "tiktok.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

#define SECONDS "%Y-%m-%d %H:%M:%S"  /* 5.3 "Documented time format" */
#define RFC3339 "%Y-%m-%dT%H:%M:%SZ" /* 5.3 "used RFC 3339 with Z" */

json_t *tiktok_creator(struct sb_req *r, const char *open_id)
{
    return sb_find(sb_list(r, "creators"), "open_id", open_id);
}

json_t *tiktok_post(struct sb_req *r, const char *item_id)
{
    return sb_find(sb_list(r, "posts"), "item_id", item_id);
}

/* ---- codes: {"code", "item_id", "start", "end", "days", "state": "ACTIVE" | "DELETED"} ---- */

json_t *tiktok_code_of(struct sb_req *r, const char *item_id)
{
    return sb_find2(sb_list(r, "spark_codes"), "item_id", item_id, "state", "ACTIVE");
}

/* 5.4 "Leading '#', then base64-like text" */
json_t *tiktok_code_new(struct sb_req *r, const char *item_id, int64_t days)
{
    const char *seed = sb_make(r, "spark_seed", "", 32);
    const char *a = sb_hmac_base64(r, "spark", seed, strlen(seed)),
               *b = sb_hmac_base64(r, "code", seed, strlen(seed));
    int64_t now = sb_now(r);
    const char *code = sb_make(r, "spark_code", sb_strf(r, "#%.43s%.20s=", a, b), 0);
    json_t *one = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "code", code, "item_id", item_id, "start",
                            (json_int_t)now, "end", (json_int_t)(now + days * TT_DAY), "days",
                            (json_int_t)days, "state", "ACTIVE");

    json_array_append_new(sb_list(r, "spark_codes"), one);
    return one;
}

/* 5.5 "ADDS days to an existing code" */
void tiktok_code_extend(json_t *code, int64_t days)
{
    json_object_set_new(code, "days", json_integer(gd_json_i64(code, "days", 0) + days));
    json_object_set_new(code, "end", json_integer(gd_json_i64(code, "end", 0) + days * TT_DAY));
}

bool tiktok_code_used(struct sb_req *r, const json_t *code)
{
    return sb_find(sb_list(r, "redemptions"), "code", gd_json_text(code, "code", "")) != NULL;
}

/* 5.3 "Documented time format": a live answer had the other one. */
static const char *moment(struct sb_req *r, int64_t at)
{
    return sb_option_bool(r, "rfc3339_times") ? sb_time(r, at, RFC3339) : sb_time(r, at, SECONDS);
}

static bool expired(struct sb_req *r, const json_t *code)
{
    return gd_json_i64(code, "end", 0) <= sb_now(r);
}

/* 5.3 "outside the three visible ones": which three is [assumed]. */
static bool visible(const json_t *post)
{
    const char *s = gd_json_text(post, "status", "");

    return strcmp(s, "HESITATE_RECOMMEND") == 0 || strcmp(s, "ONLY_USER_PASS") == 0 ||
           strcmp(s, "REVIEW_PENDING") == 0;
}

/* ---- rows ---- */

/* 5.3 "video_info fields come null, 0 or empty" for a post that is not to be seen. */
static json_t *video_info(const json_t *post)
{
    static const char *const texts[] = { "video_id", "file_name", "signature", "poster_url", "preview_url" };
    static const char *const numbers[] = { "duration", "size", "width", "height", "bit_rate" };
    const json_t *video = visible(post) ? json_object_get(post, "video") : NULL;
    json_t *out = json_object();

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        json_object_set_new(out, texts[i], json_string(gd_json_text(video, texts[i], "")));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (json_object_get(video, numbers[i]))
            json_object_set(out, numbers[i], json_object_get(video, numbers[i]));
        else
            json_object_set_new(out, numbers[i], json_integer(0));
    return out;
}

static json_t *user_info(struct sb_req *r, const json_t *post)
{
    json_t *creator = tiktok_creator(r, gd_json_text(post, "creator", ""));

    if (creator && !json_object_get(creator, "identity_id"))
        json_object_set_new(creator, "identity_id", json_string(sb_make_uuid(r, "identity")));
    return json_pack("{s:s, s:s, s:s}", "tiktok_name", gd_json_text(creator, "username", ""), "identity_id",
                     gd_json_text(creator, "identity_id", ""), "identity_type", "AUTH_CODE");
}

static json_t *item_info(const json_t *post, const char *code)
{
    return json_pack("{s:s, s:O, s:O, s:O, s:O, s:n, s:n}", "auth_code", code, "item_id",
                     json_object_get(post, "item_id"), "item_type", json_object_get(post, "item_type"),
                     "text", json_object_get(post, "text"), "status", json_object_get(post, "status"),
                     "carousel_info", "anchor_list");
}

/* ---- the code that a call names ---- */

/* The causes that Ads Manager tells apart: 5.7 "4002 video_deleted", "4002 video_unavailable", "4027
 * story_video_not_supported", "4042 carousel_duet_not_supported", "930002 mention_multiple_videos" and
 * "900003 multi_duet_stitch_refus". Which code and text the API has for them is open (2): 40002 with a text
 * in which 5.7 "Text classifier used by third-party code" finds its words [assumed]. */
static bool post_usable(struct sb_req *r, const json_t *post)
{
    const char *status = gd_json_text(post, "status", ""), *kind = gd_json_text(post, "kind", "");

    if (!post || strcmp(status, "USER_DELETE") == 0)
        tiktok_fail(r, 40002, "video_deleted: the post was deleted");
    else if (strcmp(status, "AUDIT_DELETE") == 0)
        tiktok_fail(r, 40002, "video_unavailable: the post breaches the guidelines");
    else if (strcmp(status, "ONLY_AUTHOR_SEE") == 0 || strcmp(status, "ONLY_FRIEND_SEE") == 0)
        tiktok_fail(r, 40002, "the post is private, make it public first");
    else if (strcmp(kind, "STORY") == 0)
        tiktok_fail(r, 40002, "story_video_not_supported: stories cannot be used");
    else if (strcmp(kind, "CAROUSEL_DUET") == 0)
        tiktok_fail(r, 40002, "carousel_duet_not_supported: a duet with a carousel cannot be used");
    else if (strcmp(kind, "MULTI_MENTION") == 0)
        tiktok_fail(r, 40002, "mention_multiple_videos: the post tags several posts");
    else if (strcmp(kind, "MULTI_DUET") == 0)
        tiktok_fail(r, 40002, "multi_duet_stitch_refused: a duet of a duet cannot be used");
    else
        return true;
    return false;
}

/* 5.4 "length 20–200, first char '#'" */
static bool well_formed(const char *code)
{
    size_t n = strlen(code);

    return *code == '#' && n >= 20 && n <= 200 &&
           strspn(code + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == n - 1;
}

/* The living code, or NULL with the answer given: 5.7 "4013 auth_code_format_error", "auth_code_not_found",
 * "4025 auth_code_expired" and "Text classifier used by third-party code", as 40002 (open 2). */
static json_t *named_code(struct sb_req *r, const json_t *args)
{
    const char *text = gd_json_text(args, "auth_code", "");
    json_t *code = sb_find(sb_list(r, "spark_codes"), "code", text);

    if (!well_formed(text))
        tiktok_fail(r, 40002, "auth_code_format_error: the authorization code is incorrect");
    else if (!code)
        tiktok_fail(r, 40002, "the authorization code is invalid");
    else if (strcmp(gd_json_text(code, "state", ""), "DELETED") == 0)
        tiktok_fail(r, 40002, "auth_code_not_found: the authorization code was cancelled by the creator");
    else if (expired(r, code))
        tiktok_fail(r, 40002,
                    "the authorization code has expired"); /* 7.8 "expired code (emulator choice)" */
    else if (sb_fault(r, "not_indexed"))
        tiktok_fail(r, 40002, "the post is not found or not indexed yet");
    else
        return code;
    return NULL;
}

/* 1.4 "No permission to operate advertiser <id>" and "nonexistent advertiser" */
static bool own_advertiser(struct sb_req *r, const json_t *args, const json_t *token)
{
    const char *id = gd_json_text(args, "advertiser_id", "");

    if (!tiktok_account(r, id)) {
        tiktok_fail(r, 40002, "advertiser %s does not exist", id);
        return false;
    }
    if (sb_has_text(json_object_get(token, "advertiser_ids"), id))
        return true;
    tiktok_fail(r, 40001, "No permission to operate advertiser %s", id);
    return false;
}

static json_t *redemption(struct sb_req *r, const char *advertiser, const char *item)
{
    return sb_find2(sb_list(r, "redemptions"), "advertiser_id", advertiser, "item_id", item);
}

/* ---- tt_video ---- */

/* 5.2 "GET /tt_video/info/"; before authorize too [assumed]. */
static void video_get_info(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *code = own_advertiser(r, args, token) ? named_code(r, args) : NULL;
    const json_t *post = tiktok_post(r, gd_json_text(code, "item_id", NULL));
    json_t *item;

    if (!code)
        return;
    if (sb_option_bool(r, "info_needs_authorize") &&
        !redemption(r, gd_json_text(args, "advertiser_id", ""), gd_json_text(code, "item_id", ""))) {
        tiktok_fail(r, 40002, "the post is not authorized for this advertiser");
        return;
    }
    if (!post || strcmp(gd_json_text(post, "status", ""), "USER_DELETE") == 0) {
        tiktok_fail(r, 40002, "video_deleted: the post was deleted");
        return;
    }
    item = item_info(post, gd_json_text(code, "code", ""));
    json_object_set_new(item, "stitch_original_item_id", json_string(gd_json_text(post, "stitch_of", "0")));
    json_object_set_new(item, "duet_original_item_id", json_string(gd_json_text(post, "duet_of", "0")));
    json_object_set_new(item, "is_multi_duet_stitch",
                        json_boolean(strcmp(gd_json_text(post, "kind", ""), "MULTI_DUET") == 0));
    json_object_set_new(item, "mentioned_item_ids", json_array());
    tiktok_ok(r, json_pack("{s:{s:s, s:s}, s:o, s:o, s:o}", "auth_info", "auth_start_time",
                           moment(r, gd_json_i64(code, "start", 0)), "auth_end_time",
                           moment(r, gd_json_i64(code, "end", 0)), "item_info", item, "user_info",
                           user_info(r, post), "video_info", video_info(post)));
}

/* 5.2 "POST /tt_video/authorize/" and "takes effect for an ad account only after authorize connects the two";
 * what comes back for a second one is open 2, whether a code serves several accounts open 4. */
static void video_authorize(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *advertiser = gd_json_text(args, "advertiser_id", ""), *text, *item;
    const json_t *code = own_advertiser(r, args, token) ? named_code(r, args) : NULL;
    const json_t *other;

    if (!code || !post_usable(r, tiktok_post(r, gd_json_text(code, "item_id", NULL))))
        return;
    text = gd_json_text(code, "code", "");
    item = gd_json_text(code, "item_id", "");
    other = sb_find(sb_list(r, "redemptions"), "code", text);
    if (redemption(r, advertiser, item)) { /* 5.7 "treat as success and read back" */
        tiktok_fail(r, 40002, "the post is already authorized");
        return;
    }
    if (other && sb_option_bool(r, "code_single_advertiser")) {
        tiktok_fail(r, 40002, "the authorization code is used by another advertiser");
        return;
    }
    json_array_append_new(sb_list(r, "redemptions"),
                          json_pack("{s:s, s:s, s:s, s:I}", "advertiser_id", advertiser, "item_id", item,
                                    "code", text, "invited", (json_int_t)sb_now(r)));
    tiktok_ok(r, json_object());
}

/* 5.3 "ad_auth_status: AUTHORIZED": what a code shows that its creator deleted is unverified. NULL: no row.
 */
static const char *auth_status(struct sb_req *r, const json_t *code)
{
    const char *deleted = sb_option_text(r, "deleted_code_shows");

    if (strcmp(gd_json_text(code, "state", ""), "DELETED") == 0)
        return *deleted ? deleted : NULL;
    return expired(r, code) ? "EXPIRED" : "AUTHORIZED";
}

static json_t *auth_info(struct sb_req *r, const json_t *done, const json_t *code)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "ad_auth_status", auth_status(r, code), "invite_start_time",
                     moment(r, gd_json_i64(done, "invited", 0)), "auth_start_time",
                     moment(r, gd_json_i64(code, "start", 0)), "auth_end_time",
                     moment(r, gd_json_i64(code, "end", 0)));
}

/* 5.2 "exact post id >=19 digits" */
static bool list_wanted(const json_t *args, const json_t *post)
{
    const char *keyword = gd_json_text(args, "keyword", NULL);
    const json_t *types = json_object_get(args, "item_types");

    if (types && !sb_has_text(types, gd_json_text(post, "item_type", "")))
        return false;
    if (!keyword)
        return true;
    if (strlen(keyword) >= 19 && strspn(keyword, "0123456789") == strlen(keyword))
        return sb_same(keyword, gd_json_text(post, "item_id", NULL));
    return strcasestr(gd_json_text(post, "text", ""), keyword) != NULL;
}

/* 5.2 "GET /tt_video/list/" */
static void video_list(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *list, *one;
    size_t i;

    if (!own_advertiser(r, args, token))
        return;
    list = json_array();
    json_array_foreach(sb_list(r, "redemptions"), i, one)
    {
        const json_t *code = sb_find(sb_list(r, "spark_codes"), "code", gd_json_text(one, "code", ""));
        const json_t *post = tiktok_post(r, gd_json_text(one, "item_id", ""));

        if (!sb_same(gd_json_text(one, "advertiser_id", NULL), gd_json_text(args, "advertiser_id", "")) ||
            !post || !auth_status(r, code) || !list_wanted(args, post))
            continue;
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "item_info",
                                              item_info(post, gd_json_text(one, "code", "")), "auth_info",
                                              auth_info(r, one, code), "user_info", user_info(r, post),
                                              "video_info", video_info(post)));
    }
    tiktok_page(r, args, "list", list, 20);
}

/* 5.2 "POST /tt_video/unbind/": described for authorisations that ended, on a live one it is open (4); 1.4 "|
 * 40007 |". */
static void video_unbind(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *advertiser = gd_json_text(args, "advertiser_id", ""),
               *item = gd_json_text(args, "item_id", "");
    const json_t *done, *code;

    if (!own_advertiser(r, args, token))
        return;
    done = redemption(r, advertiser, item);
    code = sb_find(sb_list(r, "spark_codes"), "code", gd_json_text(done, "code", NULL));
    if (!done) {
        tiktok_fail(r, 40007, "the post is not authorized for this advertiser");
        return;
    }
    if (!sb_option_bool(r, "unbind_live") && sb_same(auth_status(r, code), "AUTHORIZED")) {
        tiktok_fail(r, 40002, "the authorization is still in effect");
        return;
    }
    sb_remove(sb_list(r, "redemptions"), "advertiser_id", advertiser, "item_id", item);
    tiktok_ok(r, json_object());
}

/* ---- identities ---- */

/* 7.9 "GET /open_api/v1.3/identity/get/" */
static json_t *identity_row(const char *id, const char *type, const char *bc, const json_t *creator)
{
    return json_pack("{s:s, s:s, s:s?, s:O?, s:O?, s:s, s:b, s:b, s:b, s:b}", "identity_id", id,
                     "identity_type", type, "identity_authorized_bc_id", bc, "display_name",
                     json_object_get(creator, "display_name"), "profile_image",
                     json_object_get(creator, "profile_image"), "available_status",
                     gd_json_text(creator, "available_status", "AVAILABLE"), "can_push_video", 0,
                     "can_pull_video", 1, "can_use_live_ads", 0, "can_manage_message", 0);
}

static void add_code_identities(struct sb_req *r, const char *advertiser, json_t *list)
{
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "redemptions"), i, one)
    {
        const json_t *post = tiktok_post(r, gd_json_text(one, "item_id", ""));
        const json_t *creator = tiktok_creator(r, gd_json_text(post, "creator", NULL));
        const char *id = gd_json_text(creator, "identity_id", NULL);

        if (id && sb_same(gd_json_text(one, "advertiser_id", NULL), advertiser) &&
            !sb_find(list, "identity_id", id))
            json_array_append_new(list, identity_row(id, "AUTH_CODE", NULL, creator));
    }
}

static void add_bc_identities(struct sb_req *r, const char *advertiser, const char *bc, json_t *list)
{
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "tt_links"), i, one)
    {
        const json_t *asset = sb_find2(sb_list(r, "tt_assets"), "bc_id", gd_json_text(one, "bc_id", ""),
                                       "asset_id", gd_json_text(one, "asset_id", ""));

        if (asset && sb_same(gd_json_text(one, "advertiser_id", NULL), advertiser) &&
            (!bc || sb_same(gd_json_text(one, "bc_id", NULL), bc)))
            json_array_append_new(list,
                                  identity_row(gd_json_text(asset, "identity_id", ""), "BC_AUTH_TT",
                                               gd_json_text(one, "bc_id", NULL),
                                               tiktok_creator(r, gd_json_text(asset, "creator", NULL))));
    }
}

/* 5.1 "linked in Ads Manager to one user": by hand only (act link_user). */
static void add_user_identities(struct sb_req *r, const char *advertiser, json_t *list)
{
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "tt_users"), i,
                       one) if (sb_same(gd_json_text(one, "advertiser_id", NULL), advertiser))
        json_array_append_new(list, identity_row(gd_json_text(one, "identity_id", ""), "TT_USER", NULL,
                                                 tiktok_creator(r, gd_json_text(one, "creator", NULL))));
}

static json_t *identities(struct sb_req *r, const json_t *args)
{
    const char *type = gd_json_text(args, "identity_type", NULL),
               *advertiser = gd_json_text(args, "advertiser_id", "");
    json_t *list = json_array();

    if (!type || strcmp(type, "AUTH_CODE") == 0)
        add_code_identities(r, advertiser, list);
    if (!type || strcmp(type, "BC_AUTH_TT") == 0)
        add_bc_identities(r, advertiser, gd_json_text(args, "identity_authorized_bc_id", NULL), list);
    if (!type || strcmp(type, "TT_USER") == 0)
        add_user_identities(r, advertiser, list);
    return list;
}

/* 5.6 "identity_authorized_bc_id (needed with BC_AUTH_TT)" */
static void identity_get(struct sb_req *r, const json_t *args, json_t *token)
{
    if (!own_advertiser(r, args, token))
        return;
    if (sb_same(gd_json_text(args, "identity_type", NULL), "BC_AUTH_TT") &&
        !json_object_get(args, "identity_authorized_bc_id"))
        tiktok_fail(r, 40002, "identity_authorized_bc_id: Missing data for required field");
    else
        tiktok_page(r, args, "identity_list", identities(r, args), 20);
}

/* 5.6 "identity_id looks like a UUID"; an unknown one: 1.4 "| 40002 |". */
static const json_t *own_identity(struct sb_req *r, const json_t *args, const json_t *token)
{
    json_t *one, *list;

    if (!own_advertiser(r, args, token))
        return NULL;
    list = identities(r, args);
    one = json_incref(sb_find(list, "identity_id", gd_json_text(args, "identity_id", "")));
    json_decref(list);
    if (one) {
        json_t *keep = sb_json_of(r, "[]");

        json_array_append_new(keep, one);
        return one;
    }
    tiktok_fail(r, 40002, "the identity is not available for this advertiser");
    return NULL;
}

/* 5.6 "GET /identity/info/" */
static void identity_info(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *one = own_identity(r, args, token);

    if (one)
        tiktok_ok(r, json_pack("{s:O}", "identity_info", one));
}

/* 5.3 "identity endpoints prefix" (the status) and "used RFC 3339 with Z"; 5.6 "auth_info filled for
 * AUTH_CODE only" */
static json_t *identity_video(struct sb_req *r, const json_t *args, const json_t *post)
{
    const json_t *done =
        redemption(r, gd_json_text(args, "advertiser_id", ""), gd_json_text(post, "item_id", ""));
    const json_t *code = sb_find(sb_list(r, "spark_codes"), "code", gd_json_text(done, "code", NULL));
    json_t *info = json_null();

    if (done && sb_same(gd_json_text(args, "identity_type", NULL), "AUTH_CODE"))
        info = json_pack("{s:s, s:s, s:s, s:s}", "ad_auth_status",
                         auth_status(r, code) ? auth_status(r, code) : "", "invite_start_time",
                         sb_time(r, gd_json_i64(done, "invited", 0), RFC3339), "auth_start_time",
                         sb_time(r, gd_json_i64(code, "start", 0), RFC3339), "auth_end_time",
                         sb_time(r, gd_json_i64(code, "end", 0), RFC3339));
    return json_pack("{s:O, s:O, s:s, s:O, s:o, s:o}", "item_id", json_object_get(post, "item_id"),
                     "item_type", json_object_get(post, "item_type"), "status",
                     sb_strf(r, "ITEM_STATUS_%s", gd_json_text(post, "status", "")), "text",
                     json_object_get(post, "text"), "auth_info", info, "video_info", video_info(post));
}

/* Posts that this identity gives to this advertiser: of a code those authorised, of an account all of its
 * creator. */
static bool gives(struct sb_req *r, const json_t *args, const json_t *identity, const json_t *post)
{
    const json_t *creator = tiktok_creator(r, gd_json_text(post, "creator", NULL));
    const char *id = gd_json_text(identity, "identity_id", "");

    if (sb_same(gd_json_text(args, "identity_type", NULL), "AUTH_CODE"))
        return sb_same(gd_json_text(creator, "identity_id", NULL), id) &&
               redemption(r, gd_json_text(args, "advertiser_id", ""), gd_json_text(post, "item_id", ""));
    return sb_same(gd_json_text(creator, "bc_identity_id", NULL), id);
}

static json_t *videos_of(struct sb_req *r, const json_t *args, const json_t *identity, const json_t *ids)
{
    json_t *list = json_array(), *post;
    size_t i;

    json_array_foreach(sb_list(r, "posts"), i,
                       post) if (gives(r, args, identity, post) &&
                                 (!ids || sb_has_text(ids, gd_json_text(post, "item_id", ""))))
        json_array_append_new(list, identity_video(r, args, post));
    return list;
}

/* 5.6 "GET /identity/video/info/": item_id gives video_detail, item_ids (up to 20) video_details; neither or
 * both: 1.4
 * "| 40002 |". */
static void identity_video_info(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *identity = own_identity(r, args, token);
    json_t *one = json_object_get(args, "item_id"), *ids = json_object_get(args, "item_ids"), *list;

    if (!identity)
        return;
    if (!one == !ids) {
        tiktok_fail(r, 40002, "item_id or item_ids, one of them");
        return;
    }
    ids = ids ? json_incref(ids) : json_pack("[O]", one);
    list = videos_of(r, args, identity, ids);
    json_decref(ids);
    if (!one)
        tiktok_ok(r, json_pack("{s:o}", "video_details", list));
    else if (json_array_size(list) == 1)
        tiktok_ok(r, json_pack("{s:O}", "video_detail", json_array_get(list, 0)));
    else
        tiktok_fail(r, 40002, "the post is not available for this identity");
    if (one)
        json_decref(list);
}

/* 5.6 "GET /identity/video/get/" */
static void identity_video_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *identity = own_identity(r, args, token);
    int64_t from = gd_json_i64(args, "cursor", 0), count = gd_json_i64(args, "count", 20), total;
    json_t *list, *out;

    if (!identity)
        return;
    list = videos_of(r, args, identity, NULL);
    out = json_array();
    total = (int64_t)json_array_size(list);
    for (int64_t i = from; i < total && i < from + count; i++)
        json_array_append(out, json_array_get(list, (size_t)i));
    json_decref(list);
    tiktok_ok(r, json_pack("{s:o, s:I, s:b}", "video_list", out, "cursor", (json_int_t)(from + count),
                           "has_more", (int)(from + count < total)));
}

/* 5.6 "GET /asset/bind/quota/"; that it needs 153 is [assumed]. */
static void bind_quota(struct sb_req *r, const json_t *args, json_t *token)
{
    if (own_advertiser(r, args, token))
        tiktok_ok(r,
                  json_pack("{s:i, s:i, s:i}", "total_quota", 100, "used_quota", 0, "available_quota", 100));
}

/* ---- table ---- */

#define ADVERTISER                   \
    {                                \
        "advertiser_id", TT_ID, true \
    }
#define PAGES(max)                               \
    { "page", TT_INT, false, NULL, 1, 1000000 }, \
    {                                            \
        "page_size", TT_INT, false, NULL, 1, max \
    }
#define IDENTITIES "CUSTOMIZED_USER AUTH_CODE TT_USER BC_AUTH_TT TTS_TT"
#define IDENTITY                                                                      \
    { "identity_type", TT_WORD, true, IDENTITIES }, { "identity_id", TT_TEXT, true }, \
    {                                                                                 \
        "identity_authorized_bc_id", TT_ID                                            \
    }

static const struct tt_param code_params[] = { ADVERTISER, { "auth_code", TT_TEXT, true }, { 0 } };
static const struct tt_param authorize_params[] = {
    ADVERTISER, { "auth_code", TT_TEXT, true }, { "original_post_auth_code", TT_TEXT }, { 0 }
};
static const struct tt_param list_params[] = { ADVERTISER,
                                               { "item_types", TT_WORDS, false, "VIDEO CAROUSEL" },
                                               { "keyword", TT_TEXT, false, NULL, 0, 500 },
                                               PAGES(50),
                                               { 0 } };
static const struct tt_param unbind_params[] = { ADVERTISER, { "item_id", TT_ID, true }, { 0 } };
static const struct tt_param identity_params[] = { ADVERTISER,
                                                   { "identity_type", TT_WORD, false, IDENTITIES },
                                                   { "identity_authorized_bc_id", TT_ID },
                                                   { "filtering", TT_OBJECT },
                                                   PAGES(100),
                                                   { 0 } };
static const struct tt_param one_params[] = { ADVERTISER, IDENTITY, { 0 } };
static const struct tt_param video_params[] = {
    ADVERTISER, IDENTITY, { "item_id", TT_ID }, { "item_ids", TT_IDS, false, NULL, 1, 20 }, { 0 }
};
static const struct tt_param videos_params[] = { ADVERTISER,
                                                 IDENTITY,
                                                 { "cursor", TT_INT },
                                                 { "count", TT_INT, false, NULL, 1, 20 },
                                                 { "keyword", TT_TEXT },
                                                 { 0 } };
static const struct tt_param quota_params[] = {
    ADVERTISER, { "asset_id", TT_TEXT, true }, { "asset_type", TT_WORD, true, "IDENTITY" }, { 0 }
};

/* Scopes: 5.2 "Permission: info = 690; authorize/list/unbind = 691", 2.9 "| 692 / 693 / 7176842096345694209
 * |". */
const struct tt_call tiktok_spark_calls[] = {
    { "GET", "/tt_video/info/", TT_ADVERTISER, 690, NULL, code_params, video_get_info },
    { "POST", "/tt_video/authorize/", TT_ADVERTISER, 691, NULL, authorize_params, video_authorize },
    { "GET", "/tt_video/list/", TT_ADVERTISER, 691, NULL, list_params, video_list },
    { "POST", "/tt_video/unbind/", TT_ADVERTISER, 691, NULL, unbind_params, video_unbind },
    { "GET", "/identity/get/", TT_ADVERTISER, 693, NULL, identity_params, identity_get },
    { "GET", "/identity/info/", TT_ADVERTISER, 693, NULL, one_params, identity_info },
    { "GET", "/identity/video/get/", TT_ADVERTISER, 693, NULL, videos_params, identity_video_get },
    { "GET", "/identity/video/info/", TT_ADVERTISER, 693, NULL, video_params, identity_video_info },
    { "GET", "/asset/bind/quota/", TT_ADVERTISER, 153, NULL, quota_params, bind_quota },
    { 0 },
};
