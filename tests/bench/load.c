/* load.c - one load generator for three kinds of server on a Unix stream socket, so that all are driven by
 * the same code: Redis (RESP GET), grantd (grant.token, one JSON object a line), and the bare echo server
 * that is here too. A closed loop: each of C clients sends P requests in one write, waits for all P replies,
 * then sends the next; with --rate requests come at set times instead, and lateness counts as theirs.
 * Keys are drawn uniformly; every reply is checked to hold exactly the value of its key.
 *
 *   bench_load run --proto redis|grantd|echo --socket PATH --ids FILE [--from N] [--count N] --clients C
 *                  --pipeline P --seconds S [--rate R] [--pid PID] [--value BYTES]
 *   bench_load warm ...   the same, but every key once and in order, until all are through
 *   bench_load fill ...   Redis only: SETs every key
 *   bench_load echo --socket PATH
 *
 * Prints one line of JSON. */
#include "bench.h"

#include "base/mem.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX  256
#define PIPELINE_MAX 256
#define IN_SIZE      (256 * 1024)
#define ECHO_REPLY   480 /* bytes that the echo server answers: what grantd does for a token of 300 */
#define WARMUP_NS    INT64_C(200000000)
#define STUCK_MS     10000
#define IDLE_NS      INT64_C(1000000) /* of a paced run whose clients all wait */

enum proto { REDIS, GRANTD, ECHO };
enum what { RUN, WARM, FILL };

struct client {
    int fd;
    unsigned sent, got; /* of the batch */
    int64_t started[PIPELINE_MAX];
    uint32_t keys[PIPELINE_MAX];
    char out[PIPELINE_MAX * (BENCH_VALUE_MAX / 8)]; /* a request of FILL with a value is sent alone */
    size_t out_len, out_at;
    char *in;
    size_t in_len;
};

struct load {
    enum what what;
    enum proto proto;
    const char *socket, *ids_path;
    struct bench_ids ids;
    size_t from, count, value;
    unsigned nclients, pipeline;
    double seconds;
    int64_t rate;
    int pid;
    int epoll;
    struct client *clients;
    uint64_t rng, requests, next; /* next: key of WARM and FILL, request of a paced run */
    int64_t began, ends, cpu;
    bool counting;
    struct bench_times times;
};

/* ---- requests ---- */

static uint64_t draw(struct load *l)
{
    l->rng ^= l->rng << 13;
    l->rng ^= l->rng >> 7;
    l->rng ^= l->rng << 17;
    return l->rng;
}

static size_t put_request(const struct load *l, char *out, size_t cap, uint32_t key, unsigned number)
{
    const struct gd_id *id = &l->ids.at[key];
    char text[GD_ID_TEXT_MAX], value[BENCH_VALUE_MAX + 1];
    int n;

    gd_id_text(text, "gr", id);
    if (l->what == FILL) {
        bench_value(value, l->value, id);
        value[l->value] = '\0';
        n = snprintf(out, cap, "*3\r\n$3\r\nSET\r\n$28\r\n%s\r\n$%zu\r\n%s\r\n", text, l->value, value);
    } else if (l->proto == REDIS) {
        n = snprintf(out, cap, "*2\r\n$3\r\nGET\r\n$28\r\n%s\r\n", text);
    } else {
        n = snprintf(
            out, cap,
            "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"grant.token\",\"params\":{\"grant\":\"%s\"}}\n",
            number, text);
    }
    if (n < 0 || (size_t)n >= cap)
        bench_die("a request does not fit");
    return (size_t)n;
}

/* The next key, or false when there is none (WARM, FILL). */
static bool next_key(struct load *l, uint32_t *ret)
{
    if (l->what == RUN) {
        *ret = (uint32_t)(l->from + draw(l) % l->count);
        return true;
    }
    if (l->next == l->count)
        return false;
    *ret = (uint32_t)(l->from + l->next++);
    return true;
}

static void send_out(struct client *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
            return; /* epoll tells when there is room: level triggered for both directions */
        if (n <= 0)
            bench_die("the server closed the connection");
        c->out_at += (size_t)n;
    }
}

static void send_batch(struct load *l, struct client *c, unsigned n, int64_t at)
{
    c->sent = c->got = 0;
    c->out_len = c->out_at = 0;
    while (c->sent < n && next_key(l, &c->keys[c->sent])) {
        c->started[c->sent] = at;
        c->out_len +=
            put_request(l, c->out + c->out_len, sizeof c->out - c->out_len, c->keys[c->sent], c->sent);
        c->sent++;
    }
    send_out(c);
}

