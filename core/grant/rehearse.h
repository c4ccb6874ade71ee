/* grant/rehearse.h - what a platform says of an item before anything is asked of anybody. Inside the grant
 * room. */
#ifndef GD_GRANT_REHEARSE_H
#define GD_GRANT_REHEARSE_H

#include "grant/broker_int.h"

/* The items of a request that is being made (c->params), each with its platform's request function up to
 * where it would send or keep something. fn once, later; err: which item cannot be asked like that and why,
 * NULL: none. notices: JSON, a list as gd_asked_notices makes it, of what nobody can approve as things stand;
 * in the call's arena. */
typedef void gd_rehearsed_fn(struct gd_call *c, const char *notices, const struct gd_err *err);
void gd_rehearse(struct gd_call *c, gd_rehearsed_fn *fn);

#endif
