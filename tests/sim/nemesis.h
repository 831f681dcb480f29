/* The course of a seed: who starts, what is asked for, what goes wrong and when, the heal, and the
 * wait until everything is at rest. */
#ifndef REVEILLE_SIM_NEMESIS_H
#define REVEILLE_SIM_NEMESIS_H

#include "world.h"

struct nemesis;

void nemesis_begin(struct world *w); /* sets w->nemesis, which world_free frees */
bool nemesis_over(const struct world *w);

bool nemesis_database_away(const struct world *w);
bool nemesis_disk_full(const struct world *w);
/* After the heal all that went wrong was replayed (there was room for it), and nobody dies of a
 * subject. */
bool nemesis_made_good(const struct world *w);
bool nemesis_kafka_away(const struct world *w);
bool nemesis_kafka_was_away(const struct world *w); /* within the last minute */

/* It stands still past its lease while a page of its is under way: for how long that is. */
int64_t nemesis_freezes_in_page(struct world *w, int process);
void nemesis_left(struct world *w, struct address a);   /* it has drained: its process ends soon */
void nemesis_poison(struct world *w, struct address a); /* it has met the subject that kills */

#endif
