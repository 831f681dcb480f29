#include "scripted_engine_desk.h"
#include "scripted_engine_answer.h"
#include "scripted_engine_limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define CHUNK_FRAME 16 /* a chunk's length in hex before it, two line ends */

/* DESIGN.md has the picture. */
enum phase {
    IDLE,
    WAITING,  /* a call, until its timer: the latency */
    HANGING,  /* a call, until its client goes away */
    SENDING,  /* a call, the kernel has not taken the whole answer */
    DRIPPING, /* a call, one byte a timer */
    REPLYING, /* no call, the kernel has not taken the whole answer */
    STREAMING /* no call, the lines of /stats/calls, one piece a timer */
};

struct visit {
    enum phase phase;
    bool keep_alive;
    size_t length; /* of the request */
    struct text key;
    struct evaluation ev;
    struct call call;
    struct action action;
    struct why refused; /* what is wrong with the body */
    struct calls_cursor cursor;
};

struct desk {
    struct verdict *verdict;
    struct calls *calls;
    struct timers *timers;
    struct answer_page *page;
    struct visit visits[SE_CONNECTIONS_MAX];
    char chunk[CALLS_READ_MAX + CHUNK_FRAME];
};

struct desk *desk_new(struct verdict *verdict, struct calls *calls, struct timers *timers,
                      struct why *why)
{
    struct desk *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        (void)why_errno(why, "a desk");
        return NULL;
    }
    d->verdict = verdict;
    d->calls = calls;
    d->timers = timers;
    if ((d->page = answer_page_new(why)) == NULL) {
        desk_free(d);
        return NULL;
    }
    return d;
}

void desk_free(struct desk *d)
{
    if (d != NULL)
        answer_page_free(d->page);
    free(d);
}

bool desk_busy(const struct desk *d, int slot)
{
    return d->visits[slot].phase != IDLE;
}

bool desk_at_peak(const struct desk *d)
{
    int next = calls_in_flight(d->calls) + 1;

    return next > calls_max_in_flight(d->calls) || next > verdict_limit(d->verdict);
}

static int end_call(struct desk *d, struct visit *v, int status, int64_t now_us, struct why *why)
{
    v->phase = IDLE;
    return calls_ended(d->calls, &v->call, &v->ev, v->key, &v->action, status, now_us, why);
}

/* ---- calls ------------------------------------------------------------------------------- */

static enum desk_wish begin_call(struct desk *d, int slot, struct peer *peer,
                                 const struct request *req, int64_t now_us, struct why *why)
{
    struct visit *v = &d->visits[slot];
    bool understood = body_evaluation(req->body, &v->ev, &v->refused) == 0;
    struct ruling ruling;

    v->key = req->key;
    if (calls_arrived(d->calls, &v->ev, !peer_hung_up(peer), &v->call, why))
        return DESK_FAILED;
    ruling = verdict_rule(d->verdict, req, understood ? &v->ev : NULL, v->call.in_flight);
    v->action = ruling.action;
    if (understood)
        (void)snprintf(v->refused.text, sizeof(v->refused.text), "as scripted");
    if (peer_hung_up(peer)) {
        int rc = end_call(d, v, 0, now_us, why); /* reads the key out of the request */

        peer_next(peer, v->length);
        return rc ? DESK_FAILED : DESK_KEEP;
    }
    v->phase = v->action.kind == ACTION_HANG ? HANGING : WAITING;
    if (v->phase == WAITING) /* at 0 ms too: first the whole batch is read, then it is answered */
        timers_set(d->timers, slot, now_us + ruling.delay_us);
    return DESK_KEEP;
}

/* After a send or a push of a call's answer. */
static enum desk_wish call_output(struct desk *d, struct visit *v, struct peer *peer,
                                  enum peer_output output, int64_t now_us, struct why *why)
{
    bool cut = v->action.kind == ACTION_TRUNCATED;
    int status = output == PEER_SENT && !cut ? answer_status(&v->action) : 0;

    if (output == PEER_PARKED) {
        if (v->phase == WAITING)
            v->phase = SENDING;
        return DESK_KEEP;
    }
    if (end_call(d, v, status, now_us, why))
        return DESK_FAILED;
    peer_next(peer, v->length);
    return output == PEER_SENT && v->keep_alive && !cut ? DESK_KEEP : DESK_CLOSE;
}

