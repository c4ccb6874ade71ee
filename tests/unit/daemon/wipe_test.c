/* wipe_test.c - the allocator of the daemon: what is given back is wiped, what is handed out is whole and
 * nobody else's, what is freed twice ends the process, and a thread leaves nothing behind. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 2000

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void what_is_given_back_is_wiped(void **state)
{
    (void)state;
    for (size_t n = 24; n < 70000; n += n < 5000 ? 8 : 1000) {
        unsigned char *p = malloc(n);
        volatile uintptr_t at = (uintptr_t)p;

        memset(p, 0xaa, malloc_usable_size(p));
        free(p);
        p = calloc(1, n); /* the same block, as a rule */
        if ((uintptr_t)p == at)
            assert_true(all_zero(p, malloc_usable_size(p)));
        assert_true(all_zero(p, n));
        free(p);
    }
}

/* While it waits: only what chains it may stand in it. */
static void a_waiting_block_holds_nothing(void **state)
{
    unsigned char *p = malloc(1000);
    volatile uintptr_t at = (uintptr_t)p;

    (void)state;
    memset(p, 0xaa, 1000);
    free(p);
    assert_true(all_zero((const unsigned char *)at + 16, 1000 - 16));
}

static void sizes_and_moves(void **state)
{
    unsigned char *p = NULL;
    volatile size_t huge = SIZE_MAX / 2;

    (void)state;
    errno = 0;
    assert_null(calloc(huge, 3));
    assert_int_equal(errno, ENOMEM);
    for (size_t n = 1, had = 0; n < 20000; n = n * 3 / 2 + 1) {
        p = realloc(p, n);
        assert_true(malloc_usable_size(p) >= n);
        for (size_t i = 0; i < had; i++)
            assert_int_equal(p[i], 0x5a);
        memset(p, 0x5a, n);
        had = n;
    }
    assert_null(realloc(p, 0));
    free(NULL);
}

static int how_it_ends(void (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void free_twice(void)
{
    void *p = malloc(100), *q = malloc(100);
    volatile uintptr_t at = (uintptr_t)p;

    free(p);
    free(q);
    free((void *)at);
}

static void what_is_freed_twice_ends_it(void **state)
{
    (void)state;
    assert_int_equal(how_it_ends(free_twice), SIGABRT);
}

static void *take_and_give(void *arg)
{
    void **blocks = arg;

    for (int i = 0; i < 300; i++)
        blocks[i] = malloc((size_t)i * 13 + 1);
    for (int i = 0; i < 300; i++)
        free(blocks[i]);
    return NULL;
}

static void a_thread_leaves_nothing(void **state)
{
    void *blocks[300];
    size_t before = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        pthread_t t;

        assert_int_equal(pthread_create(&t, NULL, take_and_give, blocks), 0);
        assert_int_equal(pthread_join(t, NULL), 0);
        if (i == 20)
            before = mallinfo2().uordblks;
    }
    assert_true(mallinfo2().uordblks < before + 65536);
}

struct box {
    pthread_mutex_t lock;
    unsigned char *blocks[MANY];
    bool wrong;
};

/* Each block carries its size and its own number in all bytes; it is freed by whichever thread meets it. */
static void *pass_on(void *arg)
{
    struct box *box = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;

    for (int i = 0; i < 100000; i++) {
        size_t at = (size_t)(seed = seed * 1664525 + 1013904223) >> 8, n = 2 + at % 6000;
        unsigned char *p = i % 2 ? malloc(n) : calloc(n, 1), *old;

        memset(p, (int)(at & 0xff), n);
        memcpy(p, &(uint16_t){ (uint16_t)n }, 2);
        pthread_mutex_lock(&box->lock);
        old = box->blocks[at % MANY];
        box->blocks[at % MANY] = p;
        if (old) {
            uint16_t had;

            memcpy(&had, old, 2);
            for (size_t k = 3; k < had; k++)
                box->wrong |= old[k] != old[2];
        }
        pthread_mutex_unlock(&box->lock);
        free(old);
    }
    return NULL;
}

static void blocks_go_from_thread_to_thread(void **state)
{
    static struct box box = { .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t t[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, pass_on, &box), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_false(box.wrong);
    for (int i = 0; i < MANY; i++)
        free(box.blocks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_back_is_wiped),
        cmocka_unit_test(a_waiting_block_holds_nothing),
        cmocka_unit_test(sizes_and_moves),
        cmocka_unit_test(what_is_freed_twice_ends_it),
        cmocka_unit_test(a_thread_leaves_nothing),
        cmocka_unit_test(blocks_go_from_thread_to_thread),
    };

    return cmocka_run_group_tests_name("daemon wipe", tests, NULL, NULL);
}
