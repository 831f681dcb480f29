/* Waits for the database and for a schema this program can work with, for as long as it takes, and
 * says once what it waits for. Any order of start is fine; a schema of another age is not. */
#ifndef REVEILLE_SCHEMA_WAIT_H
#define REVEILLE_SCHEMA_WAIT_H

#include "db.h"
#include "err.h"
#include "log.h"
#include "loop.h"

struct schema_wait;

struct schema_wait_config { /* borrowed for its life */
    struct loop *loop;
    struct db *db;
    struct log *log;
    void (*on_there)(void *arg);                        /* once */
    void (*on_unfit)(void *arg, const struct err *err); /* CONFIG, with the mend */
    void *arg;
};

/* Asks at once. */
struct schema_wait *schema_wait_new(const struct schema_wait_config *cfg, struct err *err);
/* Call it after db is freed. */
void schema_wait_free(struct schema_wait *w);

bool schema_wait_is_over(const struct schema_wait *w);

#endif
