/* See engine_http.h. A call lives in a slot: its easy handle, headers and buffers are made once and
 * used again, so that a call allocates nothing. Slots are as many as a worker can be lent calls;
 * only those that were ever used have a handle. */
#include "engine_http.h"

#include "attrs.h"
#include "buf.h"
#include "clock.h"
#include "engine_http_answer.h"
#include "http_wire.h"
#include "limits.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ENGINE_MAGIC 0x65687474u
#define SLOT_MAGIC 0x65736c74u
#define SLOTS LIMIT_SHARE_WANT
#define KEY_HEADER_MAX 256 /* job, day, hash and subject are 110 */

struct slot {
    unsigned magic;
    struct engine_http *engine;
    TAILQ_ENTRY(slot) entry;                /* free, under way or ended */
    CURL *easy;                             /* owned; NULL until first used */
    struct curl_slist key_line, trace_line; /* the engine's common lines follow them */
    char key_header[KEY_HEADER_MAX], trace_header[80];
    struct buf body, reply;
    size_t header_bytes; /* of the answer */
    bool too_large;      /* the answer is */
    CURLcode code;       /* how it ended */
    struct call_ref ref;
    struct uuid subject;
    int64_t started_us;
};
TAILQ_HEAD(slots, slot);

struct engine_http {
    unsigned magic;
    engine_answer_fn on_answer;
    void *arg;
    char *url; /* owned */
    int64_t timeout_ms;
    struct http_wire *wire;
    struct loop_timer *timer; /* for what has ended without curl */
    struct slots free, under_way, ended;
    struct slot *slots; /* owned, SLOTS of them; the first `made` were used before */
    int made;
    struct curl_slist common[3], authorization_line;
    char authorization[SECRET_MAX + 32]; /* changed in place: handles keep pointers to it */
};

/* ---- what an end means ------------------------------------------------------------------- */

static struct answer *no_connection(CURLcode code)
{
    char text[96];
    snprintf(text, sizeof(text), "no connection: %s", curl_easy_strerror(code));
    struct answer *a = answer_failed(ERR_NETWORK, TRY_FAILED, true, text);
    if (a != NULL)
        a->refused = true;
    return a;
}

static struct answer *transport_failed(CURLcode code)
{
    char text[96];
    if (code == CURLE_OPERATION_TIMEDOUT)
        return answer_failed(ERR_TIMEOUT, TRY_FAILED, true, "no answer in time");
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
        code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION)
        return no_connection(code);
    if (code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL)
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "an answer that is not HTTP");
    snprintf(text, sizeof(text), "transport: %s", curl_easy_strerror(code)); /* constant texts */
    return answer_failed(ERR_NETWORK, TRY_FAILED, true, text);
}

static int retry_after_ms(const struct slot *s)
{
    curl_off_t seconds = 0;
    if (curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0)
        return 0;
    return seconds < ENGINE_RETRY_AFTER_MAX_MS / 1000 ? (int)seconds * 1000
                                                      : ENGINE_RETRY_AFTER_MAX_MS;
}

static struct answer *status_failed(const struct slot *s, long status)
{
    char text[32];
    bool slower = status == 429 || status == 503;
    snprintf(text, sizeof(text), "HTTP %ld", status);
    if (!slower && status < 500)
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, text);
    struct answer *a = answer_failed(ERR_NETWORK, slower ? TRY_SLOWER : TRY_FAILED, true, text);
    if (a != NULL && slower) {
        a->refused = true;
        a->retry_after_ms = retry_after_ms(s);
    }
    return a;
}

/* NULL only when memory runs out. */
static struct answer *answer_of(const struct slot *s)
{
    long status = 0;
    if (s->code != CURLE_OK && !s->too_large)
        return transport_failed(s->code);
    if (curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        status = 0;
    if (status >= 300)
        return status_failed(s, status);
    if (s->too_large)
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "an answer that is too large");
    return engine_http_answer(s->reply.data, s->reply.len, &s->subject);
}

/* ---- ends -------------------------------------------------------------------------------- */

