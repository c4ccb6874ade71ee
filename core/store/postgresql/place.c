/* store/postgresql/place.c - where the database is, out of the url; and how it may be spoken to: anything
 * that is not this machine only over TLS with a certificate that is its own, unless the url says otherwise in
 * so many words. What the environment of the process says (PGHOST, PGSSLMODE, ...) cannot weaken that. */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOCAL_SOCKET  "/var/run/postgresql"
#define SYSTEM_CA     "/etc/ssl/certs/ca-certificates.crt"
#define HOSTS_MAX     16
#define KEYS_MAX      64
#define PASSWORD_MAX  1024
#define CONNECT_S_MIN 2

static PQconninfoOption *option(PQconninfoOption *list, const char *key)
{
    for (PQconninfoOption *o = list; o->keyword; o++)
        if (!strcmp(o->keyword, key))
            return o;
    return NULL;
}

static const char *value(const struct gd_pg_place *p, const char *key)
{
    const PQconninfoOption *o = option(p->given, key);

    return o && o->val && o->val[0] ? o->val : NULL;
}

/* The i-th of a list a,b,c; of one that has only one member that one. NULL: there is none. */
static char *member(const char *list, size_t i)
{
    const char *p = list;
    size_t n;

    if (!list)
        return NULL;
    if (!strchr(list, ','))
        return gd_strdup(list);
    for (; i; i--) {
        p = strchr(p, ',');
        if (!p)
            return NULL;
        p++;
    }
    n = strcspn(p, ",");
    return n ? gd_strf("%.*s", (int)n, p) : NULL;
}

static size_t members(const char *list)
{
    size_t n = 1;

    for (; list && *list; list++)
        n += *list == ',';
    return n;
}

static bool is_local(const char *host)
{
    return host[0] == '/' || host[0] == '@' || !strcmp(host, "localhost") || !strcmp(host, "::1") ||
           !strncmp(host, "127.", 4);
}

/* The address counts where there is one: what the name is then is only compared with the certificate. */
static bool all_local(const struct gd_pg_place *p)
{
    bool local = true;

    for (size_t i = 0; i < p->nhosts; i++) {
        GD_AUTO_FREE char *addr = member(value(p, "hostaddr"), i);
        GD_AUTO_FREE char *host = member(value(p, "host"), i);

        local &= is_local(addr ? addr : host ? host : LOCAL_SOCKET);
    }
    return local;
}

static void describe(struct gd_pg_place *p)
{
    const char *host = value(p, "host"), *port = value(p, "port"), *db = value(p, "dbname");

    if (!host)
        host = value(p, "hostaddr");
    p->text = gd_strf("%s%s%s/%s", host ? host : LOCAL_SOCKET, port ? ":" : "", port ? port : "",
                      db ? db : "(the database of the user's name)");
}

static int parse(struct gd_pg_place *p, const char *url, struct gd_err *err)
{
    char *why = NULL;

    p->given = PQconninfoParse(url, &why);
    if (p->given)
        return 0;
    /* libpq's sentence may quote the url, and with it the password */
    PQfreemem(why);
    return gd_err_set(err, GD_R_STORE_UNREACHABLE,
                      "the url of the store is none that PostgreSQL's library understands; write "
                      "postgresql://user@host/database");
}

int gd_pg_place_init(struct gd_pg_place *p, const struct gd_store_options *o, struct gd_err *err)
{
    const char *mode;

    *p = (struct gd_pg_place){ 0 };
    if (parse(p, o->url, err) < 0)
        return -1;
    p->nhosts = members(value(p, "hostaddr") ? value(p, "hostaddr") : value(p, "host"));
    if (value(p, "service") || p->nhosts > HOSTS_MAX) {
        gd_pg_place_done(p);
        return gd_err_set(err, GD_R_STORE_UNREACHABLE,
                          "the url of the store must name its hosts itself, at most %d, and no service",
                          HOSTS_MAX);
    }
    mode = value(p, "sslmode");
    p->tls = gd_strdup(mode ? mode : all_local(p) ? "local" : "verify-full");
    p->password_file = o->password_file ? gd_strdup(o->password_file) : NULL;
    p->timeout_ms = o->deadline_ms ? o->deadline_ms : GD_STORE_DEADLINE_MS;
    describe(p);
    return 0;
}

