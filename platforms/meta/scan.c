/* scan.c - what was shared to the agency, whoever did it, a page a run: ad accounts first, then Pages (facts:
 * A3, edges client_ad_accounts and client_pages). */
#include "meta.h"

static grantd_fn next_page;
static grantd_doc_fn on_listed;

static const struct me_kind *kind(const grantd_op *op)
{
    return me_kind_of(grantd_noted(op, "pages") ? "" : "act_");
}

grantd_next *me_scan(grantd_op *op)
{
    grantd_next *stop = me_need_hub(op);

    me_watch_version(op);
    return stop ? stop : next_page(op);
}

static grantd_next *next_page(grantd_op *op)
{
    const struct me_kind *k = kind(op);
    const char *after = grantd_noted(op, "after");

    return me_get(op, ME_HUB, grantd_strf(op, "%s/%s", grantd_arg(op, GRANTD_ARG_HUB_ID), k->clients),
                  grantd_pairs("fields",
                               !strcmp(k->name, "page") ? k->fields
                                                        : "id,account_id,name,permitted_tasks,"
                                                          "business{id,name}",
                               "limit", "100", after ? "after" : NULL, after),
                  on_listed);
}

static int list_row(grantd_op *op, const grantd_doc *a, const char *row)
{
    const struct me_kind *k = kind(op);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", row));

    me(op)->kind = k;
    id = id ? me_id(op, k, id, strlen(id)) : NULL;
    if (!id)
        return 0;
    grantd_asset(op, .kind = k->name, .id = id, .name = grantd_text(op, a, grantd_strf(op, "%s.name", row)),
                 .role = me_role_at(op, a, grantd_strf(op, "%s.permitted_tasks", row)),
                 .parent = grantd_text(op, a, grantd_strf(op, "%s.business.id", row)),
                 .layers = GRANTD_LAYER_NATIVE);
    return 1;
}

/* An app without Page permissions may not list Pages: the ad accounts stand all the same. */
static grantd_next *on_refused(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_noted(op, "pages") || me_class(op, a) != GRANTD_E_FORBIDDEN)
        return me_fail(op, a);
    grantd_warn(op, "PAGES_NOT_LISTED", "the hub's credential may not list Pages: %s", me_why(op, a));
    return grantd_finish(op);
}

static grantd_next *on_listed(grantd_op *op, const grantd_doc *a)
{
    const char *after, *before = grantd_noted(op, "after");
    int odd;

    if (me_bad(op, a))
        return on_refused(op, a);
    after = me_next_page(op, a, &odd);
    for (int64_t i = 0; i < grantd_len(op, a, "data") && !odd; i++)
        odd = !list_row(op, a, grantd_strf(op, "data.%lld", (long long)i));
    if (odd || (after && before && !strcmp(after, before)))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "%s is no list, or one that goes round", kind(op)->clients);
    grantd_note(op, "after", after);
    if (!after && grantd_noted(op, "pages"))
        return grantd_finish(op);
    if (!after)
        grantd_note(op, "pages", "1");
    return grantd_continue(op, next_page);
}
