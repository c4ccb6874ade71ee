/* grant/broker.h - the broker: clients, requests, credentials, grants, and what may be done with them. It
 * owns the index in memory, the refresh protocol and the journal; what is durable is in the store. Loop
 * thread.
 *
 * Every act has one signature: params are checked against the method's schema by the caller (rpc), who has
 * also asked the policy. reply is called exactly once, never inside the act. */
#ifndef GD_GRANT_BROKER_H
#define GD_GRANT_BROKER_H

#include "audit/audit.h"
#include "crypto/keyring.h"
#include "event/event.h"
#include "http/http.h"
#include "http/mail.h"
#include "plugin/op.h"
#include "policy/policy.h"
#include "node/node.h"
#include "store/store.h"

struct gd_broker;

/* One developer registration at a platform, from the configuration. */
struct gd_app {
    char *id, *workspace;
    struct gd_platform *platform;
    char *provider;      /* name of the description, or NULL */
    json_t *description; /* borrowed from the platform, or NULL */
    json_t *options;     /* text values; secrets among them */
    json_t *inputs;      /* the operator's inputs of the description, text values; or NULL */
};
struct gd_hub {
    char *id, *workspace, *hub_id;
    char *app; /* the app that it works with; NULL: any of its platform */
    struct gd_platform *platform;
    json_t *options; /* text values; "access_token": one that was handed in */
};

/* The scheduler's ears: told of every next action, from the load on. */
struct gd_broker_ears {
    /* credential number of the index; due and expires_at Unix ms (expires_at 0: none) */
    void (*due)(void *arg, uint32_t cred, int64_t due, int64_t expires_at, uint16_t app);
    void (*look)(void *arg, const char *workspace, const char *item, int64_t at);
    void (*flight_end)(void *arg, uint16_t app);
    bool (*waits)(void *arg, uint32_t cred);              /* it was due and waits for its turn */
    void (*held)(void *arg, const char *app, int64_t ms); /* another node was asked to wait with its calls */
    void *arg;
};
struct gd_broker_options {
    struct gd_broker_ears ears;
    const char *kek;               /* name of the one that the configuration names */
    const char *public_url;        /* without a trailing slash; NULL: links cannot be made */
    const char *node;              /* id of this node: leases and intents carry it */
    const char *const *workspaces; /* ends with NULL */
    const struct gd_app *apps;     /* copied */
    size_t napps;
    const struct gd_hub *hubs;
    size_t nhubs;
    json_t *origins;     /* for URLs that a browser is sent to */
    json_t *titles;      /* workspace -> who clients read that asks; NULL: the workspaces' names */
    int64_t deadline_ms; /* T: hard total deadline of one exchange */
    int64_t quiet_ms;    /* patience after a doubt; 0: deadline + 2 * skew */
    int64_t skew_ms;
    int64_t blind_ms;        /* a node that cannot read the shared store vends for so long */
    int64_t family_lease_ms; /* least lease of strict-family credentials */
    int64_t outage_ms;       /* outage that a margin must outlast (O of the formula) */
    int64_t margin_min_ms;   /* least margin (60 s) */
    int64_t look_every_ms;   /* between two looks at a grant; 0: only when ordered */
    size_t cache_bytes;      /* sealed access tokens kept in memory; 0: nowhere */
    const char *cache_dir; /* where the file of those that memory does not hold is made; NULL: no such file */
    const char *witness_path; /* file that knows what was last seen committed (witness.h); NULL: none */
    const char *erased_path;  /* file that knows who was erased (erased.h), of a shared store; NULL: none */
    /* How far the platforms' clocks are from ours; false: not known. NULL: never known. */
    bool (*skew)(void *arg, int64_t *ret_ms);
    void *skew_arg;
    struct gd_mailer *mail; /* outlives the broker; NULL: no mail is sent */
};
struct gd_broker_deps { /* all outlive the broker */
    uv_loop_t *loop;
    struct gd_store *store, *keys; /* keys: keyring.db */
    struct gd_nodes *nodes;
    struct gd_keyring *keyring;
    struct gd_audit *audit;
    struct gd_events *events;
    struct gd_platforms *platforms;
    struct gd_transport *transport;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_log *log;
};
/* Migrations of the two databases. */
extern const struct gd_migration gd_broker_migrations[], gd_keys_migrations[];
extern const size_t gd_broker_nmigrations, gd_keys_nmigrations;

/* Blocking, before anything else is read or written: are the KEKs here that the keyring was wrapped by? Of d
 * only loop, stores, keyring, clock and rng are needed. The first start makes the root, wrapped by kek; one
 * that has begun before (there is an audit log) does not. KEY_WRONG, KEYRING_LOST, STORE_UNFINISHED,
 * STORE_MOVED. */
int gd_key_start(const struct gd_broker_deps *d, const char *kek, const char *node, bool begun,
                 struct gd_err *err);
/* Once more when this node is known to the others: they may have begun to exchange the KEK meanwhile. */
int gd_key_check(const struct gd_broker_deps *d, struct gd_err *err);
/* Another KEK is named in the configuration, which the keyring holds: it is what key.rotate brings into use.
 * fn runs later, when the other nodes can know what is held here. */
