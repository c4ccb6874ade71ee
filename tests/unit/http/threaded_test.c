/* threaded_test.c - what is peculiar to the client on a thread of its own: many calls and cancels crossing
 * each other, answers in slices, the end in the middle of it. All else is tested by the tests of the client,
 * built for it. */
#include "fixture.h"

#include "base/rng.h"

#include <stdio.h>

#define CALLS 2000

struct storm {
    struct fixture *f;
    struct gd_http_call *calls[CALLS];
    unsigned answered, cancelled, inside;
    bool over[CALLS];
};
struct one {
    struct storm *s;
    unsigned n;
};

static void on_storm(void *arg, const struct gd_http_answer *a)
{
    struct one *o = arg;
    struct storm *s = o->s;

    assert_false(s->over[o->n]); /* once, and never after a cancel */
    s->over[o->n] = true;
    s->calls[o->n] = NULL;
    s->answered++;
    assert_int_equal(s->inside, 0);
    if (a->end == GD_HTTP_ANSWER)
        assert_int_equal(a->status, 200);
}

static void crossing_cancels(void **state)
{
    static struct storm s;
    static struct one ones[CALLS];
    struct fixture f = { .limits = { .concurrency = 32 } };
    struct gd_rng_seeded rng;

    (void)state;
    gd_rng_seed(&rng, 3);
    fixture_plain(&f);
    s.f = &f;
    for (unsigned i = 0; i < CALLS; i++) {
        struct gd_http_request r = fixture_request("https://good.test/ok");
        unsigned k = (unsigned)gd_rng_below(&rng.rng, i + 1);

        r.repeatable = true;
        ones[i] = (struct one){ &s, i };
        s.inside = 1; /* nothing is told inside send or cancel */
        s.calls[i] = f.t->send(f.t, &r, on_storm, &ones[i]);
        if (i % 3 == 0 && s.calls[k]) {
            s.over[k] = true;
            s.cancelled++;
            f.t->cancel(f.t, &s.calls[k]);
            assert_null(s.calls[k]);
        }
        s.inside = 0;
        if (i % 16 == 0)
            (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    for (int turns = 0; s.answered + s.cancelled < CALLS && turns < 10000; turns++)
        fixture_turn(&f, 1);
    assert_int_equal(s.answered + s.cancelled, CALLS);
    assert_true(s.cancelled > 100);
    fixture_stop(&f);
}

static void never(void *arg, const struct gd_http_answer *a)
{
    (void)arg;
    (void)a;
    fail_msg("told after the end");
}

static void end_in_the_middle(void **state)
{
    struct fixture f = { .limits = { .concurrency = 8 } };
    struct gd_http_request r = fixture_request("https://good.test/ok");

    (void)state;
    fixture_plain(&f);
    for (int i = 0; i < 200; i++)
        (void)f.t->send(f.t, &r, never, NULL);
    fixture_stop(&f); /* frees all of them; the leak checker looks */
}

static void status_while_busy(void **state)
{
    struct fixture f = { .limits = { .concurrency = 8 } };
    struct gd_http_limits one = { .concurrency = 1 };
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct gd_http_call *call;

    (void)state;
    fixture_plain(&f);
    for (int i = 0; i < 20; i++) {
        GD_AUTO_JSON j = NULL;

        call = f.t->send(f.t, &r, never, NULL);
        gd_http_client_set_limits(f.client, "test/a", &one);
        j = gd_http_client_status(f.client);
        assert_non_null(json_object_get(json_object_get(j, "apps"), "test/a"));
        f.t->cancel(f.t, &call);
    }
    fixture_turn(&f, 5);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crossing_cancels),
        cmocka_unit_test(end_in_the_middle),
        cmocka_unit_test(status_while_busy),
    };

    gd_json_setup();
    return cmocka_run_group_tests_name("http threaded", tests, NULL, NULL);
}
