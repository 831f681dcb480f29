/* Holds the simulator's model of PostgreSQL against the real functions: the same random sequences
 * of protocol calls, on one clock, give the same answers and leave the same rows. Not a test of
 * either alone: tests/sql says what the functions must do, the simulator what follows for the
 * cores. MODEL_SEEDS=N: how many sequences (30); MODEL_SEED=N: one, and each of its calls is
 * printed. */
#define world unit_world /* the simulator has one of its own */
#include "schema_world.h"
#undef world

#include "steps.h"

#define STEPS 400 /* of a sequence: enough for two runs, their ends and their replays */

static int number(const char *name, int fallback)
{
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : fallback;
}

static void start(struct pair *p, uint64_t seed)
{
    static const struct settings settings = {.jobs = 2, .engines = 1, .partitions = 4};
    int roster[2], page[2];
    PGconn *pg = p->pg;
    *p = (struct pair){.pg = pg, .world = {.seed = seed, .now = WORLD_START, .set = settings}};
    rng_seed(&p->world.rng, seed);
    p->world.set.concurrency = (int)world_between(&p->world, 1, 10);
    p->world.db = model_db_new(&p->world);
    p->world.db->engine[0].moved_at = p->world.db->engine[0].halved_at = WORLD_START - 3600000;
    for (int i = 0; i < 2; i++) {
        roster[i] = p->world.db->job[i].roster;
        page[i] = p->world.db->job[i].page_size;
    }
    reality_set_clock(pg, p->world.now);
    reality_reset(pg, p->world.set.concurrency, roster, page);
}

static const struct step *draw_step(struct pair *p)
{
    int all = 0, at;
    for (int i = 0; i < step_count; i++)
        all += steps[i].weight;
    at = (int)world_between(&p->world, 0, all - 1);
    for (int i = 0; i < step_count; i++)
        if ((at -= steps[i].weight) < 0)
            return &steps[i];
    return &steps[0];
}

static void expect_alike(const struct pair *p, uint64_t seed, int n, const char *what)
{
    if (strcmp(p->model, p->real) != 0)
        fail_msg("MODEL_SEED=%llu, call %d, %s:\nmodel: %s\nreal:  %s\n", (unsigned long long)seed,
                 n, what, p->model, p->real);
}

static void one_sequence(struct pair *p, uint64_t seed, bool shown, int *counts)
{
    start(p, seed);
    for (int n = 0; n < STEPS; n++) {
        const struct step *step = draw_step(p);
        step->run(p);
        counts[step - steps] += p->model[0] != '\0';
        if (shown)
            print_message("%3d %-18s %s\n", n, step->name, p->model);
        expect_alike(p, seed, n, step->name);
        if (n % 20 == 19) {
            steps_compare_all(p);
            expect_alike(p, seed, n, "the rows");
        }
    }
    model_db_free(p->world.db);
}

static void the_same_calls_the_same_answers(void **state)
{
    struct schema *s = schema_of(state);
    struct pair *p = calloc(1, sizeof(*p));
    int counts[64] = {0}, one = number("MODEL_SEED", 0), seeds = number("MODEL_SEEDS", 30);
    reality_prepare(s->pg);
    p->pg = s->pg;
    for (int seed = one > 0 ? one : 1; seed <= (one > 0 ? one : seeds); seed++)
        one_sequence(p, (uint64_t)seed, one > 0, counts);
    for (int i = 0; i < step_count && one == 0; i++)
        print_message("%-22s %6d answers compared\n", steps[i].name, counts[i]);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("the model of PostgreSQL and the real functions give the same answers and rows",
             the_same_calls_the_same_answers),
    };
    return cmocka_run_group_tests_name("model", tests, schema_setup, schema_teardown);
}
