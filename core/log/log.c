/* log/log.c - one line is put together in a buffer on the stack and leaves in one write(2), so lines of
 * several threads never mix and a pipe takes each whole (GD_LOG_LINE_MAX is not above PIPE_BUF). A value that
 * is too long is cut inside its quotes and the line says "truncated":true; it is valid JSON all the same. */
#include "log/log.h"

#include "base/mem.h"
#include "base/text.h"
#include "log/siphash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX   1024 /* bytes of one value as written */
#define EVENT_MAX   64   /* bytes of an event's name or a key */
#define PREFIX_MAX  1024 /* bytes of all inherited fields */
#define TAIL        ",\"truncated\":true}\n"
#define DROPPED_MAX 32 /* room for ,"dropped":<number> */

struct root {
    int fd;
    const struct gd_clock *clock;
    unsigned char key[16];
    int level;        /* atomic */
    unsigned dropped; /* atomic: lines that the fd would not take */
};

struct gd_log {
    struct root *root;
    bool owns_root;
    size_t prefix_len;
    char prefix[PREFIX_MAX]; /* ,"key":"value" of this object and its parents */
};

struct line {
    char p[GD_LOG_LINE_MAX];
    size_t len, max; /* max: where values have to end */
    bool full;       /* no room: nothing more is taken */
    bool cut;        /* a value was longer than one may be */
};

_Static_assert(GD_LOG_LINE_MAX <= 4096, "a line has to fit PIPE_BUF");

static const char *const level_names[] = { "debug", "info", "warn", "error" };

/* ---- writing JSON into a fixed buffer
 * ---------------------------------------------------------------------- */

/* Adds all of it or, when it does not fit, nothing. */
static bool put(struct line *l, const char *p, size_t n)
{
    if (n > l->max - l->len)
        l->full = true;
    if (l->full)
        return false;
    memcpy(l->p + l->len, p, n);
    l->len += n;
    return true;
}

