/* http/mail.h - plain-text mail to one addressee through the operator's own mail server: libcurl's SMTP on a
 * worker, one mail at a time. Only the configured host is ever dialled; a server that is not on this machine
 * has to speak TLS (smtps:// from the start, smtp:// by STARTTLS). What a mail says is never logged. Loop
 * thread. */
#ifndef GD_HTTP_MAIL_H
#define GD_HTTP_MAIL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "log/log.h"

#include <uv.h>

struct gd_mailer;
struct gd_mail_options {  /* the strings are copied */
    const char *url;      /* smtp://host[:port] or smtps://host[:port] */
    const char *from;     /* plain address */
    const char *user;     /* NULL: no login */
    const char *password; /* with user */
    const char *ca_file;  /* PEM bundle; NULL: the system's */
    bool loopback_only;   /* refuses any other address at the moment of dialling */
};
struct gd_mail {
    const char *to;      /* plain address */
    const char *name;    /* who writes, before the address; NULL: nobody */
    const char *subject; /* UTF-8; control characters become blanks */
    const char *text;    /* UTF-8, lines end with \n */
};

/* "name@host", both of plain ASCII: nothing in it can end a line or begin another address. */
bool gd_mail_address_ok(const char *address);
/* smtp:// or smtps://, host, optional port; nothing else. */
bool gd_mail_url_ok(const char *url);
/* The message as it is sent: RFC 5322 head, body in quoted-printable. id: 32 hex digits. */
void gd_mail_text(struct gd_buf *out, const char *from, const struct gd_mail *m, const char *id,
                  int64_t unix_ms);

/* MAIL_INVALID. */
int gd_mailer_new(struct gd_mailer **ret, uv_loop_t *loop, const struct gd_mail_options *o,
                  const struct gd_clock *clock, struct gd_rng *rng, struct gd_log *log, struct gd_err *err);
/* err NULL: the server took it. MAIL_FAILED, MAIL_REFUSED (the server said no to it for good), MAIL_INVALID.
 */
typedef void gd_mail_fn(void *arg, const struct gd_err *err);
/* Copies the mail. fn once, later. */
void gd_mail_send(struct gd_mailer *m, const struct gd_mail *mail, gd_mail_fn *fn, void *arg);
/* What waits is told MAIL_FAILED; the one under way is given up. NULL is fine: done comes at once. */
void gd_mailer_close(struct gd_mailer *m, void (*done)(void *), void *arg);

#endif
