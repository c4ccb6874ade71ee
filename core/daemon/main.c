/* daemon/main.c - grantd: the command line, signals, and the loop. */
#include "base/mem.h"
#include "base/std.h"
#include "crypto/keyring.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN      "GRANTD_STARTED_AGAIN" /* by itself: so often in a row */
#define TURNS_MAX 9
#define WAIT_US   200000 /* longer with each turn */

#ifndef GRANTD_PLATFORM_DIR
#define GRANTD_PLATFORM_DIR "/usr/lib/grantd/platforms"
#endif

enum {
    OPT_STATE = 256,
    OPT_PLATFORMS,
    OPT_SOCKET,
    OPT_CHECK,
    OPT_DUMP,
    OPT_OWN,
    OPT_CLOCK,
    OPT_RESTORE,
    OPT_RESTORE_KEYS,
    OPT_MIGRATE,
    OPT_PASSWORD,
    OPT_VERSION
};

static const struct option options[] = {
    { "config", required_argument, NULL, 'c' },
    { "state-dir", required_argument, NULL, OPT_STATE },
    { "platform-dir", required_argument, NULL, OPT_PLATFORMS },
    { "socket", required_argument, NULL, OPT_SOCKET },
    { "check", no_argument, NULL, OPT_CHECK },
    { "dump-platform", required_argument, NULL, OPT_DUMP },
    { "own-platforms", no_argument, NULL, OPT_OWN },
    { "virtual-clock", required_argument, NULL, OPT_CLOCK },
    { "restore", required_argument, NULL, OPT_RESTORE },
    { "restore-keyring", required_argument, NULL, OPT_RESTORE_KEYS },
    { "migrate-to", required_argument, NULL, OPT_MIGRATE },
    { "password-file", required_argument, NULL, OPT_PASSWORD },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

static const char help[] =
    "usage: grantd [--config FILE] [--state-dir DIR] [--platform-dir DIR] [--socket PATH]\n"
    "       grantd --check [--config FILE]     say all mistakes of the configuration and end\n"
    "       grantd --dump-platform FILE.so     print everything a loader knows of a platform and end\n"
    "       grantd --restore DIR [--restore-keyring DIR] [--config FILE]\n"
    "                                          fill the store from a backup and end\n"
    "       grantd --migrate-to postgresql://...|FILE [--password-file FILE] [--config FILE]\n"
    "                                          move everything into another store and end\n"
    "\n"
    "Without a configuration grantd keeps its state in /var/lib/grantd (--state-dir) and talks on\n"
    "<state-dir>/grantd.sock. --own-platforms accepts platform files that belong to the user who runs it.\n"
    "--virtual-clock FILE, for demonstrations and tests against a sandbox: time may be moved with\n"
    "`grantctl daemon clock`; only mapped loopback origins are talked to.\n";

struct asked {
    bool check;
    const char *dump, *restore, *restore_keys, *migrate, *password;
};

/* 0: go on; 1: end well; 2: end with a usage error. */
static int parse(int argc, char **argv, struct gd_daemon_options *o, struct asked *a)
{
    int c;

    *o = (struct gd_daemon_options){ .state_dir = "/var/lib/grantd", .platform_dir = GRANTD_PLATFORM_DIR };
    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case OPT_STATE:
            o->state_dir = optarg;
            break;
        case OPT_PLATFORMS:
            o->platform_dir = optarg;
            break;
        case OPT_SOCKET:
            o->socket = optarg;
            break;
        case OPT_CHECK:
            a->check = true;
            break;
        case OPT_DUMP:
            a->dump = optarg;
            break;
        case OPT_RESTORE:
            a->restore = optarg;
            break;
        case OPT_RESTORE_KEYS:
            a->restore_keys = optarg;
            break;
        case OPT_MIGRATE:
            a->migrate = optarg;
            break;
        case OPT_PASSWORD:
            a->password = optarg;
            break;
        case OPT_CLOCK:
            o->virtual_clock = optarg;
            break;
        case OPT_OWN:
            o->own_platforms = true;
            break;
        case OPT_VERSION:
            puts("grantd " GRANTD_VERSION);
            return 1;
        case 'h':
            fputs(help, stdout);
            return 1;
        default:
            fputs(help, stderr);
            return 2;
        }
    }
    if (optind == argc)
        return 0;
    fprintf(stderr, "grantd: %s is not an option\n%s", argv[optind], help);
    return 2;
}

