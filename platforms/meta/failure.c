/* failure.c - what an answer means: who has to act. The body decides, not the HTTP status (facts: 0.1 and A1,
 * "Error codes and classification"; the order of the tests is theirs). */
#include "meta.h"

enum { RETRY = 1, RATE, BLOCKED, REAUTH, CALLER, DENIED, PERMANENT, MANUAL, AGAIN };

/* The facts' table. sub 0: any. The first that fits counts; to is the last code of a range. */
static const struct {
    int64_t code, sub;
    int64_t to;
    int class;
    const char *text;
} table[] = {
    { 4, 0, 4, RATE, "the app's call limit is reached" },
    { 17, 0, 17, RATE, "the user's call limit is reached" },
    { 32, 0, 32, RATE, "the Page's call limit is reached" },
    { 341, 0, 341, RATE, "the app's limit is reached" },
    { 613, 0, 613, RATE, "too many calls for this account" },
    { 80000, 0, 80006, RATE, "the business use case limit is reached" },
    { 80008, 0, 80009, RATE, "the business use case limit is reached" },
    { 80014, 0, 80014, RATE, "the business use case limit is reached" },
    { 368, 0, 368, BLOCKED, "Meta has blocked this for a time, for its policies" },
    { 1, 99, 1, CALLER, "Meta did not take this combination of parameters" },
    { 1, 0, 1, RETRY, "Meta had an unknown fault" },
    { 2, 0, 2, RETRY, "Meta's service is down" },
    { 3, 0, 3, PERMANENT, "the app lacks the capability for this call" },
    { 10, 0, 10, DENIED, "a permission was not granted, or was taken away" },
    { 100, 33, 100, DENIED, "it does not exist, or this login may not see it" },
    { 100, 36007, 100, AGAIN, "the code of the login has expired" },
    { 100, 36008, 100, CALLER, "the redirect URI is not the one of the login" },
    { 100, 36009, 100, AGAIN, "the code of the login was used already" },
    { 100, 1752129, 100, CALLER, "this set of tasks is not supported for an ad account" },
    { 100, 0, 100, CALLER, "Meta did not take a parameter" },
    { 101, 0, 101, CALLER, "app_id or app_secret is wrong" },
    { 102, 0, 102, REAUTH, "the session is no longer valid" },
    { 452, 0, 452, REAUTH, "the session is no longer valid" },
    { 190, 458, 190, REAUTH, "the person has removed the app" },
    { 190, 459, 190, REAUTH, "the person must log in at facebook.com first" },
    { 190, 464, 190, REAUTH, "the person must confirm the account at facebook.com first" },
    { 190, 460, 190, REAUTH, "the password was changed" },
    { 190, 463, 190, REAUTH, "the token has expired" },
    { 190, 467, 190, REAUTH, "the token is invalid or was revoked" },
    { 190, 492, 190, DENIED, "the person has no role on this Page" },
    { 190, 493, 190, REAUTH, "the person was not active for 90 days" },
    { 190, 0, 190, REAUTH, "the token is not valid" },
    { 191, 0, 191, CALLER, "the redirect URI is not registered with the app" },
    { 270, 0, 270, PERMANENT, "the app's access level does not allow this call" },
    { 200, 0, 299, DENIED, "a permission is missing" },
    { 415, 0, 415, MANUAL, "the business asks for two-factor authentication" },
    { 2635, 0, 2635, CALLER, "this version of the Marketing API has ended; set api_version to a newer one" },
    { 3914, 0, 3914, DENIED, "the last admin cannot be removed" },
    { 3918, 0, 3918, CALLER, "it belongs to another business, access has to be asked for" },
    { 3977, 0, 3977, DENIED, "the person is no admin of the Page" },
    { 3982, 0, 3982, DENIED, "the rights do not suffice" },
    { 104001, 0, 104001, CALLER, "there is no app in the business" },
    { 3949, 0, 3949, CALLER, "the limit of system users is reached" },
    { 3965, 0, 3965, CALLER, "the limit of system users is reached" },
    { 3962, 0, 3962, CALLER, "a permission's name is unknown" },
    { 803, 0, 803, CALLER, "the id is unknown" },
    { 2500, 0, 2500, CALLER, "the path is unknown" },
};
enum { NTABLE = sizeof table / sizeof table[0], LONG_WAIT = 6 * 3600, WAIT_MAX = 86400 };

static int64_t code_of(grantd_op *op, const grantd_doc *a)
{
    return grantd_num(op, a, "error.code", 0);
}

static int row_of(grantd_op *op, const grantd_doc *a)
{
    int64_t code = code_of(op, a), sub = grantd_num(op, a, "error.error_subcode", 0);

    for (int i = 0; i < NTABLE; i++)
        if (code >= table[i].code && code <= table[i].to && (!table[i].sub || table[i].sub == sub))
            return i;
    return -1;
}

