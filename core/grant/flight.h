/* grant/flight.h - one attempt to refresh a credential: begun in refresh.c, ended by outcome.c. Inside the
 * grant room. */
#ifndef GD_GRANT_FLIGHT_H
#define GD_GRANT_FLIGHT_H

#include "grant/broker_int.h"

/* What a credential becomes when there is no answer to keep. */
struct verdict {
    enum gd_cred_status status;
    int64_t next_at;
    unsigned attempts;
    bool close_intent;
    bool unsent; /* what is known of earlier attempts stays */
};

struct gd_flight {
    struct gd_broker *b;
    uint32_t cred;
    char id[GD_ID_TEXT_MAX]; /* of the credential */
    char client[GD_ID_TEXT_MAX];
    const char *workspace;
    char intent[GD_ID_TEXT_MAX];  /* the lease's attempt id */
    char attempt[GD_ID_TEXT_MAX]; /* of the answer being made durable; the first is the intent */
    struct gd_app_state *app;
    struct gd_list waiters;
    struct gd_op *op;
    int64_t gen, first_gen, started_at, started_mono, lease_ms;
    int64_t next_at; /* as planned before this flight */
    int64_t due; /* as planned by it: armed at its end, since a timer that fires meanwhile only joins it */
    struct gd_clocks clocks;
    char *account, *scope, *current_attempt;
    char *sibling; /* newest answer that never became current; looked up when the token was refused */
    unsigned attempts;
    enum gd_cred_status status;
    struct gd_secret access, refresh; /* what is being spent */
    json_t *kept;
    unsigned char *bytes; /* the answer on its way to the store, as the spool has it */
    size_t nbytes;
    struct gd_version version; /* what stands in bytes */
    struct gd_secret answer;   /* its access token, to publish */
    bool mismatch;             /* the version holds another account's tokens: kept, not used */
    bool last;                 /* it came with the end of the operation, not with a save */
    bool saved;                /* something became durable in this flight */
    bool admitted;             /* by the scheduler, which is told of the end */
    bool dead;                 /* the platform says that the token is no good */
    size_t promote;            /* statement that makes the answer current */
    size_t outcome;            /* statement that reads the row after a sibling took its place */
    unsigned tries;            /* of its commit, in a drain */
    struct verdict verdict;    /* being stored */
    struct gd_err err;
    bool failed;
    uv_timer_t again;
};

/* ---- refresh.c ---- */
/* The statements that every flight begins with: lease, intent, the row as it is now. */
struct gd_lease {
    const char *workspace, *cred, *attempt, *worker;
    int64_t gen, lease_ms, deadline_ms;
};
void gd_lease_add(struct gd_tx *tx, const struct gd_lease *l);
void gd_flight_fail(struct gd_flight *f, const struct gd_err *err); /* what waiters will hear */
void gd_flight_end(struct gd_flight *f);

/* ---- outcome.c ---- */
/* Of the operation. */
void gd_flight_on_save(void *arg, struct gd_op *op, const struct gd_op_result *r);
void gd_flight_on_end(void *arg, struct gd_op *op, const struct gd_op_result *r);
/* Nothing is asked: the date is past that no refresh moves; the token is not presented again yet. */
void gd_flight_horizon(struct gd_flight *f);
void gd_flight_unreadable(struct gd_flight *f, const struct gd_err *err);
void gd_flight_patient(struct gd_flight *f);
void gd_flight_late(struct gd_flight *f, const struct gd_err *err);

#endif
