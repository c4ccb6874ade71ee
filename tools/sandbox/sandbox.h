/* sandbox.h - grantd-sandbox: the contract between the server and the stand-ins of the platforms.
 *
 * One process, one thread of requests: handlers run one after the other and need no locks. A platform is one
 * const struct sb_platform (tiktok.c, meta.c, ...) that is listed in modules.c, and one JSON file
 * world/NAME.json that is compiled in. All state of a platform is ONE JSON object, its world: people,
 * businesses, accounts, and what the server adds to it: "tokens", "consents", "options", "next". So a test
 * can prepare any state, and anybody can look at it (GET /_sandbox/state). Ids are strings, always.
 *
 * Nothing of platforms/ and nothing of the core's request building is used here: what arrives is judged by
 * the facts files alone, and every check says in a comment which line of them it comes from.
 *
 * Requests arrive as /HOST/PATH (what `origins:` of grantd makes of https://HOST/PATH), or as /PATH with the
 * platform's name in the Host header. */
#ifndef SB_SANDBOX_H
#define SB_SANDBOX_H

#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sb;     /* the sandbox; one */
struct sb_req; /* a request with its answer */

/* ---- a platform ---- */

typedef void sb_handler(struct sb_req *r);

struct sb_route {
    const char *method; /* "GET"; "*": any */
    const char *host;   /* "business-api.tiktok.com", "*.myshopify.com" (the star is one label) */
    /* Segments are compared with the raw (still percent-encoded) path, so casing and final slashes count.
     * "{name}" takes a segment, "act_{name}" and "{name}:x" the rest of one, "{name...}" at the end all that
     * is left (with its slashes). */
    const char *path;
    sb_handler *handle;
};

/* What a person clicked (or what the option auto_consent says). All are among what was offered. */
struct sb_choice {
    bool approved;
    const char *who;    /* value of the chosen person; NULL when nobody was offered */
    json_t *assets;     /* array of values of what was ticked */
    json_t *scopes;     /* array of values of what was left ticked */
    const json_t *page; /* as given to sb_consent, with the members a module put in for itself */
};

/* What somebody does outside of the API (POST /_sandbox/act): accept an invitation, scan a code, uninstall.
 * NULL, or a sentence that says why not. *ret: what to answer (new reference), may be left alone. */
struct sb_act {
    const char *name, *help;
    const char *(*run)(struct sb_req *r, const json_t *args, json_t **ret);
};

/* A fault that can be switched on for some requests (POST /_sandbox/fault). run answers in the platform's own
 * shape and runs in place of the handler; when it is NULL the handlers look for it with sb_fault. */
struct sb_fault_kind {
    const char *name, *help;
    void (*run)(struct sb_req *r, const json_t *fault);
};

/* A lasting switch; its value is a member of "options" in the world. */
struct sb_option {
    const char *name, *dflt, *help; /* dflt as JSON text: "false", "30", "\"approve\"" */
};

struct sb_platform {
    const char *name;           /* "tiktok": also the world's file and the name in the control interface */
    const char *const *origins; /* of the platform, a star for one label (Shopify); ends with NULL */
    const struct sb_route *routes[6]; /* tables, each ended by a route without path; first match wins */
    bool (*before)(struct sb_req *r); /* may answer and return false; before any route; may be NULL */
    void (*missing)(struct sb_req *r,
                    bool wrong_method); /* no route matches: the platform's own 404 or 405 */
    void (*consent)(struct sb_req *r, const struct sb_choice *c); /* what follows a page of sb_consent */
    const struct sb_act *acts; /* each of these three ends with an entry without name; may be NULL */
    const struct sb_fault_kind *faults;
    const struct sb_option *options;
    void (*clock)(struct sb_req *r); /* the clock was moved by hand (windows end, links lapse); may be NULL */
};

/* ---- what arrived ---- */

struct sb_param {
    const char *name, *value; /* decoded */
    const char *raw;          /* the value as it came */
};
struct sb_params {
    const struct sb_param *at; /* in order, duplicates and all */
    size_t n;
    bool bad; /* a bad %-escape, a NUL or no UTF-8 somewhere */
};

