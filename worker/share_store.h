/* Asks the database for a part of an engine's limit: one call of ask_share, its answer as data.
 * What is asked, and when, share.h decides. */
#ifndef REVEILLE_SHARE_STORE_H
#define REVEILLE_SHARE_STORE_H

#include "db.h"
#include "loop.h"
#include "pool_core.h"

struct share_store;

/* The answer to an ask, from the loop, never from within share_store_ask; arrived is false when it
 * did not come, was refused, or came too late. */
typedef void (*share_store_fn)(void *arg, int engine, const struct share_answer *answer);

/* worker_name: borrowed for its life. At most POOL_ENGINES_MAX engines, one ask each at a time. */
struct share_store *share_store_new(struct loop *loop, struct db *db, const char *worker_name,
                                    share_store_fn on_answer, void *arg, struct err *err);
void share_store_free(struct share_store *s);

/* engine: the index that comes back; name: its row, borrowed for the store's life. */
void share_store_ask(struct share_store *s, int engine, const char *name, int want,
                     const struct share_report *report);

#endif
