/* grant/reports.h - the assets and surfaces that a platform reported in the runs of one flow. They are
 * durable in parts, each of what was new at one save: thousands are not written again with each of them.
 * Inside the grant room. */
#ifndef GD_GRANT_REPORTS_H
#define GD_GRANT_REPORTS_H

#include "grant/exchange.h"

struct gd_reports_list {
    json_t *all;   /* the later report of a thing is the right one */
    json_t *fresh; /* those that are in no part yet */
    struct gd_map at;
    size_t taken; /* of what the present operation has reported */
};
struct gd_reports {
    struct gd_reports_list assets, surfaces;
    json_t *parts;   /* texts that are on their way to the store */
    int64_t durable; /* parts that are there */
};
/* From what was read with the flow. */
void gd_reports_init(struct gd_reports *r, const struct gd_flow *f);
void gd_reports_done(struct gd_reports *r);
/* What the operation has reported since the last time. */
void gd_reports_take(struct gd_reports *r, const struct gd_op_result *from);
/* What is fresh becomes parts; true when there are some. */
bool gd_reports_cut(struct gd_reports *r);
/* Adds them, and when that was committed they are durable. */
void gd_reports_save(const struct gd_reports *r, struct gd_tx *tx, const struct gd_flow *f);
void gd_reports_saved(struct gd_reports *r);

#endif
