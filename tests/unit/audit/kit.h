/* kit.h - what the tests of the audit log share: a scratch folder, a log in it, records written to their end.
 */
#ifndef AUDIT_KIT_H
#define AUDIT_KIT_H

#include "audit/audit.h"
#include "base/mem.h"

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
    char dir[64], path[96], head[104], torn[104];
    uv_loop_t loop;
    struct gd_audit *a; /* NULL while closed */
    struct gd_audit_options o;
    unsigned char seed[32], key[32];
    int ended, refused; /* callbacks so far */
    struct gd_err err;  /* of the last refusal */
};

void kit_init(struct kit *k);
int kit_open(struct kit *k, struct gd_err *err);
void kit_close(struct kit *k);         /* NULL is fine; the loop ends with it */
void kit_close_running(struct kit *k); /* other things go on */
void kit_done(struct kit *k);
int kit_setup(void **state); /* struct kit, opened */
int kit_teardown(void **state);
/* Writes without waiting / n records and waits for all. */
void kit_send(struct kit *k, const char *act, const char *subject, json_t *data);
void kit_wait(struct kit *k, int ended);
void kit_write(struct kit *k, int n);
/* The whole file; caller frees. */
char *kit_read(const char *path, size_t *ret_n);
void kit_put(const char *path, const void *p, size_t n);
/* Verifies; the verdict's bad_line. */
int64_t kit_verify(const struct kit *k, struct gd_audit_verdict *v);
void kit_expect_whole(const struct kit *k);

#endif
