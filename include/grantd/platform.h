/* grantd/platform.h - everything a platform may include, and the whole contract it lives by.
 *
 * A platform is one shared object that exports one const symbol, grantd_platform_v1, made by
 * GRANTD_PLATFORM(). It does no I/O, allocates nothing, links nothing and keeps no state of its own. Each of
 * its functions is called with an operation (grantd_op) and returns what happens next: send this request and
 * go on there, wait, save and go on, done, failed. Only the host can make such a value, so a path that
 * forgets to answer does not compile.
 *
 * Threads. Every function of a platform is called on one thread (the daemon's loop), one at a time, never
 * re-entered, and must return within 20 ms (measured and counted). It must not block, create threads, install
 * signal handlers, fork, or write to static data.
 *
 * Lifetime. Every pointer that the host hands out lives until the end of the run (grantd_continue and the end
 * of the operation end a run). Every pointer handed to the host is copied during the call.
 *
 * Units. Times are Unix seconds, durations are seconds (milliseconds only where the name ends in _ms), text
 * is UTF-8 ending in NUL, sizes are bytes.
 *
 * Memory that runs out is not the platform's business: functions that make text never return NULL (they
 * return "", so look at the length before pointing behind the first character); the failure is remembered and
 * the next constructor turns into GRANTD_E_NOMEM.
 *
 * Versions. Structs, lists of numbers and the host's table are appended to, never changed, and each carries
 * its size: a platform built with an older grantd of this ABI goes on working. What is appended says "since
 * 1.N" and raises GRANTD_ABI_MINOR; all that says nothing is there since 1.0. A platform that needs more than
 * 1.0 looks at op->host->size, or asks for the headers of that minor when it is built.
 */
#ifndef GRANTD_PLATFORM_H
#define GRANTD_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#define GRANTD_ABI       1u
#define GRANTD_ABI_MINOR 1u

typedef struct grantd_op grantd_op; /* one operation in flight; owned by the host, valid during a call */
typedef struct grantd_doc
    grantd_doc; /* a document: an HTTP answer, or one that the host has read; valid for the run */
typedef struct grantd_next grantd_next; /* "what happens next": only host functions make one; never NULL */

typedef grantd_next *grantd_fn(grantd_op *op);
typedef grantd_next *grantd_doc_fn(grantd_op *op, const grantd_doc *answer);

/* ---- what the caller handed in (grantd_arg). Unknown or absent: NULL. ------------------------ */
enum {
    GRANTD_ARG_REDIRECT_URI = 1, /* request, grant: exactly as it must be sent */
    GRANTD_ARG_STATE,            /* request: opaque, 43 characters of base64url */
    GRANTD_ARG_NONCE,            /* request, grant: for ID tokens */
    GRANTD_ARG_CODE_CHALLENGE,   /* request: PKCE, S256 */
    GRANTD_ARG_CODE_VERIFIER,    /* grant */
    GRANTD_ARG_SCOPE,            /* request: scopes asked in the platform's words, separated by spaces */
    GRANTD_ARG_CODE,             /* grant: parameter `code` of the callback, when there is one */
    GRANTD_ARG_QUERY,        /* grant: the callback's whole query as it arrived, for platforms that sign it */
    GRANTD_ARG_ACCESS_TOKEN, /* refresh, verify, revoke: the credential; grant: what grantd_save made durable
                              */
    GRANTD_ARG_REFRESH_TOKEN, /* refresh, revoke; grant: the same */
    GRANTD_ARG_ACCOUNT_ID,    /* refresh, verify, revoke: who consented, as grant reported it */
    /* request, grant, verify: the role asked, a name of .roles. The client saw it before approving: when the
     * agency names none it is the mode's default. NULL: the mode has no roles (verify: or not known). */
    GRANTD_ARG_ROLE,
    GRANTD_ARG_ASSET_ID,         /* verify, revoke; request, grant: the hint the agency gave */
    GRANTD_ARG_MODE,             /* request, grant: one of .modes, or NULL: the first of them */
    GRANTD_ARG_HUB_ID,           /* the agency's own identity on the platform */
    GRANTD_ARG_HUB_ACCESS_TOKEN, /* and its credential, separate from the client's */
    GRANTD_ARG_ISSUED_AT,        /* refresh: decimal Unix seconds when the access token was obtained */
    GRANTD_ARG_EXPIRES_AT,       /* refresh, verify: decimal Unix seconds; NULL: unknown or never */
    GRANTD_ARG_HUB_ACCOUNT_ID, /* who consented for the hub, as grant reported it; NULL: a token handed in */
};
/* GRANTD_ARG_MODE of an operation that is about the hub itself (GRANTD_CAP_HUB_CONSENT): request and grant
 * get the agency's own consent, whose credential becomes GRANTD_ARG_HUB_ACCESS_TOKEN; verify looks at the hub
 * as at a grant. ACCESS_TOKEN is then the hub's. */
