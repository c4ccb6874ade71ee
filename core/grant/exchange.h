/* grant/exchange.h - one run of a platform's grant function for a flow, from whatever set it off (a callback,
 * a look at a pending ask, something handed in) to items that are granted, waiting, declined or open again.
 * Inside the grant room. */
#ifndef GD_GRANT_EXCHANGE_H
#define GD_GRANT_EXCHANGE_H

#include "grant/broker_int.h"

struct gd_flow_item {
    char id[GD_ID_TEXT_MAX];
    char *role, *mode, *asset, *scope, *expect_account;
    char *params; /* JSON object of text, or NULL */
};
/* What the consent yielded already: the run goes on with it. */
struct gd_flow_cred {
    char id[GD_ID_TEXT_MAX]; /* "": nothing yet */
    int64_t gen;
    struct gd_clocks clocks;
    char *account, *scope; /* in the flow's arena */
    struct gd_secret access, refresh;
};
/* A flow as the store has it, with its secrets opened. In the call's arena. */
struct gd_flow {
    struct gd_arena *arena;
    char workspace[GD_NAME_MAX + 1], id[GD_ID_TEXT_MAX], link[GD_ID_TEXT_MAX], request[GD_ID_TEXT_MAX],
        client[GD_ID_TEXT_MAX];
    struct gd_app_state *app;
    bool confirm;      /* of the request */
    int64_t until;     /* when the request ends: it waits no longer than that; 0: not asked */
    const char *state; /* only in the request that made it */
    char *nonce, *verifier;
    const char *scope; /* of the request that made it: what all its items ask for; NULL: the first item's */
    json_t *kept, *notes;                 /* references held */
    json_t *assets, *surfaces, *warnings; /* reported by request, in earlier runs; NULL: none */
    json_t *parts; /* the same of earlier runs (reports.h), as they were stored; NULL: none */
    int64_t nparts;
    bool made; /* the platform has ended; only the grants are still to be stored */
    struct gd_flow_cred cred;
    struct gd_flow_item items[GD_REQUEST_ITEMS_MAX];
    unsigned nitems;
};
void gd_flow_done(struct gd_flow *f); /* what is not in the arena */
/* First statement of a transaction that decides by what there is of a client: two nodes that do so at the
 * same time come one after the other, and the second sees what the first one did. */
void gd_client_hold(struct gd_tx *tx, const char *workspace, const char *client); /* client.c */
/* Of a statement that takes a flow: $4 is its client, who is not being erased. */
#define GD_CLIENT_STAYS                                                                             \
    " AND EXISTS (SELECT 1 FROM clients c WHERE c.workspace = $1 AND c.id = $4 AND c.state NOT IN " \
    "('erasing', "                                                                                  \
    "'erased'))"
/* Column "notes": progress between runs. */
struct gd_flow_progress {
    json_t *notes, *surfaces, *warnings; /* borrowed; NULL: none */
    bool made;
};
#define GD_FLOW_PROGRESS_MAX (16 * 1024 * 1024) /* notes and warnings, or one part of what was reported */
char *gd_flow_progress_text(const struct gd_flow_progress *p); /* caller frees */
/* text NULL: none; rows of statement stmt: position and part of each of its flow_parts, in order. -1: what
 * was stored cannot be read, and without it nothing may be done at the platform. */
int gd_flow_read_progress(struct gd_flow *f, const char *text, const struct gd_tx *tx, size_t stmt,
                          struct gd_err *err);
/* Opens the present version of the credential that the flow continues with (f->cred.id, .gen and clocks are
 * set); blob columns as in token_versions. */
struct gd_flow_version {
    const void *sealed;
    size_t n;
    const char *attempt;
    int64_t parent_gen, created_at;
};
int gd_flow_open_cred(struct gd_broker *b, struct gd_flow *f, const struct gd_flow_version *v,
                      struct gd_err *err);
