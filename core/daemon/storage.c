/* daemon/storage.c - what is done to the stores as a whole while the daemon works: backups, checks. A worker
 * thread does it, on connections of its own; the loop only begins it and hands its end out. */
#include "store/backup.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/keyring.h"
#include "daemon/daemon.h"

#include <string.h>

#define ANSWER_MS 300

struct job {
    uv_work_t req;
    struct gd_daemon *d;
    enum { BACKUP, CHECK, MIGRATE } what;
    struct gd_moving *moving;
    uv_timer_t pause;
    json_t *params;
    json_t *about; /* of a backup: what its manifest says beside the tables */
    unsigned char seed[32], pub[32];
    gd_reply_fn *reply;
    void *arg;
    json_t *result;
    struct gd_err err;
    bool failed;
};

/* ---- [worker] backup ---- */

static int64_t sum_of(const json_t *list, const char *member)
{
    int64_t sum = 0;
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)list, i, one) sum += gd_json_i64(one, member, 0);
    return sum;
}

static int64_t bytes_of(const json_t *manifest)
{
    int64_t sum = 0;
    const char *name;
    json_t *one;

    json_object_foreach(json_object_get(manifest, "files"), name, one) sum += gd_json_i64(one, "bytes", 0);
    return sum;
}

static int backup_one(struct job *j, const char *dir, bool keys, json_t *list)
{
    struct gd_store_options o = gd_daemon_store_options(j->d, keys);
    struct gd_backup b = { .dir = dir,
                           .kind = keys ? "keyring" : "data",
                           .store = &o,
                           .about = j->about,
                           .sign_seed = j->seed,
                           .stop = &j->d->stop_jobs,
                           .log = j->d->log };
    GD_AUTO_JSON manifest = NULL;
    GD_AUTO_FREE void *spool = NULL;

    if (!keys && gd_store_spool_copy(j->d->store, &spool, &b.nspool, &j->err) < 0)
        return -1;
    b.spool = spool;
    if (gd_backup_make(&b, &manifest, &j->err) < 0)
        return -1;
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "kind", b.kind, "dir", dir, "id",
                                          gd_json_text(manifest, "id", ""), "made_at",
                                          gd_json_text(manifest, "made_at", ""), "rows",
                                          (json_int_t)sum_of(json_object_get(manifest, "tables"), "rows"),
                                          "bytes", (json_int_t)bytes_of(manifest)));
    return 0;
}

/* The keyring last: then it has every key that the data needs. */
static int backup(struct job *j)
{
    const char *to = gd_json_text(j->params, "to", NULL), *keys = gd_json_text(j->params, "keyring_to", NULL);
    json_t *list = json_array();

    j->result = json_pack("{s:o}", "backups", list);
    if (!to && !keys)
        return gd_err_set(&j->err, GD_R_PARAM_INVALID, "say where: --to, --keyring-to, or both");
    if (to && backup_one(j, to, false, list) < 0)
        return -1;
    return keys ? backup_one(j, keys, true, list) : 0;
}

/* ---- [worker] check ---- */

/* Sums of all tables of a store; caller frees with json_decref. */
static json_t *sums_of(struct job *j, const struct gd_store_options *o)
{
    struct gd_tables t;
    struct gd_digest *d;
    struct gd_view *v;
    json_t *out = NULL;

    if (gd_tables_of(&t, o->migrations, o->nmigrations, &j->err) < 0)
        return NULL;
    d = gd_new_array(t.n + 1, sizeof *d);
    if (gd_view_open(&v, o, j->d->log, &j->err) == 0) {
        if (gd_copy_out(v, &t, d, NULL, NULL, &j->d->stop_jobs, &j->err) == 0)
            out = gd_digests_json(d, t.n);
        gd_view_close(v);
    }
    gd_free(d);
    gd_tables_done(&t);
    return out;
}

/* Adds what the other store has; how many tables differ. */
static int64_t compare(const json_t *tables, const json_t *others)
{
    int64_t differences = 0;
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)tables, i, one)
    {
        const json_t *other = json_array_get(others, i);
        bool same = json_equal(one, other);

        json_object_set(one, "other_rows", json_object_get(other, "rows"));
        json_object_set(one, "other_sha256", json_object_get(other, "sha256"));
        json_object_set_new(one, "same", json_boolean(same));
        differences += !same;
    }
    return differences;
}

static int check_store(struct job *j, const char *with)
{
    bool keys = gd_json_bool(j->params, "keyring", false);
    struct gd_store_options o = gd_daemon_store_options(j->d, keys);
    json_t *tables = sums_of(j, &o);
    GD_AUTO_JSON others = NULL;
    int64_t differences = 0;

    if (!tables)
        return -1;
    j->result =
        json_pack("{s:s, s:I, s:I, s:o}", "kind", keys ? "keyring" : "data", "version",
                  (json_int_t)o.nmigrations, "rows", (json_int_t)sum_of(tables, "rows"), "tables", tables);
    if (with) {
        o = gd_daemon_store_at(j->d, with, gd_json_text(j->params, "password_file", NULL), keys);
        others = sums_of(j, &o);
        if (!others)
            return -1;
        differences = compare(tables, others);
    }
    json_object_set_new(j->result, "ok", json_boolean(differences == 0));
    json_object_set_new(j->result, "differences", json_integer((json_int_t)differences));
    return 0;
}

