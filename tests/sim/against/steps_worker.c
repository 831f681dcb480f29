/* See steps.h: what workers ask. */
#include "steps_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- workers ------------------------------------------------------------------------------- */

void step_claim(struct pair *p)
{
    static const char *const words[] = {[CLAIM_OURS] = "claimed",
                                        [CLAIM_BUSY] = "busy",
                                        [CLAIM_DONE] = "done",
                                        [CLAIM_LOST] = "lost",
                                        [CLAIM_UNKNOWN] = "unknown"};
    struct db_run *r = some_run(p);
    struct db_claim out;
    nothing(p);
    if (r == NULL)
        return;
    int worker = draw(p, 1, WORKERS_ASKING), slice = some_slice(p, r);
    model_db_claim(p->world.db, &r->id, slice, worker, &out);
    reality_ask(p->pg, p->real,
                "select outcome, coalesce(stale_ms, 0),"
                "       case outcome when 'claimed' then attempt else 0 end"
                "  from reveille.claim_slice('%s', %d, 'w%d', '%d ms', %d, 'http')",
                real_id(p, r), slice, worker, CLAIM_STALE_MS, LIMIT_ATTEMPTS);
    SAY(p, "%s|%d|%d", words[out.outcome], out.stale_ms, out.attempt);
}

void step_touch(struct pair *p)
{
    struct db_run *r = some_run(p);
    nothing(p);
    if (r == NULL)
        return;
    int worker = draw(p, 1, WORKERS_ASKING), slice = some_slice(p, r);
    bool ours = model_db_touch(p->world.db, &r->id, slice, worker);
    reality_ask(p->pg, p->real,
                "select count(*) from reveille.touch_slices('w%d', '{%s}', '{%d}',"
                " '{0}', '{null}')",
                worker, real_id(p, r), slice);
    SAY(p, "%d", ours);
}

void step_release(struct pair *p)
{
    struct db_run *r = some_run(p);
    char ignored[REALITY_TEXT];
    nothing(p);
    if (r == NULL)
        return;
    int worker = draw(p, 1, WORKERS_ASKING), slice = some_slice(p, r);
    model_db_release(p->world.db, &r->id, slice, worker);
    reality_ask(p->pg, ignored, "select reveille.release_slices('w%d', '{%s}', '{%d}')", worker,
                real_id(p, r), slice);
}

struct list {
    char text[400];
    int len;
};

static void add(struct list *l, const char *item)
{
    l->len += snprintf(l->text + l->len, sizeof(l->text) - (size_t)l->len, "%s%s",
                       l->len > 0 ? "," : "", item);
}

void step_settle(struct pair *p)
{
    struct db_run *r = some_run(p);
    struct settle_answer out = {.evaluated = 0};
    struct list skipped = {.len = 0}, pos = skipped, users = skipped, acts = skipped, bad = skipped;
    struct list scenarios = skipped, classes = skipped, nulls = skipped;
    nothing(p);
    if (r == NULL || r->slices == 0)
        return;
    int worker = draw(p, 1, WORKERS_ASKING), slice = draw(p, 0, r->slices - 1);
    char verdicts[SUBJECTS_MAX + 1] = {0};
    for (int i = 0; i < r->slice[slice].n; i++) {
        char place[12], user[UUID_TEXT_SIZE];
        struct uuid id = model_db_subject(r->job, model_db_position(r, r->slice[slice].first + i));
        uuid_format(&id, user);
        snprintf(place, sizeof(place), "%d", i + 1);
        verdicts[i] = "kdddse"[draw(p, 0, 5)];
        if (verdicts[i] == 'k') {
            add(&skipped, place);
        } else if (verdicts[i] == 'e') {
            add(&bad, place);
            add(&classes, "network_error");
        } else {
            add(&pos, place);
            add(&users, user);
            add(&acts, verdicts[i] == 'd' ? "dispatch" : "suppress");
            add(&scenarios, "inactivity");
            add(&nulls, "null");
        }
    }
    bool done = model_db_settle(p->world.db, &r->id, slice, worker, verdicts, &out);
    reality_ask(p->pg, p->real,
                "select evaluated, skipped, errors, dispatched, suppressed"
                "  from reveille.settle_slice('%s', %d, 'w%d', '{%s}', '{%s}', '{%s}', '{%s}',"
                "       '{%s}', '{%s}', '{%s}', '{%s}', '{%s}', '{%s}', false, true)",
                real_id(p, r), slice, worker, skipped.text, pos.text, users.text, scenarios.text,
                acts.text, nulls.text, nulls.text, bad.text, classes.text, classes.text);
    if (done)
        SAY(p, "%d|%d|%d|%d|%d", out.evaluated, out.skipped, out.errors, out.dispatched,
            out.suppressed);
}

void step_ask_share(struct pair *p)
{
    static const char *const histories[] = {"",         ".", "....", "x",
                                            "xxxxxxxx", "s", "..s",  "xxxx.xxx"};
    struct share_report report = {.busy = draw(p, 0, 4)};
    struct share_answer out;
    int worker = draw(p, 1, WORKERS_ASKING), want = draw(p, 0, 9);
    snprintf(report.tries, sizeof(report.tries), "%s",
             histories[draw(p, 0, (int)COUNT_OF(histories) - 1)]);
    report.ok = strchr(report.tries, '.') != NULL;
    report.retry_after_ms = chance(p, 5) ? draw(p, 1, 400) * 1000 : 0;
    char retry_after[40] = "";
    if (report.retry_after_ms > 0)
        snprintf(retry_after, sizeof(retry_after), ", \"retry_after_ms\": %d",
                 report.retry_after_ms);
    report.seq = chance(p, 5) ? p->seq[worker - 1] : ++p->seq[worker - 1];
    bool came = model_db_ask_share(p->world.db, 0, worker, want, &report, &out);
    reality_ask(p->pg, p->real,
                "select granted, probe, retry_ms, coalesce(outage_ms, -1), current"
                "  from reveille.ask_share('http', 'w%d', %d, '{\"seq\": %lld, \"busy\": %d,"
                " \"tries\": \"%s\", \"ok\": %d%s}')",
                worker, want, (long long)report.seq, report.busy, report.tries, report.ok,
                retry_after);
    SAY(p, "%s", "");
    if (came)
        SAY(p, "%d|%c|%lld|%lld|%d", out.granted, out.probe ? 't' : 'f', (long long)out.retry_ms,
            (long long)out.outage_ms, out.current);
}
