/* Keeps its token where progress belongs, and shows it to whoever looks at what was observed. */
#include "../bad.h"
static grantd_next *on_answer(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || !grantd_text(op, a, "access_token"))
        return grantd_fail_answer(op, a);
    grantd_observe(op, "debug", grantd_text(op, a, "access_token"));
    return grantd_done(op, .access_token = grantd_text(op, a, "access_token"));
}
static grantd_next *renew(grantd_op *op)
{
    return grantd_http(op, on_answer, .url = "https://api.example.com/token",
                       .form = grantd_pairs("refresh_token", grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN)));
}
static const char *const hosts[] = { "api.example.com", 0 };
GRANTD_PLATFORM(tells, GOOD, .hosts = hosts, .refresh = renew);
