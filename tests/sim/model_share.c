/* See model_db.h: ask_share, statement by statement as the SQL function has it. */
#include "model_db.h"

#include <string.h>

#define OUTAGE_FORERUN_MS 300000 /* what failed so long before an engine closed is its outage's */
#define WISH_HEARD_MS \
    8000 /* a wish counts while its lease has so much left: heard of in the last 2 s */

static struct db_share *row_of(struct db_engine *e, int64_t worker)
{
    for (int i = 0; i < e->shares; i++)
        if (e->share[i].worker == worker)
            return &e->share[i];
    return NULL;
}

static struct db_share *new_row(struct db_engine *e, int64_t now, struct db_share row)
{
    int kept = 0;
    for (int i = 0; i < e->shares; i++) /* rows of the long dead go */
        if (e->share[i].until >= now - 60000 || e->share[i].worker == 0)
            e->share[kept++] = e->share[i];
    e->shares = kept;
    assert(e->shares < SHARES_MAX);
    e->share[e->shares] = row;
    return &e->share[e->shares++];
}

const struct db_share *model_db_share(const struct model_db *db, int engine, int64_t worker)
{
    const struct db_engine *e = &db->engine[engine];
    for (int i = 0; i < e->shares; i++)
        if (e->share[i].worker == worker)
            return &e->share[i];
    return NULL;
}

void model_db_forget_shares(struct model_db *db)
{
    for (int i = 0; i < ENGINES_MAX; i++)
        db->engine[i].shares = 0;
}

/* ---- health ------------------------------------------------------------------------------- */

static void remember(struct db_engine *e, const char *tries)
{
    char all[sizeof(e->recent) + sizeof(((struct share_report *)0)->tries)];
    size_t had = strlen(e->recent), came = strlen(tries);
    memcpy(all, e->recent, had);
    memcpy(all + had, tries, came + 1);
    size_t keep = had + came > 20 ? 20 : had + came;
    memcpy(e->recent, all + had + came - keep, keep + 1);
}

static int bad_tries(const struct db_engine *e)
{
    int bad = 0;
    for (const char *c = e->recent; *c != '\0'; c++)
        bad += *c != '.';
    return bad;
}

static void climb(struct db_engine *e, int64_t now)
{
    int64_t seconds = e->moved_at < 0 ? 10000 : (now - e->moved_at + 500) / 1000; /* rounded */
    int step = e->current / 8 > 1 ? e->current / 8 : 1;
    int64_t to = e->current + step * (seconds < 10000 ? seconds : 10000);
    e->current = to < e->concurrency ? (int)to : e->concurrency;
    e->moved_at = now;
}

static void move_health(struct db_engine *e, int64_t now, const struct share_report *report)
{
    remember(e, report->tries);
    int bad = bad_tries(e);
    if (e->current > e->concurrency)
        e->current = e->concurrency;
    if (report->ok > 0) {
        e->last_success_at = now;
        if (e->closed_since >= 0) {
            e->closed_since = e->paused_until = -1;
            e->recent[0] = '\0';
            e->moved_at = now;
            bad = 0;
        }
    }
    if (e->closed_since < 0 && bad >= 16) {
        e->closed_since = now;
        e->current = 1;
        e->probes = 0;
        e->paused_until = now + 1000;
        e->recent[0] = '\0';
    } else if (e->closed_since < 0 && strchr(report->tries, 's') != NULL) {
        if (e->halved_at <= now - 1000) {
            e->current = e->current / 2 > 1 ? e->current / 2 : 1;
            e->moved_at = e->halved_at = now;
        }
    } else if (e->closed_since < 0 && e->moved_at <= now - 1000 && e->current < e->concurrency) {
        climb(e, now);
    }
    int64_t pause = report->retry_after_ms < ENGINE_RETRY_AFTER_MAX_MS ? report->retry_after_ms
                                                                       : ENGINE_RETRY_AFTER_MAX_MS;
    if (pause > 0 && now + pause > e->paused_until)
        e->paused_until = now + pause;
}

/* ---- the fair part ------------------------------------------------------------------------ */

struct wish {
    int64_t worker, starved_since;
    int wants;
};

static bool before(const struct wish *a, const struct wish *b)
{
    if (a->wants != b->wants)
        return a->wants < b->wants;
    int64_t x = a->starved_since < 0 ? INT64_MAX : a->starved_since;
    int64_t y = b->starved_since < 0 ? INT64_MAX : b->starved_since;
    /* who starves longest is last: the rest is his */
    return x != y ? x > y : a->worker < b->worker;
}

