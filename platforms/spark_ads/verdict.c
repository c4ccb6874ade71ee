/* verdict.c - what TikTok says of a code or a post, in words for people. The numbers are those of Ads
 * Manager; on the API mostly the text tells (facts: tiktok.md 5.7, open question 2). Rows are tried in order.
 */
#include "spark.h"

static const struct sp_verdict verdicts[] = {
    { "already", "authoriz", 0, NULL, NULL, 0 },
    { "already", "authoris", 0, NULL, NULL, 0 },
    { "already", "used", 0, "CODE_USED", "this code was used before: ask the creator for a new one", 0 },
    { "already", "another", 0, "CODE_USED",
      "this code belongs to another ad account already: ask for a new one", 0 },
    { "expired", NULL, 4025, "CODE_EXPIRED", "the window of this code is over: let the creator extend it",
      0 },
    { "revoked", NULL, 0, "CODE_REVOKED", "the creator took this code back: ask for a new one", 0 },
    { "cancel", NULL, 0, "CODE_REVOKED", "the creator took this code back: ask for a new one", 0 },
    { "auth_code_not_found", NULL, 0, "CODE_REVOKED", "the creator deleted this code: ask for a new one", 0 },
    { "format_error", NULL, 4013, "CODE_WRONG", "TikTok does not know this code: copy it again in the app",
      0 },
    { "incorrect", "code", 0, "CODE_WRONG", "TikTok does not know this code: copy it again in the app", 0 },
    { "invalid", "code", 0, "CODE_WRONG", "TikTok does not know this code: copy it again in the app", 0 },
    { "private", NULL, 0, "POST_PRIVATE", "the post is not public: let the creator make it public", 0 },
    { "public", NULL, 0, "POST_PRIVATE", "the post is not public: let the creator make it public", 0 },
    { "deleted", NULL, 0, "POST_DELETED", "the post was deleted", 0 },
    { "guideline", NULL, 4002, "POST_REFUSED", "the post breaches TikTok's guidelines", 0 },
    { "video_unavailable", NULL, 0, "POST_REFUSED", "the post breaches TikTok's guidelines", 0 },
    { "illegal_item_status", NULL, 900012, "POST_REFUSED", "TikTok's community rules keep the post from ads",
      0 },
    { "mention_multiple", NULL, 930002, "POST_TYPE", "a post that mentions several posts cannot be used", 0 },
    { "duet", NULL, 900003, "POST_TYPE", "a duet or stitch of a duet or stitch cannot be used", 0 },
    { "stitch", NULL, 0, "POST_TYPE", "a duet or stitch of a duet or stitch cannot be used", 0 },
    { "story", NULL, 4027, "POST_TYPE", "a story cannot be used", 0 },
    { "carousel", NULL, 4042, "POST_TYPE", "a photo duet cannot be used", 0 },
    { "not supported", NULL, 0, "POST_TYPE", "TikTok does not support this kind of post in ads", 0 },
    { "not indexed", NULL, 0, "NOT_FOUND", "TikTok did not find the post, and it was asked for long enough",
      1 },
    { "not found", NULL, 0, "NOT_FOUND", "TikTok did not find the post, and it was asked for long enough",
      1 },
    { "belong", NULL, 0, "NOT_YOURS", "this code is for somebody else: ask the creator for one for you", 0 },
    { "permission", NULL, 40001, "NOT_YOURS",
      "the agency's person may not use it in this ad account: give it the ad account, or use another", 0 },
};

const struct sp_verdict *sp_verdict_of(grantd_op *op, const grantd_doc *a)
{
    int class = tt_class(op, a);
    int64_t code = tt_code(op, a);

    if (code == 0 || code == -1 || class == GRANTD_E_LIMITED || class == GRANTD_E_TRANSIENT ||
        class == GRANTD_E_REAUTH)
        return NULL;
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        const struct sp_verdict *v = &verdicts[i];

        if (tt_says(op, a, v->part) && (!v->part2 || tt_says(op, a, v->part2)))
            return v;
    }
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (verdicts[i].code && verdicts[i].code == code)
            return &verdicts[i];
    return NULL;
}

/* Statuses of a post (facts: tiktok.md 5.3); the identity calls put ITEM_STATUS_ or STATUS_ before them. */
static const struct sp_verdict statuses[] = {
    { "ONLY_AUTHOR_SEE", NULL, 0, "POST_PRIVATE",
      "only its author sees the post: let the creator make it public", 0 },
    { "ONLY_FRIEND_SEE", NULL, 0, "POST_PRIVATE", "only friends see the post: let the creator make it public",
      0 },
    { "USER_DELETE", NULL, 0, "POST_DELETED", "the creator deleted the post", 0 },
    { "AUDIT_DELETE", NULL, 0, "POST_REFUSED", "TikTok removed the post", 0 },
};

const struct sp_verdict *sp_status(const char *status)
{
    for (size_t i = 0; status && i < sizeof statuses / sizeof *statuses; i++)
        if (strstr(status, statuses[i].part))
            return &statuses[i];
    return NULL;
}
