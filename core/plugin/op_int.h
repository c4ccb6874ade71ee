/* plugin/op_int.h - an operation from inside. Private to the room and its tests.
 *
 * op.c drives (states, clocks, the end), op_given.c keeps what it was given, op_next.c holds the
 * constructors, op_result.c what a platform hands over, op_http.c makes requests, op_host.c all other
 * services. */
#ifndef GD_PLUGIN_OP_INT_H
#define GD_PLUGIN_OP_INT_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "plugin/doc.h"
#include "plugin/op.h"

#include <stdarg.h>

#define GD_OP_ARGS 32

enum gd_next_kind {
    GD_NEXT_NONE,
    GD_NEXT_HTTP,
    GD_NEXT_WAIT,
    GD_NEXT_SAVE,
    GD_NEXT_CONTINUE,
    GD_NEXT_PENDING,
    GD_NEXT_DONE,
    GD_NEXT_FAIL
};
struct grantd_next {
    enum gd_next_kind kind;
};

enum gd_op_at {
    GD_AT_STEP,   /* ready: the next function of the platform is to be called */
    GD_AT_SAVE,   /* ready: on_save is to be called */
    GD_AT_END,    /* ready: on_end is to be called */
    GD_AT_HTTP,   /* an answer is awaited */
    GD_AT_WAIT,   /* a time is awaited */
    GD_AT_SAVING, /* gd_op_saved is awaited */
    GD_AT_OVER,   /* on_end is being called, or it is being freed */
};

struct gd_op_defer {
    struct gd_op_defer *next;
    void (*fn)(void *);
    void *arg;
};

/* What one step asked for. Everything it points at is in the arena of the run. */
struct gd_op_ask {
    grantd_fn *go;            /* wait, save, continue */
    grantd_doc_fn *on_answer; /* http */
    struct gd_http_request http;
    uint32_t timeout_ms;
    uint32_t wait_ms;
    int64_t next_look_at; /* Unix seconds */
    bool bearer;          /* the request showed an access token: a plain 401 is about it */
    bool hub;             /* and it was the hub's */
};

/* One run: freed at its end, whatever the end. */
struct gd_op_run {
    struct gd_arena *arena;
    struct grantd_doc *docs;
    struct grantd_doc *fixed[4]; /* by GRANTD_DOC_..., made when asked for */
    struct gd_op_defer *defers;
    size_t doc_bytes;
    unsigned steps, ndefers, assets;
};

struct gd_op {
    struct grantd_op pub; /* first: the part that a platform sees */
    struct gd_op_env env;
    struct gd_platform *platform;
    enum gd_op_kind kind;
    enum gd_op_at at;
    char *app; /* "platform/app" */
    struct gd_log *log;
    gd_op_fn *on_save, *on_end;
    void *arg;
    bool interactive, detached, in_call, kill;
    bool reuse; /* connections, although a request is not repeatable */
    int64_t due_mono_ms;

    /* what it was given */
    char *args[GD_OP_ARGS];
    json_t *options, *query, *inputs, *params, *grant, *description;
    struct grantd_doc *notice; /* its only document that outlives a run */

    /* what came out so far, over all runs */
    json_t *kept, *notes, *assets, *steps, *surfaces, *observed, *warnings;
    struct gd_map asset_at; /* "kind id" -> position + 1 */
    size_t assets_saved;
    struct grantd_result res; /* its texts are owned */
    int64_t res_sent_at;      /* when the request left that res.expires_in counts from */
    int64_t sent_at, retry_at;
    unsigned requests, steps_run, runs, allocs, fail_alloc_at;
    bool spent; /* a request that was not repeatable got an answer or may have arrived */
    int spent_status;
    bool unsaved; /* and what it brought is not durable yet */

    /* the run and the step in it */
    struct gd_op_run run;
    struct grantd_next next;
    struct gd_op_ask ask;
    struct grantd_doc *answer; /* for ask.on_answer; of run.docs */
    bool in_step, new_run, rehearsal;

