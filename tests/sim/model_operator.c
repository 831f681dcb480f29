/* See model_db.h: what an operator does: replays, an engine's limit, pruning. */
#include "checker.h"
#include "model_db.h"

#define RATE_MIN 4 /* subjects a second: a replay takes a minute at most */

static bool active(const struct db_run *r)
{
    return !run_state_ended(r->state);
}

/* ---- replay ------------------------------------------------------------------------------- */

enum outcome { NOT_THERE, GOOD, ERROR, UNREACHED };

static enum outcome outcome_in(const struct db_run *r, int position)
{
    for (int i = 0; i < r->slices; i++)
        for (int k = 0; k < r->slice[i].n; k++) {
            const struct db_slice *s = &r->slice[i];
            if (model_db_position(r, s->first + k) != position)
                continue;
            if (s->state == DB_DONE)
                return (s->failed >> k & 1) != 0 ? ERROR : GOOD;
            return UNREACHED; /* of what is pending still, too */
        }
    return NOT_THERE;
}

static int index_of(const struct model_db *db, const struct db_run *r)
{
    return (int)(r - db->run);
}

/* That of the newest replay which has reached it; else the parent's. */
static enum outcome last_outcome(const struct model_db *db, const struct db_run *parent,
                                 int position)
{
    for (int i = db->runs - 1; i >= 0; i--) {
        if (db->run[i].parent != index_of(db, parent))
            continue;
        enum outcome was = outcome_in(&db->run[i], position);
        if (was == GOOD || was == ERROR)
            return was;
    }
    return outcome_in(parent, position);
}

bool model_db_unresolved(const struct model_db *db, const struct db_run *parent, int position)
{
    enum outcome was = last_outcome(db, parent, position);
    return was == ERROR || was == UNREACHED;
}

static bool may_replay(const struct model_db *db, const struct db_run *parent)
{
    if (active(parent) || parent->pruned || db->runs == RUNS_MAX)
        return false;
    for (int i = 0; i < db->runs; i++)
        if (db->run[i].parent == index_of(db, parent) && active(&db->run[i]))
            return false;
    return true;
}

static int choose(const struct model_db *db, const struct db_run *parent, bool errors,
                  bool unreached, int16_t *ret_chosen)
{
    int n = 0;
    for (int place = 0; place < parent->cursor; place++) {
        int position = model_db_position(parent, place);
        enum outcome was = last_outcome(db, parent, position);
        if ((was == ERROR && errors) || (was == UNREACHED && unreached))
            ret_chosen[n++] = (int16_t)position;
    }
    return n;
}

/* All its slices in one transaction; no lease is taken: whoever looks first leads it. */
struct db_run *model_db_open_replay(struct model_db *db, struct db_run *of, bool errors,
                                    bool unreached, int page_size)
{
    struct world *w = db->world;
    struct db_run *parent = of->parent < 0 ? of : &db->run[of->parent];
    struct db_run *r = &db->run[db->runs];
    if (!may_replay(db, parent))
        return NULL;
    *r = (struct db_run){.job = parent->job,
                         .state = RUN_RUNNING,
                         .parent = index_of(db, parent),
                         .page_size = page_size,
                         .shadow = parent->shadow,
                         .rate = w->set.on[FAULT_REPLAY_RATE] && world_chance(w, 400)
                                     ? (int)world_between(w, RATE_MIN, 60)
                                     : 0,
                         .fence = 1,
                         .lease_until = INT64_MIN,
                         .deadline_at = w->now + 12 * 3600 * 1000,
                         .requested_at = w->now};
    r->roster = choose(db, parent, errors, unreached, r->chosen);
    if (r->roster == 0)
        return NULL;
    if (r->page_size * SLICES_MAX < r->roster)
        r->page_size = SUBJECTS_MAX;
    r->id.b[15] = (uint8_t)++db->runs;
    while (r->cursor < r->roster)
        model_db_add_slice(db, r);
    r->planned = r->cursor;
    if (r->rate > 0)
        world_count(w, FAULT_REPLAY_RATE);
    checker_opened(w, r);
    return r;
}

/* ---- the rest ----------------------------------------------------------------------------- */

void model_db_set_limit(struct model_db *db, int engine, int concurrency)
{
    struct db_engine *e = &db->engine[engine];
    checker_limit_set(db->world, engine, e->concurrency);
    e->concurrency = concurrency;
    if (e->closed_since < 0)
        e->current = concurrency;
}

bool model_db_prune(struct model_db *db, struct db_run *r)
{
    if (active(r) || r->parent >= 0)
        return false;
    for (int i = 0; i < db->runs; i++)
        if (db->run[i].parent == index_of(db, r))
            return false;
    r->pruned = true;
    return true;
}
