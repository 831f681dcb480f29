/* See model_db.h: claims, their renewal and release, and the one settle of a slice. */
#include "checker.h"
#include "model_db.h"
#include "model_engine.h"

static struct db_slice *find(struct model_db *db, const struct uuid *id, int slice)
{
    struct db_run *r = model_db_run(db, id);
    return r != NULL && slice >= 0 && slice < r->slices ? &r->slice[slice] : NULL;
}

bool model_db_holds(struct model_db *db, const struct uuid *id, int slice)
{
    return find(db, id, slice) != NULL;
}

/* The sixth incarnation does not try any more: everybody in it is lost. */
static void worker_lost(struct model_db *db, const struct uuid *id, int slice, struct db_slice *s)
{
    s->state = DB_DONE;
    s->errors = s->n;
    s->failed = ~0u;
    checker_settled(db->world, model_db_run(db, id), slice, NULL);
}

void model_db_claim(struct model_db *db, const struct uuid *id, int slice, int64_t worker,
                    struct db_claim *ret)
{
    int64_t now = db->world->now;
    struct db_slice *s = find(db, id, slice);
    *ret = (struct db_claim){.outcome = CLAIM_UNKNOWN};
    if (s == NULL)
        return;
    ret->outcome = CLAIM_DONE;
    if (s->state != DB_PENDING)
        return;
    if (s->claimed_by != 0 && s->claimed_by != worker && s->moved_at >= now - CLAIM_STALE_MS) {
        ret->outcome = CLAIM_BUSY;
        ret->stale_ms = (int)(s->moved_at + CLAIM_STALE_MS - now) + 1;
        return;
    }
    s->attempt += s->claimed_by != worker;
    s->claimed_by = worker;
    s->moved_at = now;
    if (s->attempt > LIMIT_ATTEMPTS) {
        worker_lost(db, id, slice, s);
        ret->outcome = CLAIM_LOST;
        return;
    }
    ret->outcome = CLAIM_OURS;
    ret->attempt = s->attempt;
}

bool model_db_touch(struct model_db *db, const struct uuid *id, int slice, int64_t worker)
{
    struct db_slice *s = find(db, id, slice);
    if (s == NULL || s->state != DB_PENDING || s->claimed_by != worker)
        return false;
    s->moved_at = db->world->now;
    return true;
}

void model_db_release(struct model_db *db, const struct uuid *id, int slice, int64_t worker)
{
    struct db_slice *s = find(db, id, slice);
    if (s == NULL || s->state != DB_PENDING || s->claimed_by != worker)
        return;
    s->claimed_by = 0;
    s->moved_at = -1;
    s->attempt--;
}

bool model_db_settle(struct model_db *db, const struct uuid *id, int slice, int64_t worker,
                     const char *verdicts, struct settle_answer *ret)
{
    struct db_slice *s = find(db, id, slice);
    if (s == NULL || s->state != DB_PENDING)
        return false;
    (void)worker; /* who holds the claim does not matter: the first settle wins */
    struct db_run *r = model_db_run(db, id);
    bool *notified = db->job[r->job].notified;
    int evaluated = 0, skipped = 0, errors = 0, dispatched = 0, suppressed = 0;
    for (int i = 0; i < s->n; i++) {
        int position = model_db_position(r, s->first + i);
        bool goes_out = verdicts[i] == 'd' && !notified[position] && !r->shadow;
        s->failed |= verdicts[i] == 'e' ? 1u << i : 0;
        skipped += verdicts[i] == 'k';
        errors += verdicts[i] == 'e';
        evaluated += verdicts[i] == 'd' || verdicts[i] == 's';
        dispatched += goes_out;
        suppressed += (verdicts[i] == 'd' || verdicts[i] == 's') && !goes_out;
        if (goes_out) {
            notified[position] = true;
            checker_notified(db->world, r->job, position);
        }
    }
    s->state = DB_DONE;
    s->evaluated = evaluated;
    s->skipped = skipped;
    s->errors = errors;
    s->dispatched = dispatched;
    s->suppressed = suppressed;
    *ret = (struct settle_answer){.evaluated = evaluated,
                                  .skipped = skipped,
                                  .errors = errors,
                                  .dispatched = dispatched,
                                  .suppressed = suppressed};
    checker_settled(db->world, r, slice, verdicts);
    return true;
}

/* The letter of a subject as the job's judge and the checks behind it have it; 0: it raises. */
static char judged_letter(const struct world *w, int job, int position, bool each)
{
    if (!model_db_eligible(w, job, position))
        return 'k';
    switch (model_db_kind(w, job, position)) {
    case SUBJECT_NOT_DUE:
        return 's';
    case SUBJECT_NONSENSE:
        return 'e';
    case SUBJECT_SICK:
        return each ? 'e' : '\0';
    case SUBJECT_DUE:
    case SUBJECT_POISON:
        break;
    }
    return 'd';
}

void model_db_judge(struct model_db *db, const struct uuid *id, int slice, int64_t worker,
                    bool each, struct settle_answer *ret)
{
    struct world *w = db->world;
    struct db_slice *s = find(db, id, slice);
    char verdicts[SUBJECTS_MAX + 1] = {0};
    *ret = (struct settle_answer){.result = SETTLE_NOT_OPEN};
    if (s == NULL || s->state != DB_PENDING)
        return;
    if (s->claimed_by != 0 && s->claimed_by != worker && s->moved_at >= w->now - CLAIM_STALE_MS)
        return;
    const struct db_run *r = model_db_run(db, id);
    for (int i = 0; i < s->n; i++) {
        int position = model_db_position(r, s->first + i);
        verdicts[i] = judged_letter(w, r->job, position, each);
        if (verdicts[i] == '\0') {
            world_count(w, FAULT_JUDGE_STUMBLES);
            ret->result = SETTLE_BAD_DATA;
            return;
        }
        if (verdicts[i] == 'd' || verdicts[i] == 's')
            model_engine_judged_in_bulk(w->engine, (int)(r - db->run), position);
    }
    s->attempt += s->claimed_by != worker;
    (void)model_db_settle(db, id, slice, worker, verdicts, ret); /* it is pending */
    ret->result = SETTLE_DONE;
}
