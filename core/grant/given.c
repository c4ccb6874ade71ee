/* grant/given.c - what a client gave earlier. The link may have been forwarded, so it alone shows nothing of
 * it: a code goes to the client's own address, and the browser where it is typed may look for a while, and
 * take back. A code is six digits, so tries are counted for the request, whoever makes them, and each is
 * counted before it is compared. */
#include "base/fault.h"
#include "grant/flow.h"
#include "grant/link.h"
#include "grant/mails.h"

#include <string.h>

#define CODE_DIGITS 6
#define GIVEN_MAX   "200"

GD_SQL(sql_code, "SELECT hash, asked_by, expires_at, sent3, locked_until FROM codes WHERE workspace = $1"
                 " AND request_id = $2");
GD_SQL(sql_opened,
       "SELECT opened_at FROM code_sessions WHERE workspace = $1 AND request_id = $2 AND session_hash = $3"
       " AND expires_at > $4");
GD_SQL(sql_client, "SELECT name, email FROM clients WHERE workspace = $1 AND id = $2 AND state = 'active'");
GD_SQL(sql_grants,
       "SELECT id, app, asset_name, asset_id, role_granted, role_asked, lifecycle, created_at FROM grants"
       " WHERE workspace = $1 AND client_id = $2 AND (lifecycle IN ('confirming', 'live', 'ending')"
       " OR ended_at >= $3) ORDER BY id LIMIT " GIVEN_MAX);
GD_SQL(sql_surfaces,
       "SELECT s.grant_id, s.kind, s.outcome, s.note FROM surfaces s JOIN grants g"
       " ON g.workspace = s.workspace AND g.id = s.grant_id WHERE g.workspace = $1 AND g.client_id = $2"
       " AND (g.lifecycle = 'ending' OR g.ended_at >= $3) ORDER BY s.id");
/* Three within the hour: the third last was before it. A lock that is over is taken off. */
GD_SQL(sql_send,
       "INSERT INTO codes (workspace, request_id, client_id, hash, asked_by, expires_at, sent1, sent2, "
       "sent3, tries, locked_until) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0)"
       " ON CONFLICT (workspace, request_id) DO UPDATE SET hash = $4, asked_by = $5, expires_at = $6,"
       " sent1 = $7, sent2 = codes.sent1, sent3 = codes.sent2, locked_until = 0,"
       " tries = CASE WHEN codes.locked_until > 0 THEN 0 ELSE codes.tries END"
       " WHERE codes.sent3 <= $8 AND codes.locked_until <= $7");
/* Counted first; the one after the last that is taken locks. */
GD_SQL(sql_try, "UPDATE codes SET tries = CASE WHEN locked_until > 0 THEN 1 ELSE tries + 1 END,"
                " locked_until = CASE WHEN locked_until = 0 AND tries >= $3 THEN $4 ELSE 0 END"
                " WHERE workspace = $1 AND request_id = $2 AND locked_until <= $5");
GD_SQL(sql_open,
       "INSERT INTO code_sessions (workspace, request_id, session_hash, client_id, opened_at, expires_at)"
       " SELECT workspace, request_id, $4, client_id, $5, $6 FROM codes WHERE workspace = $1"
       " AND request_id = $2 AND hash = $3 AND locked_until = 0"
       " ON CONFLICT (workspace, request_id, session_hash) DO UPDATE SET opened_at = $5, expires_at = $6");
GD_SQL(sql_used,
       "UPDATE codes SET hash = NULL, asked_by = NULL, tries = 0 WHERE workspace = $1 AND request_id = $2"
       " AND hash = $3 AND locked_until = 0");
GD_SQL(sql_forget, "DELETE FROM code_sessions WHERE workspace = $1 AND expires_at <= $2");

