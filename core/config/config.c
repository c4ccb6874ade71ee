/* config/config.c - loading as a whole: the file's owner and mode, defaults, the end of its life, and how it
 * is shown. */
#include "config/config_int.h"
#include "config/read.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const struct grantd_option gd_config_no_options[] = { { NULL, NULL, NULL, 0, 0, NULL } };

/* ---- the file
 * ------------------------------------------------------------------------------------------------------ */

static bool file_ok(struct ctx *c, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        gd_config_fail(c, NULL, GD_R_CONFIG_UNREADABLE, "it is not a plain file");
    else if (st.st_size > GD_CONFIG_FILE_MAX)
        gd_config_fail(c, NULL, GD_R_CONFIG_UNREADABLE, "it has more than %d bytes", GD_CONFIG_FILE_MAX);
    else if (st.st_mode & 0022)
        gd_config_fail(c, NULL, GD_R_CONFIG_MODE, "group or others can change it: chmod go-w it");
    else if (st.st_uid != 0 && st.st_uid != geteuid())
        gd_config_fail(c, NULL, GD_R_CONFIG_MODE,
                       "it belongs to uid %u: it has to be root's or the daemon's own", st.st_uid);
    else
        return true;
    return false;
}

/* The text, NUL-terminated; NULL with an error. It may have grown since it was looked at. */
static char *read_all(struct ctx *c, int fd, size_t *ret_n)
{
    char part[8192];
    struct gd_buf b;
    ssize_t n;

    gd_buf_init(&b, GD_CONFIG_FILE_MAX);
    while ((n = read(fd, part, sizeof part)) != 0 && !b.failed)
        if (n > 0)
            gd_buf_add(&b, part, (size_t)n);
        else if (errno != EINTR)
            break;
    *ret_n = b.len;
    if (n == 0 && !b.failed)
        return gd_buf_steal(&b);
    if (b.failed)
        gd_config_fail(c, NULL, GD_R_CONFIG_UNREADABLE, "it has more than %d bytes", GD_CONFIG_FILE_MAX);
    else
        gd_config_fail(c, NULL, GD_R_CONFIG_UNREADABLE, "%s", strerror(errno));
    gd_buf_done(&b);
    return NULL;
}

