/* Lines are whole, valid, bounded and never carry a secret. */
#include "log/log.h"

#include "base/json.h"
#include "base/mem.h"
#include "log/siphash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ALICE "2015-10-21T07:28:00.123Z"

struct fix {
    int fd;
    struct gd_clock_virtual clock;
    struct gd_log *log;
    char *text; /* what was written */
};

static int setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);
    unsigned char key[32] = { 1, 2, 3 };

    f->fd = memfd_create("log", 0);
    gd_clock_virtual_init(&f->clock, 1445412480123);
    f->log = gd_log_new(f->fd, GD_LOG_INFO, &f->clock.clock, key);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    gd_log_free(f->log);
    close(f->fd);
    gd_free(f->text);
    gd_free(f);
    return 0;
}

static const char *written(struct fix *f)
{
    off_t n = lseek(f->fd, 0, SEEK_END);

    gd_free(f->text);
    f->text = gd_new((size_t)n + 1);
    assert_int_equal(pread(f->fd, f->text, (size_t)n, 0), n);
    return f->text;
}

/* The only line written so far, parsed by the strict door; the file is emptied. */
static json_t *one_line(struct fix *f)
{
    const char *s = written(f);
    size_t n = strlen(s);
    json_t *j;

    assert_true(n > 1 && n <= GD_LOG_LINE_MAX);
    assert_ptr_equal(strchr(s, '\n'), s + n - 1);
    j = gd_json_parse(s, n, GD_LOG_LINE_MAX, NULL);
    assert_non_null(j);
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(lseek(f->fd, 0, SEEK_SET), 0);
    return j;
}

/* The authors' own vectors: key 00..0f, input of n bytes 00, 01, 02 ... (SipHash paper, appendix A, and
 * vectors_sip64 of the reference implementation). */
static void siphash_vectors(void **state)
{
    static const struct {
        size_t n;
        uint64_t want;
    } v[] = { { 0, 0x726fdb47dd0e0e31u },  { 1, 0x74f839c593dc67fdu }, { 2, 0x0d6c8009d9a94f5au },
              { 7, 0xab0200f58b01d137u },  { 8, 0x93f5f5799a932462u }, { 15, 0xa129ca6149be45e5u },
              { 16, 0x3f2acc7f57c29bdbu }, { 63, 0x958a324ceb064572u } };
    unsigned char key[16], in[64];

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        in[i] = (unsigned char)i;
    memcpy(key, in, 16);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        assert_int_equal(gd_log_siphash(key, in, v[i].n), v[i].want);
}

static void a_line_has_time_level_event_and_fields(void **state)
{
    struct fix *f = *state;

    GD_LOG(f->log, GD_LOG_WARN, "refresh.done", GD_F_STR("credential", "cr01"), GD_F_INT("gen", 7),
           GD_F_BOOL("late", true), GD_F_STR("none", NULL), GD_F_INT("min", INT64_MIN));
    assert_string_equal(written(f), "{\"time\":\"" ALICE "\",\"level\":\"warn\",\"event\":\"refresh.done\","
                                    "\"credential\":\"cr01\",\"gen\":7,\"late\":true,\"none\":null,"
                                    "\"min\":-9223372036854775808}\n");
}

static void a_line_without_fields(void **state)
{
    struct fix *f = *state;

    GD_LOG(f->log, GD_LOG_INFO, "ready");
    assert_string_equal(written(f), "{\"time\":\"" ALICE "\",\"level\":\"info\",\"event\":\"ready\"}\n");
}

static void levels_drop_and_can_be_changed(void **state)
{
    struct fix *f = *state;
    struct gd_log *child = gd_log_child(f->log, "room", "grant");

    GD_LOG(f->log, GD_LOG_DEBUG, "hidden");
    assert_string_equal(written(f), "");
    assert_false(gd_log_wants(f->log, GD_LOG_DEBUG));
    gd_log_set_level(child, GD_LOG_ERROR); /* one level for the whole tree */
    GD_LOG(f->log, GD_LOG_WARN, "hidden");
    assert_string_equal(written(f), "");
    GD_LOG(child, GD_LOG_ERROR, "shown");
    assert_non_null(strstr(written(f), "\"shown\",\"room\":\"grant\"}"));
    gd_log_free(child);
}

static void level_words(void **state)
{
    enum gd_log_level l = GD_LOG_WARN;

    (void)state;
    assert_true(gd_log_level_parse("debug", &l) && l == GD_LOG_DEBUG);
    assert_true(gd_log_level_parse("error", &l) && l == GD_LOG_ERROR);
    assert_false(gd_log_level_parse("ERROR", &l));
    assert_false(gd_log_level_parse("", &l));
    assert_int_equal(l, GD_LOG_ERROR);
}

