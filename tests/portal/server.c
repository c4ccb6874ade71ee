/* tests/portal/server.c - the portal with the double in place of the broker, for tests from outside: prints
 * its port, ends when its input ends. portal_test_server AUTHORIZE-URL [PUBLIC-URL [CERT KEY]] */
#include "double.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "portal/portal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct program {
    uv_loop_t loop;
    uv_pipe_t input;
    struct gd_broker broker;
    struct gd_portal *portal;
    char chunk[64];
};

static void on_portal_closed(void *arg)
{
    (void)arg;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct program *p = h->data;
    (void)suggested;

    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct program *p = s->data;
    (void)buf;

    if (n >= 0)
        return;
    uv_close((uv_handle_t *)s, NULL);
    gd_portal_close(p->portal, on_portal_closed, p);
}

static int serve(struct program *p, const struct gd_portal_options *o)
{
    struct gd_err err = { 0 };

    if (gd_portal_open(&p->portal, &p->loop, o, &p->broker, gd_clock_system(), gd_rng_system(), NULL, &err) <
        0) {
        (void)fprintf(stderr, "%s: %s\n", gd_reason_word(err.reason), err.text);
        return 1;
    }
    (void)printf("%d\n", gd_portal_port(p->portal));
    (void)fflush(stdout);
    (void)uv_pipe_init(&p->loop, &p->input, 0);
    p->input.data = p;
    (void)uv_pipe_open(&p->input, STDIN_FILENO);
    (void)uv_read_start((uv_stream_t *)&p->input, on_alloc, on_input);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&p->loop) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const unsigned char key[32] = "a key that is known to everybody";
    struct gd_portal_options o = { .listen = "127.0.0.1:0",
                                   .public_url = "http://127.0.0.1",
                                   .cookie_key = key };
    struct program p = { 0 };
    int rc;

    gd_json_setup();
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || gd_crypto_setup(NULL) < 0)
        return 2;
    if (argc > 2)
        o.public_url = argv[2];
    if (argc > 4) {
        o.tls_cert = argv[3];
        o.tls_key = argv[4];
    }
    (void)uv_loop_init(&p.loop);
    double_init(&p.broker, &p.loop);
    (void)snprintf(p.broker.authorize, sizeof p.broker.authorize, "%s", argv[1]);
    rc = serve(&p, &o);
    double_done(&p.broker);
    return rc;
}
