/* http/mail.c - one mail at a time on a worker of libuv. The message is made whole before it leaves, by our
 * own hand: every part that somebody else chose is checked or encoded, so that none can add a line to the
 * head, a second addressee or an end of the body. */
#include "http/mail.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define MAIL_TIMEOUT_MS 30000L
#define MAIL_ADDRESS    254 /* RFC 5321 4.5.3.1.3, without the brackets */
#define MAIL_BYTES_MAX  (256 * 1024)
#define MAIL_LINE       74 /* of a body: room for the soft break */
#define MAIL_WORD       42 /* bytes of text in one encoded word: 75 characters at most */

/* A setting that this libcurl does not know is a wrong build, not a condition to live with. */
#define SET(easy, option, value)                                     \
    do {                                                             \
        if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK) \
            abort();                                                 \
    } while (0)

struct gd_mailer {
    uv_loop_t *loop;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_log *log;
    char *url, *from, *user, *password, *ca_file;
    bool local;             /* the server is on this machine: plain text is allowed, other addresses not */
    struct gd_list waiting; /* the first one is under way while busy */
    unsigned nwaiting;
    bool busy;
    atomic_bool closing; /* the worker looks at it, too */
    uv_async_t turn;     /* refusals and what was left at the end are told on the next turn */
    struct gd_list told;
    void (*closed)(void *);
    void *closed_arg;
};

struct sending {
    struct gd_list link;
    struct gd_mailer *m;
    uv_work_t work;
    char *to;
    struct gd_buf message;
    size_t sent; /* bytes handed to curl */
    gd_mail_fn *fn;
    void *arg;
    struct gd_err err; /* reason OK: taken */
    long code;         /* the server's last answer */
};

/* ---- what may stand where ------------------------------------------------------------------------------ */

static bool atom(const char *s, size_t n, const char *more)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    if (n == 0 || s[0] == '.' || s[n - 1] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\0' || (!strchr(letters, s[i]) && !strchr(more, s[i])) ||
            (s[i] == '.' && s[i + 1] == '.'))
            return false;
    return true;
}

bool gd_mail_address_ok(const char *address)
{
    const char *at = address ? strrchr(address, '@') : NULL;

    return at && strlen(address) <= MAIL_ADDRESS && at - address <= 64 &&
           atom(address, (size_t)(at - address), ".!#$%&'*+-/=?^_`{|}~") && at[1] != '-' &&
           atom(at + 1, strlen(at + 1), ".-");
}

