/* portal/portal_int.h - what portal.c (life), routes.c (which request means what) and answer.c (what every
 * answer carries) share. */
#ifndef GD_PORTAL_PORTAL_INT_H
#define GD_PORTAL_PORTAL_INT_H

#include "portal/bucket.h"
#include "portal/form.h"
#include "portal/pages.h"
#include "portal/portal.h"
#include "portal/server.h"
#include "portal/view.h"

#define GD_PORTAL_DELAY_MAX 5000 /* ms that a wrong secret waits at most */

struct gd_portal {
    struct gd_portal_server *server;
    struct gd_portal_pages *pages;
    struct gd_broker *broker;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_log *log;
    char *origin; /* public_url without a trailing slash */
    bool secure;  /* browsers see https */
    bool tls;     /* it ends here, not at a proxy */
    struct gd_portal_prefix *trusted;
    size_t ntrusted;
    unsigned char cookie_key[32];
    struct gd_portal_buckets *by_net;       /* requests */
    struct gd_portal_buckets *wrong_by_net; /* wrong secrets and states */
    struct gd_portal_buckets *wrong_by_link;
    struct gd_portal_buckets *posts_by_link;
    uint64_t wrong, limited;
    void (*closed)(void *);
    void *closed_arg;
};

/* One request on its way through the broker. Freed by the answer. */
struct gd_portal_visit {
    struct gd_portal *p;
    struct gd_portal_exchange *x;
    const char *route;          /* "/a/{link}": what the log says */
    char *link, *secret, *flow; /* from the path; NULL where the route has none */
    char *found_link;           /* link of a flow, once the broker has said it */
    json_t *form;
    json_t *shown;                    /* what the broker said of the link, while it is asked about the past */
    char session[GD_SESSION_LEN + 1]; /* "" : none */
    bool new_session;
    bool may_leave; /* the page has a form whose answer leads to a platform */
    char address[GD_ADDRESS_TEXT];
    struct gd_portal_address net;
    struct gd_visitor visitor;
};

/* routes.c */
void gd_portal_on_request(void *arg, struct gd_portal_exchange *x);

/* answer.c: each ends the visit */
void gd_portal_visit_page(struct gd_portal_visit *v, enum gd_portal_page page, json_t *view); /* takes view */
void gd_portal_visit_error(struct gd_portal_visit *v, int status, const char *word, int64_t wait_ms,
                           int64_t delay_ms);
void gd_portal_visit_err(struct gd_portal_visit *v, const struct gd_err *err, int64_t delay_ms);
void gd_portal_visit_redirect(struct gd_portal_visit *v, const char *url);
void gd_portal_visit_health(struct gd_portal_visit *v);
void gd_portal_visit_text(struct gd_portal_visit *v, const char *text); /* 200, plain text */
void gd_portal_on_refused(void *arg, const struct gd_portal_address *peer, int status, const char *why,
                          struct gd_portal_reply *reply);
/* The form's token: HMAC over the browser's session and the page it stands on. out: 44 bytes. */
void gd_portal_csrf(const struct gd_portal *p, const char *session, const char *page, char *out);
const char *gd_portal_cookie_name(const struct gd_portal *p);

#endif
