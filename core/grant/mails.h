/* grant/mails.h - the mails that clients get, in plain words. Inside the grant room. */
#ifndef GD_GRANT_MAILS_H
#define GD_GRANT_MAILS_H

#include "grant/broker_int.h"

/* To whom; the address is the client's own, from the store, never from a browser. */
struct gd_mail_client {
    const char *workspace, *name, *email;
};
/* Can this client be mailed? MAIL_NOT_CONFIGURED, CLIENT_NO_ADDRESS. */
int gd_mails_ready(const struct gd_broker *b, const char *email, struct gd_err *err);
/* Six digits that open what was given before. fn once, later. */
void gd_mails_code(struct gd_broker *b, const struct gd_mail_client *to, const char *digits, gd_mail_fn *fn,
                   void *arg);
/* The link of a request; message: the agency's words, or NULL. until: Unix ms. */
void gd_mails_link(struct gd_broker *b, const struct gd_mail_client *to, const char *url, const char *message,
                   int64_t until, gd_mail_fn *fn, void *arg);

#endif
