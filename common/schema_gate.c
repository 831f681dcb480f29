/* See schema_gate.h. */
#include "schema_gate.h"

#include "attrs.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define GATE_MAGIC 0x67617465u

/* A handful of rows, by primary key. */
#define VERSION_SQL \
    "select version, oldest_program from reveille.schema_version order by version desc limit 1"
enum { VERSION, OLDEST_PROGRAM };

struct schema_gate {
    unsigned magic;
    struct db *db;
    schema_gate_fn on_state;
    void *arg;
    struct loop_timer *again;
    bool open, said_silent, said_missing;
};

/* Tells a state that lasts, the first time. on_state may free the gate: the last thing done. */
static void wait_on(struct schema_gate *g, enum schema_state state, bool *said,
                    const struct err *err)
{
    loop_timer_arm(g->again, SCHEMA_ASK_MS);
    if (*said)
        return;
    *said = true;
    g->on_state(g->arg, state, err);
}

/* No such schema, no such table, no right to it: a migration mends each. */
static bool migration_mends(const char *sqlstate)
{
    return strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42P01") == 0 ||
           strcmp(sqlstate, "42501") == 0;
}

static void wait_for_migration(struct schema_gate *g)
{
    struct err err = ERR_INIT;
    (void)err_retry(&err, ERR_CONFIG, "schema", "not there or not granted yet: reveille migrate");
    wait_on(g, SCHEMA_MISSING, &g->said_missing, &err);
}

static void judge(struct schema_gate *g, int version, int oldest_program)
{
    struct err err = ERR_INIT;
    if (version < SCHEMA_VERSION)
        (void)err_set(&err, ERR_CONFIG, "schema_too_old",
                      "the database's schema is version %d, this program needs %d: "
                      "run `reveille migrate`",
                      version, SCHEMA_VERSION);
    else if (oldest_program > SCHEMA_VERSION)
        (void)err_set(&err, ERR_CONFIG, "program_too_old",
                      "the database's schema needs programs of version %d, this is %d: "
                      "install the Reveille whose `reveille migrate` made it",
                      oldest_program, SCHEMA_VERSION);
    g->open = !err_is_set(&err);
    g->on_state(g->arg, g->open ? SCHEMA_READY : SCHEMA_WRONG, g->open ? NULL : &err);
}

static void answered(void *arg, enum db_outcome outcome, const struct db_result *r,
                     const struct err *err)
{
    struct schema_gate *g = CHECK_MAGIC(struct schema_gate, arg, GATE_MAGIC);
    if (outcome == DB_OK && db_rows(r) == 1)
        judge(g, db_int(r, 0, VERSION), db_int(r, 0, OLDEST_PROGRAM));
    else if (outcome == DB_OK || (outcome == DB_REFUSED && migration_mends(err->code)))
        wait_for_migration(g);
    else
        wait_on(g, SCHEMA_SILENT, &g->said_silent, err);
}

/* A statement waits in the queue for its link, so the first one is sent as soon as there is one. */
static void ask(void *arg)
{
    struct schema_gate *g = CHECK_MAGIC(struct schema_gate, arg, GATE_MAGIC);
    if (db_call(g->db, VERSION_SQL, NULL, SCHEMA_ANSWER_MS, answered, g, NULL))
        loop_timer_arm(g->again, SCHEMA_ASK_MS);
}

struct schema_gate *schema_gate_new(struct loop *loop, struct db *db, schema_gate_fn on_state,
                                    void *arg, struct err *err)
{
    struct schema_gate *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        (void)err_errno(err, "schema gate");
        return NULL;
    }
    *g = (struct schema_gate){.magic = GATE_MAGIC, .db = db, .on_state = on_state, .arg = arg};
    g->again = loop_timer_new(loop, ask, g, err);
    if (g->again == NULL) {
        schema_gate_free(g);
        return NULL;
    }
    ask(g);
    return g;
}

void schema_gate_free(struct schema_gate *g)
{
    if (g == NULL)
        return;
    loop_timer_free(g->again);
    g->magic = 0;
    free(g);
}

bool schema_gate_is_open(const struct schema_gate *g)
{
    return g->open;
}
