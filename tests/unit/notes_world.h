/* What the tests of the programs' notes share: a log that is read back line by line, and metrics.
 * Decides nothing about what a line should say. */
#ifndef REVEILLE_NOTES_WORLD_H
#define REVEILLE_NOTES_WORLD_H

#include "unit.h"

#include "log.h"
#include "metrics.h"

#include <jansson.h>

struct notes_world {
    FILE *file;
    struct log *log;
    struct metrics *metrics;
    json_t *line; /* the last one read */
};

static inline void notes_open(struct notes_world *w)
{
    w->file = tmpfile();
    assert_non_null(w->file);
    w->log = log_new(fileno(w->file), "unit", LOG_DEBUG, NULL);
    w->metrics = metrics_new(NULL);
    assert_true(w->log != NULL && w->metrics != NULL);
    w->line = NULL;
}

static inline void notes_close(struct notes_world *w)
{
    json_decref(w->line);
    metrics_free(w->metrics);
    log_free(w->log);
    fclose(w->file);
}

/* How many lines there are of that event (NULL: of any); the last one is kept. */
static inline int notes_lines(struct notes_world *w, const char *event)
{
    char text[LOG_LINE_MAX + 1];
    int n = 0;
    log_flush(w->log);
    rewind(w->file);
    json_decref(w->line);
    w->line = NULL;
    while (fgets(text, sizeof(text), w->file) != NULL) {
        json_t *line = json_loads(text, 0, NULL);
        assert_non_null(line);
        const char *name = json_string_value(json_object_get(line, "event"));
        if (event != NULL && strcmp(name, event) != 0) {
            json_decref(line);
            continue;
        }
        json_decref(w->line);
        w->line = line;
        n++;
    }
    return n;
}

/* Whether that text stands anywhere in the log. */
static inline bool notes_say(struct notes_world *w, const char *text)
{
    char line[LOG_LINE_MAX + 1];
    bool found = false;
    log_flush(w->log);
    rewind(w->file);
    while (fgets(line, sizeof(line), w->file) != NULL) {
        found = found || strstr(line, text) != NULL;
    }
    return found;
}

/* Of the last line that notes_lines read. */
static inline void notes_expect_text(const struct notes_world *w, const char *field,
                                     const char *value)
{
    const json_t *v = json_object_get(w->line, field);
    if (!json_is_string(v)) {
        fail_msg("no text %s", field);
    }
    assert_string_equal(json_string_value(v), value);
}

static inline void notes_expect_int(const struct notes_world *w, const char *field, int64_t value)
{
    const json_t *v = json_object_get(w->line, field);
    if (!json_is_integer(v)) {
        fail_msg("no number %s", field);
    }
    assert_int_equal(json_integer_value(v), value);
}

static inline void notes_expect_metric(const struct notes_world *w, enum metric id, const char *a,
                                       const char *b, double value)
{
    double is = metrics_get(w->metrics, id, a, b);
    if (is < value || is > value) {
        fail_msg("%s %s: %g, not %g", a != NULL ? a : "", b != NULL ? b : "", is, value);
    }
}

/* Whether that line is in what a scrape shows. */
static inline void notes_expect_scraped(const struct notes_world *w, const char *line)
{
    struct buf text;
    char wanted[256];
    buf_init(&text, METRICS_TEXT_MAX);
    assert_int_equal(metrics_render(w->metrics, &text, NULL), 0);
    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    if (strstr(text.data, wanted) == NULL) {
        fail_msg("%s: not in\n%s", line, text.data);
    }
    buf_release(&text);
}

#endif
