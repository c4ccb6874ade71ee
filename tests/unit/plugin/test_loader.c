/* The loader: every way in which a file or its place can be wrong has its own word, and stops nobody else. */
#include "kit.h"
#include "plugin/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *zoo; /* argv: where the bad plugins were built */

struct fix {
    char *dir;
    struct gd_platforms ps;
    struct gd_err err;
};

static char *in(const struct fix *f, const char *name)
{
    return gd_strf("%s/%s", f->dir, name);
}

static void bring(const struct fix *f, const char *plugin, const char *as)
{
    GD_AUTO_FREE char *from = gd_strf("%s/%s.so", zoo, plugin), *to = in(f, as);

    kit_copy(from, to, 0644);
}

static int setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);

    f->dir = kit_folder("/tmp");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    gd_platforms_free(&f->ps);
    kit_remove(f->dir);
    gd_free(f->dir);
    gd_free(f);
    return 0;
}

static int load(struct fix *f)
{
    return gd_platforms_load(&f->ps, f->dir, NULL, false, NULL, &f->err);
}

/* The one file that was refused. */
static void assert_one_refused(struct fix *f, const char *word)
{
    assert_int_equal(load(f), 0);
    assert_int_equal(f->ps.nrefused, 1);
    assert_refused(-1, f->ps.refused[0].err, word);
    assert_int_equal(f->ps.count, 1); /* good.so, whatever stood beside it */
    assert_string_equal(f->ps.list[0]->p.name, "good");
}

/* ---- what is in the file
 * ----------------------------------------------------------------------------------- */

static const struct {
    const char *name, *word;
} animals[] = {
#define ZOO(name, word) { #name, #word },
#include "zoo.inc"
};
#define NANIMALS (sizeof animals / sizeof *animals)

static const char *word_of(const char *name)
{
    for (size_t i = 0; i < NANIMALS; i++)
        if (!strcmp(animals[i].name, name))
            return animals[i].word;
    return NULL;
}

static void each_bad_plugin_has_its_word(void **state)
{
    struct fix *f = *state;

    for (size_t i = 0; i < NANIMALS; i++) {
        GD_AUTO_FREE char *file = gd_strf("%s.so", animals[i].name), *path = in(f, file);
        struct gd_platform *p = NULL;

        bring(f, animals[i].name, file);
        if (gd_platform_load(&p, path, false, &f->err) == 0)
            fail_msg("%s was loaded", file);
        if (strcmp(gd_reason_word(f->err.reason), animals[i].word) != 0)
            fail_msg("%s: %s (%s), expected %s", file, gd_reason_word(f->err.reason), f->err.text,
                     animals[i].word);
        assert_null(p);
        assert_true(strlen(f->err.text) > 8);
    }
}

static void none_of_them_stops_the_good_one(void **state)
{
    struct fix *f = *state;
    DIR *d = opendir(zoo);
    size_t files = 0;

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        GD_AUTO_FREE char *name = gd_strdup(e->d_name);
        char *dot = strstr(name, ".so");

        if (!dot)
            continue;
        *dot = '\0';
        if (!strcmp(name, "evil"))
            continue;
        if (!word_of(name) && strcmp(name, "good") && strcmp(name, "globals") && strcmp(name, "described"))
            fail_msg("%s is not in zoo.inc", name);
        bring(f, name, e->d_name);
        files++;
    }
    (void)closedir(d);
    assert_int_equal(load(f), 0);
    assert_int_equal(f->ps.nrefused, NANIMALS);
    assert_int_equal(f->ps.count, files - NANIMALS);
    assert_non_null(gd_platforms_find(&f->ps, "good"));
    for (size_t i = 0; i < f->ps.nrefused; i++) {
        GD_AUTO_FREE char *name = gd_strdup(strrchr(f->ps.refused[i].path, '/') + 1);

        name[strlen(name) - 3] = '\0';
        assert_string_equal(gd_reason_word(f->ps.refused[i].err.reason), word_of(name));
    }
}

static void what_is_no_shared_object(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *text = in(f, "text.so"), *good = gd_strf("%s/good.so", zoo), *cut = in(f, "cut.so");

    bring(f, "good", "good.so");
    kit_write(text, "#!/bin/sh\n");
    kit_copy(good, cut, 0644);
    assert_int_equal(truncate(cut, 200), 0);
    assert_int_equal(load(f), 0);
    assert_int_equal(f->ps.nrefused, 2);
    assert_refused(-1, f->ps.refused[0].err, "PLATFORM_LOAD");
    assert_refused(-1, f->ps.refused[1].err, "PLATFORM_LOAD");
    assert_int_equal(f->ps.count, 1);
}

