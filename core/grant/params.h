/* grant/params.h - see params.c. Inside the grant room. */
#ifndef GD_GRANT_PARAMS_H
#define GD_GRANT_PARAMS_H

#include "grant/broker_int.h"

/* params: object or NULL; item: its place in the request, for the sentence. PARAM_INVALID. */
int gd_params_check(const struct gd_platform *p, json_t *params, size_t item, struct gd_err *err);
/* Column "params": checked parameters as the platform reads them; NULL when there are none. Caller frees. */
char *gd_params_text(const struct gd_platform *p, json_t *params);

#endif
