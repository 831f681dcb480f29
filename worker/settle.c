/* See settle.h. */
#include "settle.h"

#include "attrs.h"
#include "limits.h"
#include "settle_row.h"

#include <stdlib.h>

#define SETTLE_MAGIC 0x7365746cu
#define ASK_MAGIC 0x73657461u

/* Takes the slice's row while it is pending, and no other lock but its users' cooldown rows, in key
 * order. No row: it was not pending. */
#define SETTLE_SQL                                          \
    "select " SETTLE_COLUMNS " from reveille.settle_slice(" \
    "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"

struct settle_ask {
    unsigned magic;
    struct settle *settle;
    struct pool_ref ref;
    bool unsent; /* its answer waits for the timer */
};

struct settle {
    unsigned magic;
    struct db *db;
    const char *worker_name;
    settle_fn on_settled;
    void *arg;
    struct loop_timer *timer;
    struct settle_ask asks[POOL_SLOTS];
};

/* ---- the answer -------------------------------------------------------------------------- */

static void settled(void *arg, enum db_outcome outcome, const struct db_result *r,
                    const struct err *err)
{
    struct settle_ask *ask = CHECK_MAGIC(struct settle_ask, arg, ASK_MAGIC);
    struct settle_row row;
    settle_row_init(&row, outcome, r, err);
    ask->settle->on_settled(ask->settle->arg, ask->ref, &row.answer);
    settle_row_release(&row);
}

/* ---- the arrays -------------------------------------------------------------------------- */

/* What settle_slice takes, beside each other: one element a decision, one a failed subject. */
struct columns {
    int skipped, decisions, failed;
    int32_t *skipped_pos, *pos, *failed_pos;
    struct uuid *users, *abouts;
    bool *no_about;
    const char **scenarios, **actions, **payloads, **classes, **texts;
};

static const char *action_word(enum action action)
{
    switch (action) {
    case ACTION_DISPATCH:
        return "dispatch";
    case ACTION_DISPATCHED:
        return "dispatched";
    case ACTION_SUPPRESS:
        return "suppress";
    }
    return "";
}

static void columns_release(struct columns *c)
{
    free(c->skipped_pos);
    free(c->pos);
    free(c->failed_pos);
    free(c->users);
    free(c->abouts);
    free(c->no_about);
    free(c->scenarios);
    free(c->actions);
    free(c->payloads);
    free(c->classes);
    free(c->texts);
}

/* *c: all zero before. False: no memory; what there is is released by the caller. */
static bool columns_init(struct columns *c, const struct pool_outcome *out)
{
    size_t subjects = (size_t)out->claim->n + 1, decisions = 1; /* never 0: calloc may say NULL */
    for (int i = 0; i < out->claim->n; i++)
        if (out->subjects[i].state == SUBJECT_JUDGED)
            decisions += (size_t)out->subjects[i].answer->n;
    c->skipped_pos = calloc(subjects, sizeof(*c->skipped_pos));
    c->failed_pos = calloc(subjects, sizeof(*c->failed_pos));
    c->classes = calloc(subjects, sizeof(*c->classes));
    c->texts = calloc(subjects, sizeof(*c->texts));
    c->pos = calloc(decisions, sizeof(*c->pos));
    c->users = calloc(decisions, sizeof(*c->users));
    c->abouts = calloc(decisions, sizeof(*c->abouts));
    c->no_about = calloc(decisions, sizeof(*c->no_about));
    c->scenarios = calloc(decisions, sizeof(*c->scenarios));
    c->actions = calloc(decisions, sizeof(*c->actions));
    c->payloads = calloc(decisions, sizeof(*c->payloads));
    return c->skipped_pos && c->failed_pos && c->classes && c->texts && c->pos && c->users &&
           c->abouts && c->no_about && c->scenarios && c->actions && c->payloads;
}

static void add_decision(struct columns *c, int pos, const struct uuid *user,
                         const struct decision *d)
{
    int k = c->decisions++;
    c->pos[k] = pos;
    c->users[k] = *user;
    c->abouts[k] = d->about;
    c->no_about[k] = !d->has_about;
    c->scenarios[k] = d->scenario_type;
    c->actions[k] = action_word(d->action);
    c->payloads[k] = d->payload;
}