/* ---- replies ---- */

static void wrong(const struct client *c, const char *p, size_t n)
{
    bench_die("reply %u of a batch is wrong: %.*s", c->got, (int)(n < 400 ? n : 400), p);
}

static bool holds_value(const struct load *l, uint32_t key, const char *p)
{
    char value[BENCH_VALUE_MAX];

    bench_value(value, l->value, &l->ids.at[key]);
    return !memcmp(p, value, l->value);
}

/* Bytes of the whole reply at p, 0 when more is to come. */
static size_t redis_reply(const struct load *l, const struct client *c, const char *p, size_t n)
{
    size_t head = 0, size = 0;

    if (l->what == FILL) {
        if (n >= 5 && memcmp(p, "+OK\r\n", 5) != 0)
            wrong(c, p, n);
        return n >= 5 ? 5 : 0;
    }
    if (n && *p != '$')
        wrong(c, p, n);
    for (head = 1; head < n && p[head] >= '0' && p[head] <= '9'; head++)
        size = size * 10 + (size_t)(p[head] - '0');
    head += 2;
    if (n < head || n < head + size + 2)
        return 0;
    if (size != l->value || !holds_value(l, c->keys[c->got], p + head))
        wrong(c, p, n);
    return head + size + 2;
}

static size_t line_end(const char *p, size_t n)
{
    const char *nl = memchr(p, '\n', n);

    return nl ? (size_t)(nl - p) + 1 : 0;
}

/* The reply of the hot path, or that of the general one: ids say whose it is, they may come out of order. */
static size_t grantd_reply(const struct load *l, const struct client *c, const char *p, size_t n)
{
    static const char mark[] = "\"access_token\":\"", idm[] = "\"id\":";
    size_t len = line_end(p, n);
    const char *id, *token;
    unsigned long number;

    if (!len)
        return 0;
    id = memmem(p, len, idm, sizeof idm - 1);
    token = memmem(p, len, mark, sizeof mark - 1);
    if (!id || !token || (size_t)(p + len - token) < sizeof mark + l->value)
        wrong(c, p, len);
    token += sizeof mark - 1;
    number = strtoul(id + sizeof idm - 1, NULL, 10);
    if (number >= c->sent || token[l->value] != '"' || !holds_value(l, c->keys[number], token))
        wrong(c, p, len);
    return len;
}

static size_t echo_reply(const struct client *c, const char *p, size_t n)
{
    if (n < ECHO_REPLY)
        return 0;
    if (p[ECHO_REPLY - 1] != '\n' || *p != '{')
        wrong(c, p, n);
    return ECHO_REPLY;
}

static size_t one_reply(const struct load *l, const struct client *c, const char *p, size_t n)
{
    if (l->proto == REDIS)
        return redis_reply(l, c, p, n);
    return l->proto == GRANTD ? grantd_reply(l, c, p, n) : echo_reply(c, p, n);
}

static void take_replies(struct load *l, struct client *c)
{
    size_t at = 0, n;
    int64_t now = bench_now_ns();

    while (c->got < c->sent && (n = one_reply(l, c, c->in + at, c->in_len - at))) {
        if (l->counting)
            bench_times_add(&l->times, now - c->started[c->got]);
        c->got++;
        l->requests++;
        at += n;
    }
    c->in_len -= at;
    if (c->in_len)
        memmove(c->in, c->in + at, c->in_len);
}

static void read_some(struct load *l, struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_SIZE - c->in_len, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        bench_die("the server closed the connection");
    c->in_len += (size_t)n;
    take_replies(l, c);
}

/* ---- the loop ---- */

static void start_counting(struct load *l, int64_t now)
{
    memset(&l->times, 0, sizeof l->times);
    l->requests = 0;
    l->counting = true;
    l->began = now;
    l->cpu = bench_cpu_ns(l->pid);
    l->ends = now + (int64_t)(l->seconds * 1e9);
}

/* What a client does when its batch is through. */
static void go_on(struct load *l, struct client *c)
{
    if (!l->rate)
        send_batch(l, c, l->pipeline, bench_now_ns());
    else
        c->sent = c->got = 0;
}

