/* shopify_graphql.h - as much of GraphQL as calls of Shopify's Admin API need: one operation or several by
 * name, variables with defaults, aliases, arguments; no fragments and no directives. Pure functions. */
#ifndef SANDBOX_SHOPIFY_GRAPHQL_H
#define SANDBOX_SHOPIFY_GRAPHQL_H

#include <jansson.h>

/* {"type": "query"|"mutation", "select": [{"name", "alias", "args": {}, "select": [...]}]}; variables (may be
 * NULL) are put in their places. NULL, and *ret_wrong, a text that the caller frees, when it is none. */
json_t *gql_parse(const char *text, const json_t *variables, const char *operation, char **ret_wrong);
/* What select takes of a whole object ("__typename" names its type; a member that is null still exists).
 * NULL, and *ret_wrong, when it asks for what is not there. A new reference. */
json_t *gql_project(const json_t *select, const json_t *whole, char **ret_wrong);
/* Number of objects asked for, times `first` of what they are in: the sandbox's measure of a query's cost. */
int gql_cost(const json_t *select);

#endif
