/* Every bound of the two programs, in one list, each with its reason. What belongs to a job or an
 * engine (page size, deadline, calls at a time) stands in its row in the database, not here.
 * Times are milliseconds unless the name says otherwise. */

/* The C library has a <limits.h>, too, and this folder is searched first: who asks for that one
 * gets it from here (msgpack does). The pragma: clang warns of every include_next else. */
#pragma GCC system_header
#include_next <limits.h>

#ifndef REVEILLE_LIMITS_H
#define REVEILLE_LIMITS_H

/* ---- planning and publishing ------------------------------------------------------------- */
#define LIMIT_PAGE_MAX 1000         /* subjects a slice: the slice row stays under 20 kB */
#define LIMIT_PAGES_PER_PLAN 10     /* pages a planning transaction: past 10 nothing is gained */
#define LIMIT_PUBLISH_BATCH 200     /* slices drawn from the plan at once */
#define LIMIT_AHEAD_PER_PARTITION 4 /* published and not done, at least: two workers' windows */
#define LIMIT_AHEAD_MAX 1000        /* the same, at most, over all runs of an engine */
#define LIMIT_AHEAD_SPAN_MS 2000    /* what this span got done may be published ahead */
#define LIMIT_RATE_MAX 100000       /* subjects a second of a replay: more is no limit */
#define RATE_STEP_MS 100            /* a run with a rate draws at most so often */
#define RATE_SAVED_MS 200           /* ... and makes up for a late step: no more is saved */
#define LIMIT_RUNS_HELD 16          /* runs one producer leads at a time */
#define LIMIT_TOPICS 16             /* one an engine; there are four */
#define CORE_WAKE_MAX_MS 3600000    /* the core says "never"; the loop is asked for an hour */
#define TOPICS_PATIENCE_MS 2000     /* a broker silent so long is said to be waited for */

/* ---- leases and clocks ------------------------------------------------------------------- */
#define LEASE_MS 15000          /* the producer's lease on a run; database clock */
#define LEASE_RENEW_MS 5000     /* a third of it: two renewals may fail */
#define ASK_AGAIN_MS 200        /* a question whose answer was lost is asked again */
#define PLAN_AGAIN_MAX_MS 10000 /* ... for a page after twice as long each time, up to this */
#define LIMIT_PLAN_REFUSALS 5   /* pages refused for good in 3 s: more than a redeploy's gap */
#define OPEN_AGAIN_MS 1000      /* after an open that failed */
#define PROGRESS_MIN_MS 25      /* how often a run's progress is read, at most */
#define PROGRESS_MAX_MS 1000
#define RECONCILE_MS 1000            /* tick of the reconciler */
#define OVERDUE_RUNS_MS 5000         /* how often runs past their deadline are looked for */
#define WATCHDOG_MS 30000            /* how often missed slots and alerts are; two make a minute */
#define DELIVERY_SAY_MS 1000         /* failed deliveries are counted so long, then one line */
#define INBOX_POLL_MS 1000           /* trigger requests, until LISTEN has proven itself ... */
#define INBOX_POLL_LISTENING_MS 5000 /* ... and from then on: a lapsed lease is found so, too */
#define OFFSET_STILL_MS 60000        /* a committed offset that stands still so long is not lag */

/* ---- slices at a worker ------------------------------------------------------------------ */
#define LIMIT_WINDOW_UNFINISHED 2 /* unfinished slices a partition: one is claimed, one judged */
#define LIMIT_WINDOW_FINISHED 64  /* finished beyond the oldest unfinished: re-read by a crash */
#define LIMIT_PARTITIONS 256      /* partitions a worker can hold */
#define LIMIT_CLAIMED_AHEAD 2     /* claimed slices an engine whose calls have not all begun */
#define CLAIM_RENEW_MS 2000       /* five renewals within the stale time */
#define CLAIM_STALE_MS BROKER_SESSION_MS /* who is no member any more holds no claim */
#define LIMIT_ATTEMPTS 5      /* incarnations that may fail on a slice before it is poison */
#define ALONE_FROM_ATTEMPT 3  /* from here on a slice is worked alone, to find the poison */
#define REVOKE_GRACE_MS 1000  /* slices with calls under way may end before a partition goes */
#define SETTLE_TRIES 5        /* deadlock, serialization, lock wait */
#define COMMIT_OFFSETS_MS 500 /* asynchronous commits of stored offsets */

