/* grant/broker_int.h - inside of the grant room: the broker's own data and what its files give each other.
 *
 *   broker.c   opening, apps, calls, the ready queue      journal.c  a record of an answer -> one transaction
 *   load.c     start-up: keys, spool, intents, index      refresh.c  the refresh protocol, single flight
 *   root.c keys.c  the keyring's root, data keys          vend.c     the hot path and grant.token
 *   client.c request.c grants.c apps.c   acts             flow.c item.c  the client's side
 *   exchange.c brought.c made.c settle.c  one run of grant, what comes of it
 *   take.c     a flow is taken for a run
 *   meet.c     a run and a closing wait for each other
 *   close.c closing.c  revoke                             look.c seen.c  verify
 *   erase.c    a client is forgotten                      outcome.c  what becomes of a refresh (flight.h)
 *   about.c    whom a record of the spool is about        erased.c   who was erased, beside the store
 *   peers.c    what other nodes changed                   takeover.c what a worker that is gone left
 *   restored.c accept.c  a store that was set back   witness.c  how it is noticed
 *   rotate.c keystatus.c  another KEK comes into use
 *   hub.c scan.c  the agency's own identities             sweep.c    looks that are due, and at all of them
 */
#ifndef GD_GRANT_BROKER_INT_H
#define GD_GRANT_BROKER_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "grant/broker.h"
#include "grant/index.h"
#include "grant/interlock.h"
#include "grant/plan.h"
#include "grant/tokens.h"
#include "grant/vend.h"

struct gd_app_state {
    struct gd_app app;
    struct gd_interlock interlock;
};

struct gd_vends; /* who has been vended which generation: vend.c */

/* The agency's own identity on a platform, with what is known of its credential: hub.c. */
struct gd_hub_state {
    struct gd_hub hub;
    char client[GD_ID_TEXT_MAX]; /* stands for the agency in links, keys and credentials; "": not yet */
    char cred[GD_ID_TEXT_MAX];   /* "": none was consented */
    char *account;               /* who consented */
    unsigned char *sealed;       /* its access token, under the broker's hub_seal; NULL: none */
    size_t sealed_len;
    json_t *observed, *warnings; /* of the last look; NULL: none */
    int64_t verified_at;         /* Unix ms; 0: never */
    int64_t horizon_at;          /* of its consent: no refresh passes it; 0: none */
    struct gd_err err;           /* of the last look that failed */
};

struct gd_broker {
    struct gd_broker_deps d;
    struct gd_plan_options plan;
    int64_t family_lease_ms, blind_ms;
    char *public_url, *node;
    char **workspaces;
    unsigned nworkspaces;
    struct gd_app_state *apps;
    struct gd_hub_state *hubs;
    struct gd_memseal *hub_seal;
    unsigned looking;      /* looks of the sweep that are under way */
    struct gd_list looks;  /* all that are: look.c */
    int64_t look_every_ms; /* between two looks at a grant; 0: only when ordered */
    unsigned napps, nhubs;
    json_t *origins, *titles;
    struct gd_op_env env;
    struct gd_index ix;
    struct gd_tokens *tokens;
    struct gd_witness *witness;     /* NULL: none is kept */
    struct gd_erased *erased;       /* NULL: none is kept */
    uint64_t witnessed;             /* the commit of which it was told */
    struct gd_restoring *restoring; /* while it starts: restored.c */
    struct gd_vends *vends;
    struct gd_map flights;  /* credential id -> struct gd_flight */
    struct gd_peers *peers; /* NULL: nothing was ever changed elsewhere */
    bool taking_over;
    struct gd_map closings; /* grant id, or that of an orphaned credential -> what closes it */
    struct gd_map leaving;  /* flow id -> what settles it: settle.c */
    struct gd_map runs;     /* flow id -> its run of a platform's grant function: exchange.c */
    unsigned busy;          /* operations and commits that a drain waits for */
    bool draining;
    struct gd_list ready; /* replies that wait for the loop's next turn */
    uv_async_t wake;
    void (*drained)(void *);
    void *drained_arg;
    int64_t late;          /* wake-ups that were lost and found: must stay 0 */
    int64_t audit_lost_at; /* monotonic; 0: the audit log works */
    struct gd_broker_ears ears;
    char kek[GD_KEK_ID];          /* the one that is named in the configuration */
    struct gd_rotating *rotating; /* NULL: no KEK is being exchanged here: rotate.c */
    struct gd_err rotate_err;     /* why it waits */
    struct gd_map deks; /* "workspace client" -> what waits for a data key that is being made: keys.c */
    bool (*skew)(void *arg, int64_t *ret_ms);
    void *skew_arg;
    struct gd_mailer *mail; /* NULL: none is configured */
    bool spool_forget;      /* somebody was erased while this node was away: nothing of it is kept */
    bool spool_read;        /* all of it is in the store; it is emptied once that is known to be whole */
    struct gd_buf endings;  /* workspace and id, one a line: grants whose closing was interrupted, clients
                               whose erasing was, flows that were left: gd_broker_resume */
};

