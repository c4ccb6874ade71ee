/* sandbox_int.h - what the files of the server share and the platforms do not see. */
#ifndef SB_SANDBOX_INT_H
#define SB_SANDBOX_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/clock.h"
#include "sandbox.h"

#include <microhttpd.h>
#include <netinet/in.h>

#define SB_BODY_MAX    (1024 * 1024)
#define SB_PARAMS_MAX  4096
#define SB_SEEN_MAX    2000 /* requests that the log keeps */
#define SB_CAPTURES    8
#define SB_HEADERS_MAX 24 /* of an answer */

struct sb {
    struct MHD_Daemon *http;
    json_t *defaults; /* platform -> world as it was at the start */
    json_t *worlds;   /* platform -> world */
    json_t *faults;   /* platform -> array of what is switched on */
    json_t *seen;     /* the last requests */
    int64_t seen_count;
    int64_t clock_unix, clock_mono; /* the sandbox's time at a moment of the machine's */
    struct gd_clock_shared moved;   /* with --virtual-clock: who else moves it */
    int64_t moved_by;               /* its offset when the platforms last heard of it */
    bool clock_held;
    struct gd_rng_seeded rng;
    struct gd_list slow; /* of struct own: answers that wait */
    bool anywhere, verbose;
};

struct capture {
    const char *name, *raw;
    size_t name_len;
};

/* How an answer leaves. */
enum sending { SEND_WHOLE, SEND_NOTHING, SEND_CUT };

struct own {
    struct sb_req r; /* first */
    struct MHD_Connection *conn;
    const char *target; /* as it stood in the request line */
    struct gd_buf in;
    bool overflow;
    struct capture captures[SB_CAPTURES];
    size_t ncaptures;
    json_t *kept; /* array: what was parsed for the handlers; faults that were taken */
    json_t *body_json;
    bool body_parsed;
    struct sb_params form;
    bool form_parsed;
    int status; /* 0: nothing answered yet */
    const char *type;
    const char *out;
    size_t out_len;
    const char *names[SB_HEADERS_MAX], *values[SB_HEADERS_MAX];
    size_t nheaders;
    enum sending sending;
    const char *fault; /* name of the last that was taken */
    bool handled, suspended;
    int64_t due_mono; /* a slow answer */
    struct gd_list node;
    struct outgoing *outgoing; /* to be sent once this is answered */
};

static inline struct own *own_of(const struct sb_req *r)
{
    return (struct own *)r->own;
}

/* request.c */
void request_read(struct own *o); /* splits the target; what it points to lives in the arena */
struct sb_params request_params(struct sb_req *r, const char *text, size_t n);

/* route.c */
bool route_host(const char *pattern, const char *host);
bool route_path(struct own *o, const char *pattern, const char *path);
void route_request(struct own *o); /* finds the platform and the handler and lets it answer */

/* clock.c */
int64_t clock_now(const struct sb *sb);
int64_t clock_mono(void);
void clock_set(struct sb *sb, int64_t unix_s);
int clock_share(struct sb *sb, const char *path); /* 0 or -errno */
void clock_tell(struct sb_req *r);                /* the platforms hear that time has moved */
void clock_follow(struct sb_req *r);              /* the same, when somebody else moved it */
void clock_hold(struct sb *sb, bool hold);

/* world.c */
const char *world_text(const char *name); /* the file that was compiled in; NULL when there is none */
int world_load(struct sb *sb, const char *file, struct gd_err *err);
void world_reset(struct sb *sb, const char *platform); /* NULL: all */
const struct sb_platform *platform_named(const char *name);
const struct sb_option *option_named(const struct sb_platform *p, const char *name);

/* fault.c */
const json_t *fault_take(struct own *o, const char *name);
void fault_before(struct own *o); /* may answer, or say how the answer leaves */
void fault_after(struct own *o);
extern const struct sb_fault_kind fault_common[]; /* what every platform has */

/* control.c, consent.c, seen.c, send.c, html.c */
void control_request(struct own *o, const char *path);
void consent_request(struct own *o, const char *path);
void seen_add(struct own *o);
json_t *seen_list(const struct sb *sb, const struct sb_req *r);
void send_start(struct own *o);
void send_drop(struct own *o);
json_t *send_list(void); /* new reference */
void send_clear(void);
void send_wait(void); /* until none is on its way */
void html_text(struct gd_buf *b, const char *s);
void html_head(struct gd_buf *b, const char *title);
void html_send(struct sb_req *r, int status, struct gd_buf *b); /* takes what is in b */

/* server.c */
int server_start(struct sb *sb, const char *listen, struct gd_err *err);
unsigned server_port(const struct sb *sb);
void server_turn(struct sb *sb, int64_t max_ms);
void server_stop(struct sb *sb);
bool server_peer_is_local(const struct own *o);

#endif
