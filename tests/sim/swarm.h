/* What kind of world a seed is: how many of everything, how fast, and which kinds of fault there
 * are at all. Few kinds at a time reach what all of them together hide (swarm testing). */
#ifndef REVEILLE_SIM_SWARM_H
#define REVEILLE_SIM_SWARM_H

struct world;

void swarm_draw(struct world *w); /* w->set; nothing else is there yet */

#endif
