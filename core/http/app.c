/* http/app.c - what stands before an app's requests: a queue ordered by deadline, slots, a token bucket, the
 * wait that a platform asked for (Retry-After), and a breaker per host (reliability: 3.3). No network and no
 * clock in it: time comes in, a verdict goes out. Calls belong to the client; the queue only links them. */
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <string.h>

#define TOKEN            60000 /* one request, in units of the bucket */
#define WINDOW           20
#define ROW_OPENS        5
#define OPEN_FIRST_MS    10000
#define OPEN_MAX_MS      (5 * 60 * 1000)
#define PROBE_PAUSE_MS   1000 /* said to those who come while a probe is out */
#define LIMITED_FIRST_MS 1000 /* after a 429 that does not say how long */
#define LIMITED_MAX_MS   60000
#define TOLD_MS          1000 /* a wait that is longer by less is no news */

static const struct gd_http_limits fallback = { .concurrency = 8, .per_minute = 0, .burst = 0 };

static unsigned or_dflt(unsigned v, unsigned dflt)
{
    return v ? v : dflt;
}

static int64_t capacity(const struct gd_http_app *a)
{
    return (int64_t)a->limits.burst * TOKEN;
}

static void set_limits(struct gd_http_app *a, const struct gd_http_limits *l)
{
    a->limits.concurrency = or_dflt(l->concurrency, fallback.concurrency);
    a->limits.per_minute = l->per_minute;
    a->limits.burst = or_dflt(l->burst, or_dflt(l->per_minute / 60, 1));
}

struct gd_http_app *gd_http_app_new(const char *name, const struct gd_http_limits *dflt, int64_t now)
{
    struct gd_http_app *a = gd_new(sizeof *a);

    a->name = gd_strdup(name);
    gd_list_init(&a->people);
    gd_list_init(&a->arrived);
    set_limits(a, dflt);
    a->tokens = capacity(a);
    a->filled_mono = now;
    return a;
}

void gd_http_app_free(struct gd_http_app *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->nbreakers; i++)
        gd_free(a->breakers[i]);
    gd_free(a->heap);
    gd_free(a->name);
    gd_free(a);
}

static void fill(struct gd_http_app *a, int64_t now)
{
    int64_t ms = now - a->filled_mono, room = capacity(a) - a->tokens;

    if (ms <= 0)
        return;
    a->filled_mono = now;
    if (ms > room / (int64_t)or_dflt(a->limits.per_minute, 1))
        a->tokens = capacity(a);
    else
        a->tokens += ms * (int64_t)a->limits.per_minute;
}

void gd_http_app_set_limits(struct gd_http_app *a, const struct gd_http_limits *l, int64_t now)
{
    bool full;

    fill(a, now);
    full = a->tokens >= capacity(a);
    set_limits(a, l);
    if (full || a->tokens > capacity(a))
        a->tokens = capacity(a);
}

/* ---- queue ------------------------------------------------------------------------------------------- */
static bool before(const struct gd_http_call *x, const struct gd_http_call *y)
{
    return x->due != y->due ? x->due < y->due : x->seq < y->seq;
}

static void heap_put(struct gd_http_app *a, size_t i, struct gd_http_call *call)
{
    a->heap[i] = call;
    call->heap_at = i;
}

