/* Tests outcome.c: what is half made is freed as well, and a failed answer says what it was told.
 */
#include "outcome.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void frees_nothing(void **state)
{
    (void)state;
    claim_free(NULL);
    answer_free(NULL);
}

static void frees_halves(void **state)
{
    (void)state;
    struct claim *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    claim_free(c); /* the sanitizer sees what is left */
    c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->job_name = strdup("job");
    c->subject_ids = calloc(3, sizeof(*c->subject_ids));
    claim_free(c);

    struct answer *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    a->n = 2;
    a->decisions = calloc(2, sizeof(*a->decisions));
    assert_non_null(a->decisions);
    a->decisions[0].scenario_type = strdup("inactivity");
    answer_free(a);
}

static void says_why(void **state)
{
    (void)state;
    struct answer *a = answer_failed(ERR_TIMEOUT, TRY_FAILED, true, "no answer in time");
    assert_non_null(a);
    assert_false(a->ok);
    assert_true(a->retry);
    assert_false(a->refused);
    assert_int_equal(a->cls, ERR_TIMEOUT);
    assert_int_equal(a->sign, 'x');
    assert_int_equal(a->n, 0);
    assert_string_equal(a->text, "no answer in time");
    answer_free(a);
}

static void cuts_long_texts(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct answer *a = answer_failed(ERR_LOGIC, TRY_ANSWERED, false, text);
    assert_non_null(a);
    assert_int_equal(strlen(a->text), sizeof(a->text) - 1);
    answer_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"freeing nothing does nothing", frees_nothing, NULL, NULL, NULL},
        {"what is half made is freed whole", frees_halves, NULL, NULL, NULL},
        {"a failed answer holds its class, sign, retry and text", says_why, NULL, NULL, NULL},
        {"a text that is too long is cut", cuts_long_texts, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
