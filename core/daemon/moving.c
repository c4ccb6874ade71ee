/* daemon/moving.c - store.migrate: everything into another store. The daemon looks at the new one while it
 * serves, drains, closes all, moves (store/move.h) and starts itself again, with the configuration as it is
 * then. grantd --migrate-to does the same while no daemon runs: after a crash between two steps that is how
 * it is ended. */
#include "base/mem.h"
#include "daemon/daemon.h"
#include "store/move.h"

#include <stdio.h>
#include <string.h>

/* What is to be moved where, with all texts it needs. */
struct gd_moving {
    char *from, *to, *keys, *password_file;
    struct gd_store_options options[4]; /* data from, to; keyring from, to */
    struct gd_move_part parts[2];
    struct gd_move move;
};

static bool is_url(const char *to)
{
    return !strncmp(to, "postgresql://", 13) || !strncmp(to, "postgres://", 11);
}

/* A password in it would be seen by everybody in the list of processes, and kept in the mark. */
static bool has_password(const char *url)
{
    const char *at = strchr(url, '@'), *user = strstr(url, "://"),
               *colon = user ? strchr(user + 3, ':') : NULL;

    return (at && colon && colon < at) || strstr(url, "password=") != NULL;
}

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    return gd_strf("%.*s/%s", (int)(slash - path), path, name);
}

int gd_daemon_check_place(const char *to, struct gd_err *err)
{
    if (!is_url(to) && to[0] != '/')
        return gd_err_set(err, GD_R_PARAM_INVALID, "name a postgresql:// URL or the absolute path of a file");
    if (is_url(to) && has_password(to))
        return gd_err_set(err, GD_R_PARAM_INVALID,
                          "the password does not belong into the URL; name a --password-file");
    return 0;
}

struct gd_store_options gd_daemon_store_at(const struct gd_daemon *d, const char *to,
                                           const char *password_file, bool keys)
{
    struct gd_store_options o = gd_daemon_store_options(d, keys);

    o.url = is_url(to) ? to : NULL;
    if (!o.url)
        o.path = to;
    o.schema = keys ? "grantd_keys" : "grantd";
    if (password_file)
        o.password_file = password_file;
    return o;
}

struct gd_moving *gd_moving_new(struct gd_daemon *d, const char *to, const char *password_file,
                                struct gd_err *err)
{
    struct gd_moving *m;

    if (gd_daemon_check_place(to, err) < 0)
        return NULL;
    if (!is_url(to) && !gd_daemon_store_options(d, false).url &&
        !strcmp(to, gd_daemon_store_options(d, false).path)) {
        gd_err_set(err, GD_R_PARAM_INVALID, "%s is the store that is to be moved", to);
        return NULL;
    }
    m = gd_new(sizeof *m);
    m->to = gd_strdup(to);
    m->password_file = gd_strdup(password_file);
    m->keys = is_url(to) ? NULL : beside(to, "keyring.db");
    for (int i = 0; i < 2; i++) {
        m->options[2 * i] = gd_daemon_store_options(d, i);
        m->options[2 * i + 1] = gd_daemon_store_at(d, i && m->keys ? m->keys : m->to, m->password_file, i);
        m->parts[i] =
            (struct gd_move_part){ i ? "keyring" : "data", &m->options[2 * i], &m->options[2 * i + 1] };
    }
    m->from = gd_strdup(m->options[0].url ? "postgresql" : m->options[0].path);
    m->move = (struct gd_move){ m->parts, 2, m->from, m->to, d->clock, d->log };
    if (!m->options[3].url && !m->options[2].url && !strcmp(m->options[3].path, m->options[2].path))
        m->move.n = 1; /* the keyring stays where it is */
    return m;
}

void gd_moving_free(struct gd_moving *m)
{
    if (!m)
        return;
    gd_free(m->from);
    gd_free(m->to);
    gd_free(m->keys);
    gd_free(m->password_file);
    gd_free(m);
}

int gd_moving_check(struct gd_moving *m, struct gd_err *err)
{
    return gd_move_check(&m->move, err);
}

json_t *gd_moving_json(const struct gd_moving *m)
{
    return json_pack("{s:s, s:s, s:s}", "from", m->from, "to", m->to, "next",
                     "the daemon drains, copies and starts again; with the old configuration it will say "
                     "STORE_MOVED: set `store` to the new place (grantd(8)) and start it");
}

int gd_moving_run(struct gd_moving *m, struct gd_err *err)
{
    GD_AUTO_JSON report = NULL;
    struct gd_log *log = m->move.log;
    int rc = gd_move_run(&m->move, &report, err);

    if (rc == 0)
        GD_LOG(log, GD_LOG_INFO, "store.migrated", GD_F_STR("from", m->from), GD_F_STR("to", m->to));
    else
        GD_LOG(log, GD_LOG_ERROR, "store.migrate_failed", GD_F_STR("to", m->to), GD_F_ERR(err));
    return rc;
}

int gd_daemon_migrate(struct gd_daemon *d, const char *to, const char *password_file, struct gd_err *err)
{
    struct gd_moving *m = gd_daemon_boot_offline(d, err) ? NULL : gd_moving_new(d, to, password_file, err);
    int rc = m ? gd_moving_run(m, err) : -1;

    if (rc == 0)
        printf("everything lives in %s now; set `store` in the configuration to it\n", to);
    gd_moving_free(m);
    return rc;
}
