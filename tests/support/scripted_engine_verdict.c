#include "scripted_engine_verdict.h"
#include "scripted_engine_limits.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mode { MODE_OK, MODE_DOWN, MODE_HANG, MODE_503, N_MODES };

static const char *const MODES[N_MODES] = {"ok", "down", "hang", "503"};

struct verdict {
    struct options options;
    enum mode mode;
    struct script *script; /* NULL: none */
    char *bearer;          /* the whole value of Authorization; NULL: any will do */
    uint64_t random;
};

/* The same sequence in every process: a test that failed fails again. (splitmix64) */
static double next_random(struct verdict *v)
{
    uint64_t z = v->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static char *read_bearer(const char *path, struct why *why)
{
    char secret[SE_SECRET_MAX];
    FILE *f = fopen(path, "re");
    size_t len;
    char *bearer;

    if (f == NULL) {
        (void)why_errno(why, path);
        return NULL;
    }
    len = fread(secret, 1, sizeof(secret), f);
    (void)fclose(f);
    while (len > 0 && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
        len--;
    if (len == 0 || len == sizeof(secret)) {
        (void)why_set(why, "%s: empty, unreadable or too long for a secret", path);
        return NULL;
    }
    if (asprintf(&bearer, "Bearer %.*s", (int)len, secret) < 0) {
        (void)why_errno(why, "a secret");
        return NULL;
    }
    return bearer;
}

struct verdict *verdict_new(const struct options *options, struct why *why)
{
    struct verdict *v = calloc(1, sizeof(*v));

    if (v == NULL) {
        (void)why_errno(why, "a verdict");
        return NULL;
    }
    v->options = *options;
    if (options->script_file && !(v->script = script_load(options->script_file, why)))
        goto err1;
    if (options->secret_file && !(v->bearer = read_bearer(options->secret_file, why)))
        goto err1;
    return v;

err1:
    verdict_free(v);
    return NULL;
}

void verdict_free(struct verdict *v)
{
    if (v != NULL) {
        free(v->bearer);
        script_free(v->script);
    }
    free(v);
}

static struct action status_action(const struct verdict *v, int status)
{
    bool waits = status == 429 || status == 503;

    return (struct action){
        .kind = ACTION_STATUS, .status = status, .retry_after = waits ? v->options.retry_after : 0};
}

/* What is refused before anybody looks at the mentor; such answers take no time. */
static bool refused_at_the_door(const struct verdict *v, const struct request *req,
                                const struct evaluation *ev, int in_flight,
                                struct action *ret_action)
{
    if (v->mode == MODE_503)
        *ret_action = status_action(v, 503);
    else if (v->bearer != NULL && !text_is(req->authorization, v->bearer))
        *ret_action = status_action(v, 401);
    else if (in_flight > verdict_limit(v))
        *ret_action = status_action(v, 503);
    else if (ev == NULL)
        *ret_action = status_action(v, 400);
    else
        return false;
    return true;
}

static struct action failure_of(const struct verdict *v, const struct id *mentor)
{
    switch ((int)(id_place("kind", mentor) * 3)) {
    case 0:
        return status_action(v, 500);
    case 1:
        return (struct action){.kind = ACTION_GARBAGE};
    default:
        return status_action(v, 400);
    }
}

static struct action considered(struct verdict *v, const struct evaluation *ev)
{
    const struct options *o = &v->options;
    struct action action;
    double dice;

    if (v->script != NULL && script_take(v->script, &ev->mentor, &action))
        return action;
    if (o->failures > 0 && id_place("failures", &ev->mentor) < o->failures)
        return failure_of(v, &ev->mentor);
    dice = next_random(v); /* one throw, shared out, so that the shares hold side by side */
    if ((dice -= o->hang) < 0)
        return (struct action){.kind = ACTION_HANG};
    if ((dice -= o->garbage) < 0)
        return (struct action){.kind = ACTION_GARBAGE};
    if ((dice -= o->status_429) < 0)
        return status_action(v, 429);
    if ((dice -= o->status_503) < 0)
        return status_action(v, 503);
    if (o->due < 1 && !(id_place("due", &ev->mentor) < o->due))
        return (struct action){.kind = ACTION_NONE};
    return (struct action){.kind = ACTION_DISPATCH};
}

static int64_t delay_us(struct verdict *v)
{
    const struct options *o = &v->options;
    double ms = o->latency_ms;

    if (o->latency_jitter > 0)
        ms *= 1 + o->latency_jitter * (2 * next_random(v) - 1);
    if (o->tail_share > 0 && next_random(v) < o->tail_share)
        ms = o->tail_ms;
    return (int64_t)(ms * 1000);
}

struct ruling verdict_rule(struct verdict *v, const struct request *req,
                           const struct evaluation *ev, int in_flight)
{
    struct ruling ruling = {.action = {.kind = ACTION_HANG}};

    if (v->mode == MODE_HANG || refused_at_the_door(v, req, ev, in_flight, &ruling.action))
        return ruling;
    ruling.action = considered(v, ev);
    ruling.delay_us = delay_us(v);
    return ruling;
}

int verdict_limit(const struct verdict *v)
{
    return v->options.limit > 0 ? v->options.limit : INT_MAX;
}

int verdict_change(struct verdict *v, const struct change *change, struct why *why)
{
    unsigned mode = v->mode;

    if (change->mode.at != NULL) {
        for (mode = 0; mode < N_MODES && !text_is(change->mode, MODES[mode]); mode++)
            ;
        if (mode == N_MODES)
            return why_set(why, "modes are ok, down, hang and 503");
    }
    v->mode = (enum mode)mode;
    if (change->has_latency)
        v->options.latency_ms = change->latency_ms;
    return 0;
}

bool verdict_is_down(const struct verdict *v)
{
    return v->mode == MODE_DOWN;
}
