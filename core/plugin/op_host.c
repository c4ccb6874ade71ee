/* plugin/op_host.c - the services that a platform reaches through op->host: reading what it was given, making
 * texts, digests, notes, log lines. All memory comes from the arena of the run. */
#include "plugin/op_int.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "crypto/jwt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- memory
 * ------------------------------------------------------------------------------------------------ */

void *gd_op_alloc(struct gd_op *op, size_t n)
{
    void *p = NULL;

    if (n <= GD_OP_BYTES_MAX && op->run.doc_bytes + gd_arena_used(op->run.arena) + n <= GD_OP_BYTES_MAX)
        p = gd_arena_alloc(op->run.arena, n);
    if (!p)
        gd_op_stick(op, GRANTD_E_NOMEM, "the run needs more than %d bytes", GD_OP_BYTES_MAX);
    return p;
}

const char *gd_op_copy(struct gd_op *op, const char *s)
{
    size_t n = s ? strlen(s) + 1 : 0;
    char *p = s ? gd_op_alloc(op, n) : NULL;

    if (!s)
        return NULL;
    return p ? memcpy(p, s, n) : "";
}

const char *gd_op_take(struct gd_op *op, char *made)
{
    const char *s = gd_op_copy(op, made);

    gd_free(made);
    return s;
}

static void *h_alloc(grantd_op *p, size_t n)
{
    return gd_op_alloc(gd_op_of(p), n);
}

struct text { /* of which the first bytes fit */
    char *p;
    size_t size, n;
};

static void add_bytes(struct text *t, const char *s, size_t n)
{
    if (t->n < t->size)
        memcpy(t->p + t->n, s, n < t->size - t->n ? n : t->size - t->n);
    t->n += n;
}

static void add_number(struct text *t, long long v)
{
    unsigned long long left = v < 0 ? 0 - (unsigned long long)v : (unsigned long long)v;
    char digits[24], *p = digits + sizeof digits;

    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0)
        *--p = '-';
    add_bytes(t, p, (size_t)(digits + sizeof digits - p));
}

/* Most of what platforms put together is names with dots between, and a number at the end: that needs no
 * printf. Length, of which as much stands in t as fits; -1: there is something else in it. */
static long join(struct text *t, const char *fmt, va_list ap)
{
    while (*fmt) {
        size_t n = strcspn(fmt, "%");

        add_bytes(t, fmt, n);
        fmt += n;
        if (!strncmp(fmt, "%s", 2)) {
            const char *s = va_arg(ap, const char *);

            if (!s)
                return -1;
            add_bytes(t, s, strlen(s));
            fmt += 2;
        } else if (!strncmp(fmt, "%lld", 4)) {
            add_number(t, va_arg(ap, long long));
            fmt += 4;
        } else if (*fmt) {
            return -1;
        }
    }
    return (long)t->n;
}