struct given {
    struct gd_link link;
    void (*next)(struct gd_call *c, struct given *g);
    bool has_secret, has_session;
    unsigned char session[32], hash[32]; /* hash: of the code that is sent or was typed */
    char digits[CODE_DIGITS + 1];
    char grant[GD_ID_TEXT_MAX];
    /* what the store says */
    const char *name, *email;
    bool asked, opened;
    int64_t opened_at, sent3, locked_until;
};

/* ---- who stands there ---------------------------------------------------------------------------------- */

static void read_code(struct given *g, const struct gd_tx *tx, int64_t now)
{
    size_t n = 0;
    const void *by;

    if (gd_tx_rows(tx, 0) == 0)
        return;
    by = gd_tx_bytes(tx, 0, 0, 1, &n);
    g->asked = g->has_session && !gd_tx_is_null(tx, 0, 0, 0) && gd_tx_int(tx, 0, 0, 2) > now && n == 32 &&
               gd_same_bytes(by, g->session, 32);
    g->sent3 = gd_tx_int(tx, 0, 0, 3);
    g->locked_until = gd_tx_int(tx, 0, 0, 4);
}

static void on_place(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;

    if (gd_call_store_failed(c, r, err))
        return;
    read_code(g, tx, gd_now(c->b->d.clock));
    g->opened = g->has_session && gd_tx_rows(tx, 1) > 0;
    g->opened_at = g->opened ? gd_tx_int(tx, 1, 0, 0) : 0;
    if (gd_tx_rows(tx, 2)) {
        g->name = gd_arena_strdup(c->arena, gd_tx_text(tx, 2, 0, 0));
        g->email = gd_arena_strdup(c->arena, gd_tx_text(tx, 2, 0, 1));
    }
    g->next(c, g);
}

static void on_link(void *arg)
{
    struct gd_call *c = arg;
    struct given *g = c->state;
    struct gd_tx *tx;

    gd_link_done(&g->link);
    if (g->link.err.reason) {
        gd_call_error(c, &g->link.err);
        return;
    }
    c->workspace = g->link.workspace;
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_code, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request));
    gd_tx_add(tx, &sql_opened, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request),
              GD_P_BYTES(g->session, 32), GD_P_INT(gd_now(c->b->d.clock)));
    gd_tx_add(tx, &sql_client, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.client));
    gd_store_read(c->b->d.store, tx, on_place, c);
}

/* The link's secret is needed, a session that once began a flow is not enough. */
static struct given *stand(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg,
                           void (*next)(struct gd_call *c, struct given *g))
{
    struct gd_actor who = { -1, -1, -1, "portal", 0 };
    struct gd_call *c = gd_call_new(b, &who, NULL, reply, arg);
    struct given *g = gd_arena_alloc(c->arena, sizeof *g);
    struct gd_visitor by_secret = { .link = v->link, .secret = v->secret ? v->secret : "" };

    c->state = g;
    g->next = next;
    if (v->session) {
        g->has_session = true;
        gd_keyring_lookup(b->d.keyring, "session", v->session, strlen(v->session), g->session);
    }
    gd_link_load(c, &by_secret, &g->link, on_link);
    return g;
}

static void record(struct gd_call *c, const struct given *g, const char *act, const char *subject,
                   const char *outcome, gd_audit_fn *done)
{
    struct gd_audit_entry e = { .act = act,
                                .phase = outcome ? "done" : "request",
                                .outcome = outcome,
                                .workspace = g->link.workspace,
                                .client = g->link.client,
                                .subject = subject,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1 };

    gd_audit_write(c->b->d.audit, &e, done, done ? c : NULL);
}

/* ---- show ---------------------------------------------------------------------------------------------- */

static json_t *surfaces_of(const struct gd_tx *tx, const char *grant)
{
    json_t *list = json_array();

    for (size_t i = 0; i < gd_tx_rows(tx, 1); i++)
        if (!strcmp(gd_tx_text(tx, 1, i, 0), grant))
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s?}", "kind", gd_tx_text(tx, 1, i, 1), "outcome",
                                            gd_tx_text(tx, 1, i, 2), "note", gd_tx_text(tx, 1, i, 3)));
    return list;
}

