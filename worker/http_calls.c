/* See http_calls.h. A call lives in a slot: its easy handle, headers and buffers are made once and
 * used again, so that a call allocates next to nothing. Slots are as many as a worker can be lent
 * calls; only those that were ever used have a handle. */
#include "http_calls.h"

#include "attrs.h"
#include "clock.h"
#include "http_wire.h"
#include "lib_alloc.h"
#include "limits.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define CALLS_MAGIC 0x6863616cu
#define SLOT_MAGIC 0x65736c74u
#define SLOTS LIMIT_SHARE_WANT
#define URL_MAX (SECRET_MAX + HTTP_LINE_MAX) /* a variable's value, and what a call adds */

struct slot {
    unsigned magic;
    struct http_calls *calls;
    TAILQ_ENTRY(slot) entry; /* free, under way or ended */
    CURL *easy;              /* owned; NULL until first used */
    struct http_ask ask;
    struct curl_slist lines[HTTP_ASK_LINES]; /* those of ask; the common ones follow them */
    struct buf url, body, reply;
    size_t header_bytes; /* of the answer */
    bool too_large;      /* the answer is */
    CURLcode code;       /* how it ended */
    struct call_ref ref;
    struct uuid subject;
    int64_t started_us;
};
TAILQ_HEAD(slots, slot);

struct http_calls {
    unsigned magic;
    const struct http_calls_kind *kind;
    engine_answer_fn on_answer;
    void *arg;
    char *url; /* owned */
    int64_t timeout_ms;
    struct http_wire *wire;
    struct loop_timer *timer; /* for what has ended without curl */
    struct slots free, under_way, ended;
    struct slot *slots; /* owned, SLOTS of them; the first `made` were used before */
    int made;
    struct curl_slist *common, *last; /* headers of every call, owned, and the last of them: ... */
    struct curl_slist authorization_line; /* ... this one follows when there is a token */
    char authorization[SECRET_MAX + 32];  /* changed in place: handles keep pointers to it */
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
    if (s->code == CURLE_OK && s->ask.nothing)
        return answer_nothing_due();
    if (s->code != CURLE_OK && !s->too_large)
        return transport_failed(s->code);
    if (curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        status = 0;
    if (status >= 300)
        return status_failed(s, status);
    if (s->too_large)
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "an answer that is too large");
    return s->calls->kind->read(status, s->reply.data, s->reply.len, &s->subject);
}

/* ---- ends -------------------------------------------------------------------------------- */

static void slot_rest(struct http_calls *c, struct slot *s)
{
    buf_clear(&s->reply);
    buf_clear(&s->body);
    buf_clear(&s->url);
    TAILQ_INSERT_HEAD(&c->free, s, entry); /* the last used is the warmest */
}

/* The slot is in no list. */
static void end(struct slot *s)
{
    struct http_calls *c = s->calls;
    struct answer *a = answer_of(s);
    if (a == NULL) {
        TAILQ_INSERT_TAIL(&c->ended, s, entry);
        loop_timer_arm(c->timer, ENGINE_ANSWER_AGAIN_MS);
        return;
    }
    struct call_ref ref = s->ref;
    int64_t took_us = clock_mono_us() - s->started_us;
    slot_rest(c, s);
    c->on_answer(c->arg, ref, a, took_us);
}

static void transfer_ended(void *arg, CURL *easy, CURLcode code)
{
    struct http_calls *c = CHECK_MAGIC(struct http_calls, arg, CALLS_MAGIC);
    void *found = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &found); /* CHECK_MAGIC sees a failure */
    struct slot *s = CHECK_MAGIC(struct slot, found, SLOT_MAGIC);
    TAILQ_REMOVE(&c->under_way, s, entry);
    s->code = code;
    end(s);
}

static void timer_fired(void *arg)
{
    struct http_calls *c = CHECK_MAGIC(struct http_calls, arg, CALLS_MAGIC);
    struct slot *last = TAILQ_LAST(&c->ended, slots);
    for (bool more = last != NULL; more;) { /* those that were there: answers may start more */
        struct slot *s = TAILQ_FIRST(&c->ended);
        more = s != last;
        TAILQ_REMOVE(&c->ended, s, entry);
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
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* an environment's proxy must not see the token */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)ENGINE_CONNECT_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)s->calls->timeout_ms);
    SET(CURLOPT_MAXAGE_CONN, (long)ENGINE_CONNECTION_IDLE_S);
    return 0;
}

static int set_exchange(struct slot *s, struct err *err)
{
    SET(CURLOPT_PRIVATE, s);
    SET(CURLOPT_USERAGENT, "reveille/" REVEILLE_VERSION);
    SET(CURLOPT_POST, 1L); /* with a body; the method's word is the kind's */
    SET(CURLOPT_CUSTOMREQUEST, s->calls->kind->method);
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
        http_wire_adopt(s->calls->wire, s->easy, err)) {
        curl_easy_cleanup(TAKE(s->easy));
        return -1;
    }
    return 0;
}

