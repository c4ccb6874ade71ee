/* The ground floor: what is decoded can be encoded again and is then the same; nothing reads or writes beyond
 * its ends. Anything else aborts. */
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok)
{
    if (!ok)
        abort();
}

static void check_json(const char *s, size_t n)
{
    json_t *j = gd_json_parse(s, n, 1 << 20, NULL), *again;
    char *text;

    if (!j)
        return;
    text = gd_json_dump(j);
    must(text != NULL);
    again = gd_json_parse(text, strlen(text), SIZE_MAX, NULL);
    must(again && json_equal(j, again));
    gd_free(text);
    json_decref(again);
    json_decref(j);
}

/* Whatever the bytes: one JSON string that the strict reader takes. */
static void check_quoting(const char *s)
{
    struct gd_buf b;
    json_t *j;

    gd_buf_init(&b, 1 << 24);
    gd_buf_addc(&b, '[');
    gd_buf_add_json(&b, s);
    gd_buf_addc(&b, ']');
    j = gd_json_parse(b.ptr, b.len, SIZE_MAX, NULL);
    must(j != NULL);
    if (gd_text_clean(s, strlen(s)))
        must(!strcmp(json_string_value(json_array_get(j, 0)), s));
    json_decref(j);
    gd_buf_done(&b);
}

static void check_percent(const char *s)
{
    char *encoded = gd_percent_encode(s), *form = gd_form_encode(s), *plain = gd_strdup(s);
    bool utf8 = true;

    for (const char *p = s; *p && utf8; p += gd_utf8_len(p))
        utf8 = gd_utf8_len(p) != 0;
    must(gd_percent_decode(encoded, false) == utf8 && gd_percent_decode(form, true) == utf8);
    must(!utf8 || (!strcmp(encoded, s) && !strcmp(form, s)));
    (void)gd_percent_decode(plain, true);
    gd_free(encoded);
    gd_free(form);
    gd_free(plain);
}

static void check_base64(const char *s, size_t n)
{
    unsigned char *raw = gd_new(n + 1);
    char *text = gd_new(4 * n / 3 + 8);
    long got = gd_b64url_decode(raw, n, s, n);

    if (got >= 0)
        must(gd_b64url(text, raw, (size_t)got) == n && !memcmp(text, s, n));
    got = gd_b64_decode(raw, n, s, n);
    if (got >= 0)
        must(gd_b64(text, raw, (size_t)got) == n && !memcmp(text, s, n));
    got = gd_hex_decode(raw, n, s, n);
    must(got < 0 || (size_t)got * 2 == n);
    gd_free(raw);
    gd_free(text);
}

static void check_names(const char *s, size_t n)
{
    char text[GD_ID_TEXT_MAX], when[32];
    struct gd_id id;
    int64_t ms = gd_time_parse(s);

    if (gd_id_parse(&id, "gr", s, n)) {
        gd_id_text(text, "gr", &id);
        must(n == 28 && !memcmp(text, s, n));
    }
    if (ms >= 0 && ms < 253402300800000) {
        gd_time_text(when, ms);
        must(gd_time_parse(when) == ms);
    }
    (void)gd_http_date(s);
    (void)gd_name_valid(s, 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool ready;
    char *s = gd_new(n + 1);

    if (!ready)
        gd_json_setup();
    ready = true;
    if (n)
        memcpy(s, data, n);
    check_json(s, n);
    (void)gd_text_clean(s, n);
    check_base64(s, n);
    check_names(s, n);
    check_quoting(s);
    check_percent(s);
    gd_free(s);
    return 0;
}
