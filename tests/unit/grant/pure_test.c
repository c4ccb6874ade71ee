/* The pure parts of the grant room: margins, patience, interlock, derived states, index, blobs. */
#include "base/mem.h"
#include "grant/broker_int.h"
#include "grant/index.h"
#include "grant/interlock.h"
#include "grant/plan.h"
#include "grant/state.h"
#include "grant/vends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <grantd/platform.h>

#define SECOND 1000ll
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NOW    1790000000000ll

static const struct gd_plan_options usual = {
    .outage_ms = 30 * MINUTE, .skew_ms = 30 * SECOND, .margin_min_ms = MINUTE, .deadline_ms = 45 * SECOND
};

static struct gd_clocks clocks(int64_t life, uint32_t retry_class)
{
    return (struct gd_clocks){ .shape = GRANTD_SHAPE_ROTATING,
                               .retry_class = retry_class,
                               .issued_at = NOW,
                               .expires_at = life ? NOW + life : 0 };
}

static void margins_follow_the_formula(void **state)
{
    struct gd_clocks c = clocks(HOUR, GRANTD_RETRY_NONE);

    (void)state;
    assert_int_equal(gd_plan_margin(&usual, &c), 30 * MINUTE + 30 * SECOND); /* outage and skew exceed half */
    c = clocks(2 * HOUR, GRANTD_RETRY_NONE);
    assert_int_equal(gd_plan_margin(&usual, &c), HOUR); /* half up to two hours */
    c = clocks(6 * HOUR, GRANTD_RETRY_NONE);
    assert_int_equal(gd_plan_margin(&usual, &c), 2 * HOUR); /* a third up to seven days */
    c = clocks(2 * HOUR, GRANTD_RETRY_FAMILY);
    assert_int_equal(gd_plan_margin(&usual, &c), 40 * MINUTE); /* a third where each refresh is a risk */
    c = clocks(60 * DAY, GRANTD_RETRY_NONE);
    assert_int_equal(gd_plan_margin(&usual, &c), 10 * DAY);
    c = clocks(30 * DAY, GRANTD_RETRY_NONE);
    assert_int_equal(gd_plan_margin(&usual, &c), 7 * DAY);
    c = clocks(10 * SECOND, GRANTD_RETRY_NONE);
    assert_int_equal(gd_plan_margin(&usual, &c), 8 * SECOND); /* bounds cross: the upper one wins */
}

static void due_is_spread_and_never_after_the_margin(void **state)
{
    struct gd_clocks c = clocks(HOUR, GRANTD_RETRY_NONE);
    struct gd_rng_seeded r;
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    gd_rng_seed(&r, 3);
    for (int i = 0; i < 10000; i++) {
        int64_t due = gd_plan_due(&usual, &c, NOW, &r.rng);

        least = due < least ? due : least;
        most = due > most ? due : most;
    }
    assert_true(most <= NOW + HOUR - gd_plan_margin(&usual, &c));
    assert_true(most - least > 5 * MINUTE && most - least <= 6 * MINUTE);
    c.shape = GRANTD_SHAPE_SEAT;
    assert_int_equal(gd_plan_due(&usual, &c, NOW, &r.rng), GD_NEVER_DUE);
    c = clocks(0, GRANTD_RETRY_NONE);
    c.horizon_at = NOW + HOUR;
    assert_int_equal(gd_plan_due(&usual, &c, NOW, &r.rng),
                     NOW + HOUR); /* the horizon is an event of its own */
}

/* "Unchanged" from a platform whose margin is reached already would otherwise be asked again at once, for
 * ever. */
static void unchanged_is_not_asked_again_at_once(void **state)
{
    struct gd_clocks c = clocks(HOUR, GRANTD_RETRY_NONE);
    struct gd_rng_seeded r;

    (void)state;
    gd_rng_seed(&r, 5);
    assert_true(gd_plan_unchanged(&usual, &c, NOW + 50 * MINUTE, &r.rng) >= NOW + 51 * MINUTE);
    assert_true(gd_plan_unchanged(&usual, &c, NOW + HOUR - 1, &r.rng) >= NOW + HOUR - 1 + GD_PLAN_GAP_MS);
    assert_true(gd_plan_unchanged(&usual, &c, NOW + 2 * HOUR, &r.rng) >= NOW + 2 * HOUR + MINUTE);
    assert_true(gd_plan_unchanged(&usual, &c, NOW, &r.rng) < NOW + 30 * MINUTE);
    c.shape = GRANTD_SHAPE_SEAT;
    assert_int_equal(gd_plan_unchanged(&usual, &c, NOW, &r.rng), GD_NEVER_DUE);
}

