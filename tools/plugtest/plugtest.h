/* plugtest.h - what the files of grantd-plugtest share. One platform, its tapes, no network, no real clock: a
 * run is repeatable to the byte, and every sweep is the same run with one thing gone wrong. */
#ifndef PLUGTEST_H
#define PLUGTEST_H

#include "base/clock.h"
#include "base/rng.h"
#include "http/tape.h"
#include "plugin/op.h"

#define PT_TAPES_MAX          512
#define PT_NOTICE_HEADERS_MAX 32
#define PT_TAPE_FILE_MAX      (4 * 1024 * 1024)

struct pt_tape {
    char *name;          /* "file: name" */
    json_t *json;        /* the whole tape */
    json_t *frames;      /* borrowed */
    json_t *description; /* owned; NULL: none */
    enum gd_op_kind kind;
    size_t played;          /* frames used when nothing goes wrong */
    unsigned ticks, allocs; /* and turns, allocations */
    json_t *golden;         /* and what came out */
};

struct pt {
    struct gd_platform *platform;
    const char *path, *providers;
    struct pt_tape tapes[PT_TAPES_MAX];
    size_t ntapes;
    bool verbose;
    unsigned bad, runs;
};

/* One thing that goes wrong. */
struct pt_plan {
    long fault_frame; /* -1: none */
    json_t *fault;    /* the answer in its place */
    unsigned fail_alloc_at;
};

struct pt_run {
    struct pt *pt;
    struct pt_tape *tape;
    struct gd_op_env env;
    struct gd_transport transport; /* notes what is sent, then the tape's */
    struct gd_clock_virtual clock;
    struct gd_rng_seeded rng;
    struct gd_tape *reel;
    struct gd_op *op;
    struct gd_log *log;
    int log_fd;
    unsigned ends, ticks;
    bool repeatable; /* the last request */
    bool detached;
    json_t *transcript; /* array of lines */
    json_t *out;        /* what came out; NULL until the end */
};

__attribute__((format(printf, 2, 3))) void pt_bad(struct pt *pt, const char *fmt, ...);

/* What is being tried now: said when the platform crashes in it. */
void pt_now(const struct pt_tape *t, const char *what);

/* tape.c: reads a file of tapes. False when it is none; it has been said. */
bool pt_tapes_read(struct pt *pt, const char *path);
void pt_tapes_done(struct pt *pt);
/* Texts of this tape that must never be seen in a log or a sentence: new reference, array. */
json_t *pt_secrets(const struct pt *pt, const struct pt_tape *t);

/* run.c */
void pt_run_init(struct pt_run *r, struct pt *pt, struct pt_tape *t, const struct pt_plan *plan);
bool pt_run_turn(struct pt_run *r); /* false: nothing moves any more */
void pt_run_all(struct pt_run *r);
void pt_run_done(struct pt_run *r);
char *pt_run_log(const struct pt_run *r); /* caller frees */
void pt_run_print(const struct pt_run *r);

/* judge.c: compares with "expect"; says each difference. */
bool pt_judge(struct pt *pt, const struct pt_run *r);
bool pt_matches(const json_t *expected, const json_t *is, const char *where, char *why, size_t size);

/* faults.c: the i-th way to spoil the answer of a frame; NULL past the end. New reference. */
struct pt_fault {
    const char *name;
    enum { PT_NO_ANSWER, PT_NOT_SENT, PT_REFUSAL, PT_LIMITED, PT_TRANSIENT, PT_NONSENSE, PT_ODD } what;
    json_t *answer;
};
bool pt_fault(size_t i, const json_t *frame, struct pt_fault *ret);

/* sweep.c */
void pt_sweep(struct pt *pt);
/* lint.c */
void pt_lint(struct pt *pt);
void pt_lint_tapes(struct pt *pt);

#endif
