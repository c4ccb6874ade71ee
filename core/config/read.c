/* config/read.c - the sections of the file and what must fit together between them. */
#include "config/config_int.h"
#include "config/read.h"

#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#define DAY_MS 86400000

/* ---- values of one section only
 * -------------------------------------------------------------------------------- */

static void read_listen(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (s && !gd_config_host_port(s, true))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be address:port (127.0.0.1:8443, [::1]:8443)", k->name);
    else if (s)
        gd_read_text(c, k, n, to);
}

static void read_public_url(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);
    GD_AUTO_FREE char *url = gd_strdup(s);
    size_t len;

    if (!s)
        return;
    len = strlen(url);
    if (len && url[len - 1] == '/')
        url[len - 1] = '\0';
    if (!gd_config_url_ok(url, true)) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be https://host or https://host:port (plain http only for a loopback host)",
                       k->name);
        return;
    }
    gd_free(*(char **)to);
    *(char **)to = gd_strdup(url);
}

/* An address, or an address with a prefix length. */
static bool is_prefix(const char *s)
{
    const char *slash = strchr(s, '/');
    size_t n = slash ? (size_t)(slash - s) : strlen(s);
    bool v6 = memchr(s, ':', n) != NULL;
    char host[64], to[16];
    int64_t bits = 0;

    if (n == 0 || n >= sizeof host)
        return false;
    memcpy(host, s, n);
    host[n] = '\0';
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, to) != 1)
        return false;
    return !slash || (gd_parse_i64(slash + 1, &bits) && bits >= 0 && bits <= (v6 ? 128 : 32));
}

static void read_proxies(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    char **list;
    yaml_node_item_t *items;
    size_t count, kept = 0;

    if (!gd_config_items(c, n, k->name, &items, &count))
        return;
    list = gd_new_array(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *v = gd_config_node(c, items[i]);
        const char *s = gd_config_scalar(c, v, k->name);

        if (s && !is_prefix(s))
            gd_config_fail(c, v, GD_R_CONFIG_VALUE_INVALID,
                           "%s takes addresses (10.0.0.1) and prefixes (10.0.0.0/8)", k->name);
        else if (s)
            list[kept++] = gd_strdup(s);
    }
    gd_config_free_list(*(char ***)to);
    *(char ***)to = list;
}

static void read_workspaces(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    struct key one = { .name = "a workspace" };
    char **list;
    yaml_node_item_t *items;
    size_t count, kept = 0;

    if (!gd_config_items(c, n, k->name, &items, &count))
        return;
    if (!count) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s is empty: name at least one, or leave it out for main", k->name);
        return;
    }
    list = gd_new_array(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        gd_read_name(c, &one, gd_config_node(c, items[i]), &list[kept]);
        if (list[kept])
            kept++;
        for (size_t j = 0; kept && j + 1 < kept; j++)
            if (!strcmp(list[j], list[kept - 1]))
                gd_config_fail(c, gd_config_node(c, items[i]), GD_R_CONFIG_DUPLICATE_KEY,
                               "%.64s is listed twice", list[j]);
    }
    if (!kept) { /* the errors are told; others still need a list */
        gd_free(list);
        return;
    }
    gd_config_free_list(*(char ***)to);
    *(char ***)to = list;
}

static void read_socket(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    gd_read_path(c, k, n, to);
    if (*(char **)to && strlen(*(char **)to) >= sizeof((struct sockaddr_un *)0)->sun_path)
        gd_config_fail(c, n, GD_R_SOCKET_PATH_TOO_LONG,
                       "the socket's path has %zu bytes, at most %zu are possible", strlen(*(char **)to),
                       sizeof((struct sockaddr_un *)0)->sun_path - 1);
}