static int dump_platform(const struct gd_daemon_options *o, const char *path)
{
    struct gd_platform *p;
    struct gd_err err = { 0 };
    json_t *j;
    char *text;

    if (gd_platform_load(&p, path, !o->own_platforms, &err)) {
        fprintf(stderr, "grantd: %s: %s (%s)\n", path, err.text, gd_reason_word(err.reason));
        return 1;
    }
    j = gd_platform_json(p);
    text = json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS);
    puts(text);
    gd_free(text);
    json_decref(j);
    gd_platform_free(p);
    return 0;
}

static int check_config(struct gd_daemon *d)
{
    struct gd_config_errors *errors = gd_new(sizeof *errors);
    int rc = gd_daemon_load_config(d, d->o.config, &d->platforms, &d->config, errors) ? 2 : 0;

    for (size_t i = 0; rc && i < errors->count; i++)
        fprintf(stderr, "%s (%s)\n", errors->list[i].text, gd_reason_word(errors->list[i].reason));
    if (rc == 0)
        puts("the configuration is good");
    gd_free(errors);
    return rc;
}

static void on_end_signal(uv_signal_t *h, int signum)
{
    (void)signum;
    gd_daemon_stop(h->data);
}

static void on_hup(uv_signal_t *h, int signum)
{
    (void)signum;
    gd_daemon_hangup(h->data);
}

static void on_heartbeat(uv_timer_t *t)
{
    (void)t;
    gd_notify("WATCHDOG=1");
}

static void on_minute(uv_timer_t *t)
{
    struct gd_daemon *d = t->data;
    GD_AUTO_JSON counts = gd_broker_counts(d->broker);

    gd_audit_set_counts(d->audit, counts);
    if (d->acting)
        gd_broker_reconcile(d->broker);
}

#define SWEEP_MS 5000

static void on_sweep(uv_timer_t *t)
{
    struct gd_daemon *d = t->data;

    if (d->acting)
        gd_broker_sweep(d->broker);
}

