/* http/wire.c - the easy handles: how one is set up, what its callbacks watch, and what became of a request.
 *
 * How we know that nothing was sent. curl calls PREREQFUNCTION when the connection stands (after the TLS
 * handshake; on a reused connection too) and before the first byte of the request is written; there is no
 * early data in this curl. The callback sets call->written. Without it, no byte of the request can have
 * arrived: NOT_SENT. With it, one may have, whatever curl reports about bytes written (TLS records leave in
 * parts, a resend on a second connection starts the count again), so everything but a whole answer is
 * UNCERTAIN. Both are exact at the boundary, because curl writes the request in the same call that asked the
 * callback.
 *
 * How we know that nothing is sent twice. curl resends by itself only on a connection that it reused; a
 * request that may not be (neither repeatable nor one whose sender allows the reuse) goes out on a fresh one
 * (FRESH_CONNECT) that nobody uses afterwards (FORBID_REUSE), in HTTP/1.1, without redirects, authentication
 * rounds or Expect.
 *
 * Handles are pooled: what is the same for all requests is set once, what differs is set in every prepare. */
#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#define KEEP_BUFFER   65536 /* larger ones are given back */
#define SEND_FRAGMENT 4096  /* bytes in one TLS record */

/* A setting that this libcurl does not know is a wrong build, not a condition to live with. */
#define SET(easy, option, value)                                     \
    do {                                                             \
        if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK) \
            abort();                                                 \
    } while (0)

/* ---- fault points (tests only) ----------------------------------------------------------------------- */
#ifdef GRANTD_FAULTS
enum { SEEN_CONNECT = 1, SEEN_SENT = 2, SEEN_HEAD = 4, SEEN_BODY = 8, SEEN_HALF = 16 };

static void fault_once(struct gd_http_call *call, unsigned bit, const char *point)
{
    if (call->seen_faults & bit)
        return;
    call->seen_faults |= bit;
    (void)GD_FAULT(point);
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    struct gd_http_call *call = arg;
    long sent = 0;

    (void)dltotal;
    (void)dlnow;
    (void)ultotal;
    if (call->written && !(call->seen_faults & SEEN_SENT) &&
        curl_easy_getinfo(call->xfer->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent > 0 &&
        (size_t)ulnow >= call->body_len)
        fault_once(call, SEEN_SENT, "F07");
    return 0;
}

/* The body in two halves; curl has written the first when it asks for the second. */
static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
    struct gd_http_call *call = arg;
    size_t end = call->half < call->body_len / 2 ? call->body_len / 2 : call->body_len,
           len = end - call->half;

    if (call->half && call->half < call->body_len)
        fault_once(call, SEEN_HALF, "F06");
    if (!gd_http_late_may_send(call))
        return CURL_READFUNC_ABORT;
    len = len < size * n ? len : size * n;
    memcpy(out, call->body + call->half, len);
    call->half += len;
    return len;
}

