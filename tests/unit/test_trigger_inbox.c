/* Tests trigger_inbox.c on a real PostgreSQL, in the producer's role: who rings is told on, and
 * which engines there are, but nothing before the start; what cannot be read is read again. */
#include "schema_world.h"

#include "core_witness.h"
#include "notes_world.h"
#include "trigger_inbox.h"

struct bench {
    struct world w;
    struct schema *s;
    struct notes_world notes;
    struct run_core core;
    struct core_wake *wake;
    struct trigger_inbox *inbox;
};

static void make_inbox(struct bench *b, const char *conninfo)
{
    struct db_config listen_on = {.conninfo = conninfo, .app_name = b->w.name, .links = 1};
    b->core.loop = b->w.loop;
    b->core.next_wake = INT64_MAX;
    notes_open(&b->notes);
    b->wake = core_wake_new(b->w.loop, &b->core, NULL);
    struct trigger_inbox_config cfg = {.loop = b->w.loop,
                                       .db = b->w.db,
                                       .listen_on = &listen_on,
                                       .log = b->notes.log,
                                       .wake = b->wake};
    b->inbox = trigger_inbox_new(&cfg, NULL);
    assert_non_null(b->inbox);
}

static char *conninfo_of(const struct schema *s)
{
    const char *pairs[] = {"dbname", s->name, "options", "-crole=reveille_producer", NULL};
    return world_conninfo(world_url(), pairs);
}

static void bench_open(struct bench *b, void **state)
{
    *b = (struct bench){.s = schema_of(state)};
    schema_open(b->s, &b->w, "reveille_producer", 1);
    char *conninfo = conninfo_of(b->s);
    make_inbox(b, conninfo);
    free(conninfo);
}

static void bench_close(struct bench *b)
{
    db_free(TAKE(b->w.db));
    trigger_inbox_free(b->inbox);
    core_wake_free(b->wake);
    notes_close(&b->notes);
    world_close(&b->w);
}

static int proofs(struct bench *b)
{
    return notes_lines(&b->notes, "listen_proven");
}

/* Until LISTEN's echo has come; nobody tells the test of it before the start. */
static void wait_proven(struct bench *b)
{
    while (proofs(b) == 0) {
        world_turn(&b->w);
    }
    assert_true(json_is_true(json_object_get(b->notes.line, "proven")));
}

static void ring(struct bench *b)
{
    schema_exec(b->s->pg, "select pg_notify('reveille_trigger', '')");
}

static void heard(void *arg)
{
    ++*(int *)arg;
}

/* Rings, and waits until another listener than the inbox has heard it. */
static void hear_a_ring(struct bench *b)
{
    int rings = 0, changes = 0;
    char *conninfo = conninfo_of(b->s);
    struct db_config cfg = {.conninfo = conninfo, .app_name = "reveille-test-other", .links = 1};
    struct db_listen *other =
        db_listen_new(b->w.loop, &cfg, "reveille_trigger", heard, heard, &rings, NULL);
    assert_non_null(other);
    free(conninfo);
    while (!db_listen_proven(other)) {
        world_turn(&b->w);
    }
    changes = rings;
    ring(b);
    while (rings == changes) {
        world_turn(&b->w);
    }
    db_listen_free(other);
}

static void before_the_start_the_core_is_told_nothing(void **state)
{
    struct bench b;
    bench_open(&b, state);
    wait_proven(&b);
    hear_a_ring(&b);
    assert_int_equal(b.core.told, 0);
    trigger_inbox_start(b.inbox);
    assert_int_equal(b.core.listens, 1); /* what was proven before is told now */
    assert_true(b.core.proven);
    assert_int_equal(b.core.rings, 0);
    bench_close(&b);
}