/* C1 controls (U+0080..U+009F) drive terminals as ESC does. */
static bool is_control(const unsigned char *s, size_t n)
{
    return s[0] < 0x20 || s[0] == 0x7f || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

/* One character of s as JSON into out (8 bytes); returns its length and moves *s on. */
static size_t escape(char *out, const char **s)
{
    const unsigned char *u = (const unsigned char *)*s;
    size_t n = gd_utf8_len(*s);

    *s += n ? n : 1;
    if (n && !is_control(u, n)) {
        size_t quote = *u == '"' || *u == '\\';

        out[0] = '\\';
        memcpy(out + quote, u, n);
        return n + quote;
    }
    return (size_t)snprintf(out, 8, "\\u%04x", n == 2 ? u[1] : u[0]);
}

/* "text" with its quotes, at most cap bytes of it. The caller saw to it that two bytes fit. */
static void put_quoted(struct line *l, const char *s, size_t cap)
{
    size_t start = l->len + 1, n;
    char one[8];

    l->p[l->len++] = '"';
    l->max--; /* the closing quote's place */
    while (*s) {
        n = escape(one, &s);
        if (l->len + n - start > cap) {
            l->cut = true;
            break;
        }
        if (!put(l, one, n))
            break;
    }
    l->max++;
    l->p[l->len++] = '"';
}

/* ,"key": and room for a short value behind it; false when the field has to be left out. A key that the line
 * has already (inherited, mostly) stands as it is: two of one name are no valid line. Quotes within values
 * are escaped, so the search finds keys only. */
static bool put_key(struct line *l, const char *key)
{
    char text[EVENT_MAX + 8];
    size_t n;

    if (strlen(key) > EVENT_MAX || l->full) {
        l->full = true;
        return false;
    }
    n = (size_t)snprintf(text, sizeof text, ",\"%s\":", key);
    if (memmem(l->p, l->len, text, n))
        return false;
    if (l->max - l->len < n + 32) {
        l->full = true;
        return false;
    }
    return put(l, text, n);
}

static void put_text(struct line *l, const char *key, const char *value)
{
    if (!put_key(l, key))
        return;
    if (value)
        put_quoted(l, value, VALUE_MAX);
    else
        put(l, "null", 4);
}

static void put_number(struct line *l, const char *key, int64_t v)
{
    char text[24];

    if (put_key(l, key))
        put(l, text, (size_t)snprintf(text, sizeof text, "%" PRId64, v));
}

static void put_secret(struct line *l, const struct root *r, const char *key, const struct gd_secret *s)
{
    char text[24];

    if (s && gd_secret_has(s))
        (void)snprintf(text, sizeof text, "#%08" PRIx64, gd_log_siphash(r->key, s->ptr, s->len) >> 32);
    put_text(l, key, s && gd_secret_has(s) ? text : NULL);
}

static void put_field(struct line *l, const struct root *r, const struct gd_field *f)
{
    switch (f->kind) {
    case GD_FIELD_STR:
        put_text(l, f->key, f->u.str);
        break;
    case GD_FIELD_INT:
        put_number(l, f->key, f->u.num);
        break;
    case GD_FIELD_BOOL:
        if (put_key(l, f->key))
            put(l, f->u.num ? "true" : "false", f->u.num ? 4 : 5);
        break;
    case GD_FIELD_SECRET:
        put_secret(l, r, f->key, f->u.secret);
        break;
    case GD_FIELD_ERR:
        if (f->u.err) {
            put_text(l, "reason", gd_reason_word(f->u.err->reason));
            put_text(l, "error", f->u.err->text);
        }
        break;
    case GD_FIELD_END:
        break;
    }
}

/* ---- the objects
 * ------------------------------------------------------------------------------------------- */

struct gd_log *gd_log_new(int fd, enum gd_log_level level, const struct gd_clock *clock,
                          const unsigned char hash_key[32])
{
    struct gd_log *log = gd_new(sizeof *log);

    log->root = gd_new(sizeof *log->root);
    log->root->fd = fd;
    log->root->level = (int)level;
    log->root->clock = clock;
    memcpy(log->root->key, hash_key, sizeof log->root->key);
    log->owns_root = true;
    return log;
}

struct gd_log *gd_log_child(struct gd_log *parent, const char *key, const char *value)
{
    struct gd_log *log;
    struct line l = { .max = PREFIX_MAX };

    if (!parent)
        return NULL;
    log = gd_new(sizeof *log);
    log->root = parent->root;
    put(&l, parent->prefix, parent->prefix_len);
    put_text(&l, key, value);
    memcpy(log->prefix, l.p, l.len);
    log->prefix_len = l.len;
    return log;
}

void gd_log_free(struct gd_log *log)
{
    if (!log)
        return;
    if (log->owns_root)
        gd_free(log->root);
    gd_free(log);
}

void gd_log_set_level(struct gd_log *log, enum gd_log_level level)
{
    if (log)
        __atomic_store_n(&log->root->level, (int)level, __ATOMIC_RELAXED);
}

bool gd_log_wants(const struct gd_log *log, enum gd_log_level level)
{
    return log && (int)level >= __atomic_load_n(&log->root->level, __ATOMIC_RELAXED);
}

bool gd_log_level_parse(const char *text, enum gd_log_level *ret)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (!strcmp(text, level_names[i])) {
            *ret = (enum gd_log_level)i;
            return true;
        }
    return false;
}

/* A full pipe or disk costs lines, never the daemon; the next line that passes says how many. */
static void send_line(struct root *r, const struct line *l, unsigned told)
{
    ssize_t n;

    do
        n = write(r->fd, l->p, l->len);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)l->len)
        __atomic_fetch_add(&r->dropped, 1 + told, __ATOMIC_RELAXED);
}

static void put_head(struct line *l, const struct gd_log *log, enum gd_log_level level, const char *event)
{
    char time[32];

    gd_time_text(time, gd_now(log->root->clock));
    l->len = (size_t)snprintf(l->p, sizeof l->p, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", time,
                              level_names[level]);
    put_quoted(l, event, EVENT_MAX);
    put(l, log->prefix, log->prefix_len);
}

void gd_log_write(struct gd_log *log, enum gd_log_level level, const char *event,
                  const struct gd_field *fields)
{
    int saved = errno; /* so that logging an error does not change it */
    unsigned dropped;
    struct line l;

    if (!gd_log_wants(log, level))
        return;
    l.max = sizeof l.p - sizeof TAIL - DROPPED_MAX;
    l.full = l.cut = false;
    put_head(&l, log, level, event);
    for (const struct gd_field *f = fields; f->kind != GD_FIELD_END; f++)
        put_field(&l, log->root, f);
    l.max = sizeof l.p;
    dropped = __atomic_exchange_n(&log->root->dropped, 0, __ATOMIC_RELAXED);
    if (dropped)
        l.len += (size_t)snprintf(l.p + l.len, DROPPED_MAX, ",\"dropped\":%u", dropped);
    l.cut = l.cut || l.full;
    l.full = false;
    if (l.cut)
        put(&l, TAIL, sizeof TAIL - 1);
    else
        put(&l, "}\n", 2);
    send_line(log->root, &l, dropped);
    errno = saved;
}