void gd_pg_place_done(struct gd_pg_place *p)
{
    for (PQconninfoOption *o = p->given; o && o->keyword; o++)
        if (o->val)
            gd_wipe(o->val, strlen(o->val));
    PQconninfoFree(p->given);
    gd_free(p->password_file);
    gd_free(p->text);
    gd_free(p->tls);
    *p = (struct gd_pg_place){ 0 };
}

/* ---- what to connect with ---------------------------------------------------------------------------------
 */

static void set(struct gd_pg_host *h, const char *key, const char *text)
{
    size_t i = 0;

    while (h->keys[i] && strcmp(h->keys[i], key) != 0)
        i++;
    if (i + 1 >= KEYS_MAX)
        return;
    gd_free(h->values[i]);
    h->keys[i] = key;
    h->values[i] = gd_strdup(text);
}

static void set_default(struct gd_pg_host *h, const char *key, const char *text)
{
    for (size_t i = 0; h->keys[i]; i++)
        if (!strcmp(h->keys[i], key))
            return;
    set(h, key, text);
}

/* Read each time, so that a changed password needs no restart. One line. */
static int set_password(struct gd_pg_host *h, const char *path, struct gd_err *err)
{
    char text[PASSWORD_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, PASSWORD_MAX);
    int e = errno;

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return gd_err_set(err, GD_R_STORE_DENIED, "%s cannot be read: %s", path, strerror(e));
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    set(h, "password", text);
    gd_wipe(text, sizeof text);
    return 0;
}

static void set_tls(const struct gd_pg_place *p, struct gd_pg_host *h)
{
    bool local = !strcmp(p->tls, "local");

    set(h, "sslmode", local ? "disable" : p->tls);
    if (!strcmp(p->tls, "verify-full") || !strcmp(p->tls, "verify-ca"))
        set_default(h, "sslrootcert", SYSTEM_CA);
    set_default(h, "gssencmode", "disable");
}

/* A peer that is gone without a word is found out by the kernel, too; our own deadlines come first. */
static void set_care(const struct gd_pg_place *p, struct gd_pg_host *h, const char *name)
{
    char ms[16];

    (void)snprintf(ms, sizeof ms, "%u", p->timeout_ms);
    set(h, "tcp_user_timeout", ms);
    set_default(h, "keepalives_idle", "20");
    set_default(h, "keepalives_interval", "5");
    set_default(h, "keepalives_count", "3");
    set(h, "client_encoding", "UTF8");
    set(h, "application_name", name);
    set(h, "target_session_attrs", "any"); /* looked at by ourselves, with a word for it */
}

static void set_member(const struct gd_pg_place *p, struct gd_pg_host *h, const char *key, size_t i)
{
    GD_AUTO_FREE char *one = member(value(p, key), i);

    if (one)
        set(h, key, one);
}

int gd_pg_place_host(const struct gd_pg_place *p, size_t i, const char *name, struct gd_pg_host *ret,
                     struct gd_err *err)
{
    struct gd_pg_host h = { gd_new_array(KEYS_MAX, sizeof *h.keys),
                            gd_new_array(KEYS_MAX, sizeof *h.values) };

    set(&h, "host", LOCAL_SOCKET);
    for (const PQconninfoOption *o = p->given; o->keyword; o++)
        if (o->val && o->val[0] && strcmp(o->keyword, "host") != 0 && strcmp(o->keyword, "hostaddr") != 0 &&
            strcmp(o->keyword, "port") != 0)
            set(&h, o->keyword, o->val);
    set_member(p, &h, "host", i);
    set_member(p, &h, "hostaddr", i);
    set_member(p, &h, "port", i);
    set_tls(p, &h);
    set_care(p, &h, name);
    if (p->password_file && set_password(&h, p->password_file, err) < 0) {
        gd_pg_host_done(&h);
        return -1;
    }
    *ret = h;
    return 0;
}

void gd_pg_host_done(struct gd_pg_host *h)
{
    for (size_t i = 0; h->values[i]; i++)
        gd_free(h->values[i]);
    gd_free(h->keys);
    gd_free(h->values);
}
