/* shopify_graphql.c - reads a GraphQL document and picks what it asks for: the language as its public
 * specification has it, without fragments and directives. The words of its refusals are ours [assumed]. */
#include "shopify_graphql.h"

#include "base/json.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16

struct cursor {
    const char *at;
    const json_t *variables;
    json_t *declared; /* name -> default or null */
    char *wrong;
    int depth;
};

static void *refuse(struct cursor *c, const char *why)
{
    if (!c->wrong)
        c->wrong = gd_strf("syntax error, %s, near \"%.20s\"", why, c->at);
    return NULL;
}

/* White space, commas and comments mean nothing in GraphQL. */
static void blanks(struct cursor *c)
{
    while (isspace((unsigned char)*c->at) || *c->at == ',' || *c->at == '#') {
        if (*c->at == '#')
            c->at += strcspn(c->at, "\n");
        else
            c->at++;
    }
}

static bool eat(struct cursor *c, char symbol)
{
    blanks(c);
    if (*c->at != symbol)
        return false;
    c->at++;
    return true;
}

static bool expect(struct cursor *c, char symbol)
{
    char why[] = "expected ?";

    if (eat(c, symbol))
        return true;
    why[9] = symbol;
    refuse(c, why);
    return false;
}

/* The next name; NULL when there is none. Caller frees. */
static char *name(struct cursor *c)
{
    const char *start;

    blanks(c);
    start = c->at;
    if (!isalpha((unsigned char)*start) && *start != '_')
        return NULL;
    while (isalnum((unsigned char)*c->at) || *c->at == '_')
        c->at++;
    return gd_strndup(start, (size_t)(c->at - start));
}

static json_t *value(struct cursor *c);

static json_t *text(struct cursor *c)
{
    const char *start = c->at++;
    GD_AUTO_FREE char *wrapped = NULL;
    GD_AUTO_JSON one = NULL;

    while (*c->at && *c->at != '"' && *c->at != '\n')
        c->at += *c->at == '\\' && c->at[1] ? 2 : 1;
    if (*c->at != '"')
        return refuse(c, "a text does not end");
    c->at++;
    wrapped = gd_strf("[%.*s]", (int)(c->at - start), start);
    one = gd_json_parse(wrapped, strlen(wrapped), strlen(wrapped), NULL);
    return one ? json_incref(json_array_get(one, 0)) : refuse(c, "a text is not valid");
}

static json_t *list(struct cursor *c)
{
    json_t *out = json_array();

    c->at++;
    while (!c->wrong && !eat(c, ']'))
        json_array_append_new(out, value(c));
    return out;
}

/* name: value pairs up to the closing mark. */
static json_t *pairs(struct cursor *c, char close)
{
    json_t *out = json_object();

    c->at++;
    while (!c->wrong && !eat(c, close)) {
        GD_AUTO_FREE char *key = name(c);
        json_t *one;

        if (!key || !expect(c, ':')) {
            refuse(c, "expected a name");
            break;
        }
        one = value(c);
        if (one)
            json_object_set_new(out, key, one);
    }
    return out;
}

static json_t *variable(struct cursor *c)
{
    GD_AUTO_FREE char *key = NULL;
    json_t *given;

    c->at++;
    key = name(c);
    if (!key || !json_object_get(c->declared, key))
        return refuse(c, "a variable is not declared");
    given = json_object_get(c->variables, key);
    return json_incref(given ? given : json_object_get(c->declared, key));
}

static json_t *number(struct cursor *c)
{
    char *end;
    double real = strtod(c->at, &end);
    bool whole = memchr(c->at, '.', (size_t)(end - c->at)) == NULL;
    json_t *out = whole ? json_integer(strtoll(c->at, NULL, 10)) : json_real(real);

    if (end == c->at)
        refuse(c, "expected a value");
    c->at = end;
    return out;
}

static json_t *word(struct cursor *c)
{
    GD_AUTO_FREE char *found = name(c);

    if (strcmp(found, "true") == 0 || strcmp(found, "false") == 0)
        return json_boolean(found[0] == 't');
    return strcmp(found, "null") == 0 ? json_null() : json_string(found);
}

static json_t *value(struct cursor *c)
{
    json_t *out;

    blanks(c);
    if (++c->depth > DEPTH_MAX)
        return refuse(c, "too deep");
    if (*c->at == '"')
        out = text(c);
    else if (*c->at == '[')
        out = list(c);
    else if (*c->at == '{')
        out = pairs(c, '}');
    else if (*c->at == '$')
        out = variable(c);
    else
        out = isalpha((unsigned char)*c->at) ? word(c) : number(c);
    c->depth--;
    return out;
}

static json_t *selection(struct cursor *c);

