/* Tests db_hosts.c: lists as a conninfo has them; names of the machine's own hosts file. */
#include "db_internal.h"
#include "loop.h"
#include "unit.h"

struct seen {
    struct loop *loop;
    int calls;
    struct err err;
};

static void on_late(void *arg)
{
    loop_stop(arg);
}

static void on_hosts(void *arg, const struct err *err)
{
    struct seen *s = arg;
    s->calls++;
    s->err = *err;
    loop_stop(s->loop);
}

/* Looks up and waits; true when it took the loop to answer. */
static bool look_up(struct db_hosts *h, struct seen *s)
{
    struct loop_timer *watchdog = loop_timer_new(s->loop, on_late, s->loop, NULL);
    s->calls = 0;
    db_hosts_look_up(h, on_hosts, s);
    bool by_loop = s->calls == 0;
    loop_timer_arm(watchdog, 60000);
    assert_int_equal(loop_run(s->loop, NULL), 0);
    loop_timer_free(watchdog);
    assert_int_equal(s->calls, 1);
    return by_loop;
}

static void nothing_to_resolve(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new(NULL)};
    struct db_hosts *h =
        db_hosts_new(s.loop, "/run/x,::1,127.0.0.1,name", ",,,10.0.0.7", "1,2,,4", NULL);
    assert_non_null(h);
    assert_false(look_up(h, &s));
    assert_false(err_is_set(&s.err));
    assert_int_equal(db_hosts_count(h), 4);
    assert_string_equal(db_hosts_at(h, 0)->host, "/run/x");
    assert_null(db_hosts_at(h, 0)->addr);
    assert_string_equal(db_hosts_at(h, 1)->port, "2");
    assert_null(db_hosts_at(h, 2)->port);
    assert_string_equal(db_hosts_at(h, 3)->addr, "10.0.0.7");
    db_hosts_free(h);
    h = db_hosts_new(s.loop, NULL, NULL, NULL, NULL);
    assert_non_null(h);
    assert_false(look_up(h, &s));
    assert_int_equal(db_hosts_count(h), 1);
    assert_null(db_hosts_at(h, 0)->host);
    db_hosts_free(h);
    loop_free(s.loop);
}

static void names_become_addresses(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new(NULL)};
    struct db_hosts *h = db_hosts_new(s.loop, "127.0.0.9,localhost", NULL, "5433", NULL);
    assert_non_null(h);
    for (int round = 0; round < 3; round++) {
        assert_true(look_up(h, &s));
        assert_false(err_is_set(&s.err));
        assert_true(db_hosts_count(h) >= 2);
        assert_null(db_hosts_at(h, 0)->addr);
        for (int i = 1; i < db_hosts_count(h); i++) {
            const struct db_host *f = db_hosts_at(h, i);
            assert_string_equal(f->host, "localhost"); /* for TLS */
            assert_true(strcmp(f->addr, "127.0.0.1") == 0 || strcmp(f->addr, "::1") == 0);
            assert_string_equal(f->port, "5433");
        }
    }
    db_hosts_free(h);
    loop_free(s.loop);
}

static void a_name_without_address_is_not_quoted(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new(NULL)};
    struct db_hosts *h = db_hosts_new(s.loop, "ca..nary", NULL, NULL, NULL);
    assert_non_null(h);
    assert_true(look_up(h, &s));
    assert_err(s.err, ERR_NETWORK);
    assert_true(s.err.retry);
    assert_null(strstr(s.err.text, "nary"));
    db_hosts_free(h);
    loop_free(s.loop);
}

static void may_be_freed_while_resolving(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new(NULL)};
    for (int i = 0; i < 20; i++) {
        struct db_hosts *h = db_hosts_new(s.loop, "localhost", NULL, NULL, NULL);
        assert_non_null(h);
        db_hosts_look_up(h, on_hosts, &s);
        db_hosts_free(h);
    }
    assert_int_equal(s.calls, 0);
    loop_free(s.loop);
}

static void lists_must_match(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {
        {"a,b", "1.1.1.1", NULL},
        {"a,b", NULL, "1,2,3"},
        {NULL, NULL, "1,2"},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", NULL, NULL},
    };
    struct loop *loop = loop_new(NULL);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct err err = ERR_INIT;
        assert_null(db_hosts_new(loop, wrong[i][0], wrong[i][1], wrong[i][2], &err));
        assert_err(err, ERR_CONFIG);
    }
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("addresses and socket paths are taken as they are, at once", nothing_to_resolve),
        TEST("a name becomes its addresses, from the loop, and stays beside them",
             names_become_addresses),
        TEST("a name that cannot be resolved may be tried again and is not quoted",
             a_name_without_address_is_not_quoted),
        TEST("a list may go while its names are being resolved", may_be_freed_while_resolving),
        TEST("lists that do not match are the operator's to change", lists_must_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
