/* Tests db_listen.c against a real server: proof, notifications, loss. */
#include "db_world.h"

struct ears {
    struct world w; /* its db is another session: who notifies and kills */
    struct db_listen *listen;
    int notified, changed;
    bool free_when_notified;
};

static void on_notify(void *arg)
{
    struct ears *e = arg;
    e->notified++;
    if (e->free_when_notified) {
        db_listen_free(TAKE(e->listen));
    }
    loop_stop(e->w.loop);
}

static void on_change(void *arg)
{
    struct ears *e = arg;
    e->changed++;
    loop_stop(e->w.loop);
}

/* Opens both sessions, and waits for the proof. */
static void listen_to(struct ears *e, const char *channel)
{
    const char *url = world_url();
    struct db_config cfg = {.conninfo = url, .app_name = "reveille-test-listen", .links = 1};
    *e = (struct ears){.notified = 0};
    world_open(&e->w);
    world_connect(&e->w, url, 1);
    e->listen = db_listen_new(e->w.loop, &cfg, channel, on_notify, on_change, e, NULL);
    assert_non_null(e->listen);
    assert_false(db_listen_proven(e->listen));
    WAIT_UNTIL(&e->w, db_listen_proven(e->listen));
    assert_int_equal(e->changed, 1);
    assert_int_equal(e->notified, 0);
}

static void ears_close(struct ears *e)
{
    db_listen_free(e->listen);
    world_close(&e->w);
}

static void proves_itself_and_hears(void **state)
{
    (void)state;
    struct ears e;
    listen_to(&e, "reveille \"test\" Channel");
    world_do(&e.w, "SELECT pg_notify('some_other_channel', '')");
    world_do(&e.w, "SELECT pg_notify('reveille \"test\" Channel', '')");
    WAIT_UNTIL(&e.w, e.notified > 0);
    assert_int_equal(e.notified, 1);
    assert_int_equal(e.changed, 1);
    ears_close(&e);
}

static void comes_back_after_a_loss(void **state)
{
    (void)state;
    struct ears e;
    listen_to(&e, "reveille_test");
    world_kill(&e.w, "reveille-test-listen", "LISTEN%");
    WAIT_UNTIL(&e.w, e.changed == 2);
    assert_false(db_listen_proven(e.listen));
    WAIT_UNTIL(&e.w, e.changed == 3);
    assert_true(db_listen_proven(e.listen));
    world_do(&e.w, "NOTIFY reveille_test");
    WAIT_UNTIL(&e.w, e.notified > 0);
    ears_close(&e);
}

static void may_be_freed_when_notified(void **state)
{
    (void)state;
    struct ears e;
    listen_to(&e, "reveille_test");
    e.free_when_notified = true;
    world_do(&e.w, "NOTIFY reveille_test");
    WAIT_UNTIL(&e.w, e.notified > 0);
    assert_null(e.listen);
    ears_close(&e);
}

static void is_unproven_without_a_server(void **state)
{
    (void)state;
    struct ears e = {.notified = 0};
    char port[16], conninfo[128];
    int fd = world_port(false, port);
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%s user=x dbname=x", port);
    struct db_config cfg = {.conninfo = conninfo, .app_name = "x", .links = 1};
    world_open(&e.w);
    e.listen = db_listen_new(e.w.loop, &cfg, "reveille_test", on_notify, on_change, &e, NULL);
    loop_timer_arm(e.w.watchdog, 500);
    assert_int_equal(loop_run(e.w.loop, NULL), 0);
    assert_false(db_listen_proven(e.listen));
    assert_int_equal(e.changed, 0);
    (void)close(fd);
    ears_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-T4: LISTEN proves itself by its echo, then hears its channel and no other",
             proves_itself_and_hears),
        TEST("a lost LISTEN is told, and proves itself again", comes_back_after_a_loss),
        TEST("the notified may free it", may_be_freed_when_notified),
        TEST("without a server it stays unproven and silent", is_unproven_without_a_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
