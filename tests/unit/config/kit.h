/* kit.h - what the tests of the configuration share: a file, a secret, platforms with options. */
#ifndef CONFIG_KIT_H
#define CONFIG_KIT_H

#include "config/config.h"

#include "base/mem.h"
#include "base/rng.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define APP "apps:\n  one:\n    platform: acme\n    client_id: a\n" /* line 5 follows */

struct fix {
    char dir[64];
    char path[96], secret[96];
    struct gd_config_given given;
    struct gd_config_errors errors;
    struct gd_config *cfg;
    int loads;
    char loaded_dir[128];
    bool load_fails;
};

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

int kit_setup(void **state); /* struct fix: a folder, a secret file, platforms acme and plain */
int kit_teardown(void **state);
void kit_write_file(const char *path, const char *text, size_t n, mode_t mode);
int kit_load_bytes(struct fix *f, const char *yaml, size_t n);
int kit_load(struct fix *f, const char *yaml);
void kit_loads(struct fix *f, const char *yaml); /* without a mistake */
/* The mistake of that word at that place; NULL: none. */
const struct gd_config_error *kit_find_error(const struct fix *f, enum gd_reason reason, int line,
                                             int column);
void kit_show_errors(const struct fix *f);

#endif
