/* Every bound of the two programs, in one list, each with its reason. What belongs to a job or an
 * engine (page size, deadline, calls at a time) stands in its row in the database, not here.
 * Times are milliseconds unless the name says otherwise. */

/* The C library has a <limits.h>, too, and this folder is searched first: who asks for that one gets
 * it from here (msgpack does). The pragma: clang warns of every include_next else. */
#pragma GCC system_header
#include_next <limits.h>

#ifndef REVEILLE_LIMITS_H
#define REVEILLE_LIMITS_H

/* ---- planning and publishing ------------------------------------------------------------- */
#define LIMIT_PAGE_MAX 1000           /* subjects a slice: the slice row stays under 20 kB */
#define LIMIT_PAGES_PER_PLAN 10       /* pages a planning transaction: past 10 nothing is gained */
#define LIMIT_PUBLISH_BATCH 200       /* slices drawn from the plan at once */
#define LIMIT_AHEAD_PER_PARTITION 4   /* published and not done, at least: a worker's window of 2, twice */
#define LIMIT_AHEAD_MAX 1000          /* published and not done, at most, over all runs of an engine */
#define LIMIT_AHEAD_SPAN_MS 2000      /* what this span got done may be published ahead */
#define LIMIT_RUNS_HELD 16            /* runs one producer leads at a time */

/* ---- leases and clocks ------------------------------------------------------------------- */
#define LEASE_MS 15000                /* the producer's lease on a run; database clock */
#define LEASE_RENEW_MS 5000           /* a third of it: two renewals may fail */
#define PROGRESS_MIN_MS 25            /* how often a run's progress is read, at most */
#define PROGRESS_MAX_MS 1000
#define RECONCILE_MS 1000             /* tick of the reconciler */
#define OVERDUE_RUNS_MS 5000          /* how often runs past their deadline are looked for */
#define INBOX_POLL_MS 1000            /* trigger requests, until LISTEN has proven itself ... */
#define INBOX_POLL_LISTENING_MS 5000  /* ... and from then on: a lapsed lease is found so, too */
#define OFFSET_STILL_MS 60000         /* a committed offset that stands still so long is not lag */

/* ---- slices at a worker ------------------------------------------------------------------ */
#define LIMIT_WINDOW_UNFINISHED 2     /* unfinished slices a partition: claim one while one is judged */
#define LIMIT_WINDOW_FINISHED 64      /* finished ones beyond the oldest unfinished: what a crash re-reads */
#define LIMIT_PARTITIONS 256          /* partitions a worker can hold */
#define LIMIT_CLAIMED_AHEAD 2         /* claimed slices an engine whose calls have not all begun */
#define CLAIM_RENEW_MS 2000           /* five renewals within the stale time */
#define CLAIM_STALE_MS 10000          /* the session timeout in force; tests pass 6 s */
#define LIMIT_ATTEMPTS 5              /* incarnations that may fail on a slice before it is poison */
#define ALONE_FROM_ATTEMPT 3          /* from here on a slice is worked alone, to find the poison */
#define REVOKE_GRACE_MS 1000          /* slices with calls under way may end before a partition goes */
#define SETTLE_TRIES 5                /* deadlock, serialization, lock wait */
#define COMMIT_OFFSETS_MS 500         /* asynchronous commits of stored offsets */

/* ---- the engine -------------------------------------------------------------------------- */
#define ENGINE_TRIES 3                /* first call and two retries of one subject */
#define ENGINE_BACKOFF_MIN_MS 100
#define ENGINE_BACKOFF_MAX_MS 10000
#define ENGINE_CONNECT_MS 1000
#define ENGINE_TIMEOUT_MS 5000        /* default of TRIGGER_ENGINE_TIMEOUT_MS */
#define ENGINE_RETRY_AFTER_MAX_MS 300000
#define ENGINE_ANSWER_MAX 65536       /* bytes of an answer */
#define ENGINE_DECISIONS_MAX 64       /* decisions of one subject */
#define ENGINE_PAYLOAD_MAX 16384      /* bytes of a decision's payload; the database says the same */
#define ENGINE_REFUSED_HOLD_MS 100    /* a refused call keeps its place: a dead engine is not hammered */
#define SHARE_LEASE_MS 10000          /* as ask_share lends it */
#define SHARE_ASK_MS 1000             /* at the latest, while all is granted */
#define SHARE_ASK_FAILED_MS 100       /* at most ten asks a second after failures */
#define SHARE_IDLE_MS 5000            /* an idle worker asks for nothing, so that it is seen */
#define LIMIT_SHARE_WANT 10000        /* what a worker may ask for: ask_share's own bound */
#define LIMIT_SHARE_HELD 256         /* places kept after refusals; a share is rarely larger */
#define LIMIT_SHARE_TRIES 64          /* first tries reported at once; the fleet remembers 20 */
#define OUTAGE_CHARGED_AFTER_MS 900000 /* tries of a longer outage are charged, so that a run moves */

/* ---- the database ------------------------------------------------------------------------ */
#define DB_QUEUE_MAX 4096             /* statements waiting for a link */
#define DB_STATEMENT_MS 15000         /* our own deadline, above the role's statement_timeout */
#define DB_CONNECT_MS 5000
#define DB_RECONNECT_MIN_MS 100
#define DB_RECONNECT_MAX_MS 5000
#define DB_RESULT_MAX (16 * 1024 * 1024) /* bytes of one answer that we are ready to hold */

/* ---- Kafka ------------------------------------------------------------------------------- */
#define SLICE_MSG_MAX 64              /* bytes of a message */
#define BROKER_TICK_MS 1000           /* queues are polled at least so often, wake-up or not */
#define BROKER_ADMIN_MS 10000         /* each admin call has its own deadline */
#define BROKER_CLOSE_MS 10000         /* a consumer that does not close is left behind */
#define BROKER_SESSION_MS 10000
#define DEAD_LETTERS_PENDING 256      /* dead letters waiting to be written; beyond: only counted */

/* ---- HTTP in ----------------------------------------------------------------------------- */
#define HTTP_HEADER_MAX 8192
#define HTTP_BODY_MAX 65536
#define HTTP_CONNECTIONS_MAX 128
#define HTTP_REQUEST_MS 10000         /* to read a whole request, from its first byte */
#define HTTP_IDLE_MS 60000            /* an idle keep-alive connection */
#define HTTP_WAIT_MAX_S 300           /* the longest Prefer: wait */
#define HTTP_WAIT_POLL_MS 250         /* how often a waiting caller's run is looked up */

/* ---- logs, texts, shutdown --------------------------------------------------------------- */
#define LOG_LINE_MAX 4096             /* bytes of a line: PIPE_BUF, so that a pipe takes it whole */
#define LOG_RING_MAX (1024 * 1024)    /* outstanding log; beyond it lines are dropped and counted */
#define ERR_TEXT_MAX 256
#define DRAIN_MS 20000                /* default of DRAIN_TIMEOUT_MS */
#define SECRET_MAX 4096               /* bytes of a secret's file */
#define SECRET_HEX 64                 /* hex digits of the scheduler's and the operator's secret */

#endif
