/* The borrower's side of ask_share; the contract is in share.h, the lender's side in the function's
 * migration. Everything here is arithmetic on what was granted, until when, and what was said. */
#include "share.h"

#include <string.h>

#define ASK_SPACING_MS 50 /* between asks that only follow a changed wish */

void share_init(struct share *s, int64_t timeout_ms, int64_t now)
{
    *s = (struct share){.timeout_ms = timeout_ms,
                        .lease_until = now,
                        .reported = -1,
                        .ask_at = now,
                        .outage_since = -1,
                        .answered_ask = -1};
}

static void drop_held(struct share *s, int64_t now)
{
    int kept = 0;
    for (int i = 0; i < s->held_count; i++)
        if (s->held[i] > now)
            s->held[kept++] = s->held[i];
    s->held_count = kept;
}

static int busy(const struct share *s)
{
    return s->in_flight + s->held_count;
}

static bool leased(const struct share *s, int64_t now)
{
    return now < s->lease_until;
}

int share_room(struct share *s, int64_t now)
{
    drop_held(s, now);
    if (now + s->timeout_ms >= s->lease_until)
        return 0; /* a call could outlive the lease, and then be one too many */
    int limit = s->granted;
    if (s->probe)
        limit = s->probe_spent ? 0 : 1;
    if (s->reported >= 0 && s->reported < limit)
        limit = s->reported; /* the row may have been lowered to what we said */
    int room = limit - busy(s);
    return room > 0 ? room : 0;
}

void share_call_started(struct share *s)
{
    s->in_flight++;
    if (s->probe)
        s->probe_spent = true;
}

static void keep_place(struct share *s, int64_t now)
{
    if (s->held_count < LIMIT_SHARE_HELD)
        s->held[s->held_count++] = now + ENGINE_REFUSED_HOLD_MS;
}

void share_call_ended(struct share *s, int64_t now, const struct answer *a, bool first)
{
    s->in_flight--;
    if (a->ok)
        s->gathered.ok++;
    if (first) {
        size_t n = strlen(s->gathered.tries);
        if (n < LIMIT_SHARE_TRIES) {
            s->gathered.tries[n] = (char)a->sign;
            s->gathered.tries[n + 1] = '\0';
        }
    }
    if (a->refused)
        keep_place(s, now);
    if (a->retry_after_ms > s->gathered.retry_after_ms)
        s->gathered.retry_after_ms = a->retry_after_ms;
    if (a->sign != TRY_ANSWERED)
        s->failed = true;
    if (s->probe && s->in_flight == 0)
        s->ask_at = now; /* what the probe found is what everybody waits for */
}

void share_calls_aborted(struct share *s, int64_t now, int n)
{
    s->in_flight -= n;
    for (int i = 0; i < n; i++)
        keep_place(s, now); /* the engine may still be at work on it */
}

void share_set_want(struct share *s, int64_t now, int want)
{
    s->want = want < LIMIT_SHARE_WANT ? want : LIMIT_SHARE_WANT;
    if (s->asking)
        return;
    bool holds_nothing = s->granted == 0 || !leased(s, now);
    bool had_its_wish = s->asked_want <= s->granted;
    if (s->want == 0 ? s->asked_want > 0 : s->asked_want == 0 && holds_nothing)
        s->ask_at = now;
    else if ((s->want < s->granted && s->want < s->asked_want) ||
             (s->want > s->asked_want && had_its_wish))
        if (s->ask_at > s->asked_at + ASK_SPACING_MS)
            s->ask_at = s->asked_at + ASK_SPACING_MS;
}

/* When the next ask is due, whatever the reason. */
static int64_t ask_due(const struct share *s)
{
    int64_t due = s->ask_at;
    if (s->failed && s->failed_ask_at < due)
        due = s->failed_ask_at;
    return due;
}

bool share_ask(struct share *s, int64_t now, struct share_report *ret_report)
{
    drop_held(s, now);
    bool came_down = s->over_share && busy(s) <= s->granted;
    if (s->asking || (now < ask_due(s) && !came_down))
        return false;
    s->asking = true;
    s->over_share = false;
    s->asked_at = now;
    s->asked_want = s->want;
    s->reported = s->reported >= 0 && s->reported < busy(s) ? s->reported : busy(s);
    s->seq++;
    if (s->failed)
        s->failed_ask_at = now + SHARE_ASK_FAILED_MS;
    s->failed = false;
    s->sent_tries = (int)strlen(s->gathered.tries);
    s->sent_ok = s->gathered.ok;
    *ret_report = s->gathered;
    s->sent_retry_after_ms = s->gathered.retry_after_ms;
    s->gathered.retry_after_ms = 0; /* what comes while the ask is under way is the next one's */
    ret_report->seq = s->seq;
    ret_report->busy = s->reported;
    return true;
}

static void forget_sent(struct share *s)
{
    size_t left = strlen(s->gathered.tries) - (size_t)s->sent_tries;
    memmove(s->gathered.tries, s->gathered.tries + s->sent_tries, left + 1);
    s->gathered.ok -= s->sent_ok;
}

void share_lent(struct share *s, int64_t now, const struct share_answer *a)
{
    s->asking = false;
    if (!a->arrived) {
        if (s->gathered.retry_after_ms < s->sent_retry_after_ms)
            s->gathered.retry_after_ms = s->sent_retry_after_ms;
        s->ask_at = now + SHARE_ASK_FAILED_MS; /* what we reported stays the bound until then */
        return;
    }
    forget_sent(s);
    s->granted = a->granted;
    s->lease_until = s->asked_at + a->lease_ms;
    s->probe = a->probe;
    s->probe_spent = false;
    s->reported = -1;
    s->over_share = busy(s) > s->granted;
    s->outage_since = a->outage_ms >= 0 ? s->asked_at - a->outage_ms : -1;
    s->answered_ask = s->asked_at;
    s->ask_at = now + (s->asked_want == 0 ? SHARE_IDLE_MS : a->retry_ms);
    share_set_want(s, now, s->want); /* it may have changed while the ask was under way */
}

int64_t share_next(const struct share *s, int64_t now)
{
    int64_t next = s->asking ? INT64_MAX : ask_due(s);
    for (int i = 0; i < s->held_count; i++)
        if (s->held[i] > now && s->held[i] < next)
            next = s->held[i];
    return next;
}
