/* daemon/keks.c - the KEKs that the configuration names: the one that is to be used, and the previous one, as
 * long as something is wrapped by it. */
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"

#include <string.h>

static char *source_text(const struct gd_key_source *s)
{
    return s->file         ? gd_strf("file %s", s->file)
           : s->credential ? gd_strf("credential %s", s->credential)
                           : gd_strf("passphrase of %s", s->passphrase_file);
}

static int read_kek(const struct gd_daemon *d, const struct gd_key_source *src, bool create,
                    struct gd_kek *ret, struct gd_err *err)
{
    unsigned char salt[16] = { 0 };

    if ((src->passphrase_file && gd_daemon_small_file(d, "kek.salt", salt, sizeof salt, err)) ||
        gd_key_source_read(ret->key, src, salt, create, &ret->created, err))
        return -1;
    ret->source = source_text(src);
    return 0;
}

int gd_keks_read(const struct gd_daemon *d, const struct gd_config *c, bool create, struct gd_keks *ret,
                 struct gd_err *err)
{
    const struct gd_key_source named = { c->key_file, c->key_credential, c->key_passphrase_file },
                               previous = { c->previous_file, c->previous_credential,
                                            c->previous_passphrase_file };
    bool has_previous = previous.file || previous.credential || previous.passphrase_file;

    if (has_previous && read_kek(d, &previous, false, &ret->previous, err) < 0)
        return -1;
    /* A key that is to replace another one is the operator's to make. */
    return read_kek(d, &named, create && !has_previous, &ret->named, err);
}

void gd_keks_done(struct gd_keks *k)
{
    gd_free(k->named.source);
    gd_free(k->previous.source);
    gd_wipe(k, sizeof *k);
}

int gd_keks_add(struct gd_daemon *d, const struct gd_keks *k, char *ret_id, struct gd_err *err)
{
    const char *used = gd_keyring_used(d->keyring);
    char previous[GD_KEK_ID] = "", named[GD_KEK_ID];

    if ((k->previous.source &&
         gd_keyring_add_kek(d->keyring, k->previous.key, k->previous.source, previous, err)) ||
        gd_keyring_add_kek(d->keyring, k->named.key, k->named.source, named, err))
        return -1;
    if (*used && strcmp(used, named) != 0 && strcmp(used, previous) != 0)
        return gd_err_set(
            err, GD_R_KEY_WRONG,
            "key %s is in use, and neither key nor key.previous names it: without it the next start "
            "would be refused",
            used);
    memcpy(ret_id, named, sizeof named);
    return 0;
}

int gd_daemon_boot_keks(struct gd_daemon *d, bool create, struct gd_err *err)
{
    struct gd_keks k = { 0 };
    int rc = gd_keks_read(d, d->config, create, &k, err);

    d->keyring = gd_keyring_new();
    if (rc == 0)
        rc = gd_keks_add(d, &k, d->kek, err);
    if (rc == 0 && k.named.created)
        GD_LOG(d->log, GD_LOG_WARN, "key.created", GD_F_STR("path", d->config->key_file),
               GD_F_STR("text", "the key lies beside the data that it protects; move it elsewhere and "
                                "name it under key"));
    gd_keks_done(&k);
    return rc;
}
