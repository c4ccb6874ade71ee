/* sched/sched.c - the wheel, admission per app, and the two timers that drive them. */
#include "sched/sched.h"
#include "base/list.h"
#include "base/mem.h"
#include "sched/wheel.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PACE_MS  200
#define STALE_MS 1000
#define APPS_MAX 1024
#define STEP_MIN 5000 /* smaller corrections of the clock are not worth a word */

struct job { /* what the wheel's node does not hold */
    int64_t due, expires_at;
    uint16_t app;
    uint8_t loaded, waiting;
};
struct ready {
    int64_t expires_at;
    uint32_t job;
};
struct app {
    struct ready *heap; /* earliest expiry first */
    uint32_t count, cap;
    unsigned in_flight;
    unsigned ended; /* since then */
    int64_t since;  /* monotonic */
    unsigned pace;  /* how many end in PACE_MS, when last looked at */
    bool listed;    /* in gd_sched.fresh */
};
struct look {
    struct gd_list node;
    int64_t at;  /* monotonic */
    int64_t due; /* Unix ms */
    bool loaded;
    char *workspace, *item;
};

struct gd_sched {
    uv_loop_t *loop;
    struct gd_sched_options o;
    struct gd_sched_ops ops;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_log *log;
    struct gd_wheel wheel;
    struct job *jobs;
    uint32_t njobs;
    struct app apps[APPS_MAX];
    uint16_t fresh[APPS_MAX]; /* apps that got something ready in this run */
    unsigned nfresh;
    struct gd_list looks; /* by time */
    bool started, running;
    int64_t offset; /* unix - mono when last looked at */
    int64_t fired, late_max, steps;
    int head_fd, step_fd;
    int64_t armed_for; /* what head_fd is set to */
    uv_poll_t head, step;
    int open;
    void (*closed)(void *);
    void *closed_arg;
};

struct gd_sched *gd_sched_new(uv_loop_t *loop, const struct gd_sched_options *o,
                              const struct gd_sched_ops *ops, const struct gd_clock *clock,
                              struct gd_rng *rng, struct gd_log *log)
{
    struct gd_sched *s = gd_new(sizeof *s);

    s->loop = loop;
    s->o = *o;
    s->o.in_flight = o->in_flight ? o->in_flight : 64;
    s->o.spread_ms = o->spread_ms ? o->spread_ms : 60000;
    s->ops = *ops;
    s->clock = clock;
    s->rng = rng;
    s->log = log;
    s->offset = gd_now(clock) - gd_mono(clock);
    s->head_fd = s->step_fd = -1;
    gd_list_init(&s->looks);
    gd_wheel_init(&s->wheel, gd_mono(clock));
    return s;
}

/* ---- jobs ---- */

static struct job *job_at(struct gd_sched *s, uint32_t n)
{
    if (n >= s->njobs) {
        uint32_t count = s->njobs ? s->njobs : 1024;

        while (count <= n)
            count += count / 4 + 1024; /* slack is memory of every grant */
        s->jobs = gd_resize(s->jobs, count * sizeof *s->jobs);
        memset(s->jobs + s->njobs, 0, (count - s->njobs) * sizeof *s->jobs);
        s->njobs = count;
    }
    return &s->jobs[n];
}

static int64_t to_mono(const struct gd_sched *s, int64_t unix_ms)
{
    return unix_ms == INT64_MAX ? INT64_MAX : gd_mono(s->clock) + (unix_ms - gd_now(s->clock));
}

static void arm_head(struct gd_sched *s);

void gd_sched_set(struct gd_sched *s, uint32_t n, int64_t due, int64_t expires_at, uint16_t app)
{
    struct job *j = job_at(s, n);

    j->due = due;
    j->expires_at = expires_at;
    j->app = app < APPS_MAX ? app : APPS_MAX - 1;
    j->loaded = !s->started;
    gd_wheel_set(&s->wheel, n, to_mono(s, due));
    arm_head(s);
}

