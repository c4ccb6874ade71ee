/* daemon/restore.c - grantd --restore: fills the stores that the configuration names from backups, while no
 * daemon runs. The next start holds what may have been spent since (grant/restored.c). */
#include "base/mem.h"
#include "crypto/keyring.h"
#include "daemon/daemon.h"
#include "store/backup.h"

#include <stdio.h>

static int one(struct gd_daemon *d, const char *dir, bool keys, const unsigned char pub[32],
               struct gd_err *err)
{
    struct gd_store_options to = gd_daemon_store_options(d, keys);
    GD_AUTO_JSON manifest = NULL;

    if (dir[0] != '/')
        return gd_err_set(err, GD_R_BACKUP_PLACE, "%s: name the backup by its absolute path", dir);
    if (gd_backup_restore(dir, keys ? "keyring" : "data", pub, &to, d->clock, d->log, &manifest, err) < 0)
        return -1;
    printf("the %s is that of backup %s, made %s\n", keys ? "keyring" : "data",
           gd_json_text(manifest, "id", "?"), gd_json_text(manifest, "made_at", "?"));
    return 0;
}

int gd_daemon_restore(struct gd_daemon *d, const char *data, const char *keys, struct gd_err *err)
{
    unsigned char seed[32], pub[32];

    if (gd_daemon_boot_offline(d, err))
        return -1;
    gd_keyring_derive(d->keyring, "audit", seed);
    gd_ed25519_public(pub, seed);
    gd_wipe(seed, sizeof seed);
    if ((keys && one(d, keys, true, pub, err)) || (data && one(d, data, false, pub, err)))
        return -1;
    if (data)
        puts("credentials that may have been spent since are held: start grantd, then `grantctl store "
             "doubts`");
    return 0;
}
