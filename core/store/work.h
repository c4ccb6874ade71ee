/* store/work.h - what store.c and work.c share: the store, its queues and who works on them. */
#ifndef GD_STORE_WORK_H
#define GD_STORE_WORK_H

#include "store/store_int.h"

struct queue {
    struct gd_list list;
    size_t n;
    bool waiting;      /* its thread sleeps until something comes */
    int64_t oldest_us; /* when the first one came, if groups form */
    pthread_cond_t cond;
    pthread_t thread;
    struct gd_store *store;
    void (*run)(struct gd_store *s,
                struct gd_list *group); /* all of it, one after the other; not the writer's */
    size_t at_once;
    bool used; /* has a thread; the last two only where the engine has it */
};
enum { GD_WRITES, GD_READS, GD_APART, GD_SOON, GD_QUEUES };

struct stats {
    int64_t commits, groups, last_us;
    bool spool_usable, has_room;
};

struct gd_store {
    const struct gd_store_engine *ops;
    struct gd_engine *engine;
    struct gd_log *log;
    struct gd_spool *spool;    /* [writer thread], see spool.c */
    struct gd_spool *restored; /* what a backup brought along, until it is replayed; or NULL */
    struct gd_list *spooling;  /* [writer thread] the group whose answers are being synced, or NULL */
    struct gd_ballast ballast; /* [writer thread] */
    struct gd_news news;
    int lock_fd;
    int64_t version;
    unsigned wait_us;
    size_t group_max;
    pthread_mutex_t lock; /* all from here to stats */
    struct queue queues[GD_QUEUES];
    struct gd_list finished;
    bool closing;
    unsigned threads, ended;
    struct stats stats;
    uv_async_t async;     /* from here: loop only */
    struct gd_list ready; /* finished, to be told */
    bool joined, handle_closing;
    void (*on_close)(void *);
    void *close_arg;
};

static inline void gd_move_all(struct gd_list *to, struct gd_list *from)
{
    for (struct gd_list *l; (l = gd_list_pop(from));)
        gd_list_add(to, l);
}

/* Real time, not the injected clock: this is about threads that wait for each other. */
int64_t gd_work_us(void);
void gd_work_init(struct gd_store *s);
void gd_work_spooled(struct gd_store *s); /* struct gd_store_host.spooled */
void gd_work_start(struct gd_store *s);   /* the engine is open */
void gd_work_join(struct gd_store *s);    /* all threads have ended */

#endif
