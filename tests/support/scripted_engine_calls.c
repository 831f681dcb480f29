#include "scripted_engine_calls.h"
#include "scripted_engine_idset.h"
#include "scripted_engine_limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CALLS_READ_MAX >= SE_LOG_LINE_MAX, "a piece that is read back holds a whole line");

struct calls {
    int fd;
    int64_t began; /* where this process' lines begin in the file */
    int64_t requests;
    int in_flight, max_in_flight;
    struct idset *mentors;
    int64_t flush_due;
    struct out buffer; /* whole lines */
    char lines[SE_LOG_BUFFER];
    char piece[CALLS_READ_MAX];
};

static int open_log(struct calls *c, const char *path, struct why *why)
{
    struct stat st;

    if (path != NULL) {
        c->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    } else {
        const char *folder = getenv("TMPDIR");

        path = "a temporary file";
        c->fd = open(folder ? folder : "/tmp", O_RDWR | O_APPEND | O_TMPFILE | O_CLOEXEC, 0600);
    }
    if (c->fd < 0 || fstat(c->fd, &st) != 0)
        return why_errno(why, path);
    c->began = st.st_size;
    return 0;
}

/* A predecessor that was killed in the middle of a write leaves half a line: end it. */
static int end_torn_line(struct calls *c, struct why *why)
{
    char last;

    if (c->began == 0 || (pread(c->fd, &last, 1, c->began - 1) == 1 && last == '\n'))
        return 0;
    if (write(c->fd, "\n", 1) != 1)
        return why_errno(why, "the log of calls");
    c->began++;
    return 0;
}

struct calls *calls_new(const char *path, struct why *why)
{
    struct calls *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        (void)why_errno(why, "the log of calls");
        return NULL;
    }
    c->fd = -1;
    c->flush_due = INT64_MAX;
    c->buffer = (struct out){.at = c->lines, .cap = sizeof(c->lines)};
    if ((c->mentors = idset_new(why)) == NULL)
        goto err1;
    if (open_log(c, path, why) || end_torn_line(c, why))
        goto err1;
    return c;

err1:
    calls_free(c);
    return NULL;
}

void calls_free(struct calls *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0)
        (void)close(c->fd);
    idset_free(c->mentors);
    free(c);
}

int calls_arrived(struct calls *c, const struct evaluation *ev, bool goes_on, struct call *ret_call,
                  struct why *why)
{
    struct timespec now;

    if (ev->has_mentor && idset_add(c->mentors, &ev->mentor, why))
        return -1;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail with this clock */
    c->requests++;
    if (goes_on && ++c->in_flight > c->max_in_flight)
        c->max_in_flight = c->in_flight;
    ret_call->at_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    ret_call->in_flight = goes_on ? c->in_flight : 0;
    return 0;
}

static void types_write(struct out *o, const struct evaluation *ev)
{
    for (int i = 0; i < ev->n_types; i++) {
        if (i > 0)
            out_bytes(o, ",", 1);
        out_field(o, ev->types[i]);
    }
    if (ev->n_types == 0)
        out_bytes(o, "-", 1);
}

int calls_ended(struct calls *c, const struct call *call, const struct evaluation *ev,
                struct text key, const struct action *action, int status, int64_t now_us,
                struct why *why)
{
    struct out *o = &c->buffer;

    if (call->in_flight > 0)
        c->in_flight--;
    if (o->cap - o->len < SE_LOG_LINE_MAX && calls_flush(c, why))
        return -1;
    if (o->len == 0)
        c->flush_due = now_us + SE_LOG_FLUSH_US;
    out_number(o, call->at_us);
    out_bytes(o, " ", 1);
    if (ev->has_mentor)
        id_write(o, &ev->mentor);
    else
        out_bytes(o, "-", 1);
    out_bytes(o, " ", 1);
    out_field(o, key);
    out_bytes(o, " ", 1);
    out_number(o, status);
    out_bytes(o, " ", 1);
    types_write(o, ev);
    out_bytes(o, " ", 1);
    out_number(o, call->in_flight);
    out_bytes(o, " ", 1);
    action_write(o, action);
    out_bytes(o, "\n", 1);
    return 0;
}

int calls_flush(struct calls *c, struct why *why)
{
    size_t done = 0;

    while (done < c->buffer.len) {
        ssize_t n = write(c->fd, c->lines + done, c->buffer.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return why_errno(why, "the log of calls");
        done += (size_t)n;
    }
    c->buffer.len = 0;
    c->flush_due = INT64_MAX;
    return 0;
}

int64_t calls_flush_due(const struct calls *c)
{
    return c->flush_due;
}

int64_t calls_requests(const struct calls *c)
{
    return c->requests;
}

int64_t calls_mentors(const struct calls *c)
{
    return (int64_t)idset_count(c->mentors);
}

int calls_in_flight(const struct calls *c)
{
    return c->in_flight;
}

int calls_max_in_flight(const struct calls *c)
{
    return c->max_in_flight;
}

void calls_reset_max(struct calls *c)
{
    c->max_in_flight = c->in_flight;
}

int calls_rewind(struct calls *c, struct calls_cursor *ret_cursor, struct why *why)
{
    struct stat st;

    if (calls_flush(c, why))
        return -1;
    if (fstat(c->fd, &st) != 0)
        return why_errno(why, "the log of calls");
    *ret_cursor = (struct calls_cursor){.at = c->began, .end = st.st_size};
    return 0;
}

/* The line without what stands behind its fourth field. */
static void four_fields(struct out *o, const char *line, const char *end)
{
    const char *p = line;

    for (int field = 0; field < 4 && p != NULL; field++)
        p = memchr(p + (field > 0), ' ', (size_t)(end - p - (field > 0)));
    out_bytes(o, line, (size_t)((p != NULL ? p : end) - line));
    out_bytes(o, "\n", 1);
}

int calls_read(struct calls *c, struct calls_cursor *cursor, struct out *o, bool *ret_more,
               struct why *why)
{
    int64_t left = cursor->end - cursor->at;
    size_t wanted = left < CALLS_READ_MAX ? (size_t)left : CALLS_READ_MAX;
    const char *line = c->piece;
    ssize_t n;

    assert(o->cap - o->len >= CALLS_READ_MAX);
    if (wanted == 0) {
        *ret_more = false;
        return 0;
    }
    if ((n = pread(c->fd, c->piece, wanted, cursor->at)) < 0)
        return why_errno(why, "the log of calls");
    for (;;) {
        const char *eol = memchr(line, '\n', (size_t)(c->piece + n - line));

        if (eol == NULL)
            break;
        four_fields(o, line, eol);
        line = eol + 1;
    }
    if (line == c->piece)
        return why_set(why, "the log of calls was cut by somebody else");
    cursor->at += line - c->piece;
    *ret_more = true;
    return 0;
}
