/* main.c - grantd-sandbox: the command line and the loop. */
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "sandbox_int.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    OPT_LISTEN = 256,
    OPT_WORLD,
    OPT_SEED,
    OPT_CLOCK,
    OPT_HOLD,
    OPT_SHARE,
    OPT_ANYWHERE,
    OPT_ORIGINS,
    OPT_LIST,
    OPT_VERBOSE,
    OPT_VERSION
};

static const struct option options[] = {
    { "listen", required_argument, NULL, OPT_LISTEN },
    { "world", required_argument, NULL, OPT_WORLD },
    { "seed", required_argument, NULL, OPT_SEED },
    { "clock", required_argument, NULL, OPT_CLOCK },
    { "hold-clock", no_argument, NULL, OPT_HOLD },
    { "virtual-clock", required_argument, NULL, OPT_SHARE },
    { "anywhere", no_argument, NULL, OPT_ANYWHERE },
    { "print-origins", no_argument, NULL, OPT_ORIGINS },
    { "list", no_argument, NULL, OPT_LIST },
    { "verbose", no_argument, NULL, OPT_VERBOSE },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

static const char help[] =
    "usage: grantd-sandbox [--listen 127.0.0.1:7700] [--world FILE] [--seed N] [--clock UNIX] "
    "[--hold-clock]\n"
    "       grantd-sandbox --print-origins [--listen ADDRESS:PORT]     the lines for grantd's configuration\n"
    "       grantd-sandbox --list     acts, faults and options of every platform\n"
    "\n"
    "Stand-ins for the platforms, for trying, showing and testing; nothing in them is real. A request for\n"
    "https://HOST/PATH goes to http://127.0.0.1:7700/HOST/PATH. /_sandbox/ lists what can be switched "
    "there.\n"
    "  --world FILE   people, businesses and accounts of your own (JSON)\n"
    "  --seed N       the same tokens and ids at each start\n"
    "  --clock UNIX   the sandbox's time at its start; --hold-clock: it stands still\n"
    "  --virtual-clock FILE   a clock shared with grantd --virtual-clock FILE, which moves it\n"
    "  --anywhere     allow another address than loopback in --listen\n"
    "  --verbose      a line on stderr for each request\n";

struct asked {
    const char *listen, *world, *share;
    int64_t seed, clock;
    bool hold, origins, list, seeded;
};

static volatile sig_atomic_t ending;

static void on_signal(int sig)
{
    (void)sig;
    ending = 1;
}

static int number(const char *name, const char *text, int64_t *ret)
{
    if (gd_parse_i64(text, ret))
        return 0;
    fprintf(stderr, "grantd-sandbox: --%s %s: not a number\n", name, text);
    return 2;
}

/* 0: go on; 1: end well; 2: end with a usage error. */
static int parse_one(int c, struct sb *sb, struct asked *a)
{
    switch (c) {
    case OPT_LISTEN:
        a->listen = optarg;
        return 0;
    case OPT_WORLD:
        a->world = optarg;
        return 0;
    case OPT_SEED:
        a->seeded = true;
        return number("seed", optarg, &a->seed);
    case OPT_CLOCK:
        return number("clock", optarg, &a->clock);
    case OPT_HOLD:
        a->hold = true;
        return 0;
    case OPT_SHARE:
        a->share = optarg;
        return 0;
    case OPT_ANYWHERE:
        sb->anywhere = true;
        return 0;
    case OPT_ORIGINS:
        a->origins = true;
        return 0;
    case OPT_LIST:
        a->list = true;
        return 0;
    case OPT_VERBOSE:
        sb->verbose = true;
        return 0;
    case OPT_VERSION:
        puts("grantd-sandbox " GRANTD_VERSION);
        return 1;
    case 'h':
        fputs(help, stdout);
        return 1;
    default:
        fputs(help, stderr);
        return 2;
    }
}

static int parse(int argc, char **argv, struct sb *sb, struct asked *a)
{
    int c, rc;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        rc = parse_one(c, sb, a);
        if (rc)
            return rc;
    }
    if (optind < argc) {
        fprintf(stderr, "grantd-sandbox: %s is no option\n", argv[optind]);
        return 2;
    }
    return 0;
}