static void read_origins(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    json_t *map = *(json_t **)to;
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, n, k->name, &p, &np))
        return;
    for (; np; np--, p++) {
        yaml_node_t *v = gd_config_node(c, p->value);
        const char *from = gd_config_key(c, p), *target = gd_config_scalar(c, v, from);
        const char *star = strchr(from, '*');

        if (!target)
            continue;
        if (strncmp(from, "https://", 8) != 0 || !gd_config_url_ok(from, true) ||
            (star && (star != from + 8 || star[1] != '.' || strchr(star + 1, '*'))))
            gd_config_fail(c, gd_config_node(c, p->key), GD_R_CONFIG_VALUE_INVALID,
                           "an origin has to be https://host or https://*.host, with nothing behind it");
        else if (!gd_config_url_ok(target, false) || (strchr(target, '*') && !star) || strpbrk(target, "?#"))
            gd_config_fail(
                c, v, GD_R_CONFIG_VALUE_INVALID,
                "the target has to be https://... or http:// to a loopback host; a star only for a star");
        else
            json_object_set_new(map, from, json_string(target));
    }
}

/* What clients read on the page: who it is that asks. */
static void read_titles(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    json_t *map = *(json_t **)to;
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, n, k->name, &p, &np))
        return;
    for (; np; np--, p++) {
        yaml_node_t *v = gd_config_node(c, p->value);
        const char *workspace = gd_config_key(c, p), *title = gd_config_scalar(c, v, workspace);

        if (title && (!*title || strlen(title) > GD_NAME_MAX || strchr(title, '\n')))
            gd_config_fail(c, v, GD_R_CONFIG_VALUE_INVALID, "a title is one line of at most %d bytes",
                           GD_NAME_MAX);
        else if (title)
            json_object_set_new(map, workspace, json_string(title));
    }
}

static void read_allow_private(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    yaml_node_item_t *items;
    size_t count;

    if (!gd_config_items(c, n, k->name, &items, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *v = gd_config_node(c, items[i]);
        const char *s = gd_config_scalar(c, v, k->name);

        if (s && (!gd_config_host_port(s, false) || strchr(s, '*')))
            gd_config_fail(c, v, GD_R_CONFIG_VALUE_INVALID, "%s takes host:port, one by one", k->name);
        else if (s)
            json_array_append_new(*(json_t **)to, json_string(s));
    }
}

static void read_level(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (s && !gd_log_level_parse(s, to))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be debug, info, warn or error", k->name);
}

/* smtp:// or smtps://, host and port. How it is looked up and spoken to is http/mail.h. */
static void read_mail_url(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);
    size_t skip = !s ? 0 : !strncmp(s, "smtps://", 8) ? 8 : !strncmp(s, "smtp://", 7) ? 7 : 0;
    GD_AUTO_FREE char *with_port = skip ? gd_strf("%s:25", s + skip) : NULL;
    bool has_port = skip && strchr(s + skip, ':') && s[strlen(s) - 1] != ']';

    if (!s)
        return;
    if (!skip || strchr(s, '*') || !gd_config_host_port(has_port ? s + skip : with_port, false))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be smtp://host, smtps://host or one of them with :port", k->name);
    else
        gd_read_text(c, k, n, to);
}

static void read_mail_from(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name), *at = s ? strrchr(s, '@') : NULL;
    bool clean = at && at > s && at[1];

    for (const char *p = s; clean && *p; p++)
        clean = (unsigned char)*p > 0x20 && (unsigned char)*p < 0x7f && !strchr("\"(),:;<>[\\]", *p);
    if (s && !clean)
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be a plain address like grants@agency.example", k->name);
    else if (s)
        gd_read_text(c, k, n, to);
}

static void read_mail_password(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    char *s = gd_config_secret(c, n, k->name, &c->cfg->mail_shown);

    if (s) {
        gd_free(*(char **)to);
        *(char **)to = s;
    }
}

/* A key that knows one word only, kept so that a later second one changes no file. */
static void read_only_word(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    (void)to;
    if (s && strcmp(s, k->arg) != 0)
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s can only be %s", k->name, (const char *)k->arg);
}

