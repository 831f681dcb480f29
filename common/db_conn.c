/* One connection to PostgreSQL that keeps itself up: connects without blocking, one host after the
 * other, watches its socket, and comes back with back-off. Knows nothing of statements.
 *
 * States: WAITING (back-off) -> RESOLVING -> CONNECTING -> UP; from everywhere back to WAITING.
 * The timer is the back-off's in WAITING and the deadline of one host in CONNECTING. */
#include "backoff.h"
#include "clock.h"
#include "db_internal.h"
#include "scrub.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONN_MAGIC 0x64626331u

enum conn_state { CONN_WAITING, CONN_RESOLVING, CONN_CONNECTING, CONN_UP };

struct db_conn {
    unsigned magic;
    struct loop *loop;
    const struct db_conn_ops *ops;
    void *arg;
    enum conn_state state;
    PQconninfoOption *options; /* as given; owned; holds the password */
    char *app_name;
    struct db_hosts *hosts;
    int host_at;
    PGconn *pg;
    struct loop_fd *watch;
    struct loop_timer *timer;
    struct rng rng;
    int64_t wait_ms;     /* the last back-off */
    int64_t up_since_ms; /* while UP */
};

/* Given first, so that what the conninfo says wins. Kerberos would block the loop; a dead peer is
 * noticed within 25 s while idle and 15 s while sending. */
static const struct {
    const char *keyword, *value;
} defaults[] = {
    {"target_session_attrs", "read-write"},
    {"gssencmode", "disable"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "15000"},
};

static void conn_try(struct db_conn *c, struct err *last);

void db_conn_error(const PGconn *pg, const char *what, struct err *err)
{
    const char *said = PQerrorMessage(pg);
    char text[ERR_TEXT_MAX];

    (void)scrub_text(said, strlen(said), text, sizeof(text));
    (void)err_retry(err, PQconnectionNeedsPassword(pg) ? ERR_CONFIG : ERR_NETWORK, NULL, "%s: %s",
                    what, text[0] != '\0' ? text : "no reason given");
}

/* ---- life ---------------------------------------------------------------------------------- */

/* The value of a given option, else of libpq's environment variable, else NULL. */
static const char *option(const struct db_conn *c, const char *keyword, const char *env)
{
    for (const PQconninfoOption *o = c->options; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL) {
            return o->val;
        }
    }
    return env != NULL ? getenv(env) : NULL;
}

static int conn_parse(struct db_conn *c, const char *conninfo, struct err *err)
{
    char *said = NULL;

    c->options = PQconninfoParse(conninfo, &said);
    PQfreemem(said); /* it quotes the conninfo, and with it perhaps the password */
    if (c->options == NULL) {
        return err_set(err, ERR_CONFIG, NULL,
                       "the database's address is neither a URI nor key=value that libpq can read");
    }
    bool given = option(c, "host", NULL) != NULL || option(c, "hostaddr", NULL) != NULL;
    c->hosts = db_hosts_new(c->loop, option(c, "host", given ? NULL : "PGHOST"),
                            option(c, "hostaddr", given ? NULL : "PGHOSTADDR"),
                            option(c, "port", "PGPORT"), err);
    return c->hosts != NULL ? 0 : -1;
}

static void on_timer(void *arg);

struct db_conn *db_conn_new(struct loop *loop, const struct db_config *cfg,
                            const struct db_conn_ops *ops, void *arg, struct err *err)
{
    struct db_conn *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for a database link");
        return NULL;
    }
    *c = (struct db_conn){.magic = CONN_MAGIC, .loop = loop, .ops = ops, .arg = arg};
    rng_seed(&c->rng, (uint64_t)clock_wall_us() ^ (uint64_t)getpid() << 32 ^ (uintptr_t)c);
    c->app_name = strdup(cfg->app_name);
    if (c->app_name == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for a database link");
        goto fail;
    }
    if (conn_parse(c, cfg->conninfo, err)) {
        goto fail;
    }
    c->timer = loop_timer_new(loop, on_timer, c, err);
    if (c->timer == NULL) {
        goto fail;
    }
    loop_timer_arm(c->timer, 0);
    return c;
fail:
    db_conn_free(c);
    return NULL;
}

static void conn_drop(struct db_conn *c)
{
    loop_fd_free(TAKE(c->watch));
    PQfinish(TAKE(c->pg));
}

void db_conn_free(struct db_conn *c)
{
    if (c == NULL) {
        return;
    }
    conn_drop(c);
    loop_timer_free(c->timer);
    db_hosts_free(c->hosts);
    PQconninfoFree(c->options);
    free(c->app_name);
    c->magic = 0;
    free(c);
}

PGconn *db_conn_pg(struct db_conn *c)
{
    return c->pg;
}

/* ---- going down ---------------------------------------------------------------------------- */

static void conn_wait(struct db_conn *c)
{
    c->state = CONN_WAITING;
    c->wait_ms = backoff_next(&c->rng, c->wait_ms, DB_RECONNECT_MIN_MS, DB_RECONNECT_MAX_MS);
    loop_timer_arm(c->timer, c->wait_ms);
}

void db_conn_restart(struct db_conn *c)
{
    /* A link that falls as soon as it stands keeps growing its back-off. */
    if (c->state == CONN_UP && clock_mono_ms() - c->up_since_ms > DB_RECONNECT_MAX_MS) {
        c->wait_ms = 0;
    }
    conn_drop(c);
    conn_wait(c);
}

