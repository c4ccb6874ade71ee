/* grant/state.c - states as words, and the derivation: the first row of the table that fits is what people
 * see. */
#include "grant/state.h"

#include <stddef.h>
#include <string.h>

#include <grantd/platform.h>

static const char *const cred_words[] = { "current",       "retrying", "uncertain",  "quarantined",
                                          "needs_consent", "revoked",  "unreadable", "restored" };
static const char *const life_words[] = { "confirming", "live", "ending", "ended", "erased" };
static const char *const native_words[] = { "none", "pending", "present", "changed", "gone", "unknown" };
static const char *const shape_words[] = { "",          "rotating", "renewable", "exchange",
                                           "perpetual", "window",   "seat" };
static const char *const retry_words[] = { "unknown", "none", "overlap", "grace", "strict", "family" };

static bool find_word(const char *const *words, unsigned n, const char *word, unsigned *ret)
{
    for (unsigned i = 0; word && i < n; i++)
        if (!strcmp(words[i], word)) {
            *ret = i;
            return true;
        }
    return false;
}

const char *gd_cred_status_word(enum gd_cred_status s)
{
    return cred_words[s];
}

bool gd_cred_status_parse(const char *word, enum gd_cred_status *ret)
{
    unsigned i = 0;
    bool ok = find_word(cred_words, GD_CRED__COUNT, word, &i);

    if (ok)
        *ret = (enum gd_cred_status)i;
    return ok;
}

const char *gd_lifecycle_word(enum gd_lifecycle l)
{
    return life_words[l];
}

bool gd_lifecycle_parse(const char *word, enum gd_lifecycle *ret)
{
    unsigned i = 0;
    bool ok = find_word(life_words, GD_LIFE__COUNT, word, &i);

    if (ok)
        *ret = (enum gd_lifecycle)i;
    return ok;
}

const char *gd_native_word(enum gd_native n)
{
    return native_words[n];
}

bool gd_native_parse(const char *word, enum gd_native *ret)
{
    unsigned i = 0;
    bool ok = find_word(native_words, GD_NATIVE__COUNT, word, &i);

    if (ok)
        *ret = (enum gd_native)i;
    return ok;
}

const char *gd_shape_word(uint32_t shape)
{
    return shape < sizeof shape_words / sizeof *shape_words ? shape_words[shape] : "";
}

const char *gd_retry_word(uint32_t retry_class)
{
    return retry_class < sizeof retry_words / sizeof *retry_words ? retry_words[retry_class] : "unknown";
}

#define DAY_MS (24 * 3600 * (int64_t)1000)

int64_t gd_grant_wall(int64_t starts_at, int64_t ends_at, int64_t horizon_at, int64_t *ret_warn)
{
    int64_t wall = !ends_at || (horizon_at && horizon_at < ends_at) ? horizon_at : ends_at;
    int64_t ahead = 14 * DAY_MS, window = ends_at - starts_at;

    if (wall && wall == ends_at && starts_at && window > 0 && window / 4 < ahead)
        ahead = window / 4;
    if (ret_warn)
        *ret_warn = wall ? wall - ahead : 0;
    return wall;
}

/* The layers of a living grant, worst first. */
static struct gd_grant_view derive_live(const struct gd_grant_facts *f)
{
    bool expired = f->has_cred && f->expires_at && f->expires_at <= f->now;
    int64_t warn, wall = gd_grant_wall(f->starts_at, f->ends_at, f->has_cred ? f->horizon_at : 0, &warn);

    if (f->has_cred && f->cred == GD_CRED_NEEDS_CONSENT)
        return (struct gd_grant_view){ "needs_consent", "GRANT_NEEDS_CONSENT", "client" };
    if (wall && wall <= f->now)
        return (struct gd_grant_view){ "needs_consent", "GRANT_HORIZON_PASSED", "client" };
    if (f->has_cred && f->cred == GD_CRED_UNREADABLE)
        return (struct gd_grant_view){ expired ? "degraded" : "at_risk", "CREDENTIAL_UNREADABLE",
                                       "operator" };
    if (f->has_cred && f->cred == GD_CRED_RESTORED)
        return (struct gd_grant_view){ expired ? "degraded" : "at_risk", "CREDENTIAL_RESTORED", "operator" };
    if (f->native == GD_NATIVE_GONE)
        return (struct gd_grant_view){ "needs_consent", "NATIVE_GONE", "client" };
    if (f->app_frozen)
        return (struct gd_grant_view){ expired ? "degraded" : "at_risk", "APP_FROZEN", "operator" };
    if (f->has_cred && f->cred == GD_CRED_QUARANTINED)
        return (struct gd_grant_view){ expired ? "degraded" : "at_risk", "CREDENTIAL_QUARANTINED", "nobody" };
    if (f->has_cred && f->cred == GD_CRED_UNCERTAIN)
        return (struct gd_grant_view){ expired ? "degraded" : "at_risk", "CREDENTIAL_UNCERTAIN", "nobody" };
    if (f->has_cred && f->cred == GD_CRED_RETRYING)
        return (struct gd_grant_view){ expired ? "degraded" : "at_risk", "CREDENTIAL_RETRYING", "nobody" };
    if (expired)
        return (struct gd_grant_view){ "degraded", "TOKEN_EXPIRED", "nobody" };
    if (f->native == GD_NATIVE_CHANGED)
        return (struct gd_grant_view){ "degraded", "NATIVE_CHANGED", "operator" };
    if (f->native == GD_NATIVE_UNKNOWN)
        return (struct gd_grant_view){ "at_risk", "NATIVE_UNKNOWN", "nobody" };
    if (f->native == GD_NATIVE_PENDING)
        return (struct gd_grant_view){ "degraded", "NATIVE_PENDING", "platform" };
    if (wall && warn <= f->now)
        return (struct gd_grant_view){ "at_risk", "GRANT_HORIZON_NEAR", "client" };
    return (struct gd_grant_view){ "active", "", "nobody" };
}

struct gd_grant_view gd_grant_derive(const struct gd_grant_facts *f)
{
    switch (f->lifecycle) {
    case GD_LIFE_ERASED:
        return (struct gd_grant_view){ "erased", "CLIENT_ERASED", "nobody" };
    case GD_LIFE_ENDED:
        if (f->left)
            return (struct gd_grant_view){ "ended", "SURFACE_LEFT", "client" };
        return (struct gd_grant_view){ "ended", "GRANT_ENDED", "nobody" };
    case GD_LIFE_ENDING:
        return (struct gd_grant_view){ "ending", "GRANT_ENDING", "nobody" };
    case GD_LIFE_CONFIRMING:
        return (struct gd_grant_view){ "confirming", "GRANT_CONFIRMING", "operator" };
    case GD_LIFE_LIVE:
    case GD_LIFE__COUNT:
        break;
    }
    return derive_live(f);
}