#define GRANTD_MODE_HUB "hub"

/* ---- documents that the host has read (grantd_document) -------------------------------------- */
enum {
    /* The provider description of this app (platforms with .description), else NULL. */
    GRANTD_DOC_DESCRIPTION = 1,
    /* The grant as the host knows it: {"item":{"role","asset","mode","params":{...}},
     * "assets":[{"id","kind","name","role","parent","starts_at","ends_at"}],
     * "surfaces":[{"kind","id","outcome"}],"inputs":{...}}.
     * request and grant: also "items", all that this consent is asked for, in the form of "item" with
     * "scope". revoke: the surface "token" is listed only when no other grant uses the credential: what is
     * not listed is a tool, not something to close; "siblings" counts other living credentials of the same
     * client, app and account, for platforms where the end of one consent ends them all; "others"
     * [{"kind","id"}] are the surfaces of this asset that other grants and open items stand on: what has
     * become one of them (an invitation that was accepted) is theirs, and stays. */
    GRANTD_DOC_GRANT,
    /* notice: the call of the platform: grantd_body is its raw body, grantd_header its headers, paths read
     * the body when it is JSON or a form. */
    GRANTD_DOC_NOTICE,
};

/* ---- why an operation failed: who has to act (grantd_fail) ----------------------------------- */
enum {
    GRANTD_E_TRANSIENT = 1, /* nobody: the scheduler tries again with back-off */
    GRANTD_E_LIMITED,       /* nobody: again after grantd_retry_after(), or when the bucket allows */
    GRANTD_E_UNCERTAIN,     /* nobody yet: the request may have been used up; the patience rule decides */
    GRANTD_E_REAUTH,        /* the client: consent is gone. The host quarantines and confirms first */
    GRANTD_E_DECLINED,      /* the client said no */
    GRANTD_E_FORBIDDEN, /* an admin at the platform or the client: role too low, second approval, closed */
    GRANTD_E_MANUAL,    /* a person, by the guided steps added with grantd_step() */
    GRANTD_E_CONFIG,    /* the operator: app credentials or options are wrong; the app may be frozen */
    GRANTD_E_ABSENT,    /* it is gone already: success for revoke */
    GRANTD_E_PROTOCOL,  /* the platform answered something that its documentation does not know */
    GRANTD_E_PLUGIN,    /* made by the host: the platform broke this contract */
    GRANTD_E_CANCELLED, /* made by the host */
    GRANTD_E_DEADLINE,  /* made by the host */
    GRANTD_E_NOMEM,     /* made by the host: the operation's budget is used up */
};

/* How a credential lives. */
enum {
    GRANTD_SHAPE_ROTATING = 1, /* each refresh may replace the refresh token */
    GRANTD_SHAPE_RENEWABLE,    /* the refresh token stays */
    GRANTD_SHAPE_EXCHANGE,     /* a living access token is traded for a new one; a dead one cannot be */
    GRANTD_SHAPE_PERPETUAL,    /* no expiry; refresh is only a liveness check */
    GRANTD_SHAPE_WINDOW,       /* valid between two dates, renewed only by asking again */
    GRANTD_SHAPE_SEAT,         /* no credential at all */
};

/* What the platform does when a refresh token is presented again. */
enum {
    GRANTD_RETRY_UNKNOWN = 0, /* treated as family for waiting and as strict for reporting */
    GRANTD_RETRY_NONE,        /* it is not rotated: any number of times */
    GRANTD_RETRY_OVERLAP,     /* the old one works until the new one was used */
    GRANTD_RETRY_GRACE,       /* the old one works for .retry_grace seconds */
    GRANTD_RETRY_STRICT,      /* the old one is refused at once */
    GRANTD_RETRY_FAMILY,      /* presenting the old one revokes everything */
};

enum {                                      /* .caps */
       GRANTD_CAP_SHARED_CONSENT = 1u << 0, /* several items of one request may share one consent */
       GRANTD_CAP_DESCRIBED = 1u << 1,      /* apps name a provider description; see .description */
       /* Besides .hosts, the https origins named by the description and by documents it leads to are allowed.
        * The egress guard (public addresses only) holds all the same. Without it only .hosts and URL options
        * are. */
       GRANTD_CAP_DESCRIBED_HOSTS = 1u << 2,
       GRANTD_CAP_NATIVE = 1u << 3, /* makes native access: a hub is needed */
       /* The hub's credential is got by a consent of the agency (GRANTD_MODE_HUB), besides being handed in.
        */
       GRANTD_CAP_HUB_CONSENT = 1u << 4,
};