/* Nonce, verifier and kept values, sealed under the client's key (caller frees), and back. */
int gd_flow_open(struct gd_broker *b, struct gd_flow *f, const void *sealed, size_t n, struct gd_err *err);
unsigned char *gd_flow_seal(struct gd_broker *b, const struct gd_flow *f, size_t *ret_n, struct gd_err *err);
/* "{public_url}/cb/{workspace}.{app}"; in the arena. */
const char *gd_flow_redirect_uri(struct gd_broker *b, struct gd_arena *a, const char *workspace,
                                 const char *app);
/* Fills what an operation of this flow is given. What is made for it is held by *ret, which the caller drops
 * once the operation was started. */
struct gd_flow_given {
    json_t *doc, *params;
    struct gd_hub_given hub;
};
void gd_flow_given(struct gd_broker *b, const struct gd_flow *f, struct gd_op_given *g,
                   struct gd_flow_given *ret);
void gd_flow_given_done(struct gd_flow_given *g);

/* Starts the flow of an open item for an operator, who hands in what the client gave by other means: only
 * where the platform asks by guided steps. */
struct gd_flow_place {
    const char *workspace, *request, *item;
};
void gd_flow_start_item(struct gd_broker *b, const struct gd_flow_place *at, gd_reply_fn *reply, void *arg);
/* ---- take.c ---- */
/* Takes the flow for a run by this statement ($1 workspace, $2 flow, $3 worker, $4 client), on the present
 * state of its client. fn once, later; err: it is not known, or nothing was taken. */
typedef void gd_taken_fn(void *arg, bool taken, const struct gd_err *err);
void gd_flow_take(struct gd_broker *b, const struct gd_flow *f, const struct gd_sql *how, gd_taken_fn *fn,
                  void *arg);

/* ---- meet.c ---- */
/* A place that is being closed is not taken over by a run of the same client: adds the read of what is being
 * closed at this moment, and says whether the run would meet any of it. */
size_t gd_meet_read(const struct gd_flow *f, struct gd_tx *tx);
bool gd_meet_any(struct gd_broker *b, const struct gd_flow *f, const struct gd_tx *tx, size_t stmt);
/* Before a flow is taken: waits so long at most. fn once, later; met: it is still being closed. */
typedef void gd_meet_fn(void *arg, bool met);
void gd_meet_wait(struct gd_broker *b, const struct gd_flow *f, int64_t patience_ms, gd_meet_fn *fn,
                  void *arg);
#define GD_MEET_PATIENCE_MS 1500 /* somebody waits for the answer */
#define GD_MEET_AGAIN_MS    1000
int gd_meet_err(struct gd_err *err); /* CLOSING_FIRST; returns -1 */

/* Flows of the request that no item goes on with any more: marked and read in a transaction that changes
 * items; after its commit what they have opened is closed. */
size_t gd_flow_left(struct gd_broker *b, struct gd_tx *tx, const char *workspace, const char *request);
void gd_flow_close_left(struct gd_broker *b, const struct gd_tx *tx, size_t stmt, const char *workspace);

enum gd_exchange_end { GD_EXCHANGE_GRANTED, GD_EXCHANGE_WAITING, GD_EXCHANGE_DECLINED, GD_EXCHANGE_FAILED };
struct gd_exchange_result {
    enum gd_exchange_end end;
    struct gd_err err; /* DECLINED, FAILED */
    json_t *grants;    /* ids, borrowed */
};
typedef void gd_exchange_fn(void *arg, const struct gd_exchange_result *r);
/* query, raw: of a callback, or NULL; inputs: handed in, or NULL. f is copied by reference and must live
 * until fn, which runs once, never inside. */
void gd_exchange_start(struct gd_broker *b, struct gd_flow *f, json_t *query, const char *raw, json_t *inputs,
                       gd_exchange_fn *fn, void *arg);
/* The same, without asking the platform: the flow cannot go on, its items are open again. */
void gd_exchange_refuse(struct gd_broker *b, struct gd_flow *f, const struct gd_err *err, gd_exchange_fn *fn,
                        void *arg);
const char *gd_exchange_word(enum gd_exchange_end e); /* granted, waiting, declined, failed */

#endif