static void a_name_that_is_none(void **state)
{
    struct fix *f = *state;

    bring(f, "good", "good.so");
    bring(f, "good", "Good Platform.so");
    assert_one_refused(f, "PLATFORM_NAME");
}

static void two_of_one_name(void **state)
{
    struct fix *f = *state;

    bring(f, "good", "good.so");
    assert_int_equal(load(f), 0);
    assert_one_refused(f, "PLATFORM_DUPLICATE");
}

static void more_than_one_daemon_loads(void **state)
{
    struct fix *f = *state;
    struct gd_platform many[GD_PLATFORMS_MAX + 1] = { 0 };
    char names[GD_PLATFORMS_MAX + 1][8];

    for (int i = 0; i <= GD_PLATFORMS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "p%d", i);
        many[i].p.name = names[i];
    }
    for (int i = 0; i < GD_PLATFORMS_MAX; i++)
        assert_int_equal(gd_platforms_add(&f->ps, &many[i], &f->err), 0);
    assert_refused(gd_platforms_add(&f->ps, &many[GD_PLATFORMS_MAX], &f->err), f->err, "PLATFORM_TOO_MANY");
    assert_int_equal(f->ps.count, GD_PLATFORMS_MAX);
    assert_null(gd_platforms_find(&f->ps, names[GD_PLATFORMS_MAX]));
    f->ps.count = 0; /* they are ours */
}

static void a_table_of_an_older_header_is_filled_up(void **state)
{
    struct fix *f = *state;
    struct gd_platform p = { 0 };
    GD_AUTO_FREE char *path = in(f, "good.so");
    struct gd_platform *good = NULL;
    struct grantd_platform old;

    bring(f, "good", "good.so");
    assert_int_equal(gd_platform_load(&good, path, false, &f->err), 0);
    old = good->p;
    old.verify = old.grant; /* lies beyond the size that it says */
    old.size = offsetof(struct grantd_platform, verify);
    assert_int_equal(gd_platform_check(&p, &old, "good", &f->err), 0);
    assert_null(p.p.verify);
    old = good->p;
    old.size = offsetof(struct grantd_platform, mode_roles); /* 1.0: each mode has all roles */
    assert_int_equal(gd_platform_check(&p, &old, "good", &f->err), 0);
    assert_string_equal(gd_platform_role(&p, "token", NULL)->name, "reader");
    old.size = offsetof(struct grantd_platform, verify) - 1;
    assert_refused(gd_platform_check(&p, &old, "good", &f->err), f->err, "PLATFORM_SIZE");
    gd_platform_free(good);
}

static void all_that_is_known_can_be_shown(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON j = NULL;

    bring(f, "good", "good.so");
    assert_int_equal(load(f), 0);
    j = gd_platform_json(f->ps.list[0]);
    assert_string_equal(gd_json_text(j, "name", ""), "good");
    assert_string_equal(gd_json_text(j, "shape", ""), "seat");
    assert_string_equal(gd_json_text(j, "path", ""), f->ps.list[0]->path);
    assert_true(json_is_array(json_object_get(j, "options")));
}

/* What is asked for: "" none, "-" the mode has no such role. */
static void assert_role(const struct gd_platform *p, const char *mode, const char *named, const char *asked)
{
    const struct grantd_role *r = gd_platform_role(p, mode, named);

    if (!r != !*asked || (r && strcmp(r->name, asked) != 0))
        fail_msg("mode %s, role %s: %s, expected %s", mode ? mode : "-", named ? named : "-",
                 r ? r->name : "none", *asked ? asked : "none");
}

