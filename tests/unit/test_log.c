/* Tests log.c: what a line holds, that it is always one JSON object of bounded size, and that a
 * slow reader costs lines, never time. */
#include "log.h"
#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* A log that writes into memory, and what it has written. */
struct sink {
    int fd;
    struct log *log;
    char text[64 * 1024];
};

static struct sink *sink_new(const char *component, enum log_level level)
{
    struct sink *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(s->fd >= 0);
    s->log = log_new(s->fd, component, level, NULL);
    assert_non_null(s->log);
    return s;
}

static const char *sink_text(struct sink *s)
{
    ssize_t n = pread(s->fd, s->text, sizeof s->text - 1, 0);
    assert_true(n >= 0);
    s->text[n] = '\0';
    return s->text;
}

static void sink_clear(struct sink *s)
{
    assert_int_equal(ftruncate(s->fd, 0), 0);
    assert_int_equal(lseek(s->fd, 0, SEEK_SET), 0);
}

static void sink_free(struct sink *s)
{
    log_free(s->log);
    close(s->fd);
    free(s);
}

/* The one line that has been written, parsed. */
static json_t *only_line(struct sink *s)
{
    const char *text = sink_text(s);
    size_t len = strlen(text);
    assert_true(len > 0 && len <= LOG_LINE_MAX);
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!line)
        fail_msg("not JSON: %s", text);
    return line;
}

static const char *string_of(const json_t *line, const char *name)
{
    return json_string_value(json_object_get(line, name));
}

static void has_the_common_fields(void **state)
{
    (void)state;
    struct sink *s = sink_new("worker", LOG_INFO);
    log_event(s->log, EV_PROCESS_READY, log_int("after_ms", 123));
    json_t *line = only_line(s);
    assert_int_equal(json_object_size(line), 6);
    const char *time = string_of(line, "time");
    assert_int_equal(strlen(time), 24);
    assert_int_equal(time[10], 'T');
    assert_int_equal(time[23], 'Z');
    assert_string_equal(string_of(line, "level"), "info");
    assert_string_equal(string_of(line, "event"), "process_ready");
    assert_string_equal(string_of(line, "component"), "worker");
    assert_int_equal(json_integer_value(json_object_get(line, "pid")), getpid());
    assert_int_equal(json_integer_value(json_object_get(line, "after_ms")), 123);
    json_decref(line);
    sink_free(s);
}

static void writes_every_kind(void **state)
{
    (void)state;
    static const char uuid[] = "6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5";
    struct sink *s = sink_new("worker", LOG_INFO);
    struct uuid id;
    assert_true(uuid_parse(uuid, &id));
    log_event(s->log, EV_RUN_COMPLETED, log_uuid("invocation_id", &id),
              log_name("job_name", "a\"b\\c\n\x01\x7f\xff\xC3\xB8"),
              log_name("component", "scenario-scheduler"), log_int("total_errors", INT64_MIN),
              log_bool("completed", true), log_name("status", NULL),
              log_text("pages_processed", "id 6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5"),
              log_json("by_scenario", "{\"a\":\n [1, 2.50, \"x\"]}"),
              log_json("total_evaluated", "[1,"));
    json_t *line = only_line(s);
    assert_string_equal(string_of(line, "invocation_id"), uuid);
    assert_string_equal(string_of(line, "job_name"), "a\"b\\c\n\x01\x7f\xEF\xBF\xBD\xC3\xB8");
    assert_string_equal(string_of(line, "component"), "scenario-scheduler");
    assert_true(json_integer_value(json_object_get(line, "total_errors")) == INT64_MIN);
    assert_true(json_is_true(json_object_get(line, "completed")));
    assert_true(json_is_null(json_object_get(line, "status")));
    assert_string_equal(string_of(line, "pages_processed"), "id [uuid]");
    assert_non_null(strstr(sink_text(s), "\"by_scenario\":{\"a\":  [1, 2.50, \"x\"]}"));
    assert_true(json_is_null(json_object_get(line, "total_evaluated")));
    json_decref(line);
    sink_free(s);
}

static void writes_failures(void **state)
{
    (void)state;
    struct sink *s = sink_new("producer", LOG_INFO);
    struct err err = ERR_INIT;
    err_set(&err, ERR_DATABASE, "57P01", "to ola@example.no");
    log_failure(s->log, EV_PROCESS_FAILED, &err);
    json_t *line = only_line(s);
    assert_string_equal(string_of(line, "level"), "error");
    assert_string_equal(string_of(line, "error_type"), "database_error");
    assert_string_equal(string_of(line, "error_code"), "57P01");
    assert_string_equal(string_of(line, "error_message"), "to [email]");
    json_decref(line);
    sink_free(s);
}

static void obeys_its_level(void **state)
{
    (void)state;
    struct sink *s = sink_new("worker", LOG_WARN);
    log_event(s->log, EV_PROCESS_READY, log_int("after_ms", 1));
    assert_string_equal(sink_text(s), "");
    log_set_level(s->log, LOG_INFO);
    log_event(s->log, EV_PROCESS_READY, log_int("after_ms", 1));
    json_decref(only_line(s));
    enum log_level level = LOG_WARN;
    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_parse("loud", &level));
    assert_int_equal(level, LOG_DEBUG);
    log_event(NULL, EV_PROCESS_READY, log_int("after_ms", 1));
    log_flush(NULL);
    assert_false(log_pending(NULL));
    log_free(NULL);
    sink_free(s);
}