static json_t *field(struct cursor *c)
{
    char *first = name(c), *second = NULL;
    json_t *args = NULL, *select = NULL, *out;

    if (!first)
        return refuse(c, "expected a field");
    if (eat(c, ':'))
        second = name(c);
    blanks(c);
    if (*c->at == '(')
        args = pairs(c, ')');
    blanks(c);
    if (*c->at == '{')
        select = selection(c);
    out = json_pack("{s:s,s:s,s:o,s:o*}", "name", second ? second : first, "alias", first, "args",
                    args ? args : json_object(), "select", select);
    gd_free(first);
    gd_free(second);
    return out;
}

/* "{" field {field} "}" */
static json_t *selection(struct cursor *c)
{
    json_t *out = json_array();

    if (++c->depth > DEPTH_MAX)
        refuse(c, "too deep");
    if (!c->wrong && expect(c, '{')) {
        while (!c->wrong && !eat(c, '}'))
            json_array_append_new(out, field(c));
    }
    c->depth--;
    if (!json_array_size(out))
        refuse(c, "nothing is selected");
    return out;
}

/* A type, of which only the end matters here: [Name!]! */
static void type(struct cursor *c)
{
    while (eat(c, '['))
        ;
    gd_free(name(c));
    while (eat(c, ']') || eat(c, '!'))
        ;
}

/* "(" "$" name ":" type ["=" value] ... ")" */
static void declarations(struct cursor *c)
{
    while (!c->wrong && !eat(c, ')')) {
        GD_AUTO_FREE char *key = NULL;

        if (!expect(c, '$'))
            return;
        key = name(c);
        if (!key || !expect(c, ':')) {
            refuse(c, "expected a variable");
            return;
        }
        type(c);
        json_object_set_new(c->declared, key, eat(c, '=') ? value(c) : json_null());
    }
}

/* One operation; its name in *ret_name. */
static json_t *operation(struct cursor *c, char **ret_name)
{
    GD_AUTO_FREE char *kind = name(c);

    *ret_name = NULL;
    if (kind && strcmp(kind, "query") != 0 && strcmp(kind, "mutation") != 0)
        return refuse(c, "expected query or mutation");
    if (kind) {
        *ret_name = name(c);
        if (eat(c, '('))
            declarations(c);
    }
    return json_pack("{s:s,s:o}", "type", kind ? kind : "query", "select", selection(c));
}

json_t *gql_parse(const char *document, const json_t *variables, const char *wanted, char **ret_wrong)
{
    struct cursor c = { .at = document, .variables = variables, .declared = json_object() };
    json_t *found = NULL;

    do {
        char *title;
        json_t *one = operation(&c, &title);

        if (!found && (!wanted || (title && strcmp(wanted, title) == 0)))
            found = json_incref(one);
        json_decref(one);
        gd_free(title);
        blanks(&c);
    } while (*c.at && !c.wrong);
    if (!found)
        refuse(&c, "no such operation");
    json_decref(c.declared);
    if (!c.wrong)
        return found;
    *ret_wrong = c.wrong;
    json_decref(found);
    return NULL;
}

static json_t *part(const json_t *asked, const json_t *whole, char **ret_wrong)
{
    const json_t *select = json_object_get(asked, "select");
    const char *type_name = json_string_value(json_object_get(whole, "__typename"));
    const char *wanted = json_string_value(json_object_get(asked, "name"));
    const json_t *found = json_object_get(whole, wanted), *one;
    json_t *out;
    size_t i;

    if (!found)
        *ret_wrong = gd_strf("Field '%s' doesn't exist on type '%s'", wanted, type_name);
    else if (!select && (json_is_object(found) || json_is_object(json_array_get(found, 0))))
        *ret_wrong = gd_strf("Field must have selections (field '%s' has none)", wanted);
    if (*ret_wrong)
        return NULL;
    if (!json_is_array(found))
        return json_is_object(found) ? gql_project(select, found, ret_wrong) : json_deep_copy(found);
    out = json_array();
    json_array_foreach(found, i, one)
    {
        json_array_append_new(out, json_is_object(one) ? gql_project(select, one, ret_wrong)
                                                       : json_deep_copy(one));
    }
    return out;
}

json_t *gql_project(const json_t *select, const json_t *whole, char **ret_wrong)
{
    json_t *out = json_object(), *asked, *one;
    size_t i;

    *ret_wrong = NULL;
    json_array_foreach(select, i, asked)
    {
        one = part(asked, whole, ret_wrong);
        if (*ret_wrong) {
            json_decref(one);
            json_decref(out);
            return NULL;
        }
        json_object_set_new(out, json_string_value(json_object_get(asked, "alias")), one);
    }
    return out;
}

int gql_cost(const json_t *select)
{
    const json_t *one;
    int64_t sum = 0;
    size_t i;

    json_array_foreach(select, i, one)
    {
        const json_t *inner = json_object_get(one, "select");
        int64_t times = gd_json_i64(json_object_get(one, "args"), "first", 1);

        if (inner)
            sum += 1 + (times > 0 && times < 100000 ? times : 1) * gql_cost(inner);
    }
    return sum > 1000000 ? 1000000 : (int)sum;
}
