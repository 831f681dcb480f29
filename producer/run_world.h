/* The world behind the core's ops, in the program: run_store for the database, publisher for Kafka,
 * producer_notes for what is said, the monotonic clock. Only joins them. */
#ifndef REVEILLE_RUN_WORLD_H
#define REVEILLE_RUN_WORLD_H

#include "producer.h"

/* ops with p as their world; p's adapters may be made later, but before the core is woken. */
struct run_ops run_world_ops(struct producer *p);

#endif
