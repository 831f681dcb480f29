/* Tests uuid.c. */
#include "unit.h"
#include "uuid.h"

static const char text[] = "6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5";

static void reads_and_writes(void **state)
{
    (void)state;
    struct uuid id;
    char out[UUID_TEXT_SIZE];
    assert_true(uuid_parse(text, &id));
    assert_int_equal(id.b[0], 0x6f);
    assert_int_equal(id.b[15], 0xe5);
    uuid_format(&id, out);
    assert_string_equal(out, text);
    struct uuid upper;
    assert_true(uuid_parse("6F1C2D3E-4A5B-4C6D-8E7F-90A1B2C3D4E5", &upper));
    assert_true(uuid_equal(&id, &upper));
}

static void refuses_all_else(void **state)
{
    (void)state;
    struct uuid id;
    memset(&id, 7, sizeof id);
    struct uuid untouched = id;
    char bad[sizeof text + 1];
    for (size_t len = 0; len < sizeof text - 1; len++) { /* cut short anywhere */
        memcpy(bad, text, len);
        bad[len] = '\0';
        assert_false(uuid_parse(bad, &id));
    }
    for (size_t i = 0; i < sizeof text - 1; i++) { /* one character wrong anywhere */
        memcpy(bad, text, sizeof text);
        bad[i] = bad[i] == '-' ? '0' : i % 2 ? 'g' : '-';
        assert_false(uuid_parse(bad, &id));
    }
    snprintf(bad, sizeof bad, "%s ", text);
    assert_false(uuid_parse(bad, &id));
    assert_memory_equal(&id, &untouched, sizeof id);
}

static void makes_version_4(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct uuid ids[MANY];
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(uuid_random(&ids[i], NULL), 0);
        assert_int_equal(ids[i].b[6] >> 4, 4);
        assert_int_equal(ids[i].b[8] >> 6, 2);
        for (size_t k = 0; k < i; k++)
            assert_false(uuid_equal(&ids[i], &ids[k]));
    }
}

static void orders_by_bytes(void **state)
{
    (void)state;
    struct uuid low = {{0}}, high = {{0}};
    low.b[1] = 0x7f;
    high.b[1] = 0x80; /* unsigned, as PostgreSQL compares */
    assert_true(uuid_compare(&low, &high) < 0);
    assert_true(uuid_compare(&high, &low) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("the 36-character form is read in any case and written in lower case",
             reads_and_writes),
        TEST("anything else is refused and leaves the output alone", refuses_all_else),
        TEST("R-S5: random ids are of version 4 and differ", makes_version_4),
        TEST("ids are ordered by their bytes", orders_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