/* Positions are those of the claim, counted from 1: no subject's id is sent back. */
static void add_subject(struct columns *c, const struct pool_outcome *out, int i)
{
    const struct subject *u = &out->subjects[i];
    assert(u->state != SUBJECT_OPEN); /* such a slice is not settled */
    switch (u->state) {
    case SUBJECT_SKIPPED:
        c->skipped_pos[c->skipped++] = i + 1;
        break;
    case SUBJECT_JUDGED:
        for (int k = 0; k < u->answer->n; k++)
            add_decision(c, i + 1, &out->claim->user_ids[i], &u->answer->decisions[k]);
        break;
    case SUBJECT_FAILED:
        c->failed_pos[c->failed] = i + 1;
        c->classes[c->failed] = err_class_name(u->answer->cls);
        c->texts[c->failed++] = u->answer->text;
        break;
    case SUBJECT_OPEN:
        break;
    }
}

static struct db_args *arguments(const struct settle *s, const struct pool_outcome *out,
                                 const struct columns *c)
{
    struct db_args *args = db_args_new();
    size_t decisions = (size_t)c->decisions, failed = (size_t)c->failed;
    db_arg_uuid(args, &out->run);
    db_arg_int(args, out->slice);
    db_arg_text(args, s->worker_name);
    db_arg_int_array(args, c->skipped_pos, (size_t)c->skipped);
    db_arg_int_array(args, c->pos, decisions);
    db_arg_uuid_array(args, c->users, NULL, decisions);
    db_arg_text_array(args, c->scenarios, decisions);
    db_arg_text_array(args, c->actions, decisions);
    db_arg_uuid_array(args, c->abouts, c->no_about, decisions);
    db_arg_text_array(args, c->payloads, decisions);
    db_arg_int_array(args, c->failed_pos, failed);
    db_arg_text_array(args, c->classes, failed);
    db_arg_text_array(args, c->texts, failed);
    db_arg_bool(args, out->each);
    db_arg_bool(args, out->careful);
    return args;
}

void settle_start(struct settle *s, struct pool_ref ref, const struct pool_outcome *out)
{
    assert(ref.slot < POOL_SLOTS);
    struct settle_ask *ask = &s->asks[ref.slot];
    struct columns c = {0};
    assert(!ask->unsent);
    ask->ref = ref;
    bool ok = columns_init(&c, out);
    for (int i = 0; ok && i < out->claim->n; i++)
        add_subject(&c, out, i);
    ok = ok && db_call(s->db, SETTLE_SQL, arguments(s, out, &c), DB_STATEMENT_MS, settled, ask,
                       NULL) == 0;
    columns_release(&c);
    if (!ok) {
        ask->unsent = true;
        loop_timer_arm(s->timer, 0);
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static void timer_fired(void *arg)
{
    struct settle *s = CHECK_MAGIC(struct settle, arg, SETTLE_MAGIC);
    const struct settle_answer a = settle_unsent();
    for (int i = 0; i < POOL_SLOTS; i++) {
        if (!s->asks[i].unsent)
            continue;
        s->asks[i].unsent = false;
        s->on_settled(s->arg, s->asks[i].ref, &a);
    }
}

struct settle *settle_new(struct loop *loop, struct db *db, const char *worker_name,
                          settle_fn on_settled, void *arg, struct err *err)
{
    struct settle *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)err_errno(err, "settle");
        return NULL;
    }
    s->magic = SETTLE_MAGIC;
    s->db = db;
    s->worker_name = worker_name;
    s->on_settled = on_settled;
    s->arg = arg;
    for (int i = 0; i < POOL_SLOTS; i++)
        s->asks[i] = (struct settle_ask){.magic = ASK_MAGIC, .settle = s};
    s->timer = loop_timer_new(loop, timer_fired, s, err);
    if (s->timer == NULL) {
        settle_free(s);
        return NULL;
    }
    return s;
}

void settle_free(struct settle *s)
{
    if (s == NULL)
        return;
    loop_timer_free(s->timer);
    free(s);
}
