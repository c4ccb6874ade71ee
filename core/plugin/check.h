/* plugin/check.h - private to the room. */
#ifndef GD_PLUGIN_CHECK_H
#define GD_PLUGIN_CHECK_H

#include "plugin/platform.h"

/* The first two numbers of a table: may the rest be read at all? room: bytes that the symbol has in its file,
 * 0: unknown (linked in). */
int gd_plugin_check_head(const struct grantd_platform *p, size_t room, const char *file_name,
                         struct gd_err *err);

#endif
