/* Waits until the database has the schema this program was written for. Not a migration: that is
 * `reveille migrate`, by a role that may. */
#ifndef REVEILLE_SCHEMA_GATE_H
#define REVEILLE_SCHEMA_GATE_H

#include "db.h"
#include "loop.h"

struct schema_gate;

enum schema_state {
    SCHEMA_READY,   /* go on; nothing more comes */
    SCHEMA_MISSING, /* said once; it goes on asking */
    SCHEMA_WRONG, /* older or newer than this program can use: err says what to do; nothing more */
};

typedef void (*schema_gate_fn)(void *arg, enum schema_state state, const struct err *err);

/* Asks at once, and again every second while it is missing or nobody answers. */
struct schema_gate *schema_gate_new(struct loop *loop, struct db *db, schema_gate_fn on_state,
                                    void *arg, struct err *err);
void schema_gate_free(struct schema_gate *g);

#endif