static void heap_up(struct gd_http_app *a, size_t i, struct gd_http_call *call)
{
    while (i > 0 && before(call, a->heap[(i - 1) / 2])) {
        heap_put(a, i, a->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(a, i, call);
}

static void heap_down(struct gd_http_app *a, size_t i, struct gd_http_call *call)
{
    for (size_t child = 2 * i + 1; child < a->nheap; child = 2 * i + 1) {
        if (child + 1 < a->nheap && before(a->heap[child + 1], a->heap[child]))
            child++;
        if (!before(a->heap[child], call))
            break;
        heap_put(a, i, a->heap[child]);
        i = child;
    }
    heap_put(a, i, call);
}

static void heap_remove(struct gd_http_app *a, struct gd_http_call *call)
{
    struct gd_http_call *last = a->heap[--a->nheap];
    size_t i = call->heap_at;

    if (last == call)
        return;
    if (i > 0 && before(last, a->heap[(i - 1) / 2]))
        heap_up(a, i, last);
    else
        heap_down(a, i, last);
}

void gd_http_app_push(struct gd_http_app *a, struct gd_http_call *call)
{
    call->state = GD_HTTP_WAITING;
    gd_list_add(&a->arrived, &call->arrived);
    a->waiting++;
    if (call->interactive) {
        gd_list_add(&a->people, &call->people);
        return;
    }
    if (a->nheap == a->heap_cap) {
        a->heap_cap = a->heap_cap ? a->heap_cap * 2 : 32;
        a->heap = gd_resize(a->heap, a->heap_cap * sizeof *a->heap);
    }
    heap_up(a, a->nheap++, call);
}

void gd_http_app_remove(struct gd_http_app *a, struct gd_http_call *call)
{
    gd_list_del(&call->arrived);
    a->waiting--;
    if (call->interactive)
        gd_list_del(&call->people);
    else
        heap_remove(a, call);
}

/* ---- breakers ---------------------------------------------------------------------------------------- */
static struct gd_http_breaker *breaker_find(struct gd_http_app *a, const char *host)
{
    for (size_t i = 0; i < a->nbreakers; i++)
        if (!strcmp(a->breakers[i]->host, host))
            return a->breakers[i];
    return NULL;
}

/* One that nobody uses and that has nothing to say; NULL when all have. */
static struct gd_http_breaker *breaker_spare(struct gd_http_app *a)
{
    for (size_t i = 0; i < a->nbreakers; i++) {
        struct gd_http_breaker *b = a->breakers[i];

        if (b->users == 0 && b->state == GD_HTTP_BREAKER_CLOSED && b->consecutive == 0)
            return b;
    }
    return NULL;
}

static struct gd_http_breaker *breaker_get(struct gd_http_app *a, const char *host)
{
    struct gd_http_breaker *b = breaker_find(a, host);

    if (b)
        return b;
    if (a->nbreakers < GD_HTTP_BREAKERS_MAX)
        b = a->breakers[a->nbreakers++] = gd_new(sizeof *b);
    else
        b = breaker_spare(a);
    if (!b)
        return NULL;
    memset(b, 0, sizeof *b);
    memcpy(b->host, host, strlen(host) + 1);
    return b;
}

static void breaker_open(struct gd_http_breaker *b, int64_t open_ms, int64_t now)
{
    b->state = GD_HTTP_BREAKER_OPEN;
    b->open_ms = open_ms < OPEN_MAX_MS ? open_ms : OPEN_MAX_MS;
    b->next_mono = now + b->open_ms;
}

static void breaker_count(struct gd_http_breaker *b, bool failed, int64_t now)
{
    b->window = ((b->window << 1) | (failed ? 1u : 0u)) & ((1u << WINDOW) - 1);
    if (b->seen < WINDOW)
        b->seen++;
    b->consecutive = failed ? b->consecutive + 1 : 0;
    if (b->consecutive >= ROW_OPENS || (b->seen == WINDOW && __builtin_popcount(b->window) * 2 > WINDOW))
        breaker_open(b, OPEN_FIRST_MS, now);
}

static void breaker_probed(struct gd_http_breaker *b, enum gd_http_health health, int64_t now)
{
    if (health == GD_HTTP_FAILED) {
        breaker_open(b, b->open_ms * 2, now);
    } else if (health == GD_HTTP_UNKNOWN) { /* cancelled: the next one may probe at once */
        b->state = GD_HTTP_BREAKER_OPEN;
        b->next_mono = now;
    } else {
        b->state = GD_HTTP_BREAKER_CLOSED;
        b->consecutive = b->seen = 0;
        b->window = 0;
    }
}

void gd_http_app_landed(struct gd_http_app *a, struct gd_http_call *call, enum gd_http_health health,
                        int64_t now)
{
    struct gd_http_breaker *b = call->breaker;

    if (call->interactive)
        a->flying_people--;
    else
        a->flying--;
    call->breaker = NULL;
    if (!b)
        return;
    b->users--;
    if (health == GD_HTTP_FAILED)
        b->last = call->answer.end == GD_HTTP_ANSWER ? GD_R_OK : call->answer.err.reason;
    if (call->probe)
        breaker_probed(b, health, now);
    else if (b->state == GD_HTTP_BREAKER_CLOSED && health != GD_HTTP_UNKNOWN)
        breaker_count(b, health == GD_HTTP_FAILED, now);
}

/* ---- the verdict ------------------------------------------------------------------------------------- */
static struct gd_http_call *expired(struct gd_http_app *a, int64_t now)
{
    struct gd_http_call *call;

    if (!gd_list_empty(&a->people)) {
        call = gd_container_of(a->people.next, struct gd_http_call, people);
        if (call->expires <= now)
            return call;
    }
    call = gd_container_of(a->arrived.next, struct gd_http_call, arrived);
    return !gd_list_empty(&a->arrived) && call->expires <= now ? call : NULL;
}

static int64_t next_expiry(struct gd_http_app *a)
{
    int64_t at = INT64_MAX;

    if (!gd_list_empty(&a->arrived))
        at = gd_container_of(a->arrived.next, struct gd_http_call, arrived)->expires;
    if (!gd_list_empty(&a->people)) {
        int64_t person = gd_container_of(a->people.next, struct gd_http_call, people)->expires;

        at = person < at ? person : at;
    }
    return at;
}

/* People first, in slots of their own. */
static struct gd_http_call *pick(struct gd_http_app *a)
{
    if (!gd_list_empty(&a->people) && a->flying_people < GD_HTTP_PERSON_SLOTS)
        return gd_container_of(a->people.next, struct gd_http_call, people);
    if (a->nheap && a->flying < a->limits.concurrency)
        return a->heap[0];
    return NULL;
}

static void refuse(struct gd_http_call *call, enum gd_reason reason, int64_t retry_at, const char *why)
{
    call->answer.end = GD_HTTP_NOT_SENT;
    gd_err_set(&call->answer.err, reason, "%s (%s)", why, call->target.url.host);
    call->answer.err.retry_at = retry_at;
}

/* False: call is refused, for the breaker of its host rests. */
static bool breaker_lets(struct gd_http_breaker *b, struct gd_http_call *call, int64_t now, int64_t unix_now)
{
    int64_t wait = PROBE_PAUSE_MS;

    call->probe = false;
    if (!b || b->state == GD_HTTP_BREAKER_CLOSED)
        return true;
    if (b->state == GD_HTTP_BREAKER_OPEN) {
        if (b->next_mono <= now) {
            call->probe = true;
            return true;
        }
        wait = b->next_mono - now;
    }
    refuse(call, GD_R_PLATFORM_UNAVAILABLE, unix_now + wait,
           b->last == GD_R_OK ? "the platform keeps answering with server errors"
                              : gd_reason_info(b->last)->meaning);
    return false;
}

/* When hold and bucket let the next one go. */
static int64_t ready_at(struct gd_http_app *a, int64_t now)
{
    int64_t at = now;

    if (a->hold_until > now)
        at = a->hold_until;
    if (a->limits.per_minute == 0)
        return at;
    fill(a, now);
    if (a->tokens < TOKEN) {
        int64_t rate = (int64_t)a->limits.per_minute, full = now + (TOKEN - a->tokens + rate - 1) / rate;

        at = full > at ? full : at;
    }
    return at;
}

static enum gd_http_verdict drop(struct gd_http_app *a, struct gd_http_call *call, struct gd_http_call **ret)
{
    gd_http_app_remove(a, call);
    *ret = call;
    return GD_HTTP_DROP;
}

static void take_off(struct gd_http_app *a, struct gd_http_call *call, struct gd_http_breaker *b)
{
    gd_http_app_remove(a, call);
    if (a->limits.per_minute)
        a->tokens -= TOKEN;
    if (call->interactive)
        a->flying_people++;
    else
        a->flying++;
    if (b)
        b->users++;
    if (call->probe)
        b->state = GD_HTTP_BREAKER_PROBING;
    call->breaker = b;
}

enum gd_http_verdict gd_http_app_next(struct gd_http_app *a, int64_t now, int64_t unix_now,
                                      struct gd_http_call **ret, int64_t *ret_at)
{
    struct gd_http_call *call;
    struct gd_http_breaker *b;
    int64_t at;

    if (!a->waiting)
        return GD_HTTP_NONE;
    call = expired(a, now);
    if (call) {
        at = ready_at(a, now);
        refuse(call, GD_R_PLATFORM_LIMITED, unix_now + (at > now ? at - now : PROBE_PAUSE_MS),
               "the request waited too long for a slot or the rate limit");
        return drop(a, call, ret);
    }
    *ret_at = next_expiry(a);
    call = pick(a);
    if (!call)
        return GD_HTTP_LATER;
    b = breaker_get(a, call->target.url.host);
    if (!breaker_lets(b, call, now, unix_now))
        return drop(a, call, ret);
    at = ready_at(a, now);
    if (at > call->expires) {
        refuse(call, GD_R_PLATFORM_LIMITED, unix_now + (at - now), "the platform asked to wait");
        return drop(a, call, ret);
    }
    if (at > now) {
        *ret_at = at < *ret_at ? at : *ret_at;
        return GD_HTTP_LATER;
    }
    take_off(a, call, b);
    *ret = call;
    return GD_HTTP_GO;
}

/* ---- Retry-After ------------------------------------------------------------------------------------- */
int64_t gd_http_retry_after(const char *value, int64_t date_s, int64_t unix_now)
{
    int64_t ms, at;

    if (value[0] && value[strspn(value, "0123456789")] == '\0') {
        if (!gd_parse_i64(value, &ms) || ms > GD_HTTP_RETRY_AFTER_MAX_MS / 1000)
            ms = GD_HTTP_RETRY_AFTER_MAX_MS / 1000;
        ms *= 1000;
    } else {
        at = gd_http_date(value);
        if (at < 0 || at > INT64_MAX / 2000)
            return -1;
        ms = at * 1000 - (date_s >= 0 && date_s < INT64_MAX / 2000 ? date_s * 1000 : unix_now);
    }
    if (ms < 1000)
        return 1000;
    return ms > GD_HTTP_RETRY_AFTER_MAX_MS ? GD_HTTP_RETRY_AFTER_MAX_MS : ms;
}

void gd_http_app_hold(struct gd_http_app *a, int64_t ms, int64_t now)
{
    ms = ms < GD_HTTP_RETRY_AFTER_MAX_MS ? ms : GD_HTTP_RETRY_AFTER_MAX_MS;
    if (now + ms > a->hold_until)
        a->hold_until = now + ms;
    if (a->hold_until > a->told_until)
        a->told_until = a->hold_until;
}

int64_t gd_http_app_heed(struct gd_http_app *a, const struct gd_http_answer *answer, int64_t now,
                         int64_t unix_now)
{
    const char *value = gd_http_answer_header(answer, "retry-after");
    int64_t ms = value ? gd_http_retry_after(value, answer->date, unix_now) : -1;

    if (answer->status != 429 && answer->status != 503) {
        a->limited_in_row = 0;
        return 0;
    }
    if (ms < 0 && answer->status == 503)
        return 0; /* the breaker's business */
    if (ms < 0) {
        ms = (int64_t)LIMITED_FIRST_MS << (a->limited_in_row < 6 ? a->limited_in_row : 6);
        a->limited_in_row++;
        ms = ms < LIMITED_MAX_MS ? ms : LIMITED_MAX_MS;
    }
    if (now + ms > a->hold_until)
        a->hold_until = now + ms;
    if (now + ms <= a->told_until + TOLD_MS)
        return 0;
    a->told_until = now + ms;
    return ms;
}

/* ---- status ------------------------------------------------------------------------------------------ */
static const char *worst_breaker(const struct gd_http_app *a, int64_t *ret_next)
{
    static const char *const words[] = { "closed", "open", "half-open" };
    enum gd_http_breaker_state worst = GD_HTTP_BREAKER_CLOSED;

    for (size_t i = 0; i < a->nbreakers; i++) {
        const struct gd_http_breaker *b = a->breakers[i];

        if (b->state == GD_HTTP_BREAKER_CLOSED || worst == GD_HTTP_BREAKER_OPEN)
            continue;
        worst = b->state;
        *ret_next = b->next_mono;
    }
    return words[worst];
}

json_t *gd_http_app_status(struct gd_http_app *a, int64_t now, int64_t unix_now)
{
    int64_t next = 0;
    const char *breaker = worst_breaker(a, &next);

    fill(a, now);
    next = a->hold_until > next ? a->hold_until : next;
    return json_pack("{s:I,s:I,s:o,s:I,s:s}", "in_flight", (json_int_t)(a->flying + a->flying_people),
                     "queued", (json_int_t)a->waiting, "tokens",
                     a->limits.per_minute ? json_integer((json_int_t)(a->tokens / TOKEN)) : json_null(),
                     "retry_at", (json_int_t)(next > now ? unix_now + (next - now) : 0), "breaker", breaker);
}