__attribute__((format(printf, 2, 3))) static const char *h_strf(grantd_op *p, const char *fmt, ...)
{
    struct gd_op *op = gd_op_of(p);
    char first[256]; /* nearly always enough: formatted once */
    struct text t = { first, sizeof first, 0 };
    size_t used;
    va_list ap;
    long n;
    char *s;

    va_start(ap, fmt);
    n = join(&t, fmt, ap);
    va_end(ap);
    used = t.n < sizeof first ? t.n : sizeof first;
    if (n < 0) {
        va_start(ap, fmt);
        n = vsnprintf(first, sizeof first, fmt, ap);
        va_end(ap);
        used = sizeof first;
    }
    s = n < 0 ? NULL : gd_op_alloc(op, (size_t)n + 1);
    if (s && (size_t)n < sizeof first) {
        memcpy(s, first, (size_t)n);
    } else if (s) {
        va_start(ap, fmt);
        (void)vsnprintf(s, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    gd_wipe(first, used); /* may be a token */
    return s ? s : "";
}

/* ---- reading
 * ----------------------------------------------------------------------------------------------- */

static const char *h_arg(const grantd_op *p, int id)
{
    return id > 0 && id < GD_OP_ARGS ? gd_op_of(p)->args[id] : NULL;
}

static const char *h_option(const grantd_op *p, const char *key)
{
    const struct gd_op *op = gd_op_of(p);
    const struct grantd_option *o = op->platform->p.options;

    for (; o && o->key; o++)
        if (key && !strcmp(o->key, key))
            return gd_json_text(op->options, key, o->dflt);
    return NULL;
}

static const char *h_query(const grantd_op *p, const char *name)
{
    return name ? gd_json_text(gd_op_of(p)->query, name, NULL) : NULL;
}

static const char *h_input(const grantd_op *p, const char *name)
{
    const struct gd_op *op = gd_op_of(p);
    const char *s = name ? gd_json_text(op->inputs, name, NULL) : NULL;

    return s || !name ? s : gd_json_text(json_object_get(op->grant, "inputs"), name, NULL);
}

static const char *h_param(const grantd_op *p, const char *key)
{
    const struct gd_op *op = gd_op_of(p);
    const struct grantd_option *o = op->platform->p.params;

    for (; o && o->key; o++)
        if (key && !strcmp(o->key, key))
            return gd_json_text(op->params, key, o->dflt);
    return NULL;
}

static int h_same(const grantd_op *p, const char *a, const char *b)
{
    (void)p;
    return a && b && strlen(a) == strlen(b) && gd_same_bytes(a, b, strlen(a));
}

/* NULL: no description that was loaded with the platform. */
static struct gd_doc_seen *seen_of(const struct gd_platform *p, const json_t *j)
{
    struct gd_doc_seen *s = p->seen;

    while (s && s->of != j)
        s = s->next;
    return s;
}

static const grantd_doc *h_document(grantd_op *p, int id)
{
    struct gd_op *op = gd_op_of(p);
    json_t *j = id == GRANTD_DOC_DESCRIPTION ? op->description : id == GRANTD_DOC_GRANT ? op->grant : NULL;
    struct grantd_doc *d;

    if (id == GRANTD_DOC_NOTICE)
        return op->notice;
    if (!j)
        return NULL;
    if (op->run.fixed[id])
        return op->run.fixed[id];
    d = gd_doc_json(json_incref(j), id == GRANTD_DOC_DESCRIPTION ? op->platform->p.description : NULL);
    d->seen = seen_of(op->platform, j);
    /* behind the answers: these are no documents that lead anywhere new */
    d->next = op->run.docs;
    op->run.docs = d;
    op->run.fixed[id] = d;
    return d;
}

static int64_t h_now(const grantd_op *p)
{
    return gd_now(gd_op_of(p)->env.clock) / 1000;
}

/* ---- making
 * ------------------------------------------------------------------------------------------------ */

static char *json_of(const char *text)
{
    struct gd_buf b;

    gd_buf_init(&b, GD_OP_BYTES_MAX);
    gd_buf_add_json(&b, text);
    return gd_buf_steal(&b);
}

static char *base64_of(const char *text, bool url)
{
    size_t n = strlen(text);
    char *out = gd_new(4 * (n / 3 + 1) + 1);

    (void)(url ? gd_b64url(out, text, n) : gd_b64(out, text, n));
    return out;
}

static const char *h_encode(grantd_op *p, int how, const char *text)
{
    struct gd_op *op = gd_op_of(p);

    text = text ? text : "";
    switch (how) {
    case GRANTD_PERCENT:
        return gd_op_take(op, gd_percent_encode(text));
    case GRANTD_FORM:
        return gd_op_take(op, gd_form_encode(text));
    case GRANTD_JSON:
        return gd_op_take(op, json_of(text));
    case GRANTD_BASE64:
    case GRANTD_BASE64URL:
        return gd_op_take(op, base64_of(text, how == GRANTD_BASE64URL));
    default:
        gd_op_stick(op, GRANTD_E_PLUGIN, "grantd_encode does not know the writing %d", how);
        return "";
    }
}

static const char *h_url(grantd_op *p, const char *base, const char *const *params)
{
    return gd_op_url(gd_op_of(p), base, params);
}

static const char *h_random(grantd_op *p, size_t nbytes)
{
    struct gd_op *op = gd_op_of(p);
    unsigned char raw[64];
    char text[96];
    const char *s;

    if (nbytes == 0 || nbytes > sizeof raw) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "grantd_random makes 1 to 64 bytes");
        return "";
    }
    gd_rng_bytes(op->env.rng, raw, nbytes);
    (void)gd_b64url(text, raw, nbytes);
    s = gd_op_copy(op, text);
    gd_wipe(raw, sizeof raw);
    gd_wipe(text, sizeof text);
    return s;
}