static bool parse_file(struct ctx *c)
{
    int fd = open(c->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    GD_AUTO_FREE char *text = NULL;
    size_t n = 0;

    if (fd < 0) {
        gd_config_fail(c, NULL, GD_R_CONFIG_UNREADABLE, "%s", strerror(errno));
        return false;
    }
    if (file_ok(c, fd))
        text = read_all(c, fd, &n);
    close(fd);
    return text && gd_config_parse(c, text, n);
}

/* ---- defaults
 * -------------------------------------------------------------------------------------------------------- */

static void text_default(char **to, char *dflt)
{
    if (*to)
        gd_free(dflt);
    else
        *to = dflt;
}

static void number_default(int64_t *to, int64_t dflt)
{
    if (!*to)
        *to = dflt;
}

/* Numbers whose 0 has a meaning are set before the file is read. */
static struct gd_config *fresh(void)
{
    struct gd_config *g = gd_new(sizeof *g);

    g->store_group_wait_us = 1000;
    g->store_deadline_ms = GD_STORE_DEADLINE_MS;
    g->cache_bytes = INT64_C(16) << 20; /* behind it stands the page cache: tokens.h */
    g->request_deadline_ms = 45000;
    g->skew_ms = 30000;
    g->family_lease_ms = 600000;
    g->node_lease_ms = 15000;
    g->vend_blind_ms = 300000;
    g->outage_ms = 1800000;
    g->look_every_ms = 86400000;
    g->margin_min_ms = 60000;
    g->log_level = GD_LOG_INFO;
    g->origins = json_object();
    g->titles = json_object();
    g->policy = json_array();
    g->allow_private = json_array();
    return g;
}

void gd_config_defaults(struct ctx *c)
{
    struct gd_config *g = c->cfg;

    text_default(&g->listen, gd_strdup("127.0.0.1:8443"));
    text_default(&g->state_dir, gd_strdup(c->given->state_dir));
    text_default(&g->platform_dir, gd_strdup(c->given->platform_dir));
    text_default(&g->socket,
                 c->given->socket ? gd_strdup(c->given->socket) : gd_strf("%s/grantd.sock", g->state_dir));
    text_default(&g->store_path, gd_strf("%s/grantd.db", g->state_dir));
    if (!g->key_credential && !g->key_passphrase_file)
        text_default(&g->key_file, gd_strf("%s/kek", g->state_dir));
    if (!g->workspaces) {
        g->workspaces = gd_new_array(2, sizeof *g->workspaces);
        g->workspaces[0] = gd_strdup("main");
    }
    number_default(&g->quiet_ms, g->request_deadline_ms + 2 * g->skew_ms);
    if (strlen(g->socket) >= sizeof((struct sockaddr_un *)0)->sun_path && c->errors->count == 0)
        gd_config_fail(c, NULL, GD_R_SOCKET_PATH_TOO_LONG,
                       "the socket's path has %zu bytes, at most %zu are possible: set socket",
                       strlen(g->socket), sizeof((struct sockaddr_un *)0)->sun_path - 1);
}

/* ---- loading
 * -----------------------------------------------------------------------------------------------------------
 */

static char *folder_of(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    size_t n = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        return NULL;
    return n ? gd_strndup(path, n) : gd_strdup("/");
}

int gd_config_load(struct gd_config **ret, const char *path, const struct gd_config_given *given,
                   struct gd_config_errors *errors)
{
    struct ctx c = { .given = given, .errors = errors, .file = path };

    errors->count = errors->more = 0;
    (void)snprintf(errors->file, sizeof errors->file, "%s", path ? path : "");
    c.cfg = fresh();
    c.cfg->file = gd_strdup(path);
    c.dir = folder_of(path);
    if (!path || parse_file(&c))
        gd_config_read(&c);
    if (c.has_doc)
        yaml_document_delete(&c.doc);
    gd_free(c.dir);
    if (errors->count) {
        gd_config_free(c.cfg);
        return -1;
    }
    *ret = c.cfg;
    return 0;
}

void gd_config_free_list(char **list)
{
    for (char **p = list; p && *p; p++)
        gd_free(*p);
    gd_free(list);
}

static void free_apps(struct gd_config *c)
{
    for (struct gd_config_app *a = c->apps; a < c->apps + c->napps; a++) {
        gd_free(a->id);
        gd_free(a->workspace);
        gd_free(a->platform);
        gd_free(a->provider);
        json_decref(a->options);
        json_decref(a->inputs);
        json_decref(a->shown);
    }
    gd_free(c->apps);
}

static void free_hubs(struct gd_config *c)
{
    for (struct gd_config_hub *h = c->hubs; h < c->hubs + c->nhubs; h++) {
        gd_free(h->id);
        gd_free(h->workspace);
        gd_free(h->platform);
        gd_free(h->hub_id);
        gd_free(h->app);
        json_decref(h->options);
        json_decref(h->shown);
    }
    gd_free(c->hubs);
}

static void free_texts(struct gd_config *c)
{
    gd_free(c->file);
    gd_free(c->listen);
    gd_free(c->public_url);
    gd_free(c->tls_cert);
    gd_free(c->tls_key);
    gd_free(c->socket);
    gd_free(c->state_dir);
    gd_free(c->platform_dir);
    gd_free(c->provider_dir);
    gd_free(c->store_path);
    gd_free(c->store_engine);
    gd_free(c->store_url);
    gd_free(c->keyring_url);
    gd_free(c->store_password_file);
    gd_free(c->store_module_dir);
    gd_free(c->node_name);
    json_decref(c->store_password_shown);
    gd_free(c->key_file);
    gd_free(c->key_credential);
    gd_free(c->key_passphrase_file);
    gd_free(c->previous_file);
    gd_free(c->previous_credential);
    gd_free(c->previous_passphrase_file);
    gd_free(c->ca_file);
    gd_free(c->mail_url);
    gd_free(c->mail_from);
    gd_free(c->mail_user);
    gd_free(c->mail_password);
    json_decref(c->mail_shown);
}

void gd_config_free(struct gd_config *c)
{
    if (!c)
        return;
    free_texts(c);
    gd_config_free_list(c->trusted_proxies);
    gd_config_free_list(c->workspaces);
    free_apps(c);
    free_hubs(c);
    json_decref(c->origins);
    json_decref(c->titles);
    json_decref(c->policy);
    json_decref(c->allow_private);
    gd_free(c);
}

/* ---- showing it
 * ----------------------------------------------------------------------------------------------------------
 */

static json_t *list_json(char *const *list)
{
    json_t *j = json_array();

    for (; list && *list; list++)
        json_array_append_new(j, json_string(*list));
    return j;
}

static json_t *app_json(const struct gd_config_app *a)
{
    json_t *j = json_pack("{s:s,s:s?,s:s?,s:s?,s:O}", "id", a->id, "workspace", a->workspace, "platform",
                          a->platform, "provider", a->provider, "options", a->shown);

    if (a->shared_by_operator)
        json_object_set_new(j, "shared_by_operator", json_true());
    return j;
}

static json_t *apps_json(const struct gd_config *c)
{
    json_t *j = json_array();

    for (size_t i = 0; i < c->napps; i++)
        json_array_append_new(j, app_json(&c->apps[i]));
    return j;
}

static json_t *hubs_json(const struct gd_config *c)
{
    json_t *j = json_array();

    for (const struct gd_config_hub *h = c->hubs; h < c->hubs + c->nhubs; h++)
        json_array_append_new(j, json_pack("{s:s,s:s?,s:s?,s:s?,s:s?,s:O}", "id", h->id, "workspace",
                                           h->workspace, "platform", h->platform, "hub_id", h->hub_id, "app",
                                           h->app, "options", h->shown));
    return j;
}

static json_t *limits_json(const struct gd_config *c)
{
    return json_pack("{s:O,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s?}", "allow_private",
                     c->allow_private, "concurrency", (json_int_t)c->concurrency, "per_minute",
                     (json_int_t)c->per_minute, "burst", (json_int_t)c->burst, "cache_bytes",
                     (json_int_t)c->cache_bytes, "request_deadline_ms", (json_int_t)c->request_deadline_ms,
                     "quiet_ms", (json_int_t)c->quiet_ms, "skew_ms", (json_int_t)c->skew_ms,
                     "family_lease_ms", (json_int_t)c->family_lease_ms, "outage_ms", (json_int_t)c->outage_ms,
                     "look_every_ms", (json_int_t)c->look_every_ms, "margin_min_ms",
                     (json_int_t)c->margin_min_ms, "node_lease_ms", (json_int_t)c->node_lease_ms,
                     "vend_blind_ms", (json_int_t)c->vend_blind_ms, "ca_file", c->ca_file);
}

static json_t *mail_json(const struct gd_config *c)
{
    return c->mail_url ? json_pack("{s:s,s:s,s:s?,s:O?}", "url", c->mail_url, "from", c->mail_from, "user",
                                   c->mail_user, "password", c->mail_shown)
                       : json_null();
}

static json_t *store_json(const struct gd_config *c)
{
    json_t *j = json_pack("{s:s,s:s,s:I}", "engine", c->store_url ? "postgresql" : "sqlite", "path",
                          c->store_path, "group_wait_us", (json_int_t)c->store_group_wait_us);

    if (!c->store_url)
        return j;
    json_object_set_new(j, "url", json_string(c->store_url));
    json_object_set_new(j, "keyring_url", c->keyring_url ? json_string(c->keyring_url) : json_null());
    json_object_set_new(j, "module_dir",
                        c->store_module_dir ? json_string(c->store_module_dir) : json_null());
    json_object_set(j, "password", c->store_password_shown ? c->store_password_shown : json_null());
    json_object_set_new(j, "deadline_ms", json_integer(c->store_deadline_ms));
    json_object_set_new(j, "prepared", json_boolean(!c->store_unprepared));
    json_object_set_new(j, "accept_async", json_boolean(c->store_accept_async));
    return j;
}

json_t *gd_config_json(const struct gd_config *c)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    json_t *j = json_pack("{s:s?,s:s,s:s?,s:s,s:s,s:s,s:s?,s:O,s:O}", "file", c->file, "listen", c->listen,
                          "public_url", c->public_url, "socket", c->socket, "state_dir", c->state_dir,
                          "platform_dir", c->platform_dir, "provider_dir", c->provider_dir, "origins",
                          c->origins, "policy", c->policy);

    json_object_set_new(j, "tls", json_pack("{s:s?,s:s?}", "cert", c->tls_cert, "key", c->tls_key));
    json_object_set_new(j, "trusted_proxies", list_json(c->trusted_proxies));
    json_object_set_new(j, "workspaces", list_json(c->workspaces));
    json_object_set(j, "titles", c->titles);
    json_object_set_new(j, "store", store_json(c));
    json_object_set_new(j, "node", json_pack("{s:s?}", "name", c->node_name));
    json_object_set_new(j, "key",
                        json_pack("{s:s?,s:s?,s:s?,s:{s:s?,s:s?,s:s?}}", "file", c->key_file, "credential",
                                  c->key_credential, "passphrase_file", c->key_passphrase_file, "previous",
                                  "file", c->previous_file, "credential", c->previous_credential,
                                  "passphrase_file", c->previous_passphrase_file));
    json_object_set_new(j, "apps", apps_json(c));
    json_object_set_new(j, "hubs", hubs_json(c));
    json_object_set_new(j, "limits", limits_json(c));
    json_object_set_new(j, "mail", mail_json(c));
    json_object_set_new(j, "log", json_pack("{s:s,s:s}", "level", levels[c->log_level], "format", "json"));
    return j;
}

static json_t *error_json(const struct gd_config_errors *all, const struct gd_config_error *e)
{
    json_t *j = json_pack("{s:s,s:s}", "reason", gd_reason_word(e->reason), "text", e->text);

    if (all->file[0])
        json_object_set_new(j, "file", json_string(all->file));
    if (e->line) {
        json_object_set_new(j, "line", json_integer(e->line));
        json_object_set_new(j, "column", json_integer(e->column));
    }
    return j;
}

json_t *gd_config_errors_json(const struct gd_config_errors *e)
{
    json_t *list = json_array();

    for (size_t i = 0; i < e->count; i++)
        json_array_append_new(list, error_json(e, &e->list[i]));
    return list;
}