struct sb_req {
    struct sb *sb;
    const struct sb_platform *platform; /* NULL for the sandbox's own pages */
    const struct sb_route *route;
    struct gd_arena *arena; /* lives as long as the request */
    const char *method;
    const char *host;       /* the platform's host, in lower case; "acme.myshopify.com" */
    const char *path;       /* raw, after the host: "/open_api/v1.3/bc/get/" */
    const char *query_raw;  /* after the '?'; "" when there is none */
    struct sb_params query; /* decoded with + as blank */
    const char *body;       /* NUL after it */
    size_t body_len;
    void *own; /* internals of the server */
};

/* Part of the path that {name} took; decoded (NULL when it does not decode), or raw. */
const char *sb_path(struct sb_req *r, const char *name);
const char *sb_path_raw(struct sb_req *r, const char *name);
const char *sb_header(struct sb_req *r, const char *name); /* case does not count; NULL when absent */
/* First of that name, or NULL. */
const char *sb_query(struct sb_req *r, const char *name);
const char *sb_param(const struct sb_params *p, const char *name);
size_t sb_param_count(const struct sb_params *p, const char *name);
/* True when the Content-Type is that, whatever parameters follow ("application/json; charset=utf-8"). */
bool sb_has_type(struct sb_req *r, const char *type);
/* Body as a form, whatever its type says; n is 0 for an empty one. */
const struct sb_params *sb_form(struct sb_req *r);
/* Body as JSON of any kind; borrowed, NULL when it is none (or over 1 MiB, nested over 32, with double keys).
 */