static const char *h_digest(grantd_op *p, int how, const char *key, const char *text)
{
    struct gd_op *op = gd_op_of(p);
    bool hmac = how == GRANTD_HMAC_SHA256_HEX || how == GRANTD_HMAC_SHA256_B64;
    unsigned char md[32];
    char out[80];

    text = text ? text : "";
    if (how < GRANTD_SHA256_B64URL || how > GRANTD_HMAC_SHA256_B64 || (hmac && (!key || !*key))) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "grantd_digest: unknown digest, or an HMAC without a key");
        return "";
    }
    if (hmac)
        gd_hmac_sha256(md, key, strlen(key), text, strlen(text));
    else
        gd_sha256(md, text, strlen(text));
    if (how == GRANTD_SHA256_B64URL)
        (void)gd_b64url(out, md, sizeof md);
    else if (how == GRANTD_HMAC_SHA256_B64)
        (void)gd_b64(out, md, sizeof md);
    else
        gd_hex(out, md, sizeof md);
    return gd_op_copy(op, out);
}

static const char *h_jwt_sign(grantd_op *p, const char *alg, const char *key_option, const char *claims)
{
    struct gd_op *op = gd_op_of(p);
    const char *key = h_option(p, key_option);
    struct gd_err err = { 0 };
    char *jwt = key && alg && claims ? gd_jwt_sign(alg, key, claims, &err) : NULL;

    if (jwt)
        return gd_op_take(op, jwt);
    gd_op_stick(op, GRANTD_E_CONFIG, "the key in option %.60s does not sign: %s",
                key_option ? key_option : "?", key ? err.text : "it is not set");
    return "";
}

static const grantd_doc *h_idtoken(grantd_op *p, const struct grantd_idtoken *given, const char **why)
{
    struct gd_op *op = gd_op_of(p);
    struct grantd_idtoken t = { 0 };
    struct gd_jwt_policy policy = { 0 };
    struct gd_err err = { 0 };
    struct grantd_doc *d;
    json_t *claims;

    memcpy(&t, given, given->size < sizeof t ? given->size : sizeof t);
    policy = (struct gd_jwt_policy){ .algs = t.algs ? t.algs : "RS256 PS256 ES256 EdDSA",
                                     .issuer = t.issuer,
                                     .audience = t.audience,
                                     .nonce = t.nonce,
                                     .subject = t.subject,
                                     .access_token = t.access_token,
                                     .hmac_secret = t.hmac_secret,
                                     .now = h_now(p),
                                     .skew = 60 };
    claims = t.token && t.issuer && t.audience
                 ? gd_jwt_verify(t.token, t.jwks ? t.jwks->json : NULL, &policy, &err)
                 : NULL;
    if (!claims) {
        if (why)
            *why = gd_op_copy(op, err.text[0] ? err.text : "token, issuer and audience must be given");
        return NULL;
    }
    d = gd_doc_json(claims, NULL);
    d->next = op->run.docs;
    op->run.docs = d;
    return d;
}

/* ---- what must not be seen
 * --------------------------------------------------------------------------------- */

#define SECRETS_MAX   256
#define SECRET_BEGINS 16 /* so much of one is as good as the whole */
struct secrets {
    const char *list[SECRETS_MAX];
    size_t count;
};

static void add_secret(struct secrets *s, const char *text)
{
    if (text && strlen(text) >= 4 && s->count < SECRETS_MAX)
        s->list[s->count++] = text;
}

static bool secret_name(const char *key)
{
    if (!strcmp(key, "token_type") || strstr(key, "token_endpoint") || strstr(key, "token_url"))
        return false;
    return strstr(key, "token") || strstr(key, "secret") || strstr(key, "password") ||
           strstr(key, "assertion") || !strcmp(key, "device_code");
}

