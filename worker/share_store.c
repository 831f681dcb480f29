/* See share_store.h. */
#include "share_store.h"

#include "attrs.h"
#include "limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STORE_MAGIC 0x73687374u
#define ASK_MAGIC 0x73686173u

/* No row: an ask made later was there first. */
#define ASK_SQL                                                      \
    "select granted, lease_ms, probe, retry_ms, outage_ms, current " \
    "from reveille.ask_share($1, $2, $3, $4)"

struct ask {
    unsigned magic;
    struct share_store *store;
    int engine;
    bool unsent; /* its answer, that there is none, waits for the timer */
};

struct share_store {
    unsigned magic;
    struct db *db;
    const char *worker_name;
    share_store_fn on_answer;
    void *arg;
    struct loop_timer *timer;
    struct ask asks[POOL_ENGINES_MAX];
};

static const struct share_answer none = {.arrived = false, .outage_ms = -1};

static void answered(void *arg, enum db_outcome outcome, const struct db_result *r,
                     const struct err *err UNUSED)
{
    struct ask *ask = CHECK_MAGIC(struct ask, arg, ASK_MAGIC);
    struct share_answer a = none;
    if (outcome == DB_OK && db_rows(r) == 1)
        a = (struct share_answer){.arrived = true,
                                  .granted = db_int(r, 0, 0),
                                  .lease_ms = db_int(r, 0, 1),
                                  .probe = db_bool(r, 0, 2),
                                  .retry_ms = db_int(r, 0, 3),
                                  .outage_ms = db_is_null(r, 0, 4) ? -1 : db_bigint(r, 0, 4),
                                  .current = db_int(r, 0, 5)};
    ask->store->on_answer(ask->store->arg, ask->engine, &a);
}

static void timer_fired(void *arg)
{
    struct share_store *s = CHECK_MAGIC(struct share_store, arg, STORE_MAGIC);
    for (int i = 0; i < POOL_ENGINES_MAX; i++) {
        if (!s->asks[i].unsent)
            continue;
        s->asks[i].unsent = false;
        s->on_answer(s->arg, i, &none);
    }
}

/* All of it is numbers and our own signs: nothing to escape. `reveille workers` reads it, too. */
static void write_report(const struct share_report *r, char *out, size_t size)
{
    char retry_after[48] = "";
    if (r->retry_after_ms > 0)
        snprintf(retry_after, sizeof(retry_after), ",\"retry_after_ms\":%d", r->retry_after_ms);
    snprintf(out, size,
             "{\"seq\":%" PRId64 ",\"busy\":%d,\"tries\":\"%s\",\"ok\":%d,\"partitions\":%d,"
             "\"slices\":%d,\"version\":\"%s\"%s}",
             r->seq, r->busy, r->tries, r->ok, r->partitions, r->slices, REVEILLE_VERSION,
             retry_after);
}

void share_store_ask(struct share_store *s, int engine, const char *name, int want,
                     const struct share_report *report)
{
    char json[320];
    struct ask *ask = &s->asks[engine];
    struct db_args *args = db_args_new();
    write_report(report, json, sizeof(json));
    db_arg_text(args, name);
    db_arg_text(args, s->worker_name);
    db_arg_int(args, want);
    db_arg_json(args, json);
    /* an answer that is older than its lease is worth nothing */
    if (db_call(s->db, ASK_SQL, args, SHARE_LEASE_MS, answered, ask, NULL)) {
        ask->unsent = true;
        loop_timer_arm(s->timer, 0);
    }
}

struct share_store *share_store_new(struct loop *loop, struct db *db, const char *worker_name,
                                    share_store_fn on_answer, void *arg, struct err *err)
{
    struct share_store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)err_errno(err, "share store");
        return NULL;
    }
    s->magic = STORE_MAGIC;
    s->db = db;
    s->worker_name = worker_name;
    s->on_answer = on_answer;
    s->arg = arg;
    for (int i = 0; i < POOL_ENGINES_MAX; i++)
        s->asks[i] = (struct ask){.magic = ASK_MAGIC, .store = s, .engine = i};
    s->timer = loop_timer_new(loop, timer_fired, s, err);
    if (s->timer == NULL) {
        share_store_free(s);
        return NULL;
    }
    return s;
}

void share_store_free(struct share_store *s)
{
    if (s == NULL)
        return;
    loop_timer_free(s->timer);
    free(s);
}