static void start_signals(struct gd_daemon *d)
{
    uv_signal_init(&d->loop, &d->sigterm);
    uv_signal_init(&d->loop, &d->sigint);
    uv_signal_init(&d->loop, &d->sighup);
    uv_timer_init(&d->loop, &d->heartbeat);
    uv_timer_init(&d->loop, &d->minute);
    uv_timer_init(&d->loop, &d->sweep);
    d->sigterm.data = d->sigint.data = d->sighup.data = d->heartbeat.data = d->minute.data = d->sweep.data =
        d;
    uv_timer_start(&d->minute, on_minute, 60000, 60000);
    uv_timer_start(&d->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_signal_start(&d->sigterm, on_end_signal, SIGTERM);
    uv_signal_start(&d->sigint, on_end_signal, SIGINT);
    uv_signal_start(&d->sighup, on_hup, SIGHUP);
    if (!gd_notify_watchdog_ms())
        return;
    gd_notify_watchdog(true);
    uv_timer_start(&d->heartbeat, on_heartbeat, 0, (uint64_t)gd_notify_watchdog_ms() / 2);
}

static void say_ready(struct gd_daemon *d)
{
    GD_AUTO_FREE char *url = d->portal ? gd_strdup(d->config->public_url) : NULL;

    GD_LOG(d->log, GD_LOG_INFO, "ready", GD_F_STR("socket", d->config->socket),
           GD_F_STR("portal", url ? url : ""), GD_F_INT("port", d->portal ? gd_portal_port(d->portal) : 0),
           GD_F_INT("platforms", d->platforms.count), GD_F_INT("took_ms", gd_now(d->clock) - d->started_at));
    gd_notify("READY=1\nSTATUS=");
}

void gd_daemon_say_failed(struct gd_daemon *d, const struct gd_err *err)
{
    GD_LOG(d->log, GD_LOG_ERROR, "start.failed", GD_F_ERR(err),
           GD_F_STR("remedy", gd_reason_info(err->reason)->remedy));
}

static void free_config(struct gd_daemon *d)
{
    gd_config_free(d->config);
    gd_platforms_free(&d->platforms);
    gd_free(d->audit_path);
    gd_free(d->node);
    gd_free(d->keys_path);
    gd_free(d->spool_path);
}

static int offline(struct gd_daemon *d, const struct asked *a)
{
    struct gd_err err = { 0 };
    int rc = a->migrate ? gd_daemon_migrate(d, a->migrate, a->password, &err)
                        : gd_daemon_restore(d, a->restore, a->restore_keys, &err);

    if (rc)
        fprintf(stderr, "grantd: %s (%s)\n  %s\n", err.text, gd_reason_word(err.reason),
                gd_reason_info(err.reason)->remedy);
    gd_keyring_free(d->keyring);
    free_config(d);
    return rc ? 1 : 0;
}

/* A node that starts itself anew may meet a database that is just changing its primary, or may be taken for
 * dead by the others in that moment: its processes at the server are ended, it is fenced. They are done with
 * it then, and it joins. A first start is refused all the same: it may be a copy, or the url be wrong. */
static bool may_try_again(const struct gd_daemon *d, const struct gd_err *err)
{
    static const enum gd_reason passing[] = { GD_R_STORE_LOCKED, GD_R_STORE_UNREACHABLE, GD_R_STORE_SLOW,
                                              GD_R_STORE_READ_ONLY };

    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (err->reason == passing[i])
            return d->turn > 0 && d->turn < TURNS_MAX && d->config && d->config->store_url;
    return false;
}

static int run(struct gd_daemon *d)
{
    const char *turn = getenv(TURN); /* check:allow start-up; this process has set it */
    struct gd_err err = { 0 };

    (void)signal(SIGHUP, SIG_IGN); /* until the loop hears it: the configuration is being read anyway */
    d->turn = turn && turn[0] >= '1' && turn[0] <= '9' && !turn[1] ? turn[0] - '0' : 0;
    if (gd_daemon_boot(d, &err)) {
        gd_daemon_say_failed(d, &err);
        gd_keyring_free(d->keyring); /* threads of such a start do not know it */
        d->again = may_try_again(d, &err);
        return d->again ? 0 : 1;
    }
    d->turn = 0;
    start_signals(d);
    say_ready(d);
    gd_daemon_look_beside(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    GD_LOG(d->log, GD_LOG_INFO, "stopped");
    if (d->again || d->moving) /* nobody says that it lives until it is ready again */
        gd_notify_watchdog(false);
    if (d->moving)
        (void)gd_moving_run(d->moving,
                            &err); /* it starts again in either case: with what is then the store */
    gd_moving_free(d->moving);
    free_config(d);
    uv_loop_close(&d->loop);
    return d->failed;
}

/* In the same process, so that whoever supervises it need not know. */
static int start_again(const struct gd_daemon *d, char **argv)
{
    const char turn[] = { (char)('1' + d->turn), '\0' };

    (void)setenv(TURN, turn, 1);
    (void)usleep((useconds_t)d->turn * WAIT_US);
    (void)execv("/proc/self/exe", argv);
    fprintf(stderr, "grantd: cannot start again: %s\n", strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    static struct gd_daemon daemon_state; /* the process is this object */
    struct gd_daemon *d = &daemon_state;
    struct asked asked = { 0 };
    struct gd_err err = { 0 };
    unsigned char log_key[32];
    int rc;

    gd_std_open();
    rc = parse(argc, argv, &d->o, &asked);
    if (rc)
        return rc == 1 ? 0 : 2;
    /* Large tables that grow give their old memory back to the system; two arenas do for three threads. */
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_ARENA_MAX, 2);
    gd_json_setup();
    (void)signal(SIGPIPE, SIG_IGN);
    if (gd_crypto_setup(&err)) {
        fprintf(stderr, "grantd: %s (%s)\n", err.text, gd_reason_word(err.reason));
        return 1;
    }
    if (asked.dump)
        return dump_platform(&d->o, asked.dump);
    d->clock = gd_clock_system();
    if (d->o.virtual_clock) {
        rc = gd_clock_shared_open(&d->moved, d->o.virtual_clock);
        if (rc) {
            fprintf(stderr, "grantd: %s: %s\n", d->o.virtual_clock, strerror(-rc));
            return 1;
        }
        d->clock = &d->moved.clock;
    }
    d->rng = gd_rng_system();
    gd_rng_bytes(d->rng, log_key, sizeof log_key);
    d->log = gd_log_new(STDERR_FILENO, GD_LOG_INFO, d->clock, log_key);
    uv_loop_init(&d->loop);
    rc = asked.check                                            ? check_config(d)
         : asked.restore || asked.restore_keys || asked.migrate ? offline(d, &asked)
                                                                : run(d);
    /* The log stays: threads of a start that was refused may still speak, until the process ends. */
    return d->again && rc == 0 ? start_again(d, argv) : rc;
}
