/* What a claim gives and what an engine answers: plain data that passes between the core, the
 * engines and settle. No behaviour but freeing.
 *
 * A claim is a slice as the database handed it out; an answer is what one call of an engine brought
 * for one subject. Both are made by adapters, taken by the core, and freed here. */
#ifndef REVEILLE_OUTCOME_H
#define REVEILLE_OUTCOME_H

#include "err.h"
#include "uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum claim_outcome {
    CLAIM_OURS,    /* judge it */
    CLAIM_BUSY,    /* somebody lives on it; claim once more in stale_ms */
    CLAIM_DONE,    /* settled, or its run has ended: store the offset */
    CLAIM_LOST,    /* too many died of it: settled just now, each of its subjects worker_lost */
    CLAIM_UNKNOWN, /* no such slice: a dead letter */
    CLAIM_FAILED,  /* the database did not answer, or refused: err says why; try again */
};

struct claim {
    enum claim_outcome outcome;
    int stale_ms;   /* CLAIM_BUSY only */
    struct err err; /* CLAIM_FAILED only */
    /* the rest with CLAIM_OURS, and with CLAIM_LOST what log lines need of it */
    int attempt;              /* 1: the first incarnation that works on it */
    char *job_name;           /* owned */
    char *component;          /* owned; for log lines */
    char evaluation_date[11]; /* the day that is judged, YYYY-MM-DD */
    char *scenarios;          /* owned; the run's scenario types as a JSON array, sorted */
    char scenarios_hash[17];  /* 16 hex digits over them, for the idempotency key */
    bool shadow;
    int n;                               /* subjects; 0 for a bulk engine, which looks itself */
    struct uuid *subject_ids, *user_ids; /* owned, n each */
    bool *eligible;                      /* owned, n; false: skipped, never judged */
};

enum action { ACTION_DISPATCH, ACTION_DISPATCHED, ACTION_SUPPRESS };

struct decision {
    char *scenario_type; /* owned */
    enum action action;
    bool has_about;
    struct uuid about;
    char *payload; /* owned, JSON text; NULL: none */
};

/* How a call ended, in the fleet's words (ask_share's `tries`). */
enum try_sign {
    TRY_ANSWERED = '.', /* answered: a verdict, or nonsense that says the engine is alive */
    TRY_FAILED = 'x',   /* network, time-out, 5xx */
    TRY_SLOWER = 's',   /* 429 or 503: the engine asks for less */
};

struct answer {
    enum try_sign sign;
    bool ok;                    /* decisions hold; else cls and text say why not */
    bool retry;                 /* not ok, and another try may do better */
    bool refused;               /* 429, 503 or no connection: the place is kept for a while */
    int retry_after_ms;         /* the engine's Retry-After; 0: none */
    enum err_class cls;         /* ERR_NETWORK, ERR_TIMEOUT or ERR_LOGIC */
    char text[128];             /* scrubbed, one line */
    int n;                      /* decisions */
    struct decision *decisions; /* owned, n */
};

void claim_free(struct claim *c);
void answer_free(struct answer *a);

/* Returns owned: an answer that failed; NULL only when memory runs out. */
struct answer *answer_failed(enum err_class cls, enum try_sign sign, bool retry, const char *text);

/* Returns owned: an answer that holds, without decisions; NULL only when memory runs out. */
struct answer *answer_nothing_due(void);

#endif