/* The host in lower case, without brackets; false when the URL is not of the form. */
static bool split_url(const char *url, char *host, size_t cap)
{
    const char *p = strncmp(url, "smtps://", 8) == 0  ? url + 8
                    : strncmp(url, "smtp://", 7) == 0 ? url + 7
                                                      : NULL;
    bool six = p && *p == '[';
    size_t n = !p ? 0 : six ? strcspn(p, "]") : strcspn(p, ":");
    const char *rest = p ? p + n : "";
    int64_t port = 0;

    if (six && *rest++ != ']')
        return false;
    if (six) {
        p++;
        n--;
    }
    if (!p || n == 0 || n >= cap ||
        strspn(p, six ? "0123456789abcdefABCDEF:."
                      : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") < n)
        return false;
    if (*rest && (*rest != ':' || !gd_parse_i64(rest + 1, &port) || rest[1] < '0' || rest[1] > '9' ||
                  port < 1 || port > 65535))
        return false;
    memcpy(host, p, n);
    host[n] = '\0';
    return true;
}

bool gd_mail_url_ok(const char *url)
{
    char host[GD_HOST_NAME_MAX + 1];

    return split_url(url, host, sizeof host);
}

static bool host_local(const char *host)
{
    struct sockaddr_storage sa;

    return strcmp(host, "localhost") == 0 ||
           (gd_http_address_parse(&sa, host) && gd_http_address_loopback((struct sockaddr *)&sa));
}

/* ---- the message --------------------------------------------------------------------------------------- */

static bool plain_header(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e || strchr("=?\"\\<>()@,;:[]", *s))
            return false;
    return true;
}

/* Bytes of whole characters that fit into one encoded word. */
static size_t word_len(const char *s)
{
    size_t n = 0, one;

    while (s[n] && (one = gd_utf8_len(s + n)) != 0 && n + one <= MAIL_WORD)
        n += one;
    return n;
}

/* A text in a head: as it is when it is short and harmless, else in encoded words (RFC 2047), each on a line
 * of its own. What is no UTF-8 ends it. */
static void add_words(struct gd_buf *out, const char *text)
{
    GD_AUTO_FREE char *clean = gd_strdup(text);
    char b64[4 * MAIL_WORD];
    size_t n;

    for (char *p = clean; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    if (strlen(clean) <= MAIL_WORD && plain_header(clean)) {
        gd_buf_adds(out, clean);
        return;
    }
    for (const char *p = clean; (n = word_len(p)) != 0; p += n) {
        gd_b64(b64, p, n);
        gd_buf_addf(out, "%s=?UTF-8?B?%s?=", p > clean ? "\r\n " : "", b64);
    }
}

static void add_date(struct gd_buf *out, int64_t unix_ms)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t t = (time_t)(unix_ms / 1000);
    struct tm tm;

    if (gmtime_r(&t, &tm))
        gd_buf_addf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
                    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Quoted-printable (RFC 2045 6.7): lines of at most 76 characters, whatever the text. */
static void add_body(struct gd_buf *out, const char *text)
{
    size_t column = 0;

    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool last = p[1] == '\n' || p[1] == '\0';
        bool plain = (c > 0x20 && c < 0x7f && c != '=') || (c == ' ' && !last);

        if (c == '\n') {
            gd_buf_adds(out, "\r\n");
            column = 0;
            continue;
        }
        if (column + (plain ? 1 : 3) > MAIL_LINE) {
            gd_buf_adds(out, "=\r\n");
            column = 0;
        }
        gd_buf_addf(out, plain ? "%c" : "=%02X", c);
        column += plain ? 1 : 3;
    }
    if (column)
        gd_buf_adds(out, "\r\n");
}

void gd_mail_text(struct gd_buf *out, const char *from, const struct gd_mail *m, const char *id,
                  int64_t unix_ms)
{
    add_date(out, unix_ms);
    gd_buf_adds(out, "From: ");
    if (m->name && *m->name) {
        add_words(out, m->name);
        gd_buf_adds(out, "\r\n ");
    }
    gd_buf_addf(out, "<%s>\r\nTo: <%s>\r\nSubject: ", from, m->to);
    add_words(out, m->subject);
    gd_buf_addf(
        out,
        "\r\nMessage-ID: <%s%s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        id, strrchr(from, '@'));
    add_body(out, m->text);
}

/* ---- on the worker ------------------------------------------------------------------------------------- */

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
    struct sending *s = arg;
    size_t len = s->message.len - s->sent;

    len = len < size * n ? len : size * n;
    memcpy(to, s->message.ptr + s->sent, len);
    s->sent += len;
    return len;
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    struct sending *s = arg;

    (void)dltotal;
    (void)dlnow;
    (void)ultotal;
    (void)ulnow;
    return atomic_load(&s->m->closing) ? 1 : 0;
}

/* The only place where the name has become an address. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct sending *s = arg;

    if (purpose != CURLSOCKTYPE_IPCXN || (s->m->local && !gd_http_address_loopback(&a->addr)))
        return CURL_SOCKET_BAD;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void prepare(CURL *easy, struct sending *s, struct curl_slist *to)
{
    struct gd_mailer *m = s->m;

    SET(easy, CURLOPT_URL, m->url);
    SET(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    SET(easy, CURLOPT_PROXY, "");
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_USE_SSL, (long)(m->local ? CURLUSESSL_TRY : CURLUSESSL_ALL));
    SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(easy, CURLOPT_TIMEOUT_MS, MAIL_TIMEOUT_MS);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)GD_HTTP_CONNECT_MS);
    SET(easy, CURLOPT_MAIL_FROM, m->from);
    SET(easy, CURLOPT_MAIL_RCPT, to);
    SET(easy, CURLOPT_UPLOAD, 1L);
    SET(easy, CURLOPT_READFUNCTION, on_read);
    SET(easy, CURLOPT_READDATA, s);
    SET(easy, CURLOPT_NOPROGRESS, 0L);
    SET(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(easy, CURLOPT_XFERINFODATA, s);
    SET(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(easy, CURLOPT_OPENSOCKETDATA, s);
    if (m->ca_file)
        SET(easy, CURLOPT_CAINFO, m->ca_file);
    if (m->user) {
        SET(easy, CURLOPT_USERNAME, m->user);
        SET(easy, CURLOPT_PASSWORD, m->password);
    }
}

/* What curl says goes into no sentence: it may quote the server, and that the addressee. */
static void judge(struct sending *s, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return;
    case CURLE_USE_SSL_FAILED:
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "the mail server offers no TLS; nothing was sent");
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "the mail server's TLS certificate or protocol was refused");
        return;
    case CURLE_LOGIN_DENIED:
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "the mail server refused mail.user and mail.password");
        return;
    case CURLE_OPERATION_TIMEDOUT:
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "the mail server did not answer in time");
        return;
    default:
        break;
    }
    if (s->code >= 500 && s->code < 600)
        gd_err_set(&s->err, GD_R_MAIL_REFUSED, "the mail server refused the mail (%ld)", s->code);
    else
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "the mail could not be handed over (%d, %ld)", (int)code,
                   s->code);
}