/* ---- static data: what a platform declares --------------------------------------------------- */
enum { GRANTD_TEXT = 0, GRANTD_URL, GRANTD_INT, GRANTD_BOOL, GRANTD_ENUM };
enum {
    GRANTD_OPT_REQUIRED = 1u << 0,
    GRANTD_OPT_SECRET = 1u << 1, /* read from a file or a credential, never shown, sealed at rest */
    GRANTD_OPT_HUB = 1u << 2,    /* belongs to a hub, not to an app */
    GRANTD_OPT_ALIKE = 1u << 3, /* since 1.1: apps that are one registration (client id) must have it alike */
};
struct grantd_option { /* the list ends with key NULL */
    const char *key, *dflt, *help;
    uint32_t flags, type;
    const char *const *choices; /* GRANTD_ENUM: ends with NULL */
};
/* The list ends with name NULL; may and may_not are shown to the client before approving. The first one is
 * the default: asked, and shown, when the agency names none. So the least that is of use stands first. */
struct grantd_role {
    const char *name, *title, *may, *may_not;
};
/* Since 1.1. The roles that one mode has: names of .roles, its default first, ending with NULL (empty: it has
 * none). The list of these ends with mode NULL; a mode that is not in it has all of .roles. */
struct grantd_mode_roles {
    const char *mode;
    const char *const *roles;
};
struct grantd_limits {    /* 0: the host's default */
    uint32_t concurrency; /* requests in flight to this platform per app */
    uint32_t per_minute;  /* token bucket per app */
    uint32_t burst;
};
/* One field of a provider description, by path ("token.url"; "*" stands for any member name). Anything in a
 * description that no field names is refused with file and JSON pointer. The list ends with path NULL. */
enum {
    GRANTD_F_TEXT = 1,
    GRANTD_F_URL, /* https URL; may hold templates; may be an array of alternatives */
    GRANTD_F_INT,
    GRANTD_F_BOOL,
    GRANTD_F_ENUM,  /* choices: words separated by | */
    GRANTD_F_WORDS, /* array of strings */
    GRANTD_F_INTS,  /* array of integers */
    GRANTD_F_MAP,   /* object of strings */
    GRANTD_F_TEXT_OR_WORDS,
    GRANTD_F_OBJECT, /* its members are fields of their own */
    GRANTD_F_LIST,   /* array of objects; their members are fields "path.*.member" */
};
struct grantd_field {
    const char *path;
    uint32_t type, required;
    const char *choices;
    const char *dflt; /* as text, for the manual and for grantd_text(); NULL: none */
    const char *help;
};

struct grantd_platform {
    uint32_t abi, size; /* filled by GRANTD_PLATFORM */
    const char *name;   /* filled by GRANTD_PLATFORM; equals the file's name without .so */
    const char *title;  /* for people */
    uint32_t caps;
    uint32_t state_size;                 /* zeroed bytes per run at op->state, at most 64 KiB */
    uint32_t shape, retry_class;         /* defaults; a result may say otherwise */
    uint32_t retry_grace;                /* seconds, GRANTD_RETRY_GRACE */
    const struct grantd_option *options; /* may be NULL */
    /* What the agency may say about one item when it asks (grantd_param): campaign dates, a creator's handle.
     * Checked by type like options; flags REQUIRED only. May be NULL. */
    const struct grantd_option *params;
    const struct grantd_role *roles; /* may be NULL: no roles */
    const char *const *modes;        /* may be NULL; ends with NULL */
    const char *const *hosts;        /* exact names or "*.suffix" (one label); ends with NULL; may be NULL */
    const struct grantd_field *description; /* with GRANTD_CAP_DESCRIBED */
    struct grantd_limits limits;

