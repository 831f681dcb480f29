/* One protocol call at a time, made of the model and of the real functions; both answers as text.
 * Arguments are drawn, mostly such as a program would give, sometimes such as a late or a wrong one
 * would. */
#ifndef REVEILLE_STEPS_H
#define REVEILLE_STEPS_H

#include "model_db.h"
#include "reality.h"

#define WORKERS_ASKING 5

struct pair {
    struct world world; /* the model's clock and chance */
    PGconn *pg;
    char real_id[RUNS_MAX][37];
    int64_t real_fence[RUNS_MAX]; /* as its last opener was told; the model's is in its row */
    int64_t seq[WORKERS_ASKING];  /* of the last ask of each */
    char model[REALITY_TEXT], real[REALITY_TEXT];
};

struct step {
    const char *name;
    int weight;
    void (*run)(struct pair *p); /* fills both texts */
};

extern const struct step steps[];
extern const int step_count;

/* Everything both sides know: runs, slices, the engine. */
void steps_compare_all(struct pair *p);

#endif
