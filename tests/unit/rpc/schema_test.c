/* The schemas themselves, and the checks that they drive. */
#include "base/json.h"
#include "base/mem.h"
#include "rpc/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define CL "cl01jdk3m8q4h5v6w7x8y9z0a1b2"
#define GR "gr01jdk3m8q4h5v6w7x8y9z0a1b2"

static struct gd_schemas *all;

static int setup(void **state)
{
    (void)state;
    gd_json_setup();
    all = gd_schemas_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gd_schemas_free(all);
    return 0;
}

static json_t *parse(const char *text)
{
    json_t *j = gd_json_parse(text, strlen(text), 100000, NULL);

    if (!j)
        fail_msg("test data is no JSON: %s", text);
    return j;
}

/* Checks params of a method; returns the reason. The text of the error is in err. */
static enum gd_reason check(const char *method, const char *params, json_t **ret, struct gd_err *err)
{
    json_t *p = parse(params);
    const struct gd_schema *m = gd_schemas_find(all, method);
    int rc;

    assert_non_null(m);
    memset(err, 0, sizeof *err);
    rc = gd_schema_check_params(m, p, err);
    if (ret && rc == 0)
        *ret = p;
    else
        json_decref(p);
    return rc == 0 ? GD_R_OK : err->reason;
}

static void refused(const char *method, const char *params, const char *words)
{
    struct gd_err err;

    if (check(method, params, NULL, &err) != GD_R_PARAM_INVALID)
        fail_msg("%s %s was taken", method, params);
    if (!strstr(err.text, words))
        fail_msg("%s %s: \"%s\" does not say \"%s\"", method, params, err.text, words);
}

static void every_schema_is_whole(void **state)
{
    (void)state;
    assert_int_equal(gd_schemas_count(all), 51);
    for (size_t i = 0; i < gd_schemas_count(all); i++) {
        const struct gd_schema *m = gd_schemas_at(all, i);
        const char *name;
        json_t *param;

        assert_true(strlen(m->summary) > 10);
        assert_true(json_is_boolean(json_object_get(m->doc, "mutates")));
        assert_true(json_array_size(m->examples) > 0);
        assert_ptr_equal(gd_schemas_find(all, m->method), m);
        json_object_foreach((json_t *)(uintptr_t)m->params, name, param)
        {
            if (strlen(gd_json_text(param, "help", "")) < 4)
                fail_msg("%s: parameter %s has no help", m->method, name);
            assert_non_null(json_object_get(param, "type"));
        }
    }
    assert_null(gd_schemas_find(all, "grant"));
    assert_null(gd_schemas_find(all, "grant.tokens"));
    assert_null(gd_schemas_find(all, ""));
}

/* A type expression that no check knows would refuse every value: each must take at least one. */
static void every_param_type_is_known(void **state)
{
    static const char *const known[] = { "string",  "integer", "number",  "boolean", "object",
                                         "any",     "name",    "time",    "email",   "locale",
                                         "strings", "list",    "duration" };

    (void)state;
    for (size_t i = 0; i < gd_schemas_count(all); i++) {
        const char *name;
        json_t *param;

        json_object_foreach((json_t *)(uintptr_t)gd_schemas_at(all, i)->params, name, param)
        {
            const char *type = gd_json_text(param, "type", "");
            bool ok = !strncmp(type, "id:", 3) || !strncmp(type, "enum:", 5);

            for (size_t k = 0; k < sizeof known / sizeof *known; k++)
                ok = ok || !strcmp(known[k], type);
            if (!ok)
                fail_msg("%s.%s: %s", gd_schemas_at(all, i)->method, name, type);
        }
    }
}

static void defaults_are_filled_in(void **state)
{
    struct gd_err err;
    json_t *p;

    (void)state;
    assert_int_equal(check("request.create",
                           "{\"client\":\"" CL "\",\"items\":[{\"app\":\"x\"}],\"expires_in\":\"7d\"}", &p,
                           &err),
                     GD_R_OK);
    assert_string_equal(gd_json_text(p, "workspace", ""), "main");
    assert_true(gd_json_bool(p, "confirm", false));
    assert_int_equal(gd_json_i64(p, "expires_in", 0), 7 * 86400);
    json_decref(p);
    assert_int_equal(check("grant.token", "{\"grant\":\"" GR "\",\"min_ttl\":90}", &p, &err), GD_R_OK);
    assert_int_equal(gd_json_i64(p, "min_ttl", 0), 90);
    json_decref(p);
}