    /* Ask. Given: role, asset hint, mode, params, redirect URI, state, challenge, nonce, scope, hub.
     * Ends with grantd_done(.redirect_url), or with guided steps (grantd_step, then grantd_finish), or with
     * grantd_pending (filed through the API, or a device code: steps plus the time of the next look).
     * Mandatory. */
    grantd_fn *request;
    /* Take what came back: a callback's query, what a person handed in (inputs), or a poll of a pending ask
     * (then neither code nor inputs). One item a call: when several items share one consent, the first call
     * has the code, and after its grantd_save the others are called with ACCESS_TOKEN and no code, each with
     * notes of its own. So: ACCESS_TOKEN given means that the consent is had already, now do this item.
     * Ends with grantd_done(.access_token ...), grantd_finish for purely native access or when the tokens
     * were saved, or grantd_pending (with steps for people, if any). Assets by grantd_asset(), where access
     * exists by grantd_surface(.outcome = GRANTD_SURFACE_OPEN). Mandatory. */
    grantd_fn *grant;
    /* Renew. Given: the credential and its clocks. Ends with grantd_done(new tokens), grantd_finish
     * (unchanged, valid), or a failure. The request that spends the refresh token must not be marked
     * repeatable unless the retry class is none. Mandatory. */
    grantd_fn *refresh;
    /* Close. Given: the grant with its surfaces. Closes each that is listed, in the order that this platform
     * needs, checks that it is gone, and reports each by grantd_surface(), then grantd_finish. Inputs are
     * what the operator ordered with it (grant.revoke inputs). Mandatory. */
    grantd_fn *revoke;
    /* Look. Reports facts by grantd_observe(); differences are facts, not failures. Ends with grantd_finish.
     * Optional for the loader, present in every shipped platform. */
    grantd_fn *verify;
    /* List what the hub can reach now, whoever gave it: each by grantd_asset (parent: whose it is, role: the
     * hub's), a page a run. The host tells which of them no grant explains. Given: the hub. Ends with
     * grantd_finish. Optional; platforms with GRANTD_CAP_NATIVE should have it. */
    grantd_fn *scan;
    /* The platform called us (a webhook): GRANTD_DOC_NOTICE. Must check by its signature that it is genuine
     * before it believes a word, and end with grantd_fail(GRANTD_E_FORBIDDEN) when it is not: nothing changes
     * then. Ends with grantd_done(.account_id = whose credentials it is about), with what it says by
     * grantd_observe: "event" (a word), "alive" ("no": the host looks at once). Sends no request. A GET (the
     * handshake of a webhook) has its parameters in grantd_query and no body. Optional. */
    grantd_fn *notice;
    /* 1.0 ends here */
    const struct grantd_mode_roles *mode_roles; /* may be NULL: each mode has all roles */
    /* 1.1 ends here */
};

/* ---- what a platform hands to the host ------------------------------------------------------- */
enum {
    GRANTD_HTTP_REPEATABLE = 1u << 0, /* twice does no harm: it may reuse a connection and be resent */
    GRANTD_HTTP_BASIC_FORM = 1u << 1, /* form-encode user and password before Basic (RFC 6749 2.3.1) */
};
/* Lists are "k","v",...,NULL; a pair whose value is NULL is left out. At most one of form, json, body. In
 * .json a key that ends in ":=" carries JSON text, all others carry strings. */
struct grantd_http {
    uint32_t size, flags;
    const char *method; /* NULL: GET, or POST when there is a body */
    const char *url;
    const char *bearer;                  /* Authorization: Bearer */
    const char *basic_user, *basic_pass; /* Authorization: Basic */
    const char *const *headers, *const *query, *const *form, *const *json;
    const char *body, *content_type;
    uint32_t timeout_ms; /* 0: the operation's; never past its deadline */
};

#define GRANTD_NEVER (-1) /* in expires_in and refresh_expires_in: does not expire */

struct grantd_result {
    uint32_t size;
    uint32_t shape, retry_class; /* 0: the platform's */
    const char *redirect_url;    /* request */
    const char
        *reply; /* notice: what the platform wants to read, as plain text (a challenge); NULL: nothing */
    const char *access_token, *refresh_token, *id_token; /* grant, refresh, save; NULL: unchanged */
    const char *scope;                                   /* granted, separated by spaces; NULL: as asked */
    const char *account_id, *account_name;  /* who consented; on refresh a different id is a quarantine */
    int64_t expires_in, refresh_expires_in; /* from the moment the request was sent; 0: unknown */
    int64_t expires_at, refresh_expires_at; /* Unix seconds; 0: not given */
    int64_t horizon_at;                     /* Unix seconds; no refresh passes it; 0: none known */
    uint32_t retry_grace;                   /* seconds, with GRANTD_RETRY_GRACE; 0: the platform's */
    uint32_t margin;  /* refresh at least this many seconds before the end; 0: the host's formula */
    uint32_t min_age; /* never refresh a younger access token, in seconds; 0: any age */
    uint32_t idle;    /* refresh at least this often, in seconds, used or not; 0: no need */
};

