/* See slice_store.h. What waits for an answer stands in arrays as long as the core's slots, so that
 * no answer is ever lost for want of memory. */
#include "slice_store.h"

#include "attrs.h"
#include "claim_row.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define STORE_MAGIC 0x736c7374u
#define CLAIM_MAGIC 0x736c636cu

/* Both in (run_id, slice_no) order: a cancel locks the same rows. */
#define TOUCH_SQL "select run_id, slice_no from reveille.touch_slices($1, $2, $3, $4, $5)"
#define RELEASE_SQL "select reveille.release_slices($1, $2, $3)"
#define DEAD_LETTER_SQL "select reveille.note_dead_letter($1, $2, $3, $4)"

struct claim_ask {
    unsigned magic;
    struct slice_store *store;
    struct pool_ref ref;
    struct claim *claim; /* made before the ask, so that its answer needs no memory to be told */
    bool unsent;         /* its failure waits for the timer */
};

struct slice_store {
    unsigned magic;
    struct slice_store_config cfg;
    struct loop_timer *timer; /* tells what could not be sent */
    struct claim_ask claims[POOL_SLOTS];
    struct pool_ref touched[POOL_SLOTS];
    struct uuid touched_runs[POOL_SLOTS];
    int32_t touched_slices[POOL_SLOTS];
    int touched_count;
    bool touch_unsent;
    int releases_unsent;
    int dead_letters; /* waiting */
};

static void tell_soon(struct slice_store *s)
{
    loop_timer_arm(s->timer, 0);
}

/* ---- claim ------------------------------------------------------------------------------- */

static void tell_claim(struct claim_ask *ask)
{
    struct slice_store *s = ask->store;
    s->cfg.on_claimed(s->cfg.arg, ask->ref, TAKE(ask->claim));
}

static void claimed(void *arg, enum db_outcome outcome, const struct db_result *r,
                    const struct err *err)
{
    struct claim_ask *ask = CHECK_MAGIC(struct claim_ask, arg, CLAIM_MAGIC);
    if (outcome == DB_OK) {
        claim_row_read(r, ask->claim);
    } else {
        ask->claim->outcome = CLAIM_FAILED;
        ask->claim->err = *err;
    }
    tell_claim(ask);
}

static int send_claim(struct slice_store *s, struct claim_ask *ask, const char *engine,
                      const struct uuid *run, int32_t slice, struct err *err)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, run);
    db_arg_int(args, slice);
    db_arg_text(args, s->cfg.worker_name);
    db_arg_int(args, s->cfg.stale_ms);
    db_arg_int(args, LIMIT_ATTEMPTS);
    db_arg_text(args, engine);
    return db_call(s->cfg.claims, CLAIM_SQL, args, DB_STATEMENT_MS, claimed, ask, err);
}

void slice_store_claim(struct slice_store *s, struct pool_ref ref, const char *engine,
                       const struct uuid *run, int32_t slice)
{
    assert(ref.slot < POOL_SLOTS);
    struct claim_ask *ask = &s->claims[ref.slot];
    struct err err = ERR_INIT;
    assert(ask->claim == NULL && !ask->unsent);
    ask->ref = ref;
    ask->claim = calloc(1, sizeof(*ask->claim));
    if (ask->claim == NULL || send_claim(s, ask, engine, run, slice, &err)) {
        if (ask->claim != NULL)
            ask->claim->err = err;
        ask->unsent = true;
        tell_soon(s);
    }
}

/* False: there is still no memory. */
static bool tell_unsent_claim(struct claim_ask *ask)
{
    if (ask->claim == NULL)
        ask->claim = calloc(1, sizeof(*ask->claim));
    if (ask->claim == NULL)
        return false;
    if (!err_is_set(&ask->claim->err))
        (void)err_retry(&ask->claim->err, ERR_SYSTEM, "ENOMEM", "no memory for a claim");
    ask->claim->outcome = CLAIM_FAILED;
    ask->unsent = false;
    tell_claim(ask);
    return true;
}

/* ---- touch ------------------------------------------------------------------------------- */

static void tell_touched(struct slice_store *s, const bool *ours, bool failed)
{
    s->cfg.on_touched(s->cfg.arg, s->touched, s->touched_count, ours, failed);
}

static void touched(void *arg, enum db_outcome outcome, const struct db_result *r,
                    const struct err *err UNUSED)
{
    struct slice_store *s = CHECK_MAGIC(struct slice_store, arg, STORE_MAGIC);
    bool ours[POOL_SLOTS] = {false};
    int rows = outcome == DB_OK ? db_rows(r) : 0;
    for (int row = 0; row < rows; row++) {
        struct uuid run = db_uuid(r, row, 0);
        int32_t slice = db_int(r, row, 1);
        for (int i = 0; i < s->touched_count; i++)
            if (s->touched_slices[i] == slice && uuid_equal(&s->touched_runs[i], &run))
                ours[i] = true;
    }
    tell_touched(s, ours, outcome != DB_OK);
}

