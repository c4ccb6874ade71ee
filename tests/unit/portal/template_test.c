/* Templates: what is refused when it compiles, what a value becomes where, and the pages that are built in.
 */
#include "base/mem.h"
#include "portal/pages.h"
#include "portal/template.h"
#include "portal/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *part(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "part") == 0 ? "<i>{{x}}</i>" : strcmp(name, "loop") == 0 ? "{{>loop}}" : NULL;
}

static const char *sentence(void *arg, const char *key)
{
    (void)arg;
    return strcmp(key, "hello") == 0 ? "Hello <{{who}}>" : NULL;
}

static const struct gd_portal_template_env env = { part, sentence, NULL };

static void check(const char *source, const char *view, const char *want)
{
    struct gd_portal_template *t = NULL;
    struct gd_err err = { 0 };
    GD_AUTO_JSON v = gd_json_parse(view, strlen(view), 65536, &err);
    struct gd_buf out;

    assert_non_null(v);
    if (gd_portal_template_new(&t, "test", source, &env, &err) < 0)
        print_error("%s\n", err.text);
    assert_non_null(t);
    gd_buf_init(&out, 65536);
    assert_true(gd_portal_template_render(t, v, &out));
    assert_string_equal(out.ptr ? out.ptr : "", want);
    gd_buf_done(&out);
    gd_portal_template_free(t);
}

static void test_mustache(void **state)
{
    (void)state;
    check("<p>{{a}}{{none}}{{n}}</p>", "{\"a\":\"x\",\"n\":-7}", "<p>x-7</p>");
    check("{{a.b.c}}|{{a.x.c}}|{{a.b}}", "{\"a\":{\"b\":{\"c\":\"deep\"}}}", "deep||");
    check("{{#l}}({{.}}){{/l}}", "{\"l\":[\"a\",\"<\"]}", "(a)(&lt;)");
    check("{{#l}}{{n}}{{o}};{{/l}}", "{\"o\":\"out\",\"l\":[{\"n\":1},{\"n\":2,\"o\":\"in\"}]}", "1out;2in;");
    check("{{#l}}{{t}}.{{/l}}", "{\"t\":\"outer\",\"l\":[{\"t\":null}]}", ".");
    check("{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\":false}", "no");
    check("{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\":[]}", "no");
    check("{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\":\"\"}", "no");
    check("{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\":0}", "no");
    check("{{#a}}yes{{/a}}{{^a}}no{{/a}}", "{\"a\":{}}", "yes");
    check("{{#a}}{{#b}}{{x}}{{/b}}{{/a}}", "{\"a\":{\"x\":1},\"b\":true}", "1");
    check("a{{! nothing }}b", "{}", "ab");
    check("{{>part}}{{>part}}", "{\"x\":\"&\"}", "<i>&amp;</i><i>&amp;</i>");
    check("<p title=\"{{t.hello}}\">{{t.hello}}</p>", "{\"who\":\"\\\"a\"}",
          "<p title=\"Hello &lt;&quot;a&gt;\">Hello &lt;&quot;a&gt;</p>");
}

static void test_places(void **state)
{
    (void)state;
    check("<p>{{x}}</p>", "{\"x\":\"<script>&\\\"'\"}", "<p>&lt;script&gt;&amp;&quot;&#39;</p>");
    check("<p class=\"{{x}}\">", "{\"x\":\"\\\" onclick=\\\"a\"}", "<p class=\"&quot; onclick=&quot;a\">");
    check("<p>{{x}}</p>", "{\"x\":\"a\\u202eb\\u2066c \\u20ac\\u05d0\"}", "<p>abc \xe2\x82\xac\xd7\x90</p>");
    check("<title>{{x}}</title>", "{\"x\":\"</title><b>\"}", "<title>&lt;/title&gt;&lt;b&gt;</title>");
    check("<a href=\"{{x}}\">", "{\"x\":\"javascript:alert(1)\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\" javascript:alert(1)\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"data:text/html,x\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"//evil.example\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"/\\\\evil.example\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"/\\tx\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"\"}", "<a href=\"#blocked\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"/a?b&c\"}", "<a href=\"/a?b&amp;c\">");
    check("<a href=\"{{x}}\">", "{\"x\":\"https://a.example/?\\\"\"}",
          "<a href=\"https://a.example/?&quot;\">");
    check("<form action=\"/a/{{x}}/b\">", "{\"x\":\"../&?\\\"\"}", "<form action=\"/a/..%2F%26%3F%22/b\">");
    check("<a HREF=\"{{x}}\">", "{\"x\":\"javascript:1\"}", "<a HREF=\"#blocked\">");
    check("<style>p{}</style><script>if (a < b) c</script>{{x}}", "{\"x\":\"<\"}",
          "<style>p{}</style><script>if (a < b) c</script>&lt;");
    check("<p {{#x}}hidden {{/x}}>", "{\"x\":true}", "<p hidden >");
    check("<br/><p a=b c='d'>{{x}}", "{\"x\":\"y\"}", "<br/><p a=b c='d'>y");
}

