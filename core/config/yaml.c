/* config/yaml.c - libyaml's document API behind a strict profile. The tokens are looked at first (anchors,
 * aliases, tags, directives, a second document), because the document has forgotten them; then the document
 * is checked for keys that come twice and text that is no clean UTF-8. */
#include "config/config_int.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 5, 0))) static void fail_at(struct ctx *c, int line, int column,
                                                          enum gd_reason reason, const char *fmt, va_list ap)
{
    struct gd_config_error *e;
    size_t n = 0;

    if (c->errors->count == GD_CONFIG_ERRORS_MAX) {
        c->errors->more++;
        return;
    }
    e = &c->errors->list[c->errors->count++];
    e->reason = reason;
    e->line = line;
    e->column = column;
    if (line)
        n = (size_t)snprintf(e->text, sizeof e->text, "%.200s:%d:%d: ", c->file, line, column);
    else if (c->file)
        n = (size_t)snprintf(e->text, sizeof e->text, "%.200s: ", c->file);
    (void)vsnprintf(e->text + n, sizeof e->text - n, fmt, ap);
}

__attribute__((format(printf, 4, 5))) static void fail_mark(struct ctx *c, yaml_mark_t m,
                                                            enum gd_reason reason, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail_at(c, (int)m.line + 1, (int)m.column + 1, reason, fmt, ap);
    va_end(ap);
}

void gd_config_fail(struct ctx *c, const yaml_node_t *node, enum gd_reason reason, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail_at(c, node ? (int)node->start_mark.line + 1 : 0, node ? (int)node->start_mark.column + 1 : 0, reason,
            fmt, ap);
    va_end(ap);
}

static void fail_syntax(struct ctx *c, const yaml_parser_t *p)
{
    yaml_mark_t m = p->problem_mark;

    if (p->error == YAML_READER_ERROR) /* knows only the byte */
        gd_config_fail(c, NULL, GD_R_CONFIG_SYNTAX, "byte %zu: %s", p->problem_offset, p->problem);
    else
        fail_mark(c, m, GD_R_CONFIG_SYNTAX, "%s%s%s", p->context ? p->context : "", p->context ? ": " : "",
                  p->problem ? p->problem : "this is not YAML");
}

static void start_parser(yaml_parser_t *p, const char *text, size_t n)
{
    if (!yaml_parser_initialize(p))
        abort(); /* out of memory */
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, (const unsigned char *)text, n);
}

/* What the profile leaves out, by token; NULL: allowed. */
static const char *refused_token(const yaml_token_t *t)
{
    switch (t->type) {
    case YAML_ALIAS_TOKEN:
        return "aliases (*name) are not taken here: write the value out";
    case YAML_ANCHOR_TOKEN:
        return "anchors (&name) are not taken here: leave it out";
    case YAML_TAG_TOKEN:
        return "tags (!name) are not taken here: the option says what type a value has";
    case YAML_VERSION_DIRECTIVE_TOKEN:
    case YAML_TAG_DIRECTIVE_TOKEN:
        return "directives (%NAME) are not taken here: leave the line out";
    default:
        return NULL;
    }
}

/* How the token changes the nesting. */
static int nesting(const yaml_token_t *t)
{
    switch (t->type) {
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
    case YAML_FLOW_SEQUENCE_START_TOKEN:
    case YAML_FLOW_MAPPING_START_TOKEN:
        return 1;
    case YAML_BLOCK_END_TOKEN:
    case YAML_FLOW_SEQUENCE_END_TOKEN:
    case YAML_FLOW_MAPPING_END_TOKEN:
        return -1;
    default:
        return 0;
    }
}

/* False when the document must not be built: it is no YAML, or has aliases (which the document follows). */
static bool scan(struct ctx *c, const char *text, size_t n)
{
    bool ok = true, end = false;
    yaml_parser_t p;
    int depth = 0;

    start_parser(&p, text, n);
    while (!end) {
        const char *why;
        yaml_token_t t;

        if (!yaml_parser_scan(&p, &t)) {
            fail_syntax(c, &p);
            ok = false;
            break;
        }
        why = refused_token(&t);
        if (why)
            fail_mark(c, t.start_mark, GD_R_CONFIG_YAML_FEATURE, "%s", why);
        if (t.type == YAML_ALIAS_TOKEN)
            ok = false;
        depth += nesting(&t);
        end = t.type == YAML_STREAM_END_TOKEN;
        if (depth > GD_JSON_DEPTH_MAX) { /* libyaml's work grows with the square of it */
            fail_mark(c, t.start_mark, GD_R_CONFIG_YAML_FEATURE, "nested deeper than %d levels",
                      GD_JSON_DEPTH_MAX);
            ok = false;
            end = true;
        }
        yaml_token_delete(&t);
    }
    yaml_parser_delete(&p);
    return ok;
}

