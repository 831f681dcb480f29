/* The ops of a simulated worker that are statements: claim, settle, judge, touch, release,
 * ask_share. */
#ifndef REVEILLE_SIM_WORKER_STATEMENTS_H
#define REVEILLE_SIM_WORKER_STATEMENTS_H

#include "sim_worker.h"

void worker_statement_ops(struct pool_ops *ops); /* fills them in */

/* ---- sim_worker.c */
void worker_asks(struct sim_worker *me, enum ask ask); /* counts; one that has left asks nothing */
void worker_rearm(struct sim_worker *me);              /* after each call into the core */

#endif
