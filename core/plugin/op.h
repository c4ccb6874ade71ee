/* plugin/op.h - the op driver: runs one function of a platform to its end, exactly once, within a deadline
 * and budgets. Cancelling never discards tokens: an owner that goes away only detaches while a request that
 * is not repeatable is in flight. Loop thread. */
#ifndef GD_PLUGIN_OP_H
#define GD_PLUGIN_OP_H

#include "base/rng.h"
#include "http/http.h"
#include "plugin/platform.h"

enum gd_op_kind {
    GD_OP_REQUEST,
    GD_OP_GRANT,
    GD_OP_REFRESH,
    GD_OP_VERIFY,
    GD_OP_REVOKE,
    GD_OP_SCAN,
    GD_OP_NOTICE
};

/* What an operation is given. All of it is copied (JSON by reference). */
struct gd_op_given {
    const char *args[32]; /* by GRANTD_ARG_... */
    json_t *options;      /* app (and hub) options, text values; defaults are filled in by the driver */
    json_t *query;        /* callback parameters, decoded */
    json_t *inputs;       /* what a person handed in */
    json_t *params;       /* what the agency said about the item; defaults are filled in */
    json_t *grant;        /* GRANTD_DOC_GRANT */
    json_t *description;  /* GRANTD_DOC_DESCRIPTION */
    const struct gd_http_answer *notice; /* GRANTD_DOC_NOTICE: headers and body as they came */
    json_t *kept, *notes;                /* objects of text */
};

enum gd_op_end { GD_OP_DONE, GD_OP_PENDING, GD_OP_FAILED };
/* What came out, or what is to be saved. Owned by the driver, valid during the callback. */
struct gd_op_result {
    enum gd_op_end end;
    int fail_class;       /* GRANTD_E_..., when FAILED */
    struct gd_err err;    /* FAILED: reason OP_TRANSIENT, OP_LIMITED, ... and the platform's sentence */
    int64_t retry_at;     /* Unix ms; 0: none */
    int64_t next_look_at; /* Unix ms; PENDING */
    int64_t sent_at;  /* Unix ms when the last request left: expires_in counts from here; 0: none was sent */
    bool spent;       /* a request that was not repeatable got an answer, or may have arrived */
    int spent_status; /* HTTP status of that answer; 0: none came */
    struct grantd_result res;                                    /* strings may be NULL */
    json_t *assets, *steps, *surfaces, *observed, *kept, *notes; /* never NULL */
    json_t *warnings; /* word -> sentences (warnings.h); never NULL */
    unsigned requests, steps_run;
    /* Lists hold everything since the start of the operation; this many assets, from the front, were with an
     * on_save that was answered already. res holds what grantd_save brought too, also when it FAILED or is
     * PENDING later. */
    size_t assets_saved;
};
struct gd_op;
typedef void gd_op_fn(void *arg, struct gd_op *op, const struct gd_op_result *r);

/* Operations that are ready for a step, in order, some hundred microseconds' worth in a turn of the loop:
 * many answers at once must not hold up everybody else. */
struct gd_op_turns;
struct gd_op_turns *gd_op_turns_new(uv_loop_t *loop);
void gd_op_turns_free(struct gd_op_turns *t); /* no operation is left; NULL is fine */

struct gd_op_env {   /* shared by all operations; outlives them */
    uv_loop_t *loop; /* NULL: no loop (plugtest): waits end at once by gd_op_tick */
    struct gd_transport *transport;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_log *log;
    json_t *origins;           /* NULL: none mapped */
    struct gd_op_turns *turns; /* NULL: each has its turn by a timer of its own */
};
struct gd_op_start {
    struct gd_platform *platform;
    enum gd_op_kind kind;
    const char *app; /* app id, for buckets and logs */
    struct gd_op_given given;
    int64_t deadline_ms;      /* from now, mandatory */
    int64_t hard_deadline_ms; /* for what must not be cut short; 0: the same */
    bool interactive;
    bool rehearsal;       /* it ends as PENDING where it would send, wait or save */
    uint32_t retry_class; /* GD_OP_REFRESH: of the credential, GRANTD_RETRY_...; 0 (unknown) for all others */
    int64_t due_mono_ms;
    unsigned fail_alloc_at; /* plugtest */
    /* grantd_save and grantd_continue: make r durable, then call gd_op_saved. NULL: nothing to save, go on.
     */
    gd_op_fn *on_save;
    gd_op_fn *on_end; /* exactly once, never inside start; the op is freed after it returns */
    void *arg;
};
struct gd_op *gd_op_start(const struct gd_op_env *env, const struct gd_op_start *s);
/* Answers on_save: false ends the operation as uncertain (what came is with the caller already). */
void gd_op_saved(struct gd_op *op, bool ok);
/* The owner goes away; *op becomes NULL. Repeatable or idle: ends at once, no callback, false. Otherwise
 * on_end still comes, with detached true in gd_op_detached(), because its result must be kept: true. */
bool gd_op_cancel(struct gd_op **op);
bool gd_op_detached(const struct gd_op *op);
/* Without a loop (plugtest, simulator): does the one thing that is ready (a step, a save, the end, a deadline
 * that has come), or ends a wait in progress. False when only the transport or gd_op_saved can move it. The
 * op is freed when on_end was called in it. */
bool gd_op_tick(struct gd_op *op);
const char *gd_op_class_word(int fail_class); /* "transient", "limited", ... */

#endif
