/* tokens_test.c - the token cache: what is in it comes back as it was, whichever level holds it; what was
 * dropped, belongs to an older generation or was touched on the disk does not. What the kernel holds of a
 * file in memory is its own affair, and differs from one machine and moment to the next: preadv2 and
 * posix_fadvise stand in front of the C library's, so that a page is taken back when a test says so, and else
 * is there. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "grant/tokens.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define PLACE    512
#define EXPORTED __attribute__((visibility("default")))

static bool taken_back;               /* nothing of the file is in memory but what was asked for since */
static off_t back_from = -1, back_to; /* what was asked for */

EXPORTED ssize_t preadv2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
    if ((flags & RWF_NOWAIT) && taken_back && (at < back_from || at >= back_to)) {
        errno = EAGAIN;
        return -1;
    }
    return preadv(fd, v, n, at);
}

EXPORTED int posix_fadvise(int fd, off_t at, off_t n, int advice)
{
    (void)fd;
    if (advice == POSIX_FADV_WILLNEED) {
        back_from = at;
        back_to = at + n;
    }
    return 0;
}

struct world {
    struct gd_index ix;
    struct gd_tokens *t;
    char dir[64], out[GD_TOKEN_MAX];
};

static void make(struct world *w, uint32_t creds, size_t max_bytes, bool file)
{
    struct gd_err err;
    struct gd_id id;

    memset(w, 0, sizeof *w);
    gd_index_init(&w->ix);
    for (uint32_t i = 0; i < creds; i++) {
        gd_id_new(&id, 1000 + i, gd_rng_system());
        assert_int_equal(gd_index_add_cred(&w->ix, &id), i);
        gd_cred_at(&w->ix, i)->gen = 1;
    }
    w->t = gd_tokens_new(&w->ix, max_bytes, gd_rng_system());
    (void)snprintf(w->dir, sizeof w->dir, "%s", "/tmp/grantd-tokens-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    if (file)
        assert_int_equal(gd_tokens_add_file(w->t, w->dir, &err), 0);
}

static void unmake(struct world *w)
{
    gd_tokens_free(w->t);
    gd_index_done(&w->ix);
    assert_int_equal(rmdir(w->dir), 0); /* nothing with a name was left in it */
}

/* A token of n characters that follows from seed. */
static char *token(uint32_t seed, size_t n)
{
    char *s = gd_new(n + 1);

    for (size_t i = 0; i < n; i++)
        s[i] = (char)('a' + (seed * 7 + i * (seed + 1)) % 26);
    return s;
}

static void put(struct world *w, uint32_t cred, uint32_t seed, size_t n)
{
    GD_AUTO_FREE char *s = token(seed, n);

    gd_tokens_put(w->t, cred, s, n);
}

static void put_found(struct world *w, uint32_t cred, uint32_t seed, size_t n)
{
    GD_AUTO_FREE char *s = token(seed, n);

    gd_tokens_found(w->t, cred, s, n);
}

static void expect(struct world *w, uint32_t cred, uint32_t seed, size_t n)
{
    GD_AUTO_FREE char *s = token(seed, n);

    assert_int_equal(gd_tokens_get(w->t, cred, w->out, sizeof w->out), (long)n);
    assert_string_equal(w->out, s);
}

static void expect_none(struct world *w, uint32_t cred)
{
    assert_int_equal(gd_tokens_get(w->t, cred, w->out, sizeof w->out), -1);
}

static void comes_back(void **state)
{
    struct world w;

    (void)state;
    for (int file = 0; file < 2; file++) {
        make(&w, 3, 100000, file);
        expect_none(&w, 0);
        put(&w, 0, 1, 300);
        put(&w, 1, 2, 40);
        expect(&w, 0, 1, 300);
        expect(&w, 1, 2, 40);
        expect_none(&w, 2);
        put(&w, 0, 3, 50); /* replaces */
        expect(&w, 0, 3, 50);
        assert_true(gd_tokens_has(w.t, 0));
        gd_tokens_drop(w.t, 0);
        gd_tokens_drop(w.t, 0);
        expect_none(&w, 0);
        assert_false(gd_tokens_has(w.t, 0));
        expect(&w, 1, 2, 40);
        assert_int_equal(gd_tokens_get(w.t, 1, w.out, 40), -1); /* no room for its end */
        unmake(&w);
    }
}

static void memory_is_bounded(void **state)
{
    struct world w;
    int there = 0;

    (void)state;
    make(&w, 1000, 20000, false);
    for (uint32_t i = 0; i < 1000; i++) {
        put(&w, i, i, 300);
        assert_true(w.t && gd_tokens_count(w.t) * 300 <= 20000);
    }
    for (uint32_t i = 0; i < 1000; i++)
        there += gd_tokens_get(w.t, i, w.out, sizeof w.out) >= 0;
    assert_int_equal(there, (int)gd_tokens_count(w.t));
    assert_in_range(there, 40, 60);
    unmake(&w);
}

static void what_is_asked_for_stays(void **state)
{
    struct world w;

    (void)state;
    make(&w, 1000, 20000, false);
    put(&w, 0, 0, 300);
    for (uint32_t i = 1; i < 1000; i++) {
        put(&w, i, i, 300);
        expect(&w, 0, 0, 300);
    }
    unmake(&w);
}

static void file_holds_what_memory_does_not(void **state)
{
    struct world w;

    (void)state;
    make(&w, 3000, 20000, true);
    for (uint32_t i = 0; i < 3000; i++)
        put(&w, i, i, 300);
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 3000; i++)
            expect(&w, i, i, 300);
    assert_in_range(gd_tokens_count(w.t), 40, 60);
    assert_in_range(gd_tokens_file_bytes(w.t), 3000 * 300, 3000 * 1024);
    unmake(&w);
}

