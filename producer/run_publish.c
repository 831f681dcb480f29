/* Slices on their way from the plan to Kafka: drawn in order, the runs of an engine in turn, never
 * further ahead of the workers than the bound, and noted in the plan when they are delivered. A
 * delivery that fails is nobody's loss: the slice stays unpublished, and the reconciler rings. */
#include "run_core_internal.h"

#include <stdlib.h>
#include <string.h>

#define PUBLISH_AGAIN_MS 100 /* Kafka's queue was full */
#define ENSURE_AGAIN_MS 1000

bool topic_resize(struct run_core *c, struct topic *t, int partitions)
{
    if (partitions < 1 || partitions == t->partitions)
        return partitions == t->partitions;
    struct topic_part *part = reallocarray(t->part, (size_t)partitions, sizeof(*part));
    if (part == NULL)
        return false;
    for (int i = t->partitions; i < partitions; i++)
        part[i] =
            (struct topic_part){.committed = -1, .changed_ms = c->now, .delivered = NOT_DELIVERED};
    t->part = part;
    t->partitions = partitions;
    t->committed_known = false; /* nothing is known of the new ones */
    if (t->state == TOPIC_READY)
        t->state = TOPIC_UNKNOWN;
    t->ensure_at = c->now;
    return true;
}

int topic_find(struct run_core *c, const char *engine, int partitions)
{
    for (int i = 0; i < c->topic_count; i++) {
        struct topic *t = &c->topic[i];
        if (strcmp(t->engine, engine) != 0)
            continue;
        if (partitions > t->partitions)
            (void)topic_resize(c, t, partitions); /* else with the first slice that needs them */
        return i;
    }
    if (c->topic_count == TOPICS_MAX)
        return NO_TOPIC;
    struct topic *t = &c->topic[c->topic_count];
    *t = (struct topic){.span_start = c->now};
    if (!topic_resize(c, t, partitions))
        return NO_TOPIC;
    strncpy(t->engine, engine, sizeof(t->engine) - 1);
    return c->topic_count++;
}

void topic_ensure(struct run_core *c, struct topic *t)
{
    if (t->state != TOPIC_UNKNOWN || c->now < t->ensure_at)
        return;
    t->state = TOPIC_ASKED;
    t->asked = t->partitions;
    c->ops.ensure_topic(c->ops.world, t->engine, t->partitions);
}

void run_core_topic(struct run_core *c, const char *engine, bool ok)
{
    c->now = c->ops.now_ms(c->ops.world);
    for (int i = 0; i < c->topic_count; i++) {
        struct topic *t = &c->topic[i];
        if (strcmp(t->engine, engine) != 0)
            continue;
        bool resized = t->asked != t->partitions; /* while it was asked */
        t->state = ok && !resized ? TOPIC_READY : TOPIC_UNKNOWN;
        t->ensure_at = c->now + (resized ? 0 : ENSURE_AGAIN_MS);
    }
    run_core_pump(c);
}

/* ---- how far ahead ----------------------------------------------------------------------- */

void publish_done(struct run_core *c, struct topic *t, int slices)
{
    int64_t age = c->now - t->span_start;
    if (age >= LIMIT_AHEAD_SPAN_MS) {
        t->span_before = age < 2 * LIMIT_AHEAD_SPAN_MS ? t->span_done : 0;
        t->span_done = 0;
        t->span_start = c->now;
    }
    t->span_done += slices;
}

static int bound(const struct topic *t)
{
    int most = t->span_done > t->span_before ? t->span_done : t->span_before;
    int least = LIMIT_AHEAD_PER_PARTITION * t->partitions;
    if (most < least)
        most = least;
    return most < LIMIT_AHEAD_MAX ? most : LIMIT_AHEAD_MAX;
}

int publish_ahead(const struct lead *l)
{
    int done = l->progress_known ? l->progress.slices - l->progress.pending : 0;
    int ahead = l->after + 1 - done;
    return ahead > 0 ? ahead : 0;
}

