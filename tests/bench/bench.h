/* bench.h - what the programs of this folder share: keys, the values that belong to them, time, and what a
 * server has cost so far. These programs measure; a mistake of any kind ends them. */
#ifndef GD_BENCH_H
#define GD_BENCH_H

#include "base/id.h"

#include <stddef.h>
#include <stdint.h>

#define BENCH_VALUE_MAX 4096

_Noreturn void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The token that belongs to a key: n plain characters that follow from the id alone, so that every reply can
 * be checked without keeping the values. */
void bench_value(char *out, size_t n, const struct gd_id *id);

/* The i-th id that is a number: as long as any other, and made by whoever can count. */
#define BENCH_NUMBERED INT64_C(1000000000000000000)
void bench_numbered(char out[GD_ID_TEXT_MAX], const char *prefix, int64_t i);

/* A file of ids, 16 bytes each, mapped. */
struct bench_ids {
    const struct gd_id *at;
    size_t n;
};
void bench_ids_open(struct bench_ids *ids, const char *path);

int64_t bench_now_ns(void);
/* CPU time of all threads of a process in nanoseconds; 0 for pid 0. */
int64_t bench_cpu_ns(int pid);
/* A number of the command line within min..max. */
int64_t bench_number(const char *text, int64_t min, int64_t max);
/* Connected, or listening, Unix stream socket. */
int bench_connect(const char *path);
int bench_listen(const char *path);

/* Times in buckets of about 1.5 %: for percentiles of millions. */
#define BENCH_BUCKETS (64 * 40)
struct bench_times {
    uint64_t count, buckets[BENCH_BUCKETS];
};
void bench_times_add(struct bench_times *t, int64_t ns);
double bench_times_us(const struct bench_times *t, double share); /* 0.5: the median */

#endif
