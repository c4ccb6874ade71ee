/* daemon/keks.c - the KEKs that the configuration names: the one that is to be used, and the previous one, as
 * long as something is wrapped by it. */
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"

static const char *source_text(const struct gd_key_source *s, char **ret)
{
    return *ret = s->file         ? gd_strf("file %s", s->file)
                  : s->credential ? gd_strf("credential %s", s->credential)
                                  : gd_strf("passphrase of %s", s->passphrase_file);
}

/* One of them into the keyring; its name into ret_id. */
static int add_kek(struct gd_daemon *d, const struct gd_key_source *src, bool create, char *ret_id,
                   struct gd_err *err)
{
    unsigned char kek[32], salt[16] = { 0 };
    GD_AUTO_FREE char *source = NULL;
    bool created = false;
    int rc = src->passphrase_file ? gd_daemon_small_file(d, "kek.salt", salt, sizeof salt, err) : 0;

    if (rc == 0)
        rc = gd_key_source_read(kek, src, salt, create, &created, err);
    if (rc == 0)
        rc = gd_keyring_add_kek(d->keyring, kek, source_text(src, &source), ret_id, err);
    gd_wipe(kek, sizeof kek);
    if (rc == 0 && created)
        GD_LOG(d->log, GD_LOG_WARN, "key.created", GD_F_STR("path", src->file),
               GD_F_STR("text", "the key lies beside the data that it protects; move it elsewhere and "
                                "name it under key"));
    return rc;
}

int gd_daemon_boot_keks(struct gd_daemon *d, bool create, struct gd_err *err)
{
    const struct gd_config *c = d->config;
    const struct gd_key_source named = { c->key_file, c->key_credential, c->key_passphrase_file },
                               previous = { c->previous_file, c->previous_credential,
                                            c->previous_passphrase_file };
    bool has_previous = previous.file || previous.credential || previous.passphrase_file;
    char id[GD_KEK_ID];

    d->keyring = gd_keyring_new();
    if (has_previous && add_kek(d, &previous, false, id, err) < 0)
        return -1;
    /* A key that is to replace another one is the operator's to make. */
    return add_kek(d, &named, create && !has_previous, d->kek, err);
}
