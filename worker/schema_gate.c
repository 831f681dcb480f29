/* See schema_gate.h. */
#include "schema_gate.h"

#include "attrs.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define GATE_MAGIC 0x67617465u
#define AGAIN_MS 1000
#define SCHEMA_NEEDED 1 /* the oldest schema this program can use */
#define PROGRAM 1       /* what a schema's oldest_program is compared with */

/* A handful of rows, by primary key. */
#define VERSION_SQL \
    "select version, oldest_program from reveille.schema_version order by version desc limit 1"

struct schema_gate {
    unsigned magic;
    struct db *db;
    schema_gate_fn on_state;
    void *arg;
    struct loop_timer *timer;
    bool said_missing;
};

static void again(struct schema_gate *g)
{
    loop_timer_arm(g->timer, AGAIN_MS);
}

static void is_missing(struct schema_gate *g)
{
    struct err err = ERR_INIT;
    again(g);
    if (g->said_missing)
        return;
    g->said_missing = true;
    (void)err_retry(&err, ERR_CONFIG, "schema", "not there or not granted yet: reveille migrate");
    g->on_state(g->arg, SCHEMA_MISSING, &err);
}

/* No such schema, no such table, no right to it: a migration mends each. */
static bool migration_mends(const char *sqlstate)
{
    return strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42P01") == 0 ||
           strcmp(sqlstate, "42501") == 0;
}

static void check(struct schema_gate *g, int version, int oldest_program)
{
    struct err err = ERR_INIT;
    if (version < SCHEMA_NEEDED)
        (void)err_set(&err, ERR_CONFIG, "schema",
                      "the database's schema is version %d, this program needs %d: "
                      "reveille migrate",
                      version, SCHEMA_NEEDED);
    else if (oldest_program > PROGRAM)
        (void)err_set(&err, ERR_CONFIG, "schema",
                      "the database's schema needs programs of version %d, this is %d: install "
                      "newer programs",
                      oldest_program, PROGRAM);
    g->on_state(g->arg, err_is_set(&err) ? SCHEMA_WRONG : SCHEMA_READY,
                err_is_set(&err) ? &err : NULL);
}

static void answered(void *arg, enum db_outcome outcome, const struct db_result *r,
                     const struct err *err)
{
    struct schema_gate *g = CHECK_MAGIC(struct schema_gate, arg, GATE_MAGIC);
    if (outcome == DB_OK && db_rows(r) == 1)
        check(g, db_int(r, 0, 0), db_int(r, 0, 1));
    else if (outcome == DB_OK || (outcome == DB_REFUSED && migration_mends(err->code)))
        is_missing(g);
    else
        again(g);
}

static void ask(void *arg)
{
    struct schema_gate *g = CHECK_MAGIC(struct schema_gate, arg, GATE_MAGIC);
    if (db_call(g->db, VERSION_SQL, NULL, DB_STATEMENT_MS, answered, g, NULL))
        again(g);
}

struct schema_gate *schema_gate_new(struct loop *loop, struct db *db, schema_gate_fn on_state,
                                    void *arg, struct err *err)
{
    struct schema_gate *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        (void)err_errno(err, "schema gate");
        return NULL;
    }
    g->magic = GATE_MAGIC;
    g->db = db;
    g->on_state = on_state;
    g->arg = arg;
    g->timer = loop_timer_new(loop, ask, g, err);
    if (g->timer == NULL) {
        schema_gate_free(g);
        return NULL;
    }
    loop_timer_arm(g->timer, 0);
    return g;
}

void schema_gate_free(struct schema_gate *g)
{
    if (g == NULL)
        return;
    loop_timer_free(g->timer);
    free(g);
}
