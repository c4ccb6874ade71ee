/* bc.h - what the files of tiktok_bc share. Progress is in notes, so that a crash, a look hours later and a
 * page more are the same thing: the function whose name is noted is called again. */
#ifndef BC_H
#define BC_H

#include "tiktok.h"

/* "partner", "access", "guided" or "oauth". */
const char *bc_mode(const grantd_op *op);
int bc_mode_is(const grantd_op *op, const char *mode);
const char *bc_role(const grantd_op *op); /* asked */
int bc_rank(const char *role);            /* 0: unknown */

/* An ad account is shared: asset, surfaces, and what is to be said of its role. */
void bc_report(grantd_op *op, const char *id, const char *name, const char *role, const char *parent);
/* The surfaces of an ad account that a Business Center shares: told before it is asked to, so that they are
 * closed when the item ends without a grant. */
void bc_tell(grantd_op *op, const char *id, const char *parent, uint32_t outcome);
/* It is not, and why; the others are not affected. */
void bc_problem(grantd_op *op, const char *id, const char *word, const char *text);
/* Notes where to go on, and goes on there in a new run. */
grantd_next *bc_go(grantd_op *op, const char *at);
grantd_next *bc_next_page(grantd_op *op, const char *at);
/* Ends grant: the ad accounts are dealt with. */
grantd_next *bc_wrap_up(grantd_op *op);
/* Pairs for one page of a list of a Business Center. */
#define BC_PAGE(op, size) "page", tt_num_text(op, tt_noted(op, "page", 1)), "page_size", #size

/* Functions by their place in the notes (tiktok_bc.c has the table). */
grantd_fn bc_choose, bc_centers, bc_own, bc_was, bc_look, bc_share, bc_check, bc_next_center; /* share.c */
grantd_fn bc_access, bc_watch, bc_sweep, bc_settle, bc_guided;                                /* access.c */
grantd_fn bc_staff, bc_members, bc_finance, bc_assign, bc_after_staff;                        /* staff.c */

void bc_access_steps(grantd_op *op); /* access.c */
void bc_guided_steps(grantd_op *op);
/* Takes the words of a text as ad account ids into a list; what is none becomes a problem. */
void bc_take_ids(grantd_op *op, const char *text, const char *list);

grantd_fn bc_verify, bc_scan; /* look.c */
grantd_fn bc_revoke;          /* close.c */

#endif
