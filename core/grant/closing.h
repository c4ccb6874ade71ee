/* grant/closing.h - a closing under way: close.c begins and ends it, closing.c runs it, facts.c reads
 * what it stands on. Inside the grant
 * room. */
#ifndef GD_GRANT_CLOSING_H
#define GD_GRANT_CLOSING_H

#include "grant/surfaces.h"

/* One for each grant (or orphan) at a time; who asks meanwhile waits for its end. */
struct gd_closing {
    struct gd_broker *b;
    struct gd_call **calls; /* none: resumed, or an orphan */
    unsigned ncalls;
    struct gd_arena *arena;
    const char *workspace, *grant; /* grant "": an orphan */
    const char *key;               /* in gd_broker.closings */
    const char *why;
    char cred[GD_ID_TEXT_MAX]; /* "": native only */
    uint32_t ix_grant, ix_cred;
    enum gd_lifecycle before;
    struct gd_app_state *app;
    const char *client, *account;
    struct gd_grant_doc doc;
    json_t *params, *inputs; /* inputs: what was ordered with it */
    struct gd_surfaces surfaces;
    struct gd_secret access, refresh;
    json_t *kept;
    json_t *others; /* [{"kind","id"}] that other grants and open items of this asset stand on */
    json_int_t siblings;
    bool
        shared; /* others need the credential, or have still to be closed with it: its token is only a tool */
    bool spent; /* the credential is revoked already, or another one holds the same token */
    bool force; /* what cannot be closed is left to a person */
    bool held;  /* the credential's lease is ours */
    bool let_go; /* somebody else let go of an orphan while it was looked at: what was read may be older */
    bool waited; /* since it claimed the grant, for a run that it met, a refresh or another node: meet.c */
    unsigned attempts;
    uv_timer_t again;
};

#define GD_CLOSING_AGAIN_MS 5000 /* after a failure of the store */

/* ---- close.c ---- */
void gd_closing_free(struct gd_closing *x);
/* The grant stays "ending" and is tried again: by the credential's clock where it is being revoked, else by
 * one of its own. An orphan that is not held yet is looked at again by the next sweep. */
void gd_closing_later(struct gd_closing *x, int64_t at);
/* Both end it: who asked is told, and x is freed. */
void gd_closing_failed(struct gd_closing *x, const struct gd_err *err);
void gd_closing_done(struct gd_closing *x);
void gd_closing_hold_cred(struct gd_closing *x); /* nothing is vended or refreshed any more */
/* It is "ending" in the store, and at the platform from now on; then gd_closing_go. */
void gd_closing_claim(struct gd_closing *x);

/* ---- closing.c ---- */
void gd_closing_go(struct gd_closing *x); /* once it is ending in the store */

/* ---- facts.c ---- */
/* Statements of the facts, in one transaction of nothing else. */
enum {
    GD_FACTS_GRANT,
    GD_FACTS_SURFACES,
    GD_FACTS_CRED,
    GD_FACTS_USERS,
    GD_FACTS_FLOWS,
    GD_FACTS_HUBS,
    GD_FACTS_SIBLINGS,
    GD_FACTS_OTHERS_HAVE,
    GD_FACTS_OPEN_ITEMS,
    GD_FACTS_RUNS
};
void gd_closing_read(const struct gd_closing *x, struct gd_tx *tx);
void gd_closing_copy(struct gd_closing *x, const struct gd_tx *tx);
/* What was ordered with it, sealed for the store: a crash, or a platform that cannot do it now, must not
 * forget it. NULL: nothing was. Caller frees; *ret_n bytes. */
unsigned char *gd_closing_seal_order(const struct gd_closing *x, const char *client, size_t *ret_n);
/* Opens the credential's present version; nothing there is no error. */
int gd_closing_open(struct gd_closing *x, const struct gd_tx *tx, struct gd_err *err);
/* A newer consent of the account may have brought the very same token: revoking it would end that one. */
bool gd_closing_held_elsewhere(const struct gd_closing *x, const struct gd_tx *tx);
/* Is the platform being asked for another attempt of the client, that may take over what would be closed? */
bool gd_closing_meets(const struct gd_closing *x, const struct gd_tx *tx);
/* Does anything else need the credential? */
bool gd_closing_in_use(const struct gd_tx *tx);

#endif
