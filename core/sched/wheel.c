/* sched/wheel.c */
#include "sched/wheel.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK  65536u
#define LATEST (((int64_t)1 << (6 * GD_WHEEL_LEVELS)) - 1) /* in 8,900 years */

static struct gd_wheel_node *node(const struct gd_wheel *w, uint32_t n)
{
    return &w->chunks[n / CHUNK][n % CHUNK];
}

static void reach(struct gd_wheel *w, uint32_t n)
{
    while (n / CHUNK >= w->nchunks) {
        struct gd_wheel_node *c = gd_new_array(CHUNK, sizeof *c);

        for (uint32_t i = 0; i < CHUNK; i++)
            c[i].due = INT64_MAX;
        w->chunks = gd_resize(w->chunks, (w->nchunks + 1) * sizeof *w->chunks);
        w->chunks[w->nchunks++] = c;
    }
}

void gd_wheel_init(struct gd_wheel *w, int64_t now)
{
    memset(w, 0, sizeof *w);
    w->now = now;
}

void gd_wheel_done(struct gd_wheel *w)
{
    for (uint32_t i = 0; i < w->nchunks; i++)
        gd_free(w->chunks[i]);
    gd_free(w->chunks);
    gd_wheel_init(w, 0);
}

/* The level on which due and now first differ, seen from above: below it everything is still to be told
 * apart. */
static unsigned level_of(const struct gd_wheel *w, int64_t due)
{
    uint64_t differ = (uint64_t)(due ^ w->now) | 1;
    unsigned level = (63 - (unsigned)__builtin_clzll(differ)) / 6;

    return level < GD_WHEEL_LEVELS ? level : GD_WHEEL_LEVELS - 1;
}

static unsigned index_of(int64_t due, unsigned level)
{
    return (unsigned)((uint64_t)due >> (6 * level)) & (GD_WHEEL_SLOTS - 1);
}

static void link_node(struct gd_wheel *w, uint32_t n)
{
    struct gd_wheel_node *x = node(w, n);
    unsigned level = level_of(w, x->due), i = index_of(x->due, level);
    uint32_t *head = &w->slots[level][i];

    x->prev = 0;
    x->next = *head;
    if (*head)
        node(w, *head - 1)->prev = n + 1;
    *head = n + 1;
    w->bits[level] |= (uint64_t)1 << i;
}

static void unlink_node(struct gd_wheel *w, uint32_t n)
{
    struct gd_wheel_node *x = node(w, n);

    if (x->next)
        node(w, x->next - 1)->prev = x->prev;
    if (x->prev) {
        node(w, x->prev - 1)->next = x->next;
        return;
    }
    /* Head of its slot. A slot that was taken out as a whole is not its any more: look before clearing. */
    for (unsigned level = 0; level < GD_WHEEL_LEVELS; level++) {
        unsigned i = index_of(x->due, level);

        if (w->slots[level][i] != n + 1)
            continue;
        w->slots[level][i] = x->next;
        if (!x->next)
            w->bits[level] &= ~((uint64_t)1 << i);
        return;
    }
}

void gd_wheel_set(struct gd_wheel *w, uint32_t n, int64_t due)
{
    struct gd_wheel_node *x;

    reach(w, n);
    x = node(w, n);
    if (x->due != INT64_MAX) {
        unlink_node(w, n);
        w->armed--;
    }
    if (due != INT64_MAX && due <= w->now)
        due = w->now + 1;
    if (due != INT64_MAX && due > LATEST)
        due = LATEST;
    x->due = due;
    if (due == INT64_MAX)
        return;
    w->armed++;
    link_node(w, n);
}

int64_t gd_wheel_due(const struct gd_wheel *w, uint32_t n)
{
    return n / CHUNK < w->nchunks ? node(w, n)->due : INT64_MAX;
}

/* The first occupied slot and the time at which it begins. */
static int64_t first_slot(const struct gd_wheel *w, unsigned *ret_level, unsigned *ret_index)
{
    for (unsigned level = 0; level < GD_WHEEL_LEVELS; level++) {
        uint64_t below = (uint64_t)1 << (6 * (level + 1) & 63);

        if (!w->bits[level])
            continue;
        *ret_level = level;
        *ret_index = (unsigned)__builtin_ctzll(w->bits[level]);
        return (int64_t)(((uint64_t)w->now & ~(below - 1)) | (uint64_t)*ret_index << (6 * level));
    }
    return INT64_MAX;
}

int64_t gd_wheel_next(const struct gd_wheel *w)
{
    unsigned level = 0, i = 0;

    return first_slot(w, &level, &i);
}

void gd_wheel_run(struct gd_wheel *w, int64_t now, void (*fn)(void *arg, uint32_t n), void *arg)
{
    unsigned level = 0, i = 0;
    int64_t at;

    while ((at = first_slot(w, &level, &i)) <= now) {
        w->now = at;
        while (w->slots[level][i]) {
            uint32_t n = w->slots[level][i] - 1;
            struct gd_wheel_node *x = node(w, n);

            unlink_node(w, n);
            if (x->due > at) { /* goes down a level */
                link_node(w, n);
                continue;
            }
            x->due = INT64_MAX;
            w->armed--;
            fn(arg, n);
        }
    }
    if (now > w->now)
        w->now = now;
}

size_t gd_wheel_bytes(const struct gd_wheel *w)
{
    return (size_t)w->nchunks * CHUNK * sizeof(struct gd_wheel_node) + sizeof *w;
}
