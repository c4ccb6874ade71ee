/* grant/mails.c - see mails.h. A mail holds a link or a code, so its text is wiped with the buffer that held
 * it. */
#include "grant/mails.h"

#include <string.h>

int gd_mails_ready(const struct gd_broker *b, const char *email, struct gd_err *err)
{
    if (!b->mail)
        return gd_err_set(err, GD_R_MAIL_NOT_CONFIGURED, "no mail server is configured");
    if (!email || !gd_mail_address_ok(email))
        return gd_err_set(err, GD_R_CLIENT_NO_ADDRESS,
                          "this client has no e-mail address that mail can be sent to");
    return 0;
}

static const char *title_of(const struct gd_broker *b, const struct gd_mail_client *to)
{
    return gd_json_text(b->titles, to->workspace, to->workspace);
}

static void mail_to(struct gd_broker *b, const struct gd_mail_client *to, const char *subject,
                    const char *text, gd_mail_fn *fn, void *arg)
{
    struct gd_mail m = { .to = to->email, .name = title_of(b, to), .subject = subject, .text = text };

    gd_mail_send(b->mail, &m, fn, arg);
}

void gd_mails_code(struct gd_broker *b, const struct gd_mail_client *to, const char *digits, gd_mail_fn *fn,
                   void *arg)
{
    const char *title = title_of(b, to);
    GD_AUTO_FREE char *subject = gd_strf("A code to see what you gave %s", title);
    GD_AUTO_FREE char *text =
        gd_strf("Hello %s,\n\n"
                "somebody opened the page where %s asks you for access, and wants to see what was given "
                "before. To show it, type this code on that page:\n\n"
                "    %.3s %s\n\n"
                "It works once, for ten minutes.\n\n"
                "If this was not you, do nothing and tell nobody the code: without it nothing is shown.\n",
                to->name, title, digits, digits + 3);

    mail_to(b, to, subject, text, fn, arg);
}

void gd_mails_link(struct gd_broker *b, const struct gd_mail_client *to, const char *url, const char *message,
                   int64_t until, gd_mail_fn *fn, void *arg)
{
    const char *title = title_of(b, to);
    char day[32];
    GD_AUTO_FREE char *subject = gd_strf("%s asks you for access", title);
    GD_AUTO_FREE char *text = NULL;

    gd_time_text(day, until);
    day[10] = '\0'; /* the day is enough for people */
    text =
        gd_strf("Hello %s,\n\n"
                "%s asks you for access. What for, and what it allows, is on this page, where you approve "
                "or decline each part:\n\n"
                "%s\n\n"
                "%s%s"
                "The link works until %s. You approve at the platform itself, with your own login: neither "
                "the page nor %s asks for your password.\n",
                to->name, title, url, message ? message : "", message ? "\n\n" : "", day, title);
    mail_to(b, to, subject, text, fn, arg);
}
