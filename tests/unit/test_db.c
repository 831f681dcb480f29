/* Tests db.c and db_conn.c against a real server: outcomes, deadlines, lost links, refused logins.
 * What it makes on the server is temporary or gone at its end. */
#include "db_world.h"

#include "clock.h"

static void open_world(struct world *w, int links)
{
    const char *url = world_url();
    world_open(w);
    world_connect(w, url, links);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void many_statements_over_two_links(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct world w;
    open_world(&w, 2);
    struct world_answer *answers = calloc(MANY, sizeof(*answers));
    for (int i = 0; i < MANY; i++) {
        struct db_args *args = db_args_new();
        db_arg_int(args, i);
        answers[i].read = true;
        world_call(&w, &answers[i], "SELECT $1 * 2", args, DB_STATEMENT_MS);
    }
    assert_int_equal(db_backlog(w.db), MANY);
    WAIT_UNTIL(&w, db_backlog(w.db) == 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(answers[i].calls, 1);
        assert_int_equal(answers[i].outcome, DB_OK);
        assert_int_equal(answers[i].number, i * 2);
    }
    assert_int_equal(w.ups, 1);
    free(answers);
    world_close(&w);
}

static void a_refusal_tells_its_sqlstate_and_no_data(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1);
    world_do(&w, "CREATE TEMP TABLE once (v text PRIMARY KEY)");
    world_do(&w, "INSERT INTO once VALUES ('canary')");
    struct world_answer a = world_ask(&w, "INSERT INTO once VALUES ('canary')", NULL);
    assert_int_equal(a.outcome, DB_REFUSED);
    assert_err(a.err, ERR_DATABASE);
    assert_string_equal(a.err.code, "23505");
    assert_false(a.err.retry);
    assert_non_null(strstr(a.err.text, "duplicate key"));
    assert_null(strstr(a.err.text, "canary"));
    assert_int_equal(world_number(&w, "SELECT count(*) FROM once", NULL), 1);
    assert_int_equal(w.downs, 0);
    world_close(&w);
}

static void a_refused_commit_is_a_refusal(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1);
    world_do(&w, "CREATE TEMP TABLE late (v int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    struct world_answer a = world_ask(&w, "INSERT INTO late VALUES (1), (1) RETURNING v", NULL);
    assert_int_equal(a.outcome, DB_REFUSED);
    assert_string_equal(a.err.code, "23505");
    assert_int_equal(world_number(&w, "SELECT count(*) FROM late", NULL), 0);
    world_close(&w);
}

static void what_may_help_to_repeat_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *code;
        bool retry;
    } refusals[] = {
        {"DO $$BEGIN RAISE 'x' USING errcode = '40001'; END$$", "40001", true},
        {"DO $$BEGIN RAISE 'x' USING errcode = '40P01'; END$$", "40P01", true},
        {"DO $$BEGIN RAISE 'x' USING errcode = '55P03'; END$$", "55P03", true},
        {"DO $$BEGIN RAISE 'x' USING errcode = '53200'; END$$", "53200", true},
        {"DO $$BEGIN RAISE 'x' USING errcode = '57014'; END$$", "57014", true},
        {"DO $$BEGIN RAISE 'x' USING errcode = '22012'; END$$", "22012", false},
        {"SELECT nothing_like_it()", "42883", false},
    };
    struct world w;
    open_world(&w, 1);
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct world_answer a = world_ask(&w, refusals[i].sql, NULL);
        assert_int_equal(a.outcome, DB_REFUSED);
        assert_string_equal(a.err.code, refusals[i].code);
        assert_int_equal(a.err.retry, refusals[i].retry);
    }
    assert_int_equal(w.downs, 0);
    world_close(&w);
}

static void a_server_that_became_read_only_is_left(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1);
    int64_t pid = world_number(&w, "SELECT pg_backend_pid()", NULL);
    struct world_answer a =
        world_ask(&w, "DO $$BEGIN RAISE 'x' USING errcode = '25006'; END$$", NULL);
    assert_int_equal(a.outcome, DB_REFUSED);
    assert_true(a.err.retry);
    assert_true(world_number(&w, "SELECT pg_backend_pid()", NULL) != pid);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.ups, 2);
    world_close(&w);
}

static void free_when_refused(void *arg, enum db_outcome outcome, const struct db_result *r,
                              const struct err *err)
{
    struct world *w = arg;
    (void)r;
    (void)err;
    assert_int_equal(outcome, DB_REFUSED);
    db_free(TAKE(w->db));
    loop_stop(w->loop);
}

