/* See model_db.h: jobs, runs and their leases; the producer's functions. How runs end is in
 * model_ending.c. */
#include "model_db.h"

#include "checker.h"

#include <stdlib.h>

#define DEADLINE_LONG_MS (12 * 3600 * 1000)

struct model_db *model_db_new(struct world *w)
{
    struct model_db *db = world_data(sizeof(*db));
    db->world = w;
    for (int i = 0; i < w->set.jobs; i++) {
        struct db_job *j = &db->job[i];
        j->engine = (int)world_between(w, 0, w->set.engines - 1);
        j->page_size = (int)world_between(w, 1, SUBJECTS_MAX);
        int slices = (int)world_between(w, i == 0 ? 20 : 1,
                                        i == 0   ? SLICES_MAX - 2
                                        : i == 1 ? 12
                                                 : 3);
        j->roster = (slices - 1) * j->page_size + (int)world_between(w, 1, j->page_size);
        j->notified = world_data((size_t)j->roster);
    }
    for (int i = 0; i < ENGINES_MAX; i++)
        db->engine[i] = (struct db_engine){.concurrency = w->set.concurrency,
                                           .current = w->set.concurrency,
                                           .partitions = w->set.partitions,
                                           .closed_since = -1,
                                           .paused_until = -1,
                                           .moved_at = -1,
                                           .halved_at = -1,
                                           .last_success_at = -1,
                                           .share = {{.starved_since = -1}},
                                           .shares = 1};
    return db;
}

void model_db_free(struct model_db *db)
{
    for (int i = 0; i < JOBS_MAX; i++)
        free(db->job[i].notified);
    free(db);
}

struct db_run *model_db_run(struct model_db *db, const struct uuid *id)
{
    int i = (int)id->b[15] - 1;
    return i >= 0 && i < db->runs && !db->run[i].pruned ? &db->run[i] : NULL;
}

static bool active(const struct db_run *r)
{
    return !run_state_ended(r->state);
}

int model_db_position(const struct db_run *r, int place)
{
    return r->parent < 0 ? place : r->chosen[place];
}

/* ---- subjects ----------------------------------------------------------------------------- */

struct uuid model_db_subject(int job, int position)
{
    struct uuid id = {{0}};
    id.b[0] = (uint8_t)(job + 1);
    id.b[14] = (uint8_t)(position >> 8);
    id.b[15] = (uint8_t)position;
    return id;
}

static uint32_t mixed(const struct world *w, int job, int position, int salt)
{
    uint64_t x = w->seed * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)(job * 5000 + position) * 7919 +
                 (uint64_t)salt;
    x = (x ^ x >> 31) * UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(x >> 33);
}

bool model_db_eligible(const struct world *w, int job, int position)
{
    return (int)(mixed(w, job, position, 1) % 100) >= w->set.ineligible;
}

enum subject_kind model_db_kind(const struct world *w, int job, int position)
{
    uint32_t x = mixed(w, job, position, 2) % 100;
    if (w->set.poison && job == 0 && position == 7)
        return SUBJECT_POISON;
    if (x < 4)
        return SUBJECT_NONSENSE;
    if (x < 6)
        return SUBJECT_SICK;
    return x < 20 ? SUBJECT_NOT_DUE : SUBJECT_DUE;
}

/* ---- open --------------------------------------------------------------------------------- */

void model_db_request(struct model_db *db, int job)
{
    db->job[job].requests++;
    db->job[job].requested_at = db->world->now;
}

static struct db_run *lapsed(struct model_db *db)
{
    struct db_run *found = NULL;
    for (int i = 0; i < db->runs; i++) {
        struct db_run *r = &db->run[i];
        if (active(r) && r->lease_until < db->world->now &&
            (found == NULL || r->lease_until < found->lease_until))
            found = r;
    }
    return found;
}

static bool job_is_running(const struct model_db *db, int job)
{
    for (int i = 0; i < db->runs; i++)
        if (db->run[i].job == job && db->run[i].parent < 0 && active(&db->run[i]))
            return true;
    return false;
}

static struct db_run *new_run(struct model_db *db, int job, int64_t holder)
{
    struct world *w = db->world;
    const struct db_job *j = &db->job[job];
    bool hurried = w->set.on[FAULT_DEADLINE] && world_chance(w, 100);
    int64_t deadline = hurried ? world_between(w, 5000, 40000) : DEADLINE_LONG_MS;
    struct db_run *r = &db->run[db->runs++];
    *r = (struct db_run){.job = job,
                         .planned = -1,
                         .parent = -1,
                         .page_size = j->page_size,
                         .roster = j->roster,
                         .shadow = w->set.on[FAULT_SHADOW] && world_chance(w, 200),
                         .holder = holder,
                         .fence = 1,
                         .lease_until = w->now + LEASE_MS,
                         .deadline_at = w->now + deadline,
                         .requested_at = j->requested_at};
    r->id.b[15] = (uint8_t)db->runs;
    if (r->shadow)
        world_count(w, FAULT_SHADOW);
    return r;
}

struct db_run *model_db_open_run(struct model_db *db, int64_t holder, bool *ret_takeover)
{
    struct world *w = db->world;
    struct db_run *r = lapsed(db);
    *ret_takeover = r != NULL;
    if (r != NULL) {
        r->holder = holder;
        r->fence++;
        r->lease_until = w->now + LEASE_MS;
        return r;
    }
    for (int job = 0; job < w->set.jobs; job++) {
        struct db_job *j = &db->job[job];
        if (j->requests > 0 && job_is_running(db, job))
            world_count(w, FAULT_QUEUED);
        if (j->requests == 0 || job_is_running(db, job) || db->runs == RUNS_MAX)
            continue;
        j->requests--;
        r = new_run(db, job, holder);
        checker_opened(w, r);
        return r;
    }
    return NULL;
}

