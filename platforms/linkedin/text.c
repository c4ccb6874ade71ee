/* text.c - ids, lists of ids and words, numbers, months. */
#include "linkedin.h"

enum { LIST_MAX = 4000 }; /* a note holds 4096 bytes */

int li_digits(const char *s)
{
    size_t n = s ? strlen(s) : 0;

    return n > 0 && n <= 20 && strspn(s, "0123456789") == n;
}

int li_person(const char *s)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t n = s ? strlen(s) : 0;

    return n > 0 && n <= LI_ID_MAX && strspn(s, chars) == n;
}

const char *li_bare(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return text && !strncmp(text, prefix, n) ? text + n : text;
}

/* ---- lists "1,2,3"
 * -------------------------------------------------------------------------------------------- */

int li_listed(const char *list, const char *id)
{
    size_t n = strlen(id);

    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == n && !strncmp(list, id, n))
            return 1;
    return 0;
}

const char *li_with(grantd_op *op, const char *list, const char *id)
{
    return list && *list ? grantd_strf(op, "%s,%s", list, id) : id;
}

const char *li_nth(grantd_op *op, const char *list, size_t i)
{
    for (; list && *list && i; i--) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    return list && *list ? grantd_strf(op, "%.*s", (int)strcspn(list, ","), list) : NULL;
}

const char *li_id_list(grantd_op *op, const char *text, size_t max)
{
    static const char gaps[] = ", ;\t\r\n";
    const char *list = "";
    size_t n = 0;

    for (text += strspn(text, gaps); *text; text += strspn(text, gaps)) {
        size_t len = strcspn(text, gaps);
        const char *id = li_bare(grantd_strf(op, "%.*s", (int)len, text), "urn:li:sponsoredAccount:");

        if (!li_digits(id) || ++n > max)
            return NULL;
        if (!li_listed(list, id))
            list = li_with(op, list, id);
        text += len;
    }
    return *list && strlen(list) <= LIST_MAX ? list : NULL;
}

/* ---- words
 * ---------------------------------------------------------------------------------------------------- */

int li_has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (words += strspn(words, " ,"); *words; words += strspn(words, " ,")) {
        size_t len = strcspn(words, " ,");

        if (len == n && !strncmp(words, word, n))
            return 1;
        words += len;
    }
    return 0;
}

static int holds_all(const char *of, const char *in)
{
    char word[LI_ID_MAX + 1];

    for (of += strspn(of, " ,"); *of; of += strspn(of, " ,")) {
        size_t len = strcspn(of, " ,");

        if (len > LI_ID_MAX)
            return 0;
        memcpy(word, of, len);
        word[len] = '\0';
        if (!li_has_word(in, word))
            return 0;
        of += len;
    }
    return 1;
}

int li_same_words(const char *a, const char *b)
{
    return holds_all(a, b) && holds_all(b, a);
}

int64_t li_month(const char *version)
{
    int64_t n = version && strlen(version) == 6 ? grantd_number(version) : -1;

    return n < 202001 || n % 100 < 1 || n % 100 > 12 ? -1 : n / 100 * 12 + n % 100 - 1;
}
