/* Requests: however the bytes are cut, the reader says the same; and what it takes, http-parser takes with
 * the same method, target, body and end. Anything else aborts. */
#include "agree.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct reading whole = read_in_pieces(p, n, n, n), parts = read_in_pieces(p, n, 1, 1);
    size_t sum = n;

    must_be_same(&whole, &parts);
    must_suit_http_parser(&whole, p, n);
    reading_done(&parts);
    for (size_t i = 0; i < n && i < 64; i++)
        sum = sum * 31 + p[i];
    for (size_t i = 0; n > 1 && i < 3; i++) {
        parts = read_in_pieces(p, n, 1 + (sum >> (i * 7)) % n, 1 + (sum >> (i * 5)) % 17);
        must_be_same(&whole, &parts);
        reading_done(&parts);
    }
    reading_done(&whole);
    return 0;
}