static void a_null_log_takes_everything(void **state)
{
    (void)state;
    GD_LOG((struct gd_log *)NULL, GD_LOG_ERROR, "nowhere", GD_F_INT("n", 1));
    assert_null(gd_log_child(NULL, "a", "b"));
    assert_false(gd_log_wants(NULL, GD_LOG_ERROR));
    gd_log_free(NULL);
}

static void children_inherit_and_copy(void **state)
{
    struct fix *f = *state;
    char key[] = "credential", value[] = "cr\"01";
    struct gd_log *a = gd_log_child(f->log, key, value), *b = gd_log_child(a, "attempt", "at02");
    GD_AUTO_JSON j = NULL;

    memset(key, 'x', sizeof key - 1);
    memset(value, 'x', sizeof value - 1);
    GD_LOG(b, GD_LOG_INFO, "e", GD_F_STR("more", "m"));
    j = one_line(f);
    assert_string_equal(gd_json_text(j, "credential", ""), "cr\"01");
    assert_string_equal(gd_json_text(j, "attempt", ""), "at02");
    assert_string_equal(gd_json_text(j, "more", ""), "m");
    gd_log_free(b);
    gd_log_free(a);
}

static void a_key_that_is_there_already_is_not_written_twice(void **state)
{
    struct fix *f = *state;
    struct gd_log *a = gd_log_child(f->log, "credential", "cr01");
    GD_AUTO_JSON j = NULL;

    GD_LOG(a, GD_LOG_INFO, "e", GD_F_STR("credential", "cr02"), GD_F_STR("event", "x"), GD_F_INT("n", 1),
           GD_F_INT("n", 2));
    j = one_line(f);
    assert_string_equal(gd_json_text(j, "credential", ""), "cr01");
    assert_string_equal(gd_json_text(j, "event", ""), "e");
    assert_int_equal(gd_json_i64(j, "n", 0), 1);
    gd_log_free(a);
}

static void control_characters_stay_inside_the_line(void **state)
{
    struct fix *f = *state;
    char value[260], clean[] = "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91";
    GD_AUTO_JSON j = NULL;

    for (int i = 1; i < 256; i++)
        value[i - 1] = (char)i;
    value[255] = '\0';
    GD_LOG(f->log, GD_LOG_INFO, "a\nb", GD_F_STR("all", value),
           GD_F_STR("csi", "\xc2\x9b"
                           "31m"),
           GD_F_STR("clean", clean));
    for (const char *s = written(f); *s && s[1]; s++)
        assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
    assert_null(strstr(written(f), "\xc2\x9b"));
    j = one_line(f);
    assert_string_equal(gd_json_text(j, "event", ""), "a\nb");
    assert_memory_equal(gd_json_text(j, "all", ""), value, 127);
    assert_string_equal(gd_json_text(j, "csi", ""), "\xc2\x9b"
                                                    "31m");
    assert_string_equal(gd_json_text(j, "clean", ""), clean);
}

static void long_values_are_cut_and_the_rest_is_there(void **state)
{
    struct fix *f = *state;
    char *big = gd_new(100001);
    GD_AUTO_JSON j = NULL;

    memset(big, 'a', 100000);
    GD_LOG(f->log, GD_LOG_INFO, "e", GD_F_STR("big", big), GD_F_INT("after", 5));
    j = one_line(f);
    assert_int_equal(strlen(gd_json_text(j, "big", "")), 1024);
    assert_int_equal(gd_json_i64(j, "after", 0), 5);
    assert_true(gd_json_bool(j, "truncated", false));
    gd_free(big);
}

/* Whatever number of fields of whatever length and content: one valid line within the maximum. */
static void every_line_is_valid_and_bounded(void **state)
{
    static const char *const parts[] = {
        "a", "\"", "\\", "\n", "\xc3\xa9", "\xf0\x9f\x94\x91", "\xff", "\x1b"
    };
    struct fix *f = *state;
    char *v = gd_new(8001);

    for (size_t n = 0; n < 1200; n += 13) {
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            size_t k = strlen(parts[p]);

            for (size_t i = 0; i < n; i++)
                memcpy(v + i * k, parts[p], k);
            v[n * k] = '\0';
            GD_LOG(f->log, GD_LOG_INFO, "e", GD_F_STR("k1", v), GD_F_STR("k2", v), GD_F_STR("k3", v),
                   GD_F_STR("k4", v), GD_F_STR("k5", v), GD_F_INT("k6", -1), GD_F_STR("k7", "x"));
            json_decref(one_line(f));
        }
    }
    gd_free(v);
}

