/* daemon/boot.c - start-up, from the ground floor up. Everything that can be wrong is said here, before the
 * ready line. */
#include "base/mem.h"
#include "base/text.h"
#include "crypto/keyring.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- small files of the state directory ---- */

static int make_state_dir(const char *dir, struct gd_err *err)
{
    struct stat st;

    if (mkdir(dir, 0700) && errno != EEXIST)
        return gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s cannot be made: %s", dir, strerror(errno));
    if (stat(dir, &st) || !S_ISDIR(st.st_mode))
        return gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s is no directory", dir);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s may be written by others; chmod 700 it", dir);
    return 0;
}

/* All of it or nothing, also when the power fails: what is in it may be half of a key. */
static int make_file(const char *dir, const char *path, const unsigned char *bytes, size_t n)
{
    GD_AUTO_FREE char *fresh = gd_strf("%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;

    if (fd >= 0 && folder >= 0 && write(fd, bytes, n) == (ssize_t)n && fsync(fd) == 0 &&
        rename(fresh, path) == 0)
        rc = fsync(folder);
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    return rc;
}

int gd_daemon_small_file(const struct gd_daemon *d, const char *name, unsigned char *bytes, size_t n,
                         struct gd_err *err)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", d->config->state_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got;

    if (fd < 0 && errno == ENOENT) {
        gd_rng_bytes(d->rng, bytes, n);
        got = make_file(d->config->state_dir, path, bytes, n) == 0 ? (ssize_t)n : -1;
    } else {
        got = fd < 0 ? -1 : read(fd, bytes, n);
    }
    if (fd >= 0)
        close(fd);
    return got == (ssize_t)n ? 0
                             : gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s cannot be read or made", path);
}

/* ---- configuration ---- */

static int boot_config(struct gd_daemon *d, struct gd_err *err)
{
    struct gd_config_errors *errors = gd_new(sizeof *errors);
    int rc = gd_daemon_load_config(d, d->o.config, &d->platforms, &d->config, errors);

    for (size_t i = 0; rc && i < errors->count; i++)
        GD_LOG(d->log, GD_LOG_ERROR, "config.error",
               GD_F_STR("reason", gd_reason_word(errors->list[i].reason)),
               GD_F_STR("text", errors->list[i].text));
    if (rc)
        gd_err_set(err, errors->list[0].reason, "%s", errors->list[0].text);
    else
        gd_log_set_level(d->log, d->config->log_level);
    gd_free(errors);
    for (size_t i = 0; i < d->platforms.nrefused; i++)
        GD_LOG(d->log, GD_LOG_WARN, "platform.refused", GD_F_STR("path", d->platforms.refused[i].path),
               GD_F_ERR(&d->platforms.refused[i].err));
    return rc;
}

/* ---- keys, stores, audit ---- */

/* What other nodes did; who they are. */
static void on_news(void *arg, const char *node, const char *workspace, const char *id)
{
    struct gd_daemon *d = arg;

    if (d->broker && !d->stopping && strcmp(node ? node : "", d->node) != 0)
        gd_broker_news(d->broker, workspace, id);
}

static void on_set_back(void *arg)
{
    struct gd_daemon *d = arg;

    if (d->broker)
        gd_broker_set_back(d->broker);
    gd_daemon_restart(arg,
                      "the database was set back: what it acknowledged is gone; the spool brings it back");
}

static void on_changed(void *arg)
{
    if (!((struct gd_daemon *)arg)->stopping) /* else who keeps them may be gone already */
        gd_daemon_set_limits(arg);
}

static void on_dead(void *arg)
{
    gd_broker_neighbour_died(((struct gd_daemon *)arg)->broker);
}

static void on_ousted(void *arg)
{
    gd_daemon_restart(arg, "this node was silent for so long that others took over; it joins again");
}

static char *shown(void *arg)
{
    return gd_audit_shown(((struct gd_daemon *)arg)->audit);
}

