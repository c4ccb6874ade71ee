/* base/mem.c - allocation that zeroes and freeing that wipes. */
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(void)
{
    static const char text[] = "{\"level\":\"fatal\",\"event\":\"out_of_memory\"}\n";

    (void)!fwrite(text, 1, sizeof text - 1, stderr);
    abort();
}

void *gd_new(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        out_of_memory();
    return p;
}

void *gd_new_array(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);

    if (!p)
        out_of_memory();
    return p;
}

void gd_wipe(void *p, size_t n)
{
    if (p && n)
        explicit_bzero(p, n);
}

/* There in programs whose free wipes by itself (daemon/wipe.c): once is enough. */
extern const char gd_free_wipes __attribute__((weak));

void gd_free(void *p)
{
    if (!p)
        return;
    if (!&gd_free_wipes)
        gd_wipe(p, malloc_usable_size(p));
    free(p);
}

void *gd_resize(void *p, size_t size)
{
    size_t old = p ? malloc_usable_size(p) : 0;
    void *q;

    if (p && size && size <= old && size > old / 2)
        return p;
    q = malloc(size ? size : 1);
    if (!q)
        out_of_memory();
    if (p)
        memcpy(q, p, old < size ? old : size);
    gd_free(p);
    return q;
}

char *gd_strndup(const char *s, size_t n)
{
    char *d;

    if (!s)
        return NULL;
    n = strnlen(s, n);
    d = gd_new(n + 1);
    memcpy(d, s, n);
    return d;
}

char *gd_strdup(const char *s)
{
    return s ? gd_strndup(s, strlen(s)) : NULL;
}

char *gd_strf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory();
    return s;
}

void *gd_lib_malloc(size_t n)
{
    return malloc(n ? n : 1);
}

void *gd_lib_calloc(size_t n, size_t size)
{
    return calloc(n ? n : 1, size ? size : 1);
}

void *gd_lib_realloc(void *p, size_t n)
{
    size_t old = p ? malloc_usable_size(p) : 0;
    void *q;

    if (p && n && n <= old)
        return p;
    q = malloc(n ? n : 1);
    if (!q)
        return NULL;
    if (p)
        memcpy(q, p, old < n ? old : n);
    gd_free(p);
    return q;
}

char *gd_lib_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *d = malloc(n);

    return d ? memcpy(d, s, n) : NULL;
}