static void a_mode_has_its_roles_and_a_default(void **state)
{
    struct fix *f = *state;
    const struct gd_platform *p;
    GD_AUTO_JSON j = NULL;
    GD_AUTO_FREE char *text = NULL;

    bring(f, "good", "good.so");
    assert_int_equal(load(f), 0);
    p = f->ps.list[0];
    assert_role(p, NULL, NULL, "reader");
    assert_role(p, "share", NULL, "reader");
    assert_role(p, "share", "writer", "writer");
    assert_role(p, "seat", NULL, "owner");
    assert_role(p, "seat", "reader", "reader");
    assert_role(p, "seat", "writer", "");
    assert_role(p, "share", "emperor", "");
    assert_role(p, "token", NULL, "");
    assert_role(p, "token", "reader", "");
    assert_role(p, GRANTD_MODE_HUB, NULL, "");
    j = gd_platform_json(p);
    text = gd_json_dump(json_object_get(j, "roles"));
    assert_string_equal(
        text, "[{\"default\":true,\"default_in\":[\"share\"],\"may\":\"see\",\"may_not\":\"change\","
              "\"modes\":[\"share\",\"seat\"],\"name\":\"reader\",\"title\":\"Reader\"},"
              "{\"default\":false,\"default_in\":[],\"may\":\"change\",\"may_not\":\"pay\","
              "\"modes\":[\"share\"],\"name\":\"writer\",\"title\":\"Writer\"},"
              "{\"default\":true,\"default_in\":[\"seat\"],\"may\":\"do all\",\"may_not\":\"leave\","
              "\"modes\":[\"share\",\"seat\"],\"name\":\"owner\",\"title\":\"Owner\"}]");
}

static void put_provider(const struct fix *f, const char *path, const char *text)
{
    GD_AUTO_FREE char *full = in(f, path);

    kit_write(full, text);
}

/* From beside the platform, then from the operator's folder; a wrong one stops neither the others nor the
 * platform. */
static void providers_come_from_two_folders(void **state)
{
    static const char *const folders[] = { "described", "described/providers", "extra" };
    struct fix *f = *state;
    GD_AUTO_FREE char *extra = in(f, "extra");
    struct gd_platform *p;

    for (size_t i = 0; i < 3; i++) {
        GD_AUTO_FREE char *path = in(f, folders[i]);

        assert_int_equal(mkdir(path, 0755), 0);
    }
    bring(f, "described", "described.so");
    put_provider(f, "described/providers/one.json", "{\"id\":\"one\",\"title\":\"One\"}");
    put_provider(f, "described/providers/bad.json", "{\"id\":\"bad\",\"ttle\":\"Bad\"}");
    put_provider(f, "described/providers/notes.txt", "not a description");
    put_provider(f, "extra/one.json", "{\"id\":\"one\"}");
    put_provider(f, "extra/two.json", "{\"id\":\"two\"}");
    assert_int_equal(gd_platforms_load(&f->ps, f->dir, extra, false, NULL, &f->err), 0);
    p = gd_platforms_find(&f->ps, "described");
    assert_non_null(p);
    assert_int_equal(p->providers.count, 2);
    assert_string_equal(gd_json_text(gd_map_get(&p->providers, "one"), "title", ""), "One");
    assert_non_null(gd_map_get(&p->providers, "two"));
    assert_int_equal(f->ps.nrefused, 2);
    assert_refused(-1, f->ps.refused[0].err, "DESCRIPTION_INVALID");
    assert_non_null(strstr(f->ps.refused[0].err.text, "bad.json: /ttle: "));
    assert_refused(-1, f->ps.refused[1].err, "DESCRIPTION_INVALID");
    assert_non_null(
        strstr(f->ps.refused[1].err.text, "extra/one.json: /id: there is a description one already"));
}

/* ---- where the file is
 * ------------------------------------------------------------------------------------- */

static void a_symbolic_link(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *link = in(f, "evil.so"), *target = gd_strf("%s/evil.so", zoo);

    bring(f, "good", "good.so");
    assert_int_equal(symlink(target, link), 0);
    assert_one_refused(f, "PLATFORM_SYMLINK");
    assert_null(getenv("GRANTD_EVIL_WAS_HERE"));
}

static void a_hard_link(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *one = in(f, "evil.so"), *two = in(f, "evil.other");

    bring(f, "good", "good.so");
    bring(f, "evil", "evil.so");
    assert_int_equal(link(one, two), 0);
    assert_one_refused(f, "PLATFORM_HARD_LINK");
    assert_null(getenv("GRANTD_EVIL_WAS_HERE"));
}

static void a_fifo_and_a_folder(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *fifo = in(f, "fifo.so"), *folder = in(f, "folder.so");

    bring(f, "good", "good.so");
    assert_int_equal(mkfifo(fifo, 0644), 0);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(load(f), 0);
    assert_int_equal(f->ps.nrefused, 2);
    assert_refused(-1, f->ps.refused[0].err, "PLATFORM_NOT_FILE");
    assert_refused(-1, f->ps.refused[1].err, "PLATFORM_NOT_FILE");
    assert_int_equal(f->ps.count, 1);
}

