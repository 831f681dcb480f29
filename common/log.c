/* See log.h. Three parts: the line (a small JSON writer that cuts texts, never the JSON), the ring
 * (whole lines that wait for the descriptor), and the events with their list of fields. */
#include "log.h"

#include "clock.h"
#include "scrub.h"
#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a pipe takes a line whole or not at all");

#define NUMBER_MAX 32              /* characters of a number, written out */
#define LINE_END 2                 /* the brace and the newline */
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD, for bytes that are no UTF-8 */

struct log {
    int fd; /* the caller's */
    const char *component;
    enum log_level level;
    char *ring;         /* LOG_RING_MAX bytes, owned */
    size_t begin, used; /* where the waiting bytes begin, and how many they are */
    int64_t dropped;    /* lines, since the start */
    int64_t unreported; /* of these, not yet told by a log_dropped line */
};

struct event {
    const char *name;
    enum log_level level;
    const char *fields; /* separated by spaces */
};

static const struct event events[LOG_EVENT_COUNT] = {
#define LOG_EVENT(id, name, level, fields) [EV_##id] = {name, level, fields},
#include "log_event.def"
#undef LOG_EVENT
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

/* ---- fields ------------------------------------------------------------------------------ */

struct log_field log_int(const char *name, int64_t v)
{
    return (struct log_field){.name = name, .kind = LOG_F_INT, .v.i = v};
}

struct log_field log_bool(const char *name, bool v)
{
    return (struct log_field){.name = name, .kind = LOG_F_BOOL, .v.b = v};
}

struct log_field log_name(const char *name, const char *v)
{
    return (struct log_field){.name = name, .kind = LOG_F_NAME, .v.s = v};
}

struct log_field log_text(const char *name, const char *v)
{
    return (struct log_field){.name = name, .kind = LOG_F_TEXT, .v.s = v};
}

struct log_field log_uuid(const char *name, const struct uuid *v)
{
    return (struct log_field){.name = name, .kind = LOG_F_UUID, .v.id = v};
}

struct log_field log_json(const char *name, const char *v)
{
    return (struct log_field){.name = name, .kind = LOG_F_JSON, .v.s = v};
}

/* ---- the line ---------------------------------------------------------------------------- */

struct line {
    char bytes[LOG_LINE_MAX];
    size_t len;
    size_t reserved; /* bytes that what comes later needs at least */
};

/* What a text may still take. Fields of fixed size need not ask: `reserved` counts them. */
static size_t room(const struct line *l)
{
    size_t taken = l->len + l->reserved;
    return taken < sizeof l->bytes ? sizeof l->bytes - taken : 0;
}

static void put(struct line *l, const char *bytes, size_t len)
{
    assert(len <= sizeof l->bytes - l->len);
    memcpy(l->bytes + l->len, bytes, len);
    l->len += len;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* One character of a JSON string; returns how many bytes of s it took. */
static size_t escaped(const char *s, size_t n, char out[8], size_t *ret_len)
{
    unsigned char c = (unsigned char)s[0];
    size_t len = utf8_length(s, n);
    if (len == 0)
        *ret_len = (size_t)snprintf(out, 8, "%s", REPLACEMENT);
    else if (c == '"' || c == '\\')
        *ret_len = (size_t)snprintf(out, 8, "\\%c", c);
    else if (c < 0x20 || c == 0x7F)
        *ret_len = (size_t)snprintf(out, 8, "\\u%04x", (unsigned)c);
    else
        memcpy(out, s, *ret_len = len);
    return len > 0 ? len : 1;
}

/* A JSON string, cut at a character's border where the line is full. */
static void put_string(struct line *l, const char *s)
{
    size_t n = strlen(s);
    put_str(l, "\"");
    for (size_t i = 0; i < n;) {
        char one[8];
        size_t len;
        i += escaped(s + i, n - i, one, &len);
        if (len + 1 > room(l))
            break;
        put(l, one, len);
    }
    put_str(l, "\"");
}

static void put_scrubbed(struct line *l, const char *s)
{
    char clean[LOG_LINE_MAX];
    scrub_text(s, strlen(s), clean, sizeof clean);
    put_string(l, clean);
}

static bool is_json(const char *s, size_t len)
{
    json_t *value = json_loadb(s, len, JSON_DECODE_ANY, NULL);
    json_decref(value);
    return value != NULL;
}

/* Line breaks between its tokens become spaces: an object a line. */
static void put_json(struct line *l, const char *s)
{
    size_t len = strnlen(s, LOG_LINE_MAX);
    if (len > room(l) || !is_json(s, len)) {
        put_str(l, "null");
        return;
    }
    for (size_t i = 0; i < len; i++)
        put(l, (unsigned char)s[i] < 0x20 ? " " : s + i, 1);
}

static void put_value(struct line *l, const struct log_field *f)
{
    char text[NUMBER_MAX > UUID_TEXT_SIZE ? NUMBER_MAX : UUID_TEXT_SIZE];
    switch (f->kind) {
    case LOG_F_INT:
        snprintf(text, sizeof text, "%" PRId64, f->v.i);
        put_str(l, text);
        return;
    case LOG_F_BOOL:
        put_str(l, f->v.b ? "true" : "false");
        return;
    case LOG_F_UUID:
        if (!f->v.id)
            break;
        uuid_format(f->v.id, text);
        put_string(l, text);
        return;
    case LOG_F_NAME:
        if (!f->v.s)
            break;
        put_string(l, f->v.s);
        return;
    case LOG_F_TEXT:
        if (!f->v.s)
            break;
        put_scrubbed(l, f->v.s);
        return;
    case LOG_F_JSON:
        if (!f->v.s)
            break;
        put_json(l, f->v.s);
        return;
    }
    put_str(l, "null");
}

/* The least a field takes: its name with quotes, colon and comma, and its value, texts cut to "".
 */
static size_t least(const struct log_field *f)
{
    size_t value = 4; /* null; also more than "" */
    if (f->kind == LOG_F_INT)
        value = NUMBER_MAX;
    if (f->kind == LOG_F_BOOL)
        value = 5;
    if (f->kind == LOG_F_UUID)
        value = UUID_TEXT_SIZE + 1;
    return strlen(f->name) + 4 + value;
}

static void put_field(struct line *l, const struct log_field *f)
{
    put_str(l, l->len > 1 ? ",\"" : "\"");
    put_str(l, f->name);
    put_str(l, "\":");
    put_value(l, f);
}

static void reserve(struct line *l, const struct log_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        l->reserved += least(&fields[i]);
}

static void put_fields(struct line *l, const struct log_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        l->reserved -= least(&fields[i]);
        put_field(l, &fields[i]);
    }
}

static const char *component_of(const struct log *log, const struct log_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].name, "component") == 0)
            return NULL;
    return log->component;
}