/* Which layers an asset is shared by. */
enum { GRANTD_LAYER_TOKEN = 1u << 0, GRANTD_LAYER_NATIVE = 1u << 1 };
/* Something that access is shared to. kind in the platform's words: "ad_account", "page", "shop", "post". */
struct grantd_asset {
    uint32_t size;
    /* 0: token when the result has one, else native. When no asset of a consent has the token layer the host
     * drops the consent's token (revokes it with only the surface "token" listed): native access stays. */
    uint32_t layers;
    const char *id, *kind, *name, *role, *parent; /* role: what was granted; parent: id of whose it is */
    int64_t starts_at, ends_at; /* window, Unix seconds; 0: none. A person is asked in time before the end */
    /* This one was not granted: a stable word in capitals (CODE_EXPIRED) and a sentence that says what to do.
     * The others are not affected. */
    const char *problem, *text;
};
/* One thing that a person must do. */
struct grantd_step {
    uint32_t size;
    const char *title, *text;
    const char *url;  /* where to do it */
    const char *copy; /* what to copy there */
    const char *qr;   /* text to show as a QR code */
    const char *ask;  /* name of what must be handed back; NULL: nothing */
    const char *ask_label;
    uint32_t flags; /* GRANTD_STEP_... */
    /* Pairs value, label, ..., NULL: the answer is one of these values; with GRANTD_STEP_MANY any number of
     * them, one a line. */
    const char *const *choices;
};
enum {
    GRANTD_STEP_LINES = 1u << 0, /* the answer may have several lines */
    GRANTD_STEP_MANY = 1u << 1,
};
/* Outcome of one surface. Of one that is reported again (same kind, id and asset) the later report counts.
 * What was sent and waits for somebody's yes is a surface, too: open before it is sent, with its asset, so
 * that it is withdrawn by revoke when the item ends without a grant; gone once it was accepted or is no more.
 */
enum {
    GRANTD_SURFACE_OPEN = 1,
    GRANTD_SURFACE_CLOSED, /* by us, now */
    GRANTD_SURFACE_GONE,   /* it was closed already */
    GRANTD_SURFACE_MANUAL, /* only a person can: .text says how */
    GRANTD_SURFACE_FAILED, /* could not be closed now: .text says why; tried again */
};
struct grantd_surface {
    uint32_t size, outcome;
    const char *kind; /* "token", "partner", "member", "code", "app" */
    const char *id, *text;
    const char *asset; /* grant: id of the asset that it belongs to; NULL: to each of them */
};