static void add_secrets_of(struct secrets *s, const json_t *j)
{
    const char *key;
    json_t *v;
    size_t i;

    json_array_foreach(j, i, v) add_secrets_of(s, v);
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        if (json_is_string(v) && secret_name(key))
            add_secret(s, json_string_value(v));
        else
            add_secrets_of(s, v);
    }
}

static void collect_secrets(struct gd_op *op, struct secrets *s)
{
    static const int args[] = {
        GRANTD_ARG_STATE,        GRANTD_ARG_CODE_VERIFIER, GRANTD_ARG_CODE,
        GRANTD_ARG_ACCESS_TOKEN, GRANTD_ARG_REFRESH_TOKEN, GRANTD_ARG_HUB_ACCESS_TOKEN
    };
    const struct grantd_option *o = op->platform->p.options;

    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        add_secret(s, op->args[args[i]]);
    for (; o && o->key; o++)
        if (o->flags & GRANTD_OPT_SECRET)
            add_secret(s, gd_json_text(op->options, o->key, NULL));
    add_secret(s, op->res.access_token);
    add_secret(s, op->res.refresh_token);
    add_secret(s, op->res.id_token);
    for (const struct grantd_doc *d = op->run.docs; d; d = d->next)
        if (d->status)
            add_secrets_of(s, d->json);
}

/* How much of a secret stands here: all of it, or a beginning that is long enough to be no chance (a platform
 * may have cut an answer in the middle of a token). */
static size_t secret_at(const struct secrets *s, const char *text)
{
    size_t longest = 0;

    for (size_t i = 0; i < s->count; i++) {
        const char *secret = s->list[i];
        size_t n = 0;

        while (secret[n] && secret[n] == text[n])
            n++;
        if (n > longest && (!secret[n] || n >= SECRET_BEGINS))
            longest = n;
    }
    return longest;
}

char *gd_op_clean_text(struct gd_op *op, const char *text)
{
    struct secrets s = { .count = 0 };
    struct gd_buf b;

    collect_secrets(op, &s);
    gd_buf_init(&b, GD_ERR_TEXT_MAX);
    while (*text && !b.failed) {
        size_t n = secret_at(&s, text), len = gd_utf8_len(text);

        if (n)
            gd_buf_adds(&b, "[secret]");
        else if (len == 0 || (unsigned char)*text < 0x20 || *text == 0x7f)
            gd_buf_addc(&b, '?');
        else
            gd_buf_add(&b, text, len);
        text += n ? n : len ? len : 1;
    }
    return gd_buf_steal(&b);
}

/* Whole first: a token that is cut is not found any more. */
char *gd_op_clean_format(struct gd_op *op, const char *fmt, va_list ap)
{
    GD_AUTO_FREE char *text = NULL;
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    text = gd_new(n < 0 ? 1 : (size_t)n + 1);
    if (n > 0)
        (void)vsnprintf(text, (size_t)n + 1, fmt, ap);
    return gd_op_clean_text(op, text);
}