static enum desk_wish answer(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                             struct why *why)
{
    struct visit *v = &d->visits[slot];

    if (v->action.kind == ACTION_RESET)
        return end_call(d, v, 0, now_us, why) ? DESK_FAILED : DESK_RESET;
    struct text bytes = answer_call(d->page, &v->action, &v->ev, v->refused.text, v->keep_alive);
    if (v->action.kind != ACTION_SLOW_DRIP)
        return call_output(d, v, peer, peer_send(peer, bytes), now_us, why);
    v->phase = DRIPPING;
    timers_set(d->timers, slot, now_us + SE_DRIP_US);
    return call_output(d, v, peer, peer_park(peer, bytes), now_us, why);
}

static enum desk_wish drip(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                           struct why *why)
{
    enum peer_output output = peer_push(peer, 1);

    if (output == PEER_PARKED)
        timers_set(d->timers, slot, now_us + SE_DRIP_US);
    return call_output(d, &d->visits[slot], peer, output, now_us, why);
}

/* ---- everything that is no call ---------------------------------------------------------- */

static enum desk_wish reply_output(struct visit *v, struct peer *peer, enum peer_output output)
{
    v->phase = output == PEER_PARKED ? REPLYING : IDLE;
    if (output == PEER_PARKED)
        return DESK_KEEP;
    peer_next(peer, v->length);
    return output == PEER_SENT && v->keep_alive ? DESK_KEEP : DESK_CLOSE;
}

static enum desk_wish reply(struct desk *d, struct visit *v, struct peer *peer, int status,
                            const char *json)
{
    struct text bytes = answer_json(d->page, status, json, v->keep_alive);

    return reply_output(v, peer, peer_send(peer, bytes));
}