static void who_is_refused_may_free_while_the_link_goes(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1);
    assert_int_equal(db_call(w.db, "DO $$BEGIN RAISE 'x' USING errcode = '25006'; END$$", NULL,
                             DB_STATEMENT_MS, free_when_refused, &w, NULL),
                     0);
    WAIT_UNTIL(&w, w.db == NULL);
    assert_int_equal(w.downs, 0);
    world_close(&w);
}

static void large_statements_and_answers_pass(void **state)
{
    (void)state;
    enum { LARGE = 6 * 1024 * 1024 };
    struct world w;
    open_world(&w, 1);
    char *text = calloc(1, LARGE + 1);
    memset(text, 'x', LARGE);
    struct db_args *args = db_args_new();
    db_arg_text(args, text);
    free(text);
    assert_int_equal(world_number(&w, "SELECT length($1), $1", args), LARGE);
    struct world_answer a = world_ask(&w, "SELECT repeat('x', 17 * 1024 * 1024)", NULL);
    assert_int_equal(a.outcome, DB_UNKNOWN);
    assert_err(a.err, ERR_LIMIT);
    world_close(&w);
}

static void copy_ends_the_link_instead_of_hanging(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1);
    struct world_answer a = world_ask(&w, "COPY (SELECT 1) TO STDOUT", NULL);
    assert_int_equal(a.outcome, DB_UNKNOWN);
    assert_int_equal(world_number(&w, "SELECT 7", NULL), 7);
    world_close(&w);
}

/* ---- lost links and deadlines -------------------------------------------------------------- */

static void a_backend_killed_in_flight(void **state)
{
    (void)state;
    struct world w, other;
    open_world(&w, 1);
    open_world(&other, 1);
    struct world_answer a = {.calls = 0}, next = {.read = true};
    world_call(&w, &a, "SELECT pg_sleep(60)", NULL, 60000);
    world_call(&w, &next, "SELECT 5", NULL, DB_STATEMENT_MS);
    WAIT_UNTIL(&w, w.ups == 1);
    /* Each world has its own loop, so w's must have sent before the other is asked to kill. */
    struct loop_timer *sent = loop_timer_new(w.loop, world_late, &w, NULL);
    loop_timer_arm(sent, 0);
    assert_int_equal(loop_run(w.loop, NULL), 0);
    loop_timer_free(sent);
    w.late = false;
    world_kill(&other, w.name, "%pg_sleep%");
    WAIT_UNTIL(&w, next.calls > 0);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.outcome, DB_UNKNOWN);
    assert_string_equal(a.err.code, "57P01");
    assert_true(a.err.retry);
    assert_int_equal(next.outcome, DB_OK);
    assert_int_equal(next.number, 5);
    assert_int_equal(w.ups, 2);
    assert_int_equal(w.downs, 1);
    world_close(&w);
    world_close(&other);
}

static void an_idle_link_that_ends_is_noticed(void **state)
{
    (void)state;
    struct world w, other;
    open_world(&w, 1);
    open_world(&other, 1);
    assert_int_equal(world_number(&w, "SELECT 1", NULL), 1);
    world_kill(&other, w.name, "%");
    WAIT_UNTIL(&w, w.downs == 1);
    assert_false(db_is_up(w.db));
    assert_err(w.reason, ERR_NETWORK);
    WAIT_UNTIL(&w, w.ups == 2);
    assert_true(db_is_up(w.db));
    world_close(&w);
    world_close(&other);
}

static void a_statement_past_its_deadline(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1);
    WAIT_UNTIL(&w, w.ups == 1);
    struct world_answer slow = {.calls = 0}, waiting = {.calls = 0};
    int64_t began_ms = clock_mono_ms();
    world_call(&w, &slow, "SELECT pg_sleep(60)", NULL, 400);
    world_call(&w, &waiting, "SELECT 1", NULL, 200);
    WAIT_UNTIL(&w, waiting.calls > 0);
    assert_true(clock_mono_ms() - began_ms >= 200);
    assert_int_equal(waiting.outcome, DB_UNSENT);
    assert_err(waiting.err, ERR_TIMEOUT);
    assert_int_equal(slow.calls, 0);
    WAIT_UNTIL(&w, slow.calls > 0);
    assert_true(clock_mono_ms() - began_ms >= 400);
    assert_int_equal(slow.outcome, DB_UNKNOWN);
    assert_err(slow.err, ERR_TIMEOUT);
    assert_int_equal(world_number(&w, "SELECT 3", NULL), 3);
    world_close(&w);
}