static void on_shown(void *arg, const json_t *texts)
{
    gd_audit_set_heads(((struct gd_daemon *)arg)->audit, texts);
}

static int boot_node(struct gd_daemon *d, struct gd_err *err)
{
    unsigned char node[16];
    char text[GD_ID_TEXT_MAX];

    if (gd_daemon_small_file(d, "node", node, sizeof node, err))
        return -1;
    gd_id_text(text, "nd", (const struct gd_id *)node);
    d->node = gd_strdup(text);
    return 0;
}

static int boot_nodes(struct gd_daemon *d, struct gd_err *err)
{
    char host[256] = "";
    GD_AUTO_FREE char *place = NULL;
    struct gd_nodes_options o = { .name = d->node,
                                  .version = GRANTD_VERSION,
                                  .lease_ms = d->config->node_lease_ms,
                                  .back_ms = d->config->request_deadline_ms + d->config->node_lease_ms,
                                  .alone = gd_store_shared(d->store) ? NULL : d->rng,
                                  .on_changed = on_changed,
                                  .on_dead = on_dead,
                                  .on_ousted = on_ousted,
                                  .shown = shown,
                                  .on_shown = on_shown,
                                  .arg = d };

    (void)gethostname(host, sizeof host - 1);
    place = gd_strf("%s:%s", host, d->config->state_dir);
    o.place = place;
    o.title = d->config->node_name ? d->config->node_name : host;
    return gd_nodes_open(&d->nodes, &d->loop, d->store, &o, d->clock, d->log, err);
}

struct gd_store_options gd_daemon_store_options(const struct gd_daemon *d, bool keys)
{
    const struct gd_config *c = d->config;

    return (struct gd_store_options){ .path = keys ? d->keys_path : d->config->store_path,
                                      .spool_path = keys ? NULL : d->spool_path,
                                      .migrations = keys ? gd_keys_migrations : gd_broker_migrations,
                                      .nmigrations = keys ? gd_keys_nmigrations : gd_broker_nmigrations,
                                      .group_wait_us = (unsigned)d->config->store_group_wait_us,
                                      .group_max = GD_STORE_GROUP_MAX,
                                      .url = keys && c->keyring_url ? c->keyring_url : c->store_url,
                                      .password_file = c->store_password_file,
                                      .module_dir =
                                          c->store_module_dir ? c->store_module_dir : GRANTD_STORE_DIR,
                                      .own_modules = d->o.own_platforms,
                                      .schema = keys ? "grantd_keys" : "grantd",
                                      .node = d->node,
                                      .deadline_ms = (unsigned)c->store_deadline_ms,
                                      .unprepared = c->store_unprepared,
                                      .accept_async = c->store_accept_async,
                                      .on_news = on_news,
                                      .on_set_back = on_set_back,
                                      .arg = (void *)(uintptr_t)d };
}

static int open_store(struct gd_daemon *d, struct gd_store **ret, bool keys, struct gd_err *err)
{
    struct gd_store_options o = gd_daemon_store_options(d, keys);

    return gd_store_open(ret, &d->loop, &o, d->clock, d->log, err);
}

static void name_files(struct gd_daemon *d)
{
    d->keys_path = gd_strf("%s/keyring.db", d->config->state_dir);
    d->spool_path = gd_strf("%s/spool", d->config->state_dir);
}

static int boot_stores(struct gd_daemon *d, struct gd_err *err)
{
    name_files(d);
    return open_store(d, &d->keys, true, err) || open_store(d, &d->store, false, err) ? -1 : 0;
}

static int boot_root(struct gd_daemon *d, bool known, struct gd_err *err)
{
    struct gd_broker_deps deps = { .loop = &d->loop,
                                   .store = d->store,
                                   .keys = d->keys,
                                   .keyring = d->keyring,
                                   .clock = d->clock,
                                   .rng = d->rng };

    if (known)
        return gd_key_check(&deps, err);
    d->audit_path = gd_strf("%s/audit.log", d->config->state_dir);
    return gd_key_start(&deps, d->kek, d->node, access(d->audit_path, F_OK) == 0, err);
}

