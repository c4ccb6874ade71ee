/* tests/portal/double.h - a broker of a few hundred lines in place of the real one: one request with two
 * apps, kept in memory, with the rules that grant/flow.h promises. Replies come in a later turn of the loop,
 * as promised. */
#ifndef GD_TESTS_PORTAL_DOUBLE_H
#define GD_TESTS_PORTAL_DOUBLE_H

#include "base/list.h"
#include "grant/flow.h"

#define DOUBLE_LINK   "ln01jdk300000000000000000001"
#define DOUBLE_GONE   "ln01jdk300000000000000000002" /* expired */
#define DOUBLE_NONE   "ln01jdk300000000000000000009" /* never made */
#define DOUBLE_SECRET "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE"
#define DOUBLE_PATH   "/a/" DOUBLE_LINK "/" DOUBLE_SECRET
#define DOUBLE_GRANT  "gr01jdk300000000000000000001"
#define DOUBLE_CODE   "12 34 56"
#define DOUBLE_FLOW   "fl01jdk300000000000000000001"

struct double_item {
    const char *id, *app, *title, *asset;
    char state[16], reason[32];
};
struct gd_broker {
    uv_loop_t *loop;
    char authorize[256]; /* where a flow sends the browser */
    char context[64];
    struct double_item items[4];
    char session[64], state[64]; /* of the flow that runs; "" : none */
    bool used;                   /* its state was used */
    char outcome[16], reason[32];
    char word[32];      /* what every call is refused with; "" : nothing */
    char redirect[256]; /* instead of the authorize URL */
    char flow[160];     /* instead of DOUBLE_FLOW, in a callback's reply */
    bool huge, no_link; /* a page of two megabytes; a flow without its link */
    bool hold;          /* replies wait for double_release */
    struct gd_list waiting;
    unsigned shows, starts, callbacks, flow_shows, submits, declines, notices;
    char last_lines[256], last_picked[256], last_notice[256];
    char last_items[256], last_address[64], last_raw[512], last_input[256];
    json_t *last_query;
    bool no_mail, opened;  /* no code can be sent; one was typed */
    char code_session[64]; /* who asked for a code */
    unsigned asks, ends;
};
void double_init(struct gd_broker *b, uv_loop_t *loop);
void double_done(struct gd_broker *b);
void double_release(struct gd_broker *b); /* loop thread */

#endif
