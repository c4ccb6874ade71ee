/* base/text.h - small pure functions over text: encodings, UTF-8, times, names, constant-time comparison. */
#ifndef GD_BASE_TEXT_H
#define GD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the valid UTF-8 character at s (1..4), 0 when it is not one. Overlong forms and surrogates are
 * not. */
size_t gd_utf8_len(const char *s);
/* True when the n bytes are UTF-8 without NUL and without control characters other than \n and \t. */
bool gd_text_clean(const char *s, size_t n);
/* [a-z0-9_-]{1,max}, starting with a letter: names of apps, hubs, workspaces, providers, platforms. */
bool gd_name_valid(const char *s, size_t max);

/* base64url without padding, RFC 4648 5. out needs 4*((n+2)/3)+1 bytes. Returns the length. */
size_t gd_b64url(char *out, const void *p, size_t n);
/* Strict: no padding, no foreign characters, left-over bits zero. Returns the length or -1. */
long gd_b64url_decode(void *out, size_t cap, const char *s, size_t n);
/* standard base64 with padding (HTTP Basic, C2SP signed notes). */
size_t gd_b64(char *out, const void *p, size_t n);
long gd_b64_decode(void *out, size_t cap, const char *s, size_t n);
void gd_hex(char *out, const void *p, size_t n); /* out: 2n+1 bytes */
long gd_hex_decode(void *out, size_t cap, const char *s, size_t n);

/* Percent-encoding of everything but RFC 3986 unreserved characters. Caller frees with gd_free. */
char *gd_percent_encode(const char *s);
/* application/x-www-form-urlencoded (space becomes +). Caller frees. */
char *gd_form_encode(const char *s);
/* Decodes %XX (and + when form is true) in place; false on a bad escape, a NUL or invalid UTF-8. */
bool gd_percent_decode(char *s, bool form);

/* RFC 3339 in UTC with milliseconds, "2026-11-21T23:16:04.123Z". out: 32 bytes. */
void gd_time_text(char out[32], int64_t unix_ms);
/* Parses RFC 3339 with Z or an offset (also +0100, as some platforms write it), or all digits as Unix
 * seconds; -1 when it is neither. Unix ms. */
int64_t gd_time_parse(const char *s);
/* IMF-fixdate of RFC 9110 5.6.7 -> Unix seconds, -1 when it is none. */
int64_t gd_http_date(const char *s);
/* Whole decimal number, optional sign, nothing around it. False when it is none or does not fit. */
bool gd_parse_i64(const char *s, int64_t *ret);

/* Compares without telling by time where the difference is. */
bool gd_same_bytes(const void *a, const void *b, size_t n);
bool gd_same_text(const char *a, const char *b); /* NULL equals nothing */

/* Saturating arithmetic for clocks. */
int64_t gd_add_sat(int64_t a, int64_t b);

#endif
