/* store/postgresql/pipe.c - a row of commands down one connection. libpq keeps what the socket does not take
 * yet; answers are read as they come, so that neither side ever waits for the other with full hands. After
 * the first refusal the server skips everything up to the next Sync. */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define INT8_TYPE 20 /* pg_type.h; what whole numbers are declared as, else $1 > 0 would be 32 bits wide */

void gd_pg_run_init(struct gd_pg_run *r, struct gd_pg_conn *c, int64_t until)
{
    *r = (struct gd_pg_run){ .c = c, .until = until, .failed = SIZE_MAX };
}

void gd_pg_run_done(struct gd_pg_run *r)
{
    gd_free(r->items);
}

static void lose(struct gd_pg_run *r, bool slow)
{
    const char *message = PQerrorMessage(r->c->pg);

    if (r->lost)
        return;
    r->lost = true;
    r->slow = slow;
    if (slow)
        gd_err_set(&r->err, GD_R_STORE_SLOW, "the database did not answer in time");
    else if (r->failed == SIZE_MAX)
        gd_err_set(&r->err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost: %.*s",
                   (int)strcspn(message, "\r\n"), message);
}

/* ---- answers
 * ------------------------------------------------------------------------------------------------- */

static bool keep_rows(struct gd_tx *tx, struct gd_stmt *st, const PGresult *res)
{
    int ncols = PQnfields(res);
    struct gd_param value;

    for (int i = 0; i < PQntuples(res); i++) {
        struct gd_param *cells = gd_tx_row(tx, st, (size_t)ncols);

        if (!cells)
            return false;
        for (int k = 0; k < ncols; k++) {
            gd_pg_value(res, i, k, &value);
            if (!gd_tx_cell(tx, &cells[k], &value))
                return false;
        }
    }
    return true;
}

static void refuse(struct gd_pg_run *r, const char *state, const struct gd_err *err)
{
    if (r->failed != SIZE_MAX)
        return;
    r->failed = r->got;
    (void)snprintf(r->state, sizeof r->state, "%s", state);
    r->err = *err;
}

static void take_result(struct gd_pg_run *r, const struct gd_pg_item *it, PGresult *res)
{
    bool counts = strncmp(PQcmdStatus(res), "SELECT", 6) != 0;
    struct gd_err err = { 0 };
    int64_t n;

    if (it->kind == GD_PG_PREPARE)
        it->slot->ready = true;
    if (it->kind != GD_PG_STMT || !it->st)
        return;
    if (counts && gd_parse_i64(PQcmdTuples(res), &n))
        it->st->changes = n;
    it->st->got = true;
    if (!gd_pg_types_known(res))
        gd_err_set(&err, GD_R_STORE_FAILED, "a result is of a type that the store does not know");
    else if (!keep_rows(it->tx, it->st, res))
        gd_err_set(&err, GD_R_LIMIT_REACHED, "the result is larger than a transaction may hold");
    if (err.text[0])
        refuse(r, "", &err);
}

static void take_error(struct gd_pg_run *r, const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    struct gd_err err = { 0 };

    if (PQstatus(r->c->pg) == CONNECTION_BAD && !state) {
        lose(r, false);
        return;
    }
    gd_pg_explain(&err, state ? state : "", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
    refuse(r, state ? state : "", &err);
    if (PQstatus(r->c->pg) == CONNECTION_BAD || gd_pg_reason(r->state) == GD_R_STORE_UNREACHABLE ||
        !strcmp(r->state, GD_PG_UNKNOWN))
        lose(r, false);
}

/* One result, or the NULL that ends a command. */
static void take(struct gd_pg_run *r, PGresult *res)
{
    const struct gd_pg_item *it = &r->items[r->got];

    if (!res) {
        if (!r->answered && (PQstatus(r->c->pg) == CONNECTION_BAD || gd_pg_now() >= r->until))
            lose(r, PQstatus(r->c->pg) != CONNECTION_BAD); /* nothing more will come */
        r->got += r->answered;
        r->answered = false;
        return;
    }
    switch (PQresultStatus(res)) {
    case PGRES_PIPELINE_SYNC: /* no NULL follows */
        r->got++;
        r->answered = false;
        break;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        take_result(r, it, res);
        r->answered = true;
        break;
    case PGRES_PIPELINE_ABORTED:
        r->answered = true;
        break;
    default:
        take_error(r, res);
        r->answered = true;
    }
    PQclear(res);
}

/* ---- the socket
 * ----------------------------------------------------------------------------------------------- */

static void exchange(struct gd_pg_run *r)
{
    int64_t left = r->until - gd_pg_now();
    int unsent = PQflush(r->c->pg);
    struct pollfd p = { .fd = PQsocket(r->c->pg), .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0)) };

    if (left <= 0) {
        lose(r, true);
        return;
    }
    if (p.fd < 0 || (poll(&p, 1, (int)(left < 1000 ? left : 1000)) < 0 && errno != EINTR)) {
        lose(r, false);
        return;
    }
    /* What the server said before it closed is read first: it may say why. */
    if ((p.revents & ~POLLOUT) && !PQconsumeInput(r->c->pg) && PQisBusy(r->c->pg))
        lose(r, false);
}