/* ---- the engine -------------------------------------------------------------------------- */
#define ENGINE_TRIES 3 /* first call and two retries of one subject */
#define ENGINE_BACKOFF_MIN_MS 100
#define ENGINE_BACKOFF_MAX_MS 10000
#define ENGINE_CONNECT_MS 1000
#define ENGINE_TIMEOUT_MS 5000     /* default of TRIGGER_ENGINE_TIMEOUT_MS */
#define ENGINE_TIMEOUT_MAX_MS 8000 /* a call must end within the lease of 10 s it began under */
#define ENGINE_RETRY_AFTER_MAX_MS 300000
#define ENGINE_ANSWER_MAX 65536     /* bytes of an answer */
#define ENGINE_REQUEST_MAX 16384    /* bytes: 64 scenario types of 40 letters, and more */
#define ENGINE_CONNECTIONS_KEPT 256 /* idle ones: more than a fleet's usual limit */
#define ENGINE_CONNECTION_IDLE_S 20 /* shorter than what proxies and engines keep */
#define ENGINE_ANSWER_AGAIN_MS 100  /* an answer that found no memory is made again */
#define ENGINE_SQL_MS 8000          /* a judged slice, under the lease of 10 s it began under */
#define LIMIT_JUDGES 2              /* slices judged at a time: a link, a backend each */
#define ENGINE_NOOP_MS 1000         /* its longest call: none takes so long */
#define ENGINE_DECISIONS_MAX 64     /* decisions of one subject */
#define SCENARIO_TYPE_MAX 40        /* characters; scenario_config's CHECK says the same */
#define ENGINE_PAYLOAD_MAX 16384    /* bytes of a decision's payload; the database says the same */
#define ENGINE_REFUSED_HOLD_MS 100  /* a refused call keeps its place: no hammering */
#define SHARE_LEASE_MS 10000        /* as ask_share lends it */
#define SHARE_ASK_MS 1000           /* at the latest, while all is granted */
#define SHARE_ASK_FAILED_MS 100     /* at most ten asks a second after failures */
#define SHARE_IDLE_MS 5000          /* an idle worker asks for nothing, so that it is seen */
#define LIMIT_SHARE_WANT 10000      /* what a worker may ask for: ask_share's own bound */
#define LIMIT_SHARE_HELD 256        /* places kept after refusals; a share is rarely larger */
#define LIMIT_SHARE_TRIES 64        /* first tries reported at once; the fleet remembers 20 */
#define OUTAGE_CHARGED_AFTER_MS 900000 /* tries of a longer outage count, so that a run moves */

/* ---- the database ------------------------------------------------------------------------ */
#define DB_QUEUE_MAX 4096     /* statements waiting for a link */
#define DB_LINKS_MAX 16       /* links of one db; the programs ask for three at most */
#define DB_ARGS_MAX 48        /* parameters of one statement; ours are constants with fewer */
#define DB_HOSTS_MAX 16       /* addresses tried in a round, of all hosts in a conninfo */
#define DB_STATEMENT_MS 15000 /* our own deadline, above the role's statement_timeout */
#define DB_CONNECT_MS 5000
#define DB_RECONNECT_MIN_MS 100
#define DB_RECONNECT_MAX_MS 5000
#define DB_RESULT_MAX (16 * 1024 * 1024) /* bytes of one answer that we are ready to hold */
#define DB_LISTEN_PROOF_MS 30000         /* a LISTEN that died silently is noticed so soon */
#define SCHEMA_ASK_MS 1000               /* is the schema there now? */
#define SCHEMA_ANSWER_MS 2000            /* no answer by then: said, and asked again */

/* ---- Kafka ------------------------------------------------------------------------------- */
#define SLICE_MSG_MAX 64          /* bytes of a message */
#define BROKER_TICK_MS 1000       /* queues are polled at least so often, wake-up or not */
#define BROKER_ADMIN_MS 10000     /* each admin call has its own deadline */
#define BROKER_METADATA_MS 1000   /* one wait for metadata: so long can a free of the handle take */
#define BROKER_METADATA_PAUSE_MS 100 /* between two of them, and while an admin answer is due */
#define BROKER_OPERATION_MS 5000 /* the broker's own wait until a new topic is known everywhere */
#define BROKER_RECENT_CODES 8    /* errors remembered, so that each is passed on only ... */
#define BROKER_AGAIN_MS 10000    /* ... so often: librdkafka repeats itself at every try */
#define BROKER_CLOSE_MS 10000    /* a consumer that does not close is left behind */
#define BROKER_SESSION_MS 10000  /* default of session.timeout.ms; tests set 6 s */
#define DEAD_LETTERS_PENDING 256 /* dead letters waiting to be written; beyond: only counted */