static int boot_audit(struct gd_daemon *d, struct gd_err *err)
{
    unsigned char seed[32], hash[32];
    struct gd_audit_options o = { .sign_seed = seed, .hash_key = hash };
    int rc;

    o.path = d->audit_path;
    o.node = d->node;
    gd_keyring_derive(d->keyring, "audit", seed);
    gd_keyring_derive(d->keyring, "audit-hash", hash);
    rc = gd_audit_open(&d->audit, &d->loop, &o, d->clock, d->log, err);
    gd_wipe(seed, sizeof seed);
    gd_wipe(hash, sizeof hash);
    return rc;
}

/* ---- http, scheduler, broker ---- */

static int boot_mail(struct gd_daemon *d, struct gd_err *err)
{
    const struct gd_config *c = d->config;
    struct gd_mail_options o = { .url = c->mail_url,
                                 .from = c->mail_from,
                                 .user = c->mail_user,
                                 .password = c->mail_password,
                                 .ca_file = c->ca_file,
                                 .loopback_only = d->o.virtual_clock != NULL };

    return c->mail_url ? gd_mailer_new(&d->mail, &d->loop, &o, d->clock, d->rng, d->log, err) : 0;
}

static void on_held(void *arg, const char *app, int64_t ms)
{
    const struct gd_daemon *d = arg;

    if (d->broker && !d->stopping)
        gd_broker_held(d->broker, app, ms);
}

static int boot_http(struct gd_daemon *d, struct gd_err *err)
{
    const struct gd_config *c = d->config;
    struct gd_http_options o = { .origins = c->origins,
                                 .ca_file = c->ca_file,
                                 .user_agent = "grantd/" GRANTD_VERSION,
                                 .allow_private = c->allow_private,
                                 .on_held = on_held,
                                 .arg = d };

    o.loopback_only = d->o.virtual_clock != NULL;
    o.limits.concurrency = (unsigned)c->concurrency;
    o.limits.per_minute = (unsigned)c->per_minute;
    o.limits.burst = (unsigned)c->burst;
    d->http = gd_http_threaded_new(&d->loop, &o, d->clock, d->log, err);
    return d->http ? boot_mail(d, err) : -1;
}

static void act(void *arg, uint32_t job)
{
    gd_broker_act(((struct gd_daemon *)arg)->broker, job);
}

static void look(void *arg, const char *workspace, const char *item)
{
    gd_broker_look(((struct gd_daemon *)arg)->broker, workspace, item);
}

static void ear_due(void *arg, uint32_t cred, int64_t due, int64_t expires_at, uint16_t app)
{
    gd_sched_set(((struct gd_daemon *)arg)->sched, cred, due, expires_at, app);
}

static void ear_look(void *arg, const char *workspace, const char *item, int64_t at)
{
    gd_sched_look(((struct gd_daemon *)arg)->sched, workspace, item, at);
}

static bool ear_waits(void *arg, uint32_t cred)
{
    return gd_sched_waits(((struct gd_daemon *)arg)->sched, cred);
}

static void ear_flight_end(void *arg, uint16_t app)
{
    gd_sched_flight_end(((struct gd_daemon *)arg)->sched, app);
}

static void ear_held(void *arg, const char *app, int64_t ms)
{
    gd_http_threaded_hold(((struct gd_daemon *)arg)->http, app, ms);
}

/* Of a limit that all nodes keep together; at least one. */
static unsigned share_of(const struct gd_daemon *d, unsigned limit)
{
    unsigned live = gd_nodes_among(d->nodes);

    return limit ? (limit + live - 1) / live : 0;
}

