/* What the verbs of `reveille` share: the exit codes, a verb's entry in the table, and the context
 * a verb runs in. A verb returns its exit code; everything it says goes through print.h. */
#ifndef REVEILLE_CLI_H
#define REVEILLE_CLI_H

#include "args.h"
#include "config.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>

enum cli_exit {
    CLI_YES = 0,     /* yes, or done */
    CLI_NO = 1,      /* the answer is no */
    CLI_USAGE = 2,   /* wrong usage or configuration */
    CLI_NONE = 3,    /* no such thing */
    CLI_AWAY = 4,    /* database out of reach */
    CLI_RUNNING = 5, /* still running when --wait ended */
};

struct cli {
    struct config *config; /* owned by main */
    PGconn *db;            /* owned by main; NULL until link_open */
    bool json;             /* one JSON document on stdout, nothing else */
};

struct verb {
    const char *name, *synopsis, *summary; /* one line each */
    const char *example;
    const struct option_spec *options; /* ends with a NULL name */
    int words_min, words_max;
    int (*run)(struct cli *cli, const struct args *args);
};

int verb_run(struct cli *cli, const struct args *args);
int verb_runs(struct cli *cli, const struct args *args);
int verb_status(struct cli *cli, const struct args *args);
int verb_verify(struct cli *cli, const struct args *args);
int verb_why_open(struct cli *cli, const struct args *args);
int verb_workers(struct cli *cli, const struct args *args);
int verb_replay(struct cli *cli, const struct args *args);
int verb_cancel(struct cli *cli, const struct args *args);
int verb_assignments(struct cli *cli, const struct args *args);
int verb_jobs(struct cli *cli, const struct args *args);
int verb_engines(struct cli *cli, const struct args *args);
/* Opens the link itself: it has something to say when there is none. */
int verb_doctor(struct cli *cli, const struct args *args);
int verb_why(struct cli *cli, const struct args *args);
int verb_prune(struct cli *cli, const struct args *args);
int verb_migrate(struct cli *cli, const struct args *args);

/* verb_status.c, also for `run --wait`: shows the run until it has ended or `seconds` are over
 * (negative: no limit), then its summary; returns the exit code for it. */
int status_follow(struct cli *cli, const char *run_id, double seconds);

/* verb_replay.c: the member `replays` of a run's status, for people; nothing if there is nothing to
 * say of it. */
void replay_show(const json_t *replays, const char *run_id);

#endif
