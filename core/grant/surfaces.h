/* grant/surfaces.h - the places where one grant's access exists, while they are being closed. Inside the
 * grant room. */
#ifndef GD_GRANT_SURFACES_H
#define GD_GRANT_SURFACES_H

#include "grant/broker_int.h"

struct gd_surfaces {
    struct gd_broker *b;
    const char *workspace, *grant; /* grant "": an orphaned credential; nothing is stored */
    json_t *rows;                  /* {"row","kind","id","outcome","said","held"} */
};
void gd_surfaces_read(struct gd_tx *tx, const char *workspace, const char *grant);
/* Rows of that statement. An orphan has one surface, its token. */
void gd_surfaces_take(struct gd_surfaces *s, const struct gd_tx *tx, size_t stmt);
/* What others ([{"kind","id"}]) stand on as well is neither listed nor spoken of, but by HELD. */
void gd_surfaces_hold(struct gd_surfaces *s, const json_t *others);
void gd_surfaces_done(struct gd_surfaces *s);
/* What the platform is asked to close: open or failed. with_token false: the token is only a tool. New
 * reference. */
json_t *gd_surfaces_listed(const struct gd_surfaces *s, bool with_token);
/* What the platform said, surface by surface, into the transaction. */
void gd_surfaces_report(struct gd_surfaces *s, struct gd_tx *tx, const json_t *reported, int64_t now);
/* What it did not speak of. */
enum gd_surfaces_which { GD_SURFACES_ALL, GD_SURFACES_TOKEN, GD_SURFACES_NATIVE, GD_SURFACES_HELD };
void gd_surfaces_rest(struct gd_surfaces *s, struct gd_tx *tx, enum gd_surfaces_which which, const char *word,
                      const char *note, int64_t now);
/* Whatever is still failed is a person's. */
void gd_surfaces_give_up(struct gd_surfaces *s, struct gd_tx *tx, const char *note, int64_t now);

#endif
