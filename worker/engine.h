/* Another kind of judge is another implementation of this: asked about one subject, it answers
 * once. It holds no limit (share.h does), retries nothing (the core does), and knows no Kafka and
 * no database. A bulk engine only stands among the others: its slices are judged whole
 * (engine_sql.h). */
#ifndef REVEILLE_ENGINE_H
#define REVEILLE_ENGINE_H

#include "outcome.h"

#include <stdint.h>

/* Who asked; given back with the answer. */
struct call_ref {
    uint32_t slot, generation; /* the slice in the core */
    int32_t subject;           /* position in the claim, 0-based */
};

/* Takes the answer. Called from the loop, never from within start. */
typedef void (*engine_answer_fn)(void *arg, struct call_ref ref, struct answer *answer,
                                 int64_t duration_us);

struct engine_call {
    struct call_ref ref;
    const struct claim *claim;     /* lent until the answer, or until the call is aborted */
    const struct uuid *invocation; /* the run; lent as well */
    const char *traceparent;       /* lent as well; "" for none */
};

struct engine {
    const char *name;   /* "http": also the end of its topic's name */
    int64_t timeout_ms; /* the longest a call can take, from start to answer */
    int bulk; /* 0; else a bulk engine, slices at a time, and there is nothing of what follows */
    void *self;
    /* Starts a call; every failure, also at once, comes as an answer. */
    void (*start)(void *self, const struct engine_call *call);
    /* Forgets all calls of that slice: no answer comes for them any more. */
    void (*abort_slice)(void *self, uint32_t slot, uint32_t generation);
    void (*free)(void *self);
};

#endif
