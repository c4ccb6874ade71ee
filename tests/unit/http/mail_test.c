/* tests/unit/http/mail_test.c - a mail's head and body whatever is put into them, which addresses and servers
 * are taken, and that every mail is told of once. */
#include "http/mail.h"

#include "base/mem.h"
#include "base/reason.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef"
#define AT INT64_C(1772600767000) /* 2026-03-04T05:06:07Z */

static char *made(const char *name, const char *subject, const char *text)
{
    struct gd_mail m = { .to = "anna@client.example", .name = name, .subject = subject, .text = text };
    struct gd_buf b;

    gd_buf_init(&b, 100000);
    gd_mail_text(&b, "grants@agency.example", &m, ID, AT);
    assert_false(b.failed);
    return gd_buf_steal(&b);
}

/* Every line of the head is one of ours, or goes on with an encoded word or the sender's address. */
static void head_is_ours(const char *mail)
{
    static const char *const names[] = { "Date: ",
                                         "From: ",
                                         "To: <anna@client.example>\r\n",
                                         "Subject: ",
                                         "Message-ID: <",
                                         "Auto-Submitted: ",
                                         "MIME-Version: ",
                                         "Content-Type: ",
                                         "Content-Transfer-Encoding: ",
                                         " =?UTF-8?B?",
                                         " <grants@agency.example>\r\n" };
    const char *end = strstr(mail, "\r\n\r\n"), *next;

    assert_non_null(end);
    for (const char *line = mail; line < end; line = next) {
        bool known = false;

        next = strstr(line, "\r\n") + 2;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known = known || !strncmp(line, names[i], strlen(names[i]));
        if (!known)
            print_error("a line of the head: %.60s\n", line);
        assert_true(known);
        assert_true(next - line <= 80);
        assert_null(memchr(line, '\n', (size_t)(next - line - 1)));
        assert_null(memchr(line, '\r', (size_t)(next - line - 2)));
    }
}

static void test_plain(void **state)
{
    GD_AUTO_FREE char *mail = made("Agency", "Access", "Hello Anna,\nhttps://x.example/a=b\n");

    (void)state;
    assert_string_equal(
        mail, "Date: Wed, 04 Mar 2026 05:06:07 +0000\r\nFrom: Agency\r\n <grants@agency.example>\r\n"
              "To: <anna@client.example>\r\nSubject: Access\r\n"
              "Message-ID: <" ID "@agency.example>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
              "quoted-printable\r\n\r\nHello Anna,\r\nhttps://x.example/a=3Db\r\n");
    head_is_ours(mail);
}

static void test_head_injection(void **state)
{
    static const char *const evil[] = {
        "x\r\nBcc: evil@x.example",
        "x\nBcc: evil@x.example\n\nbody",
        "x\rBcc: evil@x.example",
        "\"Agency\" <evil@x.example>",
        "evil@x.example, more",
        "=?UTF-8?Q?=0D=0ABcc:_evil@x.example?=",
        ("Gr\xc3\xb6\xc3\x9f"
         "e & S\xc3\xb8n, a name that is much longer than any line of a head may be, and then some more"),
        "\x01\x7f\t",
        "\xff\xfe no text at all",
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        GD_AUTO_FREE char *mail = made(evil[i], evil[i], evil[i]);

        head_is_ours(mail);
    }
}

static void test_words(void **state)
{
    GD_AUTO_FREE char *mail = made(NULL,
                                   "Gr\xc3\xb6\xc3\x9f"
                                   "e",
                                   "");

    (void)state;
    assert_non_null(strstr(mail, "Subject: =?UTF-8?B?R3LDtsOfZQ==?=\r\n"));
    assert_non_null(strstr(mail, "From: <grants@agency.example>\r\n"));
}

/* No line of a body is too long, and none can end the mail early once curl has doubled its dots. */
static void test_body(void **state)
{
    GD_AUTO_FREE char *dots = made(NULL, "s", ".\n..\n \nx \n\tz\r\nend");
    GD_AUTO_FREE char *longer = gd_new(2001);
    GD_AUTO_FREE char *mail = NULL;
    const char *body = strstr(dots, "\r\n\r\n") + 4;

    (void)state;
    assert_string_equal(body, ".\r\n..\r\n=20\r\nx=20\r\n=09z=0D\r\nend\r\n");
    memset(longer, 'a', 2000);
    mail = made(NULL, "s", longer);
    for (const char *line = mail, *next; *line; line = next) {
        next = strstr(line, "\r\n") + 2;
        assert_true(next - line <= 78);
    }
}