static struct slot *slot_take(struct http_calls *c)
{
    struct slot *s = TAILQ_FIRST(&c->free);
    if (s != NULL) {
        TAILQ_REMOVE(&c->free, s, entry);
        return s;
    }
    assert(c->made < SLOTS); /* share.c never wants more */
    s = &c->slots[c->made++];
    s->magic = SLOT_MAGIC;
    s->calls = c;
    s->ask.url = &s->url;
    s->ask.body = &s->body;
    buf_init(&s->url, URL_MAX);
    buf_init(&s->body, ENGINE_REQUEST_MAX);
    buf_init(&s->reply, ENGINE_ANSWER_MAX);
    return s;
}

/* ---- asking ------------------------------------------------------------------------------ */

static int write_ask(struct slot *s, const struct engine_call *call, struct err *err)
{
    s->ask.nothing = false;
    for (int i = 0; i < HTTP_ASK_LINES; i++)
        s->ask.lines[i][0] = '\0';
    if (buf_str(&s->url, s->calls->url, err))
        return -1;
    return s->calls->kind->ask(call, &s->subject, &s->ask, err);
}

static int hand_over(struct slot *s, struct err *err)
{
    struct curl_slist *first = s->calls->common;
    for (int i = HTTP_ASK_LINES - 1; i >= 0; i--) {
        if (s->ask.lines[i][0] == '\0')
            continue;
        s->lines[i] = (struct curl_slist){s->ask.lines[i], first};
        first = &s->lines[i];
    }
    SET(CURLOPT_URL, s->url.data);
    SET(CURLOPT_HTTPHEADER, first);
    SET(CURLOPT_POSTFIELDS, s->body.data);
    SET(CURLOPT_POSTFIELDSIZE, (long)s->body.len);
    return http_wire_add(s->calls->wire, s->easy, err);
}

/* Answered without curl, in the loop's next turn. */
static void end_soon(struct slot *s, CURLcode code)
{
    s->code = code;
    TAILQ_INSERT_TAIL(&s->calls->ended, s, entry);
    loop_timer_arm(s->calls->timer, 0);
}

static void calls_start(void *self, const struct engine_call *call)
{
    struct http_calls *c = CHECK_MAGIC(struct http_calls, self, CALLS_MAGIC);
    struct slot *s = slot_take(c);
    struct err err = ERR_INIT;
    s->ref = call->ref;
    s->subject = call->claim->subject_ids[call->ref.subject];
    s->started_us = clock_mono_us();
    s->header_bytes = 0;
    s->too_large = false;
    if (write_ask(s, call, &err))
        end_soon(s, CURLE_FAILED_INIT);
    else if (s->ask.nothing)
        end_soon(s, CURLE_OK);
    else if (give_handle(s, &err) || hand_over(s, &err))
        end_soon(s, CURLE_FAILED_INIT);
    else
        TAILQ_INSERT_TAIL(&c->under_way, s, entry);
}

static bool is_of(const struct slot *s, uint32_t slot, uint32_t generation)
{
    return s->ref.slot == slot && s->ref.generation == generation;
}