json_t *sb_body_json(struct sb_req *r);
/* JSON text in a parameter (filtering={"..."}, permitted_tasks=["..."]); borrowed, NULL when it is none. */
json_t *sb_json_of(struct sb_req *r, const char *text);
/* Text of the request's arena. */
char *sb_strf(struct sb_req *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *sb_percent(struct sb_req *r, const char *s); /* everything but unreserved */

/* ---- the answer: the last one built is sent; a handler that builds none answers 500 ---- */

void sb_json(struct sb_req *r, int status, json_t *body); /* takes the reference; application/json */
void sb_text(struct sb_req *r, int status, const char *type, const char *text);
void sb_bytes(struct sb_req *r, int status, const char *type, const void *p, size_t n);
void sb_empty(struct sb_req *r, int status);
/* 302 to base with name, value pairs added (after '?' or '&'), ended by NULL; pairs with a NULL value are
 * left out. Values are percent-encoded; sb_redirect_form writes blanks as '+'. */
void sb_redirect(struct sb_req *r, const char *base, ...) __attribute__((sentinel));
void sb_redirect_form(struct sb_req *r, const char *base, ...) __attribute__((sentinel));
/* A header more; may be called before or after the answer is built. */
void sb_answer_header(struct sb_req *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool sb_answered(const struct sb_req *r);
int sb_status(const struct sb_req *r);

/* ---- the world ---- */

json_t *sb_world(struct sb_req *r); /* of the request's platform; borrowed, change it as you like */
/* Member of the world that is an array or an object; made when it is absent. */
json_t *sb_list(struct sb_req *r, const char *name);
json_t *sb_table(struct sb_req *r, const char *name);
/* First object of the array whose member key is the text; NULL when there is none. */
json_t *sb_find(const json_t *array, const char *key, const char *text);
/* The same with two members. */
json_t *sb_find2(const json_t *array, const char *key, const char *text, const char *key2, const char *text2);
/* Removes all that sb_find (sb_find2) would find one after the other; how many. key2 may be NULL. */
size_t sb_remove(json_t *array, const char *key, const char *text, const char *key2, const char *text2);
bool sb_has_text(const json_t *array, const char *text); /* an array of strings holds it */

/* Lasting switches: what was set, else the default of the platform's table. */
bool sb_option_bool(struct sb_req *r, const char *name);
int64_t sb_option_i64(struct sb_req *r, const char *name);
const char *sb_option_text(struct sb_req *r, const char *name);

int64_t sb_now(const struct sb_req *r); /* Unix seconds of the sandbox's own clock */
/* "2026-11-21 09:00:00" and the like, in UTC, by strftime's rules. */
const char *sb_time(struct sb_req *r, int64_t unix_s, const char *format)
    __attribute__((format(strftime, 3, 0)));

/* New values. kind is a word ("code", "token", "request_id"): when the world's "next" holds values for it
 * ({"next": {"token": ["ltk_90aa31"]}}) they are taken first, in order; tests replay wire examples that way.
 */
const char *sb_make(struct sb_req *r, const char *kind, const char *prefix, size_t hex_digits);
const char *sb_make_digits(struct sb_req *r, const char *kind, const char *prefix, size_t digits);
const char *sb_make_uuid(struct sb_req *r, const char *kind);
/* Hex of HMAC-SHA256 and of SHA-256, in lower case; base64 with padding of the former. */
const char *sb_hmac_hex(struct sb_req *r, const char *key, const void *p, size_t n);
const char *sb_hmac_base64(struct sb_req *r, const char *key, const void *p, size_t n);
const char *sb_sha256_hex(struct sb_req *r, const void *p, size_t n);
/* base64url of SHA-256: the S256 challenge of a PKCE verifier. */
const char *sb_s256(struct sb_req *r, const char *verifier);
bool sb_same(const char *a, const char *b); /* two texts; NULL equals nothing */

/* ---- tokens and codes: members of "tokens" in the world, by their value.
 * {"kind": "access", "issued": t, "expires": t or 0, "state": "live" | "revoked" | "used", ... your own} ----
 */

enum sb_token_state { SB_UNKNOWN, SB_LIVE, SB_EXPIRED, SB_USED, SB_REVOKED };
/* value: from sb_make. fields: further members; the reference is taken; may be NULL. lives: seconds, 0: for
 * ever. */
json_t *sb_token_add(struct sb_req *r, const char *kind, const char *value, int64_t lives, json_t *fields);
/* Borrowed record of that kind (any when kind is NULL), or NULL. */
json_t *sb_token(struct sb_req *r, const char *kind, const char *value);
enum sb_token_state sb_token_state(struct sb_req *r, const json_t *token); /* NULL: SB_UNKNOWN */
void sb_token_end(json_t *token, enum sb_token_state state);               /* SB_USED or SB_REVOKED */
/* Ends all live ones whose member key is the text (all of a kind when kind is given); how many. */
size_t sb_tokens_end(struct sb_req *r, const char *kind, const char *key, const char *text,
                     enum sb_token_state state);

/* ---- faults ---- */

/* Takes one use of the fault of that name if it is switched on and fits this request; its JSON (with the
 * members it was switched on with), or NULL. Borrowed until the request ends. */
const json_t *sb_fault(struct sb_req *r, const char *name);

/* ---- people ---- */

/* A page where a person chooses and approves. page (reference taken):
 * {"title", "app", "text", "who": [{"value","label"}], "assets": [{"value","label"}], "scopes": [...],
 *  "multiple": true (assets are boxes, not dots), ...what the module wants to find again}.
 * The browser posts "who", "assets" (repeated), "scopes" (repeated) and "decision" (approve or decline) to
 * /_consent/PLATFORM/ID, and then platform->consent is called with r of that post. A query parameter
 * auto=approve or auto=deny, or the option auto_consent, decides at once, without a page: who and assets from
 * the query parameters auto_who and auto_assets or the options of these names (comma lists; who is the first
 * of them that is offered), else the first person, and every asset of it that was offered. */
void sb_consent(struct sb_req *r, json_t *page);
/* An error page in HTML as such platforms show to people. */
void sb_page(struct sb_req *r, int status, const char *title, const char *text);

/* A POST to a URL of somebody else (a webhook), by http and to loopback only, from a thread of its own, after
 * this answer was sent. headers: object of texts. What came of it: GET /_sandbox/sent. */
void sb_send(struct sb_req *r, const char *url, const json_t *headers, const void *body, size_t n);

/* ---- modules.c ---- */
extern const struct sb_platform sb_tiktok;
extern const struct sb_platform sb_meta;
extern const struct sb_platform sb_google;
extern const struct sb_platform sb_linkedin;
extern const struct sb_platform sb_shopify;
extern const struct sb_platform *const sb_platforms[]; /* ends with NULL */

#endif
