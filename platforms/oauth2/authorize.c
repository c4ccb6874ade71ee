/* authorize.c - asking: the address that the client's browser is sent to, pushed first when the provider
 * takes that. */
#include "oauth2.h"

/* ---- checks that need no network
 * ---------------------------------------------------------------------------- */
static const char *const engine_owned[] = { "grant_type",
                                            "code",
                                            "redirect_uri",
                                            "client_id",
                                            "client_secret",
                                            "code_verifier",
                                            "refresh_token",
                                            "response_type",
                                            "state",
                                            "code_challenge",
                                            "code_challenge_method",
                                            "nonce",
                                            "scope",
                                            NULL };

/* A parameter of the description may stand in for one of ours only where ours is omitted. */
static const char *overridden(grantd_op *op, const char *block, const char *const *own, const char *except)
{
    const char *params = grantd_strf(op, "%s.params", block), *omit = grantd_strf(op, "%s.omit", block);

    for (; *own; own++)
        if (oa_has(op, oa_member(op, params, *own)) && !oa_listed(op, omit, *own) &&
            strcmp(*own, except) != 0)
            return grantd_strf(op, "%s.params.%s", block, *own);
    return NULL;
}

static grantd_next *check_params(grantd_op *op)
{
    const char *mode = oa_text(op, "refresh.mode", "refresh_token");
    const char *bad = overridden(op, "authorize", engine_owned, "");

    if (!bad)
        bad = overridden(op, "token", engine_owned, "scope");
    if (!bad && !strcmp(mode, "refresh_token"))
        bad = overridden(op, "refresh", engine_owned, "scope");
    return bad ? grantd_fail(op, GRANTD_E_CONFIG,
                             "%s would replace what the protocol sets; name it under omit to do so", bad)
               : NULL;
}

static void ask_input(grantd_op *op, const char *name)
{
    const char *at = oa_member(op, "inputs", name);

    grantd_step(op, .title = oa_text(op, grantd_strf(op, "%s/label", at), name),
                .text = oa_text(op, grantd_strf(op, "%s/help", at), ""), .ask = name,
                .ask_label = oa_text(op, grantd_strf(op, "%s/label", at), name));
}

static grantd_next *check_inputs(grantd_op *op)
{
    struct oa *st = oa(op);
    const char *name, *from;

    for (int64_t i = 0; (name = grantd_key(op, st->d, "inputs", i)); i++) {
        const char *at = oa_member(op, "inputs", name);

        from = oa_text(op, grantd_strf(op, "%s/from", at), "operator");
        if (oa_input(op, name))
            continue;
        if (st->why)
            return grantd_fail(op, GRANTD_E_CONFIG, "%s", st->why);
        if (!strcmp(from, "callback") || !strcmp(from, "token"))
            continue;
        if (oa_num(op, grantd_strf(op, "%s/optional", at), 0))
            continue;
        if (strcmp(from, "client") != 0)
            return grantd_fail(op, GRANTD_E_CONFIG, "this provider needs the input %s", name);
        ask_input(op, name);
        return grantd_fail(op, GRANTD_E_MANUAL, "the client has to say: %s", name);
    }
    return NULL;
}

/* ---- parameters
 * ------------------------------------------------------------------------------------------------- */
static void put(grantd_op *op, struct oa_list *l, const char *name, const char *value)
{
    int drops = oa_num(op, "authorize.drop_empty", 1) != 0;

    if (oa_listed(op, "authorize.omit", name) || !value || (drops && !*value))
        return;
    oa_add(op, l, oa_text(op, oa_member(op, "authorize.rename", name), name), value);
}

static void put_own(grantd_op *op, struct oa_list *l)
{
    const grantd_doc *d = oa(op)->d;
    const char *name;

    for (int64_t i = 0; (name = grantd_key(op, d, "authorize.params", i)); i++) {
        const char *value =
            oa_expand(op, grantd_text(op, d, oa_member(op, "authorize.params", name)), OA_PLAIN);

        if (value && (*value || !oa_num(op, "authorize.drop_empty", 1)) && !oa_get(l, name))
            oa_add(op, l, name, value);
    }
}

static int uses_pkce(grantd_op *op)
{
    return strcmp(oa_text(op, "authorize.pkce", "S256"), "off") != 0 &&
           grantd_arg(op, GRANTD_ARG_CODE_CHALLENGE);
}

