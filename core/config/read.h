/* config/read.h - of this room only: the steps of one load. */
#ifndef GD_CONFIG_READ_H
#define GD_CONFIG_READ_H

struct ctx;

void gd_config_read(struct ctx *c);     /* the document, or none, into c->cfg */
void gd_config_defaults(struct ctx *c); /* what the file left open */
void gd_config_free_list(char **list);  /* NULL-terminated; NULL is fine */

#endif
