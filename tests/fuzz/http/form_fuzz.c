/* What stands in queries, bodies, cookies and X-Forwarded-For: whatever comes, the readers end, and what they
 * give is text that is clean, complete and encodes back to itself. Anything else aborts. */
#include "base/mem.h"
#include "base/text.h"
#include "portal/address.h"
#include "portal/form.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* A form written anew from what was read gives the same form. */
static void read_again(json_t *form)
{
    struct gd_buf b;
    const char *key;
    char *duplicate = NULL;
    json_t *value, *again;

    gd_buf_init(&b, (size_t)16 * 1024 * 1024);
    json_object_foreach(form, key, value)
    {
        GD_AUTO_FREE char *k = gd_form_encode(key);
        GD_AUTO_FREE char *v = gd_form_encode(json_string_value(value));

        gd_buf_addf(&b, "%s=%s&", k, v);
    }
    again = gd_portal_form_parse(b.ptr, b.len, &duplicate, NULL);
    must(again && !duplicate && json_equal(form, again));
    json_decref(again);
    gd_buf_done(&b);
}

static void try_form(const char *text, size_t n)
{
    char *duplicate = NULL;
    json_t *form = gd_portal_form_parse(text, n, &duplicate, NULL);

    if (!form)
        return;
    must(json_object_size(form) <= GD_FORM_PARAMS_MAX);
    must(!duplicate || json_object_get(form, duplicate));
    read_again(form);
    gd_free(duplicate);
    json_decref(form);
}

static void try_field(const char *text)
{
    struct gd_portal_request q = { .nfields = 1 };
    struct gd_portal_prefix all = { .bits = 0 };
    struct gd_portal_address peer = { { [15] = 1 } }, who;
    char session[GD_SESSION_LEN + 1], name[] = "cookie", address[GD_ADDRESS_TEXT];
    GD_AUTO_FREE char *value = gd_strdup(text);

    q.fields[0] = (struct gd_portal_field_pair){ name, value };
    if (gd_portal_cookie_session(&q, "grantd", session))
        must(strlen(session) == GD_SESSION_LEN && strstr(text, session) != NULL);
    who = gd_portal_address_visitor(&peer, text, &all, 1);
    gd_portal_address_text(address, &who);
    must(gd_portal_address_parse(&peer, address, strlen(address)) && memcmp(&peer, &who, sizeof who) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    GD_AUTO_FREE char *text = gd_strndup((const char *)p, n);

    try_form((const char *)p, n);
    try_field(text);
    return 0;
}