/* Until upto commands are answered. */
static void pump(struct gd_pg_run *r, size_t upto)
{
    while (r->got < upto && !r->lost) {
        if (PQisBusy(r->c->pg)) {
            exchange(r);
            continue;
        }
        take(r, PQgetResult(r->c->pg));
    }
}

/* ---- commands
 * ------------------------------------------------------------------------------------------------- */

static void add(struct gd_pg_run *r, struct gd_pg_item item, int sent)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->items = gd_resize(r->items, r->cap * sizeof *r->items);
    }
    r->items[r->n++] = item;
    if (!sent)
        lose(r, false);
    if (!r->stepwise || r->lost || item.kind == GD_PG_PREPARE)
        return;
    gd_pg_flush(r);
    pump(r, r->n);
}

void gd_pg_command(struct gd_pg_run *r, const char *text)
{
    if (!r->lost)
        add(r, (struct gd_pg_item){ .kind = GD_PG_COMMAND },
            PQsendQueryParams(r->c->pg, text, 0, NULL, NULL, NULL, NULL, 1));
}

void gd_pg_begin(struct gd_pg_run *r, const char *mode)
{
    GD_AUTO_FREE char *text = gd_strf("BEGIN ISOLATION LEVEL %s", mode);

    gd_pg_command(r, text);
    if (r->c->engine->unprepared) /* the next transaction may be on another connection of the pooler */
        gd_pg_command(r, r->c->engine->search_path);
}

void gd_pg_flush(struct gd_pg_run *r)
{
    if (!r->lost && !PQsendFlushRequest(r->c->pg))
        lose(r, false);
}

static struct gd_pg_sql *slot_of(struct gd_pg_conn *c, const struct gd_sql *sql)
{
    size_t i = ((uintptr_t)sql >> 3) * 0x9e3779b1u & (GD_PG_SLOTS - 1);

    while (c->slots[i].sql && c->slots[i].sql != sql)
        i = (i + 1) & (GD_PG_SLOTS - 1);
    return &c->slots[i];
}

/* The statement as it is kept for the life of the process; NULL when it is not worth that. */
static struct gd_pg_sql *kept(struct gd_pg_conn *c, const struct gd_tx *tx, const struct gd_stmt *st)
{
    struct gd_pg_sql *s = slot_of(c, st->sql);

    if (s->sql)
        return s;
    if (tx->once || c->count >= GD_PG_SLOTS / 2)
        return NULL;
    s->sql = st->sql;
    s->text = gd_pg_translate(st->sql->text, st->nparams, c->engine->era, &s->travels);
    (void)snprintf(s->name, sizeof s->name, "s%zu", ++c->count);
    return s;
}

struct params {
    char numbers[GD_STORE_PARAMS_MAX + 1][24];
    const char *values[GD_STORE_PARAMS_MAX + 1];
    int lengths[GD_STORE_PARAMS_MAX + 1], formats[GD_STORE_PARAMS_MAX + 1];
    Oid types[GD_STORE_PARAMS_MAX + 1];
    int n;
};

static void set_number(struct params *p, int64_t v)
{
    int i = p->n++;

    (void)snprintf(p->numbers[i], sizeof p->numbers[i], "%lld", (long long)v);
    p->values[i] = p->numbers[i];
    p->formats[i] = 0;
    p->lengths[i] = 0;
    p->types[i] = INT8_TYPE;
}

