/* claim_slice's row as a struct claim: the columns, in their order, and what they must hold. */
#ifndef REVEILLE_CLAIM_ROW_H
#define REVEILLE_CLAIM_ROW_H

#include "db.h"
#include "outcome.h"

/* Leans on slice's primary key; commits before anything is judged. */
#define CLAIM_SQL                                                                    \
    "select outcome, stale_ms, attempt, job_name, component, evaluation_date::text," \
    " to_json(scenario_types)::text, shadow, subject_ids, user_ids, eligible"        \
    " from reveille.claim_slice($1, $2, $3, $4::int * interval '1 ms', $5, $6)"

/* Fills *c (all zero before) from the answer to CLAIM_SQL. What does not hold together, or a lack
 * of memory, ends as CLAIM_FAILED with c->err. */
void claim_row_read(const struct db_result *r, struct claim *c);

#endif
