/* store/backup_int.h - what making a backup and reading one share. */
#ifndef GD_STORE_BACKUP_INT_H
#define GD_STORE_BACKUP_INT_H

#include "store/backup.h"
#include "store/store_int.h"

#include "base/mem.h"

#define GD_BACKUP_TABLES    "tables"
#define GD_BACKUP_SPOOL     "spool"
#define GD_BACKUP_MANIFEST  "manifest.json"
#define GD_BACKUP_SIGNATURE "manifest.sig"

bool gd_folder_is_empty(int fd);

#endif
