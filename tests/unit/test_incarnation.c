/* Tests incarnation.c. */
#include "unit.h"

#include "incarnation.h"

static void names_host_pid_and_chance(void **state)
{
    (void)state;
    char name[INCARNATION_SIZE], host[64] = "", start[INCARNATION_SIZE];
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    assert_int_equal(incarnation_name(name, NULL), 0);
    int n = snprintf(start, sizeof(start), "%s:%d:", host, (int)getpid());
    assert_int_equal(strncmp(name, start, (size_t)n), 0);
    assert_int_equal(strspn(name + n, "0123456789abcdef"), 8);
    assert_int_equal(strlen(name + n), 8);
}

static void no_two_are_the_same(void **state)
{
    (void)state;
    char one[INCARNATION_SIZE], two[INCARNATION_SIZE];
    assert_int_equal(incarnation_name(one, NULL), 0);
    assert_int_equal(incarnation_name(two, NULL), 0);
    assert_string_not_equal(one, two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a name is host, pid and eight random digits", names_host_pid_and_chance),
        TEST("two incarnations with one pid have two names", no_two_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