static void every_length(void **state)
{
    static const size_t lengths[] = {
        0, 1, 485, 486, 487, 4069, 4070, 4071, 4072, GD_TOKEN_MAX - 2, GD_TOKEN_MAX - 1
    };
    const uint32_t n = sizeof lengths / sizeof *lengths;
    struct world w;

    (void)state;
    make(&w, n, 600, true); /* memory for none but the smallest */
    for (uint32_t i = 0; i < n; i++)
        put(&w, i, i, lengths[i]);
    for (uint32_t i = n; i-- > 0;)
        expect(&w, i, i, lengths[i]);
    put(&w, 3, 50, GD_TOKEN_MAX); /* longer than a token may be: not kept, nor the old one */
    expect_none(&w, 3);
    put(&w, 5, 51, 100); /* from a large place to a small one, and back */
    expect(&w, 5, 51, 100);
    put(&w, 5, 52, 5000);
    expect(&w, 5, 52, 5000);
    unmake(&w);
}

static void older_generation_is_gone(void **state)
{
    struct world w;

    (void)state;
    for (int file = 0; file < 2; file++) {
        make(&w, 2, file ? 100 : 100000, file); /* in the file alone, in memory alone */
        put(&w, 0, 1, 300);
        expect(&w, 0, 1, 300);
        gd_cred_at(&w.ix, 0)->gen = 2;
        expect_none(&w, 0);
        put(&w, 0, 2, 300);
        expect(&w, 0, 2, 300);
        unmake(&w);
    }
}

/* ---- what somebody does to the file ---- */

/* The only file without a name that this process has open. */
static int find_file(void)
{
    char path[300], to[300];
    struct dirent *d;
    DIR *dir = opendir("/proc/self/fd");
    int fd = -1;

    while ((d = readdir(dir))) {
        ssize_t n;

        (void)snprintf(path, sizeof path, "/proc/self/fd/%s", d->d_name);
        n = readlink(path, to, sizeof to - 1);
        if (n < 0)
            continue;
        to[n] = '\0';
        if (strstr(to, "grantd-tokens-") && strstr(to, "(deleted)"))
            fd = (int)strtol(d->d_name, NULL, 10);
    }
    closedir(dir);
    assert_true(fd >= 0);
    return fd;
}

