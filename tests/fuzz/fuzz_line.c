/* Scrubber and NDJSON writer: whatever a text from outside holds, a log line is one JSON object
 * that a strict reader takes, of bounded length, and says what the scrubber says; scrubbing what is
 * scrubbed changes nothing that matters: a canary does not come back. */
#include "fuzz.h"
#include "limits.h"
#include "log.h"
#include "scrub.h"
#include "utf8.h"

#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY "canary.wren@example.org"

static void check_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t one = utf8_length(text + i, len - i);
        MUST(one > 0 && (unsigned char)text[i] >= 0x20);
        i += one;
    }
}

static void try_scrub(const char *in, size_t len)
{
    char out[LOG_LINE_MAX];
    size_t n = scrub_text(in, len, out, sizeof out);
    MUST(n < sizeof out && out[n] == '\0');
    check_clean(out, n);
}

/* The text between spaces beside a canary: it must go, whatever stands around it. */
static void try_canary(const char *in, size_t len)
{
    char text[256], out[sizeof text + 64];
    size_t half = len < 100 ? len : 100;
    memcpy(text, in, half);
    memcpy(text + half, " " CANARY " ", sizeof CANARY + 1);
    (void)scrub_text(text, half + sizeof CANARY + 1, out, sizeof out);
    MUST(!strstr(out, CANARY));
}

static void try_line(const char *text)
{
    int fd = memfd_create("line", MFD_CLOEXEC);
    struct log *log = fd < 0 ? NULL : log_new(fd, "worker", LOG_DEBUG, NULL);
    if (log) {
        log_event(log, EV_PROCESS_WAITING, log_name("waiting_for", text),
                  log_text("error_message", text));
        log_flush(log);
        char line[2 * LOG_LINE_MAX];
        ssize_t n = pread(fd, line, sizeof line, 0);
        MUST(n > 0 && n <= LOG_LINE_MAX && line[n - 1] == '\n');
        MUST(memchr(line, '\n', (size_t)n) == line + n - 1);
        json_t *object = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        MUST(json_is_object(object));
        MUST(json_is_string(json_object_get(object, "event")));
        json_decref(object);
        log_free(log);
    }
    if (fd >= 0)
        close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    try_scrub(text, size);
    try_canary(text, size);
    try_line(text);
    free(text);
    return 0;
}
