/* See schema_wait.h. */
#include "schema_wait.h"

#include "attrs.h"

#include <stdlib.h>
#include <string.h>

#define SCHEMA_WAIT_MAGIC 0x53434857u
#define SCHEMA_VERSION 1 /* the newest schema this program knows */
#define ASK_AGAIN_MS 1000

#define VERSION_SQL \
    "select version, oldest_program from reveille.schema_version order by version desc limit 1"

struct schema_wait {
    unsigned magic;
    struct schema_wait_config cfg;
    struct loop_timer *again;
    bool over, said_database, said_schema;
};

static void ask(void *arg);

/* The schema, a table of it or the right to read it is missing: a migration is still to come. */
static bool is_missing(const struct err *err)
{
    return strcmp(err->code, "3F000") == 0 || strcmp(err->code, "42P01") == 0 ||
           strcmp(err->code, "42501") == 0;
}

static void say_waiting(struct schema_wait *w, bool *said, const char *what, const struct err *err)
{
    if (*said)
        return;
    *said = true;
    log_event(w->cfg.log, EV_PROCESS_WAITING, log_name("waiting_for", what),
              log_name("error_type", err_class_name(err->cls)), log_name("error_code", err->code),
              log_text("error_message", err->text));
}

static void judge(struct schema_wait *w, int32_t version, int32_t oldest_program)
{
    struct err err = ERR_INIT;
    if (version < SCHEMA_VERSION) {
        err_set(
            &err, ERR_CONFIG, "schema_too_old",
            "the database's schema is version %d, this program needs %d: run `reveille migrate`",
            (int)version, SCHEMA_VERSION);
        w->cfg.on_unfit(w->cfg.arg, &err);
    } else if (oldest_program > SCHEMA_VERSION) {
        err_set(&err, ERR_CONFIG, "program_too_old",
                "the database's schema is version %d and no longer serves this program (%d): "
                "install the Reveille whose `reveille migrate` made it",
                (int)version, SCHEMA_VERSION);
        w->cfg.on_unfit(w->cfg.arg, &err);
    } else {
        w->over = true;
        w->cfg.on_there(w->cfg.arg);
    }
}

static void asked(void *arg, enum db_outcome outcome, const struct db_result *r,
                  const struct err *err)
{
    struct schema_wait *w = CHECK_MAGIC(struct schema_wait, arg, SCHEMA_WAIT_MAGIC);
    static const struct err empty = {.cls = ERR_NONE, .text = "reveille.schema_version is empty"};
    if (outcome == DB_OK && db_rows(r) == 1) {
        judge(w, db_int(r, 0, 0), db_int(r, 0, 1));
        return;
    }
    if (outcome == DB_OK)
        say_waiting(w, &w->said_schema, "schema", &empty);
    else if (outcome == DB_REFUSED && is_missing(err))
        say_waiting(w, &w->said_schema, "schema", err);
    else
        say_waiting(w, &w->said_database, "database", err);
    loop_timer_arm(w->again, ASK_AGAIN_MS);
}

/* A statement waits in the queue for its link, so the first one is sent as soon as there is one. */
static void ask(void *arg)
{
    struct schema_wait *w = CHECK_MAGIC(struct schema_wait, arg, SCHEMA_WAIT_MAGIC);
    if (db_call(w->cfg.db, VERSION_SQL, NULL, ASK_AGAIN_MS, asked, w, NULL))
        loop_timer_arm(w->again, ASK_AGAIN_MS);
}

struct schema_wait *schema_wait_new(const struct schema_wait_config *cfg, struct err *err)
{
    struct schema_wait *w = calloc(1, sizeof *w);
    if (!w) {
        err_errno(err, "schema wait");
        return NULL;
    }
    *w = (struct schema_wait){.magic = SCHEMA_WAIT_MAGIC, .cfg = *cfg};
    w->again = loop_timer_new(cfg->loop, ask, w, err);
    if (!w->again) {
        schema_wait_free(w);
        return NULL;
    }
    ask(w);
    return w;
}

void schema_wait_free(struct schema_wait *w)
{
    if (!w)
        return;
    loop_timer_free(w->again);
    w->magic = 0;
    free(w);
}

bool schema_wait_is_over(const struct schema_wait *w)
{
    return w->over;
}
