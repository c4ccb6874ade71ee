/* T44: whatever is changed in a log is found, and the first bad line named. Also how fast; and, with "write
 * PATH N", a log for other programs to check. */
#include "kit.h"

#include "base/rng.h"
#include "crypto/crypto.h"

#include <time.h>
#include <unistd.h>

#define MUTATIONS 2400
#define LINES_MAX 400

struct log {
    char *text;
    size_t n, lines, start[LINES_MAX + 1]; /* start[lines]: the end */
};

static void read_log(const struct kit *k, struct log *l)
{
    l->text = kit_read(k->path, &l->n);
    l->lines = 0;
    l->start[0] = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->text[i] == '\n') {
            assert_true(l->lines < LINES_MAX);
            l->start[++l->lines] = i + 1;
        }
    assert_int_equal(l->start[l->lines], l->n);
}

static size_t line_of(const struct log *l, size_t at)
{
    size_t i = 0;

    while (l->start[i + 1] <= at)
        i++;
    return i + 1;
}

/* Changes a copy (room for l->n + 1); returns its length and the first line that can be called bad, and up to
 * which. */
static size_t mutate(const struct log *l, char *out, struct gd_rng *r, int kind, size_t *lo, size_t *hi)
{
    size_t a = gd_rng_below(r, l->lines), b = gd_rng_below(r, l->lines - 1), at = gd_rng_below(r, l->n), n;

    memcpy(out, l->text, l->n);
    switch (kind) {
    case 0: /* one bit */
        out[at] = (char)(out[at] ^ (1 << gd_rng_below(r, 8)));
        *lo = *hi = line_of(l, at);
        return l->n;
    case 1: /* one byte less */
        memmove(out + at, out + at + 1, l->n - at - 1);
        *lo = *hi = line_of(l, at);
        return l->n - 1;
    case 2: /* a line less */
        n = l->start[a + 1] - l->start[a];
        memmove(out + l->start[a], out + l->start[a + 1], l->n - l->start[a + 1]);
        *lo = *hi = a + 1;
        return l->n - n;
    case 3: /* two lines change places */
        b += b >= a;
        if (b < a) {
            size_t t = a;

            a = b;
            b = t;
        }
        n = l->start[a];
        memcpy(out + n, l->text + l->start[b], l->start[b + 1] - l->start[b]);
        n += l->start[b + 1] - l->start[b];
        memcpy(out + n, l->text + l->start[a + 1], l->start[b] - l->start[a + 1]);
        n += l->start[b] - l->start[a + 1];
        memcpy(out + n, l->text + l->start[a], l->start[a + 1] - l->start[a]);
        *lo = *hi = a + 1;
        return l->n;
    case 4: /* cut behind a whole line */
        *lo = *hi = a + 1;
        return l->start[a];
    default: /* cut anywhere */
        *lo = *hi = line_of(l, at);
        return at;
    }
}

static void every_change_is_found_at_its_line(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    struct gd_rng_seeded r;
    struct log l;
    char *copy;
    int missed = 0;

    for (int i = 0; i < 60; i++) { /* records of many lengths */
        GD_AUTO_JSON data = json_pack("{s:i,s:s}", "i", i * i * i, "who", i % 3 ? "portal" : "scheduler");

        kit_send(k, i % 2 ? "grant.token" : "credential.refresh", "gr01", data);
    }
    kit_wait(k, 60);
    kit_close(k); /* ends with a checkpoint */
    read_log(k, &l);
    copy = gd_new(l.n + 1);
    gd_rng_seed(&r, 4444);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t lo, hi, n = mutate(&l, copy, &r.rng, i % 6, &lo, &hi);
        int64_t bad;

        kit_put(k->path, copy, n);
        bad = kit_verify(k, &v);
        if (bad < (int64_t)lo || bad > (int64_t)hi) {
            missed++;
            print_error("kind %d: line %lld (%s), expected %zu..%zu\n", i % 6, (long long)bad, v.why, lo, hi);
        }
    }
    assert_int_equal(missed, 0);
    kit_put(k->path, l.text, l.n);
    kit_expect_whole(k);
    gd_free(copy);
    gd_free(l.text);
}

/* Each bit of one record and of one checkpoint. */
static void every_bit_counts(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    struct log l;

    kit_write(k, 12);
    kit_close(k);
    read_log(k, &l);
    for (size_t line = 5; line < l.lines; line += 8) /* a record, and the checkpoint at 14 */
        for (size_t at = l.start[line]; at < l.start[line + 1]; at++)
            for (int bit = 0; bit < 8; bit += 3) {
                l.text[at] = (char)(l.text[at] ^ (1 << bit));
                kit_put(k->path, l.text, l.n);
                assert_int_equal(kit_verify(k, &v), line + 1);
                l.text[at] = (char)(l.text[at] ^ (1 << bit));
            }
    gd_free(l.text);
}

/* Somebody who can write the file and knows the format, but has no key: makes the chain fit again behind a
 * change. */
#include "audit/chain.h"

