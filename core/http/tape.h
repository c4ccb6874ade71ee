/* http/tape.h - a transport that plays recorded answers: tests and grantd-plugtest. A tape is data:
 * [{"expect":{"method","url","headers":{},"form":{},"json":{}},"answer":{"status","headers":{},"body"|"json"|"form"}}]
 * in order. An expected value "*" matches anything present.
 * Headers: those named must be there (null: must not be), others are not looked at. Forms, JSON and "query"
 * (an object, beside a "url" without one) must have exactly the named members, in any order. A request with a
 * body needs form, json or body in "expect". A header's value in an answer may be an array.
 * "answer":{"end":"uncertain"|"not_sent"|"refused","reason":WORD} plays a transport failure; a body of more
 * than GD_HTTP_BODY_MAX is ANSWER_TOO_LARGE as with the client. Requests pass the guard of http/egress.c
 * first. */
#ifndef GD_HTTP_TAPE_H
#define GD_HTTP_TAPE_H

#include "http/http.h"

struct gd_tape;
/* frames: array as above (a new reference is taken). Answers are delivered by gd_tape_step, never by
 * themselves. */
struct gd_tape *gd_tape_new(json_t *frames, const struct gd_clock *clock);
void gd_tape_free(struct gd_tape *t);
struct gd_transport *gd_tape_transport(struct gd_tape *t);
/* Delivers the answer to the request in flight. False when there is none. */
bool gd_tape_step(struct gd_tape *t);
/* Replaces the answer of frame i (0-based) for fault sweeps. */
void gd_tape_fault(struct gd_tape *t, size_t i, json_t *answer);
/* What went wrong ("frame 2: url is ..., expected ..."), NULL when all matched so far. */
const char *gd_tape_problem(const struct gd_tape *t);
size_t gd_tape_played(const struct gd_tape *t);
size_t gd_tape_frames(const struct gd_tape *t);

#endif
