/* The ops of a simulated producer: statements (producer_statements.c) and messages
 * (producer_messages.c). */
#ifndef REVEILLE_SIM_PRODUCER_OPS_H
#define REVEILLE_SIM_PRODUCER_OPS_H

#include "sim_producer.h"

void producer_statement_ops(struct run_ops *ops); /* fill them in */
void producer_message_ops(struct run_ops *ops);

/* ---- sim_producer.c */
struct sim_producer *producer_self(void *world);
struct sim_producer *producer_of(struct world *w, struct address a);
void producer_asks(struct sim_producer *me, enum ask ask); /* counts; a stopped one asks nothing */
void producer_rearm(struct sim_producer *me);              /* after each call into the core */
int producer_engine(const char *name); /* its index; -1: another, that no job uses */
const char *producer_engine_name(int engine);

#endif