static void work(uv_work_t *req)
{
    struct sending *s = req->data;
    CURL *easy = curl_easy_init();
    struct curl_slist *to = curl_slist_append(NULL, s->to);
    CURLcode code;

    if (!easy || !to)
        abort(); /* out of memory, like everywhere */
    prepare(easy, s, to);
    code = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &s->code);
    curl_easy_cleanup(easy);
    curl_slist_free_all(to);
    OPENSSL_thread_stop(); /* what TLS keeps for a thread: those of libuv outlive OpenSSL's own end */
    judge(s, code);
}

/* ---- the queue ----------------------------------------------------------------------------------------- */

static void next_one(struct gd_mailer *m);

static void tell(struct sending *s)
{
    struct gd_mailer *m = s->m;

    if (s->err.reason)
        GD_LOG(m->log, GD_LOG_WARN, "mail.failed", GD_F_ERR(&s->err));
    else
        GD_LOG(m->log, GD_LOG_INFO, "mail.sent");
    s->fn(s->arg, s->err.reason ? &s->err : NULL);
    gd_buf_done(&s->message);
    gd_free(s->to);
    gd_free(s);
}

static void on_turn_closed(uv_handle_t *h)
{
    struct gd_mailer *m = h->data;
    void (*closed)(void *) = m->closed;
    void *arg = m->closed_arg;

    gd_free(m->url);
    gd_free(m->from);
    gd_free(m->user);
    gd_free(m->password);
    gd_free(m->ca_file);
    gd_free(m);
    closed(arg);
}

static void close_when_done(struct gd_mailer *m)
{
    if (m->closed && !m->busy && gd_list_empty(&m->told) && gd_list_empty(&m->waiting) &&
        !uv_is_closing((uv_handle_t *)&m->turn))
        uv_close((uv_handle_t *)&m->turn, on_turn_closed);
}

static void on_turn(uv_async_t *a)
{
    struct gd_mailer *m = a->data;
    struct gd_list *n;

    while ((n = gd_list_pop(&m->told)) != NULL)
        tell(gd_container_of(n, struct sending, link));
    close_when_done(m);
}

