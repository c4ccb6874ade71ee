/* grant/record.c - two forms of bytes: a credential's secrets before they are sealed, and what a refresh
 * brought, sealed, as the spool keeps it: "GDV", the version of the form, flags, the numbers (eight bytes
 * each, little endian), then the texts and what was sealed, each as a length and that many bytes. A text's
 * length counts the NUL behind it, 0 is none. What flows bring, and what the first releases wrote for
 * refreshes too, is JSON and begins with a brace.
 *
 * Every refresh writes one and reads it again: the statements are made from the bytes, on the live path as
 * after a crash. */
#include "grant/broker_int.h"

#include <string.h>

/* ---- the blob: a credential's secrets as they are sealed. "GB1", then three lines of a length and that many
 * bytes, or "-" for none: access token, refresh token, what the platform wants kept (JSON). Not JSON as a
 * whole: each refresh opens one and makes one. ---- */

static const char blob_mark[] = "GB1\n";

static void add_field(struct gd_buf *b, const char *s)
{
    char text[24], *p = text + sizeof text;
    size_t n = s ? strlen(s) : 0;

    if (!s) {
        gd_buf_adds(b, "-\n");
        return;
    }
    *--p = ' ';
    for (size_t left = n; left || p == text + sizeof text - 1; left /= 10)
        *--p = (char)('0' + left % 10);
    gd_buf_add(b, p, (size_t)(text + sizeof text - p));
    gd_buf_add(b, s, n);
    gd_buf_addc(b, '\n');
}

char *gd_blob_make(const char *access, const char *refresh, const json_t *kept)
{
    GD_AUTO_FREE char *kept_text = json_object_size(kept) ? gd_json_dump(kept) : NULL;
    struct gd_buf b;

    gd_buf_init(&b, SIZE_MAX / 2);
    gd_buf_adds(&b, blob_mark);
    add_field(&b, access);
    add_field(&b, refresh);
    add_field(&b, kept_text);
    return gd_buf_steal(&b);
}

/* Ends the field in place; *p becomes what follows it. False: this is no field. */
static bool next_field(char **p, char **ret)
{
    size_t n = 0;
    char *s = *p;

    if (!strncmp(s, "-\n", 2)) {
        *ret = NULL;
        *p = s + 2;
        return true;
    }
    while (*s >= '0' && *s <= '9' && n <= GD_CRED_BLOB_MAX)
        n = n * 10 + (size_t)(*s++ - '0');
    if (s == *p || *s++ != ' ' || n > GD_CRED_BLOB_MAX || strnlen(s, n + 1) < n + 1 || s[n] != '\n')
        return false;
    s[n] = '\0';
    *ret = s;
    *p = s + n + 1;
    return true;
}

/* The first version was JSON. */
static int read_json(struct gd_blob *ret, const char *text, struct gd_err *err)
{
    json_t *j = gd_json_parse(text, strlen(text), GD_CRED_BLOB_MAX, err);

    if (!j)
        return -1;
    *ret = (struct gd_blob){ .access = gd_json_text(j, "access_token", NULL),
                             .refresh = gd_json_text(j, "refresh_token", NULL),
                             .kept = json_incref(json_object_get(j, "kept")),
                             .from = j };
    return 0;
}

int gd_blob_read(struct gd_blob *ret, char *text, struct gd_err *err)
{
    struct gd_blob blob = { 0 };
    char *p = text + sizeof blob_mark - 1, *access, *refresh, *kept;

    if (strncmp(text, blob_mark, sizeof blob_mark - 1) != 0)
        return read_json(ret, text, err);
    if (!next_field(&p, &access) || !next_field(&p, &refresh) || !next_field(&p, &kept) || *p)
        return gd_err_set(err, GD_R_SEAL_FORMAT, "what was sealed is not whole");
    blob.access = access;
    blob.refresh = refresh;
    if (kept && !(blob.kept = gd_json_parse(kept, strlen(kept), GD_CRED_BLOB_MAX, err)))
        return -1;
    *ret = blob;
    return 0;
}

void gd_blob_done(struct gd_blob *blob)
{
    json_decref(blob->kept);
    json_decref(blob->from);
    *blob = (struct gd_blob){ 0 };
}

json_t *gd_blob_json(char *text, struct gd_err *err)
{
    struct gd_blob blob;
    json_t *j;

    if (gd_blob_read(&blob, text, err))
        return NULL;
    j = json_object();
    json_object_set_new(j, "access_token", gd_text_json(blob.access));
    json_object_set_new(j, "refresh_token", gd_text_json(blob.refresh));
    json_object_set_new(j, "kept", blob.kept ? json_incref(blob.kept) : json_object());
    gd_blob_done(&blob);
    return j;
}

/* ---- the record ---- */

#define FORM  '1'
#define HEAD  5 /* mark, form, flags */
#define NTEXT 9
#define NNUM  10

enum { IS_NEW = 1, REJECTED = 2 };

