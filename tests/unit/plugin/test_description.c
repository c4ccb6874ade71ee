/* Provider descriptions: what is wrong is said with file, JSON pointer and what would be right. */
#include "kit.h"

#include <sys/stat.h>

static const struct grantd_field fields[] = {
    { "schema", GRANTD_F_INT, 1, 0, 0, "version of this format" },
    { "id", GRANTD_F_TEXT, 1, 0, 0, "name, as the file's" },
    { "title", GRANTD_F_TEXT, 1, 0, 0, "for people" },
    { "token", GRANTD_F_OBJECT, 1, 0, 0, "token endpoint" },
    { "token.url", GRANTD_F_URL, 1, 0, 0, "where tokens are had" },
    { "token.method", GRANTD_F_ENUM, 0, "GET|POST", "POST", "how" },
    { "token.ok_status", GRANTD_F_INTS, 0, 0, 0, "good answers" },
    { "token.params", GRANTD_F_MAP, 0, 0, 0, "more parameters" },
    { "scope.default", GRANTD_F_WORDS, 0, 0, 0, "scopes" },
    { "scope.fixed", GRANTD_F_BOOL, 0, 0, "false", "cannot be changed" },
    { "response.root", GRANTD_F_TEXT_OR_WORDS, 0, 0, 0, "where tokens stand" },
    { "inputs.*.title", GRANTD_F_TEXT, 1, 0, 0, "label" },
    { "inputs.*.optional", GRANTD_F_BOOL, 0, 0, 0, "may be empty" },
    { "errors", GRANTD_F_LIST, 0, 0, 0, "what errors mean" },
    { "errors.*.status", GRANTD_F_INT, 1, 0, 0, "HTTP status" },
    { "errors.*.class", GRANTD_F_ENUM, 1, "reauth|config", 0, "who acts" },
    { 0 },
};
static const struct gd_platform platform = { .p = { .name = "p", .description = fields } };

#define BASE  "\"schema\":1,\"id\":\"x\",\"title\":\"X\""
#define TOKEN "\"token\":{\"url\":\"https://x.example/token\"}"

static json_t *parse(const char *text)
{
    json_t *j = gd_json_parse(text, strlen(text), GD_DESCRIPTION_MAX, NULL);

    assert_non_null(j);
    return j;
}

static void good(const char *text)
{
    GD_AUTO_JSON j = parse(text);
    struct gd_err err;

    if (gd_description_check(&platform, j, "x.json", &err) != 0)
        fail_msg("%s", err.text);
}

/* The sentence begins with file and pointer and says what would be right. */
static void bad(const char *text, const char *pointer, const char *right)
{
    GD_AUTO_JSON j = parse(text);
    GD_AUTO_FREE char *start = gd_strf("x.json: %s: ", pointer);
    struct gd_err err;

    assert_refused(gd_description_check(&platform, j, "x.json", &err), err, "DESCRIPTION_INVALID");
    if (strncmp(err.text, start, strlen(start)) != 0 || !strstr(err.text, right))
        fail_msg("%s\n(expected: %s ... %s)", err.text, start, right);
}

static void what_is_right(void **state)
{
    (void)state;
    good("{" BASE "," TOKEN "}");
    good("{" BASE
         ",\"token\":{\"url\":[\"https://a.${in.dc}/t\",\"${saved.accounts}/t\",\"http://127.0.0.1:8080/t\"],"
         "\"method\":\"GET\",\"ok_status\":[200,201],\"params\":{\"a.b\":\"c\"}},"
         "\"scope\":{\"default\":[\"a\"],\"fixed\":true},\"response\":{\"root\":[\"\",\"data.0\"]},"
         "\"inputs\":{\"shop\":{\"title\":\"Shop\"}},\"errors\":[{\"status\":400,\"class\":\"reauth\"}]}");
    good("{" BASE "," TOKEN ",\"response\":{\"root\":\"data\"}}");
}

static void what_is_unknown(void **state)
{
    (void)state;
    bad("{" BASE "," TOKEN ",\"tokn\":1}", "/tokn", "known are: schema, id, title, token, scope");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example/t\",\"uri\":\"\"}}", "/token/uri",
        "url, method, ok_status");
    bad("{" BASE "," TOKEN ",\"inputs\":{\"a/b\":{\"title\":\"A\",\"x~y\":1}}}", "/inputs/a~1b/x~0y",
        "optional");
    bad("{" BASE "," TOKEN ",\"errors\":[{\"status\":1,\"class\":\"reauth\"},{\"sttus\":1}]}",
        "/errors/1/sttus", "status, class");
}

static void what_is_missing(void **state)
{
    (void)state;
    bad("{\"schema\":1,\"id\":\"x\"," TOKEN "}", "/", "\"title\" is missing: for people");
    bad("{" BASE "}", "/", "\"token\" is missing: token endpoint");
    bad("{" BASE ",\"token\":{}}", "/token", "\"url\" is missing: where tokens are had");
    bad("{" BASE "," TOKEN ",\"inputs\":{\"a\":{}}}", "/inputs/a", "\"title\" is missing");
    bad("{" BASE "," TOKEN ",\"errors\":[{\"status\":1}]}", "/errors/0", "\"class\" is missing");
}