static void cuts_texts_only(void **state)
{
    (void)state;
    static char long_text[3 * LOG_LINE_MAX], long_json[2 * LOG_LINE_MAX];
    memset(long_text, '"', sizeof long_text - 1); /* each becomes two bytes */
    memset(long_json, ' ', sizeof long_json - 1);
    long_json[0] = '1';
    struct sink *s = sink_new(long_text, LOG_INFO);
    log_event(s->log, EV_RUN_FAILED, log_name("job_name", long_text),
              log_text("error_message", long_text), log_json("invocation_id", long_json),
              log_name("component", long_text));
    json_t *line = only_line(s);
    assert_int_equal(json_object_size(line), 8);
    assert_true(json_is_null(json_object_get(line, "invocation_id")));
    assert_in_range(strlen(sink_text(s)), LOG_LINE_MAX - 64, LOG_LINE_MAX);
    json_decref(line);
    sink_clear(s);
    log_event(s->log, EV_PROCESS_READY, log_int("after_ms", INT64_MIN)); /* its own is long, too */
    line = only_line(s);
    assert_true(json_integer_value(json_object_get(line, "after_ms")) == INT64_MIN);
    json_decref(line);
    sink_free(s);
}

static void always_parses(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    struct sink *s = sink_new("worker", LOG_DEBUG);
    static char a[3000], b[3000];
    for (int i = 0; i < 2000; i++) {
        size_t n = rng_below(&r, sizeof a), m = rng_below(&r, sizeof b);
        bool any = rng_below(&r, 2) == 0; /* else mostly what needs an escape */
        for (size_t k = 0; k < n; k++)
            a[k] = any ? (char)(1 + rng_below(&r, 255)) : "\"\\\n\x1f\xC3\xB8x"[rng_below(&r, 7)];
        for (size_t k = 0; k < m; k++)
            b[k] = "[]{}:,\"1 \ntruefals"[rng_below(&r, 18)];
        a[n] = b[m] = '\0';
        struct log_field fields[] = {log_text("error_message", a), log_name("job_name", a),
                                     log_json("component", b), log_int("invocation_id", i)};
        sink_clear(s);
        log_emit(s->log, EV_RUN_FAILED, fields + rng_below(&r, 3), 2);
        json_decref(only_line(s));
    }
    sink_free(s);
}

/* Runs the case in a process of its own; it must be stopped by abort. */
static void aborts(const struct log_field *fields, size_t n)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka's own handler is not for this */
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDERR_FILENO);
        struct log *log = log_new(nowhere, "worker", LOG_DEBUG, NULL);
        log_emit(log, EV_PROCESS_READY, fields, n);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void refuses_other_fields(void **state)
{
    (void)state;
    const struct log_field unknown = log_name("email", "x");
    const struct log_field part = log_int("after", 1); /* of "after_ms" */
    const struct log_field end = log_int("ms", 1);
    const struct log_field twice[] = {log_int("after_ms", 1), log_int("after_ms", 2)};
    aborts(&unknown, 1);
    aborts(&part, 1);
    aborts(&end, 1);
    aborts(twice, 2);
}

/* ---- a slow reader ----------------------------------------------------------------------- */

/* Reads all that is there, without waiting; counts the lines and what log_dropped says. */
static void drain(int fd, int64_t *lines, int64_t *reported)
{
    static char text[LOG_RING_MAX];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof text - 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    assert_true(len == 0 || text[len - 1] == '\n'); /* a pipe holds whole lines */
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        json_t *value = json_loads(line, 0, NULL);
        assert_non_null(value);
        if (strcmp(string_of(value, "event"), "log_dropped") == 0)
            *reported += json_integer_value(json_object_get(value, "lines"));
        else
            *lines += 1;
        json_decref(value);
    }
}

static void never_waits(void **state)
{
    (void)state;
    enum { EMITTED = 20000 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0); /* the writing end may block */
    struct log *log = log_new(ends[1], "worker", LOG_INFO, NULL);
    alarm(60); /* if it waited, nobody would wake it */
    for (int i = 0; i < EMITTED; i++)
        log_event(log, EV_PROCESS_READY, log_int("after_ms", i));
    int64_t dropped = log_dropped(log), lines = 0, reported = 0;
    assert_true(log_pending(log));
    assert_in_range(dropped, 1, EMITTED - 1);
    while (log_pending(log)) {
        drain(ends[0], &lines, &reported);
        log_flush(log);
    }
    drain(ends[0], &lines, &reported);
    alarm(0);
    assert_int_equal(reported, dropped);
    assert_int_equal(lines + dropped, EMITTED);
    log_event(log, EV_PROCESS_READY, log_int("after_ms", 0)); /* and all is well again */
    drain(ends[0], &lines, &reported);
    assert_int_equal(lines + dropped, EMITTED + 1);
    assert_false(log_pending(log));
    log_free(log);
    close(ends[0]);
    close(ends[1]);
}

static void survives_a_reader_that_left(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct log *log = log_new(ends[1], "worker", LOG_INFO, NULL);
    close(ends[0]); /* SIGPIPE would end this test */
    log_event(log, EV_PROCESS_READY, log_int("after_ms", 1));
    assert_true(log_pending(log));
    log_free(log);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-S4: a line has time, level, event, pid and component", has_the_common_fields),
        TEST("R-S4: every kind of field is written as JSON, and line breaks never",
             writes_every_kind),
        TEST("R-S4, R-S5: a failure is logged with class, code and a scrubbed text",
             writes_failures),
        TEST("events below the level are skipped", obeys_its_level),
        TEST("of a line too long the texts are cut, and it stays JSON", cuts_texts_only),
        TEST("R-S4: any bytes in the fields give one line that parses", always_parses),
        TEST("R-S5: a field that the event's list does not name stops the program",
             refuses_other_fields),
        TEST("a slow reader costs lines, which are counted and reported, never time", never_waits),
        TEST("a reader that left costs lines, not the process", survives_a_reader_that_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
