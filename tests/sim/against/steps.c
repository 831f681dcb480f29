/* See steps.h. */
#include "steps_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- time, operators ----------------------------------------------------------------------- */

static void time_passes(struct pair *p)
{
    static const int ms[] = {1,    20,   100,  500,   999,   1000,  1001,  1500,
                             2500, 8000, 9999, 10000, 10001, 15000, 15001, 60000};
    p->world.now += ms[draw(p, 0, (int)COUNT_OF(ms) - 1)];
    reality_set_clock(p->pg, p->world.now);
    nothing(p);
}

static void request(struct pair *p)
{
    int job = draw(p, 0, 1);
    nothing(p);
    if (p->world.db->runs >= RUNS_MAX - 4)
        return;
    model_db_request(p->world.db, job);
    reality_ask(p->pg, p->real, "select state from reveille.request('job_%c', 'manual', '{}')",
                'a' + job);
    SAY(p, "pending");
}

static void set_limit(struct pair *p)
{
    int to = draw(p, 1, 12);
    model_db_set_limit(p->world.db, 0, to);
    reality_ask(p->pg, p->real, "select reveille.set_engine('http', %d)", to);
    SAY(p, "t");
}

static void crash(struct pair *p)
{
    model_db_forget_shares(p->world.db);
    reality_ask(p->pg, p->real, "truncate reveille.engine_share");
    SAY(p, "%s", "");
    memset(p->seq, 0, sizeof(p->seq));
}

static void replay(struct pair *p)
{
    struct db_run *of = some_run(p);
    nothing(p);
    if (of == NULL || p->world.db->runs >= RUNS_MAX - 1)
        return;
    int kinds = draw(p, 1, 3);
    bool errors = (kinds & 1) != 0, unreached = (kinds & 2) != 0;
    struct db_run *r = model_db_open_replay(p->world.db, of, errors, unreached, SUBJECTS_MAX);
    reality_ask(p->pg, p->real,
                "select case when outcome = 'opened' then summary ->> 'run_id' else 'no' end"
                "  from reveille.open_replay('%s', '{\"errors\": %s, \"unreached\": %s}', %d)",
                real_id(p, of), errors ? "true" : "false", unreached ? "true" : "false",
                SUBJECTS_MAX);
    SAY(p, "%s", r != NULL ? "opened" : "no");
    if (strlen(p->real) == 36) {
        memcpy(p->real_id[p->world.db->runs - 1], p->real, 37);
        snprintf(p->real, REALITY_TEXT, "opened");
    }
}

/* ---- the producer -------------------------------------------------------------------------- */

/* A deadline that can be met, and a run that dispatches nothing: the rows say so on both sides. */
static void dress(struct pair *p, struct db_run *r)
{
    char ignored[REALITY_TEXT];
    r->shadow = chance(p, 20);
    r->deadline_at = p->world.now + (chance(p, 20) ? draw(p, 1, 60) * 1000 : 43200000);
    reality_ask(p->pg, ignored,
                "update reveille.run set shadow = %s, deadline_at = sim.now() + %lld * interval"
                " '1 ms' where run_id = '%s'",
                r->shadow ? "true" : "false", (long long)(r->deadline_at - p->world.now),
                real_id(p, r));
}

/* Of runs whose leases ended at the same instant either may be the next. */
static bool either(const struct pair *p)
{
    const struct model_db *db = p->world.db;
    int64_t least = INT64_MAX;
    int times = 0;
    for (int i = 0; i < db->runs; i++) {
        const struct db_run *r = &db->run[i];
        if (run_state_ended(r->state) || r->lease_until > least)
            continue;
        times = r->lease_until == least ? times + 1 : 1;
        least = r->lease_until;
    }
    return times > 1 && least < p->world.now;
}

static void open_run(struct pair *p)
{
    nothing(p);
    if (either(p))
        return;
    bool takeover = false;
    int holder = draw(p, 1, 3), runs = p->world.db->runs;
    char id[REALITY_TEXT];
    struct db_run *r = model_db_open_run(p->world.db, holder, &takeover);
    reality_ask(p->pg, id,
                "select run_id, fence, job_name, state, slices"
                "  from reveille.open_run('p%d')",
                holder);
    SAY(p, "%s", "");
    memcpy(p->real, id, sizeof(id));
    char *rest = strchr(id, '|');
    if (r == NULL || rest == NULL)
        return;
    *rest++ = '\0';
    if (p->world.db->runs > runs)
        memcpy(p->real_id[runs], id, 37);
    *real_fence(p, r) = strtoll(rest, &rest, 10);
    snprintf(p->real, REALITY_TEXT, "%.36s%.80s", id, rest);
    SAY(p, "%s|job_%c|%s|%d", real_id(p, r), 'a' + r->job, run_state_name(r->state), r->slices);
    if (p->world.db->runs > runs)
        dress(p, r);
}

