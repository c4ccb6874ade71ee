/* config/secret.c - where secrets come from: a file, the environment or a systemd credential, never the YAML
 * itself, so that the configuration may be shown, compared and kept under version control. */
#include "config/config_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX GD_CRED_BLOB_MAX

/* A secret that anybody may read, or that others may change, is none. */
static bool mode_ok(struct ctx *c, yaml_node_t *n, int fd, const char *path)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_UNREADABLE, "%.200s is not a plain file", path);
        return false;
    }
    if ((st.st_mode & 0026) == 0)
        return true;
    gd_config_fail(c, n, GD_R_CONFIG_SECRET_MODE, "%.200s can be %s by others: chmod o-rwx,g-w it", path,
                   st.st_mode & 0022 ? "changed" : "read");
    return false;
}

static char *read_fd(int fd, size_t max)
{
    char *s = gd_new(max + 2);
    size_t n = 0;
    ssize_t k;

    while (n <= max && (k = read(fd, s + n, max + 1 - n)) != 0) {
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            break;
        n += (size_t)k;
    }
    if (n <= max && strlen(s) == n) /* neither too long nor with a NUL */
        return s;
    gd_free(s);
    return NULL;
}

/* Editors end a file with a newline; it is no part of a secret. */
static void cut_newline(char *s)
{
    size_t n = strlen(s);

    if (n && s[n - 1] == '\n')
        s[--n] = '\0';
    if (n && s[n - 1] == '\r')
        s[--n] = '\0';
}

static char *from_file(struct ctx *c, yaml_node_t *n, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *s;

    if (fd < 0) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_UNREADABLE, "%.200s: %s", path, strerror(errno));
        return NULL;
    }
    if (!mode_ok(c, n, fd, path)) {
        close(fd);
        return NULL;
    }
    s = read_fd(fd, SECRET_MAX);
    close(fd);
    if (!s) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_UNREADABLE, "%.200s holds a NUL or more than %d bytes", path,
                       SECRET_MAX);
        return NULL;
    }
    cut_newline(s);
    return s;
}

static char *credential_path(struct ctx *c, yaml_node_t *n, const char *name)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY"); /* check:allow set by systemd, read only */

    if (!dir) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_UNREADABLE,
                       "the credential %.64s cannot be read: systemd has given no credentials", name);
        return NULL;
    }
    if (strchr(name, '/') || name[0] == '.') {
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "a credential is named without its folder");
        return NULL;
    }
    return gd_strf("%s/%s", dir, name);
}

static char *from_credential(struct ctx *c, yaml_node_t *n, const char *name)
{
    GD_AUTO_FREE char *path = credential_path(c, n, name);

    return path ? from_file(c, n, path) : NULL;
}

static char *from_environment(struct ctx *c, yaml_node_t *n, const char *name)
{
    const char *v = getenv(name); /* check:allow named by the operator, while loading only */

    if (!v)
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_UNREADABLE, "the environment has no %.64s", name);
    return gd_strdup(v);
}

static char *read_source(struct ctx *c, yaml_node_t *v, const char *source, const char *arg)
{
    GD_AUTO_FREE char *path = NULL;

    if (!strcmp(source, "credential"))
        return from_credential(c, v, arg);
    if (!strcmp(source, "env"))
        return from_environment(c, v, arg);
    path = gd_config_path(c, arg);
    return from_file(c, v, path);
}

char *gd_config_secret(struct ctx *c, yaml_node_t *n, const char *what, json_t **ret_shown)
{
    yaml_node_pair_t *p = n->type == YAML_MAPPING_NODE ? n->data.mapping.pairs.start : NULL;
    const char *source = p && n->data.mapping.pairs.top - p == 1 ? gd_config_key(c, p) : "";
    const char *arg;
    char *s;

    if (strcmp(source, "file") != 0 && strcmp(source, "env") != 0 && strcmp(source, "credential") != 0) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_LITERAL,
                       "%.64s has to be {file: path}, {env: NAME} or {credential: name}", what);
        return NULL;
    }
    arg = gd_config_scalar(c, gd_config_node(c, p->value), source);
    s = arg ? read_source(c, gd_config_node(c, p->value), source, arg) : NULL;
    if (!s)
        return NULL;
    if (!*s || !gd_text_clean(s, strlen(s))) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_UNREADABLE, "what %.64s names is empty or no clean UTF-8",
                       what);
        gd_free(s);
        return NULL;
    }
    *ret_shown = json_pack("{s:s}", source, arg);
    return s;
}

char *gd_config_secret_path(struct ctx *c, yaml_node_t *n, const char *what, json_t **ret_shown)
{
    yaml_node_pair_t *p = n->type == YAML_MAPPING_NODE ? n->data.mapping.pairs.start : NULL;
    const char *source = p ? gd_config_key(c, p) : "", *arg;
    GD_AUTO_FREE char *value = NULL;
    char *path;

    if (!strcmp(source, "env")) {
        gd_config_fail(c, n, GD_R_CONFIG_SECRET_LITERAL,
                       "%.64s has to be {file: path} or {credential: name}: it is read again when it changes",
                       what);
        return NULL;
    }
    value = gd_config_secret(c, n, what, ret_shown); /* now, so that what is wrong is said now */
    if (!value)
        return NULL;
    arg = gd_config_scalar(c, gd_config_node(c, p->value), source);
    path = !strcmp(source, "credential") ? credential_path(c, n, arg) : gd_config_path(c, arg);
    return path;
}
