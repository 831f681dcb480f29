/* What the tests of the stores share: a database of their own on the server that
 * REVEILLE_TEST_DATABASE_URL names, with the host application's tables, every migration and the
 * helpers of tests/sql/support.sql; made before a program's first test, dropped behind its last. A
 * superuser's link that waits arranges rows and looks at them; the links under test have the role
 * that they have in the programs. Not for what needs no schema: that is db_world.h. */
#ifndef REVEILLE_SCHEMA_WORLD_H
#define REVEILLE_SCHEMA_WORLD_H

#include "db_world.h"

#include "limits.h"
#include "migration.h"

struct schema {
    PGconn *server; /* to the database that the URL names */
    PGconn *pg;     /* to the new one */
    char name[64];
};

/* Waits for it; any number of statements. */
static inline void schema_exec(PGconn *pg, const char *sql)
{
    PGresult *r = PQexec(pg, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
        fail_msg("%.200s: %s", sql, PQerrorMessage(pg));
    }
    PQclear(r);
}

/* The first cell of the answer, "" for a null; freed by the caller. */
static inline char *schema_text(PGconn *pg, const char *sql)
{
    PGresult *r = PQexec(pg, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) < 1) {
        fail_msg("%.200s: %s", sql, PQerrorMessage(pg));
    }
    char *text = strdup(PQgetvalue(r, 0, 0));
    PQclear(r);
    return text;
}

static inline void schema_expect(const struct schema *s, const char *sql, const char *expected)
{
    char *text = schema_text(s->pg, sql);
    assert_string_equal(text, expected);
    free(text);
}

static inline void schema_ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

static inline PGconn *schema_connect(const char *name)
{
    const char *const keys[] = {"dbname", "application_name", NULL, NULL};
    const char *const values[] = {getenv("REVEILLE_TEST_DATABASE_URL"), "reveille-test", NULL,
                                  NULL};
    char *conninfo = NULL;
    PGconn *pg;
    if (name == NULL) {
        pg = PQconnectdbParams(keys, values, 1);
    } else {
        const char *pairs[] = {"dbname", name, NULL};
        conninfo = world_conninfo(values[0], pairs);
        pg = PQconnectdb(conninfo);
    }
    free(conninfo);
    if (PQstatus(pg) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(pg));
    }
    PQsetNoticeReceiver(pg, schema_ignore_notice, NULL);
    return pg;
}

/* A file of the source tree. */
static inline void schema_load(PGconn *pg, const char *path)
{
    enum { LARGEST = 1 << 20 };
    char name[512], *text = calloc(1, LARGEST);
    snprintf(name, sizeof(name), "%s/%s", REVEILLE_SOURCE_DIR, path);
    FILE *in = fopen(name, "r");
    assert_non_null(in);
    assert_true(fread(text, 1, LARGEST - 1, in) > 0);
    fclose(in);
    schema_exec(pg, text);
    free(text);
}

static inline void schema_migrate(PGconn *pg)
{
    struct migration *list;
    size_t n;
    struct err err = ERR_INIT;
    if (migrations_read(REVEILLE_SOURCE_DIR "/migrations", &list, &n, &err)) {
        fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < n; i++) {
        schema_exec(pg, list[i].text);
    }
    migrations_free(list, n);
}

/* Of a group of tests. Without a server there is no schema, and schema_of skips each test. */
static inline int schema_setup(void **state)
{
    char sql[128];
    if (getenv("REVEILLE_TEST_DATABASE_URL") == NULL) {
        *state = NULL;
        return 0;
    }
    struct schema *s = calloc(1, sizeof(*s));
    s->server = schema_connect(NULL);
    snprintf(s->name, sizeof(s->name), "reveille_unit_%d", (int)getpid());
    snprintf(sql, sizeof(sql), "create database %s", s->name);
    schema_exec(s->server, sql);
    s->pg = schema_connect(s->name);
    /* roles are the whole server's: two that make them at once would collide */
    schema_exec(s->server, "select pg_advisory_lock(20261121)");
    schema_load(s->pg, "deploy/local/host_tables.sql");
    schema_migrate(s->pg);
    schema_load(s->pg, "tests/sql/support.sql");
    schema_exec(s->server, "select pg_advisory_unlock(20261121)");
    *state = s;
    return 0;
}