/* Who calls: mostly the leader, sometimes somebody else, or itself of before. */
struct caller {
    int64_t holder, fence, real_fence;
};

static struct caller caller_of(struct pair *p, const struct db_run *r)
{
    struct caller c = {r->holder, r->fence, *real_fence(p, r)};
    if (chance(p, 10) || c.holder == 0) /* a replay that nobody leads yet */
        c.holder = draw(p, 1, 3);
    if (chance(p, 10)) {
        c.fence--;
        c.real_fence--;
    }
    return c;
}

static void plan(struct pair *p)
{
    static const char *const words[] = {
        [PLAN_STALE] = "stale", [PLAN_MORE] = "planned", [PLAN_LAST] = "last"};
    struct db_run *r = some_run(p);
    struct planned_pages out;
    char cursor[64] = "null", now_at[UUID_TEXT_SIZE] = "-";
    nothing(p);
    if (r == NULL)
        return;
    struct caller c = caller_of(p, r);
    int at = chance(p, 10) ? draw(p, 0, r->cursor) : r->cursor, pages = draw(p, 1, 4);
    if (at > 0) {
        struct uuid id = model_db_subject(r->job, at - 1);
        char text[UUID_TEXT_SIZE];
        uuid_format(&id, text);
        snprintf(cursor, sizeof(cursor), "'%s'", text);
    }
    reality_ask(p->pg, p->real,
                "select outcome, state, cursor"
                "  from reveille.plan_page('%s', 'p%d', %lld, %s, %d)",
                real_id(p, r), (int)c.holder, (long long)c.real_fence, cursor, pages);
    if (r->parent >= 0) { /* never planning: only that it is refused is compared */
        snprintf(p->real, 6, "stale");
        SAY(p, "stale");
        return;
    }
    (void)model_db_plan_page(p->world.db, &r->id, c.holder, c.fence, at, pages, &out);
    if (out.has_cursor)
        uuid_format(&out.cursor, now_at);
    SAY(p, "%s|%s|%s", words[out.outcome], run_state_name(out.state), now_at);
}

static void note_published(struct pair *p)
{
    struct db_run *r = some_run(p);
    struct drawn_slice drawn[4];
    char slices[80] = "", offsets[80] = "";
    int32_t numbers[4];
    int64_t at[4];
    nothing(p);
    if (r == NULL)
        return;
    int after = draw(p, -1, 5), n = model_db_draw(p->world.db, &r->id, after, 4, drawn);
    reality_ask(p->pg, p->real,
                "select coalesce(string_agg(slice_no::text, ',' order by slice_no),"
                " '') from reveille.unpublished_slices('%s', %d, 4)",
                real_id(p, r), after);
    for (int i = 0, s = 0, o = 0; i < n; i++) {
        numbers[i] = drawn[i].slice_no;
        at[i] = draw(p, 0, 1000);
        s += snprintf(slices + s, sizeof(slices) - (size_t)s, "%s%d", i > 0 ? "," : "", numbers[i]);
        o += snprintf(offsets + o, sizeof(offsets) - (size_t)o, "%s%d", i > 0 ? "," : "",
                      (int)at[i]);
    }
    SAY(p, "%s", slices);
    char ignored[REALITY_TEXT];
    model_db_note_published(p->world.db, &r->id, numbers, at, n);
    reality_ask(p->pg, ignored, "select reveille.note_published('%s', '{%s}', '{%s}')",
                real_id(p, r), slices, offsets);
}

static void overdue(struct pair *p)
{
    struct db_run *r = some_run(p);
    struct overdue_slice late[SLICES_MAX];
    char list[REALITY_TEXT] = "";
    nothing(p);
    if (r == NULL)
        return;
    int n = model_db_overdue(p->world.db, &r->id, SLICES_MAX, late);
    int32_t numbers[SLICES_MAX];
    int64_t offsets[SLICES_MAX] = {0};
    for (int i = 0, len = 0; i < n; i++) {
        numbers[i] = late[i].slice_no;
        len += snprintf(list + len, sizeof(list) - (size_t)len, "%s%d", i > 0 ? "," : "",
                        late[i].slice_no);
    }
    reality_ask(p->pg, p->real,
                "select coalesce(string_agg(slice_no::text, ',' order by slice_no),"
                " '') from reveille.overdue_slices('%s', 1000, '%d ms')",
                real_id(p, r), CLAIM_STALE_MS);
    SAY(p, "%s", list);
    if (n == 0 || chance(p, 50))
        return;
    char ignored[REALITY_TEXT]; /* and rung again */
    model_db_note_published(p->world.db, &r->id, numbers, offsets, n);
    reality_ask(p->pg, ignored,
                "select reveille.note_published('%s', '{%s}', array_fill(0::bigint, array[%d]))",
                real_id(p, r), list, n);
}

