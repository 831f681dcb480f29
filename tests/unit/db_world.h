/* What the tests of db share: a loop with a watchdog, the server of REVEILLE_TEST_DATABASE_URL
 * (a superuser's conninfo), conninfos derived from it, and statements whose answer is waited for.
 * Without that variable a test is skipped and says so. */
#ifndef REVEILLE_DB_WORLD_H
#define REVEILLE_DB_WORLD_H

#include "unit.h"

#include "db.h"
#include "loop.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <sys/socket.h>

#define WORLD_WATCHDOG_MS 30000

struct world {
    struct loop *loop;
    struct loop_timer *watchdog;
    struct db *db;
    int ups, downs;
    struct err reason;
    bool late;
    char name[64]; /* application_name of this test's links */
};

static inline void world_late(void *arg)
{
    struct world *w = arg;
    w->late = true;
    loop_stop(w->loop);
}

static inline void world_on_state(void *arg, bool up, const struct err *err)
{
    struct world *w = arg;
    if (up) {
        w->ups++;
    } else {
        w->downs++;
        w->reason = *err;
    }
    loop_stop(w->loop);
}

/* Runs the loop until cond holds; every callback of the tests stops it so that cond is looked at.
 */
#define WAIT_UNTIL(w, cond)                                 \
    do {                                                    \
        loop_timer_arm((w)->watchdog, WORLD_WATCHDOG_MS);   \
        while (!(cond)) {                                   \
            assert_int_equal(loop_run((w)->loop, NULL), 0); \
            if ((w)->late) {                                \
                fail_msg("waited in vain until %s", #cond); \
            }                                               \
        }                                                   \
        loop_timer_disarm((w)->watchdog);                   \
    } while (0)

static inline const char *world_url(void)
{
    const char *url = getenv("REVEILLE_TEST_DATABASE_URL");
    if (url == NULL) {
        print_message("REVEILLE_TEST_DATABASE_URL is not set: NOT TESTED against PostgreSQL\n");
        skip();
    }
    return url;
}

static inline void world_open(struct world *w)
{
    static int count;
    *w = (struct world){.loop = loop_new(NULL)};
    snprintf(w->name, sizeof(w->name), "reveille-test-%d-%d", (int)getpid(), ++count);
    w->watchdog = loop_timer_new(w->loop, world_late, w, NULL);
    assert_non_null(w->watchdog);
}

static inline void world_connect(struct world *w, const char *conninfo, int links)
{
    struct db_config cfg = {.conninfo = conninfo, .app_name = w->name, .links = links};
    w->db = db_new(w->loop, &cfg, world_on_state, w, NULL);
    assert_non_null(w->db);
}

static inline void world_close(struct world *w)
{
    db_free(w->db);
    loop_timer_free(w->watchdog);
    loop_free(w->loop);
}

/* The URL's conninfo with these pairs of keyword and value (NULL ends) put in; freed by the test.
 */
static inline char *world_conninfo(const char *url, const char *const *pairs)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    size_t len = 0;
    char *text = calloc(1, 8192);
    assert_non_null(options);
    for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
        const char *value = o->val;
        for (size_t i = 0; pairs[i] != NULL; i += 2) {
            value = strcmp(pairs[i], o->keyword) == 0 ? pairs[i + 1] : value;
        }
        if (value != NULL) {
            len += (size_t)snprintf(text + len, 8192 - len, "%s='%s' ", o->keyword, value);
        }
    }
    PQconninfoFree(options);
    return text;
}

/* What the conninfo says, or libpq's default; freed by the test. */
static inline char *world_option(const char *url, const char *keyword)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL), *defaults = PQconndefaults();
    char *value = NULL;
    assert_true(options != NULL && defaults != NULL);
    for (size_t i = 0; options[i].keyword != NULL; i++) {
        if (strcmp(options[i].keyword, keyword) == 0) {
            const char *found = options[i].val ? options[i].val : defaults[i].val;
            value = strdup(found ? found : "");
        }
    }
    PQconninfoFree(options);
    PQconninfoFree(defaults);
    return value;
}

/* A port of 127.0.0.1 that this process holds: bound, and listening or not. Returns its descriptor.
 */
static inline int world_port(bool listening, char ret_port[16])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    if (listening) {
        assert_int_equal(listen(fd, 8), 0);
    }
    snprintf(ret_port, 16, "%d", ntohs(a.sin_port));
    return fd;
}

/* An answer, and what looks at its rows. */
struct world_answer {
    struct world *w;
    int calls;
    enum db_outcome outcome;
    struct err err;
    int rows;
    int64_t number; /* the first column of the first row, when it is an integer and `read` is set */
    bool read;
    void (*look)(const struct db_result *r);
};

static inline void world_on_answer(void *arg, enum db_outcome outcome, const struct db_result *r,
                                   const struct err *err)
{
    struct world_answer *a = arg;
    a->calls++;
    a->outcome = outcome;
    a->err = err != NULL ? *err : ERR_INIT;
    assert_true((outcome == DB_OK) == (r != NULL && err == NULL));
    if (r != NULL) {
        a->rows = db_rows(r);
        if (a->read && a->rows > 0) {
            a->number = db_bigint(r, 0, 0);
        }
        if (a->look != NULL) {
            a->look(r);
        }
    }
    loop_stop(a->w->loop);
}

/* Queues a statement whose answer goes to *a, which must be zero but for read and look. */
static inline void world_call(struct world *w, struct world_answer *a, const char *sql,
                              struct db_args *args, int64_t deadline_ms)
{
    a->w = w;
    assert_int_equal(db_call(w->db, sql, args, deadline_ms, world_on_answer, a, NULL), 0);
    assert_int_equal(a->calls, 0); /* never from within db_call */
}

static inline struct world_answer world_ask(struct world *w, const char *sql, struct db_args *args)
{
    struct world_answer a = {.calls = 0};
    world_call(w, &a, sql, args, DB_STATEMENT_MS);
    WAIT_UNTIL(w, a.calls > 0);
    assert_int_equal(a.calls, 1);
    return a;
}

static inline void world_do(struct world *w, const char *sql)
{
    struct world_answer a = world_ask(w, sql, NULL);
    if (a.outcome != DB_OK) {
        fail_msg("%s: %s", sql, a.err.text);
    }
}

static inline int64_t world_number(struct world *w, const char *sql, struct db_args *args)
{
    struct world_answer a = {.read = true};
    world_call(w, &a, sql, args, DB_STATEMENT_MS);
    WAIT_UNTIL(w, a.calls > 0);
    assert_int_equal(a.outcome, DB_OK);
    assert_int_equal(a.rows, 1);
    return a.number;
}

/* Ends the one backend of `name` whose statement is `like`, as soon as it is there. */
static inline void world_kill(struct world *w, const char *name, const char *like)
{
    for (int64_t n = 0; n == 0;) {
        struct db_args *args = db_args_new();
        db_arg_text(args, name);
        db_arg_text(args, like);
        n = world_number(w,
                         "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                         " WHERE application_name = $1 AND query LIKE $2",
                         args);
    }
}

#endif