static void who_rings_is_told_on(void **state)
{
    struct bench b;
    bench_open(&b, state);
    trigger_inbox_start(b.inbox);
    assert_false(b.core.proven);
    WAIT_UNTIL(&b.w, b.core.proven);
    int rings = b.core.rings; /* the proof itself may ring */
    schema_exec(b.s->pg, "select reveille.request('u', 'manual')");
    WAIT_UNTIL(&b.w, b.core.rings > rings);
    bench_close(&b);
}

static void every_engine_is_told_once(void **state)
{
    struct bench b;
    bench_open(&b, state);
    schema_exec(b.s->pg, "insert into reveille.engine(engine, concurrency, current,"
                         " topic_partitions) values ('zz_last', 1, 1, 7) on conflict do nothing");
    char *n = schema_text(b.s->pg, "select count(*) from reveille.engine");
    int engines = atoi(n);
    free(n);
    trigger_inbox_start(b.inbox);
    WAIT_UNTIL(&b.w, b.core.engines >= engines);
    world_turn(&b.w);
    assert_int_equal(b.core.engines, engines);
    assert_string_equal(b.core.engine, "zz_last");
    assert_int_equal(b.core.partitions, 7);
    bench_close(&b);
}

static void engines_that_cannot_be_read_are_read_again(void **state)
{
    struct bench b;
    bench_open(&b, state);
    schema_exec(b.s->pg, "alter table reveille.engine rename to engine_away");
    trigger_inbox_start(b.inbox);
    while (notes_lines(&b.notes, "database_error") == 0) {
        world_turn(&b.w);
    }
    notes_expect_text(&b.notes, "what", "engine");
    assert_int_equal(b.core.engines, 0);
    schema_exec(b.s->pg, "alter table reveille.engine_away rename to engine");
    WAIT_UNTIL(&b.w, b.core.engines > 0);
    bench_close(&b);
}

static void engines_that_find_no_room_are_asked_for_again(void **state)
{
    struct bench b;
    bench_open(&b, state);
    world_fill(b.w.db, 1); /* gone before the next try */
    trigger_inbox_start(b.inbox);
    WAIT_UNTIL(&b.w, b.core.engines > 0);
    bench_close(&b);
}

static void a_lost_listener_is_told_and_comes_back(void **state)
{
    struct bench b;
    bench_open(&b, state);
    trigger_inbox_start(b.inbox);
    WAIT_UNTIL(&b.w, b.core.proven);
    int told = b.core.listens;
    schema_kill(b.s, &b.w, "query like 'LISTEN%'");
    WAIT_UNTIL(&b.w, b.core.listens > told && !b.core.proven);
    WAIT_UNTIL(&b.w, b.core.proven);
    int rings = b.core.rings;
    ring(&b);
    WAIT_UNTIL(&b.w, b.core.rings > rings);
    bench_close(&b);
}

static void nothing_is_told_after_the_end(void **state)
{
    struct bench b;
    bench_open(&b, state);
    trigger_inbox_start(b.inbox);
    int told = b.core.told;
    bench_close(&b);
    assert_int_equal(b.core.told, told);
}

static int setup(void **state)
{
    if (schema_setup(state) != 0) {
        return -1;
    }
    if (*state != NULL) {
        schema_exec(((struct schema *)*state)->pg, "select test.job('u')");
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-T14: before the start the core is told nothing, then what is known by then",
             before_the_start_the_core_is_told_nothing),
        TEST("R-T13: who rings is told on", who_rings_is_told_on),
        TEST("every engine is told once, with its partitions", every_engine_is_told_once),
        TEST("R-T14: engines that cannot be read are read again",
             engines_that_cannot_be_read_are_read_again),
        TEST("R-T14: engines that find no room are asked for again",
             engines_that_find_no_room_are_asked_for_again),
        TEST("R-T13: a lost listener is told, so that the core polls, and comes back",
             a_lost_listener_is_told_and_comes_back),
        TEST("nothing is told after the end", nothing_is_told_after_the_end),
    };
    return cmocka_run_group_tests_name("trigger_inbox", tests, setup, schema_teardown);
}
