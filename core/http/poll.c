/* http/poll.c - CURLM on the loop: one timer, one uv_poll per socket. A socket that curl keeps for later
 * stays with its uv_poll (and is polled on until it speaks), because making and starting one costs four
 * system calls; the uv_poll goes when curl closes the socket. Descriptors lead to theirs through an array. */
#include "base/mem.h"
#include "http/http_int.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct gd_http_client *of_timer(uv_timer_t *t)
{
    return gd_container_of(t, struct gd_http_client, curl_timer);
}

/* Takes what has ended off curl's list. Only fields of the message are read before the handle is removed. */
static void drain(struct gd_http_client *c)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(c->multi, &left))) {
        CURL *easy = msg->easy_handle;
        CURLcode code = msg->data.result;
        char *call = NULL;

        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
        (void)curl_multi_remove_handle(c->multi, easy);
        gd_http_client_finished(c, (struct gd_http_call *)(void *)call, code);
    }
}

static void act(struct gd_http_client *c, curl_socket_t fd, int bits)
{
    int running;

    if (c->closed)
        return;
    gd_http_late_look(c);
    (void)curl_multi_socket_action(c->multi, fd, bits, &running);
    drain(c);
}

static void on_timer(uv_timer_t *t)
{
    act(of_timer(t), CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct gd_http_sock *s = (struct gd_http_sock *)(void *)poll;
    int bits = 0;

    if (!s->wanted) { /* a kept connection spoke or ended: curl looks when it wants to use it */
        (void)uv_poll_stop(poll);
        s->events = 0;
        return;
    }
    if (status < 0)
        bits = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        bits |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        bits |= CURL_CSELECT_OUT;
    act(s->client, s->fd, bits);
}

static struct gd_http_sock **slot(struct gd_http_client *c, curl_socket_t fd)
{
    size_t i = (size_t)fd, n;

    if (i >= c->nsocks) {
        n = i + 64;
        c->socks = gd_resize(c->socks, n * sizeof(struct gd_http_sock *));
        memset(c->socks + c->nsocks, 0, (n - c->nsocks) * sizeof(struct gd_http_sock *));
        c->nsocks = n;
    }
    return &c->socks[i];
}

static void on_sock_closed(uv_handle_t *h)
{
    struct gd_http_client *c = ((struct gd_http_sock *)(void *)h)->client;

    gd_free(h);
    gd_http_client_handle_closed(c);
}

static void sock_close(struct gd_http_client *c, struct gd_http_sock **s)
{
    c->closing++;
    uv_close((uv_handle_t *)&(*s)->poll, on_sock_closed);
    *s = NULL;
}

static struct gd_http_sock *sock_new(struct gd_http_client *c, curl_socket_t fd, bool tcp)
{
    struct gd_http_sock *s, **at = slot(c, fd);

    if (*at) /* its number was given again: the old one is gone */
        sock_close(c, at);
    s = gd_new(sizeof *s);
    s->client = c;
    s->fd = fd;
    s->tcp = tcp;
    if (uv_poll_init(c->loop, &s->poll, fd)) {
        gd_free(s);
        return NULL;
    }
    uv_unref((uv_handle_t *)&s->poll);
    *at = s;
    return s;
}

curl_socket_t gd_http_poll_open(struct gd_http_client *c, const struct curl_sockaddr *a)
{
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);

    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (sock_new(c, fd, true))
        return fd;
    close(fd);
    return CURL_SOCKET_BAD;
}

int gd_http_poll_close_socket(void *client, curl_socket_t fd)
{
    struct gd_http_client *c = client;
    struct gd_http_sock **s = slot(c, fd);

    if (*s)
        sock_close(c, s);
    return close(fd);
}

/* curl has no more interest. Its own pairs for waking are closed right after this without a word, so they are
 * let go of now; TCP sockets come back to gd_http_poll_close_socket. */
static void sock_rest(struct gd_http_client *c, struct gd_http_sock **s)
{
    if (!(*s)->tcp) {
        sock_close(c, s);
        return;
    }
    if ((*s)->wanted)
        uv_unref((uv_handle_t *)&(*s)->poll);
    (*s)->wanted = false;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
    struct gd_http_client *c = arg;
    struct gd_http_sock **at = slot(c, fd), *s = *at;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);

    (void)easy;
    (void)sockp;
    if (what == CURL_POLL_REMOVE || c->closed) {
        if (s)
            sock_rest(c, at);
        return 0;
    }
    if (!s)
        s = sock_new(c, fd, false);
    if (!s)
        return -1;
    if (!s->wanted)
        uv_ref((uv_handle_t *)&s->poll);
    s->wanted = true;
    if (s->events == events)
        return 0;
    s->events = events;
    return uv_poll_start(&s->poll, events, on_poll) ? -1 : 0;
}

static int on_set_timer(CURLM *multi, long ms, void *arg)
{
    struct gd_http_client *c = arg;

    (void)multi;
    if (ms < 0 || c->closed)
        return uv_timer_stop(&c->curl_timer);
    if (ms == 0) /* libuv's clock may stand still in a long turn; nothing may be late because of it */
        return uv_timer_start(&c->curl_timer, on_timer, 0, 0);
    uv_update_time(c->loop);
    return uv_timer_start(&c->curl_timer, on_timer, (uint64_t)ms, 0);
}

int gd_http_poll_init(struct gd_http_client *c, struct gd_err *err)
{
    c->multi = curl_multi_init();
    if (!c->multi)
        return gd_err_set(err, GD_R_NO_MEMORY, "libcurl could not be started");
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)GD_HTTP_IDLE_CONNS);
    return 0;
}

void gd_http_poll_done(struct gd_http_client *c)
{
    (void)curl_multi_cleanup(c->multi);
    c->multi = NULL;
    for (size_t i = 0; i < c->nsocks; i++)
        if (c->socks[i])
            sock_close(c, &c->socks[i]);
}
