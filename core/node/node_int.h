/* node/node_int.h - inside of the node room: node.c beats and looks after the others, start.c takes the name
 * and keeps it while the process starts. */
#ifndef GD_NODE_NODE_INT_H
#define GD_NODE_NODE_INT_H

#include "node/node.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <pthread.h>

#define GD_NODE_NAME_MAX 63

struct gd_node_other {
    char name[GD_NODE_NAME_MAX + 1];
    char worker[GD_NODE_NAME_MAX + 1 + 32];
    char state[16], title[GD_NODE_TITLE_MAX + 1], version[32];
    int64_t started_at, beat_at;
    int64_t among;
    int64_t left_ms; /* of its lease, when it was read */
    uint64_t hash;
    bool live;
    bool behind;          /* it has not found the present era complete */
    int64_t behind_since; /* monotonic, as far as this node knows */
};

/* Renews the lease while the node starts: the loop does not turn while a large store is read. */
struct gd_node_keeper {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of over */
    pthread_cond_t cond;
    bool over;
};

struct gd_nodes {
    struct gd_store *store;
    const struct gd_clock *clock;
    struct gd_log *log;
    struct gd_nodes_options o;
    char *name, *worker, *prefix, *place, *title, *version;
    struct gd_node_other all[GD_NODES_LISTED_MAX]; /* this one among them */
    unsigned count, live;
    uint64_t hash;
    int64_t sent_at, seen_at, valid_until, steady_since; /* monotonic; seen: the last beat arrived */
    bool shared, started, draining, ousted, closing;
    /* What all share is divided among so many: now, as the row says, as the beat under way says, as the next
     * one will. The row never says more than is used, so others may go by it. */
    unsigned among, said, saying, say;
    bool counted;       /* once every other live node had said that it counts with this one */
    bool behind;        /* when it was opened */
    unsigned under_way; /* transactions */
    unsigned fences;    /* those among them that fence */
    struct gd_node_keeper keeper;
    uv_timer_t timer;
    void (*closed)(void *);
    void *closed_arg;
};

extern const struct gd_sql gd_node_all;
void gd_node_read_all(struct gd_nodes *n, const struct gd_tx *tx, size_t stmt); /* the rows of gd_node_all */
uint64_t gd_node_hash(const char *name);
void gd_node_free(struct gd_nodes *n);              /* whose timer is closed, or was never opened */
void gd_node_keeper_stop(struct gd_node_keeper *k); /* also where none runs */

#endif
