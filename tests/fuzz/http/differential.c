/* Every file of a folder, cut in two at every byte and read byte by byte, against the reading as a whole and
 * against http-parser. Says how many requests were taken, so that a corpus that is refused as a whole is no
 * success. */
#include "agree.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static void play(const unsigned char *p, size_t n, unsigned *taken)
{
    struct reading whole = read_in_pieces(p, n, n, n);

    must_suit_http_parser(&whole, p, n);
    *taken += whole.end == GD_READ_DONE;
    for (size_t at = 1; at <= n; at++) {
        struct reading two = read_in_pieces(p, n, at, n), rest = read_in_pieces(p, n, at, 1);

        must_be_same(&whole, &two);
        must_be_same(&whole, &rest);
        reading_done(&two);
        reading_done(&rest);
    }
    reading_done(&whole);
}

/* A file's bytes, and how many. Exits when it cannot be read. */
static size_t load(const char *folder, const char *name, unsigned char *out, size_t cap)
{
    char path[1024];
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "rb");
    if (!f) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    n = fread(out, 1, cap, f);
    (void)fclose(f);
    return n;
}

int main(int argc, char **argv)
{
    static unsigned char input[65536];
    unsigned files = 0, taken = 0;
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        files++;
        play(input, load(argv[1], e->d_name, input, sizeof input), &taken);
    }
    if (d)
        (void)closedir(d);
    (void)printf("%u files, %u taken\n", files, taken);
    return files >= 100 && taken >= 20 ? 0 : 1;
}
