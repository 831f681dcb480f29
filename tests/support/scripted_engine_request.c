#include "scripted_engine_request.h"
#include "scripted_engine_limits.h"

#include <string.h>

/* What the headers say, before it is known whether the body is there. */
struct head {
    struct request req;
    int64_t content_length; /* -1: none */
    int refused;            /* a status, 0: nothing wrong so far */
};

static struct text slice(const char *from, const char *to)
{
    return (struct text){.at = from, .len = (size_t)(to - from)};
}

static struct text trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return slice(from, to);
}

static void request_line(struct head *h, const char *line, const char *end)
{
    const char *target = memchr(line, ' ', (size_t)(end - line));
    const char *version = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;

    if (version == NULL || target[1] != '/') {
        h->refused = 400;
        return;
    }
    const char *query = memchr(target, '?', (size_t)(version - target));
    struct text v = slice(version + 1, end);
    h->req.method = slice(line, target);
    h->req.path = slice(target + 1, query ? query : version);
    h->req.keep_alive = text_is(v, "HTTP/1.1");
    if (!h->req.keep_alive && !text_is(v, "HTTP/1.0"))
        h->refused = 400;
}

static void content_length(struct head *h, struct text value)
{
    int64_t n = text_number(value);

    if (n < 0 || h->content_length >= 0)
        h->refused = 400;
    else if (n > SE_REQUEST_MAX)
        h->refused = 413;
    else
        h->content_length = n;
}

static void header_line(struct head *h, const char *line, const char *end)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));

    if (colon == NULL || colon == line) {
        h->refused = 400;
        return;
    }
    struct text name = slice(line, colon), value = trimmed(colon + 1, end);
    switch (name.len) { /* most headers are told apart by their length alone */
    case sizeof("Connection") - 1:
        if (text_is_nocase(name, "Connection") && text_is_nocase(value, "close"))
            h->req.keep_alive = false;
        break;
    case sizeof("Authorization") - 1:
        if (text_is_nocase(name, "Authorization"))
            h->req.authorization = value;
        break;
    case sizeof("Content-Length") - 1:
        if (text_is_nocase(name, "Content-Length"))
            content_length(h, value);
        break;
    case sizeof("Idempotency-Key") - 1:
        if (text_is_nocase(name, "Idempotency-Key"))
            h->req.key = value;
        break;
    case sizeof("Transfer-Encoding") - 1:
        if (text_is_nocase(name, "Transfer-Encoding"))
            h->refused = 501;
        break;
    default:
        break;
    }
}

static void read_head(struct head *h, const char *bytes, const char *end)
{
    const char *line = bytes;

    while (line < end && h->refused == 0) {
        const char *eol = memchr(line, '\r', (size_t)(end - line));

        if (eol == NULL || eol[1] != '\n') {
            h->refused = 400;
        } else {
            if (line == bytes)
                request_line(h, line, eol);
            else
                header_line(h, line, eol);
            line = eol + 2;
        }
    }
}

enum request_state request_parse(const char *bytes, size_t len, struct request *ret_request,
                                 int *ret_status)
{
    struct head h = {.content_length = -1};
    const char *blank = memmem(bytes, len, "\r\n\r\n", 4);

    if (blank == NULL) {
        if (len < SE_REQUEST_MAX)
            return REQUEST_PART;
        *ret_status = 413;
        return REQUEST_BAD;
    }
    size_t body_at = (size_t)(blank - bytes) + 4;
    read_head(&h, bytes, blank + 2);
    if (h.refused == 0 && h.content_length < 0 && text_is(h.req.method, "POST"))
        h.refused = 411;
    size_t body_len = h.content_length > 0 ? (size_t)h.content_length : 0;
    if (h.refused == 0 && body_at + body_len > SE_REQUEST_MAX)
        h.refused = 413;
    if (h.refused != 0) {
        *ret_status = h.refused;
        return REQUEST_BAD;
    }
    if (len - body_at < body_len)
        return REQUEST_PART;
    h.req.body = (struct text){.at = bytes + body_at, .len = body_len};
    h.req.length = body_at + body_len;
    *ret_request = h.req;
    return REQUEST_WHOLE;
}
