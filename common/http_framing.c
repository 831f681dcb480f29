/* See http_framing.h. One function a kind of byte; each returns the next state. */
#include "http_framing.h"

#include "limits.h"

#include <string.h>

enum state {
    STATE_METHOD, /* of the next request; 0, so that a zeroed struct begins here */
    STATE_TARGET,
    STATE_VERSION,
    STATE_LINE, /* a header line's first byte, or the empty line's CR */
    STATE_NAME,
    STATE_VALUE,
    STATE_LINE_LF, /* after a CR only an LF is right */
    STATE_END_LF,
    STATE_BODY,
    STATE_REFUSED,
};

enum field { FIELD_OTHER, FIELD_HOST, FIELD_LENGTH };

static bool is_token(char c)
{
    char lower = (char)(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void add_to_word(struct http_framing *f, char c)
{
    if (f->at < HTTP_FRAMING_WORD) {
        f->word[f->at] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        f->word[f->at + 1] = '\0';
    }
    f->at++;
}

static enum state method_byte(struct http_framing *f, char c)
{
    if (c == ' ' && f->at > 0) {
        if (strcmp(f->word, "connect") == 0) /* no bytes behind it are a request */
            return STATE_REFUSED;
        f->head = strcmp(f->word, "head") == 0 || strcmp(f->word, "trace") == 0;
        f->at = 0;
        return STATE_TARGET;
    }
    if (!is_token(c))
        return STATE_REFUSED;
    add_to_word(f, c);
    return STATE_METHOD;
}

/* From "/" on, and a proxy's own forms not: nobody but a proxy is asked for http://… or host:port.
 */
static enum state target_byte(struct http_framing *f, char c)
{
    if (c == ' ' && f->at > 0) {
        f->at = 0;
        return STATE_VERSION;
    }
    if (c <= ' ' || c >= 0x7f || c == '#' || (f->at == 0 && c != '/'))
        return STATE_REFUSED;
    f->at++;
    return STATE_TARGET;
}

static enum state version_byte(struct http_framing *f, char c)
{
    static const char version[] = "HTTP/1.";
    size_t at = f->at++;
    if (at < sizeof version - 1)
        return c == version[at] ? STATE_VERSION : STATE_REFUSED;
    if (at == sizeof version - 1) {
        f->minor = c - '0';
        return c == '0' || c == '1' ? STATE_VERSION : STATE_REFUSED;
    }
    return c == '\r' ? STATE_LINE_LF : STATE_REFUSED;
}

static enum state line_byte(struct http_framing *f, char c)
{
    if (c == '\r')
        return STATE_END_LF;
    if (!is_token(c)) /* also a blank: a folded line */
        return STATE_REFUSED;
    f->at = 0;
    add_to_word(f, c);
    return STATE_NAME;
}

static enum state name_byte(struct http_framing *f, char c)
{
    if (c != ':') {
        add_to_word(f, c);
        return is_token(c) ? STATE_NAME : STATE_REFUSED;
    }
    if (strcmp(f->word, "transfer-encoding") == 0)
        return STATE_REFUSED;
    f->field = FIELD_OTHER;
    f->digits = 0;
    f->spaced = false;
    if (strcmp(f->word, "host") == 0) {
        f->field = FIELD_HOST;
        f->hosts++;
    } else if (strcmp(f->word, "content-length") == 0) {
        f->field = FIELD_LENGTH;
        f->lengths++;
    }
    return STATE_VALUE;
}

/* Beyond the cap evhttp has refused the body already: how long it is does not matter then. */
static enum state length_byte(struct http_framing *f, char c)
{
    if (c == ' ' || c == '\t') {
        f->spaced = f->digits > 0;
        return STATE_VALUE;
    }
    if (c < '0' || c > '9' || f->spaced)
        return STATE_REFUSED;
    f->digits = 1;
    if (f->body <= HTTP_BODY_MAX)
        f->body = 10 * f->body + (c - '0');
    return STATE_VALUE;
}

static enum state value_byte(struct http_framing *f, char c)
{
    bool length = f->field == FIELD_LENGTH;
    if (c == '\r')
        return length && f->digits == 0 ? STATE_REFUSED : STATE_LINE_LF;
    if (length)
        return length_byte(f, c);
    bool control = (c >= 0 && c < ' ' && c != '\t') || c == 0x7f;
    return control ? STATE_REFUSED : STATE_VALUE;
}

static enum state next_request(struct http_framing *f)
{
    *f = (struct http_framing){.whole = f->whole + 1};
    return STATE_METHOD;
}

static enum state end_of_head(struct http_framing *f)
{
    bool hosts = f->hosts == 1 || (f->hosts == 0 && f->minor == 0);
    if (!hosts || f->lengths > 1 || (f->head && f->body > 0))
        return STATE_REFUSED;
    return f->body > 0 ? STATE_BODY : next_request(f);
}

static enum state head_byte(struct http_framing *f, char c)
{
    if (++f->size > HTTP_HEADER_MAX)
        return STATE_REFUSED;
    switch ((enum state)f->state) {
    case STATE_METHOD:
        return method_byte(f, c);
    case STATE_TARGET:
        return target_byte(f, c);
    case STATE_VERSION:
        return version_byte(f, c);
    case STATE_LINE:
        return line_byte(f, c);
    case STATE_NAME:
        return name_byte(f, c);
    case STATE_VALUE:
        return value_byte(f, c);
    case STATE_LINE_LF:
        return c == '\n' ? STATE_LINE : STATE_REFUSED;
    case STATE_END_LF:
        return c == '\n' ? end_of_head(f) : STATE_REFUSED;
    case STATE_BODY:
    case STATE_REFUSED:
        break;
    }
    return STATE_REFUSED;
}

void http_framing_read(struct http_framing *f, const char *bytes, size_t len)
{
    while (len > 0 && f->state != STATE_REFUSED) {
        size_t taken = 1;
        if (f->state != STATE_BODY) {
            f->state = (int)head_byte(f, *bytes);
        } else {
            taken = (int64_t)len < f->body ? len : (size_t)f->body;
            f->body -= (int64_t)taken;
            if (f->body == 0)
                f->state = (int)next_request(f);
        }
        bytes += taken;
        len -= taken;
    }
}

bool http_framing_is_sound(const struct http_framing *f, unsigned n)
{
    return f->whole > n;
}
