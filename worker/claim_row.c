/* See claim_row.h. */
#include "claim_row.h"

#include "attrs.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum column {
    OUTCOME,
    STALE_MS,
    ATTEMPT,
    JOB_NAME,
    COMPONENT,
    EVALUATION_DATE,
    SCENARIOS,
    SHADOW,
    SUBJECT_IDS,
    USER_IDS,
    ELIGIBLE,
};

static const struct {
    const char *word;
    enum claim_outcome outcome;
} outcomes[] = {
    {"claimed", CLAIM_OURS}, {"busy", CLAIM_BUSY},       {"done", CLAIM_DONE},
    {"lost", CLAIM_LOST},    {"unknown", CLAIM_UNKNOWN},
};

static int read_outcome(const char *word, enum claim_outcome *ret_outcome, struct err *err)
{
    for (size_t i = 0; i < COUNT_OF(outcomes); i++)
        if (strcmp(word, outcomes[i].word) == 0) {
            *ret_outcome = outcomes[i].outcome;
            return 0;
        }
    return err_set(err, ERR_PROTOCOL, "outcome", "claim_slice answered a word we do not know");
}

/* For the idempotency key: the same scenarios, the same digits. */
static int hash_scenarios(struct claim *c, struct err *err)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (SHA256((const unsigned char *)c->scenarios, strlen(c->scenarios), digest) == NULL) {
        ERR_clear_error(); /* OpenSSL's own notes about it */
        return err_retry(err, ERR_SYSTEM, "ENOMEM", "no memory for a digest");
    }
    for (size_t i = 0; i < (sizeof(c->scenarios_hash) - 1) / 2; i++)
        snprintf(c->scenarios_hash + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

static int read_texts(const struct db_result *r, struct claim *c, struct err *err)
{
    const char *day = db_text(r, 0, EVALUATION_DATE);
    if (strlen(day) != sizeof(c->evaluation_date) - 1)
        return err_set(err, ERR_PROTOCOL, "date", "claim_slice answered a date that is none");
    memcpy(c->evaluation_date, day, sizeof(c->evaluation_date));
    c->job_name = strdup(db_text(r, 0, JOB_NAME));
    c->component = strdup(db_text(r, 0, COMPONENT));
    c->scenarios = strdup(db_text(r, 0, SCENARIOS));
    if (c->job_name == NULL || c->component == NULL || c->scenarios == NULL)
        return err_errno(err, "claim");
    return hash_scenarios(c, err);
}

static int read_subjects(const struct db_result *r, enum claim_outcome outcome, struct claim *c,
                         struct err *err)
{
    size_t subjects, users, flags;
    if (db_uuid_array(r, 0, SUBJECT_IDS, &c->subject_ids, &subjects, err) ||
        db_uuid_array(r, 0, USER_IDS, &c->user_ids, &users, err) ||
        db_bool_array(r, 0, ELIGIBLE, &c->eligible, &flags, err))
        return -1;
    bool alike = subjects == users && subjects == flags;
    if (subjects > INT_MAX || (outcome == CLAIM_OURS && !alike))
        return err_set(err, ERR_PROTOCOL, "arrays", "claim_slice answered arrays of unlike length");
    c->n = (int)subjects;
    return 0;
}

void claim_row_read(const struct db_result *r, struct claim *c)
{
    enum claim_outcome outcome = CLAIM_FAILED;
    c->outcome = CLAIM_FAILED;
    if (db_rows(r) != 1) {
        (void)err_set(&c->err, ERR_PROTOCOL, "rows", "claim_slice answered no row");
        return;
    }
    if (read_outcome(db_text(r, 0, OUTCOME), &outcome, &c->err))
        return;
    if ((outcome == CLAIM_OURS || outcome == CLAIM_LOST) &&
        (read_texts(r, c, &c->err) || read_subjects(r, outcome, c, &c->err)))
        return;
    c->stale_ms = db_int(r, 0, STALE_MS);
    c->attempt = db_int(r, 0, ATTEMPT);
    c->shadow = db_bool(r, 0, SHADOW);
    c->outcome = outcome;
}
