/* See trigger_inbox.h. */
#include "trigger_inbox.h"

#include "attrs.h"

#include <stdlib.h>

#define TRIGGER_INBOX_MAGIC 0x494E4258u
#define CHANNEL "reveille_trigger" /* as reveille.request and finish_run notify */

#define ENGINES_SQL "select engine, topic_partitions from reveille.engine order by engine"

struct trigger_inbox {
    unsigned magic;
    struct trigger_inbox_config cfg;
    struct run_core *core;
    struct db_listen *listen;
    struct loop_timer *later; /* the engines' rows could not be read */
    bool started; /* before that the core is told nothing: it would ask for a schema not there */
    bool reading; /* the engines' rows are being read ... */
    bool again;   /* ... and may have changed since */
};

static void read_engines(void *arg);

/* Somebody asked for a job, a run ended, or an engine was set: what it was is not said. */
static void notified(void *arg)
{
    struct trigger_inbox *b = CHECK_MAGIC(struct trigger_inbox, arg, TRIGGER_INBOX_MAGIC);
    if (!b->started)
        return;
    run_core_rung(b->core);
    core_wake_rearm(b->cfg.wake);
    read_engines(b);
}

static void tell_listening(struct trigger_inbox *b)
{
    run_core_listening(b->core, db_listen_proven(b->listen));
    core_wake_rearm(b->cfg.wake);
}

static void listening_changed(void *arg)
{
    struct trigger_inbox *b = CHECK_MAGIC(struct trigger_inbox, arg, TRIGGER_INBOX_MAGIC);
    log_event(b->cfg.log, EV_LISTEN_PROVEN, log_bool("proven", db_listen_proven(b->listen)));
    if (b->started)
        tell_listening(b);
}

static void engines_read(void *arg, enum db_outcome outcome, const struct db_result *r,
                         const struct err *err)
{
    struct trigger_inbox *b = CHECK_MAGIC(struct trigger_inbox, arg, TRIGGER_INBOX_MAGIC);
    b->reading = false;
    if (outcome != DB_OK) {
        log_event(b->cfg.log, EV_DATABASE_ERROR, log_name("what", "engine"), LOG_ERR(err));
        loop_timer_arm(b->later, INBOX_POLL_MS);
        return;
    }
    for (int i = 0; i < db_rows(r); i++)
        run_core_engine(b->core, db_text(r, i, 0), db_int(r, i, 1));
    core_wake_rearm(b->cfg.wake);
    if (b->again)
        read_engines(b);
}

static void read_engines(void *arg)
{
    struct trigger_inbox *b = CHECK_MAGIC(struct trigger_inbox, arg, TRIGGER_INBOX_MAGIC);
    b->again = b->reading;
    if (b->reading)
        return;
    b->reading = db_call(b->cfg.db, ENGINES_SQL, NULL, DB_STATEMENT_MS, engines_read, b, NULL) == 0;
    if (!b->reading)
        loop_timer_arm(b->later, INBOX_POLL_MS);
}

struct trigger_inbox *trigger_inbox_new(const struct trigger_inbox_config *cfg, struct err *err)
{
    struct trigger_inbox *b = calloc(1, sizeof *b);
    if (!b) {
        err_errno(err, "trigger inbox");
        return NULL;
    }
    *b = (struct trigger_inbox){
        .magic = TRIGGER_INBOX_MAGIC, .cfg = *cfg, .core = core_wake_core(cfg->wake)};
    b->later = loop_timer_new(cfg->loop, read_engines, b, err);
    if (b->later)
        b->listen =
            db_listen_new(cfg->loop, cfg->listen_on, CHANNEL, notified, listening_changed, b, err);
    if (!b->listen) {
        trigger_inbox_free(b);
        return NULL;
    }
    b->cfg.listen_on = NULL; /* was lent for the call above */
    return b;
}

void trigger_inbox_free(struct trigger_inbox *b)
{
    if (!b)
        return;
    db_listen_free(b->listen);
    loop_timer_free(b->later);
    b->magic = 0;
    free(b);
}

void trigger_inbox_start(struct trigger_inbox *b)
{
    b->started = true;
    read_engines(b);
    tell_listening(b);
}
