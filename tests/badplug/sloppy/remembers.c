/* Remembers the last caller's token between two steps, outside of its operation. */
#include "../bad.h"
static const char *last[4];
static grantd_next *on_answer(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || !grantd_text(op, a, "access_token"))
        return grantd_fail_answer(op, a);
    return grantd_done(op, .access_token = grantd_text(op, a, "access_token"), .account_id = last[0]);
}
static grantd_next *renew(grantd_op *op)
{
    last[0] = grantd_arg(op, GRANTD_ARG_ACCOUNT_ID);
    return grantd_http(op, on_answer, .url = "https://api.example.com/token",
                       .form = grantd_pairs("refresh_token", grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN)));
}
static const char *const hosts[] = { "api.example.com", 0 };
GRANTD_PLATFORM(remembers, GOOD, .hosts = hosts, .refresh = renew);
