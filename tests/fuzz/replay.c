/* Plays every file of the folders given through a fuzz target: the corpus in the ordinary test run. Each
 * input also goes in cut short and with single bytes changed, so that a small corpus is not a small test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* An exact copy on the heap, so that a read past the end is seen. */
static void play(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    memcpy(copy, p, n);
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void play_around(uint8_t *p, size_t n)
{
    static const uint8_t bytes[] = { 0, '\n', ' ', '%', '/', ':', '@', '[', 0x7f, 0xff };

    play(p, n);
    for (size_t i = 0; i < n && i < 512; i++) {
        uint8_t kept = p[i];

        play(p, i);
        for (size_t b = 0; b < sizeof bytes; b++) {
            p[i] = bytes[b];
            play(p, n);
        }
        p[i] = kept;
    }
}

static int play_file(const char *folder, const char *name)
{
    static uint8_t input[INPUT_MAX];
    char path[1024];
    size_t n;
    FILE *f;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path || !(f = fopen(path, "rb"))) {
        fprintf(stderr, "cannot read %s/%s\n", folder, name);
        return -1;
    }
    n = fread(input, 1, sizeof input, f);
    fclose(f);
    play_around(input, n);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        struct dirent *e;

        while (d && (e = readdir(d)))
            if (e->d_name[0] != '.') {
                if (play_file(argv[i], e->d_name))
                    return 1;
                files++;
            }
        if (d)
            closedir(d);
    }
    printf("%u files\n", files);
    return files ? 0 : 1; /* an empty corpus tests nothing */
}