static void prepare_faults(struct gd_http_call *call)
{
    CURL *easy = call->xfer->easy;

    SET(easy, CURLOPT_NOPROGRESS, 0L);
    SET(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(easy, CURLOPT_XFERINFODATA, call);
    if (call->body && call->client->split_bodies) {
        SET(easy, CURLOPT_POSTFIELDS, NULL);
        SET(easy, CURLOPT_READFUNCTION, on_read);
        SET(easy, CURLOPT_READDATA, call);
    }
}
#endif

/* ---- what the callbacks watch ------------------------------------------------------------------------ */

/* curl has OpenSSL give its buffers back after each read and write, two of 16 KB for every request, and each
 * is wiped on its way: they stay with the connection. What is sent is small, so that buffer need not be
 * large. */
static CURLcode on_ssl_ctx(CURL *easy, void *ctx, void *arg)
{
    (void)easy;
    (void)arg;
    (void)SSL_CTX_clear_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_max_send_fragment(ctx, SEND_FRAGMENT);
#ifdef GRANTD_FAULTS
    fault_once(arg, SEEN_CONNECT, "F04");
#endif
    return CURLE_OK;
}

/* Every address that is dialled passes here: the only place where a name has become an address. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct gd_http_call *call = arg;

    if (purpose != CURLSOCKTYPE_IPCXN || !gd_http_address_allowed(call->target.reach, &a->addr)) {
        call->denied++;
        return CURL_SOCKET_BAD;
    }
    call->dialled++;
    return gd_http_poll_open(call->client, a);
}

/* The second look, also at a connection that somebody else opened; the last thing before the request is
 * written. */
static int on_prereq(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct gd_http_call *call = arg;
    struct sockaddr_storage sa;

    (void)local;
    (void)peer_port;
    (void)local_port;
    if (!peer || !gd_http_address_parse(&sa, peer) ||
        !gd_http_address_allowed(call->target.reach, (struct sockaddr *)&sa)) {
        call->denied++;
        call->dialled = 0;
        return CURL_PREREQFUNC_ABORT;
    }
#ifdef GRANTD_FAULTS
    fault_once(call, SEEN_CONNECT, "F04");
    (void)GD_FAULT("F05");
#endif
    if (!gd_http_late_may_send(call)) {
        call->overslept = true;
        return CURL_PREREQFUNC_ABORT;
    }
    call->written = true;
    call->answer.sent_at = gd_now(call->client->clock);
    return CURL_PREREQFUNC_OK;
}

static bool head_line(struct gd_http_call *call, const char *p, size_t n)
{
    struct gd_http_xfer *x = call->xfer;

    call->head_bytes += n;
    if (call->head_bytes > GD_HTTP_HEAD_MAX) {
        call->too_large = true;
        return false;
    }
    if (memchr(p, '\0', n)) {
        call->bad_head = true;
        return false;
    }
    if (n >= 5 && !memcmp(p, "HTTP/", 5)) { /* what came before was an interim answer (1xx) */
        gd_buf_clear(&x->head);
        call->nheaders = 0;
        call->head_done = false;
        return true;
    }
    if (call->head_done)
        return true; /* trailers */
    if (n <= 2 && (p[0] == '\r' || p[0] == '\n')) {
        call->head_done = true;
        return true;
    }
    if (++call->nheaders > GD_HTTP_HEADERS_MAX) {
        call->too_large = true;
        return false;
    }
    return gd_buf_add(&x->head, p, n);
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct gd_http_call *call = arg;

#ifdef GRANTD_FAULTS
    fault_once(call, SEEN_SENT, "F07");
    fault_once(call, SEEN_HEAD, "F08");
#endif
    return head_line(call, p, size * n) ? size * n : 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct gd_http_call *call = arg;

#ifdef GRANTD_FAULTS
    fault_once(call, SEEN_BODY, "F09");
#endif
    if (gd_buf_add(&call->xfer->body, p, size * n))
        return size * n;
    call->too_large = true;
    return 0;
}

/* ---- setting up -------------------------------------------------------------------------------------- */
static void set_template(CURL *easy, const struct gd_http_client *c)
{
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_PROXY, "");
    SET(easy, CURLOPT_NOPROXY, "*");
    SET(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(easy, CURLOPT_MAXREDIRS, 0L);
    SET(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https"); /* "" is refused; redirects are not followed at all */
    SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(easy, CURLOPT_CAPATH,
        NULL); /* its default keeps curl from caching the parsed CA store: 50 times slower */
    if (c->ca_file)
        SET(easy, CURLOPT_CAINFO, c->ca_file);
    SET(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(easy, CURLOPT_PATH_AS_IS, 1L);
    SET(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)GD_HTTP_BODY_MAX);
    SET(easy, CURLOPT_QUICK_EXIT, 1L); /* else giving up a look-up waits for the resolver, on the loop */
    SET(easy, CURLOPT_UPLOAD_BUFFERSIZE,
        16384L);                          /* made, freed and wiped for every request; bodies are small */
    SET(easy, CURLOPT_BUFFERSIZE, 4096L); /* this one too, and answers are not large either */
    SET(easy, CURLOPT_USERAGENT, c->user_agent);
    SET(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(easy, CURLOPT_CLOSESOCKETFUNCTION, gd_http_poll_close_socket);
    SET(easy, CURLOPT_CLOSESOCKETDATA, c);
    SET(easy, CURLOPT_PREREQFUNCTION, on_prereq);
    SET(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(easy, CURLOPT_WRITEFUNCTION, on_body);
}

struct gd_http_xfer *gd_http_xfer_new(struct gd_http_client *c)
{
    struct gd_http_xfer *x = gd_new(sizeof *x);

    x->easy = curl_easy_init();
    if (!x->easy)
        abort(); /* out of memory, like gd_new */
    gd_list_init(&x->link);
    gd_buf_init(&x->head, GD_HTTP_HEAD_MAX);
    gd_buf_init(&x->body, GD_HTTP_BODY_MAX);
    set_template(x->easy, c);
    SET(x->easy, CURLOPT_ERRORBUFFER, x->errbuf);
    return x;
}

static void drop_large(struct gd_buf *b)
{
    if (b->cap > KEEP_BUFFER)
        gd_buf_done(b);
    else
        gd_buf_clear(b);
}

void gd_http_xfer_clear(struct gd_http_xfer *x)
{
    SET(x->easy, CURLOPT_URL, NULL);
    SET(x->easy, CURLOPT_HTTPHEADER, NULL);
    SET(x->easy, CURLOPT_POSTFIELDS, NULL);
    SET(x->easy, CURLOPT_PRIVATE, NULL);
    SET(x->easy, CURLOPT_SHARE, NULL);
    drop_large(&x->head);
    drop_large(&x->body);
    x->errbuf[0] = '\0';
}

void gd_http_xfer_free(struct gd_http_xfer *x)
{
    if (!x)
        return;
    curl_easy_cleanup(x->easy);
    gd_buf_done(&x->head);
    gd_buf_done(&x->body);
    gd_free(x->headers);
    gd_free(x);
}

static void set_method(CURL *easy, struct gd_http_call *call)
{
    bool post = !strcmp(call->method, "POST"), get = !strcmp(call->method, "GET");

    SET(easy, CURLOPT_NOBODY, 0L);
    SET(easy, CURLOPT_CUSTOMREQUEST, NULL);
    call->head_only = !strcmp(call->method, "HEAD");
    if (call->body || post) {
        SET(easy, CURLOPT_POST, 1L);
        SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        SET(easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
    } else {
        SET(easy, CURLOPT_HTTPGET, 1L);
    }
    if (call->head_only && !call->body)
        SET(easy, CURLOPT_NOBODY, 1L);
    else if (!post && (!get || call->body))
        SET(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

void gd_http_wire_prepare(struct gd_http_call *call)
{
    CURL *easy = call->xfer->easy;
    int64_t connect = call->timeout_ms < GD_HTTP_CONNECT_MS ? call->timeout_ms : GD_HTTP_CONNECT_MS;

    SET(easy, CURLOPT_PROTOCOLS_STR, call->target.url.https ? "https" : "http");
    SET(easy, CURLOPT_URL, call->url);
    SET(easy, CURLOPT_HTTPHEADER, call->headers);
    set_method(easy, call);
    SET(easy, CURLOPT_FRESH_CONNECT, call->reuse ? 0L : 1L);
    /* Nor after HEAD: a body that a server sends all the same would be read as the next answer. */
    SET(easy, CURLOPT_FORBID_REUSE, call->reuse && !call->head_only ? 0L : 1L);
    /* The total (late.c) is the only bound on slowness: a platform that thinks for long is answered, not cut.
     */
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    SET(easy, CURLOPT_SHARE, call->app->share);
    SET(easy, CURLOPT_PRIVATE, call);
    SET(easy, CURLOPT_OPENSOCKETDATA, call);
    SET(easy, CURLOPT_PREREQDATA, call);
    SET(easy, CURLOPT_SSL_CTX_DATA, call);
    SET(easy, CURLOPT_HEADERDATA, call);
    SET(easy, CURLOPT_WRITEDATA, call);
#ifdef GRANTD_FAULTS
    prepare_faults(call);
#endif
}

/* ---- what became of it ------------------------------------------------------------------------------- */

/* One header per line of x->head, cut in place: the name in lower case, the value without blanks around it.
 * Folded lines (RFC 9112 5.2) and lines without a colon are left out. */
static void split_head(struct gd_http_call *call)
{
    struct gd_http_xfer *x = call->xfer;
    char *p = x->head.ptr, *end = p ? p + x->head.len : NULL;

    if (x->headers_cap < call->nheaders) {
        gd_free(x->headers);
        x->headers_cap = call->nheaders + 16;
        x->headers = gd_new_array(x->headers_cap, sizeof *x->headers);
    }
    call->answer.headers = x->headers;
    for (char *next; p && p < end; p = next) {
        char *nl = memchr(p, '\n', (size_t)(end - p)), *colon, *value, *stop;

        next = nl ? nl + 1 : end;
        stop = nl ? nl : end;
        while (stop > p && strchr("\r\n \t", stop[-1]))
            stop--;
        colon = memchr(p, ':', (size_t)(stop - p));
        if (!colon || colon == p || *p == ' ' || *p == '\t' || call->answer.nheaders == x->headers_cap)
            continue;
        *stop = *colon = '\0';
        for (char *c = p; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : *c;
        value = colon + 1 + strspn(colon + 1, " \t");
        x->headers[call->answer.nheaders++] = (struct gd_http_header){ p, value };
    }
}

static int64_t date_of(struct gd_http_client *c, const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n >= sizeof c->date_text)
        return gd_http_date(text);
    if (strcmp(c->date_text, text) != 0) {
        memcpy(c->date_text, text, n + 1);
        c->date = gd_http_date(text);
    }
    return c->date;
}

static void answered(struct gd_http_call *call, long status)
{
    struct gd_http_answer *a = &call->answer;
    const char *date;

    a->end = GD_HTTP_ANSWER;
    a->status = (int)status;
    split_head(call);
    if (!call->xfer->body.ptr)
        gd_buf_adds(&call->xfer->body, "");
    a->body = call->xfer->body.ptr;
    a->body_len = call->xfer->body.len;
    date = gd_http_answer_header(a, "date");
    a->date = date ? date_of(call->client, date) : -1;
}

/* A handshake that the network cut is no verdict about the certificate. */
static bool cut_handshake(const char *text)
{
    return strstr(text, "SSL_ERROR_SYSCALL") || strstr(text, "unexpected eof") ||
           strstr(text, "reset by peer");
}

static enum gd_reason reason_before(const struct gd_http_call *call, CURLcode code)
{
    if (call->overslept)
        return GD_R_PLATFORM_TIMEOUT;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return GD_R_RESOLVE_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
        return GD_R_PLATFORM_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
        return cut_handshake(call->xfer->errbuf) ? GD_R_CONNECT_FAILED : GD_R_TLS_VERIFY;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return GD_R_TLS_VERIFY;
    case CURLE_OUT_OF_MEMORY:
        return GD_R_NO_MEMORY;
    default:
        return GD_R_CONNECT_FAILED;
    }
}

static enum gd_reason reason_after(const struct gd_http_call *call, CURLcode code)
{
    if (call->too_large || code == CURLE_FILESIZE_EXCEEDED)
        return GD_R_ANSWER_TOO_LARGE;
    if (call->bad_head)
        return GD_R_ANSWER_INVALID;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return GD_R_PLATFORM_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return call->head_done ? GD_R_NO_MEMORY
                               : GD_R_ANSWER_TOO_LARGE; /* so curl calls a line beyond 100 KB */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 or a version that we did not ask for */
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
        return GD_R_ANSWER_INVALID;
    default:
        return GD_R_ANSWER_CUT;
    }
}

static void failed(struct gd_http_call *call, enum gd_http_end end, enum gd_reason reason, const char *detail)
{
    call->answer.end = end;
    call->answer.status = 0;
    gd_err_set(&call->answer.err, reason, "%s: %s%s%s", call->target.url.host,
               gd_reason_info(reason)->meaning, *detail ? " " : "", detail);
}

/* Is the platform alive? What we refused ourselves, or found too large, says nothing against it. */
static enum gd_http_health health_of(const struct gd_http_answer *a)
{
    if (a->end == GD_HTTP_ANSWER)
        return a->status >= 500 ? GD_HTTP_FAILED : GD_HTTP_ALIVE;
    if (a->end == GD_HTTP_REFUSED || a->err.reason == GD_R_NO_MEMORY)
        return GD_HTTP_UNKNOWN;
    if (a->err.reason == GD_R_ANSWER_TOO_LARGE)
        return GD_HTTP_ALIVE;
    return GD_HTTP_FAILED;
}

enum gd_http_health gd_http_wire_finish(struct gd_http_call *call, CURLcode code)
{
    const char *detail = call->xfer->errbuf;
    long status = 0;

    if (curl_easy_getinfo(call->xfer->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        status = 0;
    call->answer.took_ms = gd_mono(call->client->clock) - call->started;
    call->answer.date = -1;
    SET(call->xfer->easy, CURLOPT_SHARE, NULL);
    if (!call->written) {
        if (call->denied && !call->dialled)
            failed(call, GD_HTTP_REFUSED, GD_R_EGRESS_DENIED, "");
        else
            failed(call, GD_HTTP_NOT_SENT, reason_before(call, code),
                   call->overslept ? "this process slept past the deadline; nothing was sent" : detail);
    } else if (code == CURLE_OK && call->head_done && status >= 200 && status <= 599) {
        answered(call, status);
    } else if (status == 101) { /* nobody asked for another protocol */
        failed(call, GD_HTTP_UNCERTAIN, GD_R_ANSWER_INVALID, "");
    } else if (code == CURLE_OK) { /* curl takes a head that was cut for a whole one */
        failed(call, GD_HTTP_UNCERTAIN, call->head_done ? GD_R_ANSWER_INVALID : GD_R_ANSWER_CUT, "");
    } else {
        failed(call, GD_HTTP_UNCERTAIN, reason_after(call, code), detail);
    }
    return call->overslept ? GD_HTTP_UNKNOWN : health_of(&call->answer);
}

const char *gd_http_answer_header(const struct gd_http_answer *a, const char *name)
{
    for (size_t i = 0; i < a->nheaders; i++)
        if (!strcasecmp(a->headers[i].name, name))
            return a->headers[i].value;
    return NULL;
}
