/* Freeing of claims and answers, and the making of an answer that failed. See outcome.h. */
#include "outcome.h"

#include <stdlib.h>
#include <string.h>

void claim_free(struct claim *c)
{
    if (c == NULL)
        return;
    free(c->job_name);
    free(c->component);
    free(c->scenarios);
    free(c->subject_ids);
    free(c->user_ids);
    free(c->eligible);
    free(c);
}

void answer_free(struct answer *a)
{
    if (a == NULL)
        return;
    for (int i = 0; i < a->n; i++) {
        free(a->decisions[i].scenario_type);
        free(a->decisions[i].payload);
    }
    free(a->decisions);
    free(a);
}

struct answer *answer_failed(enum err_class cls, enum try_sign sign, bool retry, const char *text)
{
    struct answer *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->sign = sign;
    a->retry = retry;
    a->cls = cls;
    strncpy(a->text, text, sizeof(a->text) - 1); /* the last byte stays zero */
    return a;
}

struct answer *answer_nothing_due(void)
{
    struct answer *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->sign = TRY_ANSWERED;
    a->ok = true;
    return a;
}