static int is_object(grantd_op *op, const grantd_doc *a)
{
    return grantd_type(op, a, "") == GRANTD_IS_OBJECT;
}

static int has_error(grantd_op *op, const grantd_doc *a)
{
    return grantd_type(op, a, "error") != GRANTD_IS_ABSENT;
}

/* Older answers to a deletion are a plain true (facts: A2, "Revoking the OAuth grant"). */
static int plain_true(grantd_op *op, const grantd_doc *a)
{
    const char *body = grantd_body(op, a);

    return body && !strcmp(body, "true");
}

static int says_no(grantd_op *op, const grantd_doc *a)
{
    return grantd_type(op, a, "success") != GRANTD_IS_ABSENT && grantd_num(op, a, "success", 0) != 1;
}

int me_bad(grantd_op *op, const grantd_doc *a)
{
    me_watch_served(op, a);
    me_watch_usage(op, a);
    if (grantd_ok(op, a) && plain_true(op, a))
        return 0;
    return !grantd_ok(op, a) || !is_object(op, a) || has_error(op, a) || says_no(op, a);
}

int me_is(grantd_op *op, const grantd_doc *a, int64_t code, int64_t sub)
{
    return code_of(op, a) == code && (!sub || grantd_num(op, a, "error.error_subcode", 0) == sub);
}

/* ---- classes
 * ----------------------------------------------------------------------------------------------- */
static int contains(const char *text, const char *part)
{
    return text && strstr(text, part) != NULL;
}

/* Nothing that Meta says of an error: the status, and what a proxy may have put in its place. */
static int class_of_status(grantd_op *op, const grantd_doc *a)
{
    int status = grantd_status(op, a);

    if (status == 429)
        return GRANTD_E_LIMITED;
    if (status >= 500 || contains(grantd_body(op, a), "Service Unavailable"))
        return GRANTD_E_TRANSIENT;
    if (!is_object(op, a) && status / 100 == 2)
        return GRANTD_E_TRANSIENT;
    return status == 403 ? GRANTD_E_FORBIDDEN : GRANTD_E_PROTOCOL;
}

static int class_of_row(grantd_op *op, int row)
{
    int client = me(op)->who == ME_CLIENT || me(op)->who == ME_PAGE;

    switch (table[row].class) {
    case RETRY:
        return GRANTD_E_TRANSIENT;
    case RATE:
    case BLOCKED:
        return GRANTD_E_LIMITED;
    case REAUTH: /* the hub's token is the operator's */
        return client ? GRANTD_E_REAUTH : GRANTD_E_CONFIG;
    case AGAIN:
        return GRANTD_E_REAUTH;
    case CALLER:
        return GRANTD_E_CONFIG;
    case MANUAL:
        return GRANTD_E_MANUAL;
    default:
        return GRANTD_E_FORBIDDEN;
    }
}

int me_class(grantd_op *op, const grantd_doc *a)
{
    int row = row_of(op, a);
    int64_t code = code_of(op, a);

    if (grantd_type(op, a, "error") != GRANTD_IS_OBJECT)
        return class_of_status(op, a);
    if (row >= 0 && (table[row].class == RATE || table[row].class == BLOCKED))
        return GRANTD_E_LIMITED;
    if (grantd_status(op, a) == 429)
        return GRANTD_E_LIMITED;
    if (grantd_num(op, a, "error.is_transient", 0) == 1)
        return GRANTD_E_TRANSIENT;
    if (code == 1 && contains(grantd_text(op, a, "error.message"), "Error validating client secret"))
        return GRANTD_E_CONFIG;
    if (row >= 0)
        return class_of_row(op, row);
    if (code < 0 || grantd_status(op, a) >= 500)
        return GRANTD_E_TRANSIENT;
    return code ? GRANTD_E_CONFIG : GRANTD_E_PROTOCOL;
}

int me_waits(int class)
{
    return class == GRANTD_E_TRANSIENT || class == GRANTD_E_LIMITED;
}

int me_unseen(grantd_op *op, const grantd_doc *a)
{
    return me_class(op, a) == GRANTD_E_FORBIDDEN ? me_is(op, a, 100, 33) || !code_of(op, a)
                                                 : me_is(op, a, 803, 0) && !me_waits(me_class(op, a));
}

/* Facts: A3, "Which error an app without access receives": 3, 10, 200-299 or 100/33. */
int me_withdrawn(grantd_op *op, const grantd_doc *a)
{
    int64_t code = code_of(op, a);

    if (me_waits(me_class(op, a)))
        return 0;
    return code == 3 || code == 10 || (code >= 200 && code <= 299 && code != 270) || me_is(op, a, 100, 33);
}

/* ---- sentences
 * --------------------------------------------------------------------------------------------- */
