/* config/config_int.h - shared by the files of this room only. */
#ifndef GD_CONFIG_CONFIG_INT_H
#define GD_CONFIG_CONFIG_INT_H

#include "config/config.h"

#include <yaml.h>

/* One load. The document's nodes are borrowed everywhere. */
struct ctx {
    struct gd_config *cfg;
    const struct gd_config_given *given;
    struct gd_config_errors *errors;
    const char *file;
    char *dir; /* folder of the file; relative paths start here */
    yaml_document_t doc;
    bool has_doc;
    bool no_platforms; /* they could not be loaded: options cannot be checked */
};

/* ---- yaml.c: the strict profile
 * ----------------------------------------------------------------------------- */
/* node NULL: the error concerns the file as such. */
void gd_config_fail(struct ctx *c, const yaml_node_t *node, enum gd_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Reads text into c->doc. False when nothing can be read from it at all (errors say why). */
bool gd_config_parse(struct ctx *c, const char *text, size_t n);
static inline yaml_node_t *gd_config_node(struct ctx *c, int i)
{
    return yaml_document_get_node(&c->doc, i);
}
static inline const char *gd_config_key(struct ctx *c, const yaml_node_pair_t *p)
{
    return (const char *)gd_config_node(c, p->key)->data.scalar.value;
}
/* Pairs of a mapping; an empty plain scalar ("apps:" with nothing behind it) counts as an empty mapping.
 * False with an error when it is something else. */
bool gd_config_pairs(struct ctx *c, yaml_node_t *n, const char *what, yaml_node_pair_t **ret_p,
                     size_t *ret_n);
/* The same for lists. */
bool gd_config_items(struct ctx *c, yaml_node_t *n, const char *what, yaml_node_item_t **ret_p,
                     size_t *ret_n);
/* Value of a key of a mapping; NULL when absent. */
yaml_node_t *gd_config_find(struct ctx *c, yaml_node_t *mapping, const char *key);
/* The text of a scalar, not empty; NULL with an error otherwise. Borrowed. */
const char *gd_config_scalar(struct ctx *c, yaml_node_t *n, const char *what);

/* ---- value.c: typed values
 * ---------------------------------------------------------------------------------- */
struct key;
typedef void read_fn(struct ctx *c, const struct key *k, yaml_node_t *n, void *to);
struct key { /* a table ends with name NULL */
    const char *name;
    read_fn *read;
    size_t offset; /* of the member in the struct that the section fills */
    const void *arg;
    int64_t min, max;
};
/* Reads a mapping by its table into base; unknown keys are errors with what may have been meant. */
void gd_config_section(struct ctx *c, yaml_node_t *n, const char *what, const struct key *keys, void *base);
read_fn gd_read_text, gd_read_path, gd_read_int, gd_read_bool, gd_read_name,
    gd_read_sub; /* sub: arg is a table */

/* The nearest of the candidates offered, for "did you mean". */
struct guess {
    const char *word, *best;
    size_t distance;
};
void gd_guess(struct guess *g, const char *candidate);
void gd_config_unknown(struct ctx *c, yaml_node_t *key, const char *what, const struct guess *g);

/* Is the URL https, or plain http to a loopback host? origin: nothing behind host and port. */
bool gd_config_url_ok(const char *url, bool origin);
bool gd_config_host_port(const char *text,
                         bool address);                /* "host:port"; address: the host is an IP address */
char *gd_config_path(struct ctx *c, const char *path); /* made absolute against the file's folder */
/* yes, true / no, false. */
bool gd_config_bool(const char *text, bool *ret);

/* ---- secret.c
 * ------------------------------------------------------------------------------------------------ */
/* The value behind {file|env|credential: ...}: new string, or NULL with an error. *ret_shown: where it came
 * from. */
char *gd_config_secret(struct ctx *c, yaml_node_t *n, const char *what, json_t **ret_shown);
/* The path of one that is read again later; it is there now. From a file or a credential. */
char *gd_config_secret_path(struct ctx *c, yaml_node_t *n, const char *what, json_t **ret_shown);

/* ---- apps.c
 * --------------------------------------------------------------------------------------------------- */
void gd_config_apps(struct ctx *c, yaml_node_t *n);
void gd_config_hubs(struct ctx *c, yaml_node_t *n);

#endif