static void refused(const char *source, const char *what)
{
    struct gd_portal_template *t = NULL;
    struct gd_err err = { 0 };

    if (gd_portal_template_new(&t, "bad", source, &env, &err) == 0)
        print_error("taken: %s\n", source);
    assert_null(t);
    assert_int_equal(err.reason, GD_R_PORTAL_PAGE_INVALID);
    if (!strstr(err.text, what))
        print_error("%s: %s\n", source, err.text);
    assert_non_null(strstr(err.text, what));
}

static void test_refused(void **state)
{
    static const char *const unsafe[] = {
        "<script>{{x}}</script>",
        "<script>a</scrip>{{x}}</script>",
        "<style>{{x}}</style>",
        "<STYLE>{{x}}</STYLE>",
        "<!-- {{x}} -->",
        "<!doctype {{x}}>",
        "<{{x}}>",
        "<p{{x}}>",
        "</{{x}}>",
        "<p {{x}}>",
        "<p {{x}}=\"a\">",
        "<p a{{x}}=\"a\">",
        "<p a={{x}}>",
        "<p a=b{{x}}>",
        "<p a='{{x}}'>",
        "<p a=\"b\"{{x}}>",
        "<p onclick=\"{{x}}\">",
        "<p ONCLICK=\"f('{{x}}')\">",
        "<p style=\"color:{{x}}\">",
        "<iframe srcdoc=\"{{x}}\">",
        "<img srcset=\"{{x}}\">",
        "<meta http-equiv=\"refresh\" content=\"0;url={{x}}\">",
        "<a href=\"javascript:{{x}}\">",
        "<a href=\"//{{x}}\">",
        "<a href=\"https:{{x}}\">",
        "<p t.hello=\"{{t.hello}}\" onload=\"{{t.hello}}\">",
    };
    (void)state;

    for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++)
        refused(unsafe[i], i == sizeof unsafe / sizeof unsafe[0] - 1 ? "not clean" : "escaping cannot");
    refused("{{#a}}<p {{/a}}>", "another place");
    refused("{{#a}}<p title=\"{{/a}}x\">", "another place");
    refused("<a href=\"{{#a}}/x{{/a}}{{b}}\">", "another place");
    refused("<p>{{#a}}", "not closed");
    refused("<p>{{#a}}{{/b}}", "another section");
    refused("<p>{{/b}}", "no section");
    refused("<p>{{a", "not closed");
    refused("<p>{{}}", "no name");
    refused("<p>{{{a}}}", "no name");
    refused("<p>{{&a}}", "no name");
    refused("<p>{{=<% %>=}}", "no name");
    refused("{{>nowhere}}", "no such part");
    refused("{{>loop}}", "nest too deeply");
    refused("{{t.nothing}}", "no such sentence");
    refused("<p", "inside a tag");
    refused("<p a=\"<\">", "not clean");
    refused("<p a=\"b\"c>", "not clean");
    refused("<p <b>", "not clean");
    refused("{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}"
            "{{#a}}",
            "deeply");
    refused("line\nline\n<p {{x}}>", "bad:3:");
}

