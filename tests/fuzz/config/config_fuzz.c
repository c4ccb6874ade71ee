/* Configuration files: taken whole and can be shown, or refused with at least one error; the text of a secret
 * is in neither. Anything else aborts. */
#include "base/mem.h"
#include "config/config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CANARY "CANARY-7f3a"

static const char *const sizes[] = { "small", "big", NULL };
static const struct grantd_option options[] = {
    { "client_id", NULL, "id", GRANTD_OPT_REQUIRED, GRANTD_TEXT, NULL },
    { "client_secret", NULL, "secret", GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { "issuer", NULL, "issuer", 0, GRANTD_URL, NULL },
    { "count", NULL, "count", 0, GRANTD_INT, NULL },
    { "strict", NULL, "strict", 0, GRANTD_BOOL, NULL },
    { "size", NULL, "size", 0, GRANTD_ENUM, sizes },
    { "business", NULL, "hub's", GRANTD_OPT_HUB, GRANTD_TEXT, NULL },
    { NULL, NULL, NULL, 0, 0, NULL },
};

static void must(int ok)
{
    if (!ok)
        abort();
}

static const struct grantd_option *find(void *arg, const char *platform)
{
    (void)arg;
    return !strcmp(platform, "acme") ? options : NULL;
}

/* One file in memory for all runs. */
static const char *put(const uint8_t *data, size_t n)
{
    static char path[40];
    static int fd = -1;

    if (fd < 0) {
        gd_json_setup();
        (void)setenv("S", CANARY, 1);
        fd = memfd_create("config", 0);
        must(fd >= 0 && fchmod(fd, 0600) == 0);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct gd_config_errors errors;
    const struct gd_config_given given = { .state_dir = "/s", .platform_dir = "/p", .options = find };
    const char *path = put(data, n);
    struct gd_config *c = NULL;
    json_t *shown;
    char *text;

    if (gd_config_load(&c, path, &given, &errors) == 0) {
        must(c != NULL && errors.count == 0);
        shown = gd_config_json(c);
    } else {
        must(c == NULL && errors.count > 0);
        shown = gd_config_errors_json(&errors);
        must(json_array_size(shown) == errors.count);
    }
    text = gd_json_dump(shown);
    must(text != NULL && (memmem(data, n, "CANARY", 6) || !strstr(text, CANARY)));
    gd_free(text);
    json_decref(shown);
    gd_config_free(c);
    return 0;
}
