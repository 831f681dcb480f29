/* See statement.h. What is lost on the way back has run, has not, or will run after its sender has
 * given it up: the three cases an unknown commit can be. */
#include "statement.h"

#include "limits.h"
#include "nemesis.h"

#include <stdlib.h>
#include <string.h>

static void answer(struct world *w, void *data)
{
    struct statement *st = data;
    if (!process_ready(w, st->from, answer, st))
        return;
    if (st->end == STATEMENT_OK && st->life != w->database_life)
        st->end = STATEMENT_LOST; /* its answer was in the server's hands */
    st->answer(w, st);
    free(st);
}

static int64_t within(const struct statement *st, int64_t ms)
{
    int64_t latest = st->within_ms - 10; /* it runs, and its answer comes */
    return st->within_ms > 0 && ms > latest ? latest : ms;
}

static void answer_after(struct world *w, struct statement *st, int64_t low, int64_t high)
{
    high = within(st, high);
    world_at(w, w->now + world_between(w, low, high), answer, st);
}

/* What a process that has died meanwhile had sent may have arrived, or not. */
static bool still_runs(struct world *w, const struct statement *st)
{
    const struct process *p = &w->process[st->from.process];
    bool lives = p->alive && p->incarnation == st->from.incarnation;
    return lives || world_chance(w, 500);
}

static void run(struct world *w, void *data)
{
    struct statement *st = data;
    bool crashed = st->life != w->database_life;
    if (!still_runs(w, st) || (crashed && st->end != STATEMENT_OK)) {
        free(st);
        return;
    }
    st->waits_until = 0;
    if (crashed)
        st->end = STATEMENT_LOST;
    else
        st->run(w, st);
    if (st->waits_until > 0)
        world_at(w, st->waits_until, run, st);
    else if (crashed || st->end == STATEMENT_OK)
        answer_after(w, st, 1, 3);
    else
        free(st); /* its failure was told apart from it */
}

static void run_after(struct world *w, struct statement *st, int64_t low, int64_t high)
{
    world_at(w, w->now + world_between(w, low, high), run, st);
}

static struct statement *twin(const struct statement *st)
{
    struct statement *copy = world_data(st->size);
    memcpy(copy, st, st->size);
    return copy;
}

static bool refused(struct world *w, struct statement *st, int per_mille)
{
    if (world_fault(w, FAULT_STATEMENT_TRANSIENT, per_mille))
        st->end = STATEMENT_TRANSIENT;
    else if (st->settles && world_fault(w, FAULT_SETTLE_DUPLICATE, per_mille))
        st->end = STATEMENT_DUPLICATE;
    else if (st->settles && world_fault(w, FAULT_SETTLE_BAD_DATA, per_mille))
        st->end = STATEMENT_BAD_DATA;
    else if (st->settles && world_fault(w, FAULT_SETTLE_FORBIDDEN, per_mille))
        st->end = STATEMENT_FORBIDDEN;
    else if (st->settles && world_fault(w, FAULT_SETTLE_REFUSED, per_mille))
        st->end = STATEMENT_REFUSED;
    return st->end != STATEMENT_OK;
}

/* A half-open link: what is sent may arrive, but nobody hears of it until the sender's deadline. */
static void hangs(struct world *w, struct statement *st)
{
    st->end = STATEMENT_LOST;
    if (world_chance(w, 500))
        run_after(w, twin(st), 1, 10);
    answer_after(w, st, 11, DB_STATEMENT_MS);
}

void statement_send(struct world *w, struct statement *st)
{
    int p = w->set.statement_faults;
    st->life = w->database_life;
    if (st->end != STATEMENT_OK) {
        answer_after(w, st, 1, 1000);
    } else if (w->process[st->from.process].links_hang_until > w->now) {
        hangs(w, st);
    } else if (st->under_way_ms > 0) {
        run_after(w, st, st->under_way_ms, st->under_way_ms);
    } else if (nemesis_disk_full(w)) {
        st->end = st->settles ? STATEMENT_REFUSED : STATEMENT_TRANSIENT;
        answer_after(w, st, 1, 100);
    } else if (nemesis_database_away(w) || world_fault(w, FAULT_STATEMENT_LOST, p)) {
        st->end = STATEMENT_LOST;
        answer_after(w, st, 1, 3000);
    } else if (world_fault(w, FAULT_STATEMENT_UNKNOWN, p)) {
        st->end = STATEMENT_LOST;
        run_after(w, twin(st), 1, 10);
        answer_after(w, st, 11, 3000);
    } else if (world_fault(w, FAULT_STATEMENT_LATE, p / 2)) {
        st->end = STATEMENT_LOST;
        answer_after(w, st, 1, 500);
        run_after(w, twin(st), 501, 4000);
    } else if (refused(w, st, p)) {
        answer_after(w, st, 1, 1000);
    } else if (world_fault(w, FAULT_STATEMENT_SLOW, p)) {
        run_after(w, st, 1, within(st, 8000));
    } else {
        run_after(w, st, 1, 5);
    }
}