    /* the end */
    enum gd_op_end end;
    int fail_class; /* also: the failure that sticks until the next constructor, 0: none */
    struct gd_err err;

    /* waiting */
    int64_t soft, hard, wait_until; /* monotonic ms */
    int64_t more_ms;  /* what a deadline that was slept through is put off by, once; 0: it was */
    unsigned at_once; /* turns in a row without letting the loop breathe */
    struct gd_http_call *call;
    struct gd_list ready; /* in env.turns, or alone */
    uv_timer_t timer;
};

static inline struct gd_op *gd_op_of(const grantd_op *p)
{
    return (struct gd_op *)(uintptr_t)p;
}

extern const struct grantd_host gd_op_host;

/* A failure that the next constructor turns into the end; the first one stays. */
void gd_op_stick(struct gd_op *op, int fail_class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* From the arena of the run, within the byte budget; NULL makes GRANTD_E_NOMEM stick. */
void *gd_op_alloc(struct gd_op *op, size_t n);
const char *gd_op_copy(struct gd_op *op, const char *s); /* NULL stays NULL; "" when memory is used up */
const char *gd_op_take(struct gd_op *op, char *made);    /* copies and frees what base made */
/* The text without any secret that this operation has seen, control characters and broken UTF-8. Caller
 * frees. */
char *gd_op_clean_text(struct gd_op *op, const char *text);
char *gd_op_clean_format(struct gd_op *op, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void gd_op_set_err(struct gd_op *op, int fail_class, enum gd_reason reason, const char *text);
enum gd_reason gd_op_class_reason(int fail_class);

/* Its own copies of what it was given, and what a platform adds to from then on (kept, notes, results). */
void gd_op_take_given(struct gd_op *op, const struct gd_op_given *g);
void gd_op_given_done(struct gd_op *op); /* what only it was given; gd_op_result_done frees the rest */

/* Fills op->ask from what the platform wants to send; a failure sticks. */
void gd_op_make_request(struct gd_op *op, const struct grantd_http *h);
/* base with parameters, in the arena. */
const char *gd_op_url(struct gd_op *op, const char *base, const char *const *params);
/* Checks and remembers tokens and clocks; a failure sticks. */
void gd_op_take_result(struct gd_op *op, const struct grantd_result *r);
/* What stands in the result now; borrowed. */
void gd_op_fill_result(struct gd_op *op, struct gd_op_result *r);
void gd_op_result_done(struct gd_op *op);
/* Where a browser is sent: mapped origin, https only. NULL when it is none (a failure sticks). */
const char *gd_op_browser_url(struct gd_op *op, const char *url, const char *what);
int64_t gd_op_retry_after(struct gd_op *op, const char *text); /* header value -> Unix ms, 0: none */

/* op_next.c and op_result.c: members of the host table. */
grantd_next *gd_op_h_http(grantd_op *p, const struct grantd_http *h, grantd_doc_fn *fn);
grantd_next *gd_op_h_wait(grantd_op *p, uint32_t ms, grantd_fn *fn);
grantd_next *gd_op_h_save(grantd_op *p, const struct grantd_result *r, grantd_fn *fn);
grantd_next *gd_op_h_continue(grantd_op *p, grantd_fn *fn);
grantd_next *gd_op_h_pending(grantd_op *p, int64_t next_look_at);
grantd_next *gd_op_h_done(grantd_op *p, const struct grantd_result *r);
grantd_next *gd_op_h_fail(grantd_op *p, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
grantd_next *gd_op_h_fail_answer(grantd_op *p, const grantd_doc *d);
void gd_op_h_asset(grantd_op *p, const struct grantd_asset *a);
void gd_op_h_step(grantd_op *p, const struct grantd_step *s);
void gd_op_h_surface(grantd_op *p, const struct grantd_surface *s);
void gd_op_h_observe(grantd_op *p, const char *key, const char *value);
void gd_op_h_warn(grantd_op *p, const char *word, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