static void nobody_answers_the_door(void **state)
{
    (void)state;
    struct world w;
    char port[16], conninfo[128];
    int fd = world_port(false, port);
    snprintf(conninfo, sizeof(conninfo), "host=localhost port=%s user=x dbname=x", port);
    world_open(&w);
    world_connect(&w, conninfo, 2);
    struct world_answer a = {.calls = 0};
    int64_t began_ms = clock_mono_ms();
    world_call(&w, &a, "SELECT 1", NULL, 1000);
    WAIT_UNTIL(&w, a.calls > 0);
    assert_true(clock_mono_ms() - began_ms >= 1000);
    assert_int_equal(a.outcome, DB_UNSENT);
    assert_err(a.err, ERR_NETWORK);
    assert_true(a.err.retry);
    assert_int_equal(w.downs, 1); /* said once, although it was tried again and again */
    assert_int_equal(w.ups, 0);
    (void)close(fd);
    world_close(&w);
}

static void a_door_that_opens_and_nobody_speaks(void **state)
{
    (void)state;
    struct world w;
    char port[16];
    int fd = world_port(true, port);
    const char *url = world_url();
    char *host = world_option(url, "host"), *real_port = world_option(url, "port");
    char hosts[512], ports[64];
    snprintf(hosts, sizeof(hosts), "127.0.0.1,%s", host);
    snprintf(ports, sizeof(ports), "%s,%s", port, real_port);
    char *conninfo = world_conninfo(url, (const char *const[]){"host", hosts, "port", ports, NULL});
    world_open(&w);
    int64_t began_ms = clock_mono_ms();
    world_connect(&w, conninfo, 1);
    WAIT_UNTIL(&w, w.ups == 1);
    assert_true(clock_mono_ms() - began_ms >= DB_CONNECT_MS);
    assert_int_equal(w.downs, 0); /* the second host of the round answered */
    free(conninfo);
    free(host);
    free(real_port);
    (void)close(fd);
    world_close(&w);
}

/* ---- logins -------------------------------------------------------------------------------- */

static void a_refused_login_tells_no_password(void **state)
{
    (void)state;
    struct world w;
    char *conninfo = world_conninfo(
        world_url(), (const char *const[]){"user", "nobody_knows", "password", "canary-7d1", NULL});
    world_open(&w);
    world_connect(&w, conninfo, 1);
    WAIT_UNTIL(&w, w.downs == 1);
    assert_err(w.reason, ERR_NETWORK);
    assert_non_null(strstr(w.reason.text, "cannot connect to the database"));
    assert_null(strstr(w.reason.text, "canary"));
    free(conninfo);
    world_close(&w);
}

static void nonsense_is_not_quoted(void **state)
{
    (void)state;
    static const char *const nonsense[] = {
        "host=x canary",
        "postgresql://u:canary@[::1/db",
        "postgresql://u@h/db?canary=1",
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
        struct db_config cfg = {.conninfo = nonsense[i], .app_name = "x", .links = 1};
        struct err err = ERR_INIT;
        assert_null(db_new(w.loop, &cfg, NULL, NULL, &err));
        assert_err(err, ERR_CONFIG);
        assert_null(strstr(err.text, "canary"));
    }
    world_close(&w);
}

static void the_link_is_the_one_we_want(void **state)
{
    (void)state;
    struct world w;
    char *conninfo =
        world_conninfo(world_url(), (const char *const[]){"client_encoding", "LATIN1", NULL});
    world_open(&w);
    world_connect(&w, conninfo, 1);
    free(conninfo); /* copied */
    struct db_args *args = db_args_new();
    db_arg_text(args, w.name);
    assert_int_equal(world_number(&w,
                                  "SELECT (current_setting('application_name') = $1"
                                  " AND current_setting('client_encoding') = 'UTF8')::int",
                                  args),
                     1);
    world_close(&w);
}

/* ---- bounds and lives ---------------------------------------------------------------------- */

static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct world w;
    char port[16], conninfo[128];
    int fd = world_port(false, port);
    struct err err = ERR_INIT;
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%s user=x dbname=x", port);
    world_open(&w);
    world_connect(&w, conninfo, 1);
    struct world_answer a = {.w = &w};
    for (int i = 0; i < DB_QUEUE_MAX; i++) {
        world_call(&w, &a, "SELECT 1", db_args_new(), DB_STATEMENT_MS);
    }
    assert_int_equal(db_call(w.db, "SELECT 1", NULL, DB_STATEMENT_MS, world_on_answer, &a, &err),
                     -1);
    assert_err(err, ERR_LIMIT);
    world_close(&w); /* forgets them all */
    assert_int_equal(a.calls, 0);
    (void)close(fd);
}