static const char mark[3] = { 'G', 'D', 'V' };

static void list_texts(const struct gd_version *v, const char *to[NTEXT])
{
    const char *const all[NTEXT] = { v->workspace, v->client,     v->app,          v->cred, v->attempt,
                                     v->intent,    v->account_id, v->account_name, v->scope };

    memcpy(to, all, sizeof all);
}

static void put(unsigned char **p, uint64_t v, int n)
{
    for (; n; n--, v >>= 8)
        *(*p)++ = (unsigned char)v;
}

static void put_block(unsigned char **p, const void *from, size_t n)
{
    put(p, n, 4);
    if (n)
        memcpy(*p, from, n);
    *p += n;
}

unsigned char *gd_record_write(const struct gd_version *v, size_t *ret_n)
{
    const int64_t nums[NNUM] = { v->gen,        v->at,  v->issued_at, v->expires_at, v->refresh_expires_at,
                                 v->horizon_at, v->due, v->grace,     v->shape,      v->retry_class };
    size_t need = HEAD + NNUM * 8 + (NTEXT + 1) * 4 + v->nsealed, lens[NTEXT];
    const char *texts[NTEXT];
    unsigned char *out, *p;

    list_texts(v, texts);
    for (size_t i = 0; i < NTEXT; i++)
        need += lens[i] = texts[i] ? strlen(texts[i]) + 1 : 0;
    out = p = gd_new(need);
    memcpy(p, mark, sizeof mark);
    p[3] = FORM;
    p[4] = (v->is_new ? IS_NEW : 0) | (v->rejected ? REJECTED : 0);
    p += HEAD;
    for (size_t i = 0; i < NNUM; i++)
        put(&p, (uint64_t)nums[i], 8);
    for (size_t i = 0; i < NTEXT; i++)
        put_block(&p, texts[i], lens[i]);
    put_block(&p, v->sealed, v->nsealed);
    *ret_n = need;
    return out;
}

struct reading {
    const unsigned char *p;
    size_t left;
    bool bad;
};

static uint64_t get(struct reading *r, size_t n)
{
    uint64_t v = 0;

    if (r->left < n) {
        r->bad = true;
        return 0;
    }
    for (size_t i = n; i; i--)
        v = v << 8 | r->p[i - 1];
    r->p += n;
    r->left -= n;
    return v;
}

static const unsigned char *get_block(struct reading *r, size_t *ret_n)
{
    const unsigned char *p;

    *ret_n = (size_t)get(r, 4);
    r->bad |= *ret_n > r->left;
    if (r->bad)
        return NULL;
    p = r->p;
    r->p += *ret_n;
    r->left -= *ret_n;
    return p;
}

static const char *get_text(struct reading *r)
{
    size_t n;
    const char *p = (const char *)get_block(r, &n);

    if (!p || n == 0)
        return NULL;
    r->bad |= strnlen(p, n) != n - 1;
    return r->bad ? NULL : p;
}

bool gd_record_is_bytes(const void *p, size_t n)
{
    return n >= sizeof mark && memcmp(p, mark, sizeof mark) == 0;
}

static void read_all(struct reading *r, struct gd_version *v)
{
    int64_t *const nums[NNUM] = {
        &v->gen,        &v->at,  &v->issued_at, &v->expires_at, &v->refresh_expires_at,
        &v->horizon_at, &v->due, &v->grace,     &v->shape,      &v->retry_class
    };
    const char **const texts[NTEXT] = { &v->workspace,  &v->client,       &v->app,
                                        &v->cred,       &v->attempt,      &v->intent,
                                        &v->account_id, &v->account_name, &v->scope };
    uint64_t flags = get(r, 1);

    v->is_new = flags & IS_NEW;
    v->rejected = flags & REJECTED;
    r->bad |= (flags & ~(uint64_t)(IS_NEW | REJECTED)) != 0;
    for (size_t i = 0; i < NNUM; i++)
        *nums[i] = (int64_t)get(r, 8);
    for (size_t i = 0; i < NTEXT; i++)
        *texts[i] = get_text(r);
    v->sealed = get_block(r, &v->nsealed);
    r->bad |= r->left != 0 || !v->workspace || !v->client || !v->app || !v->cred || !v->attempt;
}

int gd_record_read(struct gd_version *ret, const void *p, size_t n, struct gd_err *err)
{
    struct reading r = { (const unsigned char *)p + sizeof mark + 1, n - sizeof mark - 1, false };
    struct gd_version v = { 0 };

    if (n < HEAD || ((const char *)p)[sizeof mark] != FORM)
        return gd_err_set(
            err, GD_R_STORE_TOO_NEW,
            "a record of the spool has a form that this grantd does not know; start the one that wrote it");
    read_all(&r, &v);
    if (r.bad)
        return gd_err_set(err, GD_R_SPOOL_CORRUPT, "a record of the spool is not whole");
    *ret = v;
    return 0;
}