/* Sends what is due; one request a client. Returns the nanoseconds until the next is. */
static int64_t pace(struct load *l, int64_t start)
{
    int64_t now = bench_now_ns(), due;

    for (unsigned i = 0; i < l->nclients; i++) {
        if (l->clients[i].sent)
            continue;
        due = start + (int64_t)((double)l->next * 1e9 / (double)l->rate);
        if (due > now)
            return due - now;
        l->next++;
        send_batch(l, &l->clients[i], 1, due);
    }
    return IDLE_NS;
}

/* Sleeps to the nanosecond, as far as the kernel can: a generator that spun would take half of two cores away
 * from what it measures. What it wakes too late counts, on both sides of a comparison. */
static int wait_paced(struct load *l, int64_t start, struct epoll_event *events)
{
    int64_t ns = pace(l, start);
    struct timespec ts = { .tv_sec = 0, .tv_nsec = (long)(ns < IDLE_NS ? ns : IDLE_NS) };

    return epoll_pwait2(l->epoll, events, CLIENTS_MAX, &ts, NULL);
}

static void handle(struct load *l, const struct epoll_event *e)
{
    struct client *c = e->data.ptr;

    if (c->out_at < c->out_len)
        send_out(c);
    if (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_some(l, c);
    if (c->sent && c->got == c->sent)
        go_on(l, c);
}

static bool over(struct load *l, int64_t start)
{
    int64_t now = bench_now_ns();

    if (l->what != RUN)
        return l->requests == l->count;
    if (!l->counting && now - start > WARMUP_NS)
        start_counting(l, now);
    return l->counting && now >= l->ends;
}

static void loop(struct load *l)
{
    struct epoll_event events[CLIENTS_MAX];
    int64_t start = bench_now_ns();

    if (l->what != RUN)
        start_counting(l, start);
    for (unsigned i = 0; i < l->nclients && !l->rate; i++)
        send_batch(l, &l->clients[i], l->pipeline, start);
    while (!over(l, start)) {
        int n = l->rate ? wait_paced(l, start, events) : epoll_wait(l->epoll, events, CLIENTS_MAX, STUCK_MS);

        if (n == 0 && !l->rate)
            bench_die("no reply for %d ms", STUCK_MS);
        for (int i = 0; i < n; i++)
            handle(l, &events[i]);
    }
}

static void open_clients(struct load *l)
{
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->clients = gd_new_array(l->nclients, sizeof *l->clients);
    for (unsigned i = 0; i < l->nclients; i++) {
        struct client *c = &l->clients[i];
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

        c->fd = bench_connect(l->socket);
        c->in = gd_new(IN_SIZE);
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e))
            bench_die("epoll takes no more");
    }
}

static void print_result(const struct load *l, int64_t now)
{
    double s = (double)(now - l->began) / 1e9, cpu = (double)(bench_cpu_ns(l->pid) - l->cpu) / 1e3;

    printf("{\"requests\":%llu,\"seconds\":%.3f,\"per_second\":%.0f,\"p50_us\":%.2f,\"p99_us\":%.2f,"
           "\"cpu_us\":%.3f}\n",
           (unsigned long long)l->requests, s, (double)l->requests / s, bench_times_us(&l->times, 0.5),
           bench_times_us(&l->times, 0.99), l->requests ? cpu / (double)l->requests : 0);
}

/* ---- the echo server ---- */

static void echo_back(int fd, size_t n, char *out)
{
    for (size_t at = 0; at < n * ECHO_REPLY;) {
        ssize_t k = send(fd, out + at, n * ECHO_REPLY - at, MSG_NOSIGNAL);

        if (k <= 0)
            return; /* the client is gone; the next read says so */
        at += (size_t)k;
    }
}

static bool echo_serve(int fd, char *in, char *out)
{
    ssize_t n = recv(fd, in, IN_SIZE, MSG_DONTWAIT);
    size_t lines = 0;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    for (const char *p = in; (p = memchr(p, '\n', (size_t)(in + n - p))); p++)
        lines++;
    echo_back(fd, lines, out);
    return true;
}