/* ---- telling the host
 * -------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void h_log(grantd_op *p, int level, const char *fmt, ...)
{
    struct gd_op *op = gd_op_of(p);
    enum gd_log_level l = level >= GRANTD_WARN   ? GD_LOG_WARN
                          : level == GRANTD_INFO ? GD_LOG_INFO
                                                 : GD_LOG_DEBUG;
    GD_AUTO_FREE char *clean = NULL;
    va_list ap;

    if (!op->log || !gd_log_wants(op->log, l))
        return;
    va_start(ap, fmt);
    clean = gd_op_clean_format(op, fmt, ap);
    va_end(ap);
    GD_LOG(op->log, l, "platform.says", GD_F_STR("text", clean));
}

static void h_defer(grantd_op *p, void (*fn)(void *), void *arg)
{
    struct gd_op *op = gd_op_of(p);
    struct gd_op_defer *d;

    if (!fn || ++op->run.ndefers > GD_OP_DEFERS_MAX) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "grantd_defer without a function, or more than %d times",
                    GD_OP_DEFERS_MAX);
        return;
    }
    d = gd_new(sizeof *d);
    d->fn = fn;
    d->arg = arg;
    d->next = op->run.defers;
    op->run.defers = d;
}

static void put_note(struct gd_op *op, json_t *o, const char *key, const char *value, const char *what)
{
    if (!key || !*key || strlen(key) > GD_NAME_MAX || !gd_text_clean(key, strlen(key))) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "%s without a usable name", what);
        return;
    }
    if (!value) {
        (void)json_object_del(o, key);
        return;
    }
    if (strlen(value) > GD_OP_NOTE_MAX || !gd_text_clean(value, strlen(value))) {
        gd_op_stick(op, GRANTD_E_PROTOCOL, "%s %.60s is longer than %d bytes or not plain text", what, key,
                    GD_OP_NOTE_MAX);
        return;
    }
    if (!json_object_get(o, key) && json_object_size(o) >= GD_OP_NOTES_MAX) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "more than %d of %s", GD_OP_NOTES_MAX, what);
        return;
    }
    (void)json_object_set_new(o, key, json_string(value));
}

static void h_note(grantd_op *p, const char *key, const char *value)
{
    put_note(gd_op_of(p), gd_op_of(p)->notes, key, value, "grantd_note");
}

/* A note may be replaced while the platform still reads the old one: the run keeps what it was given. */
static const char *read_note(struct gd_op *op, const json_t *o, const char *key)
{
    const char *s = key ? gd_json_text(o, key, NULL) : NULL;

    return s ? gd_op_copy(op, s) : NULL;
}

static const char *h_noted(const grantd_op *p, const char *key)
{
    return read_note(gd_op_of(p), gd_op_of(p)->notes, key);
}

/* It is sealed with the credential: what could not be opened again would take the tokens with it. */
static void h_keep(grantd_op *p, const char *key, const char *value)
{
    struct gd_op *op = gd_op_of(p);
    GD_AUTO_FREE char *text = NULL;

    put_note(op, op->kept, key, value, "grantd_keep");
    text = gd_json_dump(op->kept);
    if (strlen(text) <= GD_OP_KEPT_MAX)
        return;
    gd_op_stick(op, GRANTD_E_PLUGIN, "more than %d bytes are kept", GD_OP_KEPT_MAX);
    (void)json_object_del(op->kept, key);
}

static const char *h_kept(const grantd_op *p, const char *key)
{
    return read_note(gd_op_of(p), gd_op_of(p)->kept, key);
}

static void h_retry_after(grantd_op *p, int64_t unix_seconds)
{
    struct gd_op *op = gd_op_of(p);
    int64_t now = h_now(p), latest = now + GD_OP_RETRY_AFTER_MAX;

    op->retry_at = (unix_seconds < now ? now : unix_seconds > latest ? latest : unix_seconds) * 1000;
}

const struct grantd_host gd_op_host = {
    .abi = GRANTD_ABI,
    .size = sizeof(struct grantd_host),
    .http = gd_op_h_http,
    .wait = gd_op_h_wait,
    .save = gd_op_h_save,
    .go_on = gd_op_h_continue,
    .pending = gd_op_h_pending,
    .done = gd_op_h_done,
    .fail = gd_op_h_fail,
    .fail_answer = gd_op_h_fail_answer,
    .arg = h_arg,
    .option = h_option,
    .query = h_query,
    .input = h_input,
    .document = h_document,
    .now = h_now,
    .status = gd_doc_status,
    .header = gd_doc_header,
    .body = gd_doc_body,
    .type = gd_doc_type,
    .text = gd_doc_text,
    .num = gd_doc_num,
    .len = gd_doc_len,
    .key = gd_doc_key,
    .alloc = h_alloc,
    .strf = h_strf,
    .encode = h_encode,
    .url = h_url,
    .random = h_random,
    .digest = h_digest,
    .jwt_sign = h_jwt_sign,
    .idtoken = h_idtoken,
    .log = h_log,
    .defer = h_defer,
    .note = h_note,
    .noted = h_noted,
    .keep = h_keep,
    .kept = h_kept,
    .asset = gd_op_h_asset,
    .step = gd_op_h_step,
    .surface = gd_op_h_surface,
    .observe = gd_op_h_observe,
    .retry_after = h_retry_after,
    .param = h_param,
    .warn = gd_op_h_warn,
    .same = h_same,
};
