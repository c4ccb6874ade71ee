/* Lines of the audit log: what is taken as the next record is, byte for byte, what would have been written; a
 * note that is taken is signed. Anything else aborts. The first byte says how many records came before. */
#include "audit/audit_int.h"
#include "audit/note.h"
#include "base/mem.h"
#include "crypto/crypto.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok)
{
    if (!ok)
        abort();
}

static void check_line(const struct chain *before, char *line, size_t n)
{
    struct chain taken = *before, again = *before;
    struct gd_buf out;
    const char *end;
    char *body;

    if (gd_chain_take(&taken, line, n))
        return;
    body = memchr(line, ',', n);
    end = line + n - 75 - 74; /* in front of prev */
    must(body && end > body);
    body = gd_strndup(body + 1, (size_t)(end - body - 1));
    gd_buf_init(&out, 1 << 24);
    gd_chain_add(&again, &out, body);
    must(out.len == n + 1 && !memcmp(out.ptr, line, n));
    must(!memcmp(&again, &taken, sizeof again));
    gd_buf_done(&out);
    gd_free(body);
}

static void check_note(const char *text)
{
    static const unsigned char seed[32] = { 5 };
    unsigned char pub[32], root[32];
    char note[GD_NOTE_MAX], origin[201];
    int64_t size;

    gd_ed25519_public(pub, seed);
    if (gd_note_check(text, "grantd/f", pub, &size, root)) {
        gd_note_make(note, "grantd/f", size, root, seed); /* Ed25519 signs the same text the same way */
        must(!strcmp(note, text));
    }
    if (gd_note_key_parse(text, origin, pub)) {
        gd_note_key(note, origin, pub);
        must(!strncmp(note, text, strlen(origin) + 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct chain c = { 0 };
    json_t *found;
    char *line;

    if (n == 0)
        return 0;
    for (unsigned i = 0; i < (data[0] & 7u); i++) {
        unsigned char hash[32] = { (unsigned char)i };

        gd_chain_push(&c, hash);
    }
    line = gd_new(n + 1);
    memcpy(line, data, n); /* the first byte is line[-1] */
    check_line(&c, line + 1, n - 1);
    (void)gd_line_is(line + 1, n - 1, "audit.checkpoint");
    if (gd_audit_line_data(line + 1, n - 1, &found)) {
        c.seq = (int64_t)n;
        (void)gd_chain_nodes_parse(&c, json_object_get(found, "nodes"));
        check_note(gd_json_text(found, "note", ""));
        json_decref(found);
    }
    check_note(line + 1);
    gd_free(line);
    return 0;
}
