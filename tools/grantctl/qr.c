/* qr.c - a QR code in half blocks, with its quiet zone. */
#include "ctl.h"

#include <langinfo.h>
#include <qrencode.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define QUIET 2

static bool dark(const QRcode *q, int x, int y)
{
    return x >= 0 && y >= 0 && x < q->width && y < q->width && (q->data[y * q->width + x] & 1);
}

static void row(const QRcode *q, int y, bool colour)
{
    static const char *const glyph[] = { " ", "\u2584", "\u2580", "\u2588" };

    (void)fputs(colour ? "  \033[30;107m" : "  ", stdout);
    for (int x = -QUIET; x < q->width + QUIET; x++)
        (void)fputs(glyph[(dark(q, x, y) == colour) * 2 + (dark(q, x, y + 1) == colour)], stdout);
    (void)fputs(colour ? "\033[0m\n" : "\n", stdout);
}

/* Lines that the terminal folds are no code; a pipe has no width. */
static bool fits(const QRcode *q)
{
    struct winsize w;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_col || w.ws_col >= q->width + 2 * QUIET + 2;
}

/* The blocks are UTF-8, and a terminal that reads something else shows others. */
static bool shows_blocks(void)
{
    return !isatty(STDOUT_FILENO) || !strcmp(nl_langinfo(CODESET), "UTF-8");
}

const char *qr_print(const char *text, bool colour)
{
    QRcode *q = shows_blocks() ? QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L) : NULL;

    if (!q)
        return shows_blocks() ? "the link is too long for a QR code"
                              : "this terminal's character set has no blocks for a QR code; it is not UTF-8";
    if (!fits(q)) {
        QRcode_free(q);
        return "this terminal is too narrow for the link's QR code";
    }
    for (int y = -QUIET; y < q->width + QUIET; y += 2)
        row(q, y, colour);
    QRcode_free(q);
    return NULL;
}
