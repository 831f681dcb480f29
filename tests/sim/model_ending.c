/* See model_db.h: how runs end: closed, failed, cancelled, past their deadline. */
#include "checker.h"
#include "model_db.h"

static bool active(const struct db_run *r)
{
    return !run_state_ended(r->state);
}

static void finish(struct model_db *db, struct db_run *r, enum run_state state)
{
    r->state = state;
    if (r->planned < 0)
        r->planned = r->cursor;
    for (int i = 0; i < r->slices; i++) {
        r->total_evaluated += r->slice[i].evaluated;
        r->total_skipped += r->slice[i].skipped;
        r->total_errors += r->slice[i].errors;
        r->total_unreached += r->slice[i].unreached;
    }
    checker_closed(db->world, r);
}

bool model_db_close(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence)
{
    struct db_run *r = model_db_run(db, id);
    if (r == NULL)
        return false;
    if (!active(r))
        return true;
    if (r->state != RUN_RUNNING || r->holder != holder || r->fence != fence)
        return false;
    for (int i = 0; i < r->slices; i++)
        if (r->slice[i].state == DB_PENDING)
            return false;
    finish(db, r, RUN_COMPLETED);
    return true;
}

bool model_db_fail(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence)
{
    struct db_run *r = model_db_run(db, id);
    if (r == NULL)
        return false;
    if (!active(r))
        return true;
    if (r->state != RUN_PLANNING || r->holder != holder || r->fence != fence)
        return false;
    model_db_cancel(db, r, RUN_FAILED);
    return true;
}

void model_db_cancel(struct model_db *db, struct db_run *r, enum run_state state)
{
    if (!active(r))
        return;
    int pending = 0;
    for (int i = 0; i < r->slices; i++)
        if (r->slice[i].state == DB_PENDING) {
            pending++;
            r->slice[i].state = DB_UNREACHED;
            r->slice[i].unreached = r->slice[i].n;
        }
    if (state == RUN_PARTIAL && r->state == RUN_PLANNING)
        state = RUN_FAILED;
    else if (state == RUN_PARTIAL && pending == 0)
        state = RUN_COMPLETED; /* all done, only nobody closed it in time */
    finish(db, r, state);
}

void model_db_end_overdue(struct model_db *db)
{
    for (int i = 0; i < db->runs; i++)
        if (active(&db->run[i]) && db->run[i].deadline_at < db->world->now &&
            db->run[i].locked_until <= db->world->now) {
            world_count(db->world, FAULT_DEADLINE);
            model_db_cancel(db, &db->run[i], RUN_PARTIAL);
        }
}