/* ---- the host's services; reached through op->host, appended to only ------------------------- */
struct grantd_idtoken {
    uint32_t size;
    const char *token, *issuer, *audience;
    const char *nonce;        /* NULL: must not be checked (refresh) */
    const char *access_token; /* for at_hash, when the token has one */
    const char *algs;         /* allowed, separated by spaces; NULL: "RS256 PS256 ES256 EdDSA" */
    const char *hmac_secret;  /* for HS256, only when algs names it */
    const char *subject;      /* refresh: must be the same; NULL: any */
    const grantd_doc *jwks;
};
struct grantd_host {
    uint32_t abi, size;
    grantd_next *(*http)(grantd_op *, const struct grantd_http *, grantd_doc_fn *);
    grantd_next *(*wait)(grantd_op *, uint32_t ms, grantd_fn *);
    grantd_next *(*save)(grantd_op *, const struct grantd_result *, grantd_fn *);
    grantd_next *(*go_on)(grantd_op *, grantd_fn *);
    grantd_next *(*pending)(grantd_op *, int64_t next_look_at);
    grantd_next *(*done)(grantd_op *, const struct grantd_result *);
    grantd_next *(*fail)(grantd_op *, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
    grantd_next *(*fail_answer)(grantd_op *, const grantd_doc *);
    const char *(*arg)(const grantd_op *, int id);
    const char *(*option)(const grantd_op *, const char *key);
    const char *(*query)(const grantd_op *, const char *name);
    const char *(*input)(const grantd_op *, const char *name);
    const grantd_doc *(*document)(grantd_op *, int id);
    int64_t (*now)(const grantd_op *);
    int (*status)(const grantd_doc *);
    const char *(*header)(const grantd_doc *, const char *name);
    const char *(*body)(const grantd_doc *);
    int (*type)(const grantd_doc *, const char *path);
    const char *(*text)(const grantd_doc *, const char *path);
    int64_t (*num)(const grantd_doc *, const char *path, int64_t dflt);
    int64_t (*len)(const grantd_doc *, const char *path);
    const char *(*key)(const grantd_doc *, const char *path, int64_t i);
    void *(*alloc)(grantd_op *, size_t n);
    const char *(*strf)(grantd_op *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
    const char *(*encode)(grantd_op *, int how, const char *text);
    const char *(*url)(grantd_op *, const char *base, const char *const *params);
    const char *(*random)(grantd_op *, size_t nbytes);
    const char *(*digest)(grantd_op *, int how, const char *key, const char *text);
    const char *(*jwt_sign)(grantd_op *, const char *alg, const char *key_option, const char *claims_json);
    const grantd_doc *(*idtoken)(grantd_op *, const struct grantd_idtoken *, const char **why);
    void (*log)(grantd_op *, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
    void (*defer)(grantd_op *, void (*fn)(void *), void *arg);
    void (*note)(grantd_op *, const char *key, const char *value);
    const char *(*noted)(const grantd_op *, const char *key);
    void (*keep)(grantd_op *, const char *key, const char *value);
    const char *(*kept)(const grantd_op *, const char *key);
    void (*asset)(grantd_op *, const struct grantd_asset *);
    void (*step)(grantd_op *, const struct grantd_step *);
    void (*surface)(grantd_op *, const struct grantd_surface *);
    void (*observe)(grantd_op *, const char *key, const char *value);
    void (*retry_after)(grantd_op *, int64_t unix_seconds);
    const char *(*param)(const grantd_op *, const char *key);
    void (*warn)(grantd_op *, const char *word, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
    int (*same)(const grantd_op *, const char *a, const char *b);
    /* 1.0 ends here */
};
struct grantd_op {
    const struct grantd_host *host;
    void *state; /* state_size zeroed bytes, new in each run */
    /* private fields of the host follow */
};

#define GRANTD_MUST_USE_ __attribute__((warn_unused_result, returns_nonnull))
static inline GRANTD_MUST_USE_ grantd_next *grantd_must_(grantd_next *n)
{
    return n;
}
#define GRANTD_SIZED_(type, ...) (&(struct type){ .size = sizeof(struct type), __VA_ARGS__ })

/* ---- constructors: every function of a platform returns one of these
 * --------------------------------------- */

/* Send a request, go on in next(op, answer). Only HTTP answers reach next, of any status: when nothing came
 * back the host ends the operation by itself (transient, or uncertain when the request was not repeatable and
 * may have arrived). Redirects are answers, they are not followed. return grantd_http(op, on_token, .url =
 * ..., .form = grantd_pairs("grant_type", "refresh_token", ...)); */
#define grantd_http(op, next, ...) \
    grantd_must_((op)->host->http((op), GRANTD_SIZED_(grantd_http, __VA_ARGS__), (next)))

/* Wait, then go on in next(op). At most the operation's deadline. */
static inline GRANTD_MUST_USE_ grantd_next *grantd_wait(grantd_op *op, uint32_t ms, grantd_fn *next)
{
    return op->host->wait(op, ms, next);
}

/* Make tokens, assets and notes so far durable, then go on in next(op). No request leaves before they are:
 * use it after every code exchange and before every fan-out. From then on the tokens are arguments, in later
 * runs too. */
#define grantd_save(op, next, ...) \
    grantd_must_((op)->host->save((op), GRANTD_SIZED_(grantd_result, __VA_ARGS__), (next)))

/* End this run: assets and notes become durable, everything else of the run is freed; next(op) starts a new
 * one with the same arguments, notes and a fresh budget. One page of accounts per run makes 3,000 accounts no
 * special case. */
static inline GRANTD_MUST_USE_ grantd_next *grantd_continue(grantd_op *op, grantd_fn *next)
{
    return op->host->go_on(op, next);
}

/* Nothing to do until somebody else acted: look again (the same function from its start, notes kept) at that
 * time: in a second at the soonest, in a year at the latest. */
static inline GRANTD_MUST_USE_ grantd_next *grantd_pending(grantd_op *op, int64_t next_look_at)
{
    return op->host->pending(op, next_look_at);
}

#define grantd_done(op, ...) grantd_must_((op)->host->done((op), GRANTD_SIZED_(grantd_result, __VA_ARGS__)))

/* Done, with nothing but what was added on the way (assets, steps, surfaces, observations). */
static inline GRANTD_MUST_USE_ grantd_next *grantd_finish(grantd_op *op)
{
    struct grantd_result r = { .size = sizeof r };

    return op->host->done(op, &r);
}

/* Failed. The text is for the operator, ends without a full stop and never holds a secret. */
#define grantd_fail(op, code, ...) grantd_must_((op)->host->fail((op), (code), __VA_ARGS__))

/* Failed as RFC 6749 5.2 reads this answer: 429 and Retry-After are limited, 5xx transient, invalid_grant
 * reauth, access_denied declined, invalid_client and its like config, 401 to a bearer token reauth (config
 * when it was the hub's token), 403 forbidden, everything else protocol. */
static inline GRANTD_MUST_USE_ grantd_next *grantd_fail_answer(grantd_op *op, const grantd_doc *answer)
{
    return op->host->fail_answer(op, answer);
}

/* ---- reading --------------------------------------------------------------------------------- */
static inline const char *grantd_arg(const grantd_op *op, int id)
{
    return op->host->arg(op, id);
}
/* An option of the app (or hub), its default when it is not set; NULL when it has none. */
static inline const char *grantd_option(const grantd_op *op, const char *key)
{
    return op->host->option(op, key);
}
/* One parameter of the callback, decoded; NULL when absent. A parameter that came twice never gets here. */
static inline const char *grantd_query(const grantd_op *op, const char *name)
{
    return op->host->query(op, name);
}
/* What a person handed in under a name of a step's .ask, or a declared input of the app's description. */
static inline const char *grantd_input(const grantd_op *op, const char *name)
{
    return op->host->input(op, name);
}
/* What the agency said about this item when it asked (.params), its default when it did not; NULL: none. */
static inline const char *grantd_param(const grantd_op *op, const char *key)
{
    return op->host->param(op, key);
}
static inline const grantd_doc *grantd_document(grantd_op *op, int id)
{
    return op->host->document(op, id);
}
static inline int64_t grantd_now(const grantd_op *op)
{
    return op->host->now(op);
}
/* HTTP status of an answer; 0 for other documents. */
static inline int grantd_status(const grantd_op *op, const grantd_doc *d)
{
    return op->host->status(d);
}
/* First header of that name (any case), NULL when absent. */
static inline const char *grantd_header(const grantd_op *op, const grantd_doc *d, const char *name)
{
    return op->host->header(d, name);
}
/* The raw body; "" when it is empty, NULL when it holds a NUL. */
static inline const char *grantd_body(const grantd_op *op, const grantd_doc *d)
{
    return op->host->body(d);
}
/* What stands at a path: 0 nothing, 1 null, 2 boolean, 3 number, 4 string, 5 array, 6 object. Paths are
 * dotted
 * ("data.list.0.id"); with a leading slash they are JSON pointers. A body of type
 * application/x-www-form-urlencoded is read as an object of strings. */
enum {
    GRANTD_IS_ABSENT,
    GRANTD_IS_NULL,
    GRANTD_IS_BOOL,
    GRANTD_IS_NUMBER,
    GRANTD_IS_TEXT,
    GRANTD_IS_LIST,
    GRANTD_IS_OBJECT
};
static inline int grantd_type(const grantd_op *op, const grantd_doc *d, const char *path)
{
    return op->host->type(d, path);
}
/* The text at a path, NULL when it is absent or no string (a number is not a string; ids that come as numbers
 * are read with grantd_num). */
static inline const char *grantd_text(const grantd_op *op, const grantd_doc *d, const char *path)
{
    return op->host->text(d, path);
}
/* The whole number at a path, also one that came as a decimal string; true is 1, false 0. */
static inline int64_t grantd_num(const grantd_op *op, const grantd_doc *d, const char *path, int64_t dflt)
{
    return op->host->num(d, path, dflt);
}
/* Elements of an array or members of an object; 0 when it is neither. */
static inline int64_t grantd_len(const grantd_op *op, const grantd_doc *d, const char *path)
{
    return op->host->len(d, path);
}
/* Name of the i-th member of an object, in the document's order; NULL past the end. */
static inline const char *grantd_key(const grantd_op *op, const grantd_doc *d, const char *path, int64_t i)
{
    return op->host->key(d, path, i);
}
#define grantd_ok(op, answer) (grantd_status((op), (answer)) / 100 == 2)

/* ---- making ---------------------------------------------------------------------------------- */
#define grantd_pairs(...) ((const char *const[]){ __VA_ARGS__, NULL, NULL })
/* Zeroed memory of the run, for lists whose length is known only at run time; NULL when the budget is used
 * up. */
static inline void *grantd_alloc(grantd_op *op, size_t n)
{
    return op->host->alloc(op, n);
}
#define grantd_strf(op, ...) ((op)->host->strf((op), __VA_ARGS__))
enum { GRANTD_PERCENT = 1, GRANTD_FORM, GRANTD_JSON, GRANTD_BASE64, GRANTD_BASE64URL };
/* The text in another writing: RFC 3986 percent, form, a JSON string with its quotes, base64. */
static inline const char *grantd_encode(grantd_op *op, int how, const char *text)
{
    return op->host->encode(op, how, text);
}
/* base with parameters appended (? or &), percent-encoded; a NULL value leaves its pair out. */
#define grantd_url(op, base, ...) ((op)->host->url((op), (base), grantd_pairs(__VA_ARGS__)))
/* nbytes (at most 64) random bytes as base64url. */
static inline const char *grantd_random(grantd_op *op, size_t nbytes)
{
    return op->host->random(op, nbytes);
}
enum { GRANTD_SHA256_B64URL = 1, GRANTD_SHA256_HEX, GRANTD_HMAC_SHA256_HEX, GRANTD_HMAC_SHA256_B64 };
/* Digest of text; key (text) for the HMACs. */
static inline const char *grantd_digest(grantd_op *op, int how, const char *key, const char *text)
{
    return op->host->digest(op, how, key, text);
}
/* A compact JWS over claims (JSON text), signed with the PEM or JWK in the option of that name; "" when the
 * key does not fit the algorithm (RS256 PS256 ES256 EdDSA HS256), and the next constructor turns into
 * GRANTD_E_CONFIG. */
static inline const char *grantd_jwt_sign(grantd_op *op, const char *alg, const char *key_option,
                                          const char *claims)
{
    return op->host->jwt_sign(op, alg, key_option, claims);
}
/* Checks an ID token (OIDC Core 3.1.3.7, 60 s of skew): its claims as a document, or NULL and why. */
#define grantd_idtoken(op, why, ...) \
    ((op)->host->idtoken((op), GRANTD_SIZED_(grantd_idtoken, __VA_ARGS__), (why)))

/* ---- telling the host
 * --------------------------------------------------------------------------------------- */
enum { GRANTD_DEBUG = 1, GRANTD_INFO, GRANTD_WARN };
#define grantd_log(op, level, ...) ((op)->host->log((op), (level), __VA_ARGS__))
/* fn(arg) runs when the run ends, whatever the end. */
static inline void grantd_defer(grantd_op *op, void (*fn)(void *), void *arg)
{
    op->host->defer(op, fn, arg);
}
/* Progress of this operation: handed back by grantd_noted after grantd_continue, grantd_pending and a crash;
 * gone when it ends. At most 64 of 4 KiB. Not for secrets. value NULL removes it. */
static inline void grantd_note(grantd_op *op, const char *key, const char *value)
{
    op->host->note(op, key, value);
}
static inline const char *grantd_noted(const grantd_op *op, const char *key)
{
    return op->host->noted(op, key);
}
/* Values that belong to the credential (an instance URL, a data centre): sealed with it, given to every later
 * operation. At most 64 of 4 KiB, 32 KiB in all; they become durable with save, done and continue. value NULL
 * removes one. */
static inline void grantd_keep(grantd_op *op, const char *key, const char *value)
{
    op->host->keep(op, key, value);
}
static inline const char *grantd_kept(const grantd_op *op, const char *key)
{
    return op->host->kept(op, key);
}
#define grantd_asset(op, ...)   ((op)->host->asset((op), GRANTD_SIZED_(grantd_asset, __VA_ARGS__)))
#define grantd_step(op, ...)    ((op)->host->step((op), GRANTD_SIZED_(grantd_step, __VA_ARGS__)))
#define grantd_surface(op, ...) ((op)->host->surface((op), GRANTD_SIZED_(grantd_surface, __VA_ARGS__)))
/* Tell the operator something that is no failure yet: a stable word in capitals (ACCOUNTS_NEAR_LIMIT) and a
 * sentence that says what to do. Becomes an event and is shown with the grant, item or hub. */
#define grantd_warn(op, word, ...) ((op)->host->warn((op), (word), __VA_ARGS__))
/* True when two texts are equal, in a time that does not tell where they differ: for signatures. */
static inline int grantd_same(const grantd_op *op, const char *a, const char *b)
{
    return op->host->same(op, a, b);
}
/* A fact that verify saw. Known keys: "alive" (yes, no, unknown: does the token layer work), "native"
 * (present, gone, pending, unknown), "role" (what is held now), "partner", "starts_at", "ends_at",
 * "expires_at" (Unix seconds), "scope", "account_id"; others are kept and shown as they are. The host
 * compares them with what was asked and granted and raises drift. */
static inline void grantd_observe(grantd_op *op, const char *key, const char *value)
{
    op->host->observe(op, key, value);
}
/* Before grantd_fail(GRANTD_E_LIMITED): not before this time (Unix seconds). */
static inline void grantd_retry_after(grantd_op *op, int64_t unix_seconds)
{
    op->host->retry_after(op, unix_seconds);
}

/* ---- registration
 * ------------------------------------------------------------------------------------------- */
#ifdef GRANTD_STATIC /* tests and fuzzers link platforms in */
#define GRANTD_SYMBOL_(id) grantd_platform_##id
#else
#define GRANTD_SYMBOL_(id) grantd_platform_v1
#endif
/* GRANTD_PLATFORM(acme, .title = "Acme Ads", .request = acme_request, ...); */
#define GRANTD_PLATFORM(id, ...)                                                                   \
    __attribute__((visibility("default"))) extern const struct grantd_platform GRANTD_SYMBOL_(id); \
    const struct grantd_platform GRANTD_SYMBOL_(                                                   \
        id) = { .abi = GRANTD_ABI, .size = sizeof(struct grantd_platform), .name = #id, __VA_ARGS__ }

#endif
