/* timers.c - how late a deadline is told: the scheduler with its timerfd against one uv_timer that is set to
 * the next deadline, in one loop each, one after the other, same deadlines.
 *
 *   bench_timers --rate N --seconds S
 *
 * Lateness is counted from the exact deadline on the monotonic clock, in both; a deadline is a whole
 * millisecond, as in the scheduler. Prints one line of JSON. */
#include "bench.h"

#include "base/mem.h"
#include "sched/sched.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct bench {
    uv_loop_t loop;
    int64_t *due; /* whole milliseconds of the monotonic clock, in order */
    uint32_t n, told;
    struct bench_times times;
    int64_t early;
    struct gd_sched *sched;
    bool over;
    uv_timer_t timer;
};

/* Both clocks are the same one here, so that no rounding between two clocks is part of the figure. */
static int64_t boot_ms(const struct gd_clock *c)
{
    struct timespec ts;

    (void)c;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
static const struct gd_clock boot_clock = { boot_ms, boot_ms };

static void note(struct bench *b, uint32_t i)
{
    struct timespec ts;
    int64_t late;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    late = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec - b->due[i] * 1000000;
    b->early += late < 0;
    bench_times_add(&b->times, late);
    b->told++;
}

static void make_deadlines(struct bench *b, int64_t rate, int64_t seconds)
{
    int64_t start = boot_ms(NULL) + 200;

    b->n = (uint32_t)(rate * seconds);
    b->due = gd_new_array(b->n, sizeof *b->due);
    for (uint32_t i = 0; i < b->n; i++)
        b->due[i] = start + (int64_t)i * 1000 / rate;
}

/* ---- the scheduler ---- */

static void on_sched_closed(void *arg)
{
    (void)arg;
}

static void act(void *arg, uint32_t job)
{
    struct bench *b = arg;

    note(b, job);
    gd_sched_flight_end(b->sched, 0);
    if (b->told < b->n || b->over)
        return;
    b->over =
        true; /* flights that end let others start: this may be one of several calls within each other */
    gd_sched_close(b->sched, on_sched_closed, NULL);
}

static void look(void *arg, const char *workspace, const char *item)
{
    (void)arg;
    (void)workspace;
    (void)item;
}

static void run_sched(struct bench *b, struct gd_rng *rng, struct gd_log *log)
{
    struct gd_sched_ops ops = { act, look, b };
    struct gd_sched_options o = { .in_flight = 1000000 };
    struct gd_err err;

    uv_loop_init(&b->loop);
    b->sched = gd_sched_new(&b->loop, &o, &ops, &boot_clock, rng, log);
    for (uint32_t i = 0; i < b->n; i++)
        gd_sched_set(b->sched, i, b->due[i], 0, 0);
    if (gd_sched_start(b->sched, &err))
        bench_die("%s", err.text);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    uv_loop_close(&b->loop);
}

/* ---- one uv_timer ---- */

static void on_timer(uv_timer_t *t)
{
    struct bench *b = t->data;
    int64_t now = boot_ms(NULL);

    while (b->told < b->n && b->due[b->told] <= now)
        note(b, b->told);
    if (b->told == b->n)
        return;
    uv_update_time(&b->loop);
    uv_timer_start(t, on_timer, (uint64_t)(b->due[b->told] - now), 0);
}

static void run_uv(struct bench *b)
{
    uv_loop_init(&b->loop);
    uv_timer_init(&b->loop, &b->timer);
    b->timer.data = b;
    uv_timer_start(&b->timer, on_timer, (uint64_t)(b->due[0] - boot_ms(NULL)), 0);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&b->timer, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    uv_loop_close(&b->loop);
}

static void print_one(const char *name, const struct bench *b, const char *end)
{
    printf("\"%s\":{\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"early\":%lld}%s", name,
           bench_times_us(&b->times, 0.5), bench_times_us(&b->times, 0.99),
           bench_times_us(&b->times, 0.99999999), (long long)b->early, end);
}

static const struct option options[] = {
    { "rate", required_argument, NULL, 'r' },
    { "seconds", required_argument, NULL, 's' },
    { 0 },
};

int main(int argc, char **argv)
{
    static struct bench sched, timer;
    struct gd_rng_seeded rng;
    unsigned char key[32] = { 0 };
    struct gd_log *log = gd_log_new(STDERR_FILENO, GD_LOG_ERROR, gd_clock_system(), key);
    int64_t rate = 100, seconds = 2;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            rate = bench_number(optarg, 1, 100000);
        else if (c == 's')
            seconds = bench_number(optarg, 1, 60);
        else
            bench_die("--rate and --seconds");
    }
    gd_rng_seed(&rng, 1);
    make_deadlines(&sched, rate, seconds);
    run_sched(&sched, &rng.rng, log);
    make_deadlines(&timer, rate, seconds);
    run_uv(&timer);
    gd_log_free(log);
    printf("{");
    print_one("timerfd", &sched, ",");
    print_one("uv_timer", &timer, "}\n");
    gd_free(sched.due);
    gd_free(timer.due);
    return 0;
}