/* ---- policy
 * ------------------------------------------------------------------------------------------------------ */

/* A text or a list of texts, always as a list. */
static json_t *read_words(struct ctx *c, yaml_node_t *n, const char *what)
{
    json_t *list = json_array();
    yaml_node_item_t *items;
    const char *s;
    size_t count;

    if (n->type != YAML_SEQUENCE_NODE) {
        s = gd_config_scalar(c, n, what);
        if (s)
            json_array_append_new(list, json_string(s));
        return list;
    }
    if (gd_config_items(c, n, what, &items, &count))
        for (size_t i = 0; i < count; i++) {
            s = gd_config_scalar(c, gd_config_node(c, items[i]), what);
            if (s)
                json_array_append_new(list, json_string(s));
        }
    if (gd_config_items(c, n, what, &items, &count) && count == 0)
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s is an empty list: leave it out, or name something", what);
    return list;
}

static void read_rule_key(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    json_t *rule = *(json_t **)to;
    const char *s;

    if (!k->max) {
        json_object_set_new(rule, k->name, read_words(c, n, k->name));
        return;
    }
    s = gd_config_scalar(c, n, k->name);
    if (s)
        json_object_set_new(rule, k->name, json_string(s));
}

/* max 1: one value; 0: a list */
static const struct key rule_keys[] = {
    { "user", read_rule_key, 0, NULL, 0, 1 },
    { "group", read_rule_key, 0, NULL, 0, 1 },
    { "methods", read_rule_key, 0, NULL, 0, 0 },
    { "workspaces", read_rule_key, 0, NULL, 0, 0 },
    { "clients", read_rule_key, 0, NULL, 0, 0 },
    { "platforms", read_rule_key, 0, NULL, 0, 0 },
    { NULL, NULL, 0, NULL, 0, 0 },
};

static void read_policy(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    yaml_node_item_t *items;
    size_t count;

    if (!gd_config_items(c, n, k->name, &items, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *v = gd_config_node(c, items[i]);
        json_t *rule = json_object();
        GD_AUTO_FREE char *at =
            gd_strf("%.200s:%zu:%zu", c->file, v->start_mark.line + 1, v->start_mark.column + 1);

        gd_config_section(c, v, "a rule of policy", rule_keys, &rule);
        if (!gd_config_find(c, v, "user") && !gd_config_find(c, v, "group"))
            gd_config_fail(c, v, GD_R_CONFIG_MISSING, "a rule of policy needs user or group: whom it is for");
        if (!gd_config_find(c, v, "methods"))
            gd_config_fail(c, v, GD_R_CONFIG_MISSING, "a rule of policy needs methods: what it allows");
        json_object_set_new(rule, "at", json_string(at));
        json_array_append_new(*(json_t **)to, rule);
    }
}

/* ---- a shared store
 * ---------------------------------------------------------------------------------------------- */

static void read_engine(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (s && strcmp(s, "sqlite") != 0 && strcmp(s, "postgresql") != 0)
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be sqlite or postgresql", k->name);
    else if (s)
        gd_read_text(c, k, n, to);
}

/* The parts of the url are libpq's to understand; a password is none of them. */
static void read_store_url(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name), *rest, *at;

    if (!s)
        return;
    rest = !strncmp(s, "postgresql://", 13) ? s + 13 : !strncmp(s, "postgres://", 11) ? s + 11 : NULL;
    if (!rest) {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be postgresql://user@host/database",
                       k->name);
        return;
    }
    at = memchr(rest, '@', strcspn(rest, "/?"));
    if ((at && memchr(rest, ':', (size_t)(at - rest))) || strstr(rest, "password="))
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_LITERAL,
                       "%s holds a password: write it to a file and name that under store.password", k->name);
    else
        gd_read_text(c, k, n, to);
}

