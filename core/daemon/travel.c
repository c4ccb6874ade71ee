/* daemon/travel.c - a clock that may be moved, for demonstrations and tests against a sandbox. Time is not
 * jumped over: it goes from one deadline to the next, and what is due then is done before it goes on, as it
 * would have been. */
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"

#include <string.h>

#define STRIDE_MS (3600 * (int64_t)1000) /* never further at once: looks are due in the store, too */
#define SWEEP_MS  (60 * (int64_t)1000)   /* of virtual time: how often the store is asked for looks */
#define NUDGE_MS  1

struct travel {
    struct gd_daemon *d;
    int64_t until, swept, stops; /* until, swept: Unix ms of the virtual clock */
    gd_reply_fn *reply;
    void *arg;
    uv_prepare_t turn; /* before the loop waits: whatever just ended has ended */
    uv_timer_t
        nudge; /* something may end behind the turn, before the loop waits; a refusal comes by it, too */
};

static bool is_loopback(const char *url)
{
    static const char *const own[] = { "http://127.0.0.1:", "http://localhost:", "http://[::1]:" };

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strncmp(url, own[i], strlen(own[i])))
            return true;
    return false;
}

int gd_daemon_virtual(struct gd_daemon *d, struct gd_err *err)
{
    const char *origin;
    json_t *to;

    if (!d->o.virtual_clock)
        return 0;
    if (json_object_size(d->config->origins) == 0)
        return gd_err_set(err, GD_R_CLOCK_NOT_LOOPBACK,
                          "--virtual-clock: no origin is mapped; map those of the platforms to a sandbox");
    json_object_foreach(
        d->config->origins, origin,
        to) if (!is_loopback(json_string_value(to))) return gd_err_set(err, GD_R_CLOCK_NOT_LOOPBACK,
                                                                       "--virtual-clock: %s is mapped to %s, "
                                                                       "which is no loopback",
                                                                       origin, json_string_value(to));
    return 0;
}

static void on_over(uv_handle_t *h)
{
    gd_free(h->data);
}

static void on_half_over(uv_handle_t *h)
{
    struct travel *t = h->data;

    uv_close((uv_handle_t *)&t->nudge, on_over);
}

static void arrive(struct travel *t)
{
    char text[32];
    GD_AUTO_JSON result = NULL;

    gd_time_text(text, gd_now(t->d->clock));
    result = json_pack("{s:s, s:I}", "now", text, "stops", (json_int_t)t->stops);
    uv_prepare_stop(&t->turn);
    t->reply(t->arg, result, NULL);
    uv_close((uv_handle_t *)&t->turn, on_half_over);
}

/* To the next deadline of the schedule. Those of its own making (its wheel turns) cost nothing: the store is
 * asked for looks once a minute, as in a daemon that lives that minute. */
static void leap(struct travel *t)
{
    struct gd_daemon *d = t->d;
    int64_t left = t->until - gd_now(d->clock), next = gd_sched_next(d->sched) - gd_mono(d->clock);

    next = next < 1 ? 1 : next > STRIDE_MS ? STRIDE_MS : next;
    gd_clock_shared_advance(&d->moved, next < left ? next : left);
    t->stops++;
    gd_sched_moved(d->sched);
    if (gd_now(d->clock) - t->swept < SWEEP_MS && gd_now(d->clock) < t->until)
        return;
    t->swept = gd_now(d->clock);
    gd_broker_sweep(d->broker);
}

static void on_turn(uv_prepare_t *h)
{
    struct travel *t = h->data;
    struct gd_daemon *d = t->d;

    while (gd_broker_idle(d->broker) && !d->stopping && gd_now(d->clock) < t->until)
        leap(t);
    if (d->stopping || gd_broker_idle(d->broker))
        arrive(t);
}

static void on_nudge(uv_timer_t *h)
{
    (void)h;
}

static void on_refusal(uv_timer_t *h)
{
    struct travel *t = h->data;
    struct gd_err err = { 0 };

    gd_err_set(&err, GD_R_CLOCK_NOT_VIRTUAL, "this daemon keeps the system's time; nothing was moved");
    t->reply(t->arg, NULL, &err);
    uv_close((uv_handle_t *)h, on_over);
}

void gd_daemon_travel(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    struct travel *t = gd_new(sizeof *t);

    *t = (struct travel){ .d = arg, .reply = reply, .arg = reply_arg };
    t->until = gd_now(t->d->clock) + gd_json_i64(params, "by", 0) * 1000;
    t->turn.data = t->nudge.data = t;
    uv_timer_init(&t->d->loop, &t->nudge);
    if (t->d->o.virtual_clock) {
        uv_prepare_init(&t->d->loop, &t->turn);
        uv_prepare_start(&t->turn, on_turn);
        uv_timer_start(&t->nudge, on_nudge, NUDGE_MS, NUDGE_MS);
    } else {
        uv_timer_start(&t->nudge, on_refusal, 0, 0);
    }
}
