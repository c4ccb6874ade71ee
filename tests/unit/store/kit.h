/* kit.h - what the store's tests share: a scratch folder, a store opened in it, transactions run to their
 * end. */
#ifndef KIT_H
#define KIT_H

#include "base/mem.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct kit {
    char dir[64], path[96], spool[96], schema[32];
    unsigned lives; /* of kit_wipe */
    uv_loop_t loop;
    struct gd_store *s; /* NULL while closed */
    struct gd_store_options o;
    const struct gd_clock *clock; /* the system's, unless changed before kit_open */
};

/* What came back from one transaction; of the results those of the first statement. */
struct shot {
    int calls;
    int order; /* 1 for the first that ended in this process, and so on */
    enum gd_store_result r;
    struct gd_err err;
    int64_t changes, num;
    size_t rows;
    char text[256];
    bool null;
};

bool kit_shared(void);                                          /* which engine the suite runs on */
void kit_init(struct kit *k);                                   /* makes the folder, opens nothing */
int kit_open(struct kit *k, struct gd_err *err);                /* with the options as they are */
void kit_close(struct kit *k);                                  /* waits until it is closed */
void kit_wipe(struct kit *k);                                   /* a closed one: the database is gone */
void kit_done(struct kit *k);                                   /* closes, removes the folder */
void kit_send(struct kit *k, struct gd_tx *tx, struct shot *s); /* commit, not waited for */
void kit_wait(struct kit *k, const struct shot *s);
enum gd_store_result kit_commit(struct kit *k, struct gd_tx *tx, struct shot *s);
enum gd_store_result kit_read(struct kit *k, struct gd_tx *tx, struct shot *s);
void kit_scrub(struct kit *k, struct shot *s);
void kit_check(struct kit *k, struct shot *s);
/* INSERT of workspace "w", key and value into table kv; spool: record that goes along, or NULL. */
struct gd_tx *kit_put(struct kit *k, const char *key, int64_t v, const char *spool);
int64_t kit_value(struct kit *k, const char *key); /* -1: no such row */
int64_t kit_rows(struct kit *k);
int64_t kit_stat(struct kit *k, const char *name);
/* Records of the spool, joined by commas; caller frees. */
char *kit_replay(struct kit *k);

extern const struct gd_migration kit_migrations[2];

#endif