/* ---- the document
 * --------------------------------------------------------------------------------------------- */

static void check_mapping(struct ctx *c, yaml_node_t *n)
{
    struct gd_map seen = { 0 };

    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        yaml_node_t *key = gd_config_node(c, p->key), *before;

        if (key->type != YAML_SCALAR_NODE)
            continue; /* check_keys has said so */
        before = gd_map_set(&seen, (const char *)key->data.scalar.value, key);
        if (before)
            gd_config_fail(c, key, GD_R_CONFIG_DUPLICATE_KEY, "%s was set already on line %zu",
                           (const char *)key->data.scalar.value, before->start_mark.line + 1);
    }
    gd_map_done(&seen, NULL);
}

/* False when a key is no word: such a document cannot be walked. */
static bool check_keys(struct ctx *c, yaml_node_t *n)
{
    bool ok = true;

    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++)
        if (gd_config_node(c, p->key)->type != YAML_SCALAR_NODE) {
            gd_config_fail(c, gd_config_node(c, p->key), GD_R_CONFIG_VALUE_INVALID, "a key has to be a word");
            ok = false;
        }
    return ok;
}

static bool check_nodes(struct ctx *c)
{
    bool ok = true;

    for (yaml_node_t *n = c->doc.nodes.start; n < c->doc.nodes.top; n++) {
        if (n->type == YAML_SCALAR_NODE &&
            !gd_text_clean((const char *)n->data.scalar.value, n->data.scalar.length))
            gd_config_fail(c, n, GD_R_TEXT_INVALID, "the text holds a control character or is not UTF-8");
        if (n->type != YAML_MAPPING_NODE)
            continue;
        ok = check_keys(c, n) && ok;
        check_mapping(c, n);
    }
    return ok;
}

/* A second document is refused; the first one's own mistakes are named all the same. */
static void check_end(struct ctx *c, yaml_parser_t *p)
{
    yaml_document_t more;
    yaml_node_t *root;

    if (!yaml_parser_load(p, &more)) {
        fail_syntax(c, p);
        return;
    }
    root = yaml_document_get_root_node(&more);
    if (root)
        gd_config_fail(c, root, GD_R_CONFIG_YAML_FEATURE,
                       "a second document starts here: there may be only one");
    yaml_document_delete(&more);
}

bool gd_config_parse(struct ctx *c, const char *text, size_t n)
{
    yaml_parser_t p;
    bool ok;

    if (!scan(c, text, n))
        return false;
    start_parser(&p, text, n);
    ok = yaml_parser_load(&p, &c->doc);
    c->has_doc = ok;
    if (!ok)
        fail_syntax(c, &p);
    else if (yaml_document_get_root_node(&c->doc)) {
        ok = check_nodes(c);
        check_end(c, &p);
    }
    yaml_parser_delete(&p);
    return ok;
}

/* ---- walking it
 * ------------------------------------------------------------------------------------------------ */

static bool is_empty(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE && n->data.scalar.length == 0 &&
           n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool gd_config_pairs(struct ctx *c, yaml_node_t *n, const char *what, yaml_node_pair_t **ret_p, size_t *ret_n)
{
    if (n->type != YAML_MAPPING_NODE && !is_empty(n)) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be a group of \"name: value\" lines",
                       what);
        return false;
    }
    *ret_p = n->type == YAML_MAPPING_NODE ? n->data.mapping.pairs.start : NULL;
    *ret_n = *ret_p ? (size_t)(n->data.mapping.pairs.top - *ret_p) : 0;
    return true;
}

bool gd_config_items(struct ctx *c, yaml_node_t *n, const char *what, yaml_node_item_t **ret_p, size_t *ret_n)
{
    if (n->type != YAML_SEQUENCE_NODE && !is_empty(n)) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be a list: [one, two] or lines with \"- \"", what);
        return false;
    }
    *ret_p = n->type == YAML_SEQUENCE_NODE ? n->data.sequence.items.start : NULL;
    *ret_n = *ret_p ? (size_t)(n->data.sequence.items.top - *ret_p) : 0;
    return true;
}

yaml_node_t *gd_config_find(struct ctx *c, yaml_node_t *mapping, const char *key)
{
    if (!mapping || mapping->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < mapping->data.mapping.pairs.top; p++)
        if (!strcmp(gd_config_key(c, p), key))
            return gd_config_node(c, p->value);
    return NULL;
}

const char *gd_config_scalar(struct ctx *c, yaml_node_t *n, const char *what)
{
    if (n->type != YAML_SCALAR_NODE) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be one value, not a list or a group",
                       what);
        return NULL;
    }
    if (n->data.scalar.length == 0) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s is empty: give it a value or leave the line out",
                       what);
        return NULL;
    }
    return (const char *)n->data.scalar.value;
}
