/* portal/gate.h - the strict gate in front of llhttp. It parses nothing for use: it only says whether the
 * bytes of a request are of the one narrow form that every HTTP implementation reads the same way, so that no
 * two programs in a row can disagree about where a request ends. Pure functions over bytes; no memory of
 * their own. */
#ifndef GD_PORTAL_GATE_H
#define GD_PORTAL_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gd_portal_gate_end { GD_GATE_MORE, GD_GATE_DONE, GD_GATE_REFUSED };

struct gd_portal_gate_slice {
    size_t at, len;
};

/* The head of one request. After DONE: method, target, host, minor, length, chunked, start and end are set.
 * After REFUSED: status is the HTTP answer and why a sentence for the log (static text, never the input). */
struct gd_portal_gate {
    struct gd_portal_gate_slice method, target, host;
    size_t start;   /* first byte of the request line (after one CRLF that a client may send first) */
    size_t end;     /* first byte behind the head */
    int64_t length; /* Content-Length; -1: none */
    int minor;      /* HTTP/1.minor */
    int status;
    const char *why;
    bool chunked;
    size_t pos, line; /* scanned so far; start of the current line */
    unsigned fields, hosts, lengths, codings;
    bool have_line; /* the request line was seen */
};
void gd_portal_gate_init(struct gd_portal_gate *g);
/* p: every byte since the connection's last request, n may grow from call to call; nothing is looked at twice
 * but the current line. Refuses as early as the offending byte. */
enum gd_portal_gate_end gd_portal_gate_head(struct gd_portal_gate *g, const char *p, size_t n);

/* The framing of the body that follows. */
struct gd_portal_gate_body {
    int64_t left; /* of the identity body or of the current chunk */
    size_t total, line_len, trailer_bytes;
    unsigned trailers;
    int state;
    int status;
    const char *why;
    char line[256]; /* current trailer */
};
/* length -1 and not chunked: no body, DONE at once. */
void gd_portal_gate_body_init(struct gd_portal_gate_body *b, int64_t length, bool chunked);
/* Looks at the next n bytes; *ret_used of them belong to this body. */
enum gd_portal_gate_end gd_portal_gate_body(struct gd_portal_gate_body *b, const char *p, size_t n,
                                            size_t *ret_used);

#endif