static void touched_file_is_no_token(void **state)
{
    unsigned char old[PLACE], one[PLACE];
    struct world w;
    int fd;

    (void)state;
    make(&w, 4, 100, true); /* memory for none */
    for (uint32_t i = 0; i < 4; i++)
        put(&w, i, i, 400);
    fd = find_file();
    assert_int_equal(pread(fd, old, PLACE, 0), PLACE);
    assert_null(memmem(old, PLACE, "abcdefghij", 10));                  /* not readable as it lies there */
    for (size_t at = 0; at < 2 + 400 + GD_MEMSEAL_OVERHEAD; at += 13) { /* every kind of place in it */
        assert_int_equal(pread(fd, one, PLACE, 0), PLACE);
        one[at] ^= 4;
        assert_int_equal(pwrite(fd, one, PLACE, 0), PLACE);
        expect_none(&w, 0);
        put_found(&w, 0, 0, 400); /* what was touched is written anew */
        expect(&w, 0, 0, 400);
    }
    assert_int_equal(pread(fd, one, PLACE, 0), PLACE);
    assert_int_equal(pwrite(fd, one, PLACE, PLACE), PLACE); /* another credential's */
    expect_none(&w, 1);
    put_found(&w, 1, 1, 400);
    expect(&w, 1, 1, 400);
    gd_cred_at(&w.ix, 0)->gen++;
    put(&w, 0, 9, 400);
    assert_int_equal(pwrite(fd, old, PLACE, 0), PLACE); /* its own of yesterday */
    expect_none(&w, 0);
    expect(&w, 2, 2, 400);
    assert_int_equal(ftruncate(fd, 0), 0);
    expect_none(&w, 2);
    unmake(&w);
}

/* The kernel takes pages of the file back. One miss brings the neighbourhood back, and what is found in the
 * store meanwhile is not written over what the file still has. */
static void taken_back_comes_back(void **state)
{
    struct stat before, after;
    struct world w;
    int fd;

    (void)state;
    make(&w, 1024, 100, true); /* memory for none */
    for (uint32_t i = 0; i < 1024; i++)
        put(&w, i, i, 300);
    fd = find_file();
    assert_int_equal(fdatasync(fd), 0);
    assert_int_equal(fstat(fd, &before), 0);
    taken_back = true;
    expect_none(&w, 512);
    put_found(&w, 512, 512, 300);
    assert_int_equal(fstat(fd, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    for (uint32_t i = 512; i < 512 + 64; i++)
        expect(&w, i, i, 300);
    expect_none(&w, 0); /* far away from it */
    taken_back = false;
    unmake(&w);
}

static void full_disk_leaves_memory(void **state)
{
    struct rlimit was, none;
    struct world w;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    make(&w, 100, 20000, true);
    put(&w, 7, 7, 300);
    getrlimit(RLIMIT_FSIZE, &was);
    none = was;
    none.rlim_cur = 8 * PLACE;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (uint32_t i = 0; i < 100; i++)
        put(&w, i, i + 100, 300);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    expect(&w, 99, 199, 300); /* memory has the newest of those that the file could not take */
    expect(&w, 7, 107, 300);
    unmake(&w);
}

static void no_file_is_no_end(void **state)
{
    struct gd_err err = { 0 };
    struct world w;

    (void)state;
    make(&w, 1, 10000, false);
    assert_int_equal(gd_tokens_add_file(w.t, "/nowhere/at/all", &err), -1);
    assert_int_equal(err.reason, GD_R_STATE_DIR_UNUSABLE);
    assert_int_equal(gd_tokens_file_bytes(w.t), 0);
    put(&w, 0, 1, 300);
    expect(&w, 0, 1, 300);
    unmake(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(what_is_asked_for_stays),
        cmocka_unit_test(file_holds_what_memory_does_not),
        cmocka_unit_test(every_length),
        cmocka_unit_test(older_generation_is_gone),
        cmocka_unit_test(touched_file_is_no_token),
        cmocka_unit_test(taken_back_comes_back),
        cmocka_unit_test(full_disk_leaves_memory),
        cmocka_unit_test(no_file_is_no_end),
    };
    struct gd_err err;

    if (gd_crypto_setup(&err))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
