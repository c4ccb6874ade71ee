/* store/postgresql/sql.c - the store's SQL in this server's words. Text sorts by its bytes, as it does in the
 * embedded engine and in ids; gd_now() is the server's clock. statement_timestamp() is the one that an index
 * can be searched by; it stands still within a statement and is never ahead. Where the daemon's clock travels
 * (tests, demonstrations), it travels along: that is one parameter more, behind the statement's own.
 * gd_era(): era.c. */
#include "store/postgresql/pg.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX 65536
#define NOW     "gd_now()"
#define ERA     "gd_era()"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool starts(const char *p, const char *word)
{
    return !strncmp(p, word, strlen(word));
}

static bool is_ddl(const char *text)
{
    return starts(text, "CREATE TABLE") || starts(text, "ALTER TABLE");
}

/* The type text, not a column of that name: it follows the column's name. */
static bool is_type(const char *text, const char *p)
{
    const char *before = p;

    if (!starts(p, "text") || is_word(p[4]) || p == text || p[-1] != ' ')
        return false;
    while (before > text && before[-1] == ' ')
        before--;
    return before > text && is_word(before[-1]);
}

char *gd_pg_translate(const char *text, size_t nparams, const char *era, bool *ret_travels)
{
    bool ddl = is_ddl(text), travels = false, quoted = false;
    struct gd_buf b;

    gd_buf_init(&b, SQL_MAX);
    for (const char *p = text; *p;) {
        quoted ^= *p == '\'';
        if (!quoted && starts(p, NOW)) {
            gd_buf_addf(&b, "(floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint + $%zu)",
                        nparams + 1);
            p += strlen(NOW);
            travels = true;
        } else if (!quoted && starts(p, ERA)) {
            gd_buf_adds(&b, era);
            p += strlen(ERA);
        } else if (ddl && is_type(text, p)) {
            gd_buf_adds(&b, "text COLLATE \"C\"");
            p += strlen("text");
        } else {
            gd_buf_addc(&b, *p++);
        }
    }
    if (starts(text, "CREATE TABLE"))
        gd_buf_adds(&b, " WITH (" GD_PG_ROOM ")");
    *ret_travels = travels;
    return gd_buf_steal(&b);
}
