/* audit/audit_int.h - of this room only. Who owns what: the loop thread makes records and hands them over;
 * the writer thread owns the file and the chain; between them, under the lock, two lists and a few flags. */
#ifndef GD_AUDIT_AUDIT_INT_H
#define GD_AUDIT_AUDIT_INT_H

#include "audit/audit.h"
#include "audit/chain.h"

#include "base/list.h"

#include <pthread.h>

#define ORIGIN_MAX 201

struct job { /* one record on its way to the disk */
    struct gd_list link;
    char *body; /* what stands between seq and prev */
    gd_audit_fn *done;
    void *arg;
    bool ok, heads; /* heads: of other nodes' logs */
};

struct place { /* how far the log is */
    struct chain chain;
    int64_t checkpoint; /* records under the last checkpoint */
    unsigned since;     /* records behind it */
    int64_t own;        /* records of this run that are neither checkpoints nor heads */
};
struct writer { /* [writer thread] */
    int fd;
    off_t size;               /* up to here the file is ours and synced */
    off_t rotate_at;          /* of this size it is closed */
    int64_t part;             /* number of the file in the chain, from 1 */
    struct place now, before; /* before: where the group began */
    struct gd_buf out;        /* the group */
    size_t written;           /* of out */
    char *note;               /* checkpoint in out that goes to the head file when the group is durable */
    int64_t note_own;         /* place.own under it */
    unsigned checkpoints;     /* in out */
    char *counts;             /* what the next checkpoint carries */
    bool counted;             /* one in out carries it already */
    bool broken;              /* nothing can be written; tried again every second */
    bool stuck;          /* a part of out is in the file and could not be taken back: the rest must follow */
    struct gd_list held; /* records that nobody waits for, until it works again */
    size_t nheld;
    int64_t refused, lost; /* records since it broke: refused to their callers; held no longer */
};

struct gd_audit {
    char *path, *head_path, *torn_path;
    char origin[ORIGIN_MAX], boot[40];
    unsigned char seed[32], pub[32];
    unsigned every;
    int64_t file_max;
    const struct gd_clock *clock;
    struct gd_log *log;
    struct writer w;
    pthread_t thread;

    /* loop thread */
    unsigned char key[32]; /* of gd_audit_hash */
    unsigned ratchets;     /* how often it was */
    json_t *heads;         /* origin: note, what is written of the other nodes' */
    json_t *heads_new;     /* and what is not yet */
    char *shown;           /* to other nodes */
    int64_t shown_own;     /* place.own of the last one that was shown */
    size_t outstanding;
    bool closing;
    uv_async_t async;
    uv_timer_t timer;
    unsigned handles; /* not yet closed */
    void (*closed)(void *);
    void *closed_arg;

    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct gd_list todo, done;
    size_t ntodo;
    bool hurry; /* somebody waits for one of todo */
    bool checkpoint_wanted, stop, stopped;
    char *counts;     /* JSON text for the next checkpoint, or NULL */
    char *last_note;  /* the newest checkpoint */
    int64_t last_own; /* place.own under it */
    int64_t records, checkpoint;
    char head[65];
    unsigned checkpoints;
    bool usable; /* also read without the lock */
};

/* heads.c */
#define GD_AUDIT_HEADS "audit.heads"
struct gd_audit_head { /* of one log, as another knows it; size 0: not at all */
    int64_t size;
    unsigned char root[32];
};
void gd_audit_write_heads(struct gd_audit *a); /* [loop] what is new */
/* The newest head of the log at path that the log at other has written down. */
int gd_audit_read_heads(const char *path, const char *other, struct gd_audit_head *ret, struct gd_err *err);

/* audit.c: the members of a record between seq and prev. Caller frees. */
char *gd_audit_body(const struct gd_audit *a, const struct gd_audit_entry *e);

/* writer.c */
void *gd_audit_writer(void *arg); /* the thread */
/* One act of our own, with data (stolen), into the group. */
void gd_audit_note_act(struct gd_audit *a, const char *act, json_t *data);
void gd_audit_checkpoint(struct gd_audit *a); /* into the group */
bool gd_audit_flush(struct gd_audit *a);      /* writes the group and syncs it; false: nothing of it counts */
void gd_audit_tell(struct gd_audit *a);       /* what status shows */

/* rotate.c [writer thread] */
void gd_audit_rotate(struct gd_audit *a); /* closes the file and goes on in a new one; or stays */
int gd_audit_append(
    struct writer *w); /* writer.c: writes what is left of the group and syncs; 0 or an errno */
void gd_audit_group_done(struct gd_audit *a);
void gd_audit_forget_group(struct writer *w);
/* path.0001, of the part of that number. Caller frees. */
char *gd_audit_part_path(const char *path, int64_t part);
/* After a crash between the two steps of a rotation the file has both names: undoes the first step. */
bool gd_audit_undo_rotation(struct gd_audit *a, int fd);
void gd_audit_sync_folder(const char *path);
/* What the first record of a file says: origin, key, number of the file; nodes (borrowed from *ret_data,
 * owned by the caller) only for a file that goes on. False when it is no first record. */
bool gd_audit_first(const char *line, size_t n, char origin[ORIGIN_MAX], unsigned char pub[32],
                    int64_t *ret_part, json_t **ret_data);
/* The oldest closed file there is; 0: none. */
int64_t gd_audit_oldest(const char *path);
bool gd_audit_has_part(const char *path, int64_t part);

/* recover.c: opens the file, checks its end, cuts a torn line. Sets w->fd, size, now. */
int gd_audit_recover(struct gd_audit *a, json_t **ret_torn, struct gd_err *err);
/* Reads the checkpoint that the file path.head keeps; 0 when there is none (size 0). */
int gd_audit_read_head(const char *head_path, const char *origin, const unsigned char pub[32],
                       int64_t *ret_size, unsigned char root[32], struct gd_err *err);
/* The note and the nodes in a checkpoint's line; false when they are not there. Caller owns *ret. */
bool gd_audit_line_data(const char *line, size_t n, json_t **ret);

#endif