static void read_store_password(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    char *path = gd_config_secret_path(c, n, k->name, &c->cfg->store_password_shown);

    gd_free(*(char **)to);
    *(char **)to = path;
}

static void read_node_name(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const char *s = gd_config_scalar(c, n, k->name);

    if (s && (!s[0] || strlen(s) > GD_NODE_TITLE_MAX || s[strspn(s, letters)]))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be 1 to %d letters, digits, dots, dashes and underscores", k->name,
                       GD_NODE_TITLE_MAX);
    else if (s)
        gd_read_text(c, k, n, to);
}

/* For a pooler that gives each transaction another connection. */
static void read_prepared(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    bool prepared = true;

    gd_read_bool(c, k, n, &prepared);
    *(bool *)to = !prepared;
}

/* ---- the file
 * ----------------------------------------------------------------------------------------------------- */

static void read_later(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    (void)c; /* apps and hubs are read when everything else is known */
    (void)k;
    (void)n;
    (void)to;
}

#define AT(member) offsetof(struct gd_config, member)
#define END                       \
    {                             \
        NULL, NULL, 0, NULL, 0, 0 \
    }

static const struct key tls_keys[] = {
    { "cert", gd_read_path, AT(tls_cert), NULL, 0, 0 },
    { "key", gd_read_path, AT(tls_key), NULL, 0, 0 },
    END,
};
static const struct key store_keys[] = {
    { "engine", read_engine, AT(store_engine), NULL, 0, 0 },
    { "path", gd_read_path, AT(store_path), NULL, 0, 0 },
    { "group_wait_us", gd_read_int, AT(store_group_wait_us), NULL, 0, 1000000 },
    { "url", read_store_url, AT(store_url), NULL, 0, 0 },
    { "keyring_url", read_store_url, AT(keyring_url), NULL, 0, 0 },
    { "password", read_store_password, AT(store_password_file), NULL, 0, 0 },
    { "module_dir", gd_read_path, AT(store_module_dir), NULL, 0, 0 },
    { "deadline_ms", gd_read_int, AT(store_deadline_ms), NULL, 500, 600000 },
    { "prepared", read_prepared, AT(store_unprepared), NULL, 0, 0 },
    { "accept_async", gd_read_bool, AT(store_accept_async), NULL, 0, 0 },
    END,
};
static const struct key node_keys[] = {
    { "name", read_node_name, AT(node_name), NULL, 0, 0 },
    END,
};
static const struct key previous_keys[] = {
    { "file", gd_read_path, AT(previous_file), NULL, 0, 0 },
    { "credential", gd_read_text, AT(previous_credential), NULL, 0, 0 },
    { "passphrase_file", gd_read_path, AT(previous_passphrase_file), NULL, 0, 0 },
    END,
};
static const struct key key_keys[] = {
    { "file", gd_read_path, AT(key_file), NULL, 0, 0 },
    { "credential", gd_read_text, AT(key_credential), NULL, 0, 0 },
    { "passphrase_file", gd_read_path, AT(key_passphrase_file), NULL, 0, 0 },
    { "previous", gd_read_sub, 0, previous_keys, 0, 0 },
    END,
};
static const struct key limits_keys[] = {
    { "allow_private", read_allow_private, AT(allow_private), NULL, 0, 0 },
    { "concurrency", gd_read_int, AT(concurrency), NULL, 1, 1024 },
    { "per_minute", gd_read_int, AT(per_minute), NULL, 1, 1000000 },
    { "burst", gd_read_int, AT(burst), NULL, 1, 1000000 },
    { "cache_bytes", gd_read_int, AT(cache_bytes), NULL, 0, INT64_C(1) << 40 },
    { "request_deadline_ms", gd_read_int, AT(request_deadline_ms), NULL, 100, 600000 },
    { "quiet_ms", gd_read_int, AT(quiet_ms), NULL, 100, DAY_MS },
    { "skew_ms", gd_read_int, AT(skew_ms), NULL, 0, 600000 },
    { "family_lease_ms", gd_read_int, AT(family_lease_ms), NULL, 100, DAY_MS },
    { "node_lease_ms", gd_read_int, AT(node_lease_ms), NULL, 1000, DAY_MS },
    { "vend_blind_ms", gd_read_int, AT(vend_blind_ms), NULL, 0, DAY_MS },
    { "outage_ms", gd_read_int, AT(outage_ms), NULL, 0, INT64_C(30) * DAY_MS },
    { "look_every_ms", gd_read_int, AT(look_every_ms), NULL, 0, INT64_C(30) * DAY_MS },
    { "margin_min_ms", gd_read_int, AT(margin_min_ms), NULL, 0, DAY_MS },
    { "ca_file", gd_read_path, AT(ca_file), NULL, 0, 0 },
    END,
};
static const struct key mail_keys[] = {
    { "url", read_mail_url, AT(mail_url), NULL, 0, 0 },
    { "from", read_mail_from, AT(mail_from), NULL, 0, 0 },
    { "user", gd_read_text, AT(mail_user), NULL, 0, 0 },
    { "password", read_mail_password, AT(mail_password), NULL, 0, 0 },
    END,
};
static const struct key log_keys[] = {
    { "level", read_level, AT(log_level), NULL, 0, 0 },
    { "format", read_only_word, 0, "json", 0, 0 },
    END,
};
static const struct key top_keys[] = {
    { "listen", read_listen, AT(listen), NULL, 0, 0 },
    { "public_url", read_public_url, AT(public_url), NULL, 0, 0 },
    { "tls", gd_read_sub, 0, tls_keys, 0, 0 },
    { "trusted_proxies", read_proxies, AT(trusted_proxies), NULL, 0, 0 },
    { "socket", read_socket, AT(socket), NULL, 0, 0 },
    { "state_dir", gd_read_path, AT(state_dir), NULL, 0, 0 },
    { "platform_dir", gd_read_path, AT(platform_dir), NULL, 0, 0 },
    { "provider_dir", gd_read_path, AT(provider_dir), NULL, 0, 0 },
    { "store", gd_read_sub, 0, store_keys, 0, 0 },
    { "node", gd_read_sub, 0, node_keys, 0, 0 },
    { "key", gd_read_sub, 0, key_keys, 0, 0 },
    { "workspaces", read_workspaces, AT(workspaces), NULL, 0, 0 },
    { "titles", read_titles, AT(titles), NULL, 0, 0 },
    { "apps", read_later, 0, NULL, 0, 0 },
    { "hubs", read_later, 0, NULL, 0, 0 },
    { "origins", read_origins, AT(origins), NULL, 0, 0 },
    { "policy", read_policy, AT(policy), NULL, 0, 0 },
    { "limits", gd_read_sub, 0, limits_keys, 0, 0 },
    { "mail", gd_read_sub, 0, mail_keys, 0, 0 },
    { "log", gd_read_sub, 0, log_keys, 0, 0 },
    END,
};

