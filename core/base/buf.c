/* base/buf.c */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

void gd_buf_init(struct gd_buf *b, size_t max)
{
    *b = (struct gd_buf){ .max = max };
}

void gd_buf_done(struct gd_buf *b)
{
    gd_free(b->ptr);
    *b = (struct gd_buf){ .max = b->max };
}

void gd_buf_clear(struct gd_buf *b)
{
    gd_wipe(b->ptr, b->len);
    b->len = 0;
    b->failed = false;
}

static bool reserve(struct gd_buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 128;

    if (b->failed || n > b->max || b->len > b->max - n) {
        b->failed = true;
        return false;
    }
    if (b->len + n + 1 <= b->cap)
        return true;
    while (cap < b->len + n + 1)
        cap *= 2;
    b->ptr = gd_resize(b->ptr, cap);
    b->cap = cap;
    return true;
}

bool gd_buf_add(struct gd_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return false;
    if (n)
        memcpy(b->ptr + b->len, p, n);
    b->len += n;
    b->ptr[b->len] = '\0';
    return true;
}

bool gd_buf_adds(struct gd_buf *b, const char *s)
{
    return gd_buf_add(b, s, strlen(s));
}

bool gd_buf_addc(struct gd_buf *b, char c)
{
    return gd_buf_add(b, &c, 1);
}

bool gd_buf_addf(struct gd_buf *b, const char *fmt, ...)
{
    size_t had;
    va_list ap;
    int n;

    if (!reserve(b, 0))
        return false;
    had = b->cap - b->len;
    va_start(ap, fmt);
    n = vsnprintf(b->ptr + b->len, had, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n >= had) { /* most fit at once */
        b->ptr[b->len] = '\0';
        if (!reserve(b, (size_t)n))
            return false;
        va_start(ap, fmt);
        (void)vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    if (n < 0 || (size_t)n > b->max - b->len) {
        b->ptr[b->len] = '\0';
        b->failed = true;
        return false;
    }
    b->len += (size_t)n;
    return true;
}

/* Bytes that stand for themselves. */
static size_t plain_run(const char *s)
{
    size_t n = 0;

    while (s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

bool gd_buf_add_json(struct gd_buf *b, const char *s)
{
    gd_buf_addc(b, '"');
    for (;;) {
        unsigned char c;
        size_t n = plain_run(s);

        gd_buf_add(b, s, n);
        s += n;
        if (!*s)
            break;
        c = (unsigned char)*s;
        n = gd_utf8_len(s);

        if (c == '"' || c == '\\')
            gd_buf_addf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || n == 0)
            gd_buf_addf(b, "\\u%04x", c);
        else
            gd_buf_add(b, s, n);
        s += n ? n : 1;
    }
    return gd_buf_addc(b, '"');
}

void gd_buf_consume(struct gd_buf *b, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (!n)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    gd_wipe(b->ptr + b->len - n, n);
    b->len -= n;
    b->ptr[b->len] = '\0';
}

char *gd_buf_steal(struct gd_buf *b)
{
    char *p = b->ptr ? b->ptr : gd_strdup("");

    *b = (struct gd_buf){ .max = b->max };
    return p;
}
