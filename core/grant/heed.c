/* grant/heed.c - see heed.h. A word is "held MS PLATFORM/APP", "frozen APP" or "works APP". Times are
 * lengths: clocks of nodes are never compared. What is heard is not told again. */
#include "grant/heed.h"

#include <string.h>

#define HELD   "held "
#define FROZEN "frozen "
#define WORKS  "works "
#define NOBODY "-" /* of no workspace */

GD_SQL(sql_nothing, "SELECT 1"); /* what a word goes along with */

static void tell(struct gd_broker *b, const char *word)
{
    struct gd_tx *tx;

    if (!gd_store_shared(b->d.store) || b->draining)
        return;
    tx = gd_tx_new(b->d.store);
    gd_tx_news(tx, NOBODY, word);
    gd_tx_add_(tx, &sql_nothing, NULL, 0);
    gd_store_commit(b->d.store, tx, NULL, NULL);
}

static void tell_of(struct gd_broker *b, const char *what, const struct gd_app_state *a)
{
    GD_AUTO_FREE char *word = gd_strf("%s%s", what, a->app.id);

    tell(b, word);
}

/* Each probe that fails is told, so that the others need not make their own. */
void gd_heed_failed(struct gd_broker *b, struct gd_app_state *a, uint32_t cred, bool config, bool refused,
                    const struct gd_err *err)
{
    if (gd_interlock_note(&a->interlock, cred, refused, config, gd_mono(b->d.clock)))
        GD_LOG(b->d.log, GD_LOG_ERROR, "app.frozen", GD_F_STR("app", a->app.id), GD_F_ERR(err));
    if (a->interlock.frozen && (refused || config))
        tell_of(b, FROZEN, a);
}

void gd_heed_worked(struct gd_broker *b, struct gd_app_state *a)
{
    if (gd_interlock_good(&a->interlock, gd_mono(b->d.clock)))
        tell_of(b, WORKS, a);
}

void gd_broker_held(struct gd_broker *b, const char *app, int64_t ms)
{
    GD_AUTO_FREE char *word = gd_strf(HELD "%lld %s", (long long)ms, app);

    tell(b, word);
}

static void hear_held(struct gd_broker *b, const char *rest)
{
    const char *app = strchr(rest, ' ');
    GD_AUTO_FREE char *number = app ? gd_strndup(rest, (size_t)(app - rest)) : NULL;
    int64_t ms;

    if (number && gd_parse_i64(number, &ms) && ms > 0 && b->ears.held)
        b->ears.held(b->ears.arg, app + 1, ms);
}

static void hear_state(struct gd_broker *b, const char *app, bool frozen)
{
    struct gd_app_state *a = gd_app_find(b, app);

    if (!a)
        return;
    if (a->interlock.frozen != frozen)
        GD_LOG(b->d.log, GD_LOG_WARN, frozen ? "app.frozen" : "app.works", GD_F_STR("app", app),
               GD_F_STR("text", "another node says so"));
    gd_interlock_heed(&a->interlock, frozen, gd_mono(b->d.clock));
}

bool gd_heed_news(struct gd_broker *b, const char *id)
{
    if (!strncmp(id, HELD, strlen(HELD)))
        hear_held(b, id + strlen(HELD));
    else if (!strncmp(id, FROZEN, strlen(FROZEN)))
        hear_state(b, id + strlen(FROZEN), true);
    else if (!strncmp(id, WORKS, strlen(WORKS)))
        hear_state(b, id + strlen(WORKS), false);
    else
        return false;
    return true;
}
