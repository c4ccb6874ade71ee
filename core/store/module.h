/* store/module.h - engines that are loaded when the configuration asks for one. A module belongs to the build
 * that it was made with, to the letter: it shares the room's structures, and is refused when they differ. */
#ifndef GD_STORE_MODULE_H
#define GD_STORE_MODULE_H

#include "store/store_int.h"

struct gd_store_module {
    char build[32];                         /* GRANTD_VERSION, and with fault points or without */
    size_t tx, stmt, options, host, engine; /* sizes */
    const struct gd_store_engine *ops;
};
#ifdef GRANTD_FAULTS
#define GD_STORE_BUILD GRANTD_VERSION " faults"
#else
#define GD_STORE_BUILD GRANTD_VERSION
#endif
#define GD_STORE_MODULE(e)                                                                             \
    {                                                                                                  \
        GD_STORE_BUILD, sizeof(struct gd_tx), sizeof(struct gd_stmt), sizeof(struct gd_store_options), \
            sizeof(struct gd_store_host), sizeof(struct gd_store_engine), (e)                          \
    }

/* Loads <dir>/postgresql.so, which only root, or with own_modules the user of this process, may have put
 * there. It stays for the life of the process. NULL with STORE_MODULE. */
const struct gd_store_engine *gd_store_module_load(const char *dir, bool own_modules, struct gd_err *err);

#endif
