/* send.c - what the sandbox sends by itself: webhooks, to loopback and by plain HTTP only. Each goes from a
 * thread of its own, so that the one that receives it may call back. */
#include "base/mem.h"
#include "base/text.h"
#include "sandbox_int.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_S 10

struct outgoing {
    struct sockaddr_in to;
    char *url;
    struct gd_buf text;
    struct outgoing *next;
};

/* What was sent, and how many are on their way. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static json_t *sent;
static unsigned flying;

static void outgoing_free(struct outgoing *g)
{
    gd_buf_done(&g->text);
    gd_free(g->url);
    gd_free(g);
}

static void note(const struct outgoing *g, int status, const char *why)
{
    pthread_mutex_lock(&lock);
    if (!sent)
        sent = json_array();
    json_array_append_new(sent, json_pack("{s:s, s:i, s:s*}", "url", g->url, "status", status, "error", why));
    pthread_mutex_unlock(&lock);
}

/* Status of the answer, or -1. */
static int talk(int fd, const struct outgoing *g)
{
    struct timeval patience = { .tv_sec = ANSWER_S };
    char head[64] = { 0 };
    size_t n = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&g->to, sizeof g->to))
        return -1;
    for (size_t done = 0; done < g->text.len;) {
        ssize_t k = send(fd, g->text.ptr + done, g->text.len - done, MSG_NOSIGNAL);

        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    while (n < 12) {
        ssize_t k = recv(fd, head + n, sizeof head - 1 - n, 0);

        if (k <= 0)
            return -1;
        n += (size_t)k;
    }
    return strncmp(head, "HTTP/1.", 7) == 0 ? (int)strtol(head + 9, NULL, 10) : -1;
}

static void *run(void *arg)
{
    struct outgoing *g = arg;

    while (g) { /* those of one request go in order */
        struct outgoing *next = g->next;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int status = fd < 0 ? -1 : talk(fd, g);

        if (fd >= 0)
            close(fd);
        note(g, status < 0 ? 0 : status, status < 0 ? "no answer" : NULL);
        outgoing_free(g);
        g = next;
    }
    pthread_mutex_lock(&lock);
    if (--flying == 0)
        pthread_cond_broadcast(&idle);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* "http://127.0.0.1:8080/path": where to, and what is asked for there. False when it is something else. */
static bool read_url(const char *url, struct sockaddr_in *to, char host[64], const char **path)
{
    const char *at = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    size_t n = at ? strcspn(at, "/?#") : 0;
    char *colon, *end = NULL;
    unsigned long port = 80;

    if (n == 0 || n >= 64)
        return false;
    memcpy(host, at, n);
    host[n] = '\0';
    *path = at[n] ? at + n : "/";
    *to = (struct sockaddr_in){ .sin_family = AF_INET };
    colon = strchr(host, ':');
    if (colon) {
        *colon = '\0';
        port = strtoul(colon + 1, &end, 10);
    }
    if ((end && (*end || end == colon + 1)) || port == 0 || port > 65535 || **path != '/' ||
        inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &to->sin_addr) != 1)
        return false;
    if (colon)
        *colon = ':';
    to->sin_port = htons((uint16_t)port);
    return ntohl(to->sin_addr.s_addr) >> 24 == 127;
}

static void write_head(struct outgoing *g, const char *host, const char *path, const json_t *headers,
                       size_t n)
{
    const char *name;
    json_t *value;

    gd_buf_addf(&g->text, "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n",
                path, host, n);
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        const char *text = json_string_value(value);

        if (text && !strpbrk(text, "\r\n") && !strpbrk(name, "\r\n:"))
            gd_buf_addf(&g->text, "%s: %s\r\n", name, text);
    }
    gd_buf_adds(&g->text, "\r\n");
}

void sb_send(struct sb_req *r, const char *url, const json_t *headers, const void *body, size_t n)
{
    struct outgoing *g = gd_new(sizeof *g), **last = &own_of(r)->outgoing;
    const char *path;
    char host[64];

    g->url = gd_strdup(url);
    gd_buf_init(&g->text, SB_BODY_MAX);
    if (!read_url(url, &g->to, host, &path)) {
        note(g, 0, "the sandbox sends to http://127.0.0.1 only");
        outgoing_free(g);
        return;
    }
    write_head(g, host, path, headers, n);
    gd_buf_add(&g->text, body, n);
    while (*last)
        last = &(*last)->next;
    *last = g;
}

void send_drop(struct own *o)
{
    struct outgoing *g = o->outgoing;

    o->outgoing = NULL;
    while (g) {
        struct outgoing *next = g->next;

        outgoing_free(g);
        g = next;
    }
}

void send_start(struct own *o)
{
    pthread_t thread;

    if (!o->outgoing)
        return;
    pthread_mutex_lock(&lock);
    flying++;
    pthread_mutex_unlock(&lock);
    if (pthread_create(&thread, NULL, run, o->outgoing) == 0) {
        pthread_detach(thread);
        o->outgoing = NULL;
        return;
    }
    pthread_mutex_lock(&lock);
    flying--;
    pthread_mutex_unlock(&lock);
    note(o->outgoing, 0, "no thread");
    send_drop(o);
}

json_t *send_list(void)
{
    json_t *out;

    pthread_mutex_lock(&lock);
    out = sent ? json_deep_copy(sent) : json_array();
    pthread_mutex_unlock(&lock);
    return out;
}

void send_clear(void)
{
    pthread_mutex_lock(&lock);
    json_decref(sent);
    sent = NULL;
    pthread_mutex_unlock(&lock);
}

void send_wait(void)
{
    pthread_mutex_lock(&lock);
    while (flying)
        pthread_cond_wait(&idle, &lock);
    pthread_mutex_unlock(&lock);
    send_clear();
}