/* By time. */
static void put_look(struct gd_sched *s, struct look *l)
{
    struct gd_list *pos;

    for (pos = s->looks.prev; pos != &s->looks && gd_container_of(pos, struct look, node)->at > l->at;
         pos = pos->prev)
        ;
    l->node.prev = pos;
    l->node.next = pos->next;
    pos->next->prev = &l->node;
    pos->next = &l->node;
}

void gd_sched_look(struct gd_sched *s, const char *workspace, const char *item, int64_t at)
{
    struct look *l = gd_new(sizeof *l);

    l->at = to_mono(s, at);
    l->due = at;
    l->loaded = !s->started;
    l->workspace = gd_strdup(workspace);
    l->item = gd_strdup(item);
    put_look(s, l);
    arm_head(s);
}

/* ---- admission: the one that expires first goes first ---- */

static int64_t key(int64_t expires_at)
{
    return expires_at ? expires_at : INT64_MAX;
}

static void heap_push(struct app *a, struct ready r)
{
    uint32_t i = a->count++;

    if (a->count > a->cap) {
        a->cap = a->cap ? a->cap * 2 : 64;
        a->heap = gd_resize(a->heap, a->cap * sizeof *a->heap);
    }
    for (; i && key(a->heap[(i - 1) / 4].expires_at) > key(r.expires_at); i = (i - 1) / 4)
        a->heap[i] = a->heap[(i - 1) / 4];
    a->heap[i] = r;
}

static uint32_t least_child(const struct app *a, uint32_t i)
{
    uint32_t first = i * 4 + 1, least = first;

    for (uint32_t c = first + 1; c < first + 4 && c < a->count; c++)
        if (key(a->heap[c].expires_at) < key(a->heap[least].expires_at))
            least = c;
    return least;
}

static struct ready heap_pop(struct app *a)
{
    struct ready top = a->heap[0], last = a->heap[--a->count];
    uint32_t i = 0;

    while (i * 4 + 1 < a->count) {
        uint32_t c = least_child(a, i);

        if (key(a->heap[c].expires_at) >= key(last.expires_at))
            break;
        a->heap[i] = a->heap[c];
        i = c;
    }
    a->heap[i] = last;
    return top;
}

/* Somebody else did it while it waited: it has another date, in the wheel, or none. */
static bool moved(const struct gd_sched *s, uint32_t n)
{
    return s->jobs[n].due == INT64_MAX || gd_wheel_due(&s->wheel, n) != INT64_MAX;
}

/* Most of a refresh is waiting for the disk, which many share; so more of them are let go where they end
 * quickly: as many as end in PACE_MS. Where the platform is slow they would only wait for it, each with its
 * lease taken and its intent open. */
static unsigned room(const struct gd_sched *s, const struct app *a)
{
    unsigned n = gd_mono(s->clock) - a->since < STALE_MS ? a->pace : 0;

    n = n < s->o.in_flight_max ? n : s->o.in_flight_max;
    return n > s->o.in_flight ? n : s->o.in_flight;
}

static void look_at_pace(struct gd_sched *s, struct app *a)
{
    int64_t now = gd_mono(s->clock), took = now - a->since;

    a->ended++;
    if (took < PACE_MS / 2)
        return;
    a->pace = took < STALE_MS ? (unsigned)((int64_t)a->ended * PACE_MS / took) : 0;
    a->ended = 0;
    a->since = now;
}

static void pump(struct gd_sched *s, struct app *a)
{
    const unsigned most = room(s, a);

    while (a->count && a->in_flight < most) {
        struct ready r = heap_pop(a);

        s->jobs[r.job].waiting = 0;
        if (moved(s, r.job))
            continue;
        a->in_flight++;
        s->fired++;
        s->ops.act(s->ops.arg, r.job);
    }
}

bool gd_sched_waits(const struct gd_sched *s, uint32_t job)
{
    return job < s->njobs && s->jobs[job].waiting && !moved(s, job);
}

void gd_sched_flight_end(struct gd_sched *s, uint16_t app)
{
    struct app *a = &s->apps[app < APPS_MAX ? app : APPS_MAX - 1];

    if (a->in_flight)
        a->in_flight--;
    look_at_pace(s, a);
    if (s->started && !s->running)
        pump(s, a);
}

