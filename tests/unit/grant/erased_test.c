/* The list of whom was erased: what was torn off takes nothing along. */
#include "grant/erased.h"

#include "base/mem.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define A "cl01m81kps0w4r8bxwjmmqv326at"
#define B "cl01m81kqnec8xq9y3qd11pj942z"

static void test_a_torn_line(void **state)
{
    char dir[] = "/tmp/erased-test-XXXXXX";
    struct gd_erased *e = NULL;
    GD_AUTO_FREE char *path = NULL;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(dir));
    path = gd_strf("%s/erased", dir);
    assert_int_equal(gd_erased_open(&e, path, NULL), 0);
    gd_erased_note(e, "main", A);
    gd_erased_sync(e);
    gd_erased_free(e);
    file = fopen(path, "a");
    assert_non_null(file);
    (void)fputs("main cl01m81kq", file); /* a full disk, or a crash of the machine */
    assert_int_equal(fclose(file), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gd_erased_open(&e, path, NULL), 0);
        assert_true(gd_erased_knows(e, "main", A));
        assert_int_equal(gd_erased_knows(e, "main", B), i);
        assert_false(gd_erased_knows(e, "main", "cl01m81kq"));
        gd_erased_note(e, "main", B);
        gd_erased_sync(e);
        gd_erased_free(e);
    }
    (void)unlink(path);
    (void)rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_a_torn_line) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