static void round_failed(struct db_conn *c, const struct err *err)
{
    conn_wait(c);
    c->ops->failed(c->arg, err);
}

static void host_failed(struct db_conn *c, struct err *err)
{
    conn_drop(c);
    c->host_at++;
    conn_try(c, err);
}

/* ---- coming up ----------------------------------------------------------------------------- */

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void on_socket(void *arg, unsigned ready);

/* libpq may open another socket while it connects, so each step has a watch of its own. */
static int conn_watch(struct db_conn *c, unsigned interest, struct err *err)
{
    loop_fd_free(TAKE(c->watch));
    c->watch = loop_fd_new(c->loop, PQsocket(c->pg), interest, on_socket, c, err);
    return c->watch != NULL ? 0 : -1;
}

static PGconn *conn_open(struct db_conn *c, const struct db_host *h)
{
    const char *keywords[128]; /* libpq 15 knows 44 */
    const char *values[COUNT_OF(keywords)];
    size_t n = 0;

#define PUT(k, v) (keywords[n] = (k), values[n++] = (v))
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        PUT(defaults[i].keyword, defaults[i].value);
    }
    PUT("application_name", c->app_name);
    for (const PQconninfoOption *o = c->options; o->keyword != NULL; o++) {
        bool where = strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0 ||
                     strcmp(o->keyword, "port") == 0;
        if (o->val != NULL && !where && n < COUNT_OF(keywords) - 8) {
            PUT(o->keyword, o->val);
        }
    }
    PUT("host", h->host);
    PUT("hostaddr", h->addr);
    PUT("port", h->port);
    PUT("client_encoding", "UTF8");
    PUT(NULL, NULL);
#undef PUT
    return PQconnectStartParams(keywords, values, 0);
}

/* Begins with host number host_at, or ends the round when there is none left; *last says then why
 * the last one failed. */
static void conn_try(struct db_conn *c, struct err *last)
{
    for (; c->host_at < db_hosts_count(c->hosts); c->host_at++) {
        c->pg = conn_open(c, db_hosts_at(c->hosts, c->host_at));
        if (c->pg == NULL) {
            (void)err_retry(last, ERR_SYSTEM, NULL, "no memory for a database link");
        } else if (PQstatus(c->pg) == CONNECTION_BAD) {
            db_conn_error(c->pg, "cannot connect to the database", last);
        } else if (conn_watch(c, LOOP_WRITE, last) == 0) {
            (void)PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
            c->state = CONN_CONNECTING;
            loop_timer_arm(c->timer, DB_CONNECT_MS);
            return;
        }
        conn_drop(c);
    }
    round_failed(c, last);
}

static void on_hosts(void *arg, const struct err *err)
{
    struct db_conn *c = CHECK_MAGIC(struct db_conn, arg, CONN_MAGIC);
    struct err last = ERR_INIT;

    if (err_is_set(err)) {
        round_failed(c, err);
        return;
    }
    c->host_at = 0;
    conn_try(c, &last);
}

static void on_timer(void *arg)
{
    struct db_conn *c = CHECK_MAGIC(struct db_conn, arg, CONN_MAGIC);
    struct err err = ERR_INIT;

    if (c->state == CONN_WAITING) {
        c->state = CONN_RESOLVING;
        db_hosts_look_up(c->hosts, on_hosts, c);
        return;
    }
    (void)err_retry(&err, ERR_TIMEOUT, NULL, "cannot connect to the database: no answer in %d ms",
                    DB_CONNECT_MS);
    host_failed(c, &err);
}

static void conn_is_up(struct db_conn *c)
{
    struct err err = ERR_INIT;

    loop_timer_disarm(c->timer);
    if (PQsetnonblocking(c->pg, 1) != 0 || conn_watch(c, LOOP_READ, &err)) {
        (void)err_set(&err, ERR_SYSTEM, NULL, "cannot watch a database link");
        host_failed(c, &err);
        return;
    }
    c->state = CONN_UP;
    c->up_since_ms = clock_mono_ms();
    c->ops->up(c->arg);
}

static void conn_step(struct db_conn *c)
{
    struct err err = ERR_INIT;
    unsigned interest = 0;

    loop_fd_free(TAKE(c->watch)); /* before libpq closes the descriptor */
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_OK:
        conn_is_up(c);
        return;
    case PGRES_POLLING_READING:
        interest = LOOP_READ;
        break;
    case PGRES_POLLING_WRITING:
        interest = LOOP_WRITE;
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        break;
    }
    if (interest == 0) {
        db_conn_error(c->pg, "cannot connect to the database", &err);
        host_failed(c, &err);
    } else if (conn_watch(c, interest, &err)) {
        host_failed(c, &err);
    }
}

static void on_socket(void *arg, unsigned ready)
{
    struct db_conn *c = CHECK_MAGIC(struct db_conn, arg, CONN_MAGIC);

    if (c->state == CONN_CONNECTING) {
        conn_step(c);
        return;
    }
    if ((ready & LOOP_WRITE) != 0) {
        (void)db_conn_flush(c, NULL); /* a lost link shows in PQconsumeInput as well */
    }
    c->ops->input(c->arg);
}

int db_conn_flush(struct db_conn *c, struct err *err)
{
    int rest = PQflush(c->pg);

    if (rest < 0) {
        db_conn_error(c->pg, "the database link is lost", err);
        return -1;
    }
    return loop_fd_set(c->watch, rest > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ, err);
}