/* ---- running ---- */

static void on_due(void *arg, uint32_t n)
{
    struct gd_sched *s = arg;
    struct job *j = &s->jobs[n];
    int64_t late = gd_mono(s->clock) - to_mono(s, j->due);

    if (late > s->late_max && !j->loaded)
        s->late_max = late;
    if (j->waiting)
        return;
    j->waiting = 1;
    heap_push(&s->apps[j->app], (struct ready){ j->expires_at, n });
    if (s->apps[j->app].listed)
        return;
    s->apps[j->app].listed = true;
    s->fresh[s->nfresh++] = j->app;
}

static void run_looks(struct gd_sched *s, int64_t mono)
{
    while (!gd_list_empty(&s->looks)) {
        struct look *l = gd_container_of(s->looks.next, struct look, node);

        if (l->at > mono)
            break;
        gd_list_del(&l->node);
        s->ops.look(s->ops.arg, l->workspace, l->item);
        gd_free(l->workspace);
        gd_free(l->item);
        gd_free(l);
    }
}

int64_t gd_sched_run(struct gd_sched *s)
{
    int64_t mono = gd_mono(s->clock);

    if (!s->started)
        return INT64_MAX;
    s->running = true;
    gd_wheel_run(&s->wheel, mono, on_due, s);
    run_looks(s, mono);
    s->running = false;
    while (s->nfresh) {
        struct app *a = &s->apps[s->fresh[--s->nfresh]];

        a->listed = false;
        pump(s, a);
    }
    return gd_sched_next(s);
}

int64_t gd_sched_next(const struct gd_sched *s)
{
    int64_t next = gd_wheel_next(&s->wheel);

    if (!gd_list_empty(&s->looks) && gd_container_of(s->looks.next, struct look, node)->at < next)
        next = gd_container_of(s->looks.next, struct look, node)->at;
    return next;
}

void gd_sched_moved(struct gd_sched *s)
{
    s->armed_for = INT64_MIN;
    (void)gd_sched_run(s);
    arm_head(s);
}

/* ---- the wall clock was set ---- */

/* Never a burst. */
static int64_t planned_anew(struct gd_sched *s, int64_t due, int64_t mono)
{
    int64_t at = to_mono(s, due);

    return at > mono ? at : mono + 1 + (int64_t)gd_rng_below(s->rng, (uint64_t)s->o.spread_ms);
}

static void move_looks(struct gd_sched *s, int64_t mono)
{
    struct gd_list all, *n;

    gd_list_take(&all, &s->looks);
    while ((n = gd_list_pop(&all))) {
        struct look *l = gd_container_of(n, struct look, node);

        if (l->loaded)
            l->at = planned_anew(s, l->due, mono);
        put_look(s, l);
    }
}

void gd_sched_clock_step(struct gd_sched *s, int64_t delta)
{
    int64_t mono = gd_mono(s->clock);

    s->steps++;
    for (uint32_t n = 0; n < s->njobs; n++)
        if (s->jobs[n].loaded && gd_wheel_due(&s->wheel, n) != INT64_MAX)
            gd_wheel_set(&s->wheel, n, planned_anew(s, s->jobs[n].due, mono));
    move_looks(s, mono);
    GD_LOG(s->log, GD_LOG_WARN, "clock.step", GD_F_INT("delta_ms", delta));
    s->offset = gd_now(s->clock) - mono;
}