static json_t *grant_json(struct gd_broker *b, const struct gd_tx *tx, size_t row)
{
#define TEXT(col) gd_tx_text(tx, 0, row, (col))
    const struct gd_app_state *a = gd_app_find(b, TEXT(1));
    const char *name = TEXT(4) ? TEXT(4) : TEXT(5);
    const struct grantd_role *role = gd_link_role(a, name);

    return json_pack("{s:s, s:s, s:s?, s:s?, s:o, s:s, s:o}", "id", TEXT(0), "platform",
                     a ? gd_link_title(a) : TEXT(1), "asset", TEXT(2) ? TEXT(2) : TEXT(3), "role",
                     role ? role->title : name, "since", gd_time_json(gd_tx_int(tx, 0, row, 7)), "state",
                     TEXT(6), "surfaces", surfaces_of(tx, TEXT(0)));
#undef TEXT
}

static json_t *shown(struct gd_broker *b, const struct given *g, json_t *grants)
{
    struct gd_err err = { 0 };

    return json_pack("{s:b, s:b, s:b, s:o}", "offered", gd_mails_ready(b, g->email, &err) == 0, "asked",
                     (int)g->asked, "opened", (int)g->opened, "grants", grants);
}

static void on_grants(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    json_t *list;

    if (gd_call_store_failed(c, r, err))
        return;
    list = json_array();
    for (size_t row = 0; row < gd_tx_rows(tx, 0); row++)
        json_array_append_new(list, grant_json(c->b, tx, row));
    gd_call_done(c, shown(c->b, c->state, list));
}

static void show(struct gd_call *c, struct given *g)
{
    struct gd_tx *tx;

    if (!g->opened) {
        gd_call_done(c, shown(c->b, g, json_array()));
        return;
    }
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_grants, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.client), GD_P_INT(g->opened_at));
    gd_tx_add(tx, &sql_surfaces, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.client), GD_P_INT(g->opened_at));
    gd_store_read(c->b->d.store, tx, on_grants, c);
}

void gd_given_show(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    (void)stand(b, v, reply, arg, show);
}

/* ---- a code is asked for ------------------------------------------------------------------------------- */

static void code_hash(struct gd_broker *b, const struct given *g, unsigned char out[32])
{
    GD_AUTO_FREE char *bound = gd_strf("%s:%s", g->link.request, g->digits);

    gd_keyring_lookup(b->d.keyring, "code", bound, strlen(bound), out);
}

static void fail_until(struct gd_call *c, enum gd_reason reason, const char *text, int64_t at)
{
    struct gd_err err = { .reason = reason, .retry_at = at };

    (void)snprintf(err.text, sizeof err.text, "%s", text);
    gd_call_error(c, &err);
}

static void fail_locked(struct gd_call *c, int64_t until)
{
    fail_until(c, GD_R_CODE_LOCKED, "too many wrong codes were typed for this request", until);
}

static void on_mailed(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;

    (void)GD_FAULT("code.mailed");
    record(c, g, "portal.code", g->link.request, err ? gd_reason_word(err->reason) : "ok", NULL);
    if (err)
        gd_call_error(c, err);
    else
        gd_call_done(c, json_object());
}

static void on_code_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;
    struct gd_mail_client to = { g->link.workspace, g->name, g->email };

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_changes(tx, 0) != 1) { /* another browser was quicker */
        record(c, g, "portal.code", g->link.request, "CODE_LIMITED", NULL);
        fail_until(c, GD_R_CODE_LIMITED, "three codes were sent within the hour",
                   gd_now(c->b->d.clock) + GD_CODE_SENDS_MS);
        return;
    }
    (void)GD_FAULT("code.stored");
    gd_mails_code(c->b, &to, g->digits, on_mailed, c);
    gd_wipe(g->digits, sizeof g->digits);
}