static void test_addresses(void **state)
{
    static const char *const good[] = { "a@b", "anna.b+c@client.example", "o'x@x-y.example" };
    static const char *const bad[] = { "",        "@",          "a@",     "@b",    "a b@c",
                                       "a@b c",   "a@b>",       "<a@b>",  "a,b@c", "a@b,c@d",
                                       "a@@b",    "a@b\r\nX:y", "a\n@b",  ".a@b",  "a.@b",
                                       "a..b@c",  "a@.b",       "a@b..c", "a@-b",  "\"a\"@b",
                                       "a@[::1]", "a@b;c",      "a(c)@b", "a\\@b", "\xc3\xb6@b" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(gd_mail_address_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (gd_mail_address_ok(bad[i]))
            print_error("taken: %s\n", bad[i]);
        assert_false(gd_mail_address_ok(bad[i]));
    }
    assert_false(gd_mail_address_ok(NULL));
}

static void test_servers(void **state)
{
    static const char *const good[] = { "smtp://localhost", "smtps://mail.example:465", "smtp://[::1]:25",
                                        "smtp://127.0.0.1:2525" };
    static const char *const bad[] = { "http://mail.example",
                                       "smtp://",
                                       "smtp://u:p@mail.example",
                                       "smtp://mail.example/x",
                                       "smtp://m:0",
                                       "smtp://m:99999",
                                       "smtp://m:+5",
                                       "smtp://m\r\n:25",
                                       "mail.example",
                                       "smtp://[::1" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(gd_mail_url_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (gd_mail_url_ok(bad[i]))
            print_error("taken: %s\n", bad[i]);
        assert_false(gd_mail_url_ok(bad[i]));
    }
}

/* ---- the queue ---- */

struct told {
    unsigned n, failed, invalid;
    bool closed;
};

static void on_told(void *arg, const struct gd_err *err)
{
    struct told *t = arg;

    assert_non_null(err);
    t->n++;
    t->failed += err->reason == GD_R_MAIL_FAILED;
    t->invalid += err->reason == GD_R_MAIL_INVALID;
}

static void on_closed(void *arg)
{
    ((struct told *)arg)->closed = true;
}

static void test_each_is_told_once(void **state)
{
    struct gd_mail_options o = { .url = "smtp://127.0.0.1:1", .from = "grants@agency.example" };
    struct gd_mail good = { .to = "anna@client.example", .subject = "s", .text = "t" };
    struct gd_mail bad = { .to = "anna@client.example>\r\nRCPT TO:<evil@x.example",
                           .subject = "s",
                           .text = "t" };
    struct gd_rng_seeded rng;
    struct gd_err err = { 0 };
    struct told t = { 0 };
    struct gd_mailer *m = NULL;
    uv_loop_t loop;

    (void)state;
    gd_rng_seed(&rng, 1);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(gd_mailer_new(&m, &loop, &o, gd_clock_system(), &rng.rng, NULL, &err), 0);
    gd_mail_send(m, &bad, on_told, &t);
    for (int i = 0; i < 3; i++)
        gd_mail_send(m, &good, on_told, &t);
    assert_int_equal(t.n, 0); /* never inside */
    while (t.n < 2)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(t.invalid, 1);
    gd_mailer_close(m, on_closed, &t);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(t.closed);
    assert_int_equal(t.n, 4);
    assert_int_equal(t.failed, 3);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_no_mailer(void **state)
{
    struct gd_mail_options o = { .url = "smtp://127.0.0.1", .from = "x" };
    struct gd_mailer *m = NULL;
    struct gd_err err = { 0 };
    struct told t = { 0 };
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(gd_mailer_new(&m, &loop, &o, gd_clock_system(), NULL, NULL, &err), -1);
    assert_int_equal(err.reason, GD_R_MAIL_INVALID);
    gd_mailer_close(NULL, on_closed, &t);
    assert_true(t.closed);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_head_injection),
        cmocka_unit_test(test_words),     cmocka_unit_test(test_body),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_servers),
        cmocka_unit_test(test_no_mailer), cmocka_unit_test(test_each_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