static void what_is_of_another_type(void **state)
{
    (void)state;
    bad("{\"schema\":\"1\",\"id\":\"x\",\"title\":\"X\"," TOKEN "}", "/schema", "a whole number");
    bad("{\"schema\":1.5,\"id\":\"x\",\"title\":\"X\"," TOKEN "}", "/schema", "a whole number");
    bad("{\"schema\":1,\"id\":\"x\",\"title\":7," TOKEN "}", "/title", "a string");
    bad("{\"schema\":1,\"id\":\"x\",\"title\":null," TOKEN "}", "/title", "a string");
    bad("{" BASE ",\"token\":[]}", "/token", "an object");
    bad("{" BASE ",\"token\":{\"url\":7}}", "/token/url", "an https URL");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"ok_status\":200}}", "/token/ok_status",
        "whole numbers");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"ok_status\":[\"200\"]}}", "/token/ok_status/0",
        "number");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"params\":{\"a\":1}}}", "/token/params/a",
        "a string");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"params\":[]}}", "/token/params",
        "object of strings");
    bad("{" BASE "," TOKEN ",\"scope\":{\"default\":\"a b\"}}", "/scope/default", "an array of strings");
    bad("{" BASE "," TOKEN ",\"scope\":{\"fixed\":\"yes\"}}", "/scope/fixed", "true or false");
    bad("{" BASE "," TOKEN ",\"scope\":[]}", "/scope", "an object");
    bad("{" BASE "," TOKEN ",\"response\":{\"root\":1}}", "/response/root",
        "a string, or an array of strings");
    bad("{" BASE "," TOKEN ",\"errors\":{}}", "/errors", "an array of objects");
    bad("{" BASE "," TOKEN ",\"errors\":[1]}", "/errors/0", "an object");
    bad("[]", "/", "an object");
}

static void what_is_no_choice(void **state)
{
    (void)state;
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"method\":\"PO\"}}", "/token/method",
        "one of GET|POST");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"method\":\"GET|POST\"}}", "/token/method",
        "one of");
    bad("{" BASE ",\"token\":{\"url\":\"https://x.example\",\"method\":1}}", "/token/method", "GET|POST");
}

static void what_is_no_url(void **state)
{
    static const char *const urls[] = {
        "http://x.example/t",
        "x.example/t",
        "https://",
        "https:///t",
        "https://u:p@x.example/",
        "https://x .example/",
        "https://x.example/#f",
        "ftp://x.example/",
        "https://x..example/",
        "https://x.example:0/",
        "https://x.example:99999/",
        "https://x.example\\\\@y/",
        "javascript:alert(1)",
        "//x.example/",
    };

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        GD_AUTO_FREE char *text = gd_strf("{" BASE ",\"token\":{\"url\":\"%s\"}}", urls[i]);

        bad(text, "/token/url", "https://host/path would be right");
    }
    bad("{" BASE ",\"token\":{\"url\":\"https://${x.example/\"}}", "/token/url", "${name}");
    bad("{" BASE ",\"token\":{\"url\":\"https://${}.example/\"}}", "/token/url", "${name}");
    bad("{" BASE ",\"token\":{\"url\":[]}}", "/token/url", "at least one URL");
    bad("{" BASE ",\"token\":{\"url\":[\"https://x.example\",\"no\"]}}", "/token/url/1", "https://host/path");
}

static void what_is_no_text(void **state)
{
    (void)state;
    bad("{\"schema\":1,\"id\":\"x\",\"title\":\"a\\u0007b\"," TOKEN "}", "/title", "plain text");
}

/* ---- files
 * ------------------------------------------------------------------------------------------------- */

static void file(const char *dir, const char *name, const char *text, const char *says)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", dir, name);
    struct gd_err err = { 0 };
    json_t *j;

    if (text)
        kit_write(path, text);
    j = gd_description_load(&platform, path, &err);
    if (!says) {
        if (!j)
            fail_msg("%s", err.text);
        json_decref(j);
        return;
    }
    assert_null(j);
    assert_refused(-1, err, "DESCRIPTION_INVALID");
    assert_memory_equal(err.text, path, strlen(path));
    if (!strstr(err.text, says))
        fail_msg("%s (expected: %s)", err.text, says);
}

static void files(void **state)
{
    GD_AUTO_FREE char *dir = kit_folder("/tmp"), *big = gd_new(GD_DESCRIPTION_MAX + 2);

    (void)state;
    memset(big, ' ', GD_DESCRIPTION_MAX + 1);
    file(dir, "x.json", "{" BASE "," TOKEN "}", NULL);
    file(dir, "y.json", "{" BASE "," TOKEN "}", "/id: this must be the file's name, \"y\"");
    file(dir, "cut.json", "{" BASE, "line 1");
    file(dir, "twice.json", "{" BASE ",\"id\":\"twice\"," TOKEN "}", "not valid JSON");
    file(dir, "nobody.json", NULL, "not a plain file");
    file(dir, "big.json", big, "at most 65536 bytes");
    kit_remove(dir);
}

static void a_platform_without_descriptions(void **state)
{
    const struct gd_platform none = { .p = { .name = "none" } };
    GD_AUTO_JSON j = json_object();
    struct gd_err err;

    (void)state;
    assert_refused(gd_description_check(&none, j, "x.json", &err), err, "DESCRIPTION_INVALID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right),
        cmocka_unit_test(what_is_unknown),
        cmocka_unit_test(what_is_missing),
        cmocka_unit_test(what_is_of_another_type),
        cmocka_unit_test(what_is_no_choice),
        cmocka_unit_test(what_is_no_url),
        cmocka_unit_test(what_is_no_text),
        cmocka_unit_test(files),
        cmocka_unit_test(a_platform_without_descriptions),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
