/* kit.h - what the tests of this room share. */
#ifndef KIT_H
#define KIT_H

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Bytes of a hex text; at most 512, in one of eight rotating buffers. */
static inline const unsigned char *hex(const char *text)
{
    static unsigned char buf[8][512];
    static unsigned next;
    unsigned char *b = buf[next++ % 8];

    assert_true(gd_hex_decode(b, sizeof buf[0], text, strlen(text)) >= 0);
    return b;
}

#define assert_hex(p, text) assert_memory_equal((p), hex(text), strlen(text) / 2)

#endif
