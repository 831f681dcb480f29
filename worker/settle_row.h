/* What the database says of a settle, or of a judge, as a struct settle_answer: the columns of
 * settle_slice and judge_slices, in their order, and what a refusal means for the core. */
#ifndef REVEILLE_SETTLE_ROW_H
#define REVEILLE_SETTLE_ROW_H

#include "db.h"
#include "pool_core.h"

/* Of what both functions return. */
#define SETTLE_COLUMNS                                    \
    "evaluated, skipped, errors, dispatched, suppressed," \
    " error_ids, error_classes, error_texts"

struct settle_row {
    struct settle_answer answer;
    struct subject_failure *failures; /* owned; what answer lends */
    char *classes, *texts;            /* owned; what failures point into */
};

/* From what db_call told. No row: SETTLE_NOT_OPEN. What is no sense, or a lack of memory, costs the
 * list of failures and nothing else: they are in subject_error. */
void settle_row_init(struct settle_row *row, enum db_outcome outcome, const struct db_result *r,
                     const struct err *err);
void settle_row_release(struct settle_row *row);

/* What a statement that found no room is answered: to be asked again after a moment. */
struct settle_answer settle_unsent(void);

/* What an answer of the database means for a settle. Pure; exposed for its test. */
enum settle_result settle_meaning(enum db_outcome outcome, const char *sqlstate);

#endif
