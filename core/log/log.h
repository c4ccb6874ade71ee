/* log/log.h - one JSON object a line, with fields inherited from the object that logs. A secret is printed as
 * the first 8 hex digits of a keyed hash. Only edges (daemon, rpc, portal, sched) log above debug; rooms
 * carry errors up.
 *
 *   GD_LOG(log, GD_LOG_INFO, "refresh.done", GD_F_STR("credential", id), GD_F_INT("gen", gen));
 *
 * Loop thread and worker threads alike may write; lines are never torn (one write(2) each). */
#ifndef GD_LOG_LOG_H
#define GD_LOG_LOG_H

#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"

enum gd_log_level { GD_LOG_DEBUG, GD_LOG_INFO, GD_LOG_WARN, GD_LOG_ERROR };

enum gd_field_kind { GD_FIELD_END, GD_FIELD_STR, GD_FIELD_INT, GD_FIELD_BOOL, GD_FIELD_SECRET, GD_FIELD_ERR };
struct gd_field {
    enum gd_field_kind kind;
    const char *key;
    union {
        const char *str;
        int64_t num;
        const struct gd_secret *secret;
        const struct gd_err *err; /* becomes "reason" and "error" */
    } u;
};
#define GD_F_STR(k, v)                                 \
    {                                                  \
        .kind = GD_FIELD_STR, .key = (k), .u.str = (v) \
    }
#define GD_F_INT(k, v)                                          \
    {                                                           \
        .kind = GD_FIELD_INT, .key = (k), .u.num = (int64_t)(v) \
    }
#define GD_F_BOOL(k, v)                                 \
    {                                                   \
        .kind = GD_FIELD_BOOL, .key = (k), .u.num = (v) \
    }
#define GD_F_SECRET(k, v)                                    \
    {                                                        \
        .kind = GD_FIELD_SECRET, .key = (k), .u.secret = (v) \
    }
#define GD_F_ERR(v)                                        \
    {                                                      \
        .kind = GD_FIELD_ERR, .key = "error", .u.err = (v) \
    }

struct gd_log;

/* Root: writes to fd (kept open by the caller), lines below level are dropped. hash_key: 32 random bytes for
 * printing secrets. */
struct gd_log *gd_log_new(int fd, enum gd_log_level level, const struct gd_clock *clock,
                          const unsigned char hash_key[32]);
/* Child with one more field on every line; the strings are copied. The parent must outlive it. */
struct gd_log *gd_log_child(struct gd_log *parent, const char *key, const char *value);
void gd_log_free(struct gd_log *log); /* NULL is fine */
void gd_log_set_level(struct gd_log *log, enum gd_log_level level);
bool gd_log_wants(const struct gd_log *log, enum gd_log_level level);
/* A NULL log drops the line. */
void gd_log_write(struct gd_log *log, enum gd_log_level level, const char *event,
                  const struct gd_field *fields);
#define GD_LOG(log, level, event, ...) \
    gd_log_write((log), (level), (event), (const struct gd_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })
bool gd_log_level_parse(const char *text, enum gd_log_level *ret);

#endif
