/* What the steps share: chance, a run, a slice, an answer's text. */
#ifndef REVEILLE_STEPS_INTERNAL_H
#define REVEILLE_STEPS_INTERNAL_H

#include "steps.h"

#define SAY(p, ...) snprintf((p)->model, REALITY_TEXT, __VA_ARGS__)

/* ---- steps_worker.c */
void step_claim(struct pair *p);
void step_touch(struct pair *p);
void step_release(struct pair *p);
void step_settle(struct pair *p);
void step_ask_share(struct pair *p);

static inline int draw(struct pair *p, int low, int high)
{
    return (int)world_between(&p->world, low, high);
}

static inline bool chance(struct pair *p, int percent)
{
    return world_chance(&p->world, 10 * percent);
}

/* NULL: there is none yet. */
static inline struct db_run *some_run(struct pair *p)
{
    struct model_db *db = p->world.db;
    if (db->runs == 0)
        return NULL;
    int last = draw(p, 0, 3) > 0 ? db->runs - 1 : draw(p, 0, db->runs - 1);
    return &db->run[last];
}

static inline const char *real_id(const struct pair *p, const struct db_run *r)
{
    return p->real_id[r->id.b[15] - 1];
}

static inline int64_t *real_fence(struct pair *p, const struct db_run *r)
{
    return &p->real_fence[r->id.b[15] - 1];
}

static inline int some_slice(struct pair *p, const struct db_run *r)
{
    return chance(p, 3) ? r->slices + 1 : draw(p, 0, r->slices > 0 ? r->slices - 1 : 0);
}

static inline void nothing(struct pair *p)
{
    p->model[0] = p->real[0] = '\0';
}

#endif