static void calls_abort_slice(void *self, uint32_t slot, uint32_t generation)
{
    struct http_calls *c = CHECK_MAGIC(struct http_calls, self, CALLS_MAGIC);
    struct slot *next;
    for (struct slot *s = TAILQ_FIRST(&c->under_way); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (!is_of(s, slot, generation))
            continue;
        http_wire_remove(c->wire, s->easy);
        TAILQ_REMOVE(&c->under_way, s, entry);
        slot_rest(c, s);
    }
    for (struct slot *s = TAILQ_FIRST(&c->ended); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (!is_of(s, slot, generation))
            continue;
        TAILQ_REMOVE(&c->ended, s, entry);
        slot_rest(c, s);
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static void calls_free(void *self)
{
    if (self == NULL)
        return;
    struct http_calls *c = CHECK_MAGIC(struct http_calls, self, CALLS_MAGIC);
    for (int i = 0; i < c->made; i++) {
        struct slot *s = &c->slots[i];
        if (s->easy != NULL)
            http_wire_remove(c->wire, s->easy); /* does nothing to one that rests */
        curl_easy_cleanup(s->easy);
        buf_release(&s->url);
        buf_release(&s->body);
        buf_release(&s->reply);
    }
    http_wire_free(c->wire);
    loop_timer_free(c->timer);
    OPENSSL_cleanse(c->authorization, sizeof(c->authorization));
    if (c->common != NULL)
        c->last->next = NULL; /* the line for the token is not curl's to free */
    curl_slist_free_all(c->common);
    free(c->slots);
    free(c->url);
    free(c);
    curl_global_cleanup();
}

static int check_url(const char *url, const char *name, struct err *err)
{
    char *scheme = NULL, *host = NULL, *user = NULL;
    CURLU *parts = curl_url();
    bool ok = parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
              strlen(url) <= SECRET_MAX;
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(parts);
    return ok ? 0
              : err_set(err, ERR_CONFIG, "url",
                        "%s: http://… or https://… without a password is needed", name);
}

static int add_common(struct http_calls *c, const char *line, struct err *err)
{
    struct curl_slist *longer = curl_slist_append(c->common, line);
    if (longer == NULL)
        return err_set(err, ERR_SYSTEM, "curl", "no memory for a header");
    c->common = longer;
    for (c->last = longer; c->last->next != NULL;)
        c->last = c->last->next;
    return 0;
}

static int set_up(struct http_calls *c, struct loop *loop, const struct http_calls_config *cfg,
                  struct err *err)
{
    if (check_url(cfg->url, cfg->kind->url_name, err) || add_common(c, "Expect:", err))
        return -1;
    for (const char *const *line = cfg->kind->headers; *line != NULL; line++)
        if (add_common(c, *line, err))
            return -1;
    c->url = strdup(cfg->url);
    c->slots = calloc(SLOTS, sizeof(*c->slots)); /* pages are ours when they are touched */
    if (c->url == NULL || c->slots == NULL)
        return err_errno(err, "http calls");
    c->timer = loop_timer_new(loop, timer_fired, c, err);
    if (c->timer == NULL)
        return -1;
    c->wire = http_wire_new(loop, transfer_ended, c, err);
    return c->wire != NULL ? 0 : -1;
}

int http_calls_new(struct loop *loop, const struct http_calls_config *cfg,
                   engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                   struct err *err)
{
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, lib_malloc, free, lib_realloc, lib_strdup,
                             lib_calloc) != CURLE_OK)
        return err_set(err, ERR_SYSTEM, "curl", "libcurl cannot be used");
    struct http_calls *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        curl_global_cleanup();
        return err_errno(err, "http calls");
    }
    c->magic = CALLS_MAGIC;
    c->kind = cfg->kind;
    c->on_answer = on_answer;
    c->arg = arg;
    c->timeout_ms = cfg->timeout_ms;
    c->authorization_line.data = c->authorization;
    TAILQ_INIT(&c->free);
    TAILQ_INIT(&c->under_way);
    TAILQ_INIT(&c->ended);
    if (set_up(c, loop, cfg, err)) {
        calls_free(c);
        return -1;
    }
    *ret_engine = (struct engine){.name = cfg->kind->engine,
                                  .timeout_ms = cfg->timeout_ms,
                                  .self = c,
                                  .start = calls_start,
                                  .abort_slice = calls_abort_slice,
                                  .free = calls_free};
    return 0;
}

bool http_calls_made(const struct engine *engine)
{
    return engine->start == calls_start;
}

int http_calls_set_token(struct engine *engine, const char *token, struct err *err)
{
    struct http_calls *c = CHECK_MAGIC(struct http_calls, engine->self, CALLS_MAGIC);
    const char *name = c->kind->token_name;
    size_t len = token != NULL ? strlen(token) : 0;
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return err_set(err, ERR_CONFIG, "token", "%s: only visible ASCII characters fit", name);
    if (len > SECRET_MAX)
        return err_set(err, ERR_CONFIG, "token", "%s: too long", name);
    OPENSSL_cleanse(c->authorization, sizeof(c->authorization));
    snprintf(c->authorization, sizeof(c->authorization), "Authorization: Bearer %s",
             token != NULL ? token : "");
    c->last->next = token != NULL ? &c->authorization_line : NULL;
    return 0;
}
