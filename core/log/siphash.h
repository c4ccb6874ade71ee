/* log/siphash.h - SipHash-2-4 (Aumasson, Bernstein 2012): the keyed hash under which secrets are printed. It
 * lives here because the room of real cryptography stands above log. Any thread. */
#ifndef GD_LOG_SIPHASH_H
#define GD_LOG_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t gd_log_siphash(const unsigned char key[16], const void *p, size_t n);

#endif
