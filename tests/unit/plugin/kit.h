/* kit.h - what the tests of this room share. */
#ifndef PLUGIN_KIT_H
#define PLUGIN_KIT_H

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "plugin/platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The reason is this word, and the sentence is there. */
#define assert_refused(rc, err, word)                              \
    do {                                                           \
        assert_int_equal((rc), -1);                                \
        assert_string_equal(gd_reason_word((err).reason), (word)); \
        assert_true(strlen((err).text) > 8);                       \
    } while (0)

/* A folder of our own below base, mode 0755; removed by kit_remove. Caller frees the path. */
char *kit_folder(const char *base);
void kit_remove(const char *path); /* with everything in it */
void kit_copy(const char *from, const char *to, unsigned mode);
void kit_write(const char *path, const char *text);

#endif
