/* The reader of the hot path against jansson: what it takes, jansson takes, and with the same meaning. */
#include "base/json.h"
#include "base/mem.h"
#include "rpc/fast.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void same(const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        abort();
}

static void compare(const struct gd_fast *f, const char *p, size_t n)
{
    GD_AUTO_JSON doc = gd_json_parse(p, n, 65536, NULL);
    json_t *params = json_object_get(doc, "params");
    GD_AUTO_FREE char *id = gd_json_dump(json_object_get(doc, "id"));

    if (!doc || json_object_size(doc) != 4 || !id || strlen(id) != f->id_len ||
        memcmp(id, f->id, f->id_len) != 0)
        abort();
    same(gd_json_text(doc, "jsonrpc", ""), "2.0");
    same(gd_json_text(doc, "method", ""), "grant.token");
    same(gd_json_text(params, "grant", ""), f->grant_text);
    same(gd_json_text(params, "workspace", ""), f->workspace);
    if (json_object_size(params) != (f->workspace[0] ? 2u : 1u))
        abort();
}

/* The token is what the input holds, so that every byte is tried: the answer must be JSON that says the same.
 */
static void render(const struct gd_fast *f, const char *p, size_t n)
{
    char out[4096];
    size_t token_len = n > 2000 ? 2000 : n;
    size_t len = gd_fast_render(out, sizeof out, f, p, token_len, (int64_t)n * 86400123, (uint32_t)n);
    GD_AUTO_JSON doc = len ? gd_json_parse(out, len - 1, sizeof out, NULL) : NULL;
    const json_t *token = json_object_get(json_object_get(doc, "result"), "access_token");

    if (!len)
        return;
    if (!doc || json_string_length(token) != token_len || memcmp(json_string_value(token), p, token_len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct gd_fast f = { .grant_text = "gr01jdk3m8q4h5v6w7x8y9z0a1b2", .id = "1", .id_len = 1 };

    render(&f, (const char *)p, n);
    if (n <= 65536 && !memchr(p, '\n', n) && gd_fast_read((const char *)p, n, &f))
        compare(&f, (const char *)p, n);
    return 0;
}
