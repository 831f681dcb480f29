/* Waits until the database has the schema that this version of the programs works with, and tells
 * what it waits for. Any order of start is fine; a schema of another age is not. Not a migration:
 * that is `reveille migrate`, by a role that may. Knows neither program: it reports, they log. */
#ifndef REVEILLE_SCHEMA_GATE_H
#define REVEILLE_SCHEMA_GATE_H

#include "db.h"
#include "err.h"
#include "loop.h"

#include <stdbool.h>

/* The oldest schema that works, and what a schema's oldest_program is compared with. */
#define SCHEMA_VERSION 1

struct schema_gate;

enum schema_state {
    SCHEMA_READY,   /* err NULL; the gate is open, nothing more comes */
    SCHEMA_SILENT,  /* the database does not answer, err says why; told once, it goes on asking */
    SCHEMA_MISSING, /* not there, or not granted yet; told once, it goes on asking */
    SCHEMA_WRONG,   /* CONFIG: older or newer than this version can use, with the mend; nothing more
                       comes, the gate stays closed */
};

/* From the loop; err is borrowed. The gate may be freed by it. */
typedef void (*schema_gate_fn)(void *arg, enum schema_state state, const struct err *err);

/* Asks at once, and again every SCHEMA_ASK_MS. loop and db are borrowed for its life. */
struct schema_gate *schema_gate_new(struct loop *loop, struct db *db, schema_gate_fn on_state,
                                    void *arg, struct err *err);
/* Only in on_state, or when db is freed already: a question under way would answer to nobody. */
void schema_gate_free(struct schema_gate *g);

bool schema_gate_is_open(const struct schema_gate *g);

#endif