static void make_line(struct line *l, const struct log *log, const struct event *event,
                      const struct log_field *fields, size_t n)
{
    char now[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_us(), now);
    const char *component = component_of(log, fields, n);
    const struct log_field common[] = {
        log_name("time", now),
        log_name("level", level_names[event->level]),
        log_name("event", event->name),
        log_int("pid", getpid()),
        log_name("component", component), /* the last, so that it can be left out */
    };
    size_t common_count = COUNT_OF(common) - (component ? 0 : 1);
    l->len = 0;
    l->reserved = LINE_END;
    reserve(l, common, common_count);
    reserve(l, fields, n);
    put_str(l, "{");
    put_fields(l, common, common_count);
    put_fields(l, fields, n);
    put_str(l, "}\n");
}

/* ---- the ring ---------------------------------------------------------------------------- */

/* 0, or -1 when the line does not fit. */
static int keep(struct log *log, const struct line *l)
{
    if (l->len > LOG_RING_MAX - log->used)
        return -1;
    size_t end = (log->begin + log->used) % LOG_RING_MAX;
    size_t first = l->len < LOG_RING_MAX - end ? l->len : LOG_RING_MAX - end;
    memcpy(log->ring + end, l->bytes, first);
    memcpy(log->ring, l->bytes + first, l->len - first);
    log->used += l->len;
    return 0;
}

