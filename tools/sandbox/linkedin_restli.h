/* linkedin_restli.h - Rest.li 2.0 as it stands in a URL: records (k:v,k:v), List(a,b), texts that are
 * percent-encoded. Pure functions. */
#ifndef SANDBOX_LINKEDIN_RESTLI_H
#define SANDBOX_LINKEDIN_RESTLI_H

#include <jansson.h>

/* The value that raw (still percent-encoded, as it came) stands for; a structure character that is encoded is
 * text. equals: k=v is taken for k:v, the old spelling of keys. NULL when it is malformed. A new reference.
 */
json_t *restli_parse(const char *raw, int equals);

#endif
