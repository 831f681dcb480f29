/* A statement on its way to the model database and back: when it runs, whether it runs, what its
 * process hears of it. Knows no SQL function; the adapters fill in both ends. */
#ifndef REVEILLE_SIM_STATEMENT_H
#define REVEILLE_SIM_STATEMENT_H

#include "world.h"

enum statement_end {
    STATEMENT_OK,
    STATEMENT_LOST,      /* no answer: it may have run, may not, or may run later */
    STATEMENT_TRANSIENT, /* refused: a deadlock's victim */
    STATEMENT_DUPLICATE, /* refused: 23505 (settles only) */
    STATEMENT_BAD_DATA,  /* refused: class 22 (settles only) */
    STATEMENT_FORBIDDEN, /* refused: no right (settles only) */
    STATEMENT_REFUSED,   /* refused: anything else (settles only) */
};

struct statement;
/* In the database; writes its result into the statement. */
typedef void (*statement_run_fn)(struct world *w, struct statement *st);
/* In the process, which is alive and awake; owns nothing of the statement. */
typedef void (*statement_answer_fn)(struct world *w, struct statement *st);

struct statement { /* the first field of what an adapter sends */
    struct address from;
    size_t size; /* of the whole */
    statement_run_fn run;
    statement_answer_fn answer;
    bool settles;         /* may be refused for its data */
    int64_t within_ms;    /* answered by then: its sender gives it up; 0: whenever */
    int64_t under_way_ms; /* so long it takes to arrive; 0: as others do */
    int64_t waits_until; /* set by run: it waits for a lock, and is run again then; 0: it is done */
    uint32_t life;       /* of the database, when it was sent */
    enum statement_end
        end; /* what an adapter has set already, is its answer, and it does not run */
};

/* Takes st (from world_data). Each statement is answered once if its process lives. */
void statement_send(struct world *w, struct statement *st);

#endif
