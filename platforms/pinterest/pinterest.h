/* pinterest.h - what the files of this platform share: requests, refusals, and how far a run is. "Spec" is
 * Pinterest's own OpenAPI description, version 5.23.0; see README.md for the other sources. */
#ifndef PINTEREST_H
#define PINTEREST_H

#include <grantd/platform_help.h>

#include <string.h>

/* Whose token a request shows: the agency's (the hub) or the client's. */
enum { PIN_HUB = 1, PIN_CLIENT };
enum { PIN_SHARE, PIN_REQUEST, PIN_TOKEN, PIN_AGENCY };

/* op->state. */
struct pin {
    int who;          /* of the request in flight */
    const char *path; /* list.c: the list being read, and what it is asked with */
    const char *const *query;
    const char *mark; /* its next page */
    int pages, small; /* small: rows are large, so a page has few */
    void (*row)(grantd_op *op, const grantd_doc *page, const char *at);
    grantd_fn *then;
    grantd_doc_fn *refused; /* NULL: pin_fail */
    const char *bad;        /* an answer lied: how */
    const char *asset;      /* the asset that is looked for, NULL: none */
    const char *held;       /* permissions on it, joined by commas; NULL: not there */
    const char *ids;        /* ids seen, joined by commas */
    const char *rights;     /* what each of them is seen with: "1 ADMIN,ANALYST " and so on */
    const char **choices;   /* pairs id, label of what can be chosen */
    const char **names;     /* their names, by position */
    int64_t n;              /* of them */
    const char *invite;     /* id of an open invite to the hub */
    int partner, closed;
    const char *business;  /* the client's business */
    const char *kind, *id; /* revoke: the surface at hand */
    int64_t at;
};
static inline struct pin *pin(const grantd_op *op)
{
    return op->state;
}

/* call.c */
int pin_mode(const grantd_op *op);
int pin_id(const char *s);                          /* digits only, at most 20 (spec: pattern) */
int pin_listed(const char *list, const char *word); /* word in a list joined by commas */
enum { PIN_IDS_MAX = 100 };
/* The ids of a hint or an answer, joined by commas; NULL: one is no id, or there is none. */
const char *pin_ids(grantd_op *op, const char *text);
/* The i-th id of a list joined by commas; NULL past the end. */
const char *pin_nth(grantd_op *op, const char *list, int64_t i);
/* The open invitation of the client's business to the hub's, or the hub's open request: sets pin(op)->invite,
 * NULL when there is none. */
grantd_next *pin_find_invite(grantd_op *op, const char *kind, const char *business, grantd_fn *then,
                             grantd_doc_fn *refused);
#define PIN_INVITATION  "invitation" /* kinds of surfaces; their id is the client's business */
#define PIN_REQUEST_OUT "request"
grantd_next *pin_need_hub(grantd_op *op); /* NULL: it is there */
grantd_next *pin_fail(grantd_op *op, const grantd_doc *answer);
grantd_next *pin_lied(grantd_op *op, const char *what);
/* One request with JSON text (NULL: none) as its body. */
grantd_next *pin_send(grantd_op *op, int who, const char *method, const char *path, const char *json,
                      uint32_t flags, grantd_doc_fn *next);
/* All pages of a list: row for each element, then on. pairs must live as long as the run. */
grantd_next *pin_list(grantd_op *op, int who, const char *path, const char *const *pairs,
                      void (*row)(grantd_op *, const grantd_doc *, const char *), grantd_fn *then,
                      grantd_doc_fn *refused);
const char *pin_seen_with(grantd_op *op, const char *id); /* by pin_look: its permissions; NULL: none */
/* The permissions at a path, joined by commas; "" none. */
const char *pin_permissions(grantd_op *op, const grantd_doc *a, const char *path);
/* What the hub may do with the client's ad accounts: sets held for pin(op)->asset, and ids. */
grantd_next *pin_look(grantd_op *op, const char *business, grantd_fn *then, grantd_doc_fn *refused);

/* oauth.c, share.c, end.c: the functions of the table */
grantd_fn pin_authorize, pin_exchange, pin_refresh, pin_work, pin_revoke, pin_verify, pin_scan;
grantd_next *pin_refused_callback(grantd_op *op);

#endif
