/* audit/note.h - of this room: checkpoints as C2SP signed notes (c2sp.org/signed-note, tlog-checkpoint), so
 * that other people's tools can keep and check them. Pure. */
#ifndef GD_AUDIT_NOTE_H
#define GD_AUDIT_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#define GD_NOTE_MAX 1024

/* origin, size, root and one signature line. out: GD_NOTE_MAX bytes. origin: at most 200 bytes, no blank, no
 * plus. */
void gd_note_make(char *out, const char *origin, int64_t size, const unsigned char root[32],
                  const unsigned char seed[32]);
/* True for exactly such a note of this origin, signed by pub. */
bool gd_note_check(const char *note, const char *origin, const unsigned char pub[32], int64_t *ret_size,
                   unsigned char ret_root[32]);
/* "<origin>+<key hash>+<key>": how a verifier is told the key. out: GD_NOTE_MAX bytes. */
void gd_note_key(char *out, const char *origin, const unsigned char pub[32]);
/* Back again; origin gets at most 200 bytes and its NUL. */
bool gd_note_key_parse(const char *text, char origin[201], unsigned char pub[32]);

#endif