void gd_broker_name_kek(struct gd_broker *b, const char *kek, void (*fn)(void *arg, const struct gd_err *err),
                        void *arg);
/* The root as a backup carries it, wrapped by the KEK in use: {"id","made_at","wrapped"}, new reference. */
json_t *gd_key_root(const struct gd_keyring *k, struct gd_rng *rng, int64_t now);
/* For a restore: opens the root that a backup carries. KEY_WRONG. */
int gd_key_open_root(struct gd_keyring *k, const json_t *root, struct gd_err *err);
/* Blocking start: loads data keys and index, replays the spool, looks at open intents. Nothing is sent yet:
 * gd_sched_start does that. */
int gd_broker_open(struct gd_broker **ret, const struct gd_broker_options *o, const struct gd_broker_deps *d,
                   struct gd_err *err);
/* After the scheduler has started: goes on with what a crash or a stop interrupted (grants that were being
 * closed). */
void gd_broker_resume(struct gd_broker *b);
/* What the scheduler does when a job is due. */
void gd_broker_act(struct gd_broker *b, uint32_t cred);
void gd_broker_look(struct gd_broker *b, const char *workspace, const char *item);
/* Compares the timers with the store; to be called about once a minute. What it finds late is in the status
 * ("late"). */
void gd_broker_reconcile(struct gd_broker *b);
/* Looks that are due at grants and hubs (verify, windows); to be called every few seconds. */
void gd_broker_sweep(struct gd_broker *b);
/* Several nodes on one store. Somebody else changed what is known under this name (NULL: anything): news of
 * the store, either of them. A neighbour's lease is over: what it left is settled. */
/* A platform asked that all calls of the app (PLATFORM/APP) wait: tells the other nodes. */
void gd_broker_held(struct gd_broker *b, const char *app, int64_t ms);
void gd_broker_news(struct gd_broker *b, const char *workspace, const char *id);
void gd_broker_neighbour_died(struct gd_broker *b);
/* The store says that commits which it had acknowledged are gone: the next start must know. */
void gd_broker_set_back(struct gd_broker *b);
/* fn runs later, when everything is known here that others had committed before this call. */
bool gd_broker_shared(const struct gd_broker *b); /* only then it can tell anything new */
void gd_broker_catch_up(struct gd_broker *b, void (*fn)(void *), void *arg);
/* No new exchanges from now on; done when none is in flight (at most the deadline). */
void gd_broker_drain(struct gd_broker *b, void (*done)(void *), void *arg);
void gd_broker_free(struct gd_broker *b);       /* after the drain and after the store has finished */
bool gd_broker_idle(const struct gd_broker *b); /* no operation and no commit is under way */
/* {"grants","credentials","by_state":{...},"in_flight","memory":{...}} */
json_t *gd_broker_status(struct gd_broker *b);

/* What audit checkpoints carry: how many tokens were vended. New reference. */
json_t *gd_broker_counts(struct gd_broker *b);

/* Who asks; copied where it is kept. */
struct gd_actor {
    int64_t uid, gid, pid; /* -1: not a local caller */
    const char *name;      /* "uid 1000", "portal", "scheduler" */
    unsigned number;       /* gd_caller.number: whose vends are counted together */
};
/* result is borrowed; NULL with err. */
typedef void gd_reply_fn(void *arg, json_t *result, const struct gd_err *err);
typedef void gd_act_fn(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                       void *arg);

/* The acts; params and results as in core/rpc/schema/<noun>.<verb>.json. "workspace" is always there
 * ("main"). */
gd_act_fn gd_app_list, gd_app_get, gd_app_check, gd_hub_list, gd_hub_get, gd_hub_check, gd_hub_connect,
    gd_hub_scan;
gd_act_fn gd_platform_list, gd_platform_get, gd_platform_providers;
gd_act_fn gd_client_create, gd_client_list, gd_client_get, gd_client_update, gd_client_erase;
gd_act_fn gd_request_create, gd_request_list, gd_request_get, gd_request_remind, gd_request_cancel;
gd_act_fn gd_grant_list, gd_grant_get, gd_grant_token, gd_grant_submit, gd_grant_confirm, gd_grant_refresh,
    gd_grant_verify, gd_grant_revoke, gd_grant_accept;
gd_act_fn gd_node_list, gd_node_forget;
gd_act_fn gd_key_status, gd_key_rotate;
gd_act_fn gd_store_accept, gd_store_doubts;
gd_act_fn gd_broker_doctor; /* every grant that is not active, why, and who must act */

/* Client that a grant belongs to, for the policy ("" when it does not exist). Borrowed until the next act. */
const char *gd_grant_client(struct gd_broker *b, const struct gd_id *grant, const char **ret_workspace);
/* Name of the platform of a grant, for the policy; NULL when it does not exist. */
const char *gd_grant_platform(struct gd_broker *b, const struct gd_id *grant);

#endif