static void patience_by_class(void **state)
{
    struct gd_clocks c = clocks(HOUR, GRANTD_RETRY_FAMILY);
    int64_t sent = NOW + 20 * MINUTE, now = sent + SECOND;

    (void)state;
    /* family, and what is not known: not before the access token has expired */
    assert_true(gd_plan_patience(&usual, &c, sent, now) >= c.expires_at);
    c.retry_class = GRANTD_RETRY_UNKNOWN;
    assert_true(gd_plan_patience(&usual, &c, sent, now) >= c.expires_at);
    /* strict: after the deadline of the one that may still arrive, and the quiet period */
    c.retry_class = GRANTD_RETRY_STRICT;
    assert_int_equal(gd_plan_patience(&usual, &c, sent, now), sent + 45 * SECOND + 105 * SECOND);
    /* where it may be presented again: soon, before a grace ends */
    c.retry_class = GRANTD_RETRY_GRACE;
    c.retry_grace_ms = MINUTE;
    assert_true(gd_plan_patience(&usual, &c, sent, now) < now + SECOND);
    assert_true(gd_plan_patience(&usual, &c, sent, sent + 2 * MINUTE) >=
                c.expires_at); /* past its grace: as family */
    c.retry_class = GRANTD_RETRY_OVERLAP;
    assert_true(gd_plan_patience(&usual, &c, sent, now) < now + SECOND);
}

static void leases_outlast_attempts(void **state)
{
    struct gd_clocks c = clocks(HOUR, GRANTD_RETRY_NONE);

    (void)state;
    assert_int_equal(gd_plan_lease(&usual, &c, 10 * MINUTE), 180 * SECOND);
    c.retry_class = GRANTD_RETRY_UNKNOWN;
    assert_int_equal(gd_plan_lease(&usual, &c, 10 * MINUTE), 10 * MINUTE);
}

static void backoff_stays_in_its_bounds(void **state)
{
    struct gd_clocks c = clocks(60 * DAY, GRANTD_RETRY_NONE);
    struct gd_rng_seeded r;

    (void)state;
    gd_rng_seed(&r, 9);
    for (unsigned n = 1; n < 40; n++)
        for (int i = 0; i < 200; i++) {
            int64_t wait = gd_plan_backoff(&usual, &c, n, NOW, &r.rng) - NOW;

            assert_in_range(wait, 250, 250 + 5 * MINUTE);
            if (n == 1)
                assert_true(wait <= 1250);
        }
}

static void one_refused_client_freezes_the_app(void **state)
{
    struct gd_interlock i = { 0 };

    (void)state;
    assert_true(gd_interlock_note(&i, 1, false, true, 1000));
    assert_false(gd_interlock_admit(&i, 1001));
    assert_true(gd_interlock_admit(&i, 1000 + GD_INTERLOCK_PROBE_MS)); /* one canary */
    assert_false(gd_interlock_admit(&i, 1000 + GD_INTERLOCK_PROBE_MS + 1));
    assert_true(gd_interlock_good(&i, 400000));
    assert_true(gd_interlock_admit(&i, 400001));
}

static void what_another_node_says_is_heeded(void **state)
{
    const int64_t later = GD_INTERLOCK_PROBE_MS + GD_INTERLOCK_OTHERS_MS;
    struct gd_interlock i = { 0 };

    (void)state;
    gd_interlock_heed(&i, true, 1000);
    assert_true(i.frozen);
    assert_false(gd_interlock_admit(&i, 1000 + GD_INTERLOCK_PROBE_MS)); /* that one is the other's */
    gd_interlock_heed(&i, true, 1000 + GD_INTERLOCK_PROBE_MS);          /* which failed */
    assert_false(gd_interlock_admit(&i, 1000 + later));
    assert_true(gd_interlock_admit(&i, 1000 + GD_INTERLOCK_PROBE_MS + later)); /* nothing more was heard */
    gd_interlock_heed(&i, false, 2000000);
    assert_true(gd_interlock_admit(&i, 2000001));
}