static int gather(const struct db_engine *e, int64_t now, struct wish me, struct wish *all)
{
    int n = 0;
    all[n++] = me;
    for (int i = 0; i < e->shares; i++) {
        const struct db_share *s = &e->share[i];
        if (s->want > 0 && s->until > now + WISH_HEARD_MS && s->worker != me.worker)
            all[n++] = (struct wish){s->worker, s->starved_since, s->want};
    }
    int most = n > e->current ? 1 : e->current;
    for (int i = 0; i < n; i++)
        all[i].wants = all[i].wants < most ? all[i].wants : most;
    for (int i = 1; i < n; i++) /* the small wishes first */
        for (int k = i; k > 0 && before(&all[k], &all[k - 1]); k--) {
            struct wish x = all[k];
            all[k] = all[k - 1];
            all[k - 1] = x;
        }
    return n;
}

static int fair_part(const struct db_engine *e, int64_t now, struct wish me, int lent)
{
    struct wish all[SHARES_MAX + 1];
    int n = gather(e, now, me, all);
    int rest = e->current, part = 0;
    for (int i = 0; i < n; i++) {
        part = all[i].wants < rest / (n - i) ? all[i].wants : rest / (n - i);
        if (all[i].worker == me.worker)
            break;
        rest -= part;
    }
    int free_now = e->current > lent ? e->current - lent : 0;
    return part < free_now ? part : free_now;
}

static int lent_to_others(const struct db_engine *e, int64_t now, int64_t worker)
{
    int lent = 0;
    for (int i = 0; i < e->shares; i++)
        if (e->share[i].until > now && e->share[i].worker != worker)
            lent += e->share[i].granted;
    return lent;
}

static int64_t ask_again(const struct db_engine *e, int64_t now, int granted, int want)
{
    if (granted >= (want < e->current ? want : e->current))
        return 1000;
    if (e->paused_until <= now)
        return 100;
    int64_t ms = e->paused_until - now;
    return ms < 20 ? 20 : ms > 1000 ? 1000 : ms;
}

static void probe(struct db_engine *e, int64_t now, struct share_answer *ret)
{
    ret->granted = 1;
    ret->probe = true;
    e->probes++;
    e->paused_until = now + 1000 * (e->probes < 5 ? 1 << e->probes : 30);
}

bool model_db_ask_share(struct model_db *db, int engine, int64_t worker, int want,
                        const struct share_report *report, struct share_answer *ret)
{
    struct db_engine *e = &db->engine[engine];
    int64_t now = db->world->now;
    const struct db_share *had = row_of(e, worker);
    struct db_share me = {.worker = worker, .until = now, .starved_since = -1};
    if (had != NULL)
        me = *had;
    if (had != NULL && me.seq >= report->seq)
        return false;
    int busy = 0;
    if (me.until > now)
        busy = report->busy < me.granted ? report->busy : me.granted;
    move_health(e, now, report);
    if (row_of(e, 0) == NULL) /* the table was lost: what was lent before it has to end first */
        (void)new_row(e, now,
                      (struct db_share){
                          .granted = 10000, .until = now + SHARE_LEASE_MS, .starved_since = -1});
    int lent = lent_to_others(e, now, worker);
    *ret = (struct share_answer){.arrived = true, .lease_ms = SHARE_LEASE_MS, .outage_ms = -1};
    if (want > 0 && e->paused_until <= now) {
        struct wish mine = {worker, me.starved_since, want};
        if (e->closed_since < 0)
            ret->granted = fair_part(e, now, mine, lent);
        else if (lent == 0 && busy == 0)
            probe(e, now, ret);
    }
    ret->retry_ms = ask_again(e, now, ret->granted, want);
    if (e->closed_since >= 0) {
        int64_t since = e->closed_since - OUTAGE_FORERUN_MS;
        ret->outage_ms = now - (e->last_success_at > since ? e->last_success_at : since);
    }
    ret->current = e->current;
    struct db_share *row = had == NULL ? new_row(e, now, me) : row_of(e, worker);
    row->granted = ret->granted > busy ? ret->granted : busy;
    row->until = now + SHARE_LEASE_MS;
    row->want = want;
    row->seq = report->seq;
    if (want == 0 || ret->granted > 0)
        row->starved_since = -1;
    else if (row->starved_since < 0)
        row->starved_since = now;
    return true;
}