static void rewrite(const struct kit *k, const struct log *l, size_t changed, bool drop_checkpoints)
{
    struct chain c = { 0 };
    struct gd_buf out;

    gd_buf_init(&out, 1 << 24);
    for (size_t i = 0; i < l->lines; i++) {
        char *line = l->text + l->start[i];
        size_t n = l->start[i + 1] - l->start[i] - 1;
        const char *body = (const char *)memchr(line, ',', n) + 1;
        const char *end = memmem(line, n, ",\"prev\":\"", 9);
        GD_AUTO_FREE char *copy = gd_strndup(body, (size_t)(end - body));

        if (drop_checkpoints && i > changed && gd_line_is(line, n, "audit.checkpoint"))
            continue;
        if (i == changed) {
            char *uid = strstr(copy, "\"uid\":1000");

            assert_non_null(uid);
            memcpy(uid, "\"uid\":1001", 10);
        }
        gd_chain_add(&c, &out, copy);
    }
    kit_put(k->path, out.ptr, out.len);
    gd_buf_done(&out);
}

static void a_chain_made_to_fit_again_fails_at_the_checkpoint(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    struct log l;

    kit_write(k, 35);
    kit_close(k);
    read_log(k, &l);
    for (size_t changed = 4; changed < 12; changed++) {
        rewrite(k, &l, changed, false);
        assert_int_equal(kit_verify(k, &v), 14); /* the checkpoint behind it */
        assert_string_equal(v.why, "checkpoint root");
        rewrite(k, &l, changed, true);
        assert_int_equal(kit_verify(k, &v), 14);
        assert_string_equal(v.why, "a checkpoint is missing here");
    }
    gd_free(l.text);
}

static void another_key_is_noticed(void **state)
{
    struct kit *k = *state;
    unsigned char pub[32], seed[32];
    struct gd_audit_verdict v;

    kit_write(k, 3);
    kit_close(k);
    gd_ed25519_public(pub, k->seed);
    assert_int_equal(gd_audit_verify(k->path, pub, &v, NULL), 0);
    assert_int_equal(v.bad_line, 0);
    memset(seed, 99, sizeof seed);
    gd_ed25519_public(pub, seed);
    assert_int_equal(gd_audit_verify(k->path, pub, &v, NULL), 0);
    assert_int_equal(v.bad_line, 1);
}

/* While the writer appends, a reader may meet a line on its way. */
static void a_log_that_grows_is_whole(void **state)
{
    struct kit *k = *state;

    for (int i = 0; i < 300; i++) {
        kit_send(k, "grant.token", "gr01", NULL);
        if (i % 3 == 0)
            kit_expect_whole(k);
        uv_run(&k->loop, UV_RUN_NOWAIT);
    }
    kit_wait(k, 300);
    kit_expect_whole(k);
}

/* Of the processor, for us: what else the machine does is not counted. */
static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_many(struct kit *k, int n)
{
    for (int done = 0; done < n; done += 20000)
        kit_write(k, n - done < 20000 ? n - done : 20000);
}

/* The figure to reach is 10^6 records in 10 s; AUDIT_RECORDS=1000000 runs just that. Sanitizers and a slow
 * machine may take ten times as long: what is caught here is work that grows with the log. */
static void a_million_records_in_ten_seconds(void **state)
{
    struct kit *k = *state;
    const char *env = getenv("AUDIT_RECORDS");
    int n = env ? (int)strtol(env, NULL, 10) : 60000;
    struct gd_audit_verdict v;
    double start, wrote, took;

    kit_close(k);
    k->o.checkpoint_records = 1000;
    assert_int_equal(kit_open(k, NULL), 0);
    start = seconds();
    write_many(k, n);
    wrote = seconds() - start;
    start = seconds();
    assert_int_equal(kit_verify(k, &v), 0);
    took = seconds() - start;
    assert_true(v.records > n);
    print_message("%d records: written in %.2f s (%.0f/s), verified in %.3f s (%.0f/s)\n", n, wrote,
                  n / wrote, took, n / took);
    assert_true(took < 10.0 * n / 1e6 * 10 + 0.2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

static int write_log(const char *path, int n)
{
    struct kit k;
    bool closed = false;

    kit_init(&k);
    (void)rmdir(k.dir);
    k.o.path = path;
    if (kit_open(&k, NULL) != 0)
        return 1;
    write_many(&k, n);
    kit_close(&k);
    (void)closed;
    return uv_loop_close(&k.loop) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(every_change_is_found_at_its_line),
        T(every_bit_counts),
        T(a_chain_made_to_fit_again_fails_at_the_checkpoint),
        T(another_key_is_noticed),
        T(a_log_that_grows_is_whole),
        T(a_million_records_in_ten_seconds),
    };

    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    if (argc == 4 && !strcmp(argv[1], "write"))
        return write_log(argv[2], (int)strtol(argv[3], NULL, 10));
    return cmocka_run_group_tests_name("audit verify", tests, NULL, NULL);
}
