/* plugin/op_given.c - what an operation was given: its own copies, for whoever starts it need not keep them.
 */
#include "plugin/op_int.h"
#include "base/mem.h"
#include "base/text.h"

static bool all_text(const json_t *given)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)given, key, v) if (!json_is_string(v)) return false;
    return json_is_object(given);
}

/* Options as text, whatever the configuration wrote; only read from here on. */
static json_t *texts_of(json_t *given)
{
    json_t *o, *v;
    const char *key;

    if (all_text(given))
        return json_incref(given);
    o = json_object();
    json_object_foreach((json_t *)(uintptr_t)given, key, v)
    {
        GD_AUTO_FREE char *text = NULL;

        if (json_is_string(v))
            text = gd_strdup(json_string_value(v));
        else if (json_is_integer(v))
            text = gd_strf("%lld", (long long)json_integer_value(v));
        else if (json_is_boolean(v))
            text = gd_strdup(json_is_true(v) ? "true" : "false");
        if (text)
            (void)json_object_set_new(o, key, json_string(text));
    }
    return o;
}

void gd_op_take_given(struct gd_op *op, const struct gd_op_given *g)
{
    for (size_t i = 0; i < GD_OP_ARGS; i++)
        op->args[i] = gd_strdup(g->args[i]);
    op->options = texts_of(g->options);
    op->query = json_incref(g->query);
    op->inputs = json_incref(g->inputs);
    op->params = json_incref(g->params);
    op->notice = g->notice ? gd_doc_answer(g->notice) : NULL;
    op->grant = json_incref(g->grant);
    op->description = json_incref(g->description);
    op->kept = g->kept ? json_copy(g->kept) : json_object();
    op->notes = g->notes ? json_copy(g->notes) : json_object();
    op->assets = json_array();
    op->steps = json_array();
    op->surfaces = json_array();
    op->observed = json_object();
    op->warnings = json_object();
}

void gd_op_given_done(struct gd_op *op)
{
    for (size_t i = 0; i < GD_OP_ARGS; i++)
        gd_free(op->args[i]);
    json_decref(op->options);
    json_decref(op->query);
    json_decref(op->inputs);
    json_decref(op->params);
    gd_doc_free(op->notice);
    json_decref(op->grant);
    json_decref(op->description);
}
