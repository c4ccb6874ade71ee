/* audit/audit.h - what was done, by whom, in a log that cannot be changed unseen. One JSON record a line,
 * each with the hash of the one before; every 1,000 records or 60 s a checkpoint signed with Ed25519 (C2SP
 * signed note). When the file has grown to file_max it is closed as <path>.0001, .0002, ... and the chain
 * goes on in a new one, whose first record names the chain's key and tree again. Where several nodes work
 * together each writes down what the others signed last (audit.heads). The file is opened
 * O_APPEND|O_NOFOLLOW; an own thread appends and syncs in groups. Loop thread. */
#ifndef GD_AUDIT_AUDIT_H
#define GD_AUDIT_AUDIT_H

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "log/log.h"

#include <uv.h>

struct gd_audit;
struct gd_audit_options {
    const char *path;
    const char *node;               /* name of this chain */
    const unsigned char *sign_seed; /* 32 bytes, Ed25519 */
    const unsigned char *hash_key;  /* 32 bytes: sensitive values are written as HMACs under it */
    unsigned checkpoint_records;    /* 0: 1000 */
    unsigned checkpoint_ms;         /* 0: 60000 */
    int64_t file_max;               /* bytes; 0: GD_AUDIT_FILE_MAX */
};
/* Blocking: reads the tail, continues the chain. AUDIT_BROKEN when the tail does not fit its checkpoint (or
 * the log is shorter than <path>.head), AUDIT_LOCKED, AUDIT_UNREADABLE, AUDIT_UNAVAILABLE. */
int gd_audit_open(struct gd_audit **ret, uv_loop_t *loop, const struct gd_audit_options *o,
                  const struct gd_clock *clock, struct gd_log *log, struct gd_err *err);
void gd_audit_close(struct gd_audit *a, void (*done)(void *), void *arg); /* last checkpoint, then closes */

struct gd_audit_entry {
    const char *act;                          /* "grant.token", "credential.refresh", "portal.approve" */
    const char *phase;                        /* "request" before the effect, "done" after it */
    const char *outcome;                      /* "ok" or a reason word */
    const char *workspace, *client, *subject; /* subject: id of what it was done to */
    int64_t uid, gid, pid;                    /* -1: not a local caller */
    json_t *data;                             /* more fields, borrowed; no secrets (gd_audit_hash) */
};
typedef void gd_audit_fn(void *arg, const struct gd_err *err); /* err NULL: durable */
/* done (may be NULL) runs on the loop when the record is durable, or with AUDIT_UNAVAILABLE. Never inside. */
void gd_audit_write(struct gd_audit *a, const struct gd_audit_entry *e, gd_audit_fn *done, void *arg);
/* False when the log cannot be written: mutating methods then refuse with AUDIT_UNAVAILABLE. */
bool gd_audit_usable(const struct gd_audit *a);
/* 16 hex digits of HMAC(value). The key goes one step on with each checkpoint and the old one is wiped, so
 * the same value gives the same text between two checkpoints of one run, and nobody can try values later. Who
 * has hash_key finds the keys of a run again: k0 = HKDF(hash_key, salt: root that audit.open names, "run"),
 * then HKDF(k, "ratchet") once for each checkpoint. out: 17 bytes. */
void gd_audit_hash(const struct gd_audit *a, const void *p, size_t n, char out[17]);
/* Counters that the next checkpoint carries as "counts" ({"vends": {...}}), once; replaces what was set and
 * not yet carried. Borrowed. */
void gd_audit_set_counts(struct gd_audit *a, json_t *counts);
/* What other nodes signed last, as their gd_audit_shown gives it: texts, borrowed. What is new of it is
 * written in front of the next timed checkpoint, or the last one, which signs it. */
void gd_audit_set_heads(struct gd_audit *a, const json_t *notes);
/* For them: the newest checkpoint of this log that signs more than heads of others. NULL: none yet. Caller
 * frees. */
char *gd_audit_shown(struct gd_audit *a);
/* {"records","checkpoint","head","usable","queue"}; checkpoint: records under the last one */
json_t *gd_audit_status(struct gd_audit *a);

/* The key that this log's checkpoints are signed with: 32 bytes, as long as it is open. */
const unsigned char *gd_audit_public(const struct gd_audit *a);

/* Reading and checking; on a worker or in a tool, any thread, no gd_audit needed. */
struct gd_audit_verdict {
    int64_t records, checkpoints;
    int64_t bad_line; /* 1-based line of the first bad record; 0: none */
    char file[32];    /* the end of its file's name: ".0001" of a closed one, empty for path itself */
    int64_t first;    /* number of the first record: more than 1 when older files were moved away */
    char why[128];    /* "hash", "sequence", "checkpoint signature", ... */
    char head[65];
};
/* Closed files first, from the oldest that is there. 0 when all could be read (look at bad_line), -1
 * otherwise. pub NULL: signatures are checked against the key named in the file's first line. */
int gd_audit_verify(const char *path, const unsigned char pub[32], struct gd_audit_verdict *ret,
                    struct gd_err *err);
/* The same, and it must hold what the logs of other nodes, in these nothers paths, know that it signed. */
int gd_audit_verify_among(const char *path, const unsigned char pub[32], const char *const *others,
                          size_t nothers, struct gd_audit_verdict *ret, struct gd_err *err);
/* Newest last; after: sequence number to start behind, negative: the newest ones; at most max; closed files
 * too. subject NULL: all. New reference to an array. */
json_t *gd_audit_list(const char *path, int64_t after, size_t max, const char *subject, struct gd_err *err);

#endif