/* ---- HTTP in ----------------------------------------------------------------------------- */
#define HTTP_HEADER_MAX 8192
#define HTTP_BODY_MAX 65536
#define HTTP_CONNECTIONS_MAX 128
#define HTTP_ACCEPTS_A_TURN 32  /* so that a new one is read before it can be the oldest */
#define HTTP_BACKLOG 1024       /* a crowd waits in the kernel: a lost SYN costs its client 1 s */
#define HTTP_REQUEST_MS 10000   /* to read a whole request, from its first byte */
#define HTTP_IDLE_MS 60000      /* an idle keep-alive connection */
#define HTTP_WAIT_MAX_S 300     /* the longest Prefer: wait */
#define HTTP_WAIT_POLL_MS 250   /* how often a waiting caller's run is looked up */
#define API_OPEN_WAIT_MS 2000   /* for a run to be opened, to tell its id; it takes some 10 ms */
#define API_LOOK_MS 2000        /* a look that is not answered by then is made again */
#define API_NOTE_USE_MS 10000   /* a secret's use is noted so often: not a write a call */
#define API_CREDENTIAL_MAX 4096 /* bytes of a secret in a header: as long as its file */
#define API_KEY_MAX 200         /* bytes of an Idempotency-Key: a uuid or a name, with room */
#define API_JOB_NAME_MAX 128    /* bytes of a job's name as asked for; real ones have 40 at most */
#define API_SCENARIOS_MAX 64    /* scenario types of a manual run */
#define API_RUNS_MAX 100        /* runs of a list: the answer stays under 200 kB */
#define API_RUNS_DEFAULT 20     /* when the caller does not say */

/* ---- logs, metrics, shutdown ------------------------------------------------------------- */
#define LOG_LINE_MAX 4096          /* bytes of a line: PIPE_BUF, so that a pipe takes it whole */
#define LOG_RING_MAX (1024 * 1024) /* outstanding log; beyond it lines are dropped and counted */
#define LOG_FLUSH_MS 100           /* how often what waits in the ring is tried again */
#define LOG_DATABASE_AGAIN_MS 1000 /* a failing statement is a line at most so often */
#define METRICS_SERIES_MAX 64      /* of a metric: labels are our own words */
#define METRICS_TEXT_MAX (1024 * 1024) /* bytes of a scrape: ours are under 200 kB */
#define ERR_TEXT_MAX 256
#define DRAIN_MS 20000       /* default of DRAIN_TIMEOUT_MS */
#define DRAIN_POLL_MS 20     /* are the last HTTP answers out? */
#define WORKER_LEAVE_MS 4000 /* of it, at most a quarter: a worker gives back, commits, leaves */
#define SECRET_MAX 4096      /* bytes of a secret's file */
#define SECRET_HEX 64        /* hex digits of the scheduler's and the operator's secret */

/* ---- the operator's command ------------------------------------------------------------ */
#define ARGS_WORDS_MAX 32           /* words that are no options */
#define ARGS_OPTIONS_MAX 64         /* options given, repeated ones counted */
#define MIGRATION_MAX (1024 * 1024) /* bytes of one migration's file */
#define CLI_OPEN_WAIT_S 10   /* for a run to be opened: a deaf producer polls once a second */
#define CLI_LOOK_MS 250      /* between two looks at a run */
#define CLI_VERIFY_S 3600    /* a proof recounts every row: a million take half a minute */
#define CLI_PRUNE_AGE "400d" /* what prune keeps: a year, and time to look back at it */
#define CLI_CLOCK_S 2        /* apart: what NTP keeps is far less */
#define CLI_KAFKA_MS 5000    /* for each question to a broker */
#define CLI_LINES_S 5        /* between progress lines where there is no terminal */

#endif
