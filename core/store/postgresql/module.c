/* store/postgresql/module.c - the one symbol of postgresql.so, and what is the same for all threads. */
#include "store/postgresql/pg.h"

#include "store/module.h"

void gd_pg_stop(struct gd_engine *e, const struct gd_err *why, bool set_back)
{
    bool first;

    pthread_mutex_lock(&e->lock_state);
    first = !e->stopped;
    e->stopped = true;
    if (first)
        e->why = *why;
    pthread_mutex_unlock(&e->lock_state);
    if (!first)
        return;
    GD_LOG(e->host.log, GD_LOG_ERROR, "store.stopped", GD_F_STR("database", e->place.text), GD_F_ERR(why));
    if (set_back)
        e->host.set_back(e->host.store);
}

bool gd_pg_stopped(struct gd_engine *e, struct gd_err *ret)
{
    bool stopped;

    pthread_mutex_lock(&e->lock_state);
    stopped = e->stopped;
    if (stopped)
        gd_err_set(ret, e->why.reason, "%s", e->why.text);
    pthread_mutex_unlock(&e->lock_state);
    return stopped;
}

struct gd_pg_mark gd_pg_acked(struct gd_engine *e)
{
    struct gd_pg_mark m;

    pthread_mutex_lock(&e->lock_state);
    m = e->acked;
    pthread_mutex_unlock(&e->lock_state);
    return m;
}

void gd_pg_count_reconnect(struct gd_engine *e)
{
    pthread_mutex_lock(&e->lock_state);
    e->reconnects++;
    pthread_mutex_unlock(&e->lock_state);
}

static void describe(struct gd_engine *e, json_t *into)
{
    pthread_mutex_lock(&e->lock_state);
    json_object_set_new(into, "database", json_string(e->place.text));
    json_object_set_new(into, "schema", json_string(e->schema));
    json_object_set_new(into, "server", json_string(e->server ? e->server : ""));
    json_object_set_new(into, "durability", json_string(e->durability ? e->durability : ""));
    json_object_set_new(into, "tls", json_string(e->place.tls));
    json_object_set_new(into, "accept_async", json_boolean(e->accept_async));
    json_object_set_new(into, "reconnects", json_integer(e->reconnects));
    json_object_set_new(into, "stopped",
                        e->stopped ? json_string(gd_reason_word(e->why.reason)) : json_null());
    pthread_mutex_unlock(&e->lock_state);
}

static int64_t bytes(const struct gd_engine *e)
{
    return atomic_load(&e->bytes);
}

static const struct gd_store_engine engine = {
    .name = "postgresql",
    .shared = true,
    .open = gd_pg_open,
    .view = gd_pg_view,
    .start = gd_pg_feed_start,
    .lock = gd_pg_lock,
    .unlock = gd_pg_unlock,
    .write = gd_pg_write,
    .scrub = gd_pg_scrub,
    .read = gd_pg_read,
    .soon = gd_pg_soon,
    .apart = gd_pg_apart,
    .catch_up = gd_pg_catch_up,
    .scan = gd_pg_scan,
    .fence = &gd_pg_fence,
    .bytes = bytes,
    .describe = describe,
    .close = gd_pg_close,
};

extern const struct gd_store_module gd_store_module;
__attribute__((visibility("default"))) const struct gd_store_module gd_store_module =
    GD_STORE_MODULE(&engine);