static int check_backup(struct job *j, const char *dir)
{
    struct gd_store_options o;
    GD_AUTO_JSON m = NULL;
    GD_AUTO_JSON said = gd_backup_manifest(dir);
    const char *kind = gd_json_text(said, "kind", "");

    o = gd_daemon_store_options(j->d, !strcmp(kind, "keyring"));
    if (gd_backup_check(dir, strcmp(kind, "keyring") != 0 ? "data" : kind, j->pub, o.migrations,
                        o.nmigrations, &m, &j->err) < 0)
        return -1;
    j->result = json_pack("{s:b, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:O}", "ok", 1, "kind", kind, "id",
                          gd_json_text(m, "id", ""), "made_at", gd_json_text(m, "made_at", ""), "node",
                          gd_json_text(m, "node", ""), "version",
                          (json_int_t)gd_json_i64(json_object_get(m, "schema"), "version", 0), "rows",
                          (json_int_t)sum_of(json_object_get(m, "tables"), "rows"), "differences",
                          (json_int_t)0, "tables", json_object_get(m, "tables"));
    return 0;
}

static int check(struct job *j)
{
    const char *dir = gd_json_text(j->params, "backup", NULL), *with = gd_json_text(j->params, "with", NULL);

    if ((dir && *dir != '/') || (dir && with))
        return gd_err_set(&j->err, GD_R_PARAM_INVALID,
                          "one backup, by its absolute path, or one other store: the daemon looks there");
    if (with && gd_daemon_check_place(with, &j->err) < 0)
        return -1;
    return dir ? check_backup(j, dir) : check_store(j, with);
}

/* ---- [worker] migrate: could it be done? ---- */

static int check_target(struct job *j)
{
    if (!j->moving || gd_moving_check(j->moving, &j->err) < 0)
        return -1;
    j->result = gd_moving_json(j->moving);
    return 0;
}

/* ---- begin and end ---- */

static void work(uv_work_t *req)
{
    struct job *j = gd_container_of(req, struct job, req);

    j->failed = (j->what == BACKUP ? backup(j) : j->what == CHECK ? check(j) : check_target(j)) < 0;
}

static void job_end(struct job *j)
{
    struct gd_daemon *d = j->d;

    gd_moving_free(j->moving);
    json_decref(j->result);
    json_decref(j->about);
    json_decref(j->params);
    gd_free(j); /* wipes the seed */
    gd_daemon_job_end(d);
}

/* Once: a job that comes after that was refused because the daemon stops. */
static void tell_end_of_jobs(struct gd_daemon *d)
{
    void (*done)(void *) = d->jobs_done;

    if (d->jobs || !done)
        return;
    d->jobs_done = NULL;
    done(d->jobs_arg);
}

void gd_daemon_job_end(struct gd_daemon *d)
{
    d->jobs--;
    tell_end_of_jobs(d);
}

static void on_answer_gone(uv_handle_t *h)
{
    struct job *j = h->data;
    struct gd_daemon *d = j->d;
    bool stopped = d->stopping;

    if (stopped) { /* somebody ends it meanwhile: nothing moves */
        gd_moving_free(d->moving);
        d->moving = NULL;
    }
    job_end(j);
    if (!stopped)
        gd_daemon_restart(d, "everything moves into another store");
}

static void on_pause_over(uv_timer_t *t)
{
    uv_close((uv_handle_t *)t, on_answer_gone);
}

static void after_work(uv_work_t *req, int status)
{
    struct job *j = gd_container_of(req, struct job, req);
    struct gd_daemon *d = j->d;

    if (status < 0 || (!j->failed && j->what == MIGRATE && (d->stopping || d->moving)))
        j->failed = gd_err_set(&j->err, GD_R_SHUTTING_DOWN, "the daemon stops") < 0;
    j->reply(j->arg, j->failed ? NULL : j->result, j->failed ? &j->err : NULL);
    if (j->failed || j->what != MIGRATE) {
        job_end(j);
        return;
    }
    d->moving = j->moving;
    j->moving = NULL;
    j->pause.data = j;
    uv_timer_init(&d->loop, &j->pause);
    uv_timer_start(&j->pause, on_pause_over, ANSWER_MS, 0); /* the answer is recorded and leaves first */
}

/* What a manifest says beside the tables: of when and by whom, and how far the audit log was then. */
static json_t *about(struct gd_daemon *d)
{
    GD_AUTO_JSON audit = gd_audit_status(d->audit);
    char id[GD_ID_TEXT_MAX], at[32];

    gd_id_make(id, "bk", gd_now(d->clock), d->rng);
    gd_time_text(at, gd_now(d->clock));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:{s:O, s:O, s:O}}", "id", id, "made_at", at, "node", d->node,
                     "by", "grantd " GRANTD_VERSION, "root",
                     gd_key_root(d->keyring, d->rng, gd_now(d->clock)), "audit", "records",
                     json_object_get(audit, "records"), "head", json_object_get(audit, "head"), "checkpoint",
                     json_object_get(audit, "checkpoint"));
}

void gd_daemon_storage(void *arg, const char *method, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    struct gd_daemon *d = arg;
    struct job *j = gd_new(sizeof *j);

    *j = (struct job){ .d = d,
                       .what = !strcmp(method, "store.backup")    ? BACKUP
                               : !strcmp(method, "store.migrate") ? MIGRATE
                                                                  : CHECK,
                       .params = json_incref(params),
                       .reply = reply,
                       .arg = reply_arg };
    gd_keyring_derive(d->keyring, "audit", j->seed);
    gd_ed25519_public(j->pub, j->seed);
    j->about = about(d);
    if (j->what == MIGRATE)
        j->moving = gd_moving_new(d, gd_json_text(params, "to", ""),
                                  gd_json_text(params, "password_file", NULL), &j->err);
    d->jobs++;
    uv_queue_work(&d->loop, &j->req, work, after_work);
}

void gd_daemon_storage_stop(struct gd_daemon *d, void (*done)(void *), void *arg)
{
    atomic_store(&d->stop_jobs, true);
    if (!done)
        return;
    d->jobs_done = done;
    d->jobs_arg = arg;
    tell_end_of_jobs(d);
}
