/* record_test.c - what a refresh brought, as the spool keeps it. */
#include "base/mem.h"
#include "grant/broker_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const unsigned char sealed[] = { 'G', 'S', 0, 0xff, 1 };
static const struct gd_version full = { .workspace = "main",
                                        .client = "cl1",
                                        .app = "app",
                                        .cred = "cr1",
                                        .attempt = "at1",
                                        .intent = "at0",
                                        .account_id = "",
                                        .account_name = "An\xc3\xa4",
                                        .scope = "a b",
                                        .sealed = sealed,
                                        .nsealed = sizeof sealed,
                                        .gen = 7,
                                        .at = 1,
                                        .issued_at = 2,
                                        .expires_at = INT64_MAX,
                                        .refresh_expires_at = -1,
                                        .horizon_at = 3,
                                        .due = INT64_MAX,
                                        .grace = 4,
                                        .shape = 5,
                                        .retry_class = 6,
                                        .is_new = true };

static void assert_text(const char *a, const char *b)
{
    assert_true(!a == !b && (!a || !strcmp(a, b)));
}

static void assert_same(const struct gd_version *a, const struct gd_version *b)
{
    assert_text(a->workspace, b->workspace);
    assert_text(a->client, b->client);
    assert_text(a->app, b->app);
    assert_text(a->cred, b->cred);
    assert_text(a->attempt, b->attempt);
    assert_text(a->intent, b->intent);
    assert_text(a->account_id, b->account_id);
    assert_text(a->account_name, b->account_name);
    assert_text(a->scope, b->scope);
    assert_int_equal(a->nsealed, b->nsealed);
    assert_memory_equal(a->sealed, b->sealed, b->nsealed);
    assert_true(a->gen == b->gen && a->at == b->at && a->issued_at == b->issued_at &&
                a->expires_at == b->expires_at && a->refresh_expires_at == b->refresh_expires_at &&
                a->horizon_at == b->horizon_at && a->due == b->due && a->grace == b->grace &&
                a->shape == b->shape && a->retry_class == b->retry_class);
    assert_true(a->is_new == b->is_new && a->rejected == b->rejected);
}

static void there_and_back(const struct gd_version *v)
{
    struct gd_version got;
    size_t n;
    unsigned char *bytes = gd_record_write(v, &n);

    assert_true(gd_record_is_bytes(bytes, n));
    assert_int_equal(gd_record_read(&got, bytes, n, NULL), 0);
    assert_same(&got, v);
    gd_free(bytes);
}

static void what_is_written_is_read(void **state)
{
    struct gd_version v = full;

    (void)state;
    there_and_back(&v);
    v.intent = v.account_id = v.account_name = v.scope = NULL;
    v.is_new = false;
    v.rejected = true;
    v.nsealed = 0;
    there_and_back(&v);
    assert_false(gd_record_is_bytes("{\"v\":1}", 7));
    assert_false(gd_record_is_bytes("GD", 2));
}

static void what_is_not_whole_is_refused(void **state)
{
    size_t n;
    unsigned char *bytes = gd_record_write(&full, &n);
    struct gd_version v = { .gen = -5 };

    (void)state;
    for (size_t i = 5; i < n; i++) {
        unsigned char *cut = gd_new(i); /* of this length, so that a step beyond it is seen */
        struct gd_err err = { 0 };

        memcpy(cut, bytes, i);
        assert_int_equal(gd_record_read(&v, cut, i, &err), -1);
        assert_int_equal(err.reason, GD_R_SPOOL_CORRUPT);
        gd_free(cut);
    }
    bytes[4] |= 0x80; /* a flag that nobody knows */
    assert_int_equal(gd_record_read(&v, bytes, n, NULL), -1);
    bytes[4] &= 0x7f;
    bytes[5 + 80 + 4 + 2] = '\0'; /* within the workspace */
    assert_int_equal(gd_record_read(&v, bytes, n, NULL), -1);
    assert_int_equal(v.gen, -5);
    gd_free(bytes);
}

static void a_later_form_is_refused(void **state)
{
    size_t n;
    unsigned char *bytes = gd_record_write(&full, &n);
    struct gd_err err = { 0 };
    struct gd_version v;

    (void)state;
    bytes[3] = '2';
    assert_true(gd_record_is_bytes(bytes, n));
    assert_int_equal(gd_record_read(&v, bytes, n, &err), -1);
    assert_int_equal(err.reason, GD_R_STORE_TOO_NEW);
    err.reason = GD_R_OK;
    assert_int_equal(gd_record_read(&v, bytes, 3, &err), -1);
    assert_int_equal(err.reason, GD_R_STORE_TOO_NEW);
    gd_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_whole_is_refused),
        cmocka_unit_test(a_later_form_is_refused),
    };

    return cmocka_run_group_tests_name("grant record", tests, NULL, NULL);
}
