/* Tests schema_gate.c against a real server: a database of its own, in which the schema is missing,
 * comes, and is of each age. */
#include "db_world.h"

#include "schema_gate.h"

struct wait {
    struct world w;     /* its db is the new database */
    struct world owner; /* its db is the one that the URL names: it makes the other and drops it */
    struct schema_gate *gate;
    int told[SCHEMA_WRONG + 1]; /* how often each state */
    struct err err;             /* of the last */
    char database[64];
    bool free_when_told;
};

static void on_told(void *arg, enum schema_state state, const struct err *err)
{
    struct wait *t = arg;
    assert_true((state == SCHEMA_READY) == (err == NULL));
    t->told[state]++;
    t->err = err != NULL ? *err : ERR_INIT;
    if (t->free_when_told)
        schema_gate_free(TAKE(t->gate));
    loop_stop(t->w.loop);
}

static void make_gate(struct wait *t)
{
    t->gate = schema_gate_new(t->w.loop, t->w.db, on_told, t, NULL);
    assert_non_null(t->gate);
    assert_false(schema_gate_is_open(t->gate));
}

/* A gate before an empty database. */
static void wait_open(struct wait *t)
{
    const char *url = world_url();
    char sql[128];
    *t = (struct wait){.free_when_told = false};
    world_open(&t->owner);
    world_connect(&t->owner, url, 1);
    snprintf(t->database, sizeof(t->database), "reveille_gate_%d", (int)getpid());
    snprintf(sql, sizeof(sql), "drop database if exists %s", t->database);
    world_do(&t->owner, sql);
    snprintf(sql, sizeof(sql), "create database %s", t->database);
    world_do(&t->owner, sql);
    const char *pairs[] = {"dbname", t->database, NULL};
    char *conninfo = world_conninfo(url, pairs);
    world_open(&t->w);
    world_connect(&t->w, conninfo, 1);
    free(conninfo);
    make_gate(t);
}

static void wait_close(struct wait *t)
{
    char sql[128];
    db_free(TAKE(t->w.db));
    schema_gate_free(t->gate);
    world_close(&t->w);
    snprintf(sql, sizeof(sql), "drop database %s with (force)", t->database);
    world_do(&t->owner, sql);
    world_close(&t->owner);
}

/* The table of schema_version, with one row a version. */
static void make_schema(struct wait *t, const char *rows)
{
    char sql[256];
    world_do(&t->w, "create schema if not exists reveille");
    world_do(&t->w, "create table if not exists reveille.schema_version"
                    " (version int primary key, oldest_program int not null)");
    world_do(&t->w, "delete from reveille.schema_version");
    if (rows != NULL) {
        snprintf(sql, sizeof(sql), "insert into reveille.schema_version values %s", rows);
        world_do(&t->w, sql);
    }
}

static void waits_for_a_schema(void **state)
{
    (void)state;
    struct wait t;
    wait_open(&t);
    WAIT_UNTIL(&t.w, t.told[SCHEMA_MISSING] > 0);
    assert_err(t.err, ERR_CONFIG);
    assert_true(t.err.retry);
    assert_non_null(strstr(t.err.text, "reveille migrate"));
    make_schema(&t, NULL); /* a table without a row is a migration under way */
    make_schema(&t, "(1, 1)");
    WAIT_UNTIL(&t.w, t.told[SCHEMA_READY] > 0);
    assert_true(schema_gate_is_open(t.gate));
    assert_int_equal(t.told[SCHEMA_MISSING], 1);
    assert_int_equal(t.told[SCHEMA_WRONG], 0);
    wait_close(&t);
}

static void waits_for_the_right_to_read(void **state)
{
    (void)state;
    struct wait t;
    char sql[128];
    wait_open(&t);
    make_schema(&t, "(1, 1)");
    WAIT_UNTIL(&t.w, t.told[SCHEMA_READY] > 0);
    snprintf(sql, sizeof(sql), "create role %s", t.database);
    world_do(&t.w, sql);
    snprintf(sql, sizeof(sql), "set role %s", t.database);
    world_do(&t.w, sql);
    schema_gate_free(TAKE(t.gate)); /* the one that could read; it asks no more */
    memset(t.told, 0, sizeof(t.told));
    make_gate(&t);
    WAIT_UNTIL(&t.w, t.told[SCHEMA_MISSING] > 0);
    world_do(&t.w, "reset role");
    WAIT_UNTIL(&t.w, t.told[SCHEMA_READY] > 0);
    snprintf(sql, sizeof(sql), "drop role %s", t.database);
    world_do(&t.w, sql);
    wait_close(&t);
}

static void refuses(const char *rows, const char *code, const char *mend)
{
    struct wait t;
    wait_open(&t);
    WAIT_UNTIL(&t.w, t.told[SCHEMA_MISSING] > 0);
    make_schema(&t, rows);
    WAIT_UNTIL(&t.w, t.told[SCHEMA_WRONG] > 0);
    assert_err(t.err, ERR_CONFIG);
    assert_string_equal(t.err.code, code);
    assert_non_null(strstr(t.err.text, mend));
    assert_false(schema_gate_is_open(t.gate));
    assert_int_equal(t.told[SCHEMA_READY], 0);
    wait_close(&t);
}

static void refuses_an_older_schema(void **state)
{
    (void)state;
    refuses("(0, 0)", "schema_too_old", "run `reveille migrate`");
}

static void refuses_a_schema_that_refuses_us(void **state)
{
    (void)state;
    refuses("(1, 1), (7, 2)", "program_too_old", "install the Reveille");
}

static void takes_a_newer_schema_that_still_serves_us(void **state)
{
    (void)state;
    struct wait t;
    wait_open(&t);
    make_schema(&t, "(1, 1), (7, 1)");
    WAIT_UNTIL(&t.w, t.told[SCHEMA_READY] > 0);
    wait_close(&t);
}

static void may_be_freed_when_told(void **state)
{
    (void)state;
    struct wait t;
    wait_open(&t);
    t.free_when_told = true;
    WAIT_UNTIL(&t.w, t.told[SCHEMA_MISSING] > 0);
    assert_null(t.gate);
    wait_close(&t);
}

static void says_once_that_nobody_answers(void **state)
{
    (void)state;
    struct wait t = {.free_when_told = false};
    char port[16], conninfo[128];
    int fd = world_port(true, port); /* takes the connection and is silent */
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%s user=x dbname=x", port);
    world_open(&t.w);
    world_connect(&t.w, conninfo, 1);
    make_gate(&t);
    WAIT_UNTIL(&t.w, t.told[SCHEMA_SILENT] > 0);
    assert_true(err_is_set(&t.err));
    loop_timer_arm(t.w.watchdog, SCHEMA_ASK_MS + SCHEMA_ANSWER_MS + 500); /* the next has ended */
    while (!t.w.late)
        assert_int_equal(loop_run(t.w.loop, NULL), 0);
    assert_int_equal(t.told[SCHEMA_SILENT], 1);
    db_free(TAKE(t.w.db));
    schema_gate_free(t.gate);
    world_close(&t.w);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a missing schema is told once, and waited for until it is there", waits_for_a_schema),
        TEST("a schema that may not be read yet is waited for", waits_for_the_right_to_read),
        TEST("an older schema is refused, with the mend", refuses_an_older_schema),
        TEST("a schema that needs newer programs is refused, with the mend",
             refuses_a_schema_that_refuses_us),
        TEST("a newer schema that still serves this version opens the gate",
             takes_a_newer_schema_that_still_serves_us),
        TEST("the told may free it", may_be_freed_when_told),
        TEST("a database that does not answer is told once", says_once_that_nobody_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
