/* grant/flow.h - the client's side, for the portal: a link is opened, items are approved or declined, a
 * browser goes to the platform and comes back. All functions are gd_act-like: reply once, never inside;
 * errors carry reason words (LINK_UNKNOWN, LINK_EXPIRED, STATE_MISSING, STATE_UNKNOWN, STATE_ALREADY_USED,
 * CONTEXT_MISMATCH, SESSION_MISMATCH, PARAM_DUPLICATE, ...). Loop thread. */
#ifndef GD_GRANT_FLOW_H
#define GD_GRANT_FLOW_H

#include "grant/broker.h"

/* Who stands at the link: either the secret of the link, or the browser's session that started a flow of it.
 */
struct gd_visitor {
    const char *link;    /* id, "ln..." */
    const char *secret;  /* NULL: by session */
    const char *session; /* value of the browser's cookie, 43 characters; NULL: none */
    const char *address; /* for audit and rate limits */
};
/* What the page shows:
 * {"request":{"id","message","expires_at"},"workspace":{"name","title"},"client":{"name"},
 * "groups":[{"app","platform_title","provider_title","items":[{"id","title","role":{"title","may","may_not"},"asset",
 * "state","reason","steps":[...]}]}],"open":n,"done":bool}. Reads only. */
void gd_link_show(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg);
/* Approves items (ids of one app; all open ones of the app when empty). {"redirect":url} or {"steps":[...]}.
 * The flow is bound to v->session, which must be there. */
void gd_flow_start(struct gd_broker *b, const struct gd_visitor *v, const char *app, json_t *items,
                   gd_reply_fn *reply, void *arg);
/* The platform sent the browser back to /cb/{context}. query: object of decoded text, "" for empty; raw: as
 * it came; duplicate: name of a parameter that came twice, or NULL.
 * {"link","flow","outcome":"granted|declined|failed|waiting", "reason","text"}: show it at /end/{flow}. */
void gd_flow_callback(struct gd_broker *b, const char *context, json_t *query, const char *raw,
                      const char *duplicate, const struct gd_visitor *v, gd_reply_fn *reply, void *arg);
/* The end page of a flow, for the session that ran it: as gd_link_show plus {"outcome","reason","text"}. */
void gd_flow_show(struct gd_broker *b, const char *flow, const struct gd_visitor *v, gd_reply_fn *reply,
                  void *arg);
/* What a guided step asked for: {"name": "text"}. */
void gd_item_submit(struct gd_broker *b, const struct gd_visitor *v, const char *item, json_t *inputs,
                    gd_reply_fn *reply, void *arg);
/* A platform calls us at /hook/{context}: the platform function notice says whether it is genuine
 * (NOTICE_REFUSED otherwise, nothing changes) and whom it is about; what that is, is looked at again.
 * query: of a GET, or NULL. {"reply": text or null} */
void gd_notice(struct gd_broker *b, const char *context, const struct gd_http_answer *call, json_t *query,
               const struct gd_visitor *v, gd_reply_fn *reply, void *arg);
void gd_item_decline(struct gd_broker *b, const struct gd_visitor *v, const char *item, gd_reply_fn *reply,
                     void *arg);

/* ---- what the client gave earlier: for who has the link's secret and typed a code that went to the client's
 * own address. given.c. */

/* {"offered": a code can be sent, "asked": this browser asked for one that still works, "opened": it typed
 * one, "grants":[{"id","platform","asset","role","since","state","surfaces":[{"kind","outcome","note"}]}]};
 * grants only when opened: the living ones and those that ended since then. */
void gd_given_show(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg);
/* Mails six digits to the client. {}. MAIL_NOT_CONFIGURED, CLIENT_NO_ADDRESS, CODE_LIMITED, CODE_LOCKED, ...
 */
void gd_given_ask(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg);
/* What was typed. {}. CODE_WRONG, CODE_EXPIRED, CODE_LOCKED. */
void gd_given_enter(struct gd_broker *b, const struct gd_visitor *v, const char *code, gd_reply_fn *reply,
                    void *arg);
/* Takes one back, as grant.revoke does; gd_given_show then tells how it went. CODE_NEEDED, NOT_FOUND, ... */
void gd_given_end(struct gd_broker *b, const struct gd_visitor *v, const char *grant, gd_reply_fn *reply,
                  void *arg);

#endif
