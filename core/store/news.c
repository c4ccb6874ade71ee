/* store/news.c - what other nodes changed, on its way from a transaction into the engine, and
 * from the engine's thread to the loop. A loop that does
 * not keep up loses nothing: what is too much is told as "anything may have changed". */
#include "store/store_int.h"

#include "base/mem.h"

#include <string.h>

#define NEWS_FIRST 8

struct item {
    struct gd_list link;
    char *node, *workspace, *id; /* one allocation */
};

void gd_tx_news(struct gd_tx *tx, const char *workspace, const char *id)
{
    size_t cap = tx->news_cap ? tx->news_cap * 2 : NEWS_FIRST;
    const char **more = tx->news;

    if (!tx->store || !gd_store_shared(tx->store))
        return;
    if (tx->nnews + 2 > tx->news_cap) {
        more = gd_arena_alloc(tx->arena, cap * sizeof *more);
        if (more && tx->nnews)
            memcpy(more, tx->news, tx->nnews * sizeof *more);
        tx->news_cap = cap;
        tx->news = more;
    }
    if (more) {
        tx->news[tx->nnews++] = gd_arena_strdup(tx->arena, workspace);
        tx->news[tx->nnews++] = gd_arena_strdup(tx->arena, id);
    }
    tx->too_big |= gd_arena_failed(tx->arena);
}

void gd_news_init(struct gd_news *n, const struct gd_store_options *o)
{
    *n = (struct gd_news){ .fn = o->on_news, .on_set_back = o->on_set_back, .arg = o->arg };
    gd_list_init(&n->items);
    pthread_mutex_init(&n->lock, NULL);
    atomic_init(&n->seen, gd_mono(gd_clock_system()));
}

static void drop_all(struct gd_list *items)
{
    for (struct gd_list *l; (l = gd_list_pop(items));)
        gd_free(gd_container_of(l, struct item, link));
}

void gd_news_done(struct gd_news *n)
{
    drop_all(&n->items);
    pthread_mutex_destroy(&n->lock);
}

static struct item *make_item(const char *node, const char *workspace, const char *id)
{
    size_t a = strlen(node) + 1, b = workspace ? strlen(workspace) + 1 : 0, c = id ? strlen(id) + 1 : 0;
    struct item *i = gd_new(sizeof *i + a + b + c);
    char *p = (char *)(i + 1);

    i->node = memcpy(p, node, a);
    i->workspace = workspace ? memcpy(p + a, workspace, b) : NULL;
    i->id = id ? memcpy(p + a + b, id, c) : NULL;
    return i;
}

void gd_news_put(struct gd_news *n, const char *node, const char *workspace, const char *id)
{
    pthread_mutex_lock(&n->lock);
    if (n->count >= GD_STORE_NEWS_MAX) {
        drop_all(&n->items);
        n->count = 0;
        workspace = id = NULL;
    }
    gd_list_add(&n->items, &make_item(node, workspace, id)->link);
    n->count++;
    pthread_mutex_unlock(&n->lock);
}

void gd_news_deliver(struct gd_news *n)
{
    struct gd_list items;
    bool back;

    pthread_mutex_lock(&n->lock);
    gd_list_take(&items, &n->items);
    n->count = 0;
    back = n->set_back && !n->told_back;
    n->told_back |= back;
    pthread_mutex_unlock(&n->lock);
    for (struct gd_list *l; (l = gd_list_pop(&items));) {
        struct item *i = gd_container_of(l, struct item, link);

        if (n->fn)
            n->fn(n->arg, i->node, i->workspace, i->id);
        gd_free(i);
    }
    if (back && n->on_set_back)
        n->on_set_back(n->arg);
}