/* Limits of an app: the operator's, where he set any, else the platform's own. */
static void set_limits(struct gd_daemon *d, const struct gd_app *a)
{
    const struct grantd_limits *p = &a->platform->p.limits;
    const struct gd_config *c = d->config;
    struct gd_http_limits l = { .concurrency = c->concurrency ? (unsigned)c->concurrency : p->concurrency,
                                .per_minute = c->per_minute ? (unsigned)c->per_minute : p->per_minute,
                                .burst = c->burst ? (unsigned)c->burst : p->burst };
    GD_AUTO_FREE char *name = gd_strf("%s/%s", a->platform->p.name, a->id);

    l.concurrency = share_of(d, l.concurrency);
    l.per_minute = share_of(d, l.per_minute);
    l.burst = share_of(d, l.burst);
    if (l.concurrency || l.per_minute || l.burst)
        gd_http_threaded_set_limits(d->http, name, &l);
}

static int make_apps(struct gd_daemon *d, struct gd_app *apps, struct gd_err *err)
{
    for (size_t i = 0; i < d->config->napps; i++) {
        const struct gd_config_app *c = &d->config->apps[i];

        apps[i] = (struct gd_app){ .id = c->id,
                                   .workspace = c->workspace,
                                   .platform = gd_platforms_find(&d->platforms, c->platform),
                                   .provider = c->provider,
                                   .options = c->options,
                                   .inputs = c->inputs };
        if (c->provider)
            apps[i].description = gd_map_get(&apps[i].platform->providers, c->provider);
        if (!apps[i].description && (apps[i].platform->p.caps & GRANTD_CAP_DESCRIBED))
            return gd_err_set(err, GD_R_PROVIDER_UNKNOWN, "apps.%s.provider: platform %s has no provider %s",
                              c->id, c->platform, c->provider ? c->provider : "(none is named)");
        set_limits(d, &apps[i]);
    }
    return 0;
}

void gd_daemon_set_limits(struct gd_daemon *d)
{
    for (size_t i = 0; i < d->config->napps; i++) {
        const struct gd_config_app *c = &d->config->apps[i];
        const struct gd_app a = { .id = c->id, .platform = gd_platforms_find(&d->platforms, c->platform) };

        set_limits(d, &a);
    }
}

static bool http_skew(void *arg, int64_t *ret_ms)
{
    struct gd_daemon *d = arg;

    return gd_http_threaded_skew(d->http, ret_ms);
}

static int boot_broker(struct gd_daemon *d, struct gd_err *err)
{
    const struct gd_config *c = d->config;
    GD_AUTO_FREE struct gd_app *apps = gd_new_array(c->napps, sizeof *apps);
    GD_AUTO_FREE char *witness = gd_strf("%s/witness", c->state_dir);
    GD_AUTO_FREE char *erased = gd_strf("%s/erased", c->state_dir);
    GD_AUTO_FREE struct gd_hub *hubs = gd_new_array(c->nhubs, sizeof *hubs);
    struct gd_sched_ops ops = { act, look, d };
    /* More refreshes are under way than may be at the platform: the others wait for the disk. */
    struct gd_sched_options so = { .in_flight = c->concurrency > 16 ? 4 * (unsigned)c->concurrency : 0,
                                   .in_flight_max =
                                       c->concurrency > 16 ? 16 * (unsigned)c->concurrency : 256 };
    struct gd_broker_options o = { .ears = { ear_due, ear_look, ear_flight_end, ear_waits, ear_held, d },
                                   .kek = d->kek,
                                   .public_url = c->public_url,
                                   .node = d->node,
                                   .workspaces = (const char *const *)c->workspaces,
                                   .apps = apps,
                                   .napps = c->napps,
                                   .hubs = hubs,
                                   .nhubs = c->nhubs,
                                   .origins = c->origins,
                                   .titles = c->titles,
                                   .deadline_ms = c->request_deadline_ms,
                                   .quiet_ms = c->quiet_ms,
                                   .skew_ms = c->skew_ms,
                                   .family_lease_ms = c->family_lease_ms,
                                   .blind_ms = c->vend_blind_ms,
                                   .outage_ms = c->outage_ms,
                                   .margin_min_ms = c->margin_min_ms,
                                   .look_every_ms = c->look_every_ms,
                                   .cache_bytes = (size_t)c->cache_bytes,
                                   .cache_dir = c->state_dir,
                                   .witness_path = witness,
                                   .erased_path = erased,
                                   .mail = d->mail,
                                   .skew = d->o.virtual_clock ? NULL : http_skew,
                                   .skew_arg = d };
    struct gd_broker_deps deps = { &d->loop,  d->store,      d->keys,
                                   d->nodes,  d->keyring,    d->audit,
                                   d->events, &d->platforms, gd_http_threaded_transport(d->http),
                                   d->clock,  d->rng,        d->log };

    if (make_apps(d, apps, err))
        return -1;
    for (size_t i = 0; i < c->nhubs; i++)
        hubs[i] = (struct gd_hub){ .id = c->hubs[i].id,
                                   .workspace = c->hubs[i].workspace,
                                   .hub_id = c->hubs[i].hub_id,
                                   .app = c->hubs[i].app,
                                   .platform = gd_platforms_find(&d->platforms, c->hubs[i].platform),
                                   .options = c->hubs[i].options };
    d->sched = gd_sched_new(&d->loop, &so, &ops, d->clock, d->rng, d->log);
    return gd_broker_open(&d->broker, &o, &deps, err);
}

