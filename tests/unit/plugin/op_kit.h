/* op_kit.h - what the tests of the op driver share: a transport that the test answers by hand, one operation
 * with what became of it, and a request that any of them may ask for. */
#ifndef PLUGIN_OP_KIT_H
#define PLUGIN_OP_KIT_H

#include "crypto/crypto.h"
#include "kit.h"
#include "plugin/op.h"
#include "plugin/op_int.h"

/* cmocka's fail() would rewrite op->host->fail(...) */
#undef fail
#undef fail_msg
#define fail_msg(...)              \
    do {                           \
        print_error(__VA_ARGS__);  \
        print_error("\n");         \
        _fail(__FILE__, __LINE__); \
    } while (0)

struct fake {
    struct gd_transport t; /* first */
    gd_http_fn *fn;        /* NULL: nothing in flight */
    void *arg;
    unsigned sent, cancelled;
    char url[512], body[512], method[16], headers[1024];
    bool repeatable, reuse;
    int64_t timeout_ms;
};

struct fix {
    struct fake http;
    struct gd_clock_virtual clock;
    struct gd_rng_seeded rng;
    struct gd_platform platform;
    struct gd_op_env env;
    struct gd_op_start start;
    struct gd_op *op;
    bool inside; /* a start or saved is being called */
    unsigned ends, saves, defers;
    enum gd_op_end end;
    int fail_class;
    enum gd_reason reason;
    char text[GD_ERR_TEXT_MAX], token[64];
    int64_t retry_at, next_look, expires_at, expires_in;
    bool spent, detached;
    size_t assets, assets_saved;
    json_t *notes, *kept;
    enum { ANSWER_YES, ANSWER_NO, ANSWER_LATER, CANCEL } save;
};
extern struct fix *op_now_running; /* for the plugins of a test: one is running at a time */

int op_setup(void **state); /* struct fix */
int op_teardown(void **state);
extern const char *const op_words_of_classes[];

grantd_next *op_nothing(grantd_op *op);
/* What became of it goes into its struct fix. */
void op_on_end(void *arg, struct gd_op *op, const struct gd_op_result *r);
void op_begin(struct fix *f, grantd_fn *fn);
void op_turns(struct fix *f);
/* The answer to what is in flight. */
void op_reply(struct fix *f, const struct gd_http_answer *a);
void op_reply_json(struct fix *f, int status, const char *text);
void op_reply_end(struct fix *f, enum gd_http_end end, enum gd_reason reason);
void op_assert_failed(const struct fix *f, int fail_class, const char *says);
/* Runs one function to its end without any request. */
void op_runs(struct fix *f, grantd_fn *fn);

/* A platform's function that sends op_asked and takes tokens from the answer. */
extern struct grantd_http op_asked;
grantd_next *op_asks(grantd_op *op);
grantd_next *op_on_any(grantd_op *op, const grantd_doc *a);
void op_sends(struct fix *f, struct grantd_http h);
void op_done_with(struct fix *f);

#define T(name) cmocka_unit_test_setup_teardown(name, op_setup, op_teardown)
int op_ready(void); /* first in main(); not 0: it cannot be run */

#endif
