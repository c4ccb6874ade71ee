/* node/node.h - the processes that share one store. Each has a row with a lease that it renews by the
 * database's clock; whoever's lease is over is taken for dead by the others, which then settle what it left.
 * A node's own clock is never compared with another's.
 *
 * Who does what: nothing is owned. Work is claimed by a conditional update of its own row (a credential's
 * lease, a flow's or a grant's worker), and that alone excludes. gd_nodes_prefers only keeps nodes from
 * reaching for the same row at the same time.
 *
 * The end of one, in three steps that each stand by themselves: whoever finds its lease over fences it
 * (gd_tx_fence) and takes its worker's name away, in one commit: nothing that it does from then on is kept
 * but what a platform answered, which is in its spool. Then what it left is taken over. Only when all of that
 * is settled it is marked gone; who dies before that leaves it to the next beat of any other. One that ends
 * in order takes its name away itself. It joins again under a new worker's name; on_ousted tells it.
 *
 * The beat waits for nothing that this process has in hand (gd_store_commit_apart): a node that waits for the
 * locks of one that froze must not be taken for dead itself.
 *
 * A standby that takes the primary's place may lack what the nodes had written last, and what a platform
 * answered meanwhile is with who received it. So each says with its beat which era of the database
 * (gd_era()) it has found complete: all that it ever wrote is there, or was given back out of its spool. As
 * long as one that lives has not said so of the present one (GD_NODES_BEHIND), a token that may be presented
 * once only is not presented by anybody.
 *
 * The embedded engine serves one process: the same calls, no timer, nobody else. Loop thread. */
#ifndef GD_NODE_NODE_H
#define GD_NODE_NODE_H

#include "base/id.h"
#include "base/rng.h"
#include "store/store.h"

struct gd_nodes;
struct gd_nodes_options {
    const char *name;    /* of this node, the same after a restart ("nd...") */
    const char *title;   /* what people call it; NULL: nothing. Two may be called the same */
    const char *version; /* of the program */
    const char *place;   /* where its state lies; a live node of that name elsewhere is refused */
    int64_t lease_ms;    /* 0: 15 s; renewed three times in it */
    int64_t back_ms; /* a node that found the database set back ends what it has under way and starts anew: so
                        much longer it is not taken for dead */
    struct gd_rng *alone;          /* not NULL: nobody else can be in this store, so a start writes no row */
    void (*on_changed)(void *arg); /* other nodes came, went, or are drained: gd_nodes_live */
    void (*on_dead)(void *arg);    /* somebody can write nothing more and what he left is not settled: take it
                                      over, then gd_nodes_bury. Again with each beat until that is done */
    void (*on_ousted)(void *arg);  /* this node was buried: it may write nothing more */
    char *(*shown)(
        void *arg); /* NULL, or: with each beat, what the others are shown; freed here, may be NULL */
    void (*on_shown)(void *arg, const json_t *texts); /* and what they show, those that are gone, too */
    void *arg;
};

/* Blocking: takes the name, unless it is alone, and keeps its lease from then on, whatever the loop does:
 * a start reads a store for longer than a lease may be. NODE_NAME_TAKEN, NODES_TOO_MANY, or what the store
 * says. */
int gd_nodes_open(struct gd_nodes **ret, uv_loop_t *loop, struct gd_store *store,
                  const struct gd_nodes_options *o, const struct gd_clock *clock, struct gd_log *log,
                  struct gd_err *err);
/* Beats from now on. After the callbacks' owners are there. */
void gd_nodes_start(struct gd_nodes *n);
/* The others are told not to count on this node: they take over what is due. */
void gd_nodes_drain(struct gd_nodes *n);
/* Gives the lease back, then frees; done runs on the loop. Before the store is closed. */
void gd_nodes_close(struct gd_nodes *n, void (*done)(void *), void *arg);

/* What rows of claimed work carry: the name and how often it was taken, "nd....3". Never another's, and never
 * that of an earlier process of this node. Of one that is alone "nd....wk...". */
const char *gd_nodes_worker(const struct gd_nodes *n);
/* True for exactly one of the live nodes, as long as all agree who is alive. */
bool gd_nodes_prefers(const struct gd_nodes *n, const struct gd_id *id);
unsigned gd_nodes_live(const struct gd_nodes *n); /* at least 1: this one */
/* Among so many this node divides what all share (a rate): what all take together is never more than the
 * whole, but for the smallest part of one that just came. One takes no more than that until each other live
 * node has said that it counts with it; on_changed tells. */
unsigned gd_nodes_among(const struct gd_nodes *n);
/* Adds to the transaction that takes over, as its first: the nodes whose leavings it settles. The statement's
 * number. */
size_t gd_nodes_left(struct gd_tx *tx);
/* Adds to the one that ends it: those that from named there are gone, with nothing left of them. */
void gd_nodes_bury(struct gd_tx *tx, const struct gd_tx *from, size_t stmt);
/* Of a column worker: true for a row whose worker is gone. $1 to $3 of the statement are GD_NODES_GONE_P. At
 * the start only what earlier processes of this node left is taken for it; all, where no other can be. */
#define GD_NODES_GONE(column)                                      \
    "(" column " IS NULL OR (" column " <> $1 AND (substr(" column \
    ", 1, length($2)) = $2 OR ($3 = 1 AND " column " NOT IN (SELECT worker FROM nodes)))))"
#define GD_NODES_GONE_P(n) \
    GD_P_TEXT(gd_nodes_worker(n)), GD_P_TEXT(gd_nodes_prefix(n)), GD_P_INT(gd_nodes_take_all(n))
/* At the start: this node has not found the present era complete yet. */
bool gd_nodes_behind(const struct gd_nodes *n);
bool gd_nodes_take_all(const struct gd_nodes *n);      /* not only what is this node's own */
const char *gd_nodes_prefix(const struct gd_nodes *n); /* "nd...." */
/* True in a statement while a node that lives has not found the present era complete. NULL is one that joined
 * before there were eras; the rows of a database may have come into a file, which has none. The era is read
 * once a statement, not for each node. */
#define GD_NODES_BEHIND                                                  \
    "EXISTS (SELECT 1 FROM nodes n WHERE n.state <> 'gone' AND (SELECT " \
    "gd_era()) NOT IN ('', n.era))"
/* {"name","worker","among","nodes":[{"name","title","state","behind","lease_ms","version","started_at",
 * "seen_at"}]}; times by the database's clock, and all as the last beat has read it. */
json_t *gd_nodes_status(const struct gd_nodes *n);

/* The table; parts of the store's migrations. */
extern const char *const gd_nodes_tables[], *const gd_nodes_shown[], *const gd_nodes_about[],
                                                                         *const gd_nodes_eras[];

#endif