static void on_code_recorded(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;
    int64_t now = gd_now(c->b->d.clock);
    struct gd_tx *tx;

    if (err) {
        gd_call_error(c, err);
        return;
    }
    (void)GD_FAULT("code.asked");
    (void)snprintf(g->digits, sizeof g->digits, "%06u",
                   (unsigned)gd_rng_below(c->b->d.rng, 1000000) % 1000000);
    code_hash(c->b, g, g->hash);
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_send, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request), GD_P_TEXT(g->link.client),
              GD_P_BYTES(g->hash, 32), GD_P_BYTES(g->session, 32), GD_P_INT(now + GD_CODE_TTL_MS),
              GD_P_INT(now), GD_P_INT(now - GD_CODE_SENDS_MS));
    gd_store_commit(c->b->d.store, tx, on_code_stored, c);
}

static void ask(struct gd_call *c, struct given *g)
{
    int64_t now = gd_now(c->b->d.clock);
    struct gd_err err = { 0 };

    if (!g->has_session)
        gd_call_fail(c, GD_R_SESSION_MISSING,
                     "the browser sent no session cookie; allow cookies and open the link again");
    else if (gd_mails_ready(c->b, g->email, &err))
        gd_call_error(c, &err);
    else if (g->locked_until > now)
        fail_locked(c, g->locked_until);
    else if (g->sent3 > now - GD_CODE_SENDS_MS)
        fail_until(c, GD_R_CODE_LIMITED, "three codes were sent within the hour",
                   g->sent3 + GD_CODE_SENDS_MS);
    else
        record(c, g, "portal.code", g->link.request, NULL, on_code_recorded);
}

void gd_given_ask(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    (void)stand(b, v, reply, arg, ask);
}

/* ---- a code was typed ---------------------------------------------------------------------------------- */

/* Six digits with whatever blanks between; false when it is something else. */
static bool read_digits(const char *typed, char out[CODE_DIGITS + 1])
{
    size_t n = 0;

    for (; *typed; typed++) {
        if (strchr(" \t\r\n", *typed))
            continue;
        if (!strncmp(typed, "\xc2\xa0", 2)) { /* a blank that does not break, as phones paste it */
            typed++;
            continue;
        }
        if (*typed < '0' || *typed > '9' || n == CODE_DIGITS)
            return false;
        out[n++] = *typed;
    }
    out[n] = '\0';
    return n == CODE_DIGITS;
}

static void enter_refused(struct gd_call *c, enum gd_reason reason, const char *text)
{
    struct given *g = c->state;

    record(c, g, "portal.open", g->link.request, gd_reason_word(reason), NULL);
    gd_call_fail(c, reason, "%s", text);
}

static void on_entered(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_changes(tx, 0) != 1) { /* somebody typed it at the same moment */
        enter_refused(c, GD_R_CODE_WRONG, "this code was used already");
        return;
    }
    (void)GD_FAULT("code.opened");
    record(c, g, "portal.open", g->link.request, "ok", NULL);
    gd_call_done(c, json_object());
}

static void open_for_session(struct gd_call *c, struct given *g, int64_t now)
{
    struct gd_tx *tx = gd_tx_new(c->b->d.store);

    gd_tx_add(tx, &sql_open, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request), GD_P_BYTES(g->hash, 32),
              GD_P_BYTES(g->session, 32), GD_P_INT(now), GD_P_INT(now + GD_CODE_OPEN_MS));
    gd_tx_add(tx, &sql_used, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request), GD_P_BYTES(g->hash, 32));
    gd_tx_add(tx, &sql_forget, GD_P_TEXT(c->workspace), GD_P_INT(now));
    gd_store_commit(c->b->d.store, tx, on_entered, c);
}

