/* The sql engine: judges and settles a slice in one call of judge_slices, in which the job's judge,
 * a SQL function, sees all of its subjects at once. A bulk engine: the core asks it for slices, not
 * for subjects, within the lent limit as always. Retries nothing: the core does. */
#ifndef REVEILLE_ENGINE_SQL_H
#define REVEILLE_ENGINE_SQL_H

#include "db.h"
#include "engine.h"
#include "loop.h"
#include "pool_core.h"

/* Its entry among the engines: its name, its longest call, how many slices at a time. */
struct engine engine_sql_entry(void);

struct engine_sql;

struct engine_sql_config {
    struct db *db;           /* its own: what it asks takes longer than a claim or a settle */
    const char *worker_name; /* borrowed */
    int stale_ms;            /* a claim not renewed for so long is anybody's */
    /* From the loop, never from within engine_sql_judge. answer: lent during the call. */
    void (*on_judged)(void *arg, int engine, struct pool_ref ref,
                      const struct settle_answer *answer, int64_t duration_us);
    void *arg;
};

struct engine_sql *engine_sql_new(struct loop *loop, const struct engine_sql_config *cfg,
                                  struct err *err);
void engine_sql_free(struct engine_sql *s);

/* One at a time for a slot of the core; engine: told back. → on_judged */
void engine_sql_judge(struct engine_sql *s, int engine, struct pool_ref ref,
                      const struct pool_judge *judge);

#endif