/* ---- what must fit together
 * ---------------------------------------------------------------------------------------- */

/* The portal refuses the same, but only once the daemon that ran before is gone. */
static void check_tls(struct ctx *c, yaml_node_t *root)
{
    const struct gd_config *g = c->cfg;
    const char *url = g->public_url ? g->public_url : "";
    GD_AUTO_FREE char *door = gd_strf("http://%s", g->listen ? g->listen : "127.0.0.1:8443");

    if (!strncmp(url, "https://", 8) && !g->tls_cert && !(g->trusted_proxies && g->trusted_proxies[0]))
        gd_config_fail(c, gd_config_find(c, root, "public_url"), GD_R_PORTAL_TLS_REQUIRED,
                       "public_url is https: give tls (cert and key), or name the proxy that ends TLS under "
                       "trusted_proxies ([127.0.0.1] when it runs on this machine)");
    if (!strncmp(url, "http://", 7) && g->tls_cert)
        gd_config_fail(c, gd_config_find(c, root, "public_url"), GD_R_PORTAL_URL_INVALID,
                       "public_url is http although a certificate is given");
    if (!strncmp(url, "http://", 7) && !gd_config_url_ok(door, true))
        gd_config_fail(c, gd_config_find(c, root, "listen"), GD_R_PORTAL_TLS_REQUIRED,
                       "public_url is http, so listen has to be a loopback address");
}

