/* qr.c - a QR code in half blocks, with its quiet zone. */
#include "ctl.h"

#include <qrencode.h>

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

bool qr_print(const char *text, bool colour)
{
    QRcode *q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);

    if (!q)
        return false;
    for (int y = -QUIET; y < q->width + QUIET; y += 2)
        row(q, y, colour);
    QRcode_free(q);
    return true;
}
