/* What the nemesis's two files share: its books, and visits, which are events of its own. */
#ifndef REVEILLE_SIM_NEMESIS_BOOKS_H
#define REVEILLE_SIM_NEMESIS_BOOKS_H

#include "nemesis.h"
#include "world.h"

enum phase { FAULTS_LAST, HEALED, MADE_GOOD, LEAVING, OVER };

struct nemesis {
    enum phase phase;
    int64_t phase_ends;                /* broken when it lasts longer */
    bool closed;                       /* an engine was, after the heal */
    bool patient;                      /* it lasts longer, for what has come since */
    int64_t database_away, kafka_away; /* until */
    int64_t disk_full;
    bool ending[PROCESSES]; /* its end, and perhaps its return, is arranged */
};

struct db_run;

struct visit { /* an event's data */
    struct address to;
    int64_t ms;
};

/* ---- nemesis.c */
bool nemesis_is_worker(int process);
/* Calls fn in so many milliseconds, with a visit to that process. */
void nemesis_at(struct world *w, int process, int64_t after, event_fn fn, int64_t ms);
void nemesis_kill(struct world *w, int process);         /* it comes back */
void nemesis_drains(struct world *w, void *data);        /* a visit: is told to go, within ms */
void nemesis_ring(struct world *w);                      /* NOTIFY: somebody asked for something */
void nemesis_asks_for(struct world *w, void *data);      /* a visit: the job `ms` is asked for */
bool nemesis_replays(struct world *w, struct db_run *r); /* an operator does; false: refused */

/* ---- nemesis_faults.c */
void nemesis_strikes(struct world *w, void *data); /* a visit: the fault `ms`; -1: any */

#endif
