/* See settle_row.h. */
#include "settle_row.h"

#include "attrs.h"

#include <stdlib.h>
#include <string.h>

enum column {
    EVALUATED,
    SKIPPED,
    ERRORS,
    DISPATCHED,
    SUPPRESSED,
    ERROR_IDS,
    ERROR_CLASSES,
    ERROR_TEXTS,
};

/* ---- what a refusal means ---------------------------------------------------------------- */

static bool is_one_of(const char *state, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(state, list[i], strlen(list[i])) == 0)
            return true;
    return false;
}

static enum settle_result refusal(const char *state)
{
    /* classes; 21 and P0: a judge that stumbles over one of its rows, or raises */
    static const char *const data[] = {"21", "22", "23", "54", "P0"};
    static const char *const transient[] = {"40P01", "40001", "55P03"};
    /* no right, no such function, a function that may not do what it does */
    static const char *const forbidden[] = {"0A", "2F", "38", "39", "3F", "42"};
    if (strcmp(state, "23505") == 0)
        return SETTLE_DUPLICATE;
    if (is_one_of(state, data, COUNT_OF(data)))
        return SETTLE_BAD_DATA;
    if (is_one_of(state, transient, COUNT_OF(transient)))
        return SETTLE_TRANSIENT;
    if (is_one_of(state, forbidden, COUNT_OF(forbidden)))
        return SETTLE_FORBIDDEN;
    return SETTLE_REFUSED;
}

enum settle_result settle_meaning(enum db_outcome outcome, const char *sqlstate)
{
    switch (outcome) {
    case DB_OK:
        return SETTLE_DONE;
    case DB_REFUSED:
        return refusal(sqlstate);
    case DB_UNKNOWN:
        return SETTLE_UNKNOWN;
    case DB_UNSENT:
        return SETTLE_TRANSIENT; /* nothing was written: the same again */
    }
    return SETTLE_REFUSED;
}

struct settle_answer settle_unsent(void)
{
    struct settle_answer a = {.result = SETTLE_TRANSIENT};
    (void)err_retry(&a.err, ERR_LIMIT, "unsent", "no room for the statement");
    return a;
}

/* ---- the row ----------------------------------------------------------------------------- */

/* The texts of an array as db_text_array joins them: one after the other. */
static const char *next_text(const char *text)
{
    return text + strlen(text) + 1;
}

static void read_failures(struct settle_row *row, const struct db_result *r)
{
    size_t ids = 0, classes = 0, texts = 0;
    struct uuid *subjects = NULL;
    if (db_uuid_array(r, 0, ERROR_IDS, &subjects, &ids, NULL) ||
        db_text_array(r, 0, ERROR_CLASSES, &row->classes, &classes, NULL) ||
        db_text_array(r, 0, ERROR_TEXTS, &row->texts, &texts, NULL) || ids == 0 ||
        ids > LIMIT_PAGE_MAX || ids != classes || ids != texts) {
        free(subjects);
        return;
    }
    row->failures = calloc(ids, sizeof(*row->failures));
    const char *cls = row->classes, *text = row->texts;
    for (size_t i = 0; i < ids && row->failures != NULL; i++) {
        row->failures[i] = (struct subject_failure){subjects[i], cls, text};
        cls = next_text(cls);
        text = next_text(text);
        row->answer.failure_count = (int)i + 1;
    }
    row->answer.failures = row->failures;
    free(subjects);
}

void settle_row_init(struct settle_row *row, enum db_outcome outcome, const struct db_result *r,
                     const struct err *err)
{
    *row = (struct settle_row){
        .answer = {.result = settle_meaning(outcome, err != NULL ? err->code : "")}};
    struct settle_answer *a = &row->answer;
    if (outcome != DB_OK) {
        a->err = *err;
    } else if (db_rows(r) == 0) {
        a->result = SETTLE_NOT_OPEN;
    } else {
        a->evaluated = db_int(r, 0, EVALUATED);
        a->skipped = db_int(r, 0, SKIPPED);
        a->errors = db_int(r, 0, ERRORS);
        a->dispatched = db_int(r, 0, DISPATCHED);
        a->suppressed = db_int(r, 0, SUPPRESSED);
        if (a->errors > 0)
            read_failures(row, r);
    }
}

void settle_row_release(struct settle_row *row)
{
    free(row->failures);
    free(row->classes);
    free(row->texts);
}
