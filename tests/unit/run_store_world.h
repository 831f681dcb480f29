/* What the tests of run_store share: a store on a migrated PostgreSQL, in the producer's role, with
 * the witness in the core's place, and a run to ask about. */
#ifndef REVEILLE_RUN_STORE_WORLD_H
#define REVEILLE_RUN_STORE_WORLD_H

#include "schema_world.h"

#include "core_witness.h"
#include "notes_world.h"
#include "run_store.h"

#define REF ((struct lead_ref){3, 9})

struct bench {
    struct world w;
    struct schema *s;
    struct notes_world notes;
    struct run_core core;
    struct core_wake *wake;
    struct run_store *store;
    struct uuid aged; /* the last run whose age was told */
    int64_t age_ms;
    int opens_before; /* how often the core had been told of an open by then */
    struct opened_run run;
};

static inline void on_age(void *arg, const struct uuid *run, int64_t age_ms)
{
    struct bench *b = arg;
    b->aged = *run;
    b->age_ms = age_ms;
    b->opens_before = b->core.opens;
}

static inline void make_store(struct bench *b)
{
    b->core.loop = b->w.loop;
    b->core.next_wake = INT64_MAX;
    notes_open(&b->notes);
    b->wake = core_wake_new(b->w.loop, &b->core, NULL);
    struct run_store_config cfg = {.loop = b->w.loop,
                                   .db = b->w.db,
                                   .log = b->notes.log,
                                   .wake = b->wake,
                                   .holder = "p1",
                                   .topic_prefix = "unit",
                                   .page_size = 3,
                                   .stale_ms = 10000,
                                   .on_age = on_age,
                                   .arg = b};
    b->store = run_store_new(&cfg, NULL);
    assert_non_null(b->store);
}

static inline void bench_open(struct bench *b, void **state)
{
    *b = (struct bench){.s = schema_of(state)};
    schema_open(b->s, &b->w, "reveille_producer", 2);
    make_store(b);
}

static inline void bench_close(struct bench *b)
{
    db_free(TAKE(b->w.db));
    run_store_free(b->store);
    core_wake_free(b->wake);
    notes_close(&b->notes);
    if (b->s != NULL) {
        schema_exec(b->s->pg, "delete from reveille.trigger_request; delete from reveille.run");
    }
    world_close(&b->w);
}

/* Runs a call of the store and waits until the core is told; once, and not from within. */
#define TOLD(b, call)                                  \
    do {                                               \
        int before_ = (b)->core.told;                  \
        (b)->core.asking = true;                       \
        call;                                          \
        (b)->core.asking = false;                      \
        WAIT_UNTIL(&(b)->w, (b)->core.told > before_); \
        assert_int_equal((b)->core.told, before_ + 1); \
    } while (0)

#define TOLD_WITH_REF(b, call)                         \
    do {                                               \
        TOLD(b, call);                                 \
        assert_int_equal((b)->core.ref.slot, 3);       \
        assert_int_equal((b)->core.ref.generation, 9); \
    } while (0)

/* A run of six mentors, opened and not planned. */
static inline void open_run(struct bench *b)
{
    schema_exec(b->s->pg, "select reveille.request('u', 'manual')");
    TOLD(b, run_store_open(b->store));
    assert_int_equal(b->core.opens, 1);
    assert_false(b->core.failed || b->core.none);
    b->run = b->core.run;
}

static inline void plan(struct bench *b, int pages)
{
    TOLD_WITH_REF(b, run_store_plan(b->store, REF, &b->run, pages));
}

/* The same, planned: two slices of three, and a third call that finds nobody more. */
static inline void open_planned_run(struct bench *b)
{
    open_run(b);
    plan(b, 10);
    assert_int_equal(b->core.pages.outcome, PLAN_LAST);
    assert_int_equal(b->core.pages.slices, 2);
}

#endif