static void secrets_are_a_keyed_hash(void **state)
{
    struct fix *f = *state;
    struct gd_secret s = { 0 }, none = { 0 };
    unsigned char other[32] = { 9 };
    struct gd_log *second = gd_log_new(f->fd, GD_LOG_INFO, &f->clock.clock, other);
    char first[16];
    GD_AUTO_JSON a = NULL;
    GD_AUTO_JSON b = NULL;

    gd_secret_set(&s, "rt-CANARY-123", 13);
    GD_LOG(f->log, GD_LOG_INFO, "e", GD_F_SECRET("rt", &s), GD_F_SECRET("again", &s),
           GD_F_SECRET("none", &none));
    assert_null(strstr(written(f), "CANARY"));
    a = one_line(f);
    assert_int_equal(strlen(gd_json_text(a, "rt", "")), 9);
    assert_int_equal(strspn(gd_json_text(a, "rt", "") + 1, "0123456789abcdef"), 8);
    assert_string_equal(gd_json_text(a, "rt", ""), gd_json_text(a, "again", "x"));
    assert_true(json_is_null(json_object_get(a, "none")));
    (void)snprintf(first, sizeof first, "%s", gd_json_text(a, "rt", ""));
    GD_LOG(second, GD_LOG_INFO, "e", GD_F_SECRET("rt", &s));
    b = one_line(f);
    assert_string_not_equal(first, gd_json_text(b, "rt", ""));
    gd_log_free(second);
    gd_secret_done(&s);
}

static void an_error_is_reason_and_sentence(void **state)
{
    struct fix *f = *state;
    struct gd_err err;
    GD_AUTO_JSON j = NULL;

    gd_err_set(&err, GD_R_NOT_FOUND, "no client %s", "cl1");
    GD_LOG(f->log, GD_LOG_INFO, "e", GD_F_ERR(&err), GD_F_INT("n", 1));
    j = one_line(f);
    assert_string_equal(gd_json_text(j, "reason", ""), "NOT_FOUND");
    assert_string_equal(gd_json_text(j, "error", ""), "no client cl1");
    GD_LOG(f->log, GD_LOG_INFO, "e", GD_F_ERR(NULL), GD_F_INT("n", 1));
    assert_null(strstr(written(f), "reason"));
}

static void lines_that_were_lost_are_counted(void **state)
{
    struct fix *f = *state;
    unsigned char key[32] = { 0 };
    int pipe_fd[2], lost = 0;
    struct gd_log *log;
    char part[65536];
    ssize_t n;

    (void)f;
    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK), 0);
    (void)fcntl(pipe_fd[1], F_SETPIPE_SZ, 4096);
    log = gd_log_new(pipe_fd[1], GD_LOG_INFO, &f->clock.clock, key);
    memset(part, 'a', 1000);
    part[1000] = '\0';
    errno = ENOTTY;
    for (int i = 0; i < 20; i++)
        GD_LOG(log, GD_LOG_INFO, "fill", GD_F_STR("part", part));
    assert_int_equal(errno, ENOTTY);
    for (n = read(pipe_fd[0], part, sizeof part); n > 0; n = read(pipe_fd[0], part, sizeof part))
        for (ssize_t i = 0; i < n; i++)
            lost += part[i] == '\n';
    lost = 20 - lost;
    assert_true(lost > 0 && lost < 20);
    GD_LOG(log, GD_LOG_INFO, "after");
    n = read(pipe_fd[0], part, sizeof part - 1);
    assert_true(n > 0);
    part[n] = '\0';
    assert_int_equal(strtol(strstr(part, "\"dropped\":") + 10, NULL, 10), lost);
    gd_log_free(log);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void *write_many(void *arg)
{
    struct fix *f = arg;

    for (int i = 0; i < 2000; i++)
        GD_LOG(f->log, GD_LOG_INFO, "thread", GD_F_INT("i", i),
               GD_F_STR("text", "a value long enough for torn lines to show, were there any at all"));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    struct fix *f = *state;
    pthread_t t[4];
    int lines = 0;

    assert_int_equal(fcntl(f->fd, F_SETFL, O_APPEND), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_many, f), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    for (const char *s = written(f), *end; *s; s = end + 1, lines++) {
        GD_AUTO_JSON j = NULL;

        end = strchr(s, '\n');
        assert_non_null(end);
        j = gd_json_parse(s, (size_t)(end - s), GD_LOG_LINE_MAX, NULL);
        assert_non_null(j);
    }
    assert_int_equal(lines, 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_vectors),
        cmocka_unit_test_setup_teardown(a_line_has_time_level_event_and_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_without_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_drop_and_can_be_changed, setup, teardown),
        cmocka_unit_test(level_words),
        cmocka_unit_test(a_null_log_takes_everything),
        cmocka_unit_test_setup_teardown(children_inherit_and_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_that_is_there_already_is_not_written_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(control_characters_stay_inside_the_line, setup, teardown),
        cmocka_unit_test_setup_teardown(long_values_are_cut_and_the_rest_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(every_line_is_valid_and_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_are_a_keyed_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_is_reason_and_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_that_were_lost_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_of_threads_do_not_mix, setup, teardown),
    };

    gd_json_setup();
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