static void test_full(void **state)
{
    struct gd_portal_template *t = NULL;
    GD_AUTO_JSON v = json_object();
    struct gd_buf out;
    (void)state;

    assert_int_equal(gd_portal_template_new(&t, "t", "<p>0123456789</p>", &env, NULL), 0);
    gd_buf_init(&out, 5);
    assert_false(gd_portal_template_render(t, v, &out));
    gd_buf_done(&out);
    gd_portal_template_free(t);
}

/* ---- the pages ---- */

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

/* Sets every text of a document to another one, keys and words that steer excepted. */
static void fill(json_t *doc, const char *text)
{
    const char *key;
    json_t *v;
    void *next;
    size_t i;

    json_object_foreach_safe(doc, next, key, v)
    {
        if (json_is_string(v) && strcmp(key, "state") != 0 && strcmp(key, "outcome") != 0 &&
            strcmp(key, "expires_at") != 0)
            json_object_set_new(doc, key, json_string(text));
        else
            fill(v, text);
    }
    json_array_foreach(doc, i, v) fill(v, text);
}

static json_t *sample(void)
{
    static const char text[] =
        "{\"request\":{\"id\":\"rq1\",\"message\":\"m\",\"expires_at\":\"2027-01-02T03:04:05.000Z\"},"
        "\"workspace\":{\"name\":\"main\",\"title\":\"Agency\"},\"client\":{\"name\":\"Client\"},\"link\":"
        "\"ln1\","
        "\"groups\":[{\"app\":\"app1\",\"platform_title\":\"P\",\"provider_title\":\"Q\",\"items\":["
        "{\"id\":\"it1\",\"title\":\"T\",\"role\":{\"title\":\"R\",\"may\":\"a\",\"may_not\":\"b\"},"
        "\"asset\":\"act_1\","
        "\"state\":\"waiting\",\"reason\":\"OP_FORBIDDEN\",\"steps\":[{\"title\":\"s\",\"text\":\"u\","
        "\"url\":\"https://x.example/\","
        "\"copy\":\"c\",\"qr\":\"q\",\"ask\":\"code\",\"ask_label\":\"L\"}]},"
        "{\"id\":\"it2\",\"title\":\"act_2\",\"role\":null,\"asset\":\"act_2\",\"state\":\"open\",\"reason\":"
        "null,"
        "\"steps\":[]},"
        "{\"id\":\"it3\",\"title\":\"T\",\"role\":null,\"asset\":null,\"state\":\"declined\",\"reason\":null,"
        "\"steps\":[]},"
        "{\"id\":\"it4\",\"title\":\"T\",\"role\":null,\"asset\":null,\"state\":\"granted\",\"reason\":null,"
        "\"steps\":[]}]}],"
        "\"open\":2,\"done\":false,\"outcome\":\"failed\",\"reason\":\"OP_FORBIDDEN\",\"text\":\"raw\"}";

    return gd_json_parse(text, strlen(text), 65536, NULL);
}

static char *render(const struct gd_portal_pages *p, enum gd_portal_page page, json_t *view)
{
    struct gd_buf out;

    gd_buf_init(&out, 1 << 20);
    assert_true(gd_portal_pages_render(p, page, view, &out));
    json_decref(view);
    return gd_buf_steal(&out);
}

