/* daemon/daemon.h - the only room that knows all others: puts them together, takes them apart. Loop thread.
 */
#ifndef GD_DAEMON_DAEMON_H
#define GD_DAEMON_DAEMON_H

#include "config/config.h"
#include "crypto/keyring.h"
#include "http/http.h"
#include "http/mail.h"
#include "portal/portal.h"
#include "rpc/rpc.h"
#include "sched/sched.h"

#include <stdatomic.h>

struct gd_daemon_options { /* from the command line */
    const char *config;    /* NULL: defaults */
    const char *state_dir, *platform_dir, *socket;
    const char *virtual_clock; /* file of a clock that may be moved; NULL: the system's time */
    bool own_platforms; /* platform files may belong to the user who runs the daemon, not only to root */
};

struct gd_daemon {
    struct gd_daemon_options o;
    uv_loop_t loop;
    const struct gd_clock *clock;
    struct gd_clock_shared moved; /* with --virtual-clock */
    struct gd_rng *rng;
    struct gd_log *log;
    struct gd_config *config;
    struct gd_platforms platforms;
    struct gd_keyring *keyring;
    char kek[GD_KEK_ID]; /* the one that is named under key */
    struct gd_store *store, *keys;
    struct gd_nodes *nodes;
    struct gd_audit *audit;
    struct gd_events *events;
    struct gd_http_threaded *http;
    struct gd_mailer *mail; /* NULL: none is configured */
    struct gd_sched *sched;
    struct gd_broker *broker;
    struct gd_policy *policy;
    struct gd_rpc *rpc;
    struct gd_portal *portal;
    char *audit_path, *node, *keys_path, *spool_path;
    struct gd_moving *moving; /* what is to be done once all is closed; NULL: nothing */
    unsigned jobs;            /* of storage.c that are under way */
    uint64_t readings;        /* of the configuration file, since the start */
    uint64_t applied;         /* the last one of them that is in force */
    atomic_bool stop_jobs;    /* they end early */
    void (*jobs_done)(void *);
    void *jobs_arg;
    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t heartbeat, minute, sweep;
    int64_t started_at;
    bool stopping;
    unsigned looking;  /* files of the store that are being looked at: whole.c */
    bool whole;        /* they are */
    bool acting;       /* the scheduler runs */
    int64_t looked_at; /* monotonic */
    bool failed;       /* ends with 1 */
    struct gd_err why;
    bool again; /* after the stop the program starts itself anew */
    int turn;   /* so often in a row without getting ready */
};

/* boot.c: everything up to the ready line. The error says what to do. */
int gd_daemon_boot(struct gd_daemon *d, struct gd_err *err);
/* The configuration and the key, and no more: for what is done while no daemon runs. */
int gd_daemon_boot_offline(struct gd_daemon *d, struct gd_err *err);
/* Reads exactly n bytes of a file of the state directory; makes it from random bytes when it is missing. Any
 * thread. */
int gd_daemon_small_file(const struct gd_daemon *d, const char *name, unsigned char *bytes, size_t n,
                         struct gd_err *err);
/* keks.c: the KEKs that a configuration names. With create, a missing key file is made. */
struct gd_kek {
    unsigned char key[32];
    char *source; /* for people; NULL: none is named */
    bool created;
};
struct gd_keks {
    struct gd_kek named, previous;
};
/* Any thread; may take as long as a passphrase does. ret: zeroed before, gd_keks_done after, also when it
 * failed. */
int gd_keks_read(const struct gd_daemon *d, const struct gd_config *c, bool create, struct gd_keks *ret,
                 struct gd_err *err);
void gd_keks_done(struct gd_keks *k);
/* Into the keyring; GD_KEK_ID bytes for the name of the one that is to be used. KEY_WRONG when the one that
 * is in use is not among them. */
int gd_keks_add(struct gd_daemon *d, const struct gd_keks *k, char *ret_id, struct gd_err *err);
int gd_daemon_boot_keks(struct gd_daemon *d, bool create, struct gd_err *err);
/* restore.c: fills the stores of the configuration from backups; either may be NULL. Prints what it did. */
int gd_daemon_restore(struct gd_daemon *d, const char *data, const char *keys, struct gd_err *err);
/* moving.c: another store than the daemon's own, as a person names it: a URL without a password, or the
 * absolute path of a file (of the keyring's own, with keys). The texts are borrowed. */
