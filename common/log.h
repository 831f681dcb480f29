/* One NDJSON logger for everything a program says: typed events, one object a line on one
 * descriptor, never blocking the loop, bounded.
 *
 * Events, their level and the only fields they may carry stand in log_event.def. Every line has
 * time (ISO 8601 UTC), level, event, component, and pid; invocation_id and the rest come as fields.
 * A line is at most LOG_LINE_MAX bytes: longer texts are cut. When the reader of the pipe is slow,
 * lines wait in a ring of LOG_RING_MAX bytes; beyond it they are dropped and the next line that
 * goes out is `log_dropped` with their number. The libraries in common/ never log: programs do. */
#ifndef REVEILLE_LOG_H
#define REVEILLE_LOG_H

#include "err.h"
#include "uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_event_id {
#define LOG_EVENT(id, name, level, fields) EV_##id,
#include "log_event.def"
#undef LOG_EVENT
    LOG_EVENT_COUNT
};

struct log_field {
    const char *name;
    enum { LOG_F_INT, LOG_F_BOOL, LOG_F_NAME, LOG_F_TEXT, LOG_F_UUID, LOG_F_JSON } kind;
    union {
        int64_t i;
        bool b;
        const char *s;
        const struct uuid *id;
    } v;
};

struct log_field log_int(const char *name, int64_t v);
struct log_field log_bool(const char *name, bool v);
/* A word of our own (a state, a job's name, a topic): escaped, not scrubbed. NULL: null. */
struct log_field log_name(const char *name, const char *v);
/* A text that came from anywhere else: scrubbed and escaped. NULL: null. */
struct log_field log_text(const char *name, const char *v);
/* An id that this event is allowed to show. */
struct log_field log_uuid(const char *name, const struct uuid *v);
/* JSON made by us or by our own SQL functions (aggregates): goes in as it is, if it is one value
 * that parses and fits; else null. */
struct log_field log_json(const char *name, const char *v);

struct log;
/* fd stays the caller's. component: borrowed for the life of the log. */
struct log *log_new(int fd, const char *component, enum log_level level, struct err *err);
void log_free(struct log *log); /* tries once more to write what is left */
void log_set_level(struct log *log, enum log_level level);
bool log_level_parse(const char *text, enum log_level *ret_level); /* debug info warn error */

/* fields: borrowed during the call. A field named "component" replaces the log's own. An event
 * below the level is skipped. A field that the event's list does not name is a bug of ours and
 * stops the program. log may be NULL (nothing is said). */
void log_emit(struct log *log, enum log_event_id event, const struct log_field *fields, size_t n);
#define log_event(log, event, ...)                                    \
    log_emit((log), (event), (const struct log_field[]){__VA_ARGS__}, \
             sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* Three fields of an event that has more: error_type (the class), error_code, error_message. */
#define LOG_ERR(err)                                                                         \
    log_name("error_type", err_class_name((err)->cls)), log_name("error_code", (err)->code), \
        log_text("error_message", (err)->text)

/* An event with LOG_ERR's fields alone. */
void log_failure(struct log *log, enum log_event_id event, const struct err *err);

/* Writes what waits, as far as the descriptor takes it now. The program calls it from a timer while
 * log_pending is true. */
void log_flush(struct log *log);
bool log_pending(const struct log *log);
int64_t log_dropped(const struct log *log); /* lines dropped since the start */

#endif