static void slot_rest(struct engine_http *e, struct slot *s)
{
    buf_clear(&s->reply);
    buf_clear(&s->body);
    TAILQ_INSERT_HEAD(&e->free, s, entry); /* the last used is the warmest */
}

/* The slot is in no list. */
static void end(struct slot *s)
{
    struct engine_http *e = s->engine;
    struct answer *a = answer_of(s);
    if (a == NULL) {
        TAILQ_INSERT_TAIL(&e->ended, s, entry);
        loop_timer_arm(e->timer, ENGINE_ANSWER_AGAIN_MS);
        return;
    }
    struct call_ref ref = s->ref;
    int64_t took_us = clock_mono_us() - s->started_us;
    slot_rest(e, s);
    e->on_answer(e->arg, ref, a, took_us);
}

static void transfer_ended(void *arg, CURL *easy, CURLcode code)
{
    struct engine_http *e = CHECK_MAGIC(struct engine_http, arg, ENGINE_MAGIC);
    void *found = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &found); /* CHECK_MAGIC sees a failure */
    struct slot *s = CHECK_MAGIC(struct slot, found, SLOT_MAGIC);
    TAILQ_REMOVE(&e->under_way, s, entry);
    s->code = code;
    end(s);
}

static void timer_fired(void *arg)
{
    struct engine_http *e = CHECK_MAGIC(struct engine_http, arg, ENGINE_MAGIC);
    struct slot *last = TAILQ_LAST(&e->ended, slots);
    for (bool more = last != NULL; more;) { /* those that were there: answers may start more */
        struct slot *s = TAILQ_FIRST(&e->ended);
        more = s != last;
        TAILQ_REMOVE(&e->ended, s, entry);
        end(s);
    }
}

/* ---- what curl hands over ---------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct slot *s = CHECK_MAGIC(struct slot, arg, SLOT_MAGIC);
    struct err err = ERR_INIT;
    if (buf_append(&s->reply, bytes, size * n, &err) == 0)
        return size * n;
    s->too_large = err.cls == ERR_LIMIT;
    return 0; /* ends the transfer */
}

static size_t take_header(char *bytes UNUSED, size_t size, size_t n, void *arg)
{
    struct slot *s = CHECK_MAGIC(struct slot, arg, SLOT_MAGIC);
    s->header_bytes += size * n;
    s->too_large = s->too_large || s->header_bytes > ENGINE_ANSWER_MAX;
    return s->too_large ? 0 : size * n;
}

/* ---- slots ------------------------------------------------------------------------------- */

#define SET(option, value)                                        \
    if (curl_easy_setopt(s->easy, (option), (value)) != CURLE_OK) \
    return err_set(err, ERR_SYSTEM, "curl", "libcurl refused " #option)

static int set_transport(struct slot *s, struct err *err)
{
    const struct engine_http *e = s->engine;
    SET(CURLOPT_URL, e->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* an environment's proxy must not see the key */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)ENGINE_CONNECT_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)e->timeout_ms);
    SET(CURLOPT_MAXAGE_CONN, (long)ENGINE_CONNECTION_IDLE_S);
    return 0;
}

static int set_exchange(struct slot *s, struct err *err)
{
    SET(CURLOPT_PRIVATE, s);
    SET(CURLOPT_USERAGENT, "reveille/" REVEILLE_VERSION);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_HTTPHEADER, &s->key_line);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, s);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, s);
    return 0;
}

static int give_handle(struct slot *s, struct err *err)
{
    if (s->easy != NULL)
        return 0;
    s->easy = curl_easy_init();
    if (s->easy == NULL)
        return err_set(err, ERR_SYSTEM, "curl", "libcurl has no handle");
    if (set_transport(s, err) || set_exchange(s, err) ||
        http_wire_adopt(s->engine->wire, s->easy, err)) {
        curl_easy_cleanup(TAKE(s->easy));
        return -1;
    }
    return 0;
}