/* ---- at a rate --------------------------------------------------------------------------- */

static int64_t slice_us(const struct lead *l)
{
    return (int64_t)l->run.page_size * 1000000 / l->run.rate;
}

/* How many slices the run's rate lets go now; a slice goes whole. What was not used is saved for
 * RATE_SAVED_MS and no longer, and no more are out at a time than the span's: workers that come
 * back from a pause must not find a heap. */
static int rate_room(const struct run_core *c, struct lead *l)
{
    if (l->run.rate == 0)
        return LIMIT_AHEAD_MAX;
    int64_t now_us = c->now * 1000, saved_us = now_us - (int64_t)RATE_SAVED_MS * 1000;
    if (l->rate_us < saved_us)
        l->rate_us = saved_us;
    if (l->rate_us > now_us)
        return 0;
    int64_t due = (now_us - l->rate_us) / slice_us(l) + 1;
    int64_t out = (int64_t)LIMIT_AHEAD_SPAN_MS * 1000 / slice_us(l);
    int64_t room = (out > 0 ? out : 1) - publish_ahead(l);
    return (int)(room < due ? room : due);
}

/* That many have gone. Few and large steps: a rate of thousands wakes nobody thousands of times. */
static void rate_spend(const struct run_core *c, struct lead *l, int slices)
{
    if (l->run.rate == 0)
        return;
    l->rate_us += slices * slice_us(l);
    int64_t next = (l->rate_us + 999) / 1000;
    if (next < c->now + RATE_STEP_MS)
        next = c->now + RATE_STEP_MS;
    if (l->draw_at < next)
        l->draw_at = next;
}

/* ---- drawing ----------------------------------------------------------------------------- */

static bool may_draw(const struct run_core *c, const struct lead *l, int topic)
{
    return l->used && l->topic == topic && !l->draw_asked && c->now >= l->draw_at &&
           l->run.slices > l->after + 1 && l->sent_count + LIMIT_PUBLISH_BATCH <= SENT_MAX;
}

void publish_draw(struct run_core *c, int topic)
{
    struct topic *t = &c->topic[topic];
    if (t->state != TOPIC_READY || c->draining)
        return;
    int room = bound(t);
    for (int i = 0; i < LIMIT_RUNS_HELD; i++) {
        const struct lead *l = &c->lead[i];
        if (l->used && l->topic == topic)
            room -= publish_ahead(l) + (l->draw_asked ? l->draw_limit : 0);
    }
    for (int i = 0; i < LIMIT_RUNS_HELD && room > 0; i++) {
        int at = (t->turn + i) % LIMIT_RUNS_HELD;
        struct lead *l = &c->lead[at];
        int most = may_draw(c, l, topic) ? rate_room(c, l) : 0;
        if (most <= 0)
            continue;
        most = most < LIMIT_PUBLISH_BATCH ? most : LIMIT_PUBLISH_BATCH;
        t->turn = (at + 1) % LIMIT_RUNS_HELD;
        l->draw_asked = true;
        l->draw_limit = room < most ? room : most;
        l->draw_known = l->run.slices;
        room -= l->draw_limit;
        c->ops.draw(c->ops.world, lead_ref(c, l), &l->run.run_id, l->after, l->draw_limit);
    }
}

bool publish_one(struct run_core *c, struct lead *l, int32_t slice_no, int32_t partition)
{
    struct topic *t = &c->topic[l->topic];
    if (l->sent_count == SENT_MAX)
        return false;
    if (partition >= t->partitions) { /* the engine's row was raised since it was read */
        (void)topic_resize(c, t, partition + 1);
        return false;
    }
    if (!c->ops.publish(c->ops.world, lead_ref(c, l), &l->run, slice_no, partition))
        return false;
    l->sent[l->sent_count++] =
        (struct sent){.slice_no = slice_no, .partition = partition, .state = SENT_OUT};
    return true;
}