static void a_file_that_others_may_write(void **state)
{
    static const unsigned modes[] = { 0664, 0646, 0666, 04644, 02644 };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        GD_AUTO_FREE char *path = in(f, "evil.so");
        struct gd_platform *p;

        bring(f, "evil", "evil.so");
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_refused(gd_platform_load(&p, path, false, &f->err), f->err, "PLATFORM_MODE");
    }
    assert_null(getenv("GRANTD_EVIL_WAS_HERE"));
}

static void a_file_of_another_owner(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *path = in(f, "evil.so");
    int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    bring(f, "evil", "evil.so");
    if (geteuid() == 0)
        assert_int_equal(chown(path, 65534, 65534), 0);
    assert_refused(gd_plugin_open_file(dir, "evil.so", true, &f->err), f->err, "PLATFORM_OWNER");
    (void)close(dir);
}

static void a_file_that_is_not_there(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *path = in(f, "nobody.so");
    int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct gd_platform *p;

    assert_refused(gd_platform_load(&p, path, false, &f->err), f->err, "PLATFORM_FILE_MISSING");
    assert_refused(gd_plugin_open_file(dir, "../x.so", false, &f->err), f->err, "PLATFORM_NOT_FILE");
    assert_refused(gd_plugin_open_file(dir, "..", false, &f->err), f->err, "PLATFORM_NOT_FILE");
    (void)close(dir);
}

/* ---- the folder
 * -------------------------------------------------------------------------------------------- */

static void assert_dir(struct fix *f, const char *path, bool check_owner, const char *word)
{
    assert_refused(gd_platforms_load(&f->ps, path, NULL, check_owner, NULL, &f->err), f->err, word);
    assert_int_equal(f->ps.count, 0);
}

static void a_folder_that_is_not_there(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *none = in(f, "none"), *file = in(f, "file"), *below = in(f, "file/below");

    kit_write(file, "");
    assert_dir(f, none, false, "PLATFORM_DIR_MISSING");
    assert_dir(f, file, false, "PLATFORM_DIR_MISSING");
    assert_dir(f, below, false, "PLATFORM_DIR_MISSING");
}

static void a_folder_that_others_may_write(void **state)
{
    struct fix *f = *state;

    bring(f, "good", "good.so");
    assert_int_equal(chmod(f->dir, 0775), 0);
    assert_dir(f, f->dir, false, "PLATFORM_DIR_UNSAFE");
    assert_int_equal(chmod(f->dir, 0757), 0);
    assert_dir(f, f->dir, false, "PLATFORM_DIR_UNSAFE");
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(load(f), 0);
}

static void a_parent_that_others_may_write(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *mid = in(f, "mid"), *low = in(f, "mid/low");

    assert_int_equal(mkdir(mid, 0755), 0);
    assert_int_equal(mkdir(low, 0755), 0);
    assert_int_equal(chmod(mid, 0777), 0);
    assert_dir(f, low, false, "PLATFORM_DIR_UNSAFE");
    assert_int_equal(chmod(mid, 0755), 0);
    assert_int_equal(gd_platforms_load(&f->ps, low, NULL, false, NULL, &f->err), 0);
}

/* Sticky or not: where owners count, a parent that everybody may write is no place for code. */
static void a_sticky_parent(void **state)
{
    struct fix *f = *state;

    assert_dir(f, f->dir, true, "PLATFORM_DIR_UNSAFE"); /* below /tmp */
    assert_int_equal(load(f), 0);
}

static void links_and_dots_on_the_way(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *real = in(f, "real"), *link = in(f, "link"), *dots = in(f, "real/../real");
    GD_AUTO_FREE char *below = in(f, "link/low"), *low = in(f, "real/low");

    assert_int_equal(mkdir(real, 0755), 0);
    assert_int_equal(mkdir(low, 0755), 0);
    assert_int_equal(symlink(real, link), 0);
    assert_dir(f, link, false, "PLATFORM_DIR_UNSAFE");
    assert_dir(f, below, false, "PLATFORM_DIR_UNSAFE");
    assert_dir(f, dots, false, "PLATFORM_DIR_UNSAFE");
    assert_int_equal(gd_platforms_load(&f->ps, low, NULL, false, NULL, &f->err), 0);
}