static void wrong_params_are_named(void **state)
{
    (void)state;
    refused("grant.token", "{}", "parameter grant is missing");
    refused("grant.token", "{\"grant\":7}", "parameter grant must be an id that starts with gr");
    refused("grant.token", "{\"grant\":null}", "parameter grant must be");
    refused("grant.token", "{\"grant\":\"" CL "\"}", "starts with gr");
    refused("grant.token", "{\"grant\":\"gr01JDK3m8q4h5v6w7x8y9z0a1b2\"}", "starts with gr");
    refused("grant.token", "{\"grant\":\"" GR "\",\"workspace\":\"Main\"}",
            "parameter workspace must be a name");
    refused("grant.token", "{\"grant\":\"" GR "\",\"workspac\":\"main\"}", "did you mean workspace");
    refused("grant.token", "{\"grant\":\"" GR "\",\"zzzzzzzz\":1}", "zzzzzzzz is not a parameter");
    refused("grant.token", "{\"grant\":\"" GR "\",\"min_ttl\":\"soon\"}",
            "parameter min_ttl must be a duration");
    refused("grant.token", "{\"grant\":\"" GR "\",\"min_ttl\":-1}", "parameter min_ttl");
    refused("grant.token", "{\"grant\":\"" GR "\",\"min_ttl\":86401}", "0 to 86400");
    refused("grant.list", "{\"state\":\"dead\"}", "one of confirming active");
    refused("grant.list", "{\"limit\":0}", "1 to 1000");
    refused("grant.list", "{\"limit\":1001}", "1 to 1000");
    refused("grant.list", "{\"limit\":1.5}", "a whole number");
    refused("client.create", "{\"name\":\"\"}", "1 to 128 bytes");
    refused("client.create", "{\"name\":\"a\\u0007b\"}", "parameter name must be a text");
    refused("client.create", "{\"name\":\"A\",\"email\":\"nobody\"}", "an e-mail address");
    refused("client.create", "{\"name\":\"A\",\"locale\":\"-\"}", "a language tag");
    refused("request.create", "{\"client\":\"" CL "\",\"items\":[]}", "1 to 64 entries");
    refused("request.create", "{\"client\":\"" CL "\",\"items\":{}}", "a list of objects");
    refused("request.create", "{\"client\":\"" CL "\",\"items\":[7]}", "items[0] must be an object");
    refused("request.create", "{\"client\":\"" CL "\",\"items\":[{\"app\":\"x\"},{\"role\":\"y\"}]}",
            "items[1].app is missing");
    refused("request.create", "{\"client\":\"" CL "\",\"items\":[{\"app\":\"x\",\"rol\":\"y\"}]}",
            "did you mean role");
    refused("request.create", "{\"client\":\"" CL "\",\"items\":[{\"app\":\"x\"}],\"confirm\":\"no\"}",
            "true or false");
    refused("event.list", "{\"types\":[\"a\",1]}", "types[1] must be a text");
}

/* A secret that stands where it should not is never repeated. */
static void values_are_never_quoted(void **state)
{
    struct gd_err err;

    (void)state;
    assert_int_equal(check("grant.token", "{\"grant\":\"EAAcanaryTOKEN\"}", NULL, &err), GD_R_PARAM_INVALID);
    assert_null(strstr(err.text, "canary"));
    assert_int_equal(check("grant.token", "{\"EAA canary TOKEN\":1}", NULL, &err), GD_R_PARAM_INVALID);
    assert_null(strstr(err.text, "canary"));
}

static void durations(void **state)
{
    int64_t s = 0;

    (void)state;
    assert_true(gd_schema_duration("90", &s) && s == 90);
    assert_true(gd_schema_duration("90s", &s) && s == 90);
    assert_true(gd_schema_duration("15m", &s) && s == 900);
    assert_true(gd_schema_duration("24h", &s) && s == 86400);
    assert_true(gd_schema_duration("2w", &s) && s == 1209600);
    assert_false(gd_schema_duration("", &s));
    assert_false(gd_schema_duration("m", &s));
    assert_false(gd_schema_duration("1mm", &s));
    assert_false(gd_schema_duration("-1m", &s));
    assert_false(gd_schema_duration("9999999999999", &s));
    assert_false(gd_schema_duration("1.5h", &s));
}

static int result_of(const char *method, const char *text, struct gd_err *err)
{
    json_t *r = parse(text);
    int rc = gd_schema_check_result(all, gd_schemas_find(all, method), r, err);

    json_decref(r);
    return rc;
}

#define CLIENT                                                                       \
    "{\"id\":\"" CL "\",\"workspace\":\"main\",\"name\":\"A\",\"state\":\"active\"," \
    "\"created_at\":\"2026-11-21T23:16:04.123Z\""

static void results_are_checked(void **state)
{
    struct gd_err err;

    (void)state;
    assert_int_equal(result_of("client.get", "{\"client\":" CLIENT "}}", &err), 0);
    assert_int_equal(result_of("client.get", "{\"client\":" CLIENT ",\"email\":null}}", &err), 0);
    assert_int_equal(result_of("client.get", "{\"client\":" CLIENT ",\"mail\":\"x\"}}", &err), -1);
    assert_non_null(strstr(err.text, "client.mail"));
    assert_int_equal(result_of("client.get", "{}", &err), -1);
    assert_int_equal(result_of("client.get", "[]", &err), -1);
    assert_int_equal(result_of("client.list", "{\"clients\":[" CLIENT "}],\"next\":null}", &err), 0);
    assert_int_equal(result_of("client.list", "{\"clients\":[" CLIENT "},7]}", &err), -1);
    assert_non_null(strstr(err.text, "clients[1]"));
    assert_int_equal(result_of("client.list", "{\"clients\":{}}", &err), -1);
    assert_int_equal(result_of("client.list", "{\"clients\":[],\"next\":\"gr1\"}", &err), -1);
    assert_int_equal(result_of("daemon.status", "{\"anything\":1,\"rpc\":{\"x\":[]}}", &err), 0);
    assert_int_equal(result_of("daemon.status", "{\"anything\":1,\"rpc\":\"object\"}", &err), -1);
}

static void nearest_word(void **state)
{
    static const char *const words[] = { "grant", "request", "client", "audit", NULL };

    (void)state;
    assert_string_equal(gd_schema_nearest("grnat", words), "grant");
    assert_string_equal(gd_schema_nearest("clients", words), "client");
    assert_string_equal(gd_schema_nearest("reqest", words), "request");
    assert_null(gd_schema_nearest("webhook", words));
    assert_null(gd_schema_nearest("", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schema_is_whole),   cmocka_unit_test(every_param_type_is_known),
        cmocka_unit_test(defaults_are_filled_in),  cmocka_unit_test(wrong_params_are_named),
        cmocka_unit_test(values_are_never_quoted), cmocka_unit_test(durations),
        cmocka_unit_test(results_are_checked),     cmocka_unit_test(nearest_word),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
