/* Whether the time of secret_matches() tells how much of a guess is right: Welch's t over two
 * classes of guesses, drawn at random from one moment to the next, and beside it the same for a
 * comparison byte by byte, to see that a leak would be seen. Prints; asserts nothing.
 * tests/bench/guessing.py runs it, also with `count CLASS`, where valgrind counts the instructions
 * of COUNT comparisons of one class. */
#include "attrs.h"
#include "secret.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT 1000
#define WARM_UP 10000
#define TRIM 0.95 /* of all samples: what is slower was interrupted */

static const char right[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/* Class 0: wrong from the first digit on. Class 1: wrong in the last digit only. */
static char guesses[2][sizeof right];

static bool same_secret(const struct secret *s, const char *guess)
{
    return secret_matches(s, guess, sizeof right - 1);
}

static bool same_bytes(const struct secret *s, const char *guess)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->text[i] != guess[i])
            return false;
    return true;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct sample {
    double ns;
    int class;
};

static int by_time(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->ns, y = ((const struct sample *)b)->ns;
    return (x > y) - (x < y);
}

struct moments {
    double n, mean, m2;
};

static void add(struct moments *m, double x)
{
    double d = x - m->mean;
    m->n++;
    m->mean += d / m->n;
    m->m2 += d * (x - m->mean);
}

static void welch(const char *name, struct sample *samples, size_t count)
{
    struct moments m[2] = {{0}};
    qsort(samples, count, sizeof *samples, by_time);
    for (size_t i = 0; i < (size_t)((double)count * TRIM); i++)
        add(&m[samples[i].class], samples[i].ns);
    double v0 = m[0].m2 / (m[0].n - 1) / m[0].n, v1 = m[1].m2 / (m[1].n - 1) / m[1].n;
    printf("%s %zu %.2f %.3f %.2f\n", name, count, m[0].mean, m[1].mean - m[0].mean,
           (m[0].mean - m[1].mean) / sqrt(v0 + v1));
}

static void measure(const char *name, bool (*same)(const struct secret *s, const char *guess),
                    const struct secret *s, size_t count)
{
    struct sample *samples = calloc(count, sizeof *samples);
    static char guess[sizeof right]; /* one place for both, so that the caches know no class */
    volatile bool result = false;
    if (samples == NULL)
        exit(EXIT_FAILURE);
    for (size_t i = 0; i < WARM_UP + count; i++) {
        int class = (int)(random() & 1);
        memcpy(guess, guesses[class], sizeof guess);
        double begin = now_ns();
        result = same(s, guess);
        double end = now_ns();
        if (i >= WARM_UP)
            samples[i - WARM_UP] = (struct sample){end - begin, class};
    }
    (void)result;
    welch(name, samples, count);
    free(samples);
}

int main(int argc, char **argv)
{
    struct secret s = SECRET_INIT;
    if (argc != 3 || secret_from_text(&s, right, NULL)) {
        fprintf(stderr, "usage: reveille-secret-timing time SAMPLES | count CLASS\n");
        return 2;
    }
    for (size_t i = 0; i < COUNT_OF(guesses); i++)
        memcpy(guesses[i], right, sizeof right);
    guesses[0][0] ^= 1;
    guesses[1][sizeof right - 2] ^= 1;
    long n = strtol(argv[2], NULL, 10);
    if (strcmp(argv[1], "time") == 0) {
        srandom((unsigned)time(NULL));
        measure("secret_matches", same_secret, &s, (size_t)n);
        measure("byte_by_byte", same_bytes, &s, (size_t)n);
    } else {
        volatile bool result = false;
        for (int i = 0; i < COUNT; i++)
            result = same_secret(&s, guesses[n & 1]);
        (void)result;
    }
    secret_release(&s);
    return 0;
}
