/* The bounds of the scripted engine, each with its reason. They stand here and not in
 * common/limits.h because the engine is a witness: it shares nothing with what it watches. */
#ifndef REVEILLE_SCRIPTED_ENGINE_LIMITS_H
#define REVEILLE_SCRIPTED_ENGINE_LIMITS_H

#define SE_CONNECTIONS_MAX 1024     /* twice the largest fleet limit that is benched */
#define SE_REQUEST_MAX 16384        /* bytes of a request, head and body: ours have 1 kB */
#define SE_TYPES_MAX 64             /* scenario types of a call: the decisions Reveille takes */
#define SE_NESTING_MAX 16           /* depth of a body's JSON: the contract's is 2 */
#define SE_ANSWER_MAX (256 * 1024)  /* bytes of an answer, head and body: `huge` and room */
#define SE_HUGE_BYTES (200 * 1024)  /* a `huge` answer: three times what Reveille reads */
#define SE_DRIP_US 100000           /* a `slow-drip` answer sends one byte this often */
#define SE_LATENCY_MAX_MS 3600000.0 /* an hour: longer than any deadline, `hang` is for ever */
#define SE_LOG_FLUSH_US 50000       /* a logged call is in the file at the latest after this */
#define SE_LOG_LINE_MAX (3 * SE_REQUEST_MAX + 256) /* every byte of a request written as %XX */
#define SE_LOG_BUFFER (2 * SE_LOG_LINE_MAX)        /* one line more always fits after a flush */
#define SE_MENTORS_MAX (1u << 24) /* distinct ids that are counted: 512 MB, then it ends */
#define SE_SCRIPT_MAX                                                              \
    (64 * 1024 * 1024)     /* bytes of a script: a line each for 1,000,000 mentors \
                            */
#define SE_SECRET_MAX 4096 /* bytes of the file with the expected secret */

#endif