/* Text goes as it is, too: what the server takes it for follows from where it stands. */
static void set_params(struct params *p, const struct gd_stmt *st)
{
    p->n = 0;
    for (size_t i = 0; i < st->nparams; i++) {
        const struct gd_param *v = &st->params[i];

        if (v->kind == GD_PARAM_INT) {
            set_number(p, v->num);
            continue;
        }
        p->values[p->n] = v->kind == GD_PARAM_NULL ? NULL : v->p ? v->p : "";
        p->lengths[p->n] = (int)v->n;
        p->formats[p->n] = 1;
        p->types[p->n++] = 0;
    }
}

static int64_t ahead(const struct gd_engine *e)
{
    return e->host.clock == gd_clock_system() ? 0 : gd_now(e->host.clock) - gd_now(gd_clock_system());
}

static void send_unkept(struct gd_pg_run *r, struct gd_tx *tx, struct gd_stmt *st, struct params *p)
{
    bool travels;
    GD_AUTO_FREE char *text = gd_pg_translate(st->sql->text, st->nparams, r->c->engine->era, &travels);

    if (travels)
        set_number(p, ahead(r->c->engine));
    add(r, (struct gd_pg_item){ GD_PG_STMT, tx, st, NULL },
        PQsendQueryParams(r->c->pg, text, p->n, p->types, p->values, p->lengths, p->formats, 1));
}

static void send_kept(struct gd_pg_run *r, struct gd_tx *tx, struct gd_stmt *st, struct params *p,
                      struct gd_pg_sql *s)
{
    PGconn *pg = r->c->pg;

    if (s->travels)
        set_number(p, ahead(r->c->engine));
    if (r->c->engine->unprepared) {
        add(r, (struct gd_pg_item){ GD_PG_STMT, tx, st, NULL },
            PQsendQueryParams(pg, s->text, p->n, p->types, p->values, p->lengths, p->formats, 1));
        return;
    }
    if (!s->ready && !s->asked)
        add(r, (struct gd_pg_item){ .kind = GD_PG_PREPARE, .slot = s },
            PQsendPrepare(pg, s->name, s->text, p->n, p->types));
    s->asked = true;
    if (!r->lost)
        add(r, (struct gd_pg_item){ GD_PG_STMT, tx, st, s },
            PQsendQueryPrepared(pg, s->name, p->n, p->values, p->lengths, p->formats, 1));
}

void gd_pg_stmt(struct gd_pg_run *r, struct gd_tx *tx, struct gd_stmt *st)
{
    struct gd_pg_sql *s;
    struct params p;

    st->got = false;
    if (r->lost)
        return;
    set_params(&p, st);
    s = kept(r->c, tx, st);
    if (s)
        send_kept(r, tx, st, &p, s);
    else
        send_unkept(r, tx, st, &p);
}

/* What was asked for and skipped has to be asked for again. */
static void forget_asked(struct gd_pg_run *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].kind == GD_PG_PREPARE)
            r->items[i].slot->asked = false;
}

int gd_pg_end(struct gd_pg_run *r)
{
    if (!r->lost)
        add(r, (struct gd_pg_item){ .kind = GD_PG_SYNC }, PQpipelineSync(r->c->pg));
    pump(r, r->n);
    forget_asked(r);
    if (r->lost)
        gd_pg_drop(r->c);
    return r->lost || r->failed != SIZE_MAX ? -1 : 0;
}

int gd_pg_ask(struct gd_pg_conn *c, struct gd_tx *tx, int64_t until, struct gd_err *err)
{
    bool framed = c->engine->unprepared;
    struct gd_pg_run r;
    int rc;

    gd_pg_run_init(&r, c, until);
    if (framed)
        gd_pg_begin(&r, "READ COMMITTED");
    for (size_t i = 0; i < tx->nstmts; i++)
        gd_pg_stmt(&r, tx, &tx->stmts[i]);
    if (framed)
        gd_pg_command(&r, "COMMIT");
    rc = gd_pg_end(&r);
    if (rc < 0)
        gd_err_set(err, r.err.reason, "%s", r.err.text);
    if (rc < 0 && framed)
        gd_pg_drop(c);
    gd_pg_run_done(&r);
    return rc;
}
