/* See model_engine.h. */
#include "model_engine.h"

#include "model_db.h"
#include "nemesis.h"
#include "sim_worker.h"

#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT_MAX 512
#define ROSTER_MAX (SLICES_MAX * SUBJECTS_MAX)

enum verdict { VERDICT, NONSENSE, NO_CONNECTION, TOO_LATE, SLOW_DOWN, FAULTY };

struct running { /* a call; its event's data */
    struct address of;
    struct model_engine *engine_model;
    int engine;
    struct call_ref ref;
    int run, job, position;
    enum verdict verdict;
    bool aborted, ended;
};

struct model_engine {
    struct world *world;
    enum weather weather[ENGINES_MAX];
    struct running *running[IN_FLIGHT_MAX]; /* lent: their events own them */
    int count;
    bool judged[RUNS_MAX][ROSTER_MAX];
};

struct model_engine *model_engine_new(struct world *w)
{
    struct model_engine *e = world_data(sizeof(*e));
    e->world = w;
    return e;
}

void model_engine_free(struct model_engine *e)
{
    free(e);
}

void model_engine_weather(struct model_engine *e, int engine, enum weather now)
{
    e->weather[engine] = now;
}

bool model_engine_refuses(struct model_engine *e, int engine)
{
    enum weather now = e->weather[engine];
    return now != FAIR && now != GARBAGE && (now != SLOWER || world_chance(e->world, 600));
}

void model_engine_judged_in_bulk(struct model_engine *e, int run, int position)
{
    e->judged[run][position] = true;
}

bool model_engine_judged(const struct model_engine *e, int run, int position)
{
    return e->judged[run][position];
}

int model_engine_in_flight(const struct model_engine *e, int engine)
{
    int n = 0;
    for (int i = 0; i < e->count; i++)
        n += e->running[i]->engine == engine && !e->running[i]->aborted;
    return n;
}

static bool same(struct address a, struct address b)
{
    return a.process == b.process && a.incarnation == b.incarnation;
}

int model_engine_calls_of(const struct model_engine *e, struct address worker, int engine)
{
    int n = 0;
    for (int i = 0; i < e->count; i++)
        n += same(e->running[i]->of, worker) && !e->running[i]->aborted &&
             (engine < 0 || e->running[i]->engine == engine);
    return n;
}

static void forget(struct model_engine *e, const struct running *r)
{
    for (int i = 0; i < e->count; i++)
        if (e->running[i] == r) {
            e->running[i] = e->running[--e->count];
            return;
        }
}

void model_engine_abort(struct model_engine *e, struct address worker, int engine,
                        struct pool_ref slice)
{
    for (int i = 0; i < e->count; i++) {
        struct running *r = e->running[i];
        if (same(r->of, worker) && r->engine == engine && r->ref.slot == slice.slot &&
            r->ref.generation == slice.generation)
            r->aborted = true;
    }
}

/* ---- the answer --------------------------------------------------------------------------- */

static struct answer *verdict_of(const struct world *w, const struct running *r)
{
    struct answer *a = world_data(sizeof(*a));
    a->sign = TRY_ANSWERED;
    a->ok = true;
    a->n = 1;
    a->decisions = world_data(sizeof(*a->decisions));
    a->decisions[0].scenario_type = strdup("reminder");
    a->decisions[0].action = model_db_kind(w, r->job, r->position) == SUBJECT_NOT_DUE
                                 ? ACTION_SUPPRESS
                                 : ACTION_DISPATCH;
    return a;
}

static struct answer *answer_of(struct world *w, const struct running *r)
{
    struct answer *a = NULL;
    switch (r->verdict) {
    case VERDICT:
        return verdict_of(w, r);
    case NONSENSE:
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "nonsense");
    case TOO_LATE:
        return answer_failed(ERR_TIMEOUT, TRY_FAILED, true, "no answer in time");
    case FAULTY:
        return answer_failed(ERR_NETWORK, TRY_FAILED, true, "500");
    case NO_CONNECTION:
        a = answer_failed(ERR_NETWORK, TRY_FAILED, true, "no connection");
        a->refused = true;
        return a;
    case SLOW_DOWN:
        a = answer_failed(ERR_NETWORK, TRY_SLOWER, true, "slower");
        a->refused = true;
        if (world_fault(w, FAULT_RETRY_AFTER, 300))
            a->retry_after_ms = (int)world_between(w, 100, world_chance(w, 100) ? 60000 : 3000);
        return a;
    }
    return NULL;
}

static void answered(struct world *w, void *data)
{
    struct running *r = data;
    if (!r->ended) { /* in the engine it ends now, whatever has become of who called */
        r->ended = true;
        forget(r->engine_model, r);
        if (r->verdict == VERDICT || (r->verdict == TOO_LATE && world_chance(w, 500)))
            r->engine_model->judged[r->run][r->position] = true;
    }
    if (!process_ready(w, r->of, answered, r))
        return;
    if (!r->aborted)
        worker_answered(w, r->of.process, r->ref, answer_of(w, r));
    free(r);
}

/* ---- the call ----------------------------------------------------------------------------- */

static enum verdict healthy(struct world *w, const struct running *r)
{
    switch (model_db_kind(w, r->job, r->position)) {
    case SUBJECT_NONSENSE:
        return NONSENSE;
    case SUBJECT_SICK:
        return FAULTY;
    case SUBJECT_DUE:
    case SUBJECT_NOT_DUE:
    case SUBJECT_POISON:
        break;
    }
    if (world_faulty(w) && world_chance(w, w->set.call_faults))
        return world_chance(w, 500) ? FAULTY : TOO_LATE;
    return VERDICT;
}

static enum verdict decide(struct model_engine *e, const struct running *r)
{
    struct world *w = e->world;
    if (w->process[r->of.process].engine_cut_until > w->now)
        return NO_CONNECTION;
    switch (e->weather[r->engine]) {
    case FAIR:
        return healthy(w, r);
    case DOWN:
        return NO_CONNECTION;
    case HANGS:
        return TOO_LATE;
    case SLOWER:
        return world_chance(w, 600) ? SLOW_DOWN : healthy(w, r);
    case BROKEN:
        return FAULTY;
    case GARBAGE:
        return NONSENSE;
    }
    return VERDICT;
}

void model_engine_call(struct model_engine *e, struct address worker, int engine,
                       struct call_ref ref, int run, int job, int position)
{
    struct world *w = e->world;
    struct running *r = world_data(sizeof(*r));
    *r = (struct running){.of = worker,
                          .engine_model = e,
                          .engine = engine,
                          .ref = ref,
                          .run = run,
                          .job = job,
                          .position = position};
    assert(e->count < IN_FLIGHT_MAX);
    e->running[e->count++] = r;
    r->verdict = decide(e, r);
    int64_t takes = world_between(w, 1, 2 * w->set.latency_ms);
    if (r->verdict == TOO_LATE)
        takes = w->set.call_timeout_ms;
    else if (r->verdict == NO_CONNECTION)
        takes = 1;
    world_at(w, w->now + takes, answered, r);
    if (model_db_kind(w, job, position) == SUBJECT_POISON)
        nemesis_poison(w, worker);
}
