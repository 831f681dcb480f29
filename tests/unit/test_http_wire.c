/* Tests http_wire.c, through the engine that stands on it: connections that break, are kept, are
 * closed while idle, and are found by name. */
#include "engine_http_world.h"

/* ---- peers that misbehave ---------------------------------------------------------------- */

#define RAW_OK                                      \
    "HTTP/1.1 200 OK\r\nContent-Length: 73\r\n\r\n" \
    "{\"peer_mentor_id\":\"00000000-0000-0000-0000-000000000000\",\"decisions\":[]}\n"

static void garbage_is_nonsense(void **state)
{
    struct world *w = *state;
    make_raw(w, "SSH-2.0-OpenSSH_9.2\r\n");
    w->raw_close = true;
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer that is not HTTP");
}

static void a_lost_connection_is_retried(void **state)
{
    struct world *w = *state;
    make_raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    w->raw_close = true;
    assert_failed(ask(w), ERR_NETWORK, 'x', true, false, NULL);
    w->raw = "";
    assert_failed(ask(w), ERR_NETWORK, 'x', true, false, NULL);
}

static void endless_headers_are_cut_off(void **state)
{
    struct world *w = *state;
    make_raw(w, "HTTP/1.1 200 OK\r\n");
    w->raw_endless = true;
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer that is too large");
}

static void connections_are_kept(void **state)
{
    struct world *w = *state;
    make_raw(w, RAW_OK);
    for (int i = 0; i < 5; i++)
        assert_true(ask(w)->ok);
    assert_int_equal(w->requests, 5);
    assert_int_equal(w->accepted, 1);
}

static void a_connection_closed_while_idle_is_made_anew(void **state)
{
    struct world *w = *state;
    make_raw(w, RAW_OK);
    w->raw_close = true;
    for (int i = 0; i < 5; i++)
        assert_true(ask(w)->ok);
    assert_int_equal(w->accepted, 5);
}

/* The resolver's sockets are curl's own: what watches them must go when curl lets them go. */
static void a_name_is_resolved_again_and_again(void **state)
{
    struct world *w = *state;
    char address[64];
    snprintf(address, sizeof(address), "localhost%s", strrchr(http_server_address(w->server), ':'));
    for (int i = 0; i < 10; i++) {
        make_engine(w, address);
        assert_true(ask(w)->ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("what is not HTTP is nonsense", garbage_is_nonsense),
        CASE("a connection lost in the middle is a network_error", a_lost_connection_is_retried),
        CASE("endless headers are cut off", endless_headers_are_cut_off),
        CASE("five calls in turn use one connection", connections_are_kept),
        CASE("a connection closed while idle is made anew",
             a_connection_closed_while_idle_is_made_anew),
        CASE("an engine is found by name, ten times over", a_name_is_resolved_again_and_again),
    };
    return cmocka_run_group_tests_name("http_wire", tests, NULL, NULL);
}