const char *me_why(grantd_op *op, const grantd_doc *a)
{
    int row = row_of(op, a);
    const char *said = grantd_text(op, a, "error.message");
    int64_t code = code_of(op, a), sub = grantd_num(op, a, "error.error_subcode", 0);

    if (grantd_type(op, a, "error") != GRANTD_IS_OBJECT)
        return says_no(op, a) ? "Meta said that it was not done"
                              : grantd_strf(op, "Meta answered HTTP %d", grantd_status(op, a));
    if (code == 1 && contains(said, "Error validating client secret"))
        return "Meta did not take app_secret (code 1)";
    return grantd_strf(op, "%s (code %lld%s)%s%.160s",
                       row >= 0 ? table[row].text : "Meta refused with an error that its documentation lacks",
                       (long long)code, sub ? grantd_strf(op, "/%lld", (long long)sub) : "", said ? ": " : "",
                       said ? said : "");
}

/* ---- limits (facts: A4)
 * ------------------------------------------------------------------------------------ */

/* The largest number behind "key": in a header that holds JSON; -1: none. */
static int64_t largest(const char *text, const char *key)
{
    int64_t best = -1;
    size_t n = strlen(key);

    while (text && (text = strstr(text, key))) {
        int64_t value = 0;
        size_t digits;

        text += n;
        text += strspn(text, "\": ");
        digits = strspn(text, "0123456789");
        for (size_t i = 0; i < digits && digits < 10; i++)
            value = value * 10 + (text[i] - '0');
        best = digits && value > best ? value : best;
    }
    return best;
}

/* Meta sends none (facts: A4), what stands before it may. */
static int64_t retry_after(grantd_op *op, const grantd_doc *a)
{
    const char *text = grantd_header(op, a, "retry-after");
    int64_t n = 0;

    for (size_t i = 0; text && i < 9 && text[i] >= '0' && text[i] <= '9'; i++)
        n = n * 10 + (text[i] - '0');
    return n;
}

static void tell_when(grantd_op *op, const grantd_doc *a)
{
    int64_t minutes =
        largest(grantd_header(op, a, "x-business-use-case-usage"), "estimated_time_to_regain_access");
    int64_t seconds = largest(grantd_header(op, a, "x-ad-account-usage"), "reset_time_duration");
    int row = row_of(op, a);

    seconds = minutes * 60 > seconds ? minutes * 60 : seconds;
    if (retry_after(op, a) > seconds)
        seconds = retry_after(op, a);
    if (row >= 0 && table[row].class == BLOCKED && seconds < LONG_WAIT)
        seconds = LONG_WAIT;
    if (seconds < 60)
        seconds = 60;
    grantd_retry_after(op, grantd_now(op) + (seconds > WAIT_MAX ? WAIT_MAX : seconds));
}

enum { TOLD_USAGE = 4, NEAR = 80 };

void me_watch_usage(grantd_op *op, const grantd_doc *a)
{
    static const char *const keys[] = { "call_count", "total_time", "total_cputime", NULL };
    const char *app = grantd_header(op, a, "x-app-usage"),
               *business = grantd_header(op, a, "x-business-use-case-usage");

    for (const char *const *k = keys; *k && !(me(op)->told & TOLD_USAGE); k++)
        if (largest(app, *k) >= NEAR || largest(business, *k) >= NEAR) {
            me(op)->told |= TOLD_USAGE;
            grantd_warn(op, "RATE_NEAR_LIMIT",
                        "Meta counts %d per cent or more of an hour's calls as used (%s); look less often",
                        NEAR, *k);
        }
}

/* ---- the end
 * ----------------------------------------------------------------------------------------------- */
static const char *whose(grantd_op *op)
{
    switch (me(op)->who) {
    case ME_HUB:
        return "hub: ";
    case ME_APP:
        return "app: ";
    default:
        return "";
    }
}

grantd_next *me_fail(grantd_op *op, const grantd_doc *a)
{
    int class = me_class(op, a), row = row_of(op, a);
    const char *trace = grantd_text(op, a, "error.fbtrace_id");

    if (trace)
        grantd_log(op, GRANTD_INFO, "Meta refused, fbtrace_id %.40s", trace);
    if (class == GRANTD_E_LIMITED)
        tell_when(op, a);
    if (row >= 0 && table[row].class == BLOCKED)
        grantd_warn(op, "BLOCKED_FOR_POLICY",
                    "Meta has blocked the app or the person for a time; look at the app's alerts");
    if (class == GRANTD_E_MANUAL)
        grantd_step(op, .title = "Turn on two-factor authentication",
                    .text = "The business asks it of everybody who acts for it. Turn it on for your login, "
                            "then start again.");
    if (class == GRANTD_E_CONFIG && me(op)->who == ME_HUB && row >= 0 && table[row].class == REAUTH)
        return grantd_fail(op, class, "the hub's credential: %s; run grantctl hub connect", me_why(op, a));
    return grantd_fail(op, class, "%s%s", whose(op), me_why(op, a));
}