static long long cpu_us(void)
{
    struct rusage used;

    (void)getrusage(RUSAGE_SELF, &used); /* cannot fail for the process itself */
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static enum desk_wish reply_stats(struct desk *d, struct visit *v, struct peer *peer)
{
    char json[256];

    (void)snprintf(json, sizeof(json),
                   "{\"requests\": %lld, \"mentors\": %lld, \"max_in_flight\": %d, "
                   "\"in_flight\": %d, \"cpu_us\": %lld}\n",
                   (long long)calls_requests(d->calls), (long long)calls_mentors(d->calls),
                   calls_max_in_flight(d->calls), calls_in_flight(d->calls), cpu_us());
    return reply(d, v, peer, 200, json);
}

static enum desk_wish reply_control(struct desk *d, struct visit *v, struct peer *peer,
                                    const struct request *req)
{
    struct change change;
    struct why refused;
    char json[sizeof(refused.text) + 16];
    bool was_down = verdict_is_down(d->verdict);

    if (body_change(req->body, &change, &refused) ||
        verdict_change(d->verdict, &change, &refused)) {
        (void)snprintf(json, sizeof(json), "{\"error\": \"%s\"}", refused.text);
        return reply(d, v, peer, 400, json);
    }
    if (change.resets_maximum)
        calls_reset_max(d->calls);
    enum desk_wish wish = reply(d, v, peer, 200, "{}");
    return !was_down && verdict_is_down(d->verdict) && wish == DESK_KEEP ? DESK_RESET_OTHERS : wish;
}

/* One piece of the log, as one chunk, or the last chunk, which is empty. */
static enum desk_wish stream(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                             struct why *why)
{
    struct visit *v = &d->visits[slot];
    struct out piece = {.at = d->chunk + CHUNK_FRAME - 4, .cap = sizeof(d->chunk) - CHUNK_FRAME};
    char length[CHUNK_FRAME];
    bool more;

    if (calls_read(d->calls, &v->cursor, &piece, &more, why))
        return DESK_FAILED;
    if (!more)
        return reply_output(v, peer, peer_send(peer, (struct text){"0\r\n\r\n", 5}));
    int n = snprintf(length, sizeof(length), "%zx\r\n", piece.len);
    char *from = piece.at - n;
    memcpy(from, length, (size_t)n);
    memcpy(piece.at + piece.len, "\r\n", 2);
    switch (peer_send(peer, (struct text){from, (size_t)n + piece.len + 2})) {
    case PEER_SENT:
        timers_set(d->timers, slot, now_us + 1); /* calls come first, then the next piece */
        return DESK_KEEP;
    case PEER_PARKED:
        return DESK_KEEP;
    case PEER_BROKEN:
        break;
    }
    return DESK_CLOSE;
}

static enum desk_wish begin_stream(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                                   struct why *why)
{
    struct visit *v = &d->visits[slot];

    if (calls_rewind(d->calls, &v->cursor, why))
        return DESK_FAILED;
    v->phase = STREAMING;
    switch (peer_send(peer, answer_chunked_head(d->page, v->keep_alive))) {
    case PEER_SENT:
        timers_set(d->timers, slot, now_us);
        return DESK_KEEP;
    case PEER_PARKED:
        return DESK_KEEP;
    case PEER_BROKEN:
        break;
    }
    return DESK_CLOSE;
}

/* ---- what the server tells --------------------------------------------------------------- */

enum desk_wish desk_request(struct desk *d, int slot, struct peer *peer, const struct request *req,
                            int64_t now_us, struct why *why)
{
    struct visit *v = &d->visits[slot];
    bool get = text_is(req->method, "GET"), post = text_is(req->method, "POST");

    assert(v->phase == IDLE);
    v->keep_alive = req->keep_alive;
    v->length = req->length;
    if (get && text_is(req->path, "/stats"))
        return reply_stats(d, v, peer);
    if (get && text_is(req->path, "/stats/calls"))
        return begin_stream(d, slot, peer, now_us, why);
    if (post && text_is(req->path, "/control"))
        return reply_control(d, v, peer, req);
    if (verdict_is_down(d->verdict))
        return DESK_RESET;
    if (post)
        return begin_call(d, slot, peer, req, now_us, why);
    return reply(d, v, peer, get ? 404 : 405, "{\"error\": \"POST a call, or GET /stats\"}");
}

enum desk_wish desk_nonsense(struct desk *d, struct peer *peer, int status)
{
    struct text bytes =
        answer_json(d->page, status, "{\"error\": \"not HTTP as spoken here\"}", false);

    (void)peer_send(peer, bytes); /* the connection is closed either way */
    return DESK_CLOSE;
}

enum desk_wish desk_due(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                        struct why *why)
{
    switch (d->visits[slot].phase) {
    case WAITING:
        return answer(d, slot, peer, now_us, why);
    case DRIPPING:
        return drip(d, slot, peer, now_us, why);
    case STREAMING:
        return stream(d, slot, peer, now_us, why);
    case IDLE:
    case HANGING:
    case SENDING:
    case REPLYING:
        break;
    }
    (void)why_set(why, "a timer fired in a phase that has none");
    return DESK_FAILED;
}

enum desk_wish desk_writable(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                             struct why *why)
{
    struct visit *v = &d->visits[slot];

    switch (v->phase) {
    case SENDING:
        return call_output(d, v, peer, peer_push(peer, SIZE_MAX), now_us, why);
    case REPLYING:
        return reply_output(v, peer, peer_push(peer, SIZE_MAX));
    case STREAMING:
        switch (peer_push(peer, SIZE_MAX)) {
        case PEER_SENT:
            timers_set(d->timers, slot, now_us);
            return DESK_KEEP;
        case PEER_PARKED:
            return DESK_KEEP;
        case PEER_BROKEN:
            return DESK_CLOSE;
        }
        break;
    case IDLE:
    case WAITING:
    case HANGING:
    case DRIPPING:
        break;
    }
    return DESK_KEEP;
}

int desk_leave(struct desk *d, int slot, int64_t now_us, struct why *why)
{
    struct visit *v = &d->visits[slot];
    enum phase phase = v->phase;

    timers_clear(d->timers, slot);
    v->phase = IDLE;
    if (phase == WAITING || phase == HANGING || phase == SENDING || phase == DRIPPING)
        return end_call(d, v, 0, now_us, why);
    return 0;
}