static void put_standard(grantd_op *op, struct oa_list *l)
{
    const char *scope = oa_words(op, oa_scope(op), NULL, " ", oa_text(op, "scope.join", " "));

    put(op, l, "response_type", oa_text(op, "authorize.response_type", "code"));
    put(op, l, oa_text(op, "client.id_param", "client_id"), grantd_option(op, "client_id"));
    put(op, l, "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI));
    put(op, l, oa_text(op, "scope.param", "scope"), scope);
    put(op, l, oa_text(op, "callback.state", "state"), grantd_arg(op, GRANTD_ARG_STATE));
    if (uses_pkce(op)) {
        put(op, l, "code_challenge", grantd_arg(op, GRANTD_ARG_CODE_CHALLENGE));
        put(op, l, "code_challenge_method", "S256");
    }
    if (oa_wants_openid(op))
        put(op, l, "nonce", grantd_arg(op, GRANTD_ARG_NONCE));
}

/* ---- the address
 * ------------------------------------------------------------------------------------------------ */
static const char *join(grantd_op *op, const char *base, const struct oa_list *l)
{
    const char *url = base, *fragment = oa_text(op, "authorize.fragment", NULL), *value;
    const char *raw =
        strcmp(oa_text(op, "scope.encoding", "percent"), "raw") ? "" : oa_text(op, "scope.param", "scope");
    char sep = strchr(base, '?') && !fragment ? '&' : '?';

    if (fragment)
        url = grantd_strf(op, "%s#%s", url, fragment);
    for (size_t i = 0; i < l->n; i += 2) {
        value = strcmp(l->kv[i], raw) ? grantd_encode(op, GRANTD_PERCENT, l->kv[i + 1]) : l->kv[i + 1];
        url = grantd_strf(op, "%s%c%s=%s", url, sep, grantd_encode(op, GRANTD_PERCENT, l->kv[i]), value);
        sep = '&';
    }
    return url;
}

static grantd_next *send_browser(grantd_op *op, const struct oa_list *l)
{
    const char *base = oa_endpoint(op, "authorize.url", "authorization_endpoint");

    if (!base)
        return oa_no_url(op, "the client's browser");
    oa_add_steps(op, "before");
    return grantd_done(op, .redirect_url = join(op, base, l));
}

/* ---- pushed authorization requests
 * ------------------------------------------------------------------------------ */
static const char *par_url(grantd_op *op)
{
    if (!strcmp(oa_text(op, "authorize.par", "auto"), "never"))
        return NULL;
    return oa_endpoint(op, "authorize.par_url", "pushed_authorization_request_endpoint");
}

static grantd_next *on_pushed(grantd_op *op, const grantd_doc *answer)
{
    struct oa_list l = { 0 };
    const char *uri = grantd_text(op, answer, "request_uri");
    int status = grantd_status(op, answer);

    if (status != 201 && status != 200)
        return oa_fail(op, answer, OA_AT_API);
    if (!uri || !*uri)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the pushed request was answered without a request_uri");
    oa_add(op, &l, oa_text(op, "client.id_param", "client_id"), grantd_option(op, "client_id"));
    oa_add(op, &l, "request_uri", uri);
    return send_browser(op, &l);
}

static grantd_next *push(grantd_op *op, const struct oa_list *l, const char *url)
{
    struct oa_call c;

    oa_call_init(op, &c, "par", NULL);
    c.url = url;
    c.flags = GRANTD_HTTP_REPEATABLE;
    for (size_t i = 0; i < l->n; i += 2)
        oa_add(op, &c.params, l->kv[i], l->kv[i + 1]);
    oa_call_auth(op, &c, NULL);
    return oa_call_send(op, &c, on_pushed);
}

/* ---- the operation
 * ------------------------------------------------------------------------------------------------ */
/* A server that lists what it takes and does not list S256 would ignore the challenge. */
static int refuses_pkce(grantd_op *op)
{
    const grantd_doc *meta = oa(op)->meta;
    const char *list = "code_challenge_methods_supported", *one;
    int64_t n = meta && uses_pkce(op) ? grantd_len(op, meta, list) : 0;

    for (int64_t i = 0; i < n; i++) {
        one = grantd_text(op, meta, grantd_strf(op, "%s.%lld", list, (long long)i));
        if (one && !strcmp(one, "S256"))
            return 0;
    }
    return n > 0;
}

static grantd_next *ask(grantd_op *op)
{
    struct oa_list l = { 0 };
    const char *par = par_url(op);

    if (refuses_pkce(op))
        return grantd_fail(op, GRANTD_E_CONFIG, "the provider's metadata offers PKCE, but not with S256");
    if (!par && !strcmp(oa_text(op, "authorize.par", "auto"), "always"))
        return oa_no_url(op, "pushed authorization requests");
    put_standard(op, &l);
    put_own(op, &l);
    return par ? push(op, &l, par) : send_browser(op, &l);
}

void oa_add_steps(grantd_op *op, const char *when)
{
    int64_t n = grantd_len(op, oa(op)->d, "guided");

    for (int64_t i = 0; i < n; i++) {
        const char *at = grantd_strf(op, "guided.%lld", (long long)i);

        if (strcmp(oa_text(op, grantd_strf(op, "%s.when", at), "after"), when) != 0)
            continue;
        grantd_step(op, .title = oa_text(op, grantd_strf(op, "%s.title", at), ""),
                    .text = oa_text(op, grantd_strf(op, "%s.text", at), NULL),
                    .url = oa_expand_url(op, grantd_strf(op, "%s.url", at)),
                    .copy = oa_text(op, grantd_strf(op, "%s.copy", at), NULL),
                    .ask = oa_text(op, grantd_strf(op, "%s.ask", at), NULL),
                    .ask_label = oa_text(op, grantd_strf(op, "%s.title", at), NULL));
    }
}

static grantd_next *only_people(grantd_op *op)
{
    if (!grantd_len(op, oa(op)->d, "guided"))
        return grantd_fail(op, GRANTD_E_CONFIG, "the description has grant guided but no steps under guided");
    oa_add_steps(op, "before");
    oa_add_steps(op, "after");
    return grantd_finish(op);
}

/* The app's own credentials are all it takes. */
static grantd_next *nobody(grantd_op *op)
{
    grantd_step(op, .title = "Nothing to approve",
                .text = "This access needs no consent: the app has its own.");
    return grantd_finish(op);
}

grantd_next *oa_request(grantd_op *op)
{
    grantd_next *bad = oa_begin(op);
    const char *how;

    if (bad || (bad = check_params(op)) || (bad = check_inputs(op)))
        return bad;
    how = oa_text(op, "grant", "authorization_code");
    if (!strcmp(how, "guided"))
        return only_people(op);
    if (!strcmp(how, "client_credentials"))
        return nobody(op);
    return oa_discover(op, strcmp(how, "device_code") ? ask : oa_device_request);
}