static inline int schema_teardown(void **state)
{
    struct schema *s = *state;
    char sql[128];
    if (s == NULL) {
        return 0;
    }
    PQfinish(s->pg);
    snprintf(sql, sizeof(sql), "drop database %s with (force)", s->name);
    schema_exec(s->server, sql);
    PQfinish(s->server);
    free(s);
    return 0;
}

static inline struct schema *schema_of(void **state)
{
    (void)world_url(); /* skips */
    return *state;
}

/* A loop with links to it, in a role of the programs. */
static inline void schema_open(const struct schema *s, struct world *w, const char *role, int links)
{
    char options[80];
    snprintf(options, sizeof(options), "-crole=%s", role);
    const char *pairs[] = {"dbname", s->name, "options", options, NULL};
    char *conninfo = world_conninfo(world_url(), pairs);
    world_open(w);
    world_connect(w, conninfo, links);
    free(conninfo);
    WAIT_UNTIL(w, db_is_up(w->db));
}

/* The conninfo of a port where nobody answers. */
static inline void schema_nowhere(char ret_conninfo[96], int *ret_fd)
{
    char port[16];
    *ret_fd = world_port(false, port);
    snprintf(ret_conninfo, 96, "host=127.0.0.1 port=%s dbname=none user=none", port);
}

/* Leaves no room for one statement more, until their deadlines have passed; nobody waits for them.
 */
#define WORLD_NEVER_MS 600000
static inline void world_forget(void *arg, enum db_outcome outcome, const struct db_result *r,
                                const struct err *err)
{
    (void)arg;
    (void)outcome;
    (void)r;
    (void)err;
}

static inline void world_fill(struct db *db, int64_t deadline_ms)
{
    while (db_call(db, "SELECT 1", NULL, deadline_ms, world_forget, NULL, NULL) == 0) {
    }
    assert_true(db_backlog(db) >= DB_QUEUE_MAX);
}

static inline void world_stop(void *arg)
{
    loop_stop(((struct world *)arg)->loop);
}

/* Lets the loop do what is due, for a condition that no callback of the test tells of. */
static inline void world_turn(struct world *w)
{
    struct loop_timer *t = loop_timer_new(w->loop, world_stop, w, NULL);
    assert_non_null(t);
    loop_timer_arm(t, 2);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    loop_timer_free(t);
}

/* A row is locked by the superuser until schema_unlock, so that who wants it waits. */
static inline void schema_lock(const struct schema *s, const char *sql)
{
    schema_exec(s->pg, "begin");
    schema_exec(s->pg, sql);
}

static inline void schema_unlock(const struct schema *s)
{
    schema_exec(s->pg, "rollback");
}

/* Ends the one backend of that world of which the condition on pg_stat_activity holds, as soon as
 * there is one. */
static inline void schema_kill(const struct schema *s, struct world *w, const char *condition)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "select count(pg_terminate_backend(pid)) from pg_stat_activity"
             " where application_name = '%s' and %s",
             w->name, condition);
    for (bool killed = false; !killed;) {
        world_turn(w);
        char *n = schema_text(s->server, sql);
        killed = strcmp(n, "0") != 0;
        free(n);
    }
}

static inline void schema_kill_waiting(const struct schema *s, struct world *w)
{
    schema_kill(s, w, "wait_event_type = 'Lock'");
}

/* Gives a function of the schema another body (SQL, in its own language) until schema_restore: for
 * answers that only a wrong one gives. name: without the schema. Returns owned, for the restore. */
static inline char *schema_replace(const struct schema *s, const char *name, const char *body)
{
    char sql[1024];
    snprintf(sql, sizeof(sql),
             "select pg_get_functiondef(p.oid) from pg_proc p"
             " where p.pronamespace = 'reveille'::regnamespace and p.proname = '%s'",
             name);
    char *kept = schema_text(s->pg, sql);
    char *begin = strstr(kept, "$function$");
    assert_non_null(begin);
    size_t size = strlen(kept) + strlen(body) + 32;
    char *wrong = calloc(1, size);
    snprintf(wrong, size, "%.*s$function$%s$function$", (int)(begin - kept), kept, body);
    schema_exec(s->pg, wrong);
    free(wrong);
    return kept;
}

static inline void schema_restore(const struct schema *s, char *kept)
{
    schema_exec(s->pg, kept);
    free(kept);
}

#endif
