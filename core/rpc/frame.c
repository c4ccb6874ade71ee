/* rpc/frame.c - one JSON text of a peer and the answer to it: collected here, sent when its last call has
 * ended. */
#include "rpc/rpc_int.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

static int error_code(enum gd_reason r)
{
    switch (r) {
    case GD_R_JSON_INVALID:
    case GD_R_JSON_TOO_DEEP:
        return -32700;
    case GD_R_CALL_INVALID:
    case GD_R_BATCH_TOO_LARGE:
    case GD_R_FRAME_TOO_LARGE:
        return -32600;
    case GD_R_METHOD_UNKNOWN:
        return -32601;
    case GD_R_PARAM_INVALID:
        return -32602;
    case GD_R_INTERNAL:
        return -32603;
    default:
        return -32000 - (int)gd_reason_info(r)->act;
    }
}

static const char *act_word(enum gd_act a)
{
    switch (a) {
    case GD_ACT_OK:
        return "nobody";
    case GD_ACT_USAGE:
        return "usage";
    case GD_ACT_NOTFOUND:
        return "notfound";
    case GD_ACT_DENIED:
        return "denied";
    case GD_ACT_PERSON:
        return "person";
    case GD_ACT_LATER:
        return "later";
    case GD_ACT_DAEMON:
        return "daemon";
    }
    return "daemon";
}

static void add_error(struct gd_buf *b, const struct gd_err *err)
{
    const struct gd_reason_info *info = gd_reason_info(err->reason);
    char when[32];

    gd_buf_addf(b, "\"error\":{\"code\":%d,\"data\":{\"act\":\"%s\",\"reason\":\"%s\",\"remedy\":",
                error_code(err->reason), act_word(info->act), info->word);
    gd_buf_add_json(b, info->remedy);
    if (err->retry_at) {
        gd_time_text(when, err->retry_at);
        gd_buf_addf(b, ",\"retry_at\":\"%s\"", when);
    }
    gd_buf_adds(b, "},\"message\":");
    gd_buf_add_json(b, err->text);
    gd_buf_addc(b, '}');
}

void gd_frame_answer(struct frame *f, const char *id, json_t *result, const struct gd_err *err)
{
    struct gd_buf *b = &f->out;
    struct gd_err large = { 0 };
    char *text;

    if (f->batch)
        gd_buf_addc(b, f->replies ? ',' : '[');
    f->replies++;
    gd_buf_adds(b, "{\"jsonrpc\":\"2.0\",\"id\":");
    gd_buf_adds(b, id ? id : "null");
    gd_buf_addc(b, ',');
    text = result ? gd_json_dump(result) : NULL;
    if (text && b->len + strlen(text) > GD_RPC_ANSWER_MAX) {
        gd_err_set(&large, GD_R_REPLY_TOO_LARGE, "the answer has %zu bytes, and %d are the most",
                   strlen(text), GD_RPC_ANSWER_MAX);
        add_error(b, &large);
    } else if (result) {
        gd_buf_adds(b, "\"result\":");
        gd_buf_adds(b, text ? text : "{}");
    } else {
        add_error(b, err);
    }
    gd_free(text);
    gd_buf_addc(b, '}');
}

struct frame *gd_frame_new(struct conn *c, bool batch)
{
    struct frame *f = gd_new(sizeof *f);

    f->conn = c;
    f->batch = batch;
    f->pending = 1; /* the one who fills it */
    gd_buf_init(&f->out, GD_RPC_ANSWER_MAX + GD_RPC_BATCH_MAX * RENDER_SIZE);
    gd_list_add(&c->frames, &f->link);
    return f;
}

static void frame_send(struct frame *f)
{
    struct conn *c = f->conn;

    if (f->replies) {
        if (f->batch)
            gd_buf_addc(&f->out, ']');
        gd_buf_addc(&f->out, '\n');
    }
    if (c->mode == CONN_HTTP)
        gd_http_reply(c, f->out.ptr, f->out.len);
    else if (f->out.len)
        gd_conn_send(c, f->out.ptr, f->out.len);
    if (!c->closing)
        gd_conn_touch(c);
}

void gd_frame_unref(struct frame *f)
{
    if (--f->pending)
        return;
    gd_list_del(&f->link);
    if (f->conn)
        frame_send(f);
    gd_buf_done(&f->out);
    gd_free(f);
}

void gd_frame_error(struct conn *c, const struct gd_err *err)
{
    struct frame *f = gd_frame_new(c, false);

    gd_frame_answer(f, NULL, NULL, err);
    gd_frame_unref(f);
}
