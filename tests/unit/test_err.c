/* Tests err.c: what a struct err holds after each way to fill it. */
#include "unit.h"

#include <errno.h>

static void fills_all_fields(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_false(err_is_set(&err));
    assert_int_equal(err_set(&err, ERR_DATABASE, "23505", "slice %d", 7), -1);
    assert_true(err_is_set(&err));
    assert_err(err, ERR_DATABASE);
    assert_false(err.retry);
    assert_string_equal(err.code, "23505");
    assert_string_equal(err.text, "slice 7");
    assert_int_equal(err_retry(&err, ERR_NETWORK, NULL, "away"), -1);
    assert_true(err.retry);
    assert_string_equal(err.code, "");
}

static void takes_null(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x", "text"), -1);
    assert_int_equal(err_retry(NULL, ERR_LIMIT, "x", "text"), -1);
    assert_int_equal(err_prefix(NULL, "what"), -1);
    assert_int_equal(err_errno(NULL, "what"), -1);
}

static void cuts_at_a_character(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char text[2 * ERR_TEXT_MAX];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        size_t len = shift;
        for (; len + 4 < sizeof text; len += 4)
            memcpy(text + len, "\xF0\x9F\x8C\x85", 4); /* sunrise */
        text[len] = '\0';
        err_set(&err, ERR_LOGIC, NULL, "%s", text);
        size_t whole = (ERR_TEXT_MAX - 1 - shift) / 4 * 4 + shift;
        assert_int_equal(strlen(err.text), whole);
        assert_memory_equal(err.text, text, whole);
    }
    err_set(&err, ERR_LOGIC, "a code of more bytes than fit", "x");
    assert_string_equal(err.code, "a code of more byte");
}

static void is_one_line(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    err_set(&err, ERR_LOGIC, NULL, "one\ntwo\tthree\x1b[31m\x7f");
    assert_string_equal(err.text, "one two three [31m ");
}

static void prefixes(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    err_set(&err, ERR_SYSTEM, "ENOENT", "no such file");
    assert_int_equal(err_prefix(&err, "config"), -1);
    assert_string_equal(err.text, "config: no such file");
    assert_string_equal(err.code, "ENOENT");
    err_set(&err, ERR_LIMIT, err.code, "again: %s", err.text); /* its own parts as arguments */
    assert_string_equal(err.text, "again: config: no such file");
    assert_string_equal(err.code, "ENOENT");
}

static void names_errno(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    errno = ECONNREFUSED;
    assert_int_equal(err_errno(&err, "connect"), -1);
    assert_err(err, ERR_SYSTEM);
    assert_string_equal(err.code, "ECONNREFUSED");
    assert_string_equal(err.text, "connect: Connection refused");
    errno = 123456;
    err_errno(&err, "odd");
    assert_string_equal(err.code, "");
    assert_string_equal(err.text, "odd: unknown error");
}

static void names_classes(void **state)
{
    (void)state;
    assert_string_equal(err_class_name(ERR_NETWORK), "network_error");
    assert_string_equal(err_class_name(ERR_TIMEOUT), "timeout_error");
    assert_string_equal(err_class_name(ERR_LOGIC), "evaluation_logic_error");
    assert_string_equal(err_class_name(ERR_DATABASE), "database_error");
    assert_string_equal(err_class_name((enum err_class)99), "unknown_error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("an error has a class, a code, a text, and says whether to try again",
             fills_all_fields),
        TEST("a caller that does not care passes NULL and still gets -1", takes_null),
        TEST("a text too long is cut at a character's border", cuts_at_a_character),
        TEST("a text is one line: its control bytes are spaces", is_one_line),
        TEST("a prefix goes before the text, and own parts may be arguments", prefixes),
        TEST("errno becomes its name and message", names_errno),
        TEST("R-E2: the classes have the names of the requirement", names_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