struct chain {
    struct world *w;
    int left;
    bool inside; /* whether db_call is on the stack */
    bool free_at_end, done;
};

static void next_in_chain(void *arg, enum db_outcome outcome, const struct db_result *r,
                          const struct err *err)
{
    struct chain *c = arg;
    (void)err;
    assert_false(c->inside);
    assert_int_equal(outcome, DB_OK);
    assert_int_equal(db_int(r, 0, 0), 1);
    if (--c->left > 0) {
        c->inside = true;
        assert_int_equal(
            db_call(c->w->db, "SELECT 1", NULL, DB_STATEMENT_MS, next_in_chain, c, NULL), 0);
        c->inside = false;
        return;
    }
    if (c->free_at_end) {
        db_free(TAKE(c->w->db));
    }
    c->done = true;
    loop_stop(c->w->loop);
}

static void callbacks_may_call_and_free(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 2);
    struct chain c = {.w = &w, .left = 100, .free_at_end = true};
    struct world_answer never = {.calls = 0};
    assert_int_equal(db_call(w.db, "SELECT 1", NULL, DB_STATEMENT_MS, next_in_chain, &c, NULL), 0);
    world_call(&w, &never, "SELECT pg_sleep(60)", NULL, 60000);
    WAIT_UNTIL(&w, c.done);
    assert_null(w.db);
    assert_int_equal(never.calls, 0);
    world_close(&w);
}

static void free_on_state(void *arg, bool up, const struct err *err)
{
    struct world *w = arg;
    world_on_state(w, up, err);
    db_free(TAKE(w->db));
}

static void the_state_callback_may_free(void **state)
{
    (void)state;
    struct world w;
    const char *url = world_url();
    char port[16], dead[128];
    int fd = world_port(false, port);
    snprintf(dead, sizeof(dead), "host=127.0.0.1 port=%s user=x dbname=x", port);
    world_open(&w);
    struct db_config cfg = {.conninfo = url, .app_name = w.name, .links = 2};
    w.db = db_new(w.loop, &cfg, free_on_state, &w, NULL);
    WAIT_UNTIL(&w, w.ups == 1);
    assert_null(w.db);
    cfg.conninfo = dead;
    w.db = db_new(w.loop, &cfg, free_on_state, &w, NULL);
    WAIT_UNTIL(&w, w.downs == 1);
    assert_null(w.db);
    (void)close(fd);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("1,000 statements over 2 links are each answered once",
             many_statements_over_two_links),
        TEST("a refusal tells its SQLSTATE and primary message, and no data",
             a_refusal_tells_its_sqlstate_and_no_data),
        TEST("a commit that is refused behind its rows is a refusal, not a success",
             a_refused_commit_is_a_refusal),
        TEST("a refusal says whether repeating may help", what_may_help_to_repeat_is_told),
        TEST("a server that became read-only is left for another link",
             a_server_that_became_read_only_is_left),
        TEST("whoever is refused may free the db while its link goes",
             who_is_refused_may_free_while_the_link_goes),
        TEST("6 MiB go out and come back; an answer over the cap is refused as such",
             large_statements_and_answers_pass),
        TEST("a COPY ends the link instead of hanging", copy_ends_the_link_instead_of_hanging),
        TEST("R-D4: a backend killed in flight leaves the outcome unknown, and the next succeeds",
             a_backend_killed_in_flight),
        TEST("an idle link that ends is noticed and comes back", an_idle_link_that_ends_is_noticed),
        TEST("past its deadline a queued statement is unsent, one in flight unknown",
             a_statement_past_its_deadline),
        TEST("without a server a statement is unsent at its deadline, and that is said once",
             nobody_answers_the_door),
        TEST("a host that accepts and is silent costs DB_CONNECT_MS, then the next host is tried",
             a_door_that_opens_and_nobody_speaks),
        TEST("a refused login is told without the password", a_refused_login_tells_no_password),
        TEST("a conninfo that cannot be read is not quoted", nonsense_is_not_quoted),
        TEST("a link carries its application's name and speaks UTF-8", the_link_is_the_one_we_want),
        TEST("the queue is bounded, and db_free forgets it", the_queue_is_bounded),
        TEST("a callback may call again and may free the db", callbacks_may_call_and_free),
        TEST("the state callback may free the db", the_state_callback_may_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