static void watch_steps(struct gd_sched *s)
{
    struct itimerspec never = { .it_value = {
                                    .tv_sec = 4102444800 } }; /* 2100: only its cancelling is of interest */

    (void)timerfd_settime(s->step_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void on_step(uv_poll_t *h, int status, int events)
{
    struct gd_sched *s = h->data;
    int64_t offset = gd_now(s->clock) - gd_mono(s->clock);
    uint64_t n;

    (void)status;
    (void)events;
    if (read(s->step_fd, &n, sizeof n) < 0 && errno == EAGAIN)
        return;
    watch_steps(s);
    if (offset - s->offset > STEP_MIN || s->offset - offset > STEP_MIN)
        gd_sched_clock_step(s, offset - s->offset);
    arm_head(s);
}

/* ---- timers ---- */

static void arm_head(struct gd_sched *s)
{
    struct itimerspec t = { 0 };
    int64_t next;

    if (!s->started || s->head_fd < 0 || s->running)
        return;
    next = gd_sched_next(s);
    if (next == s->armed_for)
        return;
    s->armed_for = next;
    if (next != INT64_MAX) {
        if (s->clock != gd_clock_system()) /* the kernel's timer knows nothing of an offset */
            next -= gd_mono(s->clock) - gd_mono(gd_clock_system());
        next = next > 0 ? next : 0; /* a look that was due before the machine was switched on */
        t.it_value.tv_sec = next / 1000;
        t.it_value.tv_nsec = next % 1000 * 1000000 + 1; /* never all zero, which would disarm */
    }
    (void)timerfd_settime(s->head_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void on_head(uv_poll_t *h, int status, int events)
{
    struct gd_sched *s = h->data;
    uint64_t n;

    (void)status;
    (void)events;
    if (read(s->head_fd, &n, sizeof n) < 0 && errno == EAGAIN)
        return;
    s->armed_for = INT64_MIN; /* it went off */
    (void)gd_sched_run(s);
    arm_head(s);
}

int gd_sched_start(struct gd_sched *s, struct gd_err *err)
{
    s->started = true;
    s->armed_for = INT64_MIN;
    if (!s->loop)
        return 0;
    s->head_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    s->step_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (s->head_fd < 0 || s->step_fd < 0 || uv_poll_init(s->loop, &s->head, s->head_fd) ||
        uv_poll_init(s->loop, &s->step, s->step_fd))
        return gd_err_set(err, GD_R_INTERNAL, "the system gives no timers");
    s->head.data = s->step.data = s;
    s->open = 2;
    uv_poll_start(&s->head, UV_READABLE, on_head);
    uv_poll_start(&s->step, UV_READABLE, on_step);
    watch_steps(s);
    (void)gd_sched_run(s);
    arm_head(s);
    return 0;
}

static void sched_free(struct gd_sched *s)
{
    struct gd_list *n;

    while ((n = gd_list_pop(&s->looks))) {
        struct look *l = gd_container_of(n, struct look, node);

        gd_free(l->workspace);
        gd_free(l->item);
        gd_free(l);
    }
    for (unsigned i = 0; i < APPS_MAX; i++)
        gd_free(s->apps[i].heap);
    if (s->head_fd >= 0)
        close(s->head_fd);
    if (s->step_fd >= 0)
        close(s->step_fd);
    gd_wheel_done(&s->wheel);
    gd_free(s->jobs);
    gd_free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct gd_sched *s = h->data;
    void (*done)(void *) = s->closed;
    void *arg = s->closed_arg;

    if (--s->open)
        return;
    sched_free(s);
    if (done)
        done(arg);
}

void gd_sched_close(struct gd_sched *s, void (*done)(void *), void *arg)
{
    s->started = false;
    s->closed = done;
    s->closed_arg = arg;
    if (s->open) {
        uv_close((uv_handle_t *)&s->head, on_closed);
        uv_close((uv_handle_t *)&s->step, on_closed);
        return;
    }
    sched_free(s);
    if (done)
        done(arg);
}

json_t *gd_sched_status(struct gd_sched *s)
{
    json_int_t waiting = 0, in_flight = 0;

    for (unsigned i = 0; i < APPS_MAX; i++) {
        waiting += s->apps[i].count;
        in_flight += s->apps[i].in_flight;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "armed", (json_int_t)s->wheel.armed, "waiting",
                     waiting, "in_flight", in_flight, "fired", (json_int_t)s->fired, "late_ms_max",
                     (json_int_t)s->late_max, "steps", (json_int_t)s->steps, "bytes",
                     (json_int_t)(gd_wheel_bytes(&s->wheel) + s->njobs * sizeof *s->jobs));
}
