/* config/config.h - the one YAML file, as plain typed members. A file is taken whole or not at all: loading
 * gives a new struct gd_config, or every mistake of the file at once, each with file:line:column. Nothing
 * here changes what is running; a reload loads a second struct and the daemon swaps them.
 *
 * The YAML is a strict profile: one document, no anchors, aliases or tags, no key twice; whether 0123 is a
 * number is said by the option, never guessed. Relative paths are relative to the file's own folder. Start-up
 * and reload, loop thread; blocks (reads files). */
#ifndef GD_CONFIG_CONFIG_H
#define GD_CONFIG_CONFIG_H

#include "base/err.h"
#include "base/json.h"
#include "log/log.h"

#include <grantd/platform.h>

struct gd_config_app { /* apps.<id>: one developer registration at a platform */
    char *id, *workspace, *platform;
    char *provider;          /* NULL: none */
    bool shared_by_operator; /* the same registration may serve several workspaces */
    json_t *options; /* object of text: what the file sets, secrets resolved; defaults are not filled in */
    json_t *inputs;  /* object of text: the operator's inputs of the provider's description */
    json_t *shown;   /* options and inputs as people may see them: a secret is where it comes from */
};
struct gd_config_hub { /* hubs.<id>: the agency's own identity on a platform */
    char *id, *workspace, *platform, *hub_id;
    char *app;       /* NULL: none */
    json_t *options; /* as in an app */
    json_t *shown;
};

struct gd_config {
    char *file;               /* NULL: none was given */
    char *listen;             /* "127.0.0.1:8443", "[::1]:0" */
    char *public_url;         /* an origin without a trailing slash; NULL: links cannot be made */
    char *tls_cert, *tls_key; /* paths; both or neither */
    char **trusted_proxies;   /* addresses and prefixes; ends with NULL */
    char *socket, *state_dir, *platform_dir;
    char *provider_dir; /* more provider descriptions; NULL: none */
    char *store_path, *store_engine;
    int64_t store_group_wait_us;
    char *store_url, *keyring_url; /* postgresql://...; NULL: the embedded engine, the store's own */
    char *store_password_file;     /* NULL: the database asks for none, or libpq knows where it is */
    json_t *store_password_shown;  /* where it comes from */
    char *store_module_dir;        /* NULL: where it was installed */
    int64_t store_deadline_ms;
    bool store_unprepared, store_accept_async;
    char *node_name; /* for people, beside the id; NULL: that of the machine */
    char *key_file, *key_credential, *key_passphrase_file;                /* exactly one */
    char *previous_file, *previous_credential, *previous_passphrase_file; /* key.previous: at most one */
    char **workspaces;                                                    /* ends with NULL; at least one */
    struct gd_config_app *apps;
    size_t napps;
    struct gd_config_hub *hubs;
    size_t nhubs;
    json_t *titles;  /* object: workspace -> who clients read that asks them; default: the workspace's name */
    json_t *origins; /* object: "https://graph.example.com" -> "http://127.0.0.1:7700/graph.example.com" */
    json_t *policy;  /* array of rules for gd_policy_new; each carries "at": file:line:column */
    json_t *allow_private;                  /* array of "host:port" */
    int64_t concurrency, per_minute, burst; /* per app; 0: the platform's own, then the client's */
    int64_t cache_bytes;                    /* sealed access tokens kept in memory */
    int64_t request_deadline_ms;            /* T: hard total deadline of one exchange */
    int64_t quiet_ms;                       /* patience after a doubt; never below the deadline */
    int64_t skew_ms, family_lease_ms, outage_ms, margin_min_ms;
    int64_t node_lease_ms;           /* a node that was silent for so long is taken for dead by the others */
    int64_t vend_blind_ms;           /* a node that cannot read the shared store vends for so long */
    int64_t look_every_ms;           /* between two looks at a grant; 0: only when ordered */
    char *mail_url, *mail_from;      /* smtp:// or smtps://, plain address; NULL: no mail is sent */
    char *mail_user, *mail_password; /* both or neither */
    json_t *mail_shown;              /* where the password comes from */
    char *ca_file;                   /* PEM bundle for the platforms' certificates; NULL: the system's */
    enum gd_log_level log_level;
};

struct gd_config_error {
    enum gd_reason reason;
    int line, column;           /* 1-based; 0: the file as such */
    char text[GD_ERR_TEXT_MAX]; /* "file:line:column: sentence" */
};
struct gd_config_errors {
    char file[256];     /* "" when none was given */
    size_t count, more; /* kept in the list; found beyond its end */
    struct gd_config_error list[GD_CONFIG_ERRORS_MAX];
};

/* What the caller knows. The strings are copied. */
struct gd_config_given {
    const char *state_dir;    /* when the file names none; mandatory */
    const char *platform_dir; /* when the file names none; mandatory */
    const char *socket;       /* when the file names none; NULL: <state_dir>/grantd.sock */
    /* Called once, after everything but apps and hubs was read, so that the platforms of c->platform_dir can
     * be loaded. May be NULL. */
    int (*load_platforms)(void *arg, const struct gd_config *c, struct gd_err *err);
    /* The options of a platform (gd_config_no_options when it has none), NULL when there is no such platform.
     * NULL as a whole: apps and hubs are refused, since they cannot be checked. */
    const struct grantd_option *(*options)(void *arg, const char *platform);
    void *arg;
};
extern const struct grantd_option gd_config_no_options[];

/* path NULL: all defaults. 0, or -1 with errors filled (at least one). ret is untouched then. */
int gd_config_load(struct gd_config **ret, const char *path, const struct gd_config_given *given,
                   struct gd_config_errors *errors);
void gd_config_free(struct gd_config *c); /* NULL is fine */
/* What is in force, without any secret: new reference. */
json_t *gd_config_json(const struct gd_config *c);
/* [{"reason","file","line","column","text"}], for daemon.check: new reference. */
json_t *gd_config_errors_json(const struct gd_config_errors *e);

#endif
