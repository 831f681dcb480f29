/* How the producer hears that somebody asked for a job: LISTEN on the channel that reveille.request
 * notifies, and, until that has proven itself, the core's own polling. At the start it also reads
 * which engines there are. Opens no runs itself. */
#ifndef REVEILLE_TRIGGER_INBOX_H
#define REVEILLE_TRIGGER_INBOX_H

#include "core_wake.h"
#include "db.h"
#include "err.h"
#include "log.h"
#include "loop.h"

struct trigger_inbox;

struct trigger_inbox_config { /* borrowed for its life */
    struct loop *loop;
    struct db *db;                     /* for the engines' rows */
    const struct db_config *listen_on; /* for a link of its own; used during trigger_inbox_new */
    struct log *log;
    struct core_wake *wake;
};

struct trigger_inbox *trigger_inbox_new(const struct trigger_inbox_config *cfg, struct err *err);
/* Call it after db is freed. */
void trigger_inbox_free(struct trigger_inbox *b);

/* The schema is there: from now on the core is told who rings; and of the engines, once they can be
 * read. */
void trigger_inbox_start(struct trigger_inbox *b);

#endif
