/* grant/seen.c - what a platform shows of a grant, beside what was asked and granted. */
#include "grant/seen.h"

#include <string.h>

static void differ(json_t *list, const char *what, const char *asked, const char *observed, const char *text)
{
    json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:s}", "what", what, "asked", asked, "observed",
                                          observed, "text", text));
}

static bool word_in(const char *list, const char *word, size_t n)
{
    for (const char *p = list; (p = strstr(p, word)); p++)
        if ((p == list || p[-1] == ' ') && strlen(p) >= n && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

/* Scopes that were granted and are no longer seen. */
static void compare_scopes(json_t *list, const char *granted, const char *seen)
{
    const char *p = granted;

    while (p && *p) {
        size_t n = strcspn(p, " ");
        char word[256];

        if (n && n < sizeof word) {
            memcpy(word, p, n);
            word[n] = '\0';
            if (!word_in(seen, word, n))
                differ(list, "scope", word, NULL, "this scope was granted and is not seen any more");
        }
        p += n;
        p += strspn(p, " ");
    }
}

json_t *gd_seen_differences(const struct gd_seen_was *was, const json_t *o)
{
    const char *alive = gd_json_text(o, "alive", "unknown"), *role = gd_json_text(o, "role", NULL);
    const char *account = gd_json_text(o, "account_id", NULL), *scope = gd_json_text(o, "scope", NULL);
    const char *wanted = was->role_granted ? was->role_granted : was->role_asked;
    const char *native = gd_json_text(o, "native", NULL);
    json_t *list = json_array();

    if (!strcmp(alive, "no"))
        differ(list, "alive", "yes", "no", "the platform no longer accepts this access");
    if (role && wanted && strcmp(role, wanted) != 0)
        differ(list, "role", wanted, role, "the platform shows another role");
    if (account && was->account && strcmp(account, was->account) != 0)
        differ(list, "account", was->account, account, "the platform shows another account");
    if (scope && was->scope)
        compare_scopes(list, was->scope, scope);
    if (native && was->native != GD_NATIVE_NONE && strcmp(native, "present") != 0 &&
        strcmp(native, "unknown") != 0)
        differ(list, "native", "present", native, "the native share is not there as it was made");
    else if (was->role_asked && was->role_granted && strcmp(was->role_asked, was->role_granted) != 0 &&
             (!role || !strcmp(role, was->role_granted)))
        differ(list, "role", was->role_asked, was->role_granted,
               "another role was granted than was asked for");
    return list;
}

int64_t gd_seen_time(const json_t *o, const char *key)
{
    const char *text = gd_json_text(o, key, NULL);
    int64_t at = 0;

    return text && gd_parse_i64(text, &at) && at > 0 && at < INT64_MAX / 1000 ? at * 1000 : 0;
}

json_t *gd_seen_json(const json_t *o)
{
    json_t *j = json_deep_copy(o);
    const char *alive = gd_json_text(o, "alive", NULL), *account = gd_json_text(o, "account_id", NULL);
    static const char *const times[] = { "expires_at", "starts_at", "ends_at" };

    json_object_set_new(j, "alive",
                        alive && !strcmp(alive, "yes")  ? json_true()
                        : alive && !strcmp(alive, "no") ? json_false()
                                                        : json_null());
    json_object_del(j, "account_id");
    json_object_del(j, "account_name");
    if (account)
        json_object_set_new(
            j, "account",
            json_pack("{s:s, s:s?}", "id", account, "name", gd_json_text(o, "account_name", NULL)));
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (gd_json_text(o, times[i], NULL))
            json_object_set_new(j, times[i], gd_time_json(gd_seen_time(o, times[i])));
    return j;
}
