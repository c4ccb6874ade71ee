/* grant/meet.c - a run of a platform's grant function takes over what it finds at the platform, a closing
 * removes it: the two of one client at one place never overlap. A run claims its flow ("exchanging") and then
 * looks for closings; a closing claims its grant (closing_until) and then looks for runs: at least one of the
 * two sees the other, on whichever node it is. The run gives way: it waits with what the consent brought. A
 * closing that meets a run waits for its end, and then leaves what that one stands on (facts.c). A closing
 * that will only be tried again later holds nobody up: what it finds taken over then is not its own any more.
 */
#include "grant/exchange.h"

#define ASK_AGAIN_MS 100

/* What is being closed, and flows whose places are about to be. */
GD_SQL(sql_closing,
       "SELECT g.app FROM grants g WHERE g.workspace = $1 AND g.client_id = $2 AND g.lifecycle = 'ending'"
       " AND g.closing_until > gd_now() AND EXISTS (SELECT 1 FROM surfaces s WHERE s.workspace = g.workspace"
       " AND s.grant_id = g.id AND s.kind <> 'token' AND s.outcome IN ('open', 'failed'))"
       " UNION SELECT f.app FROM requests q JOIN flows f ON f.workspace = q.workspace AND f.request_id = q.id"
       " WHERE q.workspace = $1 AND q.client_id = $2 AND f.status = 'left' AND f.closing_until > gd_now()");

struct meeting {
    struct gd_broker *b;
    const struct gd_flow *f; /* of the caller, who waits */
    gd_meet_fn *fn;
    void *arg;
    int64_t until; /* monotonic */
    bool met;
    uv_timer_t again;
};

size_t gd_meet_read(const struct gd_flow *f, struct gd_tx *tx)
{
    return gd_tx_add(tx, &sql_closing, GD_P_TEXT(f->workspace), GD_P_TEXT(f->client));
}

bool gd_meet_any(struct gd_broker *b, const struct gd_flow *f, const struct gd_tx *tx, size_t stmt)
{
    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++) {
        const struct gd_app_state *a = gd_app_find(b, gd_tx_text(tx, stmt, i, 0));

        if (a && gd_hub_shared(b, f->app, a))
            return true;
    }
    return false;
}

int gd_meet_err(struct gd_err *err)
{
    return gd_err_set(err, GD_R_CLOSING_FIRST,
                      "what was given before is being closed at the platform; this goes on after that");
}

static void on_closed(uv_handle_t *h)
{
    struct meeting *m = h->data;
    struct gd_broker *b = m->b;

    m->fn(m->arg, m->met);
    gd_free(m);
    gd_busy(b, -1);
}

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static void look(uv_timer_t *t)
{
    struct meeting *m = t->data;
    struct gd_tx *tx = gd_tx_new(m->b->d.store);

    (void)gd_meet_read(m->f, tx);
    gd_store_read(m->b->d.store, tx, on_read, m);
}

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct meeting *m = arg;

    (void)err; /* what the caller does next needs the store, too */
    m->met = r == GD_STORE_OK && gd_meet_any(m->b, m->f, tx, 0);
    if (m->met && gd_mono(m->b->d.clock) < m->until && !m->b->draining)
        uv_timer_start(&m->again, look, ASK_AGAIN_MS, 0);
    else
        uv_close((uv_handle_t *)&m->again, on_closed);
}

void gd_meet_wait(struct gd_broker *b, const struct gd_flow *f, int64_t patience_ms, gd_meet_fn *fn,
                  void *arg)
{
    struct meeting *m = gd_new(sizeof *m);

    *m = (struct meeting){ .b = b, .f = f, .fn = fn, .arg = arg, .until = gd_mono(b->d.clock) + patience_ms };
    gd_busy(b, 1);
    uv_timer_init(b->d.loop, &m->again);
    m->again.data = m;
    look(&m->again);
}