bool model_db_renew(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence)
{
    struct db_run *r = model_db_run(db, id);
    if (r == NULL || r->holder != holder || r->fence != fence)
        return false;
    r->lease_until = db->world->now + LEASE_MS;
    return true;
}

void model_db_give_up(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence)
{
    struct db_run *r = model_db_run(db, id);
    if (r != NULL && r->holder == holder && r->fence == fence)
        r->lease_until = INT64_MIN;
}

/* ---- plan --------------------------------------------------------------------------------- */

void model_db_add_slice(struct model_db *db, struct db_run *r)
{
    int left = r->roster - r->cursor;
    int n = left < r->page_size ? left : r->page_size;
    int partitions = db->engine[db->job[r->job].engine].partitions;
    r->slice[r->slices] = (struct db_slice){.first = r->cursor,
                                            .n = n,
                                            .partition = (r->slices + r->id.b[15] * 3) % partitions,
                                            .moved_at = -1,
                                            .published_at = -1,
                                            .published_offset = -1};
    r->slices++;
    r->cursor += n;
}

static void put_planned(const struct db_run *r, enum plan_outcome outcome,
                        struct planned_pages *ret)
{
    *ret = (struct planned_pages){
        .outcome = outcome, .state = r->state, .has_cursor = r->cursor > 0, .slices = r->slices};
    if (r->cursor > 0)
        ret->cursor = model_db_subject(r->job, r->cursor - 1);
}

bool model_db_may_plan(const struct model_db *db, const struct db_run *r, int64_t holder,
                       int64_t fence, int cursor)
{
    return r->state == RUN_PLANNING && r->cursor == cursor && r->holder == holder &&
           r->fence == fence && r->lease_until > db->world->now;
}

bool model_db_add_pages(struct model_db *db, struct db_run *r, int pages, struct planned_pages *ret)
{
    const struct db_job *j = &db->job[r->job];
    if (j->broken_until > db->world->now)
        return false;
    int before = r->cursor;
    for (int i = 0; i < pages && r->cursor < r->roster; i++)
        model_db_add_slice(db, r);
    bool last = r->cursor - before < pages * r->page_size;
    if (last) {
        r->state = RUN_RUNNING;
        r->planned = r->cursor;
    }
    put_planned(r, last ? PLAN_LAST : PLAN_MORE, ret);
    return true;
}

bool model_db_plan_page(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence,
                        int cursor, int pages, struct planned_pages *ret)
{
    struct db_run *r = model_db_run(db, id);
    if (r == NULL || !model_db_may_plan(db, r, holder, fence, cursor)) {
        *ret = (struct planned_pages){.outcome = PLAN_STALE};
        if (r != NULL)
            put_planned(r, PLAN_STALE, ret);
        return true;
    }
    return model_db_add_pages(db, r, pages, ret);
}

/* ---- publish ------------------------------------------------------------------------------ */

int model_db_draw(struct model_db *db, const struct uuid *id, int after, int limit,
                  struct drawn_slice *ret_slices)
{
    const struct db_run *r = model_db_run(db, id);
    int n = 0;
    for (int i = after + 1; r != NULL && i < r->slices && n < limit; i++)
        if (r->slice[i].state == DB_PENDING && r->slice[i].published_at < 0)
            ret_slices[n++] = (struct drawn_slice){i, r->slice[i].partition};
    return n;
}

void model_db_note_published(struct model_db *db, const struct uuid *id, const int32_t *slices,
                             const int64_t *offsets, int n)
{
    struct db_run *r = model_db_run(db, id);
    for (int i = 0; r != NULL && i < n; i++) {
        struct db_slice *s = &r->slice[slices[i]];
        if (s->state != DB_PENDING)
            continue;
        s->published_at = db->world->now;
        s->published_offset = offsets[i];
        s->rings++;
    }
}

int64_t model_db_ring_wait(const struct db_slice *s)
{
    if (s->rings <= 1)
        return 1000;
    int64_t wait = 5000;
    for (int i = 2; i < s->rings && wait < 600000; i++)
        wait *= 2;
    return wait < 600000 ? wait : 600000;
}

int model_db_overdue(struct model_db *db, const struct uuid *id, int limit,
                     struct overdue_slice *ret_slices)
{
    const struct db_run *r = model_db_run(db, id);
    int64_t stale = db->world->now - CLAIM_STALE_MS;
    int n = 0;
    for (int i = 0; r != NULL && i < r->slices && n < limit; i++) {
        const struct db_slice *s = &r->slice[i];
        int64_t moved = s->published_at > s->moved_at ? s->published_at : s->moved_at;
        if (s->state != DB_PENDING || (s->claimed_by != 0 && s->moved_at >= stale) ||
            (s->published_at >= 0 && moved >= stale - model_db_ring_wait(s)))
            continue;
        ret_slices[n++] = (struct overdue_slice){i, s->partition, s->published_offset};
    }
    return n;
}

void model_db_progress(struct model_db *db, const struct uuid *id, struct run_progress *ret)
{
    const struct db_run *r = model_db_run(db, id);
    *ret = (struct run_progress){.found = r != NULL};
    if (r == NULL)
        return;
    ret->state = r->state;
    ret->slices = r->slices;
    ret->planned = r->planned;
    for (int i = 0; i < r->slices; i++)
        ret->pending += r->slice[i].state == DB_PENDING;
}
