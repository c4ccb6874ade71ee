/* plugin/place.h - opening a folder and a file of platforms so that nobody but their owner can have put or
 * changed them: no symbolic links, every parent checked, the descriptor looked at and not the name. Start-up.
 */
#ifndef GD_PLUGIN_PLACE_H
#define GD_PLUGIN_PLACE_H

#include "base/err.h"

#include <stdbool.h>

/* The folder, every parent of it checked from the root on. A descriptor that can be listed, or -1 with
 * PLATFORM_DIR_MISSING or PLATFORM_DIR_UNSAFE. With check_owner each must belong to root. */
int gd_plugin_open_dir(const char *path, bool check_owner, struct gd_err *err);
/* A plain file of that folder: a descriptor (O_PATH: opening has no effect of its own) for /proc/self/fd, or
 * -1 with PLATFORM_FILE_MISSING, _SYMLINK, _NOT_FILE, _HARD_LINK, _OWNER or _MODE. */
int gd_plugin_open_file(int dir, const char *name, bool check_owner, struct gd_err *err);

#endif
