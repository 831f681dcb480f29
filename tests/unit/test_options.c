/* Tests options.c. */
#include "unit.h"

#include "config.h"
#include "options.h"

static const struct option_program program = {
    .name = "reveille-test", .about = "tests.", .who = FOR_WORKER};

struct said {
    char out[16384], err[16384];
};

/* What these words are, and what is said about them; "" ends them. */
static enum option read_words(const char *one, const char *two, struct said *ret_said)
{
    char name[] = "reveille-test", first[32], second[32];
    char *argv[] = {name, first, second, NULL};
    int argc = 1 + (one[0] != '\0') + (two[0] != '\0');
    snprintf(first, sizeof(first), "%s", one);
    snprintf(second, sizeof(second), "%s", two);
    FILE *out = fmemopen(ret_said->out, sizeof(ret_said->out), "w");
    FILE *err = fmemopen(ret_said->err, sizeof(ret_said->err), "w");
    assert_true(out != NULL && err != NULL);
    enum option option = option_read(&program, argc, argv, out, err);
    fclose(out);
    fclose(err);
    return option;
}

static void says_nothing_when_it_runs(void **state)
{
    (void)state;
    static struct said said;
    assert_int_equal(read_words("", "", &said), OPTION_NONE);
    assert_int_equal(read_words("--check-config", "", &said), OPTION_CHECK_CONFIG);
    assert_string_equal(said.out, "");
    assert_string_equal(said.err, "");
}

static void answers_version(void **state)
{
    (void)state;
    static struct said said;
    assert_int_equal(read_words("--version", "", &said), OPTION_ANSWERED);
    assert_non_null(strstr(said.out, "reveille-test " REVEILLE_VERSION ", librdkafka "));
}

static void helps_with_its_own_variables(void **state)
{
    (void)state;
    static struct said said;
    assert_int_equal(read_words("--help", "", &said), OPTION_ANSWERED);
    assert_non_null(strstr(said.out, "reveille-test: tests."));
    assert_non_null(strstr(said.out, "TRIGGER_ENGINE_URL"));
    assert_null(strstr(said.out, "LISTEN_ADDRESS")); /* the producer's */
    assert_string_equal(said.err, "");
}

static void refuses_other_words(void **state)
{
    (void)state;
    static struct said said;
    static const char *const words[][2] = {
        {"--verbose", ""}, {"-h", ""}, {"run", ""}, {"--version", "--help"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        memset(&said, 0, sizeof(said));
        assert_int_equal(read_words(words[i][0], words[i][1], &said), OPTION_WRONG);
        assert_string_equal(said.out, "");
        assert_non_null(strstr(said.err, "usage: reveille-test"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("without words a program runs, with --check-config it checks; neither says anything",
             says_nothing_when_it_runs),
        TEST("--version names the program's and librdkafka's", answers_version),
        TEST("--help shows the variables of this program and no other's",
             helps_with_its_own_variables),
        TEST("any other word, or a second one, is wrong usage, said on stderr",
             refuses_other_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