/* What the system installed itself is good enough under the strict rule; root may show it with a whole load.
 */
static void what_belongs_to_root_is_taken(void **state)
{
    struct fix *f = *state;
    int dir = gd_plugin_open_dir("/usr/bin", true, &f->err), fd;

    assert_true(dir >= 0);
    fd = gd_plugin_open_file(dir, "env", true, &f->err);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)close(dir);
    if (geteuid() == 0) {
        GD_AUTO_FREE char *strict = kit_folder("/var/lib"), *from = gd_strf("%s/good.so", zoo);
        GD_AUTO_FREE char *to = gd_strf("%s/good.so", strict);
        int rc;

        kit_copy(from, to, 0644);
        rc = gd_platforms_load(&f->ps, strict, NULL, true, NULL, &f->err);
        kit_remove(strict);
        assert_int_equal(rc, 0);
        assert_int_equal(f->ps.count, 1);
    }
}

/* ---- the race
 * ---------------------------------------------------------------------------------------------- */

struct race {
    const char *good, *evil, *name;
    _Atomic bool over;
};

static void *swap(void *arg)
{
    struct race *r = arg;
    GD_AUTO_FREE char *next = gd_strf("%s.next", r->name);

    for (unsigned i = 0; !r->over; i++) {
        kit_copy(i & 1 ? r->evil : r->good, next, i & 1 ? 0666 : 0644);
        (void)rename(next, r->name);
    }
    return NULL;
}

/* Somebody exchanges the file between our look and our load, all the time: what was looked at is what is
 * loaded. */
static void the_file_is_exchanged_all_the_time(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *good = gd_strf("%s/good.so", zoo), *evil = gd_strf("%s/evil.so", zoo);
    GD_AUTO_FREE char *name = in(f, "good.so");
    struct race r = { good, evil, name, false };
    unsigned loaded = 0, refused = 0;
    pthread_t t;

    bring(f, "good", "good.so");
    assert_int_equal(pthread_create(&t, NULL, swap, &r), 0);
    for (unsigned i = 0; i < 10000 || !loaded || !refused; i++) {
        struct gd_platform *p = NULL;

        if (gd_platform_load(&p, name, false, &f->err) == 0)
            loaded++;
        else if (f->err.reason == GD_R_PLATFORM_MODE || f->err.reason == GD_R_PLATFORM_HARD_LINK)
            refused++; /* evil, or already without a name */
        else
            fail_msg("%s: %s", gd_reason_word(f->err.reason), f->err.text);
        gd_platform_free(p);
        if (i > 2000000)
            break;
    }
    r.over = true;
    (void)pthread_join(t, NULL);
    assert_true(loaded > 0 && refused > 0);
    assert_null(getenv("GRANTD_EVIL_WAS_HERE"));
}

/* The same test can fail: evil does what it does when it is let in. */
static void evil_would_have_been_seen(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *path = in(f, "evil.so");
    struct gd_platform *p = NULL;

    bring(f, "evil", "evil.so");
    assert_int_equal(gd_platform_load(&p, path, false, &f->err), 0);
    assert_non_null(getenv("GRANTD_EVIL_WAS_HERE"));
    gd_platform_free(p);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(each_bad_plugin_has_its_word),
        T(none_of_them_stops_the_good_one),
        T(what_is_no_shared_object),
        T(a_name_that_is_none),
        T(two_of_one_name),
        T(more_than_one_daemon_loads),
        T(a_table_of_an_older_header_is_filled_up),
        T(all_that_is_known_can_be_shown),
        T(a_mode_has_its_roles_and_a_default),
        T(providers_come_from_two_folders),
        T(a_symbolic_link),
        T(a_hard_link),
        T(a_fifo_and_a_folder),
        T(a_file_that_others_may_write),
        T(a_file_of_another_owner),
        T(a_file_that_is_not_there),
        T(a_folder_that_is_not_there),
        T(a_folder_that_others_may_write),
        T(a_parent_that_others_may_write),
        T(a_sticky_parent),
        T(links_and_dots_on_the_way),
        T(what_belongs_to_root_is_taken),
        T(the_file_is_exchanged_all_the_time),
        T(evil_would_have_been_seen),
    };

    if (argc < 2)
        return 2;
    zoo = argv[1];
    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