/* ---- broker.c ---- */
int gd_workspace_number(const struct gd_broker *b, const char *name);  /* -1: unknown */
struct gd_app_state *gd_app_find(struct gd_broker *b, const char *id); /* NULL */
unsigned gd_app_number(const struct gd_broker *b, const struct gd_app_state *a);
/* Runs fn on the loop's next turn. */
void gd_defer(struct gd_broker *b, void (*fn)(void *), void *arg);
void gd_busy(struct gd_broker *b, int by);

/* One act under way. Ends with exactly one gd_call_done or gd_call_fail, which also frees it. */
struct gd_call {
    struct gd_broker *b;
    struct gd_actor who;
    json_t *params;         /* reference held */
    const char *workspace;  /* into params, or "main" */
    struct gd_arena *arena; /* lives as long as the call */
    void *state;            /* the act's own */
    gd_reply_fn *reply;
    void *arg;
    json_t *result;
    struct gd_err err;
    bool failed;
};
struct gd_call *gd_call_new(struct gd_broker *b, const struct gd_actor *who, json_t *params,
                            gd_reply_fn *reply, void *arg);
void gd_call_done(struct gd_call *c, json_t *result); /* takes the reference */
void gd_call_fail(struct gd_call *c, enum gd_reason r, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void gd_call_error(struct gd_call *c, const struct gd_err *err);
/* Nothing was found where nothing can be: a workspace mistyped is no empty one. True: the call has been
 * failed, and the list, which is taken then, is gone. */
bool gd_call_nowhere(struct gd_call *c, json_t *list);
/* True when the result of a transaction is not OK; the call has then been failed. */
bool gd_call_store_failed(struct gd_call *c, enum gd_store_result r, const struct gd_err *err);
static inline const char *gd_param(const struct gd_call *c, const char *name)
{
    return gd_json_text(c->params, name, NULL);
}
/* Times in answers: RFC 3339 text, null for 0. New reference. */
json_t *gd_time_json(int64_t unix_ms);
json_t *gd_text_json(const char *s); /* null for NULL */

/* ---- keys.c ---- */
/* The data key of a client: what is known, or a new one made durable first. fn runs later. */
typedef void gd_dek_fn(void *arg, const struct gd_dek *dek, const struct gd_err *err);
void gd_dek_need(struct gd_broker *b, const char *workspace, const char *client, gd_dek_fn *fn, void *arg);
/* Adds one that the keyring lost, unless the client has one there; wrapped by the KEK in use. The number of
 * the statement that reads state and key as they are then. */
size_t gd_key_bring_back(struct gd_tx *tx, const char *workspace, const char *client,
                         const unsigned char wrapped[GD_WRAPPED_KEY], int64_t at);
/* Seals text under the client's key; NULL with an error when there is no key. Caller frees; *ret_n bytes. */
unsigned char *gd_seal_text(struct gd_broker *b, const struct gd_seal_name *name, const char *text,
                            size_t *ret_n, struct gd_err *err);
/* Opens what gd_seal_text made: NUL-terminated, caller frees with gd_free (which wipes). */
char *gd_open_text(struct gd_broker *b, const struct gd_seal_name *name, const void *rec, size_t n,
                   struct gd_err *err);

#define GD_KEEP_VERSIONS 5 /* that a newer one has replaced */
#define GD_COLLECT_EVERY 4 /* so many generations; until then a few more are kept */
#define GD_DRAIN_TRIES   5 /* of a commit that fails while the daemon drains */

/* ---- journal.c: what a platform answered, as a record; the record as a transaction ---- */
/* A credential's secrets, as gd_seal_text takes and gd_open_text gives them. */
struct gd_blob {
    const char *access, *refresh; /* NULL: none; they stand in the text that was read */
    json_t *kept;                 /* NULL: nothing */
    json_t *from;
};
char *gd_blob_make(const char *access, const char *refresh, const json_t *kept); /* caller frees */
int gd_blob_read(struct gd_blob *ret, char *text, struct gd_err *err);           /* cuts the text up */
void gd_blob_done(struct gd_blob *blob);
json_t *gd_blob_json(char *text, struct gd_err *err); /* {"access_token", "refresh_token", "kept"} */
struct gd_answer {                                    /* made by refresh.c and flow.c */
    const char *workspace, *client, *app, *cred;      /* ids */
    const char *attempt;
    int64_t parent_gen, created_at;
    bool is_new;        /* the credential does not exist yet */
    const char *intent; /* NULL: none to close with it */
    const struct gd_op_result *r;
    const char *old_refresh_token; /* kept when the answer has none */
    bool known;                    /* the tokens that r names are durable already: a record without them */
};
/* Tokens of an answer, sealed, and what they make of their credential. Texts are borrowed; NULL: none. */
struct gd_version {
    const char *workspace, *client, *app, *cred, *attempt, *intent, *account_id, *account_name, *scope;
    const unsigned char *sealed;
    size_t nsealed;
    int64_t gen, at, issued_at, expires_at, refresh_expires_at, horizon_at, due, grace, shape, retry_class;
    bool is_new, rejected;
    uint64_t group; /* not kept: the commit that made it durable, see gd_tx_group; 0: unknown */
    int64_t over;   /* not kept: intents whose deadline is past for so long bring nothing more; 0: unknown */
};
/* What a refresh brought, as a record of bytes; the caller frees it. NULL with an error. */
unsigned char *gd_journal_bytes(struct gd_broker *b, const struct gd_answer *a, bool rejected, size_t *ret_n,
                                struct gd_err *err);
/* Adds the statements; hands the record to the spool when bytes is not NULL. Returns the statement whose
 * changes tell whether it became current: 1; 0: it did not, or had before. */
size_t gd_journal_add_version(struct gd_tx *tx, const struct gd_version *v, const void *bytes, size_t n);
void gd_journal_publish_version(struct gd_broker *b, const struct gd_version *v, const char *access_token,
                                bool current);
/* The record (new reference) of a flow, with the tokens sealed; NULL with an error. */
json_t *gd_journal_record(struct gd_broker *b, const struct gd_answer *a, struct gd_err *err);
/* More parts of a record: grants that came out of a flow. */
void gd_journal_add_grant(json_t *rec, json_t *grant);
/* Grants of an older credential that go over to this one ({"id","from"}), and items that get flows of their
 * own ({"flow","item","sealed"}). */
void gd_journal_add_move(json_t *rec, json_t *move);
void gd_journal_add_split(json_t *rec, json_t *split);
/* Adds the statements; also hands the record to the spool. */
void gd_journal_statements(struct gd_broker *b, struct gd_tx *tx, const json_t *rec, bool spool);
/* After the commit: index, cache, scheduler. */
void gd_journal_publish(struct gd_broker *b, const json_t *rec, const char *access_token, bool current);

/* ---- record.c: a version as bytes ---- */
bool gd_record_is_bytes(const void *p, size_t n);                          /* else it is JSON */
unsigned char *gd_record_write(const struct gd_version *v, size_t *ret_n); /* caller frees */
/* The texts of *ret stand in p. SPOOL_CORRUPT; STORE_TOO_NEW: written by a later grantd. */
int gd_record_read(struct gd_version *ret, const void *p, size_t n, struct gd_err *err);

/* ---- refresh.c ---- */
typedef void gd_refresh_fn(void *arg, const struct gd_err *err);
/* Joins the attempt in flight or starts one. fn (may be NULL) runs later, once. */
void gd_refresh(struct gd_broker *b, uint32_t cred, const char *cause, gd_refresh_fn *fn, void *arg);
/* The scheduler's turn: as gd_refresh, and the scheduler is told once when it is over, whether a flight was
 * begun, joined or refused. */
void gd_refresh_due(struct gd_broker *b, uint32_t cred);
/* Gives that turn back on the loop's next turn. */
void gd_refresh_not_now(struct gd_broker *b, uint32_t cred);
bool gd_refresh_in_flight(const struct gd_broker *b, const char *cred);
/* Moves the next action in index and scheduler. */
void gd_cred_due(struct gd_broker *b, uint32_t cred, int64_t due);
/* The given of an operation on a credential: options, description, tokens. Blob: opened JSON. */
void gd_given_app(struct gd_broker *b, const struct gd_app_state *a, struct gd_op_given *g);

/* ---- load.c ---- */
int gd_load(struct gd_broker *b, struct gd_err *err);
/* A grant that is being closed, a credential of no use, a client that is being erased or a flow that was left
 * stands still: it is gone on with at the next sweep. Each step of it may be done again. */
void gd_ending_note(struct gd_broker *b, const char *workspace, const char *id);
void gd_endings_go_on(struct gd_broker *b);

/* ---- restored.c ---- */
int gd_restored_refuse(struct gd_store *keys, struct gd_store *data,
                       struct gd_err *err); /* one that has moved, or is half filled */
/* Before the spool is replayed: does the store show an older state? Each record that was looked at. After it:
 * holds what may have been spent since. */
int gd_restored_begin(struct gd_broker *b, struct gd_err *err);
bool gd_restored_in_doubt(const struct gd_broker *b); /* the store may have been set back */
void gd_restored_spooled(struct gd_broker *b, const char *workspace, const char *cred, const char *attempt,
                         bool known);
void gd_restored_lost(struct gd_broker *b, const char *cred,
                      const char *attempt); /* it was stored, and is not */
int gd_restored_end(struct gd_broker *b, struct gd_err *err);

/* ---- close.c ---- */
/* How long one try to close something may take from its claim on: columns closing_until. */
static inline int64_t gd_closing_ms(const struct gd_broker *b)
{
    return 2 * b->plan.deadline_ms;
}
void gd_close_resume(struct gd_broker *b, const char *workspace, const char *grant);
/* A credential that nothing references (the store is asked): revoked at the platform and here. */
bool gd_close_is_orphan(const struct gd_broker *b, uint32_t cred); /* as far as the index knows */
void gd_close_orphan(struct gd_broker *b, const char *workspace, const char *cred);
/* After the start: what a crash left between the first tokens of a flow and its grants. Nobody could ever
 * vend or revoke it. */
void gd_close_orphans(struct gd_broker *b);

/* ---- settle.c ---- */
/* A flow that is "left": what it has opened becomes grants that end. */
void gd_flow_leave(struct gd_broker *b, const char *workspace, const char *flow);

/* ---- client.c, erase.c ---- */
void gd_client_reply(struct gd_call *c, const char *client); /* ends the call with {"client": ...} */
void gd_erase_resume(struct gd_broker *b, const char *workspace, const char *client);

/* ---- hub.c ---- */
struct gd_hub_state *gd_hub_find(struct gd_broker *b, const char *workspace, const char *id); /* NULL */
struct gd_hub_state *gd_hub_of_app(struct gd_broker *b, const struct gd_app_state *a);        /* NULL: none */
/* Do two apps give access to the same identity of the agency at the same platform? */
bool gd_hub_shared(struct gd_broker *b, const struct gd_app_state *one, const struct gd_app_state *two);
/* A request for the agency's own consent; gd_request_create makes none. */
void gd_request_create_hub(struct gd_broker *b, const struct gd_actor *who, json_t *params,
                           gd_reply_fn *reply, void *arg);
struct gd_hub_state *gd_hub_of_client(struct gd_broker *b, const char *client);     /* NULL: a real client */
struct gd_app_state *gd_hub_app(struct gd_broker *b, const struct gd_hub_state *h); /* NULL: none */
bool gd_hub_uses(struct gd_broker *b, const char *cred); /* a hub's present credential: not an orphan */
/* What an operation of an app is given of its hub (id, token, who consented, options of both). The caller
 * drops it once the operation was started. Call after gd_given_app. */
struct gd_hub_given {
    json_t *options;
    char *token;
};
void gd_given_hub(struct gd_broker *b, const struct gd_app_state *a, struct gd_op_given *g,
                  struct gd_hub_given *ret);
void gd_hub_given_done(struct gd_hub_given *g);
/* A version that became current: when it is a hub's (or hub names one), the hub works with it. */
void gd_hub_published(struct gd_broker *b, const struct gd_version *v, const char *hub,
                      const char *access_token);
void gd_hub_clear(struct gd_hub_state *h);
void gd_hubs_copy(struct gd_broker *b, const struct gd_hub *hubs, size_t n);
int gd_hubs_load(struct gd_broker *b, struct gd_err *err);
void gd_hubs_free(struct gd_broker *b);

/* ---- scan.c, sweep.c ---- */
void gd_hubs_look(struct gd_broker *b); /* at those that are due */
void gd_verify_all(struct gd_call *c);  /* ends the call with {"looked","failed","differences"} */

/* ---- look.c ---- */
/* JSON document GRANTD_DOC_GRANT; new reference. */
struct gd_grant_doc {
    const char *role, *mode, *asset_id, *asset_kind, *asset_name, *asset_parent;
    const json_t *params;       /* NULL: none */
    int64_t starts_at, ends_at; /* Unix ms; 0: none */
    json_t *surfaces;           /* NULL: none */
};
json_t *gd_grant_document(const struct gd_grant_doc *d);
/* Adds: what was left for a person is gone (seen, or told by the operator). */
void gd_look_left(struct gd_broker *b, struct gd_tx *tx, const char *workspace, const char *grant,
                  const char *outcome);
/* A new consent has renewed the grant: a look at it that is under way is made again. */
void gd_look_outdate(struct gd_broker *b, const char *grant);
/* One look at a grant: what the platform shows now is kept, and raised as an event where it is news. fn once,
 * later; what it is given is borrowed. */
struct gd_look_result {
    struct gd_err err;              /* reason OK: it was looked at */
    json_t *observed, *differences; /* NULL when it was not */
};
typedef void gd_look_fn(void *arg, const struct gd_look_result *r);
void gd_look(struct gd_broker *b, const char *workspace, const char *grant, bool interactive, gd_look_fn *fn,
             void *arg);

/* ---- vend.c ---- */
struct gd_vends *gd_vends_new(void);
void gd_vends_free(struct gd_vends *v);
size_t gd_vends_bytes(const struct gd_vends *v);

/* ---- request.c ---- */
/* Ends the call with {"request":..., "link"?, "expires_at"?, "grants"?}; link is wiped by its owner, the
 * arena. */
void gd_request_reply(struct gd_call *c, const char *request, const char *link, json_t *grant_ids);

/* ---- grants.c ---- */
/* Number of a grant in the index; GD_NONE when this workspace has none of that id. Every act that takes a
 * grant from the index takes it from here. */
uint32_t gd_grant_number(const struct gd_broker *b, const char *workspace, const struct gd_id *grant);
/* Columns of one grant joined with its credential, and the JSON of such a row. */
#define GD_GRANT_COLUMNS                                                                                \
    "g.id, g.client_id, g.request_id, g.item_id, g.credential_id, g.app, g.asset_id, g.asset_kind, "    \
    "g.asset_name,"                                                                                     \
    " g.role_asked, g.role_granted, g.role_observed, g.lifecycle, g.native, g.observed, g.created_at, " \
    "g.verified_at,"                                                                                    \
    " g.ended_at, c.status, c.shape, c.retry_class, c.scope, c.gen, c.issued_at, c.expires_at,"         \
    " c.refresh_expires_at, c.horizon_at, c.next_at, c.refreshed_at, "                                  \
    "COALESCE(c.account_id, g.account_id), c.account_name, "                                            \
    "c.reason,"                                                                                         \
    " c.reason_text, g.reason, g.reason_text, g.starts_at, g.ends_at, g.look_at, g.warnings, g.mode,"   \
    " g.asset_parent"
json_t *gd_grant_row_json(struct gd_broker *b, const char *workspace, const struct gd_tx *tx, size_t stmt,
                          size_t row);
/* Adds the reads of one grant (row, then surfaces) to a transaction. */
void gd_grant_read(struct gd_tx *tx, const char *workspace, const char *grant);
/* The JSON of a grant read by gd_grant_read at statements stmt and stmt + 1; NULL when it is not there. */
json_t *gd_grant_read_json(struct gd_broker *b, const char *workspace, const struct gd_tx *tx, size_t stmt);
/* Ends the call with {"grant": ...} plus what extra holds (reference taken; may be NULL). */
void gd_grant_reply(struct gd_call *c, const char *grant, json_t *extra);

#endif