static struct slot *slot_take(struct engine_http *e)
{
    struct slot *s = TAILQ_FIRST(&e->free);
    if (s != NULL) {
        TAILQ_REMOVE(&e->free, s, entry);
        return s;
    }
    assert(e->made < SLOTS); /* share.c never wants more */
    s = &e->slots[e->made++];
    s->magic = SLOT_MAGIC;
    s->engine = e;
    s->key_line.data = s->key_header;
    s->trace_line.data = s->trace_header;
    buf_init(&s->body, ENGINE_REQUEST_MAX);
    buf_init(&s->reply, ENGINE_ANSWER_MAX);
    return s;
}

/* ---- asking ------------------------------------------------------------------------------ */

/* A dry run has no effects to repeat, and must not be what a later real call is answered with. */
static void write_headers(struct slot *s, const struct claim *c, const char *subject,
                          const char *traceparent)
{
    snprintf(s->key_header, sizeof(s->key_header), "Idempotency-Key: %s/%s/%s/%s%s", c->job_name,
             c->evaluation_date, c->scenarios_hash, subject, c->shadow ? "/dry-run" : "");
    snprintf(s->trace_header, sizeof(s->trace_header), "traceparent: %s", traceparent);
    s->trace_line.next = s->engine->common;
    s->key_line.next = traceparent[0] != '\0' ? &s->trace_line : s->engine->common;
}

static int write_body(struct slot *s, const struct engine_call *call, const char *subject,
                      struct err *err)
{
    char run[UUID_TEXT_SIZE];
    const struct claim *c = call->claim;
    uuid_format(call->invocation, run);
    if (buf_printf(&s->body, err,
                   "{\"invocation_id\":\"%s\",\"peer_mentor_id\":\"%s\",\"evaluation_date\":\"%s\","
                   "\"scenario_types\":%s%s}",
                   run, subject, c->evaluation_date, c->scenarios,
                   c->shadow ? ",\"dry_run\":true" : ""))
        return -1;
    SET(CURLOPT_POSTFIELDS, s->body.data);
    SET(CURLOPT_POSTFIELDSIZE, (long)s->body.len);
    return 0;
}

static void engine_start(void *self, const struct engine_call *call)
{
    struct engine_http *e = CHECK_MAGIC(struct engine_http, self, ENGINE_MAGIC);
    struct slot *s = slot_take(e);
    struct err err = ERR_INIT;
    char subject[UUID_TEXT_SIZE];
    s->ref = call->ref;
    s->subject = call->claim->subject_ids[call->ref.subject];
    s->started_us = clock_mono_us();
    s->header_bytes = 0;
    s->too_large = false;
    uuid_format(&s->subject, subject);
    write_headers(s, call->claim, subject, call->traceparent);
    if (give_handle(s, &err) || write_body(s, call, subject, &err) ||
        http_wire_add(e->wire, s->easy, &err)) {
        s->code = CURLE_FAILED_INIT;
        TAILQ_INSERT_TAIL(&e->ended, s, entry);
        loop_timer_arm(e->timer, 0);
        return;
    }
    TAILQ_INSERT_TAIL(&e->under_way, s, entry);
}

static bool is_of(const struct slot *s, uint32_t slot, uint32_t generation)
{
    return s->ref.slot == slot && s->ref.generation == generation;
}