void slice_store_touch(struct slice_store *s, const struct pool_ref *refs, const struct uuid *runs,
                       const int32_t *slices, const int32_t *calls, const char *const *classes,
                       int n)
{
    assert(n >= 0 && n <= POOL_SLOTS);
    size_t count = (size_t)n;
    memcpy(s->touched, refs, count * sizeof(*refs));
    memcpy(s->touched_runs, runs, count * sizeof(*runs));
    memcpy(s->touched_slices, slices, count * sizeof(*slices));
    s->touched_count = n;
    struct db_args *args = db_args_new();
    db_arg_text(args, s->cfg.worker_name);
    db_arg_uuid_array(args, runs, NULL, count);
    db_arg_int_array(args, slices, count);
    db_arg_int_array(args, calls, count);
    db_arg_text_array(args, classes, count);
    /* a renewal that comes when the claim is stale comes too late */
    if (db_call(s->cfg.renewals, TOUCH_SQL, args, s->cfg.stale_ms, touched, s, NULL)) {
        s->touch_unsent = true;
        tell_soon(s);
    }
}

/* ---- release ----------------------------------------------------------------------------- */

static void released(void *arg, enum db_outcome outcome, const struct db_result *r UNUSED,
                     const struct err *err UNUSED)
{
    struct slice_store *s = CHECK_MAGIC(struct slice_store, arg, STORE_MAGIC);
    s->cfg.on_released(s->cfg.arg, outcome != DB_OK);
}

void slice_store_release(struct slice_store *s, const struct uuid *runs, const int32_t *slices,
                         int n)
{
    struct db_args *args = db_args_new();
    db_arg_text(args, s->cfg.worker_name);
    db_arg_uuid_array(args, runs, NULL, (size_t)n);
    db_arg_int_array(args, slices, (size_t)n);
    if (db_call(s->cfg.claims, RELEASE_SQL, args, DB_STATEMENT_MS, released, s, NULL)) {
        s->releases_unsent++;
        tell_soon(s);
    }
}

/* ---- dead letters ------------------------------------------------------------------------ */

static void dead_letter_noted(void *arg, enum db_outcome outcome UNUSED,
                              const struct db_result *r UNUSED, const struct err *err UNUSED)
{
    CHECK_MAGIC(struct slice_store, arg, STORE_MAGIC)->dead_letters--;
}

void slice_store_dead_letter(struct slice_store *s, const char *topic, int32_t partition,
                             int64_t offset, const char *reason)
{
    if (s->dead_letters == DEAD_LETTERS_PENDING)
        return;
    struct db_args *args = db_args_new();
    db_arg_text(args, topic);
    db_arg_int(args, partition);
    db_arg_bigint(args, offset);
    db_arg_text(args, reason);
    if (db_call(s->cfg.claims, DEAD_LETTER_SQL, args, DB_STATEMENT_MS, dead_letter_noted, s,
                NULL) == 0)
        s->dead_letters++;
}

/* ---- life -------------------------------------------------------------------------------- */

static void timer_fired(void *arg)
{
    struct slice_store *s = CHECK_MAGIC(struct slice_store, arg, STORE_MAGIC);
    for (int i = 0; i < POOL_SLOTS; i++)
        if (s->claims[i].unsent && !tell_unsent_claim(&s->claims[i]))
            tell_soon(s);
    if (s->touch_unsent) {
        s->touch_unsent = false;
        tell_touched(s, NULL, true);
    }
    for (; s->releases_unsent > 0; s->releases_unsent--)
        s->cfg.on_released(s->cfg.arg, true);
}

struct slice_store *slice_store_new(struct loop *loop, const struct slice_store_config *cfg,
                                    struct err *err)
{
    struct slice_store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)err_errno(err, "slice store");
        return NULL;
    }
    s->magic = STORE_MAGIC;
    s->cfg = *cfg;
    for (int i = 0; i < POOL_SLOTS; i++) {
        s->claims[i].magic = CLAIM_MAGIC;
        s->claims[i].store = s;
    }
    s->timer = loop_timer_new(loop, timer_fired, s, err);
    if (s->timer == NULL) {
        slice_store_free(s);
        return NULL;
    }
    return s;
}

void slice_store_free(struct slice_store *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < POOL_SLOTS; i++)
        claim_free(s->claims[i].claim);
    loop_timer_free(s->timer);
    free(s);
}