/* ---- the doors ---- */

static int boot_rpc(struct gd_daemon *d, struct gd_err *err)
{
    struct gd_rpc_options o = { .socket_path = d->config->socket,
                                .listen_fd = gd_notify_listen_fd(),
                                .mode = 0660,
                                .audit_path = d->audit_path };
    struct gd_rpc_daemon acts = gd_daemon_acts_template;

    acts.arg = d;
    d->policy = gd_daemon_policy(d->config, err);
    if (!d->policy)
        return -1;
    return gd_rpc_open(&d->rpc, &d->loop, &o, d->broker, &acts, d->policy, d->audit, d->events,
                       gd_clock_system(), d->log, err);
}

static int boot_portal(struct gd_daemon *d, struct gd_err *err)
{
    unsigned char cookie[32];
    struct gd_portal_options o = { .listen = d->config->listen,
                                   .public_url = d->config->public_url,
                                   .tls_cert = d->config->tls_cert,
                                   .tls_key = d->config->tls_key,
                                   .trusted_proxies = (const char *const *)d->config->trusted_proxies,
                                   .cookie_key = cookie };
    int rc;

    if (!d->config->public_url) /* no links, no page */
        return 0;
    gd_keyring_derive(d->keyring, "cookie", cookie);
    rc = gd_portal_open(&d->portal, &d->loop, &o, d->broker, gd_clock_system(), d->rng, d->log, err);
    gd_wipe(cookie, sizeof cookie);
    return rc;
}

static void harden(void)
{
    struct rlimit none = { 0, 0 }, files;

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)umask(0077);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

int gd_daemon_boot(struct gd_daemon *d, struct gd_err *err)
{
    harden();
    d->started_at = gd_now(d->clock);
    if (boot_config(d, err) || gd_daemon_virtual(d, err) || make_state_dir(d->config->state_dir, err) ||
        gd_daemon_boot_keks(d, true, err) || boot_node(d, err) || boot_stores(d, err) ||
        gd_daemon_look_first(d, err) || boot_root(d, false, err) || boot_nodes(d, err) ||
        boot_root(d, true, err) || boot_audit(d, err) || boot_http(d, err))
        return -1;
    d->events = gd_events_new(d->store, d->clock, d->rng);
    return boot_broker(d, err) || boot_rpc(d, err) || boot_portal(d, err) || gd_daemon_begin(d, err) ? -1 : 0;
}

int gd_daemon_boot_offline(struct gd_daemon *d, struct gd_err *err)
{
    harden();
    if (boot_config(d, err) || make_state_dir(d->config->state_dir, err) ||
        gd_daemon_boot_keks(d, false, err) || boot_node(d, err))
        return -1;
    name_files(d);
    return 0;
}
