/* See engine_sql.h. */
#include "engine_sql.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"
#include "settle_row.h"

#include <stdlib.h>

#define SQL_MAGIC 0x65737164u
#define ASK_MAGIC 0x65737161u

/* Locks the slice's row while it judges, and writes under it as settle_slice does. No row: it is
 * not pending, or somebody else lives on it. */
#define JUDGE_SQL                                                                   \
    "select " SETTLE_COLUMNS " from reveille.judge_slices($1, array[$2::int], $3, " \
    "p_each => $4, p_stale => $5::int * interval '1 ms', p_careful => $6)"

struct judge_ask {
    unsigned magic;
    struct engine_sql *sql;
    struct pool_ref ref;
    int engine;
    int64_t at_us;
    bool unsent; /* its answer waits for the timer */
};

struct engine_sql {
    unsigned magic;
    struct engine_sql_config cfg;
    struct loop_timer *timer;
    struct judge_ask asks[POOL_SLOTS];
};

struct engine engine_sql_entry(void)
{
    return (struct engine){.name = "sql", .timeout_ms = ENGINE_SQL_MS, .bulk = LIMIT_JUDGES};
}

static void tell(const struct judge_ask *ask, const struct settle_answer *a)
{
    const struct engine_sql_config *cfg = &ask->sql->cfg;
    cfg->on_judged(cfg->arg, ask->engine, ask->ref, a, clock_mono_us() - ask->at_us);
}

static void judged(void *arg, enum db_outcome outcome, const struct db_result *r,
                   const struct err *err)
{
    const struct judge_ask *ask = CHECK_MAGIC(struct judge_ask, arg, ASK_MAGIC);
    struct settle_row row;
    settle_row_init(&row, outcome, r, err);
    tell(ask, &row.answer);
    settle_row_release(&row);
}

void engine_sql_judge(struct engine_sql *s, int engine, struct pool_ref ref,
                      const struct pool_judge *judge)
{
    assert(ref.slot < POOL_SLOTS);
    struct judge_ask *ask = &s->asks[ref.slot];
    struct db_args *args = db_args_new();
    assert(!ask->unsent);
    ask->ref = ref;
    ask->engine = engine;
    ask->at_us = clock_mono_us();
    db_arg_uuid(args, &judge->run);
    db_arg_int(args, judge->slice);
    db_arg_text(args, s->cfg.worker_name);
    db_arg_bool(args, judge->each);
    db_arg_int(args, s->cfg.stale_ms);
    db_arg_bool(args, judge->careful);
    if (db_call(s->cfg.db, JUDGE_SQL, args, ENGINE_SQL_MS, judged, ask, NULL)) {
        ask->unsent = true;
        loop_timer_arm(s->timer, 0);
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static void timer_fired(void *arg)
{
    struct engine_sql *s = CHECK_MAGIC(struct engine_sql, arg, SQL_MAGIC);
    const struct settle_answer a = settle_unsent();
    for (int i = 0; i < POOL_SLOTS; i++) {
        if (!s->asks[i].unsent)
            continue;
        s->asks[i].unsent = false;
        tell(&s->asks[i], &a);
    }
}

struct engine_sql *engine_sql_new(struct loop *loop, const struct engine_sql_config *cfg,
                                  struct err *err)
{
    struct engine_sql *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)err_errno(err, "engine sql");
        return NULL;
    }
    s->magic = SQL_MAGIC;
    s->cfg = *cfg;
    for (int i = 0; i < POOL_SLOTS; i++)
        s->asks[i] = (struct judge_ask){.magic = ASK_MAGIC, .sql = s};
    s->timer = loop_timer_new(loop, timer_fired, s, err);
    if (s->timer == NULL) {
        engine_sql_free(s);
        return NULL;
    }
    return s;
}

void engine_sql_free(struct engine_sql *s)
{
    if (s == NULL)
        return;
    loop_timer_free(s->timer);
    free(s);
}
