/* codes.c - codes as people paste them: with blanks, quotes, line breaks, numbers and words in between,
 * broken in the middle by a mail program. A code is # and then base64 text, 20 to 200 characters in all
 * (facts: tiktok.md 5.4). Codes are kept sealed (c0, c1, ...) until they are dealt with. */
#include "spark.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

int sp_is_code(const char *text)
{
    size_t n = text ? strlen(text) : 0, body;

    if (n < SP_CODE_MIN || n > SP_CODE_MAX || text[0] != '#' || strspn(text + 1, alphabet) != n - 1)
        return 0;
    body = strcspn(text, "=");
    return strspn(text + body, "=") == n - body && n - body <= 2;
}

/* For people and logs: a digest, and the last four characters. */
const char *sp_label(grantd_op *op, const char *code)
{
    size_t n = code ? strlen(code) : 0;

    if (!n)
        return "code";
    return grantd_strf(op, "code-%.12s%s%s", grantd_digest(op, GRANTD_SHA256_HEX, NULL, code),
                       n >= SP_CODE_MIN ? "-" : "", n >= SP_CODE_MIN ? code + n - 4 : "");
}

/* ---- kept codes -------------------------------------------------------------------------------------- */

static const char *slot(grantd_op *op, int64_t i)
{
    return grantd_strf(op, "c%lld", (long long)i);
}

const char *sp_code(grantd_op *op, int64_t i)
{
    const char *code = i < tt_noted(op, "n", 0) ? grantd_kept(op, slot(op, i)) : NULL;

    return code && *code ? code : NULL;
}

void sp_forget(grantd_op *op, int64_t i)
{
    grantd_keep(op, slot(op, i), "");
}

/* Into the first free place: one that is dealt with is free again. */
void sp_keep_code(grantd_op *op, const char *code, const char *post)
{
    int64_t n = tt_noted(op, "n", 0), free_at = -1;

    for (int64_t i = n - 1; i >= 0; i--)
        if (grantd_equal(sp_code(op, i), code))
            return;
        else if (!sp_code(op, i))
            free_at = i;
    if (free_at < 0)
        free_at = n;
    if (free_at >= SP_CODES_MAX) {
        sp_problem(op, "post", sp_label(op, code), "TOO_MANY",
                   "only 20 codes are taken at once: hand it in again");
        return;
    }
    grantd_keep(op, slot(op, free_at), code);
    grantd_note(op, grantd_strf(op, "p%lld", (long long)free_at), post);
    if (free_at == n)
        tt_note(op, "n", n + 1);
}

const char *sp_subject(grantd_op *op, int64_t i)
{
    const char *post = grantd_noted(op, grantd_strf(op, "p%lld", (long long)i));

    return post ? post : sp_label(op, sp_code(op, i));
}

/* ---- reading what was pasted ------------------------------------------------------------------------- */

/* Length of a separator at p: blanks, quotes of any kind, commas, and what cannot be seen; 0: none. */
static size_t separator(const char *p)
{
    static const char *const others[] = { "\xc2\xa0",     "\xe2\x80\x9c", "\xe2\x80\x9d", "\xe2\x80\x9e",
                                          "\xe2\x80\x98", "\xe2\x80\x99", "\xe2\x80\x9a", "\xe2\x80\x8b",
                                          "\xe2\x80\xaf", "\xef\xbb\xbf", "\xc2\xab",     "\xc2\xbb" };

    if (*p && strchr(" \t\r\n\v\f,;\"'`<>()[]{}|*", *p))
        return 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strncmp(p, others[i], strlen(others[i])))
            return strlen(others[i]);
    return 0;
}

/* The next word, up to a separator or the # of the next code; NULL at the end. */
static const char *next_word(grantd_op *op, const char **at)
{
    const char *p = *at, *from;
    size_t n;

    while ((n = separator(p)))
        p += n;
    from = p;
    while (*p && !separator(p) && (p == from || *p != '#'))
        p++;
    *at = p;
    return p > from ? grantd_strf(op, "%.*s", (int)(p - from), from) : NULL;
}

static int ends_code(const char *word)
{
    size_t n = strlen(word);

    return n > 0 && word[n - 1] == '=';
}

/* Nothing but blanks and line breaks, seen or not, before the next word. */
static int only_blanks(const char *p)
{
    static const char *const blanks[] = { " ", "\t", "\r", "\n", "\xc2\xa0", "\xe2\x80\x8b", "\xe2\x80\xaf" };
    size_t i = 0;

    while (i < sizeof blanks / sizeof *blanks)
        if (!strncmp(p, blanks[i], strlen(blanks[i]))) {
            p += strlen(blanks[i]);
            i = 0;
        } else {
            i++;
        }
    return !separator(p);
}

/* A code that a mail program broke goes on in the words after it, up to one that ends as codes do. Without
 * such a word, only what is too short to be a code is joined. */
static int goes_on(grantd_op *op, const char *code, const char *rest)
{
    const char *word;

    if (ends_code(code) || !only_blanks(rest))
        return 0;
    word = next_word(op, &rest);
    if (!word || *word == '#' || strspn(word, alphabet) != strlen(word))
        return 0;
    if (strlen(code) < SP_CODE_MIN)
        return 1;
    for (; word && *word != '#' && strspn(word, alphabet) == strlen(word); word = next_word(op, &rest))
        if (ends_code(word))
            return 1;
    return 0;
}

static void take(grantd_op *op, const char *code)
{
    if (sp_is_code(code))
        sp_keep_code(op, code, NULL);
    else
        sp_problem(op, "post", sp_label(op, code), "CODE_FORM",
                   "this is no whole code: a code begins with #, then letters, digits, + and /. Copy it "
                   "again in the "
                   "app");
}

/* A word that is long and looks like one, but has lost its #. */
static int lost_its_sign(const char *word)
{
    return strlen(word) >= SP_CODE_MIN && strspn(word, alphabet) == strlen(word) &&
           strpbrk(word, "0123456789+/=");
}

int64_t sp_take_codes(grantd_op *op, const char *pasted)
{
    const char *word;

    while ((word = next_word(op, &pasted))) {
        if (*word != '#' && !lost_its_sign(word))
            continue;
        while (*word == '#' && goes_on(op, word, pasted))
            word = grantd_strf(op, "%s%s", word, next_word(op, &pasted));
        take(op, word);
    }
    return tt_noted(op, "n", 0);
}
