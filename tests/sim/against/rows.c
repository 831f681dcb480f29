/* See steps.h: everything that both sides know, as one text each. */
#include "steps.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *at;
    size_t left;
};

static void say(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->at, t->left, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < t->left);
    t->at += n;
    t->left -= (size_t)n;
}

/* Of what has ended only the outcome counts: who held it, and when, is left as it was. */
static void say_slice(struct text *t, const struct db_slice *s, int number)
{
    static const char *const words[] = {
        [DB_PENDING] = "pending", [DB_DONE] = "done", [DB_UNREACHED] = "unreached"};
    bool pending = s->state == DB_PENDING;
    say(t, "%s%d|%s|%d|%d|%d|%d|%d|%d|%d", number > 0 ? ";" : "", number, words[s->state], s->n,
        s->evaluated, s->skipped, s->errors, s->unreached, s->dispatched, s->suppressed);
    if (pending && s->claimed_by != 0)
        say(t, "|w%" PRId64, s->claimed_by);
    else
        say(t, "|-");
    say(t, "|%d|%" PRId64 "|%" PRId64 "|%d", pending ? s->attempt : 0, pending ? s->moved_at : -1,
        pending ? s->published_at : -1, pending ? s->rings : 0);
}

static void say_run(struct text *t, const struct db_run *r)
{
    say(t, "%s|%d|%d|%" PRId64 "\n", run_state_name(r->state), r->slices, r->planned,
        r->lease_until == INT64_MIN ? -1 : r->lease_until);
    for (int i = 0; i < r->slices; i++)
        say_slice(t, &r->slice[i], i);
}

#define RUN_SQL                                                                     \
    "select state, slices, coalesce(planned, -1),"                                  \
    "       case lease_until when '-infinity' then -1 else sim.ms(lease_until) end" \
    "  from reveille.run join reveille.run_lease using (run_id) where run_id = '%s'"
#define SLICES_SQL                                                                              \
    "select slice_no, state, cardinality(subject_ids), coalesce(evaluated, 0),"                 \
    "       coalesce(skipped, 0), coalesce(errors, 0), coalesce(unreached, 0),"                 \
    "       coalesce(dispatched, 0), coalesce(suppressed, 0),"                                  \
    "       case state when 'pending' then claimed_by end,"                                     \
    "       case state when 'pending' then attempt else 0 end,"                                 \
    "       case when state = 'pending' and moved_at is not null then sim.ms(moved_at)"         \
    "            else -1 end,"                                                                  \
    "       case when state = 'pending' and published_at is not null then sim.ms(published_at)" \
    "            else -1 end,"                                                                  \
    "       case state when 'pending' then rings else 0 end"                                    \
    "  from reveille.slice where run_id = '%s' order by slice_no"

static void say_engine(struct text *t, const struct db_engine *e)
{
    say(t, "%d|%d|%" PRId64 "|%" PRId64 "|%" PRId64 "|%" PRId64 "|%s\n", e->concurrency, e->current,
        e->closed_since, e->paused_until, e->moved_at, e->last_success_at, e->recent);
}

#define MS_OR(column) "case when " column " is null then -1 else sim.ms(" column ") end"
#define ENGINE_SQL                                                                               \
    "select concurrency, current, " MS_OR("closed_since") ", " MS_OR("paused_until") ", " MS_OR( \
        "moved_at") ", " MS_OR("last_success_at") ", recent"                                     \
                                                  "  from reveille.engine where engine = 'http'"

void steps_compare_all(struct pair *p)
{
    struct text model = {p->model, REALITY_TEXT}, real = {p->real, REALITY_TEXT};
    static char cells[REALITY_TEXT]; /* too large for the stack beside what is in pair */
    const struct model_db *db = p->world.db;
    int last = db->runs - 1, first = last > 1 ? last - 1 : 0; /* older ones do not move */
    say_engine(&model, &db->engine[0]);
    reality_ask(p->pg, cells, ENGINE_SQL);
    say(&real, "%s\n", cells);
    for (int i = first; i <= last; i++) {
        say_run(&model, &db->run[i]);
        reality_ask(p->pg, cells, RUN_SQL, p->real_id[i]);
        say(&real, "%s\n", cells);
        reality_ask(p->pg, cells, SLICES_SQL, p->real_id[i]);
        say(&real, "%s", cells);
    }
}