static void engine_abort_slice(void *self, uint32_t slot, uint32_t generation)
{
    struct engine_http *e = CHECK_MAGIC(struct engine_http, self, ENGINE_MAGIC);
    struct slot *next;
    for (struct slot *s = TAILQ_FIRST(&e->under_way); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (!is_of(s, slot, generation))
            continue;
        http_wire_remove(e->wire, s->easy);
        TAILQ_REMOVE(&e->under_way, s, entry);
        slot_rest(e, s);
    }
    for (struct slot *s = TAILQ_FIRST(&e->ended); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (!is_of(s, slot, generation))
            continue;
        TAILQ_REMOVE(&e->ended, s, entry);
        slot_rest(e, s);
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static void engine_free(void *self)
{
    if (self == NULL)
        return;
    struct engine_http *e = CHECK_MAGIC(struct engine_http, self, ENGINE_MAGIC);
    for (int i = 0; i < e->made; i++) {
        struct slot *s = &e->slots[i];
        if (s->easy != NULL)
            http_wire_remove(e->wire, s->easy); /* does nothing to one that rests */
        curl_easy_cleanup(s->easy);
        buf_release(&s->body);
        buf_release(&s->reply);
    }
    http_wire_free(e->wire);
    loop_timer_free(e->timer);
    OPENSSL_cleanse(e->authorization, sizeof(e->authorization));
    free(e->slots);
    free(e->url);
    free(e);
    curl_global_cleanup();
}

static int check_url(const char *url, struct err *err)
{
    char *scheme = NULL, *host = NULL, *user = NULL;
    CURLU *parts = curl_url();
    bool ok = parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(parts);
    return ok ? 0
              : err_set(err, ERR_CONFIG, "url",
                        "TRIGGER_ENGINE_URL: http://… or https://… without a password is needed");
}

static void common_lines(struct engine_http *e)
{
    static char content[] = "Content-Type: application/json", accept[] = "Accept: application/json",
                no_expect[] = "Expect:"; /* curl's type is not const; it only reads */
    e->common[0] = (struct curl_slist){content, &e->common[1]};
    e->common[1] = (struct curl_slist){accept, &e->common[2]};
    e->common[2] = (struct curl_slist){no_expect, NULL};
    e->authorization_line = (struct curl_slist){e->authorization, NULL};
}

static int set_up(struct engine_http *e, struct loop *loop, const struct engine_http_config *cfg,
                  struct err *err)
{
    if (check_url(cfg->url, err))
        return -1;
    e->url = strdup(cfg->url);
    e->slots = calloc(SLOTS, sizeof(*e->slots)); /* pages are ours when they are touched */
    if (e->url == NULL || e->slots == NULL)
        return err_errno(err, "engine http");
    e->timer = loop_timer_new(loop, timer_fired, e, err);
    if (e->timer == NULL)
        return -1;
    e->wire = http_wire_new(loop, transfer_ended, e, err);
    return e->wire != NULL ? 0 : -1;
}

int engine_http_new(struct loop *loop, const struct engine_http_config *cfg,
                    engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                    struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_SYSTEM, "curl", "libcurl cannot be used");
    struct engine_http *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        curl_global_cleanup();
        return err_errno(err, "engine http");
    }
    e->magic = ENGINE_MAGIC;
    e->on_answer = on_answer;
    e->arg = arg;
    e->timeout_ms = cfg->timeout_ms;
    TAILQ_INIT(&e->free);
    TAILQ_INIT(&e->under_way);
    TAILQ_INIT(&e->ended);
    common_lines(e);
    if (set_up(e, loop, cfg, err)) {
        engine_free(e);
        return -1;
    }
    *ret_engine = (struct engine){.name = "http",
                                  .timeout_ms = cfg->timeout_ms,
                                  .self = e,
                                  .start = engine_start,
                                  .abort_slice = engine_abort_slice,
                                  .free = engine_free};
    return 0;
}

int engine_http_set_key(struct engine *engine, const char *key, struct err *err)
{
    struct engine_http *e = CHECK_MAGIC(struct engine_http, engine->self, ENGINE_MAGIC);
    size_t len = key != NULL ? strlen(key) : 0;
    for (size_t i = 0; i < len; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return err_set(err, ERR_CONFIG, "key",
                           "SUPABASE_SERVICE_ROLE_KEY: only visible ASCII characters fit");
    if (len > SECRET_MAX)
        return err_set(err, ERR_CONFIG, "key", "SUPABASE_SERVICE_ROLE_KEY: too long");
    OPENSSL_cleanse(e->authorization, sizeof(e->authorization));
    snprintf(e->authorization, sizeof(e->authorization), "Authorization: Bearer %s",
             key != NULL ? key : "");
    e->common[2].next = key != NULL ? &e->authorization_line : NULL;
    return 0;
}