/* A star stands for one label and is kept. */
static void print_origins(const char *listen)
{
    puts("origins:");
    for (const struct sb_platform *const *p = sb_platforms; *p; p++)
        for (const char *const *o = (*p)->origins; *o; o++)
            printf("  \"%s\": \"http://%s/%s\"\n", *o, listen, strstr(*o, "://") + 3);
}

static void print_faults(const struct sb_fault_kind *f)
{
    for (; f && f->name; f++)
        printf("  %-22s %s\n", f->name, f->help);
}

static void print_list(void)
{
    puts("faults of every platform (POST /_sandbox/fault)");
    print_faults(fault_common);
    for (const struct sb_platform *const *p = sb_platforms; *p; p++) {
        printf("\n%s: acts (POST /_sandbox/act)\n", (*p)->name);
        for (const struct sb_act *a = (*p)->acts; a && a->name; a++)
            printf("  %-22s %s\n", a->name, a->help);
        printf("%s: faults\n", (*p)->name);
        print_faults((*p)->faults);
        printf("%s: options (POST /_sandbox/option)\n", (*p)->name);
        for (const struct sb_option *o = (*p)->options; o && o->name; o++)
            printf("  %-22s %s (%s)\n", o->name, o->help, o->dflt);
    }
}

static void setup(struct sb *sb, const struct asked *a)
{
    uint64_t seed = (uint64_t)a->seed;
    struct sigaction act = { .sa_handler = on_signal };

    if (!a->seeded)
        gd_rng_bytes(gd_rng_system(), &seed, sizeof seed);
    gd_rng_seed(&sb->rng, seed);
    clock_set(sb, a->clock ? a->clock : (int64_t)time(NULL));
    sb->clock_held = a->hold;
    sb->worlds = json_object();
    sb->faults = json_object();
    sb->seen = json_array();
    sigemptyset(&act.sa_mask);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void done(struct sb *sb)
{
    send_wait();
    json_decref(sb->defaults);
    json_decref(sb->worlds);
    json_decref(sb->faults);
    json_decref(sb->seen);
}

static int serve(struct sb *sb, const struct asked *a, struct gd_err *err)
{
    setup(sb, a);
    if (a->share && clock_share(sb, a->share))
        return gd_err_set(err, GD_R_FILE_UNREADABLE, "%s cannot be used as a clock", a->share);
    if (world_load(sb, a->world, err))
        return -1;
    world_reset(sb, NULL);
    if (server_start(sb, a->listen, err))
        return -1;
    printf("grantd-sandbox listens on http://%.*s:%u\n", (int)(strrchr(a->listen, ':') - a->listen),
           a->listen, server_port(sb));
    fflush(stdout);
    while (!ending)
        server_turn(sb, 250);
    server_stop(sb);
    return 0;
}

int main(int argc, char **argv)
{
    struct asked a = { .listen = "127.0.0.1:7700" };
    struct sb sb = { 0 };
    struct gd_err err;
    int rc = parse(argc, argv, &sb, &a);

    if (rc)
        return rc == 1 ? 0 : 2;
    if (a.origins)
        print_origins(a.listen);
    if (a.list)
        print_list();
    if (a.origins || a.list)
        return 0;
    gd_json_setup();
    if (gd_crypto_setup(&err)) {
        fprintf(stderr, "grantd-sandbox: %s\n", err.text);
        return 1;
    }
    rc = serve(&sb, &a, &err);
    if (rc)
        fprintf(stderr, "grantd-sandbox: %s\n", err.text);
    done(&sb);
    return rc ? 1 : 0;
}
