/* grant/exchange.h - one run of a platform's grant function for a flow, from whatever set it off (a callback,
 * a look at a pending ask, something handed in) to items that are granted, waiting, declined or open again.
 * Inside the grant room. */
#ifndef GD_GRANT_EXCHANGE_H
#define GD_GRANT_EXCHANGE_H

#include "grant/broker_int.h"

struct gd_flow_item {
    char id[GD_ID_TEXT_MAX];
    char *role, *mode, *asset, *scope, *expect_account;
};
/* A flow as the store has it, with its secrets opened. In the call's arena. */
struct gd_flow {
    struct gd_arena *arena;
    char workspace[GD_NAME_MAX + 1], id[GD_ID_TEXT_MAX], link[GD_ID_TEXT_MAX], request[GD_ID_TEXT_MAX],
        client[GD_ID_TEXT_MAX];
    struct gd_app_state *app;
    bool confirm;      /* of the request */
    const char *state; /* only in the request that made it */
    char *nonce, *verifier;
    json_t *kept, *notes; /* references held */
    struct gd_flow_item items[GD_REQUEST_ITEMS_MAX];
    unsigned nitems;
};
void gd_flow_done(struct gd_flow *f); /* what is not in the arena */
/* Nonce, verifier and kept values, sealed under the client's key (caller frees), and back. */
int gd_flow_open(struct gd_broker *b, struct gd_flow *f, const void *sealed, size_t n, struct gd_err *err);
unsigned char *gd_flow_seal(struct gd_broker *b, const struct gd_flow *f, size_t *ret_n, struct gd_err *err);
/* "{public_url}/cb/{workspace}.{app}"; in the arena. */
const char *gd_flow_redirect_uri(struct gd_broker *b, struct gd_arena *a, const char *workspace,
                                 const char *app);
/* Fills what an operation of this flow is given; the JSON made for it is put into *ret_doc (caller drops it).
 */
void gd_flow_given(struct gd_broker *b, const struct gd_flow *f, struct gd_op_given *g, json_t **ret_doc);

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
const char *gd_exchange_word(enum gd_exchange_end e); /* granted, waiting, declined, failed */

#endif