/* Says how many lines are missing, at the place where they are missing, once there is room. */
static int report_dropped(struct log *log)
{
    if (log->unreported == 0)
        return 0;
    struct line l;
    const struct log_field lines = log_int("lines", log->unreported);
    make_line(&l, log, &events[EV_LOG_DROPPED], &lines, 1);
    if (keep(log, &l))
        return -1;
    log->unreported = 0;
    return 0;
}

/* Copies the waiting bytes up to the last newline within PIPE_BUF: whole lines, so that those of
 * several processes do not mix on one pipe. (What a short write left of a line is one, too.) */
static size_t next_chunk(const struct log *log, char chunk[PIPE_BUF])
{
    size_t n = log->used < PIPE_BUF ? log->used : PIPE_BUF;
    size_t first = n < LOG_RING_MAX - log->begin ? n : LOG_RING_MAX - log->begin;
    memcpy(chunk, log->ring + log->begin, first);
    memcpy(chunk + first, log->ring, n - first);
    while (chunk[n - 1] != '\n')
        n--;
    return n;
}

/* A pipe that polls writable takes PIPE_BUF bytes without waiting. A reader that went away shows as
 * an error condition: writing then would only raise SIGPIPE. */
static bool writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

void log_flush(struct log *log)
{
    if (!log)
        return;
    while (log_pending(log) && writable(log->fd)) {
        char chunk[PIPE_BUF];
        if (log->used == 0 && report_dropped(log))
            return;
        size_t n = next_chunk(log, chunk);
        ssize_t written = write(log->fd, chunk, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* the lines wait, within the ring's bound */
        log->begin = (log->begin + (size_t)written) % LOG_RING_MAX;
        log->used -= (size_t)written;
    }
}

bool log_pending(const struct log *log)
{
    return log && (log->used > 0 || log->unreported > 0);
}

int64_t log_dropped(const struct log *log)
{
    return log ? log->dropped : 0;
}

/* ---- events ------------------------------------------------------------------------------ */

struct log *log_new(int fd, const char *component, enum log_level level, struct err *err)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log) {
        err_errno(err, "log");
        return NULL;
    }
    log->ring = malloc(LOG_RING_MAX);
    if (!log->ring) {
        err_errno(err, "log");
        free(log);
        return NULL;
    }
    log->fd = fd;
    log->component = component;
    log->level = level;
    return log;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    log_flush(log);
    free(log->ring);
    free(log);
}

void log_set_level(struct log *log, enum log_level level)
{
    log->level = level;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Whether the event's list has this word. */
static bool may_carry(const struct event *event, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = event->fields; (p = strstr(p, name)) != NULL; p += len) {
        bool begins = p == event->fields || p[-1] == ' ';
        if (begins && (p[len] == ' ' || p[len] == '\0'))
            return true;
    }
    return false;
}

/* Stops the program at a field the event must not carry, or one given twice: bugs of ours, and the
 * first could put a personal datum into the log. */
static void check_fields(const struct event *event, const struct log_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool repeated = false;
        for (size_t k = 0; k < i; k++)
            repeated = repeated || strcmp(fields[k].name, fields[i].name) == 0;
        if (repeated || !may_carry(event, fields[i].name)) {
            fprintf(stderr, "log event %s: field %s %s\n", event->name, fields[i].name,
                    repeated ? "given twice" : "is not in its list");
            abort();
        }
    }
}

void log_emit(struct log *log, enum log_event_id event, const struct log_field *fields, size_t n)
{
    if (!log || events[event].level < log->level)
        return;
    check_fields(&events[event], fields, n);
    struct line l;
    make_line(&l, log, &events[event], fields, n);
    if (report_dropped(log) || keep(log, &l)) {
        log->dropped++;
        log->unreported++;
    }
    log_flush(log);
}

void log_failure(struct log *log, enum log_event_id event, const struct err *err)
{
    log_event(log, event, log_name("error_type", err_class_name(err->cls)),
              log_name("error_code", err->code[0] ? err->code : NULL),
              log_text("error_message", err->text));
}
