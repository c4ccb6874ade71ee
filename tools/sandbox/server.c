/* server.c - HTTP by libmicrohttpd, in the one thread of the program. The target is taken raw: whether a path
 * was encoded as a platform wants it is for the platform to say. */
#include "base/mem.h"
#include "sandbox_int.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void *on_target(void *cls, const char *uri, struct MHD_Connection *conn)
{
    struct own *o = gd_new(sizeof *o);

    o->r.sb = cls;
    o->r.own = o;
    o->r.arena = gd_arena_new(0);
    o->conn = conn;
    o->target = gd_arena_strdup(o->r.arena, uri);
    o->kept = json_array();
    gd_buf_init(&o->in, SB_BODY_MAX);
    gd_list_init(&o->node);
    return o;
}

static void on_end(void *cls, struct MHD_Connection *conn, void **con_cls,
                   enum MHD_RequestTerminationCode code)
{
    struct own *o = *con_cls;

    (void)cls;
    (void)conn;
    (void)code;
    if (!o)
        return;
    *con_cls = NULL;
    gd_list_del(&o->node);
    if (o->handled)
        send_start(o);
    else
        send_drop(o);
    gd_buf_done(&o->in);
    json_decref(o->kept);
    gd_arena_free(o->r.arena);
    gd_free(o);
}

/* Paths and parameters stay as they came. */
static size_t keep_raw(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls;
    (void)conn;
    return strlen(s);
}

/* The first half of the body, then the connection is cut. */
static ssize_t read_half(void *cls, uint64_t pos, char *buf, size_t max)
{
    const struct own *o = cls;
    size_t left = o->out_len / 2 > pos ? o->out_len / 2 - (size_t)pos : 0;

    if (left == 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (left > max)
        left = max;
    memcpy(buf, o->out + pos, left);
    return (ssize_t)left;
}

static struct MHD_Response *response(struct own *o)
{
    if (o->sending == SEND_CUT)
        return MHD_create_response_from_callback(o->out_len, 4096, read_half, o, NULL);
    return MHD_create_response_from_buffer(o->out_len, (void *)(uintptr_t)(o->out ? o->out : ""),
                                           MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result answer(struct own *o)
{
    struct MHD_Response *res;
    enum MHD_Result ok;

    if (o->sending == SEND_NOTHING)
        return MHD_NO; /* the connection is closed without a word */
    res = response(o);
    if (o->type)
        MHD_add_response_header(res, "Content-Type", o->type);
    MHD_add_response_header(res, "Date", sb_time(&o->r, sb_now(&o->r), "%a, %d %b %Y %H:%M:%S GMT"));
    for (size_t i = 0; i < o->nheaders; i++)
        MHD_add_response_header(res, o->names[i], o->values[i]);
    ok = MHD_queue_response(o->conn, (unsigned)o->status, res);
    MHD_destroy_response(res);
    return ok;
}

static void handle(struct own *o)
{
    o->handled = true;
    o->r.body = o->in.ptr ? o->in.ptr : "";
    o->r.body_len = o->in.len;
    request_read(o);
    if (o->overflow)
        sb_text(&o->r, 413, "text/plain", "grantd-sandbox: a body of more than 1 MiB\n");
    else
        route_request(o);
    seen_add(o);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **con_cls)
{
    struct own *o = *con_cls;

    (void)cls;
    (void)url;
    (void)version;
    if (!o->r.method) { /* the head is there, the body follows */
        o->r.method = gd_arena_strdup(o->r.arena, method);
        return MHD_YES;
    }
    if (*size) {
        o->overflow |= !gd_buf_add(&o->in, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (!o->handled)
        handle(o);
    if (o->due_mono > clock_mono()) {
        gd_list_del(&o->node);
        gd_list_add(&o->r.sb->slow, &o->node);
        o->suspended = true;
        MHD_suspend_connection(conn);
        return MHD_YES;
    }
    return answer(o);
}

/* The slow answers whose time has come. */
static void wake(struct sb *sb, bool all)
{
    struct gd_list waiting;
    struct gd_list *n;

    gd_list_take(&waiting, &sb->slow);
    while ((n = gd_list_pop(&waiting))) {
        struct own *o = gd_container_of(n, struct own, node);

        if (!all && o->due_mono > clock_mono()) {
            gd_list_add(&sb->slow, n);
            continue;
        }
        o->due_mono = 0;
        MHD_resume_connection(o->conn);
    }
}

void server_turn(struct sb *sb, int64_t max_ms)
{
    bool waiting = !gd_list_empty(&sb->slow);

    MHD_run_wait(sb->http, (int32_t)(waiting ? 10 : max_ms));
    wake(sb, false);
}

static int parse_listen(const char *text, struct sockaddr_in *ret, struct gd_err *err)
{
    const char *colon = strrchr(text, ':');
    GD_AUTO_FREE char *host = colon ? gd_strndup(text, (size_t)(colon - text)) : NULL;
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    *ret = (struct sockaddr_in){ .sin_family = AF_INET };
    if (!colon || colon[1] == '\0' || *end != '\0' || port > 65535 ||
        inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &ret->sin_addr) != 1)
        return gd_err_set(err, GD_R_PARAM_INVALID, "--listen %s: not ADDRESS:PORT (127.0.0.1:7700)", text);
    ret->sin_port = htons((uint16_t)port);
    return 0;
}

static bool loopback(const struct sockaddr_in *a)
{
    return ntohl(a->sin_addr.s_addr) >> 24 == 127;
}

int server_start(struct sb *sb, const char *listen, struct gd_err *err)
{
    struct sockaddr_in at;

    gd_list_init(&sb->slow);
    if (parse_listen(listen, &at, err))
        return -1;
    if (!loopback(&at) && !sb->anywhere)
        return gd_err_set(err, GD_R_PARAM_INVALID,
                          "--listen %s is not loopback; anybody there could use and change the sandbox. Add "
                          "--anywhere if that is wanted",
                          listen);
    sb->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK, ntohs(at.sin_port), NULL,
        NULL, on_request, sb, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_URI_LOG_CALLBACK,
        on_target, sb, MHD_OPTION_UNESCAPE_CALLBACK, keep_raw, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_end,
        NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(512 * 1024), MHD_OPTION_END);
    if (!sb->http)
        return gd_err_set(err, GD_R_PARAM_INVALID, "cannot listen on %s: is somebody else there?", listen);
    return 0;
}

unsigned server_port(const struct sb *sb)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(sb->http, MHD_DAEMON_INFO_BIND_PORT);

    return info ? info->port : 0;
}

void server_stop(struct sb *sb)
{
    wake(sb, true);
    MHD_stop_daemon(sb->http);
    sb->http = NULL;
}

bool server_peer_is_local(const struct own *o)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(o->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    return info && info->client_addr->sa_family == AF_INET &&
           loopback((const struct sockaddr_in *)(const void *)info->client_addr);
}
