/* google_gaql.h - the part of Google Ads' query language that the sandbox understands: SELECT, FROM, WHERE
 * with AND, ORDER BY, LIMIT. Pure functions over text and JSON. */
#ifndef SANDBOX_GOOGLE_GAQL_H
#define SANDBOX_GOOGLE_GAQL_H

#include <jansson.h>

/* {"select": [field], "from": resource, "where": [{"field", "op", "values": [text]}], "order": [{"field",
 * "desc"}], "limit": n or -1}; fields in snake case. NULL, and *ret_word, a value of queryError, when it is
 * no query. */
json_t *gaql_parse(const char *text, const char **ret_word);
/* The rows ({"customerClient": {...}}) that the query asks for, with the fields it asks for and resourceName.
 * NULL, and *ret_word, when a field is not known. A new reference; rows is borrowed. */
json_t *gaql_run(const json_t *query, const json_t *rows, const json_t *known, const char **ret_word);
/* "customer_client.id" -> "customerClient.id". Caller frees with gd_free. */
char *gaql_camel(const char *snake);
/* The selected fields as a field mask. Caller frees with gd_free. */
char *gaql_mask(const json_t *query);

#endif
