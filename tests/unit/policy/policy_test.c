/* Nobody but the daemon's user and root may do anything that no rule allows (T35, T36). */
#include "policy/policy.h"

#include "base/mem.h"

#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct gd_policy *make(const char *rules)
{
    struct gd_err err = { 0 };
    GD_AUTO_JSON j = gd_json_parse(rules, strlen(rules), 65536, &err);
    struct gd_policy *p;

    assert_non_null(j);
    p = gd_policy_new(j, NULL, NULL, &err);
    if (!p)
        print_error("%s\n", err.text);
    assert_non_null(p);
    return p;
}

static struct gd_caller caller(uid_t uid, gid_t gid, gid_t group)
{
    return (
        struct gd_caller){ .uid = uid, .gid = gid, .pid = 1, .groups = { group }, .ngroups = group ? 1 : 0 };
}

static void no_rules_deny_all_but_root_and_self(void **state)
{
    struct gd_policy *empty = make("[]"), *none = gd_policy_new(NULL, NULL, NULL, NULL);
    struct gd_caller root = caller(0, 0, 0), self = caller(geteuid(), 12, 0),
                     other = caller(geteuid() + 4242, 0, 0);

    (void)state;
    assert_true(gd_policy_allows(empty, &root, "grant.token", "main", "cl1"));
    assert_true(gd_policy_allows(empty, &self, "grant.token", "main", "cl1"));
    assert_false(gd_policy_allows(empty, &other, "grant.token", "main", "cl1"));
    assert_false(gd_policy_allows(empty, &other, "daemon.status", NULL, NULL));
    assert_false(gd_policy_allows(none, &other, "daemon.status", NULL, NULL)); /* root's group is not root */
    gd_policy_free(empty);
    gd_policy_free(none);
    gd_policy_free(NULL);
}

/* All methods by all identities: only the cells listed pass. */
static void only_the_listed_cells_pass(void **state)
{
    static const char *const methods[] = { "daemon.status", "daemon.reload", "platform.list",  "app.get",
                                           "client.create", "client.list",   "request.create", "grant.list",
                                           "grant.token",   "grant.tokens",  "grant.revoke",   "grant",
                                           "granted.token", "audit.list",    "audit.verify",   "event.list",
                                           "key.rotate",    "store.backup" };
    static const struct {
        unsigned uid, gid, group;
        const char *allowed; /* with blanks around each */
    } who[] = {
        { 2001, 3001, 0, " grant.token " },
        { 2002, 3002, 0, " grant.list grant.token grant.tokens grant.revoke client.list " },
        { 2003, 3003, 0, " audit.list audit.verify " },    /* by its own group */
        { 2004, 3004, 3003, " audit.list audit.verify " }, /* by a supplementary one */
        { 2005, 3005, 0, "*" },
        { 3003, 2001, 0, "" }, /* ids of users are not those of groups */
    };
    struct gd_policy *p = make("[{\"user\":2001,\"methods\":[\"grant.token\"]},"
                               "{\"user\":\"2002\",\"methods\":[\"grant.*\",\"client.list\"]},"
                               "{\"group\":3003,\"methods\":[\"audit.list\",\"audit.verify\"]},"
                               "{\"user\":2005,\"methods\":[\"*\"]}]");

    (void)state;
    for (size_t i = 0; i < sizeof who / sizeof *who; i++)
        for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
            struct gd_caller c = caller(who[i].uid, who[i].gid, who[i].group);
            GD_AUTO_FREE char *word = gd_strf(" %s ", methods[m]);
            bool want = who[i].allowed[0] == '*' || strstr(who[i].allowed, word);

            assert_int_equal(gd_policy_allows(p, &c, methods[m], "main", "cl1"), want);
        }
    gd_policy_free(p);
}