static void check_together(struct ctx *c, yaml_node_t *root)
{
    struct gd_config *g = c->cfg;
    yaml_node_t *limits = gd_config_find(c, root, "limits");

    check_tls(c, root);
    if (!g->tls_cert != !g->tls_key)
        gd_config_fail(c, gd_config_find(c, root, "tls"), GD_R_CONFIG_MISSING, "tls needs both cert and key");
    if (!!g->key_file + !!g->key_credential + !!g->key_passphrase_file > 1)
        gd_config_fail(c, gd_config_find(c, root, "key"), GD_R_CONFIG_VALUE_INVALID,
                       "key takes one of file, credential and passphrase_file");
    if (!!g->previous_file + !!g->previous_credential + !!g->previous_passphrase_file > 1)
        gd_config_fail(c, gd_config_find(c, root, "key"), GD_R_CONFIG_VALUE_INVALID,
                       "key.previous takes one of file, credential and passphrase_file");
    if (gd_config_find(c, root, "mail") && (!g->mail_url || !g->mail_from) && c->errors->count == 0)
        gd_config_fail(c, gd_config_find(c, root, "mail"), GD_R_CONFIG_MISSING, "mail needs url and from");
    if (g->store_engine && strcmp(g->store_engine, g->store_url ? "postgresql" : "sqlite") != 0)
        gd_config_fail(
            c, gd_config_find(c, root, "store"), GD_R_CONFIG_VALUE_INVALID,
            "store.engine has to be postgresql where there is a url, and sqlite where there is none");
    if (g->keyring_url && !g->store_url)
        gd_config_fail(c, gd_config_find(c, root, "store"), GD_R_CONFIG_MISSING,
                       "store.keyring_url needs store.url: nodes that share the keys share the rest, too");
    if (!g->mail_user != !g->mail_password && c->errors->count == 0)
        gd_config_fail(c, gd_config_find(c, root, "mail"), GD_R_CONFIG_MISSING,
                       "mail needs both user and password, or neither");
    if (g->quiet_ms && g->quiet_ms < g->request_deadline_ms)
        gd_config_fail(c, gd_config_find(c, limits, "quiet_ms"), GD_R_CONFIG_VALUE_INVALID,
                       "quiet_ms has to be at least request_deadline_ms (%" PRId64
                       "): a request that may still arrive would meet its own repetition",
                       g->request_deadline_ms);
}

static void load_platforms(struct ctx *c)
{
    struct gd_err err = { 0 };

    if (c->given->load_platforms && c->given->load_platforms(c->given->arg, c->cfg, &err) != 0) {
        gd_config_fail(c, NULL, err.reason, "the platforms in %.200s are not loaded: %s",
                       c->cfg->platform_dir, err.text);
        c->no_platforms = true;
    }
}

void gd_config_read(struct ctx *c)
{
    yaml_node_t *root = c->has_doc ? yaml_document_get_root_node(&c->doc) : NULL, *n;

    if (root)
        gd_config_section(c, root, "the configuration", top_keys, c->cfg);
    if (root)
        check_together(c, root);
    gd_config_defaults(c);
    load_platforms(c);
    n = gd_config_find(c, root, "apps");
    if (n)
        gd_config_apps(c, n);
    n = gd_config_find(c, root, "hubs");
    if (n)
        gd_config_hubs(c, n);
}