static void many_refused_grants_freeze_the_app(void **state)
{
    struct gd_interlock i = { 0 };

    (void)state;
    for (uint32_t n = 0; n < 5; n++)
        assert_false(gd_interlock_note(&i, n, true, false, 1000 + n));
    assert_false(gd_interlock_note(&i, 4, true, false, 1010)); /* the same one again is not a sixth */
    assert_true(gd_interlock_note(&i, 5, true, false, 1020));
}

static void few_among_many_do_not(void **state)
{
    struct gd_interlock i = { 0 };

    (void)state;
    for (int n = 0; n < 1000; n++)
        gd_interlock_good(&i, 1000);
    for (uint32_t n = 0; n < 20; n++)
        assert_false(gd_interlock_note(&i, n, true, false, 1000 + n));
}

static void people_see_the_worst_that_is_true(void **state)
{
    struct gd_grant_facts f = {
        .lifecycle = GD_LIFE_LIVE, .has_cred = true, .now = NOW, .expires_at = NOW + HOUR
    };
    static const struct {
        enum gd_cred_status status;
        const char *alive, *expired;
    } rows[] = {
        { GD_CRED_CURRENT, "active", "degraded" },
        { GD_CRED_RETRYING, "at_risk", "degraded" },
        { GD_CRED_UNCERTAIN, "at_risk", "degraded" },
        { GD_CRED_QUARANTINED, "at_risk", "degraded" },
        { GD_CRED_NEEDS_CONSENT, "needs_consent", "needs_consent" },
        { GD_CRED_UNREADABLE, "at_risk", "degraded" },
        { GD_CRED_RESTORED, "at_risk", "degraded" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f.cred = rows[i].status;
        f.expires_at = NOW + HOUR;
        assert_string_equal(gd_grant_derive(&f).state, rows[i].alive);
        f.expires_at = NOW - 1;
        assert_string_equal(gd_grant_derive(&f).state, rows[i].expired);
    }
    f.cred = GD_CRED_CURRENT;
    f.expires_at = NOW + HOUR;
    f.app_frozen = true;
    assert_string_equal(gd_grant_derive(&f).owner, "operator");
    f.app_frozen = false;
    f.horizon_at = NOW + DAY;
    assert_string_equal(gd_grant_derive(&f).reason, "GRANT_HORIZON_NEAR");
    f.horizon_at = 0;
    f.starts_at = NOW - 6 * DAY; /* a short window: a person is asked when a quarter of it is left */
    f.ends_at = NOW + 2 * DAY + 1;
    assert_string_equal(gd_grant_derive(&f).state, "active");
    f.ends_at = NOW + 2 * DAY;
    assert_string_equal(gd_grant_derive(&f).reason, "GRANT_HORIZON_NEAR");
    f.has_cred = false;
    assert_string_equal(gd_grant_derive(&f).state, "at_risk");
    f.ends_at = NOW;
    assert_string_equal(gd_grant_derive(&f).state, "needs_consent");
    assert_string_equal(gd_grant_derive(&f).owner, "client");
    f.lifecycle = GD_LIFE_ENDING;
    assert_string_equal(gd_grant_derive(&f).state, "ending");
}

/* Each layer that is not well says its own word, and who acts. */
static void every_view_has_its_word(void **state)
{
    static const struct {
        struct gd_grant_facts f;
        const char *state, *reason, *owner;
    } rows[] = {
        { { .lifecycle = GD_LIFE_ENDING }, "ending", "GRANT_ENDING", "nobody" },
        { { .lifecycle = GD_LIFE_ENDED }, "ended", "GRANT_ENDED", "nobody" },
        { { .lifecycle = GD_LIFE_ERASED }, "erased", "CLIENT_ERASED", "nobody" },
        { { .lifecycle = GD_LIFE_CONFIRMING }, "confirming", "GRANT_CONFIRMING", "operator" },
        { { .lifecycle = GD_LIFE_LIVE, .has_cred = true, .horizon_at = NOW },
          "needs_consent",
          "GRANT_HORIZON_PASSED",
          "client" },
        { { .lifecycle = GD_LIFE_LIVE, .horizon_at = NOW },
          "active",
          "",
          "nobody" }, /* the date is the credential's */
        { { .lifecycle = GD_LIFE_LIVE, .has_cred = true, .expires_at = NOW },
          "degraded",
          "TOKEN_EXPIRED",
          "nobody" },
        { { .lifecycle = GD_LIFE_LIVE, .native = GD_NATIVE_GONE }, "needs_consent", "NATIVE_GONE", "client" },
        { { .lifecycle = GD_LIFE_LIVE, .native = GD_NATIVE_CHANGED },
          "degraded",
          "NATIVE_CHANGED",
          "operator" },
        { { .lifecycle = GD_LIFE_LIVE, .native = GD_NATIVE_UNKNOWN }, "at_risk", "NATIVE_UNKNOWN", "nobody" },
        { { .lifecycle = GD_LIFE_LIVE, .native = GD_NATIVE_PENDING },
          "degraded",
          "NATIVE_PENDING",
          "platform" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gd_grant_facts f = rows[i].f;
        struct gd_grant_view v;

        f.now = NOW;
        v = gd_grant_derive(&f);
        assert_string_equal(v.state, rows[i].state);
        assert_string_equal(v.reason, rows[i].reason);
        assert_string_equal(v.owner, rows[i].owner);
    }
}

/* The table of vends has a maximum: beyond it what was known is a first vend again, and nothing is known
 * wrongly. */
static void vends_have_a_maximum(void **state)
{
    struct gd_vends *v = gd_vends_new_of(4096);
    size_t largest = 0;
    int known = 0;

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        assert_false(gd_vends_knows(v, i, i % 7, 3));
        gd_vends_remember(v, i, i % 7, 3);
        assert_true(gd_vends_knows(v, i, i % 7, 3));
        assert_false(gd_vends_knows(v, i, i % 7, 4));
        assert_false(gd_vends_knows(v, i, i % 7 + 1, 3));
        largest = gd_vends_bytes(v) > largest ? gd_vends_bytes(v) : largest;
    }
    for (uint32_t i = 0; i < 20000; i++)
        known += gd_vends_knows(v, i, i % 7, 3);
    assert_in_range(known, 1, 4096 * 3 / 4);
    assert_in_range(largest, 4096, 4096 * 16);
    assert_int_equal(gd_vends_total(v), 20000);
    gd_vends_free(v);
}

/* Who got no number is nobody that anything is known of. */
static void vends_to_unnumbered_callers_are_first_ones(void **state)
{
    struct gd_vends *v = gd_vends_new_of(4096);

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        gd_vends_remember(v, 1, GD_CALLER_UNNUMBERED, 3);
        assert_false(gd_vends_knows(v, 1, GD_CALLER_UNNUMBERED, 3));
    }
    gd_vends_remember(v, 1, GD_CALLER_UNNUMBERED - 1, 3);
    assert_true(gd_vends_knows(v, 1, GD_CALLER_UNNUMBERED - 1, 3));
    assert_false(gd_vends_knows(v, 1, GD_CALLER_UNNUMBERED, 3));
    assert_int_equal(gd_vends_total(v), 4);
    gd_vends_free(v);
}

