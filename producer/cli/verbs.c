/* The verbs of `reveille`, as data: words, options, a line of help and an example each. main.c runs
 * them, help.c shows them, man.c writes the manual from them; what a verb does is in its own file.
 */
#include "verbs.h"

#include <string.h>

const struct option_spec verbs_common_options[] = {
    {"json", NULL, false, "one JSON document on stdout, nothing else"},
    {"help", NULL, false, "this text"},
    {"version", NULL, false, "the version"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec no_options[] = {{NULL, NULL, false, NULL}};
static const struct option_spec run_options[] = {
    {"date", "YYYY-MM-DD", false, "the day that is judged (default: today in the job's time zone)"},
    {"scenario", "TYPE", true, "only this scenario; may be repeated"},
    {"subject", "ID", true, "only this mentor, if eligible; may be repeated"},
    {"shadow", NULL, false, "judge and count, dispatch nothing"},
    {"wait", "[=SECONDS]", false, "follow the run until it has ended, or for so long"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec runs_options[] = {
    {"last", "N", false, "how many, newest first (20)"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec status_options[] = {
    {"watch", NULL, false, "follow it until it has ended"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec replay_options[] = {
    {"errors", NULL, false, "those whose last outcome is an error"},
    {"error-class", "CLASS", true, "those whose last error is of this class; may be repeated"},
    {"unreached", NULL, false, "those whom nobody has judged"},
    {"partition", "P", true, "only in the run's slices of this partition; may be repeated"},
    {"slice", "N", true, "only in this slice of the run; may be repeated"},
    {"since", "TIME", false, "only in slices done at this time or later; without a zone, UTC"},
    {"until", "TIME", false, "only in slices done at this time or before"},
    {"slice-size", "N", false,
     "subjects a slice, 1 to 1000 (the run's); 1 finds the one that kills"},
    {"rate", "N", false, "at most so many subjects a second"},
    {"reason", "TEXT", false, "why; kept in the audit and with the run"},
    {"dry-run", NULL, false, "open nothing; say how many, and what would come of it"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec why_options[] = {
    {"run", "RUN", false, "only what this run did"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec prune_options[] = {
    {"older-than", "DAYS", false,
     "keep what is younger (" CLI_PRUNE_AGE "); who was judged is kept 30 days at most"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec migrate_options[] = {
    {"dry-run", NULL, false, "only list what would be applied"},
    {"dir", "DIR", false, "the folder of migrations (default: the installed one, or ./migrations)"},
    {NULL, NULL, false, NULL},
};

static const struct verb table[] = {
    {"run", "JOB", "ask for a run of a job, by hand", "reveille run scenario_scheduler --wait",
     run_options, 1, 1, verb_run},
    {"runs", "[JOB]", "list runs, newest first", "reveille runs scenario_scheduler --last 5",
     runs_options, 0, 1, verb_runs},
    {"status", "[RUN]", "one run: state, totals, rate, time left, partitions",
     "reveille status latest --watch", status_options, 0, 1, verb_status},
    {"verify", "[RUN]", "recount a run from its rows", "reveille verify latest:scenario_scheduler",
     no_options, 0, 1, verb_verify},
    {"why-open", "[RUN]", "the slices that keep a run open", "reveille why-open", no_options, 0, 1,
     verb_why_open},
    {"why", "SUBJECT", "all that happened to one mentor, by any of its ids",
     "reveille why 5b7e1c1e-0d5c-4d0f-9d0e-3f6a2b8c7d10 --run latest", why_options, 1, 1, verb_why},
    {"workers", "", "who lives, and what each held when it last said so (up to 5 s ago)",
     "reveille workers --json", no_options, 0, 0, verb_workers},
    {"replay", "RUN",
     "judge again those whose last outcome in a run is an error or unreached; something must be "
     "selected",
     "reveille replay latest --errors --rate 50 --reason 'the engine is back'", replay_options, 1,
     1, verb_replay},
    {"cancel", "RUN", "end a run: pending slices become unreached", "reveille cancel latest",
     no_options, 1, 1, verb_cancel},
    {"jobs", "[list [JOB] | show JOB | pause JOB [reason=TEXT] | resume JOB | set JOB KEY=VALUE…]",
     "the registry; set needs the migrating role, and tells pg_cron",
     "reveille jobs set reminder_eval schedule='30 5 * * *'", no_options, 0, ARGS_WORDS_MAX,
     verb_jobs},
    {"engines", "[list [ENGINE] | set ENGINE KEY=VALUE…]",
     "how many calls an engine gets at a time", "reveille engines set http concurrency=20",
     no_options, 0, ARGS_WORDS_MAX, verb_engines},
    {"assignments", "set-contact ID DATE", "correct an assignment's last contact, kept",
     "reveille assignments set-contact 2f0c… 2026-11-20", no_options, 3, 3, verb_assignments},
    {"doctor", "", "every check that an installation needs, each with its mend",
     "reveille doctor --json", no_options, 0, 0, verb_doctor},
    {"prune", "", "remove old runs, logs and what they left behind",
     "reveille prune --older-than 400d", prune_options, 0, 0, verb_prune},
    {"migrate", "", "apply the migrations that are missing", "reveille migrate --dry-run",
     migrate_options, 0, 0, verb_migrate},
};

const struct verb *verbs_at(size_t i)
{
    return i < COUNT_OF(table) ? &table[i] : NULL;
}

const struct verb *verbs_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