static void limits_of_a_rule_hold(void **state)
{
    struct gd_policy *p =
        make("[{\"user\":2001,\"methods\":[\"grant.*\"],\"workspaces\":[\"north\"],"
             "\"clients\":[\"cl1\",\"cl2\"]},"
             "{\"user\":2001,\"methods\":[\"grant.get\"],\"platforms\":[\"meta\"]},"
             "{\"user\":2002,\"methods\":[\"grant.*\"],\"workspaces\":[\"*\"],\"clients\":[\"*\"]}]");
    struct gd_caller c = caller(2001, 1, 0), d = caller(2002, 1, 0);

    (void)state;
    assert_true(gd_policy_allows(p, &c, "grant.token", "north", "cl2"));
    assert_false(gd_policy_allows(p, &c, "grant.token", "south", "cl2"));
    assert_false(gd_policy_allows(p, &c, "grant.token", "north", "cl3"));
    assert_false(gd_policy_allows(p, &c, "grant.token", "north", ""));  /* no such grant */
    assert_false(gd_policy_allows(p, &c, "grant.list", "north", NULL)); /* would show every client's */
    assert_true(gd_policy_allows(p, &c, "grant.list", NULL, NULL));     /* the method as such */
    assert_false(gd_policy_allows(p, &c, "client.list", NULL, NULL));
    assert_false(gd_policy_allows(p, &c, "grant.get", "south", "cl9")); /* its platform is not known */
    assert_true(gd_policy_allows_on(p, &c, "grant.get", "south", "cl9", "meta"));
    assert_false(gd_policy_allows_on(p, &c, "grant.get", "south", "cl9", "tiktok_bc"));
    assert_true(gd_policy_allows(p, &d, "grant.token", "anywhere", "cl77"));
    gd_policy_free(p);
}

static void names_are_resolved(void **state)
{
    struct gd_policy *p =
        make("[{\"user\":\"daemon\",\"methods\":[\"a.b\"]},{\"group\":\"adm\",\"methods\":[\"c.d\"]}]");
    struct gd_caller c = caller(1, 77, getgrnam("adm")->gr_gid),
                     d = caller(1, 77, 0); /* Debian: daemon is 1 */

    (void)state;
    assert_true(gd_policy_allows(p, &c, "a.b", NULL, NULL));
    assert_true(gd_policy_allows(p, &c, "c.d", NULL, NULL));
    assert_false(gd_policy_allows(p, &d, "c.d", NULL, NULL));
    gd_policy_free(p);
}

