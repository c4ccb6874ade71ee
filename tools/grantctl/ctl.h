/* ctl.h - grantctl: what its files share. One process, one call (or one stream), blocking; knows the methods
 * from the schemas that are embedded in it, so help works without the daemon. Everything printed was made
 * safe for a terminal: names come from clients and platforms. */
#ifndef GRANTCTL_H
#define GRANTCTL_H

#include "base/err.h"
#include "base/json.h"
#include "rpc/schema.h"

#include <stdbool.h>
#include <stdio.h>

/* Where a packaged daemon and one started by hand have their socket; the first that is there is taken. */
#define SOCKET_PACKAGED "/run/grantd/grantd.sock"
#define SOCKET_BY_HAND  "/var/lib/grantd/grantd.sock"

struct ctl {
    struct gd_schemas *schemas;
    const char *socket; /* --socket, GRANTD_SOCKET, or one of the above */
    const char *file;   /* audit verify --file */
    const char *others; /* and --others: logs of other nodes, between colons */
    bool json, raw, qr, no_qr, help;
    bool colour; /* stdout is a terminal that wants it */
    char *noun, *verb;
    const struct gd_schema *method;
    json_t *params;
};

/* main.c: says what is wrong on this side of the socket, with --json in the form of the daemon's refusals;
 * exit code. */
int ctl_fail(const struct ctl *c, const struct gd_err *err);

/* args.c: 0, or -1 with err. Options of grantctl itself may stand anywhere. */
int args_read(struct ctl *c, int argc, char **argv, struct gd_err *err);

/* link.c: the connection. */
struct link;
struct link *link_open(const char *path, struct gd_err *err);
void link_close(struct link *l);
int link_call(struct link *l, const char *method, json_t *params, struct gd_err *err); /* sends */
json_t *link_next(struct link *l,
                  struct gd_err *err); /* next message; NULL with err, or at the end of a stream */

/* help.c */
int help_print(const struct ctl *c, FILE *out); /* what noun and verb name; exit code */
int completion_print(const struct ctl *c, const char *shell);
const char *flag_name(const char *param, char out[64]); /* expires_in -> expires-in */
int noun_unknown(const struct ctl *c, struct gd_err *err);

/* show.c */
void show_result(const struct ctl *c, json_t *result);
void show_event(const struct ctl *c, const json_t *event);
/* text.c */
size_t text_width(const char *s);
void text_print(FILE *out, const char *s); /* without control characters */
void time_words(char out[64], int64_t unix_ms, int64_t now_ms);
int64_t now_ms(void);

/* qr.c: half blocks, two rows a line. colour: dark on light by escape sequences; else light modules are the
 * blocks, which is right on a dark terminal. NULL, or why there is no code. */
const char *qr_print(const char *text, bool colour);

/* audit.c: audit verify --file, without a daemon; exit code. */
int audit_verify_file(const struct ctl *c);
int verdict_show(const struct ctl *c, const json_t *result); /* words and exit code */

#endif
