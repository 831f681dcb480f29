/* Tests settle_row.c's pure part: what an answer of the database means. That the columns are right,
 * test_engine_sql and the flow tests show on a real PostgreSQL. */
#include "settle_row.h"
#include "unit.h"

static const struct {
    enum db_outcome outcome;
    const char *state;
    enum settle_result result;
} table[] = {
    {DB_OK, "", SETTLE_DONE},
    {DB_UNKNOWN, "", SETTLE_UNKNOWN},
    {DB_UNSENT, "", SETTLE_TRANSIENT},
    {DB_REFUSED, "23505", SETTLE_DUPLICATE},
    {DB_REFUSED, "23514", SETTLE_BAD_DATA},
    {DB_REFUSED, "23503", SETTLE_BAD_DATA},
    {DB_REFUSED, "22P05", SETTLE_BAD_DATA},
    {DB_REFUSED, "54000", SETTLE_BAD_DATA},
    {DB_REFUSED, "21000", SETTLE_BAD_DATA},
    {DB_REFUSED, "P0001", SETTLE_BAD_DATA},
    {DB_REFUSED, "40P01", SETTLE_TRANSIENT},
    {DB_REFUSED, "40001", SETTLE_TRANSIENT},
    {DB_REFUSED, "55P03", SETTLE_TRANSIENT},
    {DB_REFUSED, "40003", SETTLE_REFUSED},
    {DB_REFUSED, "57014", SETTLE_REFUSED},
    {DB_REFUSED, "42501", SETTLE_FORBIDDEN},
    {DB_REFUSED, "42883", SETTLE_FORBIDDEN},
    {DB_REFUSED, "3F000", SETTLE_FORBIDDEN},
    {DB_REFUSED, "0A000", SETTLE_FORBIDDEN},
    {DB_REFUSED, "53100", SETTLE_REFUSED},
    {DB_REFUSED, "RV422", SETTLE_REFUSED},
    {DB_REFUSED, "", SETTLE_REFUSED},
};

static void each_answer_has_its_meaning(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        print_message("%s\n", table[i].state);
        assert_int_equal(settle_meaning(table[i].outcome, table[i].state), table[i].result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-D4: only a lost link leaves a settle unknown; a refusal says what to do next",
             each_answer_has_its_meaning),
    };
    return cmocka_run_group_tests_name("settle_row", tests, NULL, NULL);
}
