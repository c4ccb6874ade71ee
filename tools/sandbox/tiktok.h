/* tiktok.h - what the files of the stand-in for TikTok share. "tiktok.md" in their comments are the facts. */
#ifndef SB_TIKTOK_H
#define SB_TIKTOK_H

#include "sandbox.h"

extern const struct sb_route tiktok_oauth_routes[];

/* The envelope (tiktok.md 1.3): code 0 with data, or another code with a message; HTTP status 200. */
void tiktok_ok(struct sb_req *r, json_t *data); /* takes the reference */
void tiktok_fail(struct sb_req *r, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
