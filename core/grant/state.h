/* grant/state.h - the states, and the one table that derives what people see from them. */
#ifndef GD_GRANT_STATE_H
#define GD_GRANT_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum gd_cred_status {
    GD_CRED_CURRENT,
    GD_CRED_RETRYING,      /* the last refresh failed; tried again with back-off */
    GD_CRED_UNCERTAIN,     /* a refresh may have been spent; the patience rule waits */
    GD_CRED_QUARANTINED,   /* refused; one confirming retry is to come */
    GD_CRED_NEEDS_CONSENT, /* refused and confirmed, or past its horizon */
    GD_CRED_REVOKED,
    GD_CRED_UNREADABLE, /* its sealed version cannot be opened: only an operator can help */
    GD_CRED_RESTORED,   /* the store was set back: it may have been spent since; an operator decides */
    GD_CRED__COUNT
};
enum gd_lifecycle {
    GD_LIFE_CONFIRMING,
    GD_LIFE_LIVE,
    GD_LIFE_ENDING,
    GD_LIFE_ENDED,
    GD_LIFE_ERASED,
    GD_LIFE__COUNT
};
enum gd_native {
    GD_NATIVE_NONE,
    GD_NATIVE_PENDING,
    GD_NATIVE_PRESENT,
    GD_NATIVE_CHANGED,
    GD_NATIVE_GONE,
    GD_NATIVE_UNKNOWN,
    GD_NATIVE__COUNT
};

/* Words as they stand in the store; parsing gives false on anything else. */
const char *gd_cred_status_word(enum gd_cred_status s);
bool gd_cred_status_parse(const char *word, enum gd_cred_status *ret);
const char *gd_lifecycle_word(enum gd_lifecycle l);
bool gd_lifecycle_parse(const char *word, enum gd_lifecycle *ret);
const char *gd_native_word(enum gd_native n);
bool gd_native_parse(const char *word, enum gd_native *ret);
const char *gd_shape_word(uint32_t shape);
const char *gd_retry_word(uint32_t retry_class);

/* What the derivation looks at. */
struct gd_grant_facts {
    enum gd_lifecycle lifecycle;
    enum gd_native native;
    bool has_cred, app_frozen;
    bool left; /* ended, and a place is left that only a person can close */
    enum gd_cred_status cred;
    int64_t expires_at, horizon_at; /* of the credential; 0: none */
    int64_t starts_at, ends_at;     /* of the window; 0: none */
    int64_t now;
};
struct gd_grant_view {
    const char *state;  /* confirming, active, degraded, at_risk, needs_consent, ending, ended, erased */
    const char *reason; /* a stable word, "" when active */
    const char *owner;  /* nobody, client, operator, platform */
};
/* The wall that no refresh passes: the credential's horizon or the window's end, whichever comes first; 0:
 * none. *ret_warn (may be NULL): when a person is told, 14 days before, in a shorter window when a quarter of
 * it is left. */
int64_t gd_grant_wall(int64_t starts_at, int64_t ends_at, int64_t horizon_at, int64_t *ret_warn);
struct gd_grant_view gd_grant_derive(const struct gd_grant_facts *f);

#endif