static void words_round_trip(void **state)
{
    enum gd_cred_status s;
    enum gd_lifecycle l;
    enum gd_native n;

    (void)state;
    for (unsigned i = 0; i < GD_CRED__COUNT; i++) {
        assert_true(gd_cred_status_parse(gd_cred_status_word((enum gd_cred_status)i), &s));
        assert_int_equal(s, i);
    }
    for (unsigned i = 0; i < GD_LIFE__COUNT; i++)
        assert_true(gd_lifecycle_parse(gd_lifecycle_word((enum gd_lifecycle)i), &l) && l == i);
    for (unsigned i = 0; i < GD_NATIVE__COUNT; i++)
        assert_true(gd_native_parse(gd_native_word((enum gd_native)i), &n) && n == i);
    assert_false(gd_cred_status_parse("dead", &s));
    assert_false(gd_cred_status_parse(NULL, &s));
}

static void index_finds_what_was_added(void **state)
{
    struct gd_index ix;
    struct gd_rng_seeded r;
    struct gd_id ids[5000], other;
    uint32_t cred;

    (void)state;
    gd_rng_seed(&r, 1);
    gd_index_init(&ix);
    gd_id_new(&other, NOW, &r.rng);
    cred = gd_index_add_cred(&ix, &other);
    for (uint32_t i = 0; i < 5000; i++) {
        gd_id_new(&ids[i], NOW, &r.rng);
        assert_int_equal(gd_index_add_grant(&ix, &ids[i], i % 2 ? cred : GD_NONE), i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(gd_index_grant(&ix, &ids[i]), i);
        assert_int_equal(gd_index_add_grant(&ix, &ids[i], cred), i); /* adding again changes nothing */
    }
    assert_int_equal(gd_index_grant(&ix, &other), GD_NONE);
    {
        unsigned n = 0;

        for (uint32_t g = gd_cred_at(&ix, cred)->first_grant; g != GD_NONE;
             g = gd_grant_at(&ix, g)->next_of_cred)
            n++;
        assert_int_equal(n, 2500);
    }
    gd_index_done(&ix);
}

static void blob_is(const char *text, const char *access, const char *refresh, const char *kept)
{
    GD_AUTO_FREE char *copy = gd_strdup(text);
    struct gd_err err = { 0 };
    struct gd_blob blob;

    assert_int_equal(gd_blob_read(&blob, copy, &err), 0);
    if (access)
        assert_string_equal(blob.access, access);
    else
        assert_null(blob.access);
    if (refresh)
        assert_string_equal(blob.refresh, refresh);
    else
        assert_null(blob.refresh);
    if (kept)
        assert_string_equal(gd_json_text(blob.kept, "k", NULL), kept);
    else
        assert_int_equal(json_object_size(blob.kept), 0);
    gd_blob_done(&blob);
}

static void blobs_round_trip(void **state)
{
    static const char *const texts[] = { NULL, "", "t", "two\nlines 7 \"and\" - more", "0123456789abcdef" };
    GD_AUTO_JSON kept = json_pack("{s:s}", "k", "v\n");

    (void)state;
    for (size_t a = 0; a < 5; a++)
        for (size_t r = 0; r < 5; r++) {
            GD_AUTO_FREE char *with = gd_blob_make(texts[a], texts[r], kept),
                              *none = gd_blob_make(texts[a], texts[r], NULL);

            blob_is(with, texts[a], texts[r], "v\n");
            blob_is(none, texts[a], texts[r], NULL);
        }
    /* as the first version wrote it */
    blob_is("{\"access_token\":\"a\",\"kept\":{\"k\":\"v\"},\"refresh_token\":null}", "a", NULL, "v");
}

static void a_blob_that_is_not_whole_is_refused(void **state)
{
    GD_AUTO_FREE char *whole = gd_blob_make("access", "refresh", NULL);
    static const char *const bad[] = { "",
                                       "GB1",
                                       "GB1\n",
                                       "GB1\n-\n-\n",
                                       "GB1\n-\n-\n-\n-\n",
                                       "GB1\n1 ab\n-\n-\n",
                                       "GB1\n 1 a\n-\n-\n",
                                       "GB1\n99999999999999999999 a\n-\n-\n",
                                       "GB1\n-\n-\n1 {\n",
                                       "GB2\n-\n-\n-\n",
                                       "[]]" };
    struct gd_err err = { 0 };
    struct gd_blob blob = { .access = "untouched" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        GD_AUTO_FREE char *copy = gd_strdup(bad[i]);

        assert_int_equal(gd_blob_read(&blob, copy, &err), -1);
    }
    for (size_t n = 0; n < strlen(whole); n++) {
        GD_AUTO_FREE char *copy = gd_strndup(whole, n);

        assert_int_equal(gd_blob_read(&blob, copy, &err), -1);
    }
    assert_string_equal(blob.access, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margins_follow_the_formula),
        cmocka_unit_test(due_is_spread_and_never_after_the_margin),
        cmocka_unit_test(unchanged_is_not_asked_again_at_once),
        cmocka_unit_test(patience_by_class),
        cmocka_unit_test(leases_outlast_attempts),
        cmocka_unit_test(backoff_stays_in_its_bounds),
        cmocka_unit_test(one_refused_client_freezes_the_app),
        cmocka_unit_test(what_another_node_says_is_heeded),
        cmocka_unit_test(many_refused_grants_freeze_the_app),
        cmocka_unit_test(few_among_many_do_not),
        cmocka_unit_test(people_see_the_worst_that_is_true),
        cmocka_unit_test(every_view_has_its_word),
        cmocka_unit_test(vends_have_a_maximum),
        cmocka_unit_test(vends_to_unnumbered_callers_are_first_ones),
        cmocka_unit_test(words_round_trip),
        cmocka_unit_test(index_finds_what_was_added),
        cmocka_unit_test(blobs_round_trip),
        cmocka_unit_test(a_blob_that_is_not_whole_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
