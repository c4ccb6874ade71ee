/* portal/tls.c - see tls.h. */
#include "portal/tls.h"

#include "base/mem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

struct gd_portal_tls_context {
    SSL_CTX *ctx;
};
struct gd_portal_tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* The only protocol spoken here; a client that offers others alone is turned away during the handshake. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                   unsigned inlen, void *arg)
{
    static const char http11[] = "http/1.1";
    (void)ssl;
    (void)arg;

    for (unsigned i = 0; i < inlen; i += 1u + in[i]) {
        if (in[i] == sizeof http11 - 1 && i + in[i] < inlen &&
            strncmp((const char *)in + i + 1, http11, in[i]) == 0) {
            *out = in + i + 1;
            *outlen = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* An encrypted key would make OpenSSL ask on the terminal, and the daemon wait for it: it is an unusable key
 * instead. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return 0;
}

static bool configure(SSL_CTX *ctx)
{
    static const unsigned char name[] = "grantd-portal";

    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1) == 1;
}

static int load(SSL_CTX *ctx, const char *cert, const char *key, struct gd_err *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return gd_err_set(err, GD_R_PORTAL_TLS_INVALID, "%s is not a readable PEM certificate chain", cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return gd_err_set(err, GD_R_PORTAL_TLS_INVALID, "%s is not a readable PEM key of the certificate",
                          key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return gd_err_set(err, GD_R_PORTAL_TLS_INVALID, "the key %s does not belong to the certificate", key);
    return 0;
}

int gd_portal_tls_context_new(struct gd_portal_tls_context **ret, const char *cert, const char *key,
                              struct gd_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct gd_portal_tls_context *c;

    if (!ctx || !configure(ctx)) {
        SSL_CTX_free(ctx);
        return gd_err_set(err, GD_R_PORTAL_TLS_INVALID, "OpenSSL cannot be set up");
    }
    if (load(ctx, cert, key, err) < 0) {
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return -1;
    }
    c = gd_new(sizeof *c);
    c->ctx = ctx;
    *ret = c;
    return 0;
}

void gd_portal_tls_context_free(struct gd_portal_tls_context *c)
{
    if (c)
        SSL_CTX_free(c->ctx);
    gd_free(c);
}

struct gd_portal_tls *gd_portal_tls_new(struct gd_portal_tls_context *c)
{
    struct gd_portal_tls *t = gd_new(sizeof *t);

    t->ssl = SSL_new(c->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        SSL_free(t->ssl);
        BIO_free(t->in);
        BIO_free(t->out);
        gd_free(t);
        return NULL;
    }
    BIO_set_mem_eof_return(t->in, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_accept_state(t->ssl);
    return t;
}

void gd_portal_tls_free(struct gd_portal_tls *t)
{
    if (t)
        SSL_free(t->ssl);
    gd_free(t);
}

void gd_portal_tls_feed(struct gd_portal_tls *t, const void *p, size_t n)
{
    if (n && n <= INT_MAX)
        (void)BIO_write(t->in, p, (int)n); /* a memory BIO takes all of it */
}

long gd_portal_tls_read(struct gd_portal_tls *t, void *out, size_t n)
{
    size_t got = 0;
    int why;

    ERR_clear_error();
    if (SSL_read_ex(t->ssl, out, n, &got) == 1)
        return (long)got;
    why = SSL_get_error(t->ssl, 0);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool gd_portal_tls_ready(const struct gd_portal_tls *t)
{
    return SSL_is_init_finished(t->ssl) == 1;
}

bool gd_portal_tls_write(struct gd_portal_tls *t, const void *p, size_t n)
{
    size_t put = 0;

    ERR_clear_error();
    return n == 0 || (SSL_write_ex(t->ssl, p, n, &put) == 1 && put == n);
}

void gd_portal_tls_end(struct gd_portal_tls *t)
{
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl))
        (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

size_t gd_portal_tls_take(struct gd_portal_tls *t, void *out, size_t n)
{
    size_t got = 0;

    if (BIO_ctrl_pending(t->out) == 0 || BIO_read_ex(t->out, out, n, &got) != 1)
        return 0;
    return got;
}