/* Until it is killed. */
static void echo(const char *path)
{
    int listener = bench_listen(path), ep = epoll_create1(EPOLL_CLOEXEC), n, fd;
    struct epoll_event e = { .events = EPOLLIN, .data.fd = listener }, events[CLIENTS_MAX];
    char *in = gd_new(IN_SIZE), *out = gd_new(PIPELINE_MAX * (size_t)ECHO_REPLY);

    memset(out, 'e', PIPELINE_MAX * (size_t)ECHO_REPLY);
    for (size_t i = 0; i < PIPELINE_MAX; i++) {
        out[i * ECHO_REPLY] = '{';
        out[(i + 1) * ECHO_REPLY - 1] = '\n';
    }
    (void)epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    while ((n = epoll_wait(ep, events, CLIENTS_MAX, -1)) >= 0) {
        for (int i = 0; i < n; i++) {
            fd = events[i].data.fd;
            if (fd != listener && !echo_serve(fd, in, out))
                (void)close(fd);
            if (fd != listener)
                continue;
            e.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            (void)epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
        }
    }
}

/* ---- the command line ---- */

static const struct option options[] = {
    { "proto", required_argument, NULL, 'p' },    { "socket", required_argument, NULL, 's' },
    { "ids", required_argument, NULL, 'i' },      { "from", required_argument, NULL, 'f' },
    { "count", required_argument, NULL, 'n' },    { "clients", required_argument, NULL, 'c' },
    { "pipeline", required_argument, NULL, 'P' }, { "seconds", required_argument, NULL, 't' },
    { "rate", required_argument, NULL, 'r' },     { "pid", required_argument, NULL, 'q' },
    { "value", required_argument, NULL, 'v' },    { 0 },
};

static enum proto proto_of(const char *word)
{
    if (!strcmp(word, "redis"))
        return REDIS;
    if (!strcmp(word, "grantd"))
        return GRANTD;
    if (strcmp(word, "echo") != 0)
        bench_die("%s is no protocol", word);
    return ECHO;
}

static void set_option(struct load *l, int c, const char *arg)
{
    switch (c) {
    case 'p':
        l->proto = proto_of(arg);
        break;
    case 's':
        l->socket = arg;
        break;
    case 'i':
        l->ids_path = arg;
        break;
    case 'f':
        l->from = (size_t)bench_number(arg, 0, UINT32_MAX);
        break;
    case 'n':
        l->count = (size_t)bench_number(arg, 1, UINT32_MAX);
        break;
    case 'c':
        l->nclients = (unsigned)bench_number(arg, 1, CLIENTS_MAX);
        break;
    case 'P':
        l->pipeline = (unsigned)bench_number(arg, 1, PIPELINE_MAX);
        break;
    case 't':
        l->seconds = (double)bench_number(arg, 1, 600000) / 1000; /* given in milliseconds */
        break;
    case 'r':
        l->rate = bench_number(arg, 1, 10000000);
        break;
    case 'q':
        l->pid = (int)bench_number(arg, 1, 4194304);
        break;
    case 'v':
        l->value = (size_t)bench_number(arg, 64, BENCH_VALUE_MAX);
        break;
    default:
        bench_die("see the head of tests/bench/load.c");
    }
}

static void check(struct load *l)
{
    if (!l->socket || !l->ids_path)
        bench_die("--socket and --ids are needed");
    bench_ids_open(&l->ids, l->ids_path);
    if (l->from >= l->ids.n)
        bench_die("there are only %zu ids", l->ids.n);
    if (!l->count || l->count > l->ids.n - l->from)
        l->count = l->ids.n - l->from;
    if (l->what == FILL && l->value * l->pipeline > sizeof((struct client *)0)->out / 2)
        bench_die("a batch of SETs does not fit: a smaller --pipeline");
}

int main(int argc, char **argv)
{
    static struct load l = { .nclients = 1, .pipeline = 1, .seconds = 1, .value = 300, .proto = GRANTD };
    const char *what = argc > 1 ? argv[1] : "";
    int c;

    optind = 2;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        set_option(&l, c, optarg);
    if (!strcmp(what, "echo") && l.socket) {
        echo(l.socket);
        return 0;
    }
    l.what = !strcmp(what, "warm") ? WARM : !strcmp(what, "fill") ? FILL : RUN;
    if (l.what == RUN && strcmp(what, "run") != 0)
        bench_die("run, warm, fill or echo");
    check(&l);
    l.rng = (uint64_t)bench_now_ns() | 1;
    open_clients(&l);
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
    loop(&l);
    print_result(&l, bench_now_ns());
    return 0;
}
