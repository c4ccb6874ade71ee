/* server_kit.h - the server on a real socket, with doubles behind it: what its tests share. */
#ifndef RPC_SERVER_KIT_H
#define RPC_SERVER_KIT_H

#include "fake.h"
#include "base/buf.h"
#include "base/mem.h"
#include "rpc/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CL "cl01jdk3m8q4h5v6w7x8y9z0a1b2"
#define GR "gr01jdk3m8q4h5v6w7x8y9z0a1b2"
#define RQ "rq01jdk3m8q4h5v6w7x8y9z0a1b2"
#define CALL(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}\n"
#define CLIENT                                                                       \
    "{\"id\":\"" CL "\",\"workspace\":\"main\",\"name\":\"A\",\"state\":\"active\"," \
    "\"created_at\":\"2026-11-21T23:16:04.123Z\"}"

struct fix {
    char dir[64], path[108];
    uv_loop_t loop;
    struct gd_rpc *rpc;
    struct gd_clock_virtual clock;
    int fd; /* a client */
    struct gd_buf in;
    bool closed, eof;
};

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

extern const struct gd_rpc_daemon kit_daemon;

int kit_setup(void **state); /* struct fix: open, with one client */
int kit_teardown(void **state);
int kit_open_rpc(struct fix *f, const char *path, struct gd_err *err);
int kit_connect_to(const char *path);
void kit_pump(struct fix *f);    /* until nothing is left to do */
void kit_take_in(struct fix *f); /* what has come for the client */
int64_t kit_now_ms(void);
/* Turns the loop until so many lines have come, or the end, or 10 s. */
void kit_wait_lines(struct fix *f, size_t lines);
void kit_say(struct fix *f, const char *p, size_t n);
void kit_says(struct fix *f, const char *text);
const char *kit_ask(struct fix *f, const char *text); /* one line; its answer */
void kit_quiet(struct fix *f);                        /* all that is under way comes to its end */
void kit_expect(const char *answer, const char *part);
void kit_refused(struct fix *f, const char *text, const char *reason);
void kit_on_closed(void *arg); /* of gd_rpc_close; arg: bool */
/* As a rule for the client CL in main: it holds for the method as such, and for calls that name both. */
bool kit_one_client(const struct gd_caller *c, const char *method, const char *workspace, const char *client);

#endif
