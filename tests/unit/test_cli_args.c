/* The words of a command line against a verb's table of options. */
#include "unit.h"

#include "args.h"

static const struct option_spec options[] = {
    {"date", "D", false, ""},    {"scenario", "T", true, ""}, {"wait", "[S]", false, ""},
    {"shadow", NULL, false, ""}, {NULL, NULL, false, NULL},
};
static const struct option_spec common[] = {{"json", NULL, false, ""}, {NULL, NULL, false, NULL}};

static int parse(struct args *a, struct err *err, int argc, ...)
{
    char *argv[16];
    va_list ap;
    va_start(ap, argc);
    for (int i = 0; i < argc; i++)
        argv[i] = va_arg(ap, char *);
    va_end(ap);
    *err = ERR_INIT;
    return args_parse(a, argc, argv, options, common, err);
}

static void takes_words_and_options_in_any_order(void **state UNUSED)
{
    struct args a;
    struct err err;
    assert_int_equal(
        parse(&a, &err, 6, "job", "--date", "2026-11-21", "--json", "--scenario=a", "x"), 0);
    assert_int_equal(a.words, 2);
    assert_string_equal(a.word[1], "x");
    assert_string_equal(args_value(&a, "date", 0), "2026-11-21");
    assert_true(args_has(&a, "json"));
    assert_false(args_has(&a, "shadow"));
}

static void keeps_every_value_of_an_option_that_may_be_repeated(void **state UNUSED)
{
    struct args a;
    struct err err;
    assert_int_equal(parse(&a, &err, 4, "--scenario", "a", "--scenario", "b"), 0);
    assert_string_equal(args_value(&a, "scenario", 0), "a");
    assert_string_equal(args_value(&a, "scenario", 1), "b");
    assert_null(args_value(&a, "scenario", 2));
}

static void an_optional_value_needs_the_equals_sign(void **state UNUSED)
{
    struct args a;
    struct err err;
    assert_int_equal(parse(&a, &err, 2, "--wait", "30"), 0);
    assert_null(args_value(&a, "wait", 0));
    assert_string_equal(a.word[0], "30");
    assert_int_equal(parse(&a, &err, 1, "--wait=30"), 0);
    assert_string_equal(args_value(&a, "wait", 0), "30");
}

static void refuses_what_is_not_in_the_table_and_names_it(void **state UNUSED)
{
    struct args a;
    struct err err;
    assert_int_equal(parse(&a, &err, 1, "--dat=1"), -1);
    assert_err(err, ERR_CONFIG);
    assert_non_null(strstr(err.text, "--dat"));
    assert_int_equal(parse(&a, &err, 1, "--date"), -1);
    assert_non_null(strstr(err.text, "needs D"));
    assert_int_equal(parse(&a, &err, 1, "--shadow=1"), -1);
    assert_int_equal(parse(&a, &err, 4, "--date", "a", "--date", "b"), -1);
    assert_non_null(strstr(err.text, "twice"));
}

static void reads_whole_numbers_within_bounds_only(void **state UNUSED)
{
    static const char *const wrong[] = {"0", "11", "1x", "", " ", "-1", "99999999999999999999"};
    struct args a;
    struct err err;
    int n;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_int_equal(parse(&a, &err, 2, "--date", wrong[i]), 0);
        assert_int_equal(args_int(&a, "date", 1, 10, 5, &n, &err), -1);
    }
    assert_int_equal(parse(&a, &err, 2, "--date", "10"), 0);
    assert_int_equal(args_int(&a, "date", 1, 10, 5, &n, &err), 0);
    assert_int_equal(n, 10);
    assert_int_equal(args_int(&a, "wait", 1, 10, 5, &n, &err), 0);
    assert_int_equal(n, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("takes words and options in any order", takes_words_and_options_in_any_order),
        TEST("keeps every value of an option that may be repeated",
             keeps_every_value_of_an_option_that_may_be_repeated),
        TEST("an optional value needs the equals sign", an_optional_value_needs_the_equals_sign),
        TEST("refuses what is not in the table, and names it",
             refuses_what_is_not_in_the_table_and_names_it),
        TEST("reads whole numbers within bounds only", reads_whole_numbers_within_bounds_only),
    };
    return cmocka_run_group_tests_name("cli_args", tests, NULL, NULL);
}
