/* reveille-sim: both cores in simulated worlds, one a seed. Prints the seeds that break an
 * invariant and how to replay them, then what was reached. Exit: 0 all held, 1 not, 2 usage. */
#include "world.h"

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS_DEFAULT 2000
#define SEEDS_FOR_COVERAGE 2000 /* from here on everything must have happened at least once */
#define FAILURES_MAX 10
#define KEPT_BYTES (64 * 1024 * 1024)

struct options {
    uint64_t first, count;
    bool trace;
};

static bool run_seed(uint64_t seed, bool trace, struct tally *tally)
{
    struct world *w = world_new(seed, trace, tally);
    world_run(w);
    bool held = !w->broken;
    if (!held)
        printf("seed %" PRIu64 " at %.3f s: %s\n    replay: reveille-sim --seed %" PRIu64
               " --trace\n",
               seed, (double)(w->now - WORLD_START) / 1000, w->why, seed);
    world_free(w);
    return held;
}

static bool number(const char *text, uint64_t *ret_n)
{
    char *end;
    *ret_n = strtoull(text, &end, 10);
    return *text != '\0' && *end == '\0';
}

static bool parse(int argc, char **argv, struct options *ret)
{
    static const struct option longs[] = {{"seeds", required_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"trace", no_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    *ret = (struct options){.first = 1, .count = SEEDS_DEFAULT};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 't')
            ret->trace = true;
        else if (c == 'n' && number(optarg, &ret->count))
            continue;
        else if (c == 'f' && number(optarg, &ret->first))
            continue;
        else if (c == 's' && number(optarg, &ret->first))
            ret->count = 1;
        else
            return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct options o;
    struct tally tally = {.runs = 0};
    uint64_t passed = 0, failed = 0;
    /* worlds are the same size: what one has had, the next one takes, without asking the kernel */
    (void)mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: reveille-sim [--seeds N] [--first S] [--seed S] [--trace]\n");
        return 2;
    }
    for (uint64_t i = 0; i < o.count && failed < FAILURES_MAX; i++) {
        if (run_seed(o.first + i, o.trace, &tally))
            passed++;
        else
            failed++;
    }
    int never = o.count > 1 ? tally_print(&tally) : 0;
    bool poor = never > 0 && o.count >= SEEDS_FOR_COVERAGE && failed == 0;
    if (poor)
        printf("%d faults, asks or edges never happened: the simulation has lost its reach\n",
               never);
    printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", passed, failed + poor);
    return failed > 0 || poor;
}
