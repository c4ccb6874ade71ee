/* Doubles of everything that rpc stands on: broker, vend, rules, audit log, outbox. Nothing answers before
 * fake_tick, so that "never inside" holds. */
#ifndef FAKE_H
#define FAKE_H

#include "audit/audit.h"
#include "grant/vend.h"

struct fake {
    /* the broker */
    char act[32];   /* the last act called */
    json_t *params; /* what it got */
    unsigned acts;
    json_t *result;  /* what it answers; NULL: err */
    json_t *answers; /* by act, {"reason": WORD} for a refusal; used before result */
    json_t *request; /* what gd_request_get answers; NULL: NOT_FOUND */
    struct gd_err err;
    bool forget;     /* the act does not answer until fake_release */
    char client[32]; /* of every grant; "" when there is none */
    /* vends */
    const char *token;
    int64_t expires_at;
    bool later;
    unsigned tries, prefetched;
    /* rules: NULL allows all */
    bool (*rule)(const struct gd_caller *c, const char *method, const char *workspace, const char *client);
    uid_t uid; /* who connects next; 0: whoever the kernel says */
    gid_t gid;
    /* audit */
    json_t *records;
    bool audit_dead, audit_fails_request, audit_fails_done;
    /* outbox */
    json_t *events;
    unsigned watches;
};
extern struct fake fake;

void fake_open(void);
void fake_close(void);
bool fake_tick(void); /* answers what waits; true when it did something */
void fake_release(void);
void fake_event(const char *id, const char *type, const char *subject);

#endif
