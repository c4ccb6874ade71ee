/* grantd-plugtest [--dump] [--static-lint] [--no-sweep] [--partial] [--verbose] [--providers DIR] NAME.so
 * [TAPE.json...]
 *
 * Runs a platform against tapes, without network and without a clock, then everything again with one thing
 * gone wrong at a time. Exit status 0 only when nothing was found. */
#include "plugtest.h"
#include "base/mem.h"
#include "crypto/crypto.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void pt_bad(struct pt *pt, const char *fmt, ...)
{
    va_list ap;

    pt->bad++;
    printf("BAD  ");
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

/* ---- crashes
 * ----------------------------------------------------------------------------------------------- */

static char now[512];
static struct sigaction former[NSIG];

void pt_now(const struct pt_tape *t, const char *what)
{
    (void)snprintf(now, sizeof now, "CRASH %s: %s\n", t->name, what);
}

static void on_crash(int sig)
{
    (void)!write(STDOUT_FILENO, now, strlen(now));
    (void)sigaction(sig, &former[sig], NULL); /* and now whatever would have come */
}

static void watch_crashes(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
    struct sigaction sa = { .sa_handler = on_crash };

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        (void)sigaction(signals[i], &sa, &former[signals[i]]);
}

static int usage(void)
{
    fputs("usage: grantd-plugtest [options] NAME.so TAPE.json...\n"
          "  --dump           print what the loader knows, as JSON, and end\n"
          "  --static-lint    look at the file only, run nothing\n"
          "  --no-sweep       run the tapes as they are, without spoiling anything\n"
          "  --partial        do not ask for a tape of every function\n"
          "  --providers DIR  provider descriptions (default: the folder NAME/providers beside NAME.so)\n"
          "  --verbose        print each run\n"
          "What a tape is: README.md and tapes.json beside example.c, in share/doc/grantd/platform.\n",
          stderr);
    return 2;
}

static void run_tape(struct pt *pt, struct pt_tape *t)
{
    struct pt_plan plan = { .fault_frame = -1 };
    struct pt_run r;
    bool fine;

    pt_now(t, "as it is");
    pt_run_init(&r, pt, t, &plan);
    pt_run_all(&r);
    fine = pt_judge(pt, &r);
    t->played = gd_tape_played(r.reel);
    t->ticks = r.ticks;
    t->golden = json_incref(r.out);
    printf("%s %s\n", fine ? "ok  " : "FAIL", t->name);
    if (!fine || pt->verbose)
        pt_run_print(&r);
    pt_run_done(&r);
}

static int dump(const struct pt *pt)
{
    GD_AUTO_JSON j = gd_platform_json(pt->platform);
    char *text = json_dumps(j, JSON_INDENT(2));

    puts(text);
    gd_free(text);
    return 0;
}

struct wishes {
    bool dump, lint_only, no_sweep, partial;
    int first; /* of argv: the file */
};

static bool parse(struct pt *pt, struct wishes *w, int argc, char **argv)
{
    int i;

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--dump"))
            w->dump = true;
        else if (!strcmp(argv[i], "--static-lint"))
            w->lint_only = true;
        else if (!strcmp(argv[i], "--no-sweep"))
            w->no_sweep = true;
        else if (!strcmp(argv[i], "--partial"))
            w->partial = true;
        else if (!strcmp(argv[i], "--verbose"))
            pt->verbose = true;
        else if (!strcmp(argv[i], "--providers") && i + 1 < argc)
            pt->providers = argv[++i];
        else
            return false;
    }
    w->first = i;
    return i < argc;
}

static int run(struct pt *pt, const struct wishes *w, int argc, char **argv)
{
    bool fine = true;
    unsigned before;

    pt_lint(pt);
    if (w->lint_only)
        return pt->bad != 0;
    for (int i = w->first + 1; i < argc; i++)
        fine = pt_tapes_read(pt, argv[i]) && fine;
    if (pt->ntapes == 0)
        pt_bad(pt, "there is no tape to run");
    before = pt->bad;
    for (size_t i = 0; fine && i < pt->ntapes; i++)
        run_tape(pt, &pt->tapes[i]);
    fine = fine && pt->bad == before;
    if (fine && !w->partial)
        pt_lint_tapes(pt);
    if (fine && !w->no_sweep)
        pt_sweep(pt);
    else if (!w->no_sweep)
        printf("the sweeps were not run: mend what is said above first\n");
    printf("%s: %zu tapes, %u runs, %u bad\n", pt->platform->p.name, pt->ntapes, pt->runs, pt->bad);
    pt_tapes_done(pt);
    return pt->bad != 0;
}

int main(int argc, char **argv)
{
    struct pt *pt;
    struct wishes w = { 0 };
    struct gd_err err;
    GD_AUTO_FREE char *providers = NULL;
    char *path = NULL;
    int rc = 1;

    watch_crashes();
    gd_json_setup();
    if (gd_crypto_setup(&err) != 0) {
        fprintf(stderr, "grantd-plugtest: %s\n", err.text);
        return 1;
    }
    pt = gd_new(sizeof *pt);
    if (!parse(pt, &w, argc, argv)) {
        gd_free(pt);
        return usage();
    }
    path = realpath(argv[w.first], NULL);
    pt->path = path ? path : argv[w.first];
    providers = gd_strf("%.*s/providers", (int)strlen(pt->path) - 3, pt->path);
    pt->providers = pt->providers ? pt->providers : providers;
    if (gd_platform_load(&pt->platform, pt->path, false, &err) != 0)
        fprintf(stderr, "%s: %s\n", gd_reason_word(err.reason), err.text);
    else
        rc = w.dump ? dump(pt) : run(pt, &w, argc, argv);
    gd_platform_free(pt->platform);
    free(path);
    gd_free(pt);
    return rc;
}