static void after_work(uv_work_t *req, int status)
{
    struct sending *s = req->data;
    struct gd_mailer *m = s->m;

    (void)status;
    m->busy = false;
    tell(s);
    next_one(m);
    close_when_done(m);
}

static void next_one(struct gd_mailer *m)
{
    struct gd_list *n;
    struct sending *s;

    if (m->busy || !(n = gd_list_pop(&m->waiting)))
        return;
    s = gd_container_of(n, struct sending, link);
    m->nwaiting--;
    m->busy = true;
    if (uv_queue_work(m->loop, &s->work, work, after_work) < 0)
        abort(); /* only when work is NULL */
}

static void refuse(struct sending *s)
{
    gd_list_add(&s->m->told, &s->link);
    (void)uv_async_send(&s->m->turn);
}

static void make_message(struct sending *s, const struct gd_mail *mail)
{
    struct gd_mailer *m = s->m;
    unsigned char raw[16];
    char id[33];

    gd_rng_bytes(m->rng, raw, sizeof raw);
    gd_hex(id, raw, sizeof raw);
    gd_buf_init(&s->message, MAIL_BYTES_MAX);
    gd_mail_text(&s->message, m->from, mail, id, gd_now(m->clock));
}

void gd_mail_send(struct gd_mailer *m, const struct gd_mail *mail, gd_mail_fn *fn, void *arg)
{
    struct sending *s = gd_new(sizeof *s);

    s->m = m;
    s->fn = fn;
    s->arg = arg;
    s->work.data = s;
    s->to = gd_strdup(mail->to);
    make_message(s, mail);
    if (!gd_mail_address_ok(mail->to) || s->message.failed)
        gd_err_set(&s->err, GD_R_MAIL_INVALID, "the address or the text is not one that can be mailed");
    else if (atomic_load(&m->closing) || m->nwaiting >= GD_MAIL_QUEUE_MAX)
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "too many mails wait already");
    if (s->err.reason) {
        refuse(s);
        return;
    }
    gd_list_add(&m->waiting, &s->link);
    m->nwaiting++;
    next_one(m);
}

/* ---- the beginning and the end ------------------------------------------------------------------------- */

int gd_mailer_new(struct gd_mailer **ret, uv_loop_t *loop, const struct gd_mail_options *o,
                  const struct gd_clock *clock, struct gd_rng *rng, struct gd_log *log, struct gd_err *err)
{
    char host[GD_HOST_NAME_MAX + 1];
    struct gd_mailer *m;

    if (!split_url(o->url, host, sizeof host) || !gd_mail_address_ok(o->from) || !o->user != !o->password)
        return gd_err_set(err, GD_R_MAIL_INVALID, "the mail server's URL or the sender's address is none");
    m = gd_new(sizeof *m);
    m->loop = loop;
    m->clock = clock;
    m->rng = rng;
    m->log = log;
    m->url = gd_strdup(o->url);
    m->from = gd_strdup(o->from);
    m->user = gd_strdup(o->user);
    m->password = gd_strdup(o->password);
    m->ca_file = gd_strdup(o->ca_file);
    m->local = o->loopback_only || host_local(host);
    gd_list_init(&m->waiting);
    gd_list_init(&m->told);
    if (uv_async_init(loop, &m->turn, on_turn) < 0)
        abort(); /* start-up only: no descriptors to be had */
    m->turn.data = m;
    *ret = m;
    return 0;
}

void gd_mailer_close(struct gd_mailer *m, void (*done)(void *), void *arg)
{
    struct gd_list *n;

    if (!m) {
        done(arg);
        return;
    }
    m->closed = done;
    m->closed_arg = arg;
    atomic_store(&m->closing, true);
    while ((n = gd_list_pop(&m->waiting)) != NULL) {
        struct sending *s = gd_container_of(n, struct sending, link);

        m->nwaiting--;
        gd_err_set(&s->err, GD_R_MAIL_FAILED, "the daemon ends");
        gd_list_add(&m->told, &s->link);
    }
    (void)uv_async_send(&m->turn);
}
