/* store/module.c - loads the engine of a shared database. Whoever can put a file there runs in our process,
 * so folder and file are looked at through descriptors, and what was looked at is what is loaded. */
#include "store/module.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "postgresql.so"

static int check(int fd, const char *dir, const char *name, mode_t type, bool own_modules, struct gd_err *err)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return gd_err_set(err, GD_R_STORE_MODULE, "%s%s cannot be opened: %s", dir, name, strerror(errno));
    if ((st.st_mode & S_IFMT) != type)
        return gd_err_set(err, GD_R_STORE_MODULE, "%s%s is not what it should be", dir, name);
    if (st.st_uid != 0 && !(own_modules && st.st_uid == geteuid()))
        return gd_err_set(err, GD_R_STORE_MODULE, "%s%s belongs to user %u, not to root; chown root it", dir,
                          name, (unsigned)st.st_uid);
    if (st.st_mode & 022)
        return gd_err_set(err, GD_R_STORE_MODULE, "%s%s can be written by others (mode %04o); chmod go-w it",
                          dir, name, (unsigned)st.st_mode & 07777);
    return 0;
}

static const struct gd_store_engine *load(const char *path, const char *dir, struct gd_err *err)
{
    static const struct gd_store_module ours = GD_STORE_MODULE(NULL);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const struct gd_store_module *m = so ? dlsym(so, "gd_store_module") : NULL;

    if (!m) {
        const char *why = dlerror(), *tail = why ? strstr(why, ": ") : NULL;

        gd_err_set(err, GD_R_STORE_MODULE, "%s/" FILE_NAME " cannot be loaded: %s", dir,
                   tail ? tail + 2 : "it is no module of a store");
        return NULL;
    }
    if (memcmp(m, &ours, offsetof(struct gd_store_module, ops)) != 0) {
        gd_err_set(err, GD_R_STORE_MODULE, "%s/" FILE_NAME " belongs to another build (%.31s, this is %s)",
                   dir, m->build, ours.build);
        return NULL;
    }
    return m->ops;
}

const struct gd_store_engine *gd_store_module_load(const char *dir, bool own_modules, struct gd_err *err)
{
    int folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), file = -1;
    const struct gd_store_engine *ops = NULL;
    char path[64];

    if (check(folder, dir, "", S_IFDIR, own_modules, err) == 0) {
        file = openat(folder, FILE_NAME, O_PATH | O_CLOEXEC | O_NOFOLLOW);
        if (check(file, dir, "/" FILE_NAME, S_IFREG, own_modules, err) == 0) {
            (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
            ops = load(path, dir, err);
        }
    }
    if (file >= 0)
        close(file);
    if (folder >= 0)
        close(folder);
    return ops;
}
