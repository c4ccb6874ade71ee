/* staff.c - a collaborator is a person of the agency in the shop's admin: asked for and accepted by hand.
 * Shopify shows it to an app only where the shop's plan and a permission that Shopify's support switches on
 * allow it (staff_check); elsewhere the agency says that it can see the store. */
#include "shopify.h"

enum { PAGE = 100, PAGES_MAX = 40 };

int sh_is_collaborator(grantd_op *op)
{
    const char *mode = grantd_arg(op, GRANTD_ARG_MODE);
    const grantd_doc *grant = mode ? NULL : grantd_document(op, GRANTD_DOC_GRANT);

    if (!mode && grant)
        mode = grantd_text(op, grant, "item.mode");
    return mode && !strcmp(mode, "collaborator");
}

const char *sh_agency(const grantd_op *op)
{
    const char *name = grantd_option(op, "agency_name");

    return name && *name ? name : "the agency";
}

grantd_next *sh_ask_staff(grantd_op *op, const char *token, grantd_doc_fn *next)
{
    const char *cursor = sh(op)->cursor;
    const char *after = cursor ? grantd_strf(op, ", after: %s", grantd_encode(op, GRANTD_JSON, cursor)) : "";

    return sh_graphql(
        op, token,
        grantd_strf(op,
                    "{ staffMembers(first: %d%s) { nodes { email accountType active } pageInfo { "
                    "hasNextPage endCursor } } }",
                    PAGE, after),
        next);
}

static int of(grantd_op *op, const grantd_doc *answer, const char *at)
{
    const char *type = grantd_text(op, answer, grantd_strf(op, "%s.accountType", at));

    if (type && !strcmp(type, "REQUESTED"))
        return SH_STAFF_REQUESTED;
    if (type && (!strcmp(type, "COLLABORATOR") || !strcmp(type, "COLLABORATOR_TEAM_MEMBER")))
        return grantd_num(op, answer, grantd_strf(op, "%s.active", at), 0) == 1 ? SH_STAFF_ACCEPTED
                                                                                : SH_STAFF_REQUESTED;
    /* Of another kind by now: who can sign in has access. */
    return grantd_num(op, answer, grantd_strf(op, "%s.active", at), 0) == 1 ? SH_STAFF_ACCEPTED
                                                                            : SH_STAFF_NONE;
}

static int same_address(const char *a, const char *b)
{
    return a && b && strlen(a) == strlen(b) && grantd_contains(a, b);
}

int sh_staff(grantd_op *op, const grantd_doc *answer)
{
    struct sh *st = sh(op);
    const char *agency = grantd_option(op, "agency_email"), *path = "data.staffMembers.nodes", *next;

    if (!grantd_ok(op, answer) || grantd_type(op, answer, path) != GRANTD_IS_LIST ||
        grantd_type(op, answer, "errors") == GRANTD_IS_LIST)
        return SH_STAFF_UNKNOWN;
    for (int64_t i = 0; i < grantd_len(op, answer, path); i++) {
        const char *at = grantd_strf(op, "%s.%lld", path, (long long)i);
        int found = same_address(grantd_text(op, answer, grantd_strf(op, "%s.email", at)), agency)
                        ? of(op, answer, at)
                        : SH_STAFF_NONE;

        if (found != SH_STAFF_NONE)
            return found;
    }
    next = grantd_text(op, answer, "data.staffMembers.pageInfo.endCursor");
    if (grantd_num(op, answer, "data.staffMembers.pageInfo.hasNextPage", 0) != 1)
        return SH_STAFF_NONE;
    if (!next || !*next || (st->cursor && !strcmp(st->cursor, next)) || ++st->pages > PAGES_MAX)
        return SH_STAFF_UNKNOWN; /* a list that does not end was not seen to its end */
    st->cursor = next;
    return -1;
}