void run_core_drawn(struct run_core *c, struct lead_ref ref, bool failed,
                    const struct drawn_slice *slices, int n)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    l->draw_asked = false;
    if (failed)
        l->draw_at = c->now + PUBLISH_AGAIN_MS;
    int taken = 0;
    while (!failed && taken < n &&
           publish_one(c, l, slices[taken].slice_no, slices[taken].partition))
        l->after = slices[taken++].slice_no;
    if (!failed && taken < n)
        l->draw_at = c->now + PUBLISH_AGAIN_MS;
    else if (!failed && n < l->draw_limit && l->after < l->draw_known - 1)
        l->after = l->draw_known - 1; /* the rest was published before us, or is done */
    rate_spend(c, l, taken);
    run_core_pump(c);
}

/* ---- reports ----------------------------------------------------------------------------- */

static void forget_sent(struct lead *l, int i)
{
    l->sent[i] = l->sent[--l->sent_count];
}

bool publish_under_way(const struct lead *l, int32_t slice_no)
{
    for (int i = 0; i < l->sent_count; i++)
        if (l->sent[i].slice_no == slice_no)
            return true;
    return false;
}

static void note_offset(const struct run_core *c, struct topic *t, int32_t partition,
                        int64_t offset)
{
    if (partition < 0 || partition >= t->partitions)
        return;
    struct topic_part *part = &t->part[partition];
    if (offset <= part->delivered)
        part->anew = true;
    if (part->delivered < (part->committed < 0 ? 0 : part->committed))
        part->changed_ms = c->now; /* all was read so far: it stood still for want of messages */
    part->delivered = offset;
}

void run_core_delivered(struct run_core *c, struct lead_ref ref, int32_t slice_no,
                        int32_t partition, bool ok, int64_t offset)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    struct topic *t = &c->topic[l->topic];
    for (int i = 0; i < l->sent_count; i++) {
        struct sent *s = &l->sent[i];
        if (s->slice_no != slice_no || s->state != SENT_OUT)
            continue;
        if (ok) {
            s->state = SENT_DELIVERED;
            s->offset = offset;
            note_offset(c, t, partition, offset);
        } else {
            forget_sent(l, i);
            if (l->failed_deliveries++ == 0)
                l->say_failed_at = c->now + DELIVERY_SAY_MS;
            if (t->state == TOPIC_READY) { /* perhaps it is gone */
                t->state = TOPIC_UNKNOWN;
                t->ensure_at = c->now;
            }
        }
        break;
    }
    run_core_pump(c);
}

void publish_say_failed(struct run_core *c, struct lead *l, bool now)
{
    if (l->failed_deliveries == 0 || (!now && c->now < l->say_failed_at))
        return;
    lead_note(c, l, RUN_NOTE_DELIVERY_FAILED, l->failed_deliveries, NULL);
    l->failed_deliveries = 0;
}

/* Notes in the plan what was delivered, as many as there are, one call at a time. */
void publish_note(struct run_core *c, struct lead *l)
{
    int32_t slices[LIMIT_PUBLISH_BATCH];
    int64_t offsets[LIMIT_PUBLISH_BATCH];
    int n = 0;
    if (l->note_asked)
        return;
    for (int i = 0; i < l->sent_count && n < LIMIT_PUBLISH_BATCH; i++) {
        struct sent *s = &l->sent[i];
        if (s->state != SENT_DELIVERED)
            continue;
        s->state = SENT_NOTING;
        slices[n] = s->slice_no;
        offsets[n++] = s->offset;
    }
    if (n == 0)
        return;
    l->note_asked = true;
    c->ops.note_published(c->ops.world, lead_ref(c, l), &l->run.run_id, slices, offsets, n);
}

void run_core_noted(struct run_core *c, struct lead_ref ref, bool failed)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    (void)failed; /* what was not noted is rung once more, which does no harm */
    l->note_asked = false;
    for (int i = l->sent_count - 1; i >= 0; i--)
        if (l->sent[i].state == SENT_NOTING)
            forget_sent(l, i);
    run_core_pump(c);
}