static void test_pages(void **state)
{
    static const struct gd_portal_view_form form = { "/a/ln1/secret", "token" };
    struct gd_portal_pages *p = NULL;
    GD_AUTO_JSON doc = sample();
    char *html;
    (void)state;

    assert_int_equal(gd_portal_pages_new(&p, NULL), 0);
    html = render(p, GD_PAGE_LINK, gd_portal_view_link(p, doc, &form));
    assert_non_null(strstr(html, "Agency asks for access"));
    assert_non_null(strstr(html, "2027-01-02"));
    assert_null(strstr(html, "03:04"));
    assert_non_null(strstr(html, "name=\"in.code\""));
    assert_non_null(strstr(html, "name=\"item.it2\""));
    assert_int_equal(count(html, "name=\"item.it3\""), 1); /* declined: only its own button */
    assert_null(strstr(html, "item.it4"));
    assert_int_equal(count(html, ">act_1<"), 1);
    assert_int_equal(count(html, ">act_2<"), 1); /* the title says it already */
    assert_non_null(strstr(html, "<svg class=\"qr\""));
    assert_int_equal(count(html, "name=\"csrf\" value=\"token\""), count(html, "<form "));
    assert_int_equal(count(html, "value=\"decline\""), 2);
    gd_free(html);
    html = render(p, GD_PAGE_END, gd_portal_view_end(p, doc, &form));
    assert_non_null(strstr(html, "That did not work"));
    assert_null(strstr(html, "raw"));
    gd_free(html);
    html = render(p, GD_PAGE_ERROR, gd_portal_view_error(p, "LINK_EXPIRED"));
    assert_non_null(strstr(html, "<code>LINK_EXPIRED</code>"));
    gd_free(html);
    gd_portal_pages_free(p);
}

/* One of 1,000 texts that try to leave the place they stand in. */
static void hostile_text(char *out, size_t cap, unsigned i)
{
    static const char *const before[] = { "",         "\"",          "'",   "\">",      "'>",
                                          "</title>", "</textarea>", "-->", "</style>", "{{/x}}" };
    static const char *const what[] = { "<script>alert(1)</script>",
                                        "<svg onload=alert(1)>",
                                        " onfocus=alert(1) autofocus ",
                                        "javascript:alert(1)",
                                        "<img src=x onerror=alert(1)>",
                                        "<form action=//evil.example>",
                                        "<base href=//evil.example/>",
                                        "<!--",
                                        "{{form.csrf}}",
                                        "&lt;script&gt;&#60;b&#62;" };
    static const char *const after[] = { "", "\"", "'", "<", ">", "\xe2\x80\xa8", "`", "\\", "&", "]]>" };

    (void)snprintf(out, cap, "%s%s%s", before[i % 10], what[i / 10 % 10], after[i / 100 % 10]);
}

static char *render_filled(const struct gd_portal_pages *p, enum gd_portal_page page, const char *text)
{
    static const struct gd_portal_view_form form = { "/a/ln1/secret", "token" };
    GD_AUTO_JSON doc = sample();

    fill(doc, text);
    return render(p, page,
                  page == GD_PAGE_END ? gd_portal_view_end(p, doc, &form)
                                      : gd_portal_view_link(p, doc, &form));
}

/* Hostile text in every place at once adds neither an element nor an attribute (T13). */
static void test_hostile_text(void **state)
{
    struct gd_portal_pages *p = NULL;
    char text[128];
    (void)state;

    assert_int_equal(gd_portal_pages_new(&p, NULL), 0);
    for (enum gd_portal_page page = GD_PAGE_LINK; page <= GD_PAGE_END; page++) {
        GD_AUTO_FREE char *plain = render_filled(p, page, "word");

        for (unsigned i = 0; i < 1000; i++) {
            GD_AUTO_FREE char *html = NULL;

            hostile_text(text, sizeof text, i);
            html = render_filled(p, page, text);
            assert_int_equal(count(html, "<"), count(plain, "<"));
            assert_int_equal(count(html, ">"), count(plain, ">"));
            assert_int_equal(count(html, "\""), count(plain, "\""));
            assert_null(strstr(html, "href=\"javascript"));
            assert_null(strstr(html, "action=\"/\""));
        }
    }
    gd_portal_pages_free(p);
}

static void test_qr(void **state)
{
    char big[5000];
    json_t *v = gd_portal_view_qr("https://example.com/");
    (void)state;

    assert_non_null(v);
    assert_int_equal(gd_json_i64(v, "size", 0), 25 + 8); /* version 2 with its margin */
    assert_memory_equal(gd_json_text(v, "path", ""), "M4 4h7v1h-7z",
                        12); /* the finder pattern's upper edge */
    json_decref(v);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_null(gd_portal_view_qr(big));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mustache), cmocka_unit_test(test_places), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_full),     cmocka_unit_test(test_pages),  cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_qr),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
