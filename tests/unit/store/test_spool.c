/* test_spool.c - the spool file under every kind of end it can find itself with, and the checksums below it.
 */
#include "kit.h"

#include "store/store_int.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HEAD 20 /* bytes in front of a record */

static struct kit k;

static int setup(void **state)
{
    (void)state;
    kit_init(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_done(&k);
    return 0;
}

static void add(void *arg, const void *p, size_t n)
{
    char *out = arg;
    size_t len = strlen(out);

    (void)snprintf(out + len, 4096 - len, "%s%.*s", len ? "," : "", (int)n, (const char *)p);
}

/* What a fresh start finds in the spool. */
static void holds(const char *want)
{
    char got[4096] = "";
    struct gd_err err = { 0 };
    struct gd_spool *s;

    assert_int_equal(gd_spool_open(&s, k.spool, &err), 0);
    assert_int_equal(gd_spool_replay(s, add, got, &err), 0);
    assert_string_equal(got, want);
    gd_spool_free(s);
}

/* Appends one group of records, given with commas between them; r is what their transactions come to. */
static int group(struct gd_spool *s, const char *records, enum gd_store_result r)
{
    struct gd_list list;
    struct gd_tx *tx;
    int rc;

    gd_list_init(&list);
    for (const char *p = records; *p; p += strcspn(p, ",") + (strchr(p, ',') ? 1 : 0)) {
        tx = gd_tx_new(NULL);
        gd_tx_spool(tx, p, strcspn(p, ","));
        tx->result = r;
        gd_list_add(&list, &tx->link);
    }
    rc = gd_spool_group(s, &list);
    if (rc == 0)
        rc = gd_spool_wait(s);
    gd_spool_settle(s, &list);
    for (struct gd_list *l; (l = gd_list_pop(&list));)
        gd_tx_free(gd_tx_of(l));
    return rc;
}

/* Three groups: "a", "bb,cc" and "ddd". */
static void write_three(void)
{
    struct gd_spool *s;

    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    assert_int_equal(group(s, "a", GD_STORE_OK), 0);
    assert_int_equal(group(s, "bb,cc", GD_STORE_OK), 0);
    assert_int_equal(group(s, "ddd", GD_STORE_OK), 0);
    gd_spool_free(s);
}

static void poke(long at, unsigned char flip)
{
    int fd = open(k.spool, O_RDWR);
    unsigned char c;

    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= flip;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

enum { AT_A = 0, AT_BB = HEAD + 1, AT_CC = 2 * HEAD + 3, AT_DDD = 3 * HEAD + 5, END = 4 * HEAD + 8 };

static void test_crc(void **state)
{
    unsigned char all[300];

    (void)state;
    /* RFC 3720, B.4 */
    assert_int_equal(gd_crc32c(0, "123456789", 9), 0xe3069283u);
    memset(all, 0, 32);
    assert_int_equal(gd_crc32c(0, all, 32), 0x8a9136aau);
    memset(all, 0xff, 32);
    assert_int_equal(gd_crc32c(0, all, 32), 0x62a8ab43u);
    for (unsigned i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    assert_int_equal(gd_crc32c(0, all, 32), 0x46dd794eu);
    for (size_t i = 0; i <= sizeof all; i += 13) /* in two pieces */
        assert_int_equal(gd_crc32c(gd_crc32c(0, all, i), all + i, sizeof all - i),
                         gd_crc32c(0, all, sizeof all));
}

static void test_whole(void **state)
{
    struct stat st;

    (void)state;
    holds("");
    write_three();
    assert_int_equal(stat(k.spool, &st), 0);
    assert_int_equal(st.st_size, END);
    holds("a,bb,cc,ddd");
    holds("a,bb,cc,ddd"); /* reading does not empty it */
}

static void test_torn_anywhere(void **state)
{
    (void)state;
    for (off_t cut = 0; cut < END; cut++) {
        unlink(k.spool);
        write_three();
        assert_int_equal(truncate(k.spool, cut), 0);
        holds(cut < AT_BB ? "" : cut < AT_CC ? "a" : cut < AT_DDD ? "a,bb" : "a,bb,cc");
    }
}

static void test_goes_on_behind_a_torn_end(void **state)
{
    struct gd_spool *s;

    (void)state;
    write_three();
    assert_int_equal(truncate(k.spool, END - 1), 0);
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    assert_int_equal(group(s, "new", GD_STORE_OK), 0);
    gd_spool_free(s);
    holds("a,bb,cc,new");
}

static void test_last_record_flipped(void **state)
{
    (void)state;
    for (long at = AT_DDD; at < END; at++) {
        unlink(k.spool);
        write_three();
        poke(at, 0x40);
        holds("a,bb,cc");
    }
}

/* The first half of a group did not reach the disk, the second did: power was lost before the sync returned.
 */
static void test_torn_inside_the_last_group(void **state)
{
    (void)state;
    for (long at = AT_BB; at < AT_CC; at++) {
        unlink(k.spool);
        write_three();
        assert_int_equal(truncate(k.spool, AT_DDD), 0);
        poke(at, 0x40);
        holds("a,cc");
        holds("a,cc"); /* also after it was mended */
    }
}

static void test_corrupt_middle(void **state)
{
    char bad[128];
    struct stat st;

    (void)state;
    (void)snprintf(bad, sizeof bad, "%s.bad", k.spool);
    for (long at = 0; at < AT_DDD; at++) {
        struct gd_err err = { 0 };
        struct gd_spool *s;
        char got[64] = "", offset[32];
        long begin = at < AT_BB ? AT_A : at < AT_CC ? AT_BB : AT_CC;

        unlink(k.spool);
        unlink(bad);
        write_three();
        poke(at, 0x04);
        assert_int_equal(gd_spool_open(&s, k.spool, &err), 0);
        assert_int_equal(gd_spool_replay(s, add, got, &err), -1);
        assert_int_equal(err.reason, GD_R_SPOOL_CORRUPT);
        (void)snprintf(offset, sizeof offset, "byte %ld;", begin);
        assert_non_null(strstr(err.text, offset));
        assert_string_equal(got, ""); /* nothing was handed out */
        assert_int_equal(gd_spool_clear(s, &err), -1);
        assert_false(gd_spool_usable(s));
        gd_spool_free(s);
        assert_int_equal(stat(bad, &st), 0);
        assert_int_equal(st.st_size, END);
        assert_int_equal(stat(k.spool, &st), 0);
        assert_int_equal(st.st_size, END); /* nothing was lost of it */
    }
}

static void test_corrupt_spool_stops_the_store(void **state)
{
    struct gd_err err = { 0 };
    char got[64] = "";
    struct shot s;

    (void)state;
    write_three();
    poke(AT_BB + HEAD, 1);
    assert_int_equal(kit_open(&k, &err), 0);
    assert_int_equal(gd_store_spool_replay(k.s, add, got, &err), -1);
    assert_int_equal(err.reason, GD_R_SPOOL_CORRUPT);
    assert_int_equal(kit_commit(&k, kit_put(&k, "x", 1, NULL), &s), GD_STORE_FAILED);
    assert_int_equal(kit_rows(&k), 0);
}

static void test_garbage(void **state)
{
    static const char text[] = "this is no spool at all, but somebody's letter GDS1 to a friend";
    int fd = open(k.spool, O_WRONLY | O_CREAT, 0600);

    (void)state;
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    close(fd);
    holds("");
}

static void test_clear(void **state)
{
    struct gd_spool *s;

    (void)state;
    write_three();
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    assert_int_equal(gd_spool_clear(s, NULL), 0);
    assert_int_equal(gd_spool_size(s), 0);
    assert_int_equal(group(s, "new", GD_STORE_OK), 0);
    gd_spool_free(s);
    holds("new");
}

static void test_emptied_when_long(void **state)
{
    char *big = gd_new(GD_SPOOL_RECORD_MAX + 1);
    struct gd_spool *s;

    (void)state;
    memset(big, 'x', GD_SPOOL_RECORD_MAX);
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    for (int i = 0; i < 15; i++)
        assert_int_equal(group(s, big, GD_STORE_OK), 0);
    assert_true(gd_spool_size(s) > 900000);
    assert_int_equal(group(s, big, GD_STORE_OK), 0);
    assert_int_equal(gd_spool_size(s), 0);
    gd_spool_free(s);
    gd_free(big);
    holds("");
}

static void test_kept_while_one_is_open(void **state)
{
    char *big = gd_new(GD_SPOOL_RECORD_MAX + 1), got[4096] = "";
    struct gd_spool *s;

    (void)state;
    memset(big, 'x', GD_SPOOL_RECORD_MAX);
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    assert_int_equal(group(s, "open", GD_STORE_FAILED), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(group(s, big, GD_STORE_OK), 0);
    assert_true(gd_spool_size(s) > 2000000);
    assert_int_equal(gd_spool_replay(s, add, got, NULL), 0);
    assert_memory_equal(got, "open,", 5);
    /* The same answer comes through at last: nothing is open any more. */
    assert_int_equal(group(s, "open", GD_STORE_OK), 0);
    assert_int_equal(gd_spool_size(s), 0);
    gd_spool_free(s);
    gd_free(big);
}

/* A database that is away for hours, and answers that are tried again and again. */
static void test_tried_again(void **state)
{
    char *big = gd_new(GD_SPOOL_RECORD_MAX + 1), got[4096] = "";
    struct gd_spool *s;

    (void)state;
    memset(big, 'x', GD_SPOOL_RECORD_MAX);
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(group(s, i % 2 ? "one,two" : "two,one", GD_STORE_FAILED), 0);
    assert_int_equal(gd_spool_size(s), 2 * (HEAD + 3));
    assert_int_equal(gd_spool_replay(s, add, got, NULL), 0);
    assert_string_equal(got, "two,one");
    /* It is back: the spool is emptied again when it is long. */
    assert_int_equal(group(s, "one", GD_STORE_OK), 0);
    assert_int_equal(group(s, "new,two", GD_STORE_OK), 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(group(s, big, GD_STORE_OK), 0);
    assert_int_equal(gd_spool_size(s), 0);
    gd_spool_free(s);
    gd_free(big);
}

static void test_old_records_wait_for_clear(void **state)
{
    char *big = gd_new(GD_SPOOL_RECORD_MAX + 1);
    struct gd_spool *s;

    (void)state;
    write_three();
    memset(big, 'x', GD_SPOOL_RECORD_MAX);
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(group(s, big, GD_STORE_OK), 0);
    assert_true(gd_spool_size(s) > GD_SPOOL_TRIM);
    assert_int_equal(gd_spool_clear(s, NULL), 0);
    assert_int_equal(gd_spool_size(s), 0);
    gd_spool_free(s);
    gd_free(big);
}

static void test_clear_waits_for_open_ones(void **state)
{
    struct gd_spool *s;

    (void)state;
    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    assert_int_equal(group(s, "open", GD_STORE_UNCERTAIN), 0);
    assert_int_equal(gd_spool_clear(s, NULL), 0);
    assert_true(gd_spool_size(s) > 0);
    assert_int_equal(group(s, "open", GD_STORE_OK), 0);
    assert_int_equal(gd_spool_size(s), 0);
    gd_spool_free(s);
}

/* ---- kept, where the store may lose what it acknowledged ---- */

struct asked {
    const char *stored; /* the record that the store has; all others are lost */
    char seen[4096];
};

static enum gd_spool_there is_there(void *arg, const void *p, size_t n)
{
    const struct asked *a = arg;

    if (n == 1 && *(const char *)p == '?')
        return GD_SPOOL_UNSAID;
    return a->stored && n == strlen(a->stored) && !memcmp(p, a->stored, n) ? GD_SPOOL_STORED : GD_SPOOL_LOST;
}

static void add_seen(void *arg, const void *p, size_t n)
{
    add(((struct asked *)arg)->seen, p, n);
}

static void lost(struct gd_spool *s, const char *stored, const char *want)
{
    struct asked a = { .stored = stored };

    gd_spool_lost(s, is_there, add_seen, &a);
    assert_string_equal(a.seen, want);
}

static struct gd_spool *keeping(int64_t ms, int64_t max)
{
    struct gd_spool *s;

    assert_int_equal(gd_spool_open(&s, k.spool, NULL), 0);
    gd_spool_keep(s, ms, max);
    return s;
}

static void put_kept(struct gd_spool *s, const char *records)
{
    assert_int_equal(group(s, records, GD_STORE_OK), 0);
    assert_int_equal(gd_spool_clear(s, NULL), 0);
}

static void test_kept_when_cleared(void **state)
{
    struct gd_spool *s = keeping(60000, 1 << 20);

    (void)state;
    lost(s, NULL, "");
    put_kept(s, "a,b,?");
    put_kept(s, "c,?,d");
    gd_spool_free(s);
    holds("");
    s = keeping(60000, 1 << 20);
    lost(s, "d", "");
    lost(s, "c", "?,d");
    lost(s, "a", "b,?,c,?,d");
    lost(s, NULL, "a,b,?,c,?,d");
    put_kept(s, "?");
    lost(s, "d", ""); /* nothing says that anything is lost */
    gd_spool_free(s);
    s = keeping(0, 0); /* another store */
    lost(s, NULL, "");
    gd_spool_free(s);
    s = keeping(60000, 1 << 20);
    lost(s, NULL, "");
    gd_spool_free(s);
}

static struct timespec stands; /* in front of the C library's: while it is set it is the time */

__attribute__((visibility("default"))) int clock_gettime(clockid_t which, struct timespec *ret)
{
    if (which != CLOCK_BOOTTIME || !stands.tv_sec)
        return (int)syscall(SYS_clock_gettime, which, ret);
    *ret = stands;
    return 0;
}

static void test_kept_in_turn(void **state)
{
    struct gd_spool *s;
    char *big = gd_new(GD_SPOOL_RECORD_MAX + 1);

    (void)state;
    stands.tv_sec = 1000;
    s = keeping(30000, 1 << 20);
    put_kept(s, "a");
    stands.tv_sec += 29;
    put_kept(s, "b");
    stands.tv_sec++;
    put_kept(s, "c");
    lost(s, NULL, "a,b,c");
    stands.tv_sec += 30;
    put_kept(s, "d");
    lost(s, NULL, "c,d");
    stands.tv_sec = 0;
    gd_spool_free(s);
    s = keeping(60000, 3 * GD_SPOOL_RECORD_MAX); /* each takes two of them, or anything small */
    memset(big, 'x', GD_SPOOL_RECORD_MAX);
    for (int i = 0; i < 20; i++)
        put_kept(s, big);
    put_kept(s, "e");
    lost(s, big, "e");
    gd_spool_free(s);
    gd_free(big);
}

static void test_kept_is_forgotten(void **state)
{
    struct gd_spool *s = keeping(60000, 1 << 20);

    (void)state;
    put_kept(s, "a");
    assert_int_equal(group(s, "open", GD_STORE_FAILED), 0);
    assert_int_equal(group(s, "b", GD_STORE_OK), 0);
    assert_int_equal(gd_spool_forget(s, NULL), 0);
    lost(s, NULL, "");
    assert_int_equal(group(s, "open", GD_STORE_OK), 0); /* now the rest can go */
    assert_int_equal(gd_spool_size(s), 0);
    lost(s, NULL, "");
    put_kept(s, "c");
    lost(s, NULL, "c");
    gd_spool_free(s);
}

static void test_kept_and_damaged(void **state)
{
    GD_AUTO_FREE char *kept = gd_strf("%s.kept", k.spool);
    struct gd_spool *s = keeping(60000, 1 << 20);
    int fd;

    (void)state;
    put_kept(s, "a");
    put_kept(s, "bb,cc");
    fd = open(kept, O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, AT_BB + 3), 1);
    close(fd);
    lost(s, NULL, "a,cc");
    assert_int_equal(truncate(kept, AT_CC + HEAD), 0);
    put_kept(s, "d");
    lost(s, NULL, "a,d");
    unlink(kept);
    assert_int_equal(mkdir(kept, 0700), 0); /* cannot be kept: the spool is emptied all the same */
    put_kept(s, "e");
    assert_int_equal(gd_spool_size(s), 0);
    lost(s, NULL, "");
    gd_spool_free(s);
    rmdir(kept);
}

static void test_link_in_its_place(void **state)
{
    struct gd_err err = { 0 };
    struct gd_spool *s;

    (void)state;
    assert_int_equal(symlink("/dev/null", k.spool), 0);
    assert_int_equal(gd_spool_open(&s, k.spool, &err), -1);
    assert_int_equal(err.reason, GD_R_STORE_FAILED);
    unlink(k.spool);
    assert_int_equal(mkdir(k.spool, 0700), 0);
    assert_int_equal(gd_spool_open(&s, k.spool, &err), -1);
}

static void test_through_the_store(void **state)
{
    char *got;

    (void)state;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_commit(&k, kit_put(&k, "a", 1, "rec-a"), NULL), GD_STORE_OK);
    assert_int_equal(kit_commit(&k, kit_put(&k, "b", 1, NULL), NULL), GD_STORE_OK);
    assert_int_equal(kit_commit(&k, kit_put(&k, "c", 1, "rec-c"), NULL), GD_STORE_OK);
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    got = kit_replay(&k);
    assert_string_equal(got, "rec-a,rec-c");
    gd_free(got);
    assert_int_equal(gd_store_spool_clear(k.s, NULL), 0);
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    got = kit_replay(&k);
    assert_string_equal(got, "");
    gd_free(got);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_crc),
        T(test_whole),
        T(test_torn_anywhere),
        T(test_goes_on_behind_a_torn_end),
        T(test_last_record_flipped),
        T(test_torn_inside_the_last_group),
        T(test_corrupt_middle),
        T(test_corrupt_spool_stops_the_store),
        T(test_garbage),
        T(test_clear),
        T(test_emptied_when_long),
        T(test_kept_while_one_is_open),
        T(test_tried_again),
        T(test_old_records_wait_for_clear),
        T(test_clear_waits_for_open_ones),
        T(test_kept_when_cleared),
        T(test_kept_in_turn),
        T(test_kept_is_forgotten),
        T(test_kept_and_damaged),
        T(test_link_in_its_place),
        T(test_through_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