static void bad_rules_are_named(void **state)
{
    static const struct {
        const char *rules, *says;
    } cases[] = {
        { "{}", "list" },
        { "[1]", "rule 1" },
        { "[{\"user\":1,\"methods\":[\"a.b\"]},{\"methods\":[\"a.b\"]}]",
          "rule 2 of policy: needs either user or group" },
        { "[{\"user\":1,\"group\":1,\"methods\":[\"a.b\"]}]", "either" },
        { "[{\"user\":1}]", "needs methods" },
        { "[{\"user\":\"nobody-of-this-name\",\"methods\":[\"a.b\"]}]", "no user: nobody-of-this-name" },
        { "[{\"group\":\"nobody-of-this-name\",\"methods\":[\"a.b\"]}]", "no group: nobody-of-this-name" },
        { "[{\"user\":-1,\"methods\":[\"a.b\"]}]", "a name or a number" },
        { "[{\"user\":4294967295,\"methods\":[\"a.b\"]}]", "no id" },
        { "[{\"user\":\"99999999999\",\"methods\":[\"a.b\"]}]", "no id" },
        { "[{\"user\":true,\"methods\":[\"a.b\"]}]", "a name or a number" },
        { "[{\"user\":1,\"methods\":[]}]", "empty" },
        { "[{\"user\":1,\"methods\":\"a.b\"}]", "no list" },
        { "[{\"user\":1,\"methods\":[1]}]", "words only" },
        { "[{\"user\":1,\"methods\":[\"a.b\",\"grant\"]}]", "not: grant" },
        { "[{\"user\":1,\"methods\":[\"gr*\"]}]", "not: gr*" },
        { "[{\"user\":1,\"methods\":[\"*.token\"]}]", "not: *.token" },
        { "[{\"user\":1,\"methods\":[\"a.b.c\"]}]", "not: a.b.c" },
        { "[{\"user\":1,\"methods\":[\"a.\"]}]", "not: a." },
        { "[{\"user\":1,\"methods\":[\"a.b\"],\"clients\":[\"\"]}]", "words only: clients" },
        { "[{\"user\":1,\"methods\":[\"a.b\"],\"client\":[\"x\"]}]", "does not know: client" },
        { "[{\"user\":1,\"at\":\"/etc/g.yaml:7:5\"}]", "/etc/g.yaml:7:5: rule 1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gd_err err = { 0 };
        GD_AUTO_JSON j = gd_json_parse(cases[i].rules, strlen(cases[i].rules), 65536, &err);

        assert_non_null(j);
        assert_null(gd_policy_new(j, NULL, NULL, &err));
        assert_int_equal(err.reason, GD_R_POLICY_INVALID);
        if (!strstr(err.text, cases[i].says))
            print_error("%s: %s\n", cases[i].rules, err.text);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void the_kernel_says_who_calls(void **state)
{
    struct gd_caller c = { 0 }, again = { 0 };
    gid_t mine[GD_GROUPS_MAX * 16];
    int pair[2], n;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(gd_caller_from_fd(&c, pair[0], NULL), 0);
    assert_int_equal(c.uid, geteuid());
    assert_int_equal(c.gid, getegid());
    assert_int_equal(c.pid, getpid());
    n = getgroups(GD_GROUPS_MAX * 16, mine);
    assert_int_equal(c.ngroups, n < GD_GROUPS_MAX ? n : GD_GROUPS_MAX);
    assert_int_equal(gd_caller_from_fd(&again, pair[1], NULL), 0);
    assert_int_equal(again.ngroups, c.ngroups);
    assert_memory_equal(again.groups, c.groups, sizeof c.groups);
    assert_int_equal(c.number, 0);
    close(pair[0]);
    close(pair[1]);
}

static void a_socket_that_does_not_know_is_refused(void **state)
{
    struct gd_caller c = { .uid = 77 };
    struct gd_err err = { 0 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(gd_caller_from_fd(&c, fd, &err), -1);
    assert_int_equal(err.reason, GD_R_CALLER_UNKNOWN);
    assert_int_equal(c.uid, 77);
    close(fd);
    assert_int_equal(gd_caller_from_fd(&c, -1, &err), -1);
}

/* The identity is that of whoever connected, whoever holds the descriptor later; groups come with it. */
static void identity_is_fixed_at_connect(void **state)
{
    static const gid_t groups[] = { 7003, 7001, 7002 };
    struct gd_caller c;
    int pair[2], status;
    pid_t pid;

    (void)state;
    if (geteuid() != 0) { /* only root can become somebody else: then it is our own identity that stays */
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(gd_caller_from_fd(&c, pair[0], NULL), 0);
        assert_int_equal(c.uid, geteuid());
        return;
    }
    pid = fork();
    if (pid == 0) {
        bool ok = setgroups(3, groups) == 0 && setgid(6001) == 0 && setuid(6000) == 0 &&
                  socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && gd_caller_from_fd(&c, pair[0], NULL) == 0;

        ok = ok && c.uid == 6000 && c.gid == 6001 && c.ngroups == 3 && c.groups[0] == 7001 &&
             c.groups[2] == 7003;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_rules_deny_all_but_root_and_self),
        cmocka_unit_test(only_the_listed_cells_pass),
        cmocka_unit_test(limits_of_a_rule_hold),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(bad_rules_are_named),
        cmocka_unit_test(the_kernel_says_who_calls),
        cmocka_unit_test(a_socket_that_does_not_know_is_refused),
        cmocka_unit_test(identity_is_fixed_at_connect),
    };

    gd_json_setup();
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
