/* A folder of migrations, read in order. */
#include "unit.h"

#include "migration.h"

#include <sys/stat.h>

struct folder {
    char path[UNIT_PATH_SIZE];
};

static int make(void **state)
{
    struct folder *f = malloc(sizeof(*f));
    snprintf(f->path, sizeof(f->path), "/tmp/reveille-unit-XXXXXX");
    *state = f;
    return mkdtemp(f->path) == NULL;
}

static void put(const struct folder *f, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static int drop(void **state)
{
    struct folder *f = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", f->path);
    int rc = system(command);
    free(f);
    return rc;
}

static void reads_the_files_in_the_order_of_their_versions(void **state)
{
    struct folder *f = *state;
    struct migration *list;
    size_t n;
    struct err err = ERR_INIT;
    put(f, "20260102000000_second.sql", "select 2");
    put(f, "20260101000000_first.sql", "select 1");
    put(f, "README.md", "no migration");
    assert_int_equal(migrations_read(f->path, &list, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_string_equal(list[0].version, "20260101000000");
    assert_string_equal(list[0].name, "first");
    assert_string_equal(list[1].text, "select 2");
    migrations_free(list, n);
}

static void refuses_a_file_with_another_form_of_name(void **state)
{
    struct folder *f = *state;
    struct migration *list;
    size_t n;
    struct err err = ERR_INIT;
    put(f, "20260101000000_first.sql", "select 1");
    put(f, "2026_short.sql", "select 2");
    assert_int_equal(migrations_read(f->path, &list, &n, &err), -1);
    assert_err(err, ERR_CONFIG);
    assert_non_null(strstr(err.text, "2026_short.sql"));
}

static void an_empty_folder_is_an_error_that_names_it(void **state)
{
    struct folder *f = *state;
    struct migration *list;
    size_t n;
    struct err err = ERR_INIT;
    assert_int_equal(migrations_read(f->path, &list, &n, &err), -1);
    assert_non_null(strstr(err.text, f->path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_the_files_in_the_order_of_their_versions, make, drop),
        cmocka_unit_test_setup_teardown(refuses_a_file_with_another_form_of_name, make, drop),
        cmocka_unit_test_setup_teardown(an_empty_folder_is_an_error_that_names_it, make, drop),
    };
    return cmocka_run_group_tests_name("cli_migration", tests, NULL, NULL);
}
