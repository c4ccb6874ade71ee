/* daemon/restore.c - grantd --restore: fills the stores that the configuration names from backups, while no
 * daemon runs. The next start holds what may have been spent since (grant/restored.c). */
#include "base/mem.h"
#include "crypto/keyring.h"
#include "daemon/daemon.h"
#include "store/backup.h"

#include <stdio.h>

/* Only who has the key that wrapped the backup's root can tell whether it was signed by it. */
static int open_root(struct gd_daemon *d, const char *dir, unsigned char pub[32], struct gd_err *err)
{
    GD_AUTO_JSON manifest = gd_backup_manifest(dir);
    unsigned char seed[32];
    struct gd_err why = { 0 };

    if (!manifest)
        return gd_err_set(err, GD_R_BACKUP_INVALID, "%s holds no manifest that can be read", dir);
    if (gd_key_open_root(d->keyring, json_object_get(manifest, "root"), &why) < 0)
        return gd_err_set(err, why.reason == GD_R_KEY_WRONG ? GD_R_KEY_WRONG : GD_R_BACKUP_INVALID,
                          "%s: %.160s%s", dir, why.text,
                          why.reason == GD_R_KEY_WRONG ? "; name it under key.previous" : "");
    gd_keyring_derive(d->keyring, "audit", seed);
    gd_ed25519_public(pub, seed);
    gd_wipe(seed, sizeof seed);
    return 0;
}

static int one(struct gd_daemon *d, const char *dir, bool keys, struct gd_err *err)
{
    struct gd_store_options to = gd_daemon_store_options(d, keys);
    GD_AUTO_JSON manifest = NULL;
    unsigned char pub[32];

    if (dir[0] != '/')
        return gd_err_set(err, GD_R_BACKUP_PLACE, "%s: name the backup by its absolute path", dir);
    if (open_root(d, dir, pub, err) < 0 ||
        gd_backup_restore(dir, keys ? "keyring" : "data", pub, &to, d->clock, d->log, &manifest, err) < 0)
        return -1;
    printf("the %s is that of backup %s, made %s\n", keys ? "keyring" : "data",
           gd_json_text(manifest, "id", "?"), gd_json_text(manifest, "made_at", "?"));
    return 0;
}

int gd_daemon_restore(struct gd_daemon *d, const char *data, const char *keys, struct gd_err *err)
{
    if (gd_daemon_boot_offline(d, err))
        return -1;
    if ((keys && one(d, keys, true, err)) || (data && one(d, data, false, err)))
        return -1;
    if (data)
        puts("credentials that may have been spent since are held: start grantd, then `grantctl store "
             "doubts`");
    return 0;
}