int gd_daemon_check_place(const char *to, struct gd_err *err);
struct gd_store_options gd_daemon_store_at(const struct gd_daemon *d, const char *to,
                                           const char *password_file, bool keys);
/* moving.c: everything into another store. A moving stands on d's configuration. */
struct gd_moving;
struct gd_moving *gd_moving_new(struct gd_daemon *d, const char *to, const char *password_file,
                                struct gd_err *err);
void gd_moving_free(struct gd_moving *m);                     /* NULL is fine */
int gd_moving_check(struct gd_moving *m, struct gd_err *err); /* [worker] beside the daemon's work */
int gd_moving_run(struct gd_moving *m, struct gd_err *err);   /* when all is closed; says it in the log */
json_t *gd_moving_json(const struct gd_moving *m);
/* grantd --migrate-to */
int gd_daemon_migrate(struct gd_daemon *d, const char *to, const char *password_file, struct gd_err *err);
/* load.c: configuration alone, platforms and policy included; errors are printed by the caller. */
int gd_daemon_load_config(struct gd_daemon *d, const char *path, struct gd_platforms *platforms,
                          struct gd_config **ret, struct gd_config_errors *errors);
struct gd_policy *gd_daemon_policy(const struct gd_config *c, struct gd_err *err);
/* whole.c: looks at the store's files, where they are small. */
int gd_daemon_look_first(struct gd_daemon *d, struct gd_err *err);
/* Starts the scheduler and goes on with what was interrupted, unless the files have still to be looked at. */
int gd_daemon_begin(struct gd_daemon *d, struct gd_err *err);
/* When all is ready: looks at what was not looked at, then begins; or ends the daemon. */
void gd_daemon_look_beside(struct gd_daemon *d);
void gd_daemon_say_failed(struct gd_daemon *d, const struct gd_err *err); /* main.c */
/* stop.c: drains, closes from the top down, ends the loop. */
void gd_daemon_stop(struct gd_daemon *d);
/* The same, and then the program starts itself anew: this process may not write to the store any more. */
void gd_daemon_restart(struct gd_daemon *d, const char *why);
/* boot.c: limits of the apps, shared among the nodes that are alive. */
void gd_daemon_set_limits(struct gd_daemon *d);
/* acts.c: what rpc asks of the daemon itself. */
extern const struct gd_rpc_daemon gd_daemon_acts_template;
void gd_daemon_hangup(struct gd_daemon *d); /* SIGHUP: the same as daemon.reload, by nobody */
/* travel.c: --virtual-clock. Refuses a configuration that maps an origin anywhere but to a loopback. */
int gd_daemon_virtual(struct gd_daemon *d, struct gd_err *err);
/* {"by": seconds}: goes there from deadline to deadline, so that everything happens in its time. */
void gd_daemon_travel(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg);
/* storage.c: what is done to the stores as a whole, on a worker: store.backup, store.check. */
void gd_daemon_storage(void *arg, const char *method, json_t *params, gd_reply_fn *reply, void *reply_arg);
void gd_daemon_job_end(struct gd_daemon *d); /* one of d->jobs is over */
/* Ends what is under way; done (on the loop, perhaps inside) when nothing is. */
void gd_daemon_storage_stop(struct gd_daemon *d, void (*done)(void *), void *arg);
/* boot.c: what opens the data, or with keys the keyring. The texts are the configuration's and d's. */
struct gd_store_options gd_daemon_store_options(const struct gd_daemon *d, bool keys);
/* notify.c: sd_notify and socket activation. */
void gd_notify(const char *state);
int gd_notify_listen_fd(void);       /* -1: none was handed over */
int64_t gd_notify_watchdog_ms(void); /* 0: none wanted */
void gd_notify_watchdog(bool on);    /* off: it does not expect to hear anything until it is on again */

#endif
