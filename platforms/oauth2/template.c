/* template.c - ${...} in the strings of a description. What is put into a URL is percent-encoded, and in the
 * host's place only [a-z0-9.-] may stand; a whole base URL may only be a saved value that its own pattern let
 * through. */
#include "oauth2.h"

/* ---- inputs and saved values ------------------------------------------------------------------------------
 */
static int only(const char *text, const char *chars)
{
    return *text && !text[strspn(text, chars)];
}

static int is_host(const char *text)
{
    size_t n = strlen(text);

    return only(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") && text[0] != '.' && text[0] != '-' &&
           text[n - 1] != '.' && text[n - 1] != '-' && !strstr(text, "..");
}

static int of_format(const char *format, const char *text)
{
    if (!strcmp(format, "host"))
        return is_host(text);
    if (!strcmp(format, "label"))
        return is_host(text) && !strchr(text, '.') && strlen(text) <= 63;
    if (!strcmp(format, "int"))
        return only(text, "0123456789");
    if (!strcmp(format, "uuid"))
        return oa_matches("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
                          text);
    return 1;
}

static const char *input_field(grantd_op *op, const char *name, const char *field)
{
    return grantd_strf(op, "%s/%s", oa_member(op, "inputs", name), field);
}

/* People paste "https://acme.example.com" where "acme" is asked: what is declared to surround it is taken
 * off. */
static const char *bare(grantd_op *op, const char *name, const char *value)
{
    const char *prefix = oa_text(op, input_field(op, name, "prefix"), "");
    const char *suffix = oa_text(op, input_field(op, name, "suffix"), "");
    size_t np = strlen(prefix), ns = strlen(suffix), n;

    if (np && !strncmp(value, prefix, np))
        value += np;
    n = strlen(value);
    if (ns && n > ns && !strcmp(value + n - ns, suffix))
        value = grantd_strf(op, "%.*s", (int)(n - ns), value);
    return value;
}

static const char *input_wrong(grantd_op *op, const char *name, const char *value)
{
    const char *pattern = oa_text(op, input_field(op, name, "pattern"), NULL);
    const char *choices = input_field(op, name, "enum");

    if (!of_format(oa_text(op, input_field(op, name, "format"), "text"), value))
        return "has the wrong format";
    if (pattern && !oa_matches(pattern, value))
        return "does not match its pattern";
    if (oa_has(op, choices)) {
        int64_t n = grantd_len(op, oa(op)->d, choices);

        for (int64_t i = 0; i < n; i++) {
            const char *one = grantd_text(op, oa(op)->d, grantd_strf(op, "%s/%lld", choices, (long long)i));

            if (one && !strcmp(one, value))
                return NULL;
        }
        return "is none of the choices";
    }
    return NULL;
}

const char *oa_input(grantd_op *op, const char *name)
{
    const char *value = grantd_input(op, name), *wrong;

    if (!oa_has(op, oa_member(op, "inputs", name)))
        return NULL;
    if (!value || !*value)
        value = oa_text(op, input_field(op, name, "default"), NULL);
    if (!value)
        return NULL;
    value = bare(op, name, value);
    wrong = input_wrong(op, name, value);
    if (!wrong)
        return value;
    oa(op)->why = grantd_strf(op, "input %s %s", name, wrong);
    return NULL;
}

static const char *saved_pattern(grantd_op *op, const char *name)
{
    return oa_text(op, grantd_strf(op, "%s/pattern", oa_member(op, "saved", name)), NULL);
}

int oa_save_value(grantd_op *op, const char *name, const char *value)
{
    const char *pattern = saved_pattern(op, name);

    if (pattern && !oa_matches(pattern, value))
        return 0;
    grantd_keep(op, grantd_strf(op, "s.%s", name), value);
    return 1;
}

const char *oa_saved(grantd_op *op, const char *name)
{
    return grantd_kept(op, grantd_strf(op, "s.%s", name));
}

/* ---- variables
 * ---------------------------------------------------------------------------------------------- */
static const char *random_hex(grantd_op *op)
{
    const char *hex = grantd_digest(op, GRANTD_SHA256_HEX, NULL, grantd_random(op, 16));

    return grantd_strf(op, "%.32s", hex);
}

static const char *random_uuid(grantd_op *op)
{
    const char *h = random_hex(op);

    if (strlen(h) < 32)
        return "";
    return grantd_strf(op, "%.8s-%.4s-4%.3s-%c%.3s-%.12s", h, h + 8, h + 13, "89ab"[h[16] & 3], h + 17,
                       h + 20);
}

static const char *from_arg(grantd_op *op, const char *name)
{
    static const struct {
        const char *name;
        int id;
    } args[] = {
        { "redirect_uri", GRANTD_ARG_REDIRECT_URI },
        { "state", GRANTD_ARG_STATE },
        { "nonce", GRANTD_ARG_NONCE },
        { "code_verifier", GRANTD_ARG_CODE_VERIFIER },
        { "code_challenge", GRANTD_ARG_CODE_CHALLENGE },
        { "role", GRANTD_ARG_ROLE },
        { "asset_id", GRANTD_ARG_ASSET_ID },
    };

    for (size_t i = 0; i < sizeof args / sizeof args[0]; i++)
        if (!strcmp(name, args[i].name))
            return grantd_arg(op, args[i].id);
    return NULL;
}

static const char *from_tokens(grantd_op *op, const char *name)
{
    const struct oa_tokens *t = &oa(op)->t;
    const char *account = t->account ? t->account : grantd_arg(op, GRANTD_ARG_ACCOUNT_ID);

    if (!strcmp(name, "access_token"))
        return t->access ? t->access : grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    if (!strcmp(name, "refresh_token"))
        return t->refresh ? t->refresh : grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);
    return !strcmp(name, "account_id") ? account : NULL;
}