static void renew(struct pair *p)
{
    struct db_run *r = some_run(p);
    nothing(p);
    if (r == NULL)
        return;
    struct caller c = caller_of(p, r);
    bool ours = model_db_renew(p->world.db, &r->id, c.holder, c.fence);
    reality_ask(p->pg, p->real, "select reveille.renew_lease('%s', 'p%d', %lld)", real_id(p, r),
                (int)c.holder, (long long)c.real_fence);
    SAY(p, "%c", ours ? 't' : 'f');
}

static void give_up(struct pair *p)
{
    struct db_run *r = some_run(p);
    nothing(p);
    if (r == NULL)
        return;
    struct caller c = caller_of(p, r);
    char ignored[REALITY_TEXT];
    model_db_give_up(p->world.db, &r->id, c.holder, c.fence);
    reality_ask(p->pg, ignored, "select reveille.give_up_lease('%s', 'p%d', %lld)", real_id(p, r),
                (int)c.holder, (long long)c.real_fence);
}

/* ---- how runs end -------------------------------------------------------------------------- */

#define ENDED_OR                                               \
    " or exists (select from reveille.run where run_id = '%s'" \
    " and state not in ('planning', 'running'))"

static void close_run(struct pair *p)
{
    struct db_run *r = some_run(p);
    nothing(p);
    if (r == NULL)
        return;
    struct caller c = caller_of(p, r);
    bool ended = model_db_close(p->world.db, &r->id, c.holder, c.fence);
    reality_ask(p->pg, p->real, "select reveille.close_run('%s', 'p%d', %lld) is not null" ENDED_OR,
                real_id(p, r), (int)c.holder, (long long)c.real_fence, real_id(p, r));
    SAY(p, "%c", ended ? 't' : 'f');
}

static void fail_run(struct pair *p)
{
    struct db_run *r = some_run(p);
    nothing(p);
    if (r == NULL)
        return;
    struct caller c = caller_of(p, r);
    bool ended = model_db_fail(p->world.db, &r->id, c.holder, c.fence);
    reality_ask(
        p->pg, p->real,
        "select reveille.fail_run('%s', 'p%d', %lld, 'it cannot be planned') is not null" ENDED_OR,
        real_id(p, r), (int)c.holder, (long long)c.real_fence, real_id(p, r));
    SAY(p, "%c", ended ? 't' : 'f');
}

static void cancel(struct pair *p)
{
    struct db_run *r = some_run(p);
    char ignored[REALITY_TEXT];
    nothing(p);
    if (r == NULL)
        return;
    model_db_cancel(p->world.db, r, RUN_CANCELLED);
    reality_ask(p->pg, ignored, "select reveille.cancel_run('%s')", real_id(p, r));
}

static void end_overdue(struct pair *p)
{
    model_db_end_overdue(p->world.db);
    do /* one a transaction */
        reality_ask(p->pg, p->real, "select reveille.end_overdue_runs()");
    while (strcmp(p->real, "1") == 0);
    SAY(p, "0");
}

const struct step steps[] = {
    {"time passes", 20, time_passes},
    {"request", 4, request},
    {"open_run", 10, open_run},
    {"plan_page", 12, plan},
    {"note_published", 10, note_published},
    {"overdue_slices", 8, overdue},
    {"renew_lease", 8, renew},
    {"give_up_lease", 1, give_up},
    {"close_run", 3, close_run},
    {"fail_run", 1, fail_run},
    {"cancel_run", 1, cancel},
    {"end_overdue_runs", 2, end_overdue},
    {"open_replay", 3, replay},
    {"claim_slice", 20, step_claim},
    {"touch_slices", 6, step_touch},
    {"release_slices", 4, step_release},
    {"settle_slice", 16, step_settle},
    {"ask_share", 20, step_ask_share},
    {"set_engine", 1, set_limit},
    {"a crash of the server", 1, crash},
};
const int step_count = (int)COUNT_OF(steps);
