/* Tests secret.c: files that appear, change, break; comparing; what an error text shows. */
#include "secret.h"
#include "unit.h"

#include <sys/stat.h>

static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

static void from_text(void **state)
{
    (void)state;
    struct secret s = SECRET_INIT;
    struct err err = ERR_INIT;
    assert_false(secret_matches(&s, "", 0));
    assert_int_equal(secret_from_text(&s, "", &err), -1);
    assert_err(err, ERR_CONFIG);
    assert_int_equal(secret_from_text(&s, "first", &err), 0);
    assert_int_equal(secret_from_text(&s, hex, &err), 0); /* in place of the first */
    assert_string_equal(s.text, hex);
    assert_true(secret_is_hex(&s));
    bool changed = true;
    assert_int_equal(secret_refresh(&s, &changed, &err), 0);
    assert_false(changed);
    secret_release(&s);
    assert_null(s.text);
    secret_release(&s);
}

static void compares(void **state)
{
    (void)state;
    struct secret s = SECRET_INIT;
    assert_int_equal(secret_from_text(&s, hex, NULL), 0);
    assert_true(secret_matches(&s, hex, strlen(hex)));
    assert_false(secret_matches(&s, hex, strlen(hex) - 1));
    assert_false(secret_matches(&s, hex, strlen(hex) + 1)); /* with its zero byte */
    assert_false(secret_matches(&s, "", 0));
    for (size_t i = 0; i < strlen(hex); i++) {
        char other[sizeof hex];
        memcpy(other, hex, sizeof hex);
        other[i] ^= 1;
        assert_false(secret_matches(&s, other, strlen(hex)));
    }
    secret_release(&s);
}

static void knows_hex(void **state)
{
    (void)state;
    struct secret s = SECRET_INIT;
    assert_false(secret_is_hex(&s));
    char text[SECRET_HEX + 2];
    snprintf(text, sizeof text, "%s0", hex);
    for (size_t len = 1; len <= SECRET_HEX + 1; len++) {
        char cut[SECRET_HEX + 2];
        snprintf(cut, len + 1, "%s", text);
        assert_int_equal(secret_from_text(&s, cut, NULL), 0);
        assert_int_equal(secret_is_hex(&s), len == SECRET_HEX);
    }
    text[SECRET_HEX] = '\0';
    text[10] = 'g';
    assert_int_equal(secret_from_text(&s, text, NULL), 0);
    assert_false(secret_is_hex(&s));
    secret_release(&s);
}

static void reads_file(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE];
    struct secret s = SECRET_INIT;
    unit_file(path, "value\n", 6);
    assert_int_equal(secret_from_file(&s, path, NULL), 0);
    assert_string_equal(s.text, "value");
    assert_string_equal(s.path, path);
    unlink(path);
    unit_file(path, "two\n\n", 5);
    assert_int_equal(secret_from_file(&s, path, NULL), 0);
    assert_string_equal(s.text, "two\n");
    unlink(path);
    secret_release(&s);
}

static void refused(const char *bytes, size_t len)
{
    char path[UNIT_PATH_SIZE];
    struct secret s = SECRET_INIT;
    struct err err = ERR_INIT;
    unit_file(path, bytes, len);
    assert_int_equal(secret_from_file(&s, path, &err), -1);
    assert_err(err, ERR_CONFIG);
    assert_non_null(strstr(err.text, path));
    assert_null(strstr(err.text, "canary"));
    assert_null(s.text);
    unlink(path);
}

static void refuses_files(void **state)
{
    (void)state;
    char big[SECRET_MAX + 1];
    memset(big, 'x', sizeof big);
    memcpy(big, "canary", 6);
    refused("", 0);
    refused("\n", 1);
    refused("canary\0canary", 13);
    refused(big, sizeof big);
    struct secret s = SECRET_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(secret_from_file(&s, "/nonexistent/file", &err), -1);
    assert_err(err, ERR_CONFIG);
    assert_string_equal(err.code, "ENOENT");
    assert_int_equal(secret_from_file(&s, "/tmp", &err), -1);
    assert_non_null(strstr(err.text, "regular"));
}

/* As an operator or an orchestrator does it: a new file takes the old one's name. */
static void put_in_place(const char *path, const char *text)
{
    char fresh[UNIT_PATH_SIZE];
    unit_file(fresh, text, strlen(text));
    assert_int_equal(rename(fresh, path), 0);
}

static void refreshes(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE];
    struct secret s = SECRET_INIT;
    struct err err = ERR_INIT;
    bool changed = true;
    unit_file(path, "one\n", 4);
    assert_int_equal(secret_from_file(&s, path, &err), 0);
    assert_int_equal(secret_refresh(&s, &changed, &err), 0);
    assert_false(changed);
    put_in_place(path, "one"); /* another file, the same value */
    assert_int_equal(secret_refresh(&s, &changed, &err), 0);
    assert_false(changed);
    put_in_place(path, "two\n");
    assert_int_equal(secret_refresh(&s, &changed, &err), 0);
    assert_true(changed);
    assert_true(secret_matches(&s, "two", 3));
    assert_false(secret_matches(&s, "one", 3));
    put_in_place(path, ""); /* broken: the old one holds */
    assert_int_equal(secret_refresh(&s, &changed, &err), -1);
    assert_string_equal(s.text, "two");
    unlink(path);
    assert_int_equal(secret_refresh(&s, &changed, &err), -1);
    assert_string_equal(err.code, "ENOENT");
    assert_string_equal(s.text, "two");
    secret_release(&s);
}

static void sees_a_rewrite(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE];
    struct secret s = SECRET_INIT;
    bool changed = false;
    unit_file(path, "one", 3);
    assert_int_equal(secret_from_file(&s, path, NULL), 0);
    FILE *f = fopen(path, "w"); /* the same inode */
    assert_non_null(f);
    fputs("two", f);
    fclose(f);
    const struct timespec later[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = s.mtime.tv_sec + 1, .tv_nsec = s.mtime.tv_nsec}};
    assert_int_equal(utimensat(0, path, later, 0), 0);
    assert_int_equal(secret_refresh(&s, &changed, NULL), 0);
    assert_true(changed);
    assert_string_equal(s.text, "two");
    unlink(path);
    secret_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a secret from the environment is copied and never changes by itself", from_text),
        TEST("R-T9: only the very same bytes match", compares),
        TEST("R-T9: 256 bits are 64 hexadecimal digits, no fewer, no more", knows_hex),
        TEST("one trailing newline of a file is dropped", reads_file),
        TEST("R-T5: a file that is no secret is refused without showing its content",
             refuses_files),
        TEST("R-T10: a new file is taken, a broken one keeps the old value", refreshes),
        TEST("R-T10: a file written again in place is read again", sees_a_rewrite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