static const char *made(grantd_op *op, const char *name)
{
    if (!strcmp(name, "random"))
        return random_hex(op);
    if (!strcmp(name, "uuid"))
        return random_uuid(op);
    if (!strcmp(name, "now"))
        return grantd_strf(op, "%lld", (long long)grantd_now(op));
    if (!strcmp(name, "scope"))
        return oa_words(op, oa_scope(op), NULL, " ", oa_text(op, "scope.join", " "));
    if (!strcmp(name, "code"))
        return grantd_query(op, oa_text(op, "callback.code", "code"));
    return NULL;
}

static const char *variable(grantd_op *op, const char *name)
{
    const char *value;

    if (!strncmp(name, "in.", 3))
        return oa_input(op, name + 3);
    if (!strncmp(name, "saved.", 6))
        return oa_saved(op, name + 6);
    if (!strcmp(name, "client_id") || !strcmp(name, "client_secret"))
        return grantd_option(op, name);
    value = from_arg(op, name);
    if (!value)
        value = from_tokens(op, name);
    return value ? value : made(op, name);
}

/* ---- expansion
 * ---------------------------------------------------------------------------------------------- */
static const char *refuse(grantd_op *op, const char *name, const char *why)
{
    oa(op)->why = grantd_strf(op, "${%s} %s", name, why);
    return NULL;
}

static int is_base_url(const char *value)
{
    const char *host = value + 8;
    size_t n;

    if (strncmp(value, "https://", 8))
        return 0;
    n = strcspn(host, "/");
    return n && n == strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") &&
           only(host + n - 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~/");
}

/* The value as it may stand after what has been written of the URL so far. */
static const char *in_url(grantd_op *op, const char *out, const char *name, const char *value)
{
    if (!*out) {
        if (strncmp(name, "saved.", 6) || !saved_pattern(op, name + 6))
            return refuse(op, name, "may not be a whole URL: only a saved value with a pattern may");
        return is_base_url(value) ? value : refuse(op, name, "is not a plain https URL");
    }
    if (!strncmp(out, "https://", 8) && !strpbrk(out + 8, "/?#"))
        return is_host(value) ? value : refuse(op, name, "may not stand in a host");
    return grantd_encode(op, GRANTD_PERCENT, value);
}

const char *oa_expand(grantd_op *op, const char *tpl, int how)
{
    const char *out = "", *open;

    if (!tpl)
        return NULL;
    while ((open = strstr(tpl, "${"))) {
        const char *end = strchr(open, '}'), *name, *value;

        if (!end)
            return refuse(op, open + 2, "is not closed");
        name = grantd_strf(op, "%.*s", (int)(end - open - 2), open + 2);
        value = variable(op, name);
        out = grantd_strf(op, "%s%.*s", out, (int)(open - tpl), tpl);
        if (value && how == OA_URL)
            value = in_url(op, out, name, value);
        if (!value)
            return NULL;
        out = grantd_strf(op, "%s%s", out, value);
        tpl = end + 1;
    }
    return *out ? grantd_strf(op, "%s%s", out, tpl) : tpl;
}

const char *oa_expand_url(grantd_op *op, const char *path)
{
    const char *tpl, *url;

    for (int64_t i = 0; (tpl = oa_nth(op, path, i)); i++) {
        url = oa_expand(op, tpl, OA_URL);
        if (url)
            return url;
    }
    return NULL;
}