static void on_tried(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;
    int64_t now = gd_now(c->b->d.clock);
    const void *hash;
    size_t n = 0;

    if (gd_call_store_failed(c, r, err))
        return;
    (void)GD_FAULT("code.tried");
    hash = gd_tx_rows(tx, 1) ? gd_tx_bytes(tx, 1, 0, 0, &n) : NULL;
    if (gd_tx_rows(tx, 1) && gd_tx_int(tx, 1, 0, 4) > now) {
        record(c, g, "portal.open", g->link.request, "CODE_LOCKED", NULL);
        fail_locked(c, gd_tx_int(tx, 1, 0, 4));
    } else if (n != 32 || !gd_same_bytes(hash, g->hash, 32)) {
        enter_refused(c, GD_R_CODE_WRONG, "this is not the code of the newest mail, or it was used already");
    } else if (gd_tx_int(tx, 1, 0, 2) <= now) {
        enter_refused(c, GD_R_CODE_EXPIRED, "this code is too old");
    } else {
        open_for_session(c, g, now);
    }
}

static void on_enter_recorded(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;
    int64_t now = gd_now(c->b->d.clock);
    struct gd_tx *tx;

    if (err) {
        gd_call_error(c, err);
        return;
    }
    code_hash(c->b, g, g->hash);
    gd_wipe(g->digits, sizeof g->digits);
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_try, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request), GD_P_INT(GD_CODE_TRIES_MAX),
              GD_P_INT(now + GD_CODE_LOCK_MS), GD_P_INT(now));
    gd_tx_add(tx, &sql_code, GD_P_TEXT(c->workspace), GD_P_TEXT(g->link.request));
    gd_store_commit(c->b->d.store, tx, on_tried, c);
}

static void enter(struct gd_call *c, struct given *g)
{
    if (!g->has_session)
        gd_call_fail(c, GD_R_SESSION_MISSING,
                     "the browser sent no session cookie; allow cookies and open the link again");
    else if (!g->digits[0]) /* no guess: it is not counted */
        gd_call_fail(c, GD_R_CODE_WRONG, "a code has six digits");
    else
        record(c, g, "portal.open", g->link.request, NULL, on_enter_recorded);
}

void gd_given_enter(struct gd_broker *b, const struct gd_visitor *v, const char *code, gd_reply_fn *reply,
                    void *arg)
{
    struct given *g = stand(b, v, reply, arg, enter);

    if (!read_digits(code, g->digits))
        g->digits[0] = '\0';
}

/* ---- taken back ---------------------------------------------------------------------------------------- */

static void on_ended(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;

    (void)GD_FAULT("back.ended");
    record(c, g, "portal.take_back", g->grant, result ? "ok" : gd_reason_word(err->reason), NULL);
    if (result)
        gd_call_done(c, json_object());
    else
        gd_call_error(c, err);
}

static void on_end_recorded(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct given *g = c->state;
    GD_AUTO_JSON params = NULL;

    if (err) {
        gd_call_error(c, err);
        return;
    }
    (void)GD_FAULT("back.asked");
    params = json_pack("{s:s, s:s, s:s}", "grant", g->grant, "workspace", g->link.workspace, "reason",
                       "taken back by the client");
    gd_grant_revoke(c->b, &c->who, params, on_ended, c);
}

static void end(struct gd_call *c, struct given *g)
{
    const char *workspace = "";
    struct gd_id id;
    bool theirs = gd_id_parse(&id, "gr", g->grant, strlen(g->grant)) &&
                  !strcmp(gd_grant_client(c->b, &id, &workspace), g->link.client) &&
                  !strcmp(workspace, g->link.workspace);

    if (!g->opened)
        gd_call_fail(c, GD_R_CODE_NEEDED, "type the code that was mailed first");
    else if (!theirs)
        gd_call_fail(c, GD_R_NOT_FOUND, "there is no such access here");
    else
        record(c, g, "portal.take_back", g->grant, NULL, on_end_recorded);
}

void gd_given_end(struct gd_broker *b, const struct gd_visitor *v, const char *grant, gd_reply_fn *reply,
                  void *arg)
{
    struct given *g = stand(b, v, reply, arg, end);

    (void)snprintf(g->grant, sizeof g->grant, "%s", grant);
}
