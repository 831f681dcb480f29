/* See scrub.h. One pass from left to right: at each place the matchers below are asked in turn; the
 * first that knows what stands there says what to write instead and how much to skip, else one
 * character is copied. A matcher looks ahead only where its run of characters begins, so that each
 * byte is looked at a bounded number of times. When in doubt a text loses a harmless word. */
#include "scrub.h"

#include "utf8.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define UUID_LENGTH 36
#define UUID_CUT_SHORT 9 /* digits and dash that make a UUID cut off at the end of the text */
#define KEY_LONGEST 48   /* of a name in name=value */
#define PHONE_FEWEST 8   /* digits: Norwegian numbers have eight */
#define PHONE_MOST 15    /* digits, by E.164 */
#define PHONE_LONGEST 32 /* characters, with what stands between the digits */
#define DATE_LENGTH 10
#define JWT_SHORTEST 10
#define HEX_SHORTEST 16 /* eight random bytes */
#define TOKEN_SHORTEST 20
#define FRAME_LONGEST 200 /* characters of a line of a stack trace that are looked at */

/* What is read, where we are, and what is written. */
struct scrub {
    const char *in;
    size_t n, i;
    size_t url_end; /* up to here we are inside a URL */
    size_t fresh;   /* where the last replacement ended: what follows is a beginning */
    char *out;
    size_t len, room; /* room: without the zero */
};

/* ---- characters -------------------------------------------------------------------------- */

/* The byte at i, 0 beyond the end. */
static char at(const struct scrub *s, size_t i)
{
    return i < s->n ? s->in[i] : '\0';
}

static char before(const struct scrub *s)
{
    return s->i > s->fresh ? s->in[s->i - 1] : '\0';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_local(char c) /* of an e-mail address before the @ */
{
    return is_word(c) || c == '.' || c == '+' || c == '-' || c == '%';
}

static bool is_token(char c)
{
    return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '+' || c == '/';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Ends a URL or an unquoted value. */
static bool is_end(char c)
{
    return c == '\0' || is_space(c) || c == '"' || c == '\'' || c == '<' || c == '>' || c == '`';
}

static size_t run(const struct scrub *s, size_t i, bool (*belongs)(char))
{
    size_t end = i;
    while (end < s->n && belongs(s->in[end]))
        end++;
    return end - i;
}

static bool says(const struct scrub *s, size_t i, const char *word)
{
    size_t len = strlen(word);
    return i < s->n && s->n - i >= len && strncasecmp(s->in + i, word, len) == 0;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* Whole or not at all, so that no character is cut; then nothing more is written. */
static void put(struct scrub *s, const char *bytes, size_t len)
{
    if (len > s->room - s->len) {
        s->room = s->len;
        return;
    }
    memcpy(s->out + s->len, bytes, len);
    s->len += len;
}

static bool replace(struct scrub *s, size_t end, const char *with)
{
    put(s, with, strlen(with));
    s->i = s->fresh = end;
    return true;
}

static bool copy_char(struct scrub *s)
{
    const char *c = s->in + s->i;
    size_t len = utf8_length(c, s->n - s->i);
    bool c1 = len == 2 && (unsigned char)c[0] == 0xC2 && (unsigned char)c[1] < 0xA0;
    if (len == 0)
        put(s, "?", 1);
    else if (c1 || (unsigned char)c[0] < 0x20 || c[0] == 0x7F)
        put(s, " ", 1);
    else
        put(s, c, len);
    s->i += len > 0 ? len : 1;
    return true;
}

static bool copy_to(struct scrub *s, size_t end)
{
    while (s->i < end)
        copy_char(s);
    return true;
}

/* ---- stack traces ------------------------------------------------------------------------ */

/* A line begins here: also after a line break that somebody wrote as \n or made two spaces of. */
static bool line_begins(const struct scrub *s)
{
    if (s->i == 0)
        return true;
    char last = s->in[s->i - 1];
    char one_before = s->i > 1 ? s->in[s->i - 2] : '\0';
    return last == '\n' || last == '\r' || (is_space(last) && is_space(one_before)) ||
           (last == 'n' && one_before == '\\') || (last == 't' && one_before == '\\');
}

/* "at name (file", "at name.of.method", "at /file:1:2": JavaScript, Java, .NET. */
static bool is_at_frame(const struct scrub *s, size_t i)
{
    if (!says(s, i, "at "))
        return false;
    i += strlen("at ");
    if (says(s, i, "async ") || says(s, i, "new "))
        i += s->in[i] == 'a' || s->in[i] == 'A' ? strlen("async ") : strlen("new ");
    if (is_digit(at(s, i)))
        return false;
    if (at(s, i) == '<') /* <anonymous> */
        return true;
    for (size_t end = i + FRAME_LONGEST; i < end && !is_end(at(s, i)); i++)
        if (strchr(".(/:", at(s, i)))
            return true;
    return at(s, i) == ' ' && at(s, i + 1) == '(';
}

static bool is_frame(const struct scrub *s, size_t i)
{
    static const char *const beginnings[] = {
        "Traceback (most recent",
        "Stack trace:",
        "Stacktrace:",
        "stack backtrace:",
        "Caused by: ",
        "goroutine ",
        "File \"",
        "PL/pgSQL function ",
        "#0 ",
        "#1 ",
        "\"stack\":",
        "0: 0x",
    };
    for (size_t k = 0; k < sizeof beginnings / sizeof beginnings[0]; k++)
        if (says(s, i, beginnings[k]))
            return true;
    return is_at_frame(s, i);
}

static bool match_stack(struct scrub *s)
{
    if (is_space(at(s, s->i)) || !line_begins(s) || !is_frame(s, s->i))
        return false;
    return replace(s, s->n, "[stack]");
}

/* ---- ids, addresses, numbers ------------------------------------------------------------- */

/* How many bytes from i on have the form of a UUID: UUID_LENGTH if it is one. */
static size_t uuid_form(const struct scrub *s, size_t i)
{
    size_t k = 0;
    while (k < UUID_LENGTH && i + k < s->n) {
        bool dash = k == 8 || k == 13 || k == 18 || k == 23;
        if (dash ? s->in[i + k] != '-' : !is_hex(s->in[i + k]))
            break;
        k++;
    }
    return k;
}

static bool match_uuid(struct scrub *s)
{
    if (!is_hex(at(s, s->i)) || at(s, s->i + 8) != '-')
        return false;
    size_t len = uuid_form(s, s->i);
    bool cut_short = len >= UUID_CUT_SHORT && s->i + len == s->n;
    return (len == UUID_LENGTH || cut_short) && replace(s, s->i + len, "[uuid]");
}

static bool match_email(struct scrub *s)
{
    if (is_local(before(s)))
        return false;
    size_t len = run(s, s->i, is_local);
    size_t end = s->i + len;
    bool plain = len > 0 && at(s, end) == '@' && is_word(at(s, end + 1));
    if (plain)
        end += 1 + run(s, end + 1, is_local);
    else if (len == 0 || !memmem(s->in + s->i, len, "%40", 3)) /* the @ in a URL */
        return false;
    while (at(s, end - 1) == '.') /* the sentence's own full stop */
        end--;
    return replace(s, end, "[email]");
}

/* 2026-11-21: eight digits in groups, and no telephone number. */
static bool is_date(const struct scrub *s, size_t i)
{
    static const char form[] = "dddd-dd-dd";
    for (size_t k = 0; k < DATE_LENGTH; k++)
        if (form[k] == 'd' ? !is_digit(at(s, i + k)) : at(s, i + k) != form[k])
            return false;
    return (at(s, i) == '1' || at(s, i) == '2') && !is_digit(at(s, i + DATE_LENGTH));
}

/* Between two groups of digits: one space or dash, or the brackets of (0)47. */
static size_t phone_gap(const struct scrub *s, size_t i)
{
    size_t gap = 0;
    while (gap < 2 && at(s, i + gap) != '\0' && strchr(" -()", at(s, i + gap)))
        gap++;
    return is_digit(at(s, i + gap)) ? gap : 0;
}

static bool match_phone(struct scrub *s)
{
    bool plus = at(s, s->i) == '+';
    size_t i = s->i + plus;
    bool fraction = before(s) == '.' && s->i > 1 && is_digit(s->in[s->i - 2]);
    if (!is_digit(at(s, i)) || is_word(before(s)) || fraction)
        return false;
    if (is_date(s, i))
        return copy_to(s, i + DATE_LENGTH);
    size_t digits = 0;
    while (i < s->i + PHONE_LONGEST) {
        size_t group = run(s, i, is_digit);
        size_t gap = phone_gap(s, i + group);
        digits += group;
        i += group;
        if (gap == 0 || is_date(s, i + gap) || digits >= PHONE_MOST || (!plus && group == 1))
            break;
        i += gap;
    }
    bool ends = !is_word(at(s, i));
    return digits >= PHONE_FEWEST && ends && replace(s, i, "[number]");
}

/* ---- tokens ------------------------------------------------------------------------------ */

/* How often the kind of character changes: words keep to one kind, random text does not. */
static size_t changes(const char *p, size_t len, size_t *ret_digits)
{
    size_t n = 0, digits = 0;
    int last = 0;
    for (size_t k = 0; k < len; k++) {
        int kind = is_digit(p[k]) ? 1 : !is_letter(p[k]) ? last : p[k] < 'a' ? 2 : 3;
        n += kind != last && last != 0;
        digits += kind == 1 && is_digit(p[k]);
        last = kind;
    }
    *ret_digits = digits;
    return n;
}

static bool looks_random(const char *p, size_t len)
{
    size_t digits;
    return len >= TOKEN_SHORTEST && changes(p, len, &digits) * 4 >= len && digits > 0;
}

static bool is_jwt(char c)
{
    return is_token(c) || c == '.';
}

/* A UUID inside ends the run: it is replaced by itself, and the words before it stay. */
static size_t token_run(const struct scrub *s)
{
    size_t i = s->i;
    while (is_token(at(s, i)) && (at(s, i + 8) != '-' || uuid_form(s, i) != UUID_LENGTH))
        i++;
    return i - s->i;
}

static bool match_token(struct scrub *s)
{
    if (is_token(before(s)))
        return false;
    size_t len = token_run(s);
    if (says(s, s->i, "eyJ") && len >= JWT_SHORTEST)
        return replace(s, s->i + run(s, s->i, is_jwt), "[token]");
    if (!looks_random(s->in + s->i, len))
        return false;
    while (at(s, s->i + len) == '=')
        len++;
    return replace(s, s->i + len, "[token]");
}

static bool match_hex(struct scrub *s)
{
    if (is_hex(before(s)))
        return false;
    size_t len = run(s, s->i, is_hex);
    return len >= HEX_SHORTEST && replace(s, s->i + len, "[token]");
}

/* Where the value at i ends: at its closing quote when it has one. */
static size_t value_end(const struct scrub *s, size_t i)
{
    char quote = at(s, i - 1);
    if (quote == '"' || quote == '\'') {
        while (i < s->n && s->in[i] != quote)
            i += s->in[i] == '\\' && i + 1 < s->n ? 2 : 1;
        return i;
    }
    while (!is_end(at(s, i)) && !strchr(",;&)}", at(s, i)))
        i++;
    return i;
}

static bool match_bearer(struct scrub *s)
{
    bool bearer = says(s, s->i, "Bearer ");
    size_t i = s->i + (bearer ? strlen("Bearer ") : strlen("Basic "));
    if (is_word(before(s)) || is_end(at(s, i)) || (!bearer && !says(s, s->i, "Basic ")))
        return false;
    size_t len = run(s, i, is_jwt);
    if (!bearer && len < JWT_SHORTEST && at(s, i + len) != '=') /* "Basic auth is off" */
        return false;
    copy_to(s, i);
    return replace(s, value_end(s, i), "[token]");
}

static bool is_key(char c)
{
    return is_letter(c) || is_digit(c) || c == '_' || c == '-';
}

static bool names_secret(const char *key, size_t len)
{
    static const char *const endings[] = {"password", "passwd",       "pwd",     "secret",
                                          "token",    "api_key",      "api-key", "apikey",
                                          "role_key", "authorization"};
    for (size_t k = 0; k < sizeof endings / sizeof endings[0]; k++) {
        size_t n = strlen(endings[k]);
        if (len >= n && strncasecmp(key + len - n, endings[k], n) == 0)
            return true;
    }
    return false;
}

/* password=…, "token": "…", X-Scheduler-Secret: …, Authorization: Basic …; but not a sentence that
 * says "SECRET: 64 digits are needed". */
static bool match_named(struct scrub *s)
{
    size_t len = is_key(before(s)) ? 0 : run(s, s->i, is_key);
    if (len == 0 || len > KEY_LONGEST || !names_secret(s->in + s->i, len))
        return false;
    size_t i = s->i + len;
    bool quoted = at(s, i) == '"' || at(s, i) == '\'';
    bool header = memchr(s->in + s->i, '-', len) || says(s, s->i, "authorization");
    i += quoted;
    size_t gap = run(s, i, is_space);
    char sign = at(s, i + gap);
    size_t after = i + gap + 1;
    size_t space = run(s, after, is_space);
    bool spaced = quoted || sign == '=' || header;
    if ((sign != '=' && sign != ':') || (gap + space > 0 && !spaced))
        return false;
    i = after + space;
    if (says(s, i, "Basic ") || says(s, i, "Bearer "))
        i += run(s, i, is_letter) + 1;
    i += at(s, i) == '"' || at(s, i) == '\'';
    if (is_end(at(s, i)))
        return false;
    copy_to(s, i);
    return replace(s, value_end(s, i), "[token]");
}

/* ---- URLs -------------------------------------------------------------------------------- */

/* The place behind the last @ between i and end, or i. */
static size_t behind_at(const struct scrub *s, size_t i, size_t end)
{
    const char *last = memrchr(s->in + i, '@', end - i);
    return last ? (size_t)(last - s->in) + 1 : i;
}

/* Where the host begins. A password may hold the characters that end an address, so for what is
 * no web address, or has no number where the port should be, the last @ of all counts. */
static size_t host_begins(const struct scrub *s, size_t i, size_t end, bool web)
{
    size_t stop = i;
    while (stop < end && !strchr("/?#", s->in[stop]))
        stop++;
    size_t host = behind_at(s, i, stop);
    const char *colon = host == i ? memchr(s->in + i, ':', stop - i) : NULL;
    bool port = colon && is_digit(at(s, (size_t)(colon - s->in) + 1));
    if (!web || (colon && !port && s->in[i] != '['))
        host = behind_at(s, host, end);
    return host;
}

static bool match_url(struct scrub *s)
{
    if (s->i < s->url_end || !says(s, s->i, "://"))
        return false;
    const char *sign = s->in + s->i;
    bool web = (s->i >= 4 && strncasecmp(sign - 4, "http", 4) == 0) ||
               (s->i >= 5 && strncasecmp(sign - 5, "https", 5) == 0);
    size_t i = s->i + strlen("://");
    s->url_end = i;
    while (!is_end(at(s, s->url_end)))
        s->url_end++;
    size_t host = host_begins(s, i, s->url_end, web);
    copy_to(s, i);
    return host == i || replace(s, host, "[credentials]@");
}

/* Of a URL's query or fragment nothing is kept: parameters are where ids and tokens travel. */
static bool match_query(struct scrub *s)
{
    bool query = s->i < s->url_end && (at(s, s->i) == '?' || at(s, s->i) == '#');
    return query && replace(s, s->url_end, "?[query]");
}

/* ------------------------------------------------------------------------------------------ */

size_t scrub_text(const char *in, size_t in_len, char *out, size_t out_size)
{
    if (out_size == 0)
        return 0;
    struct scrub s = {.in = in, .n = in_len, .out = out, .room = out_size - 1};
    while (s.i < s.n && s.len < s.room) {
        (void)(match_stack(&s) || match_uuid(&s) || match_url(&s) || match_query(&s) ||
               match_named(&s) || match_bearer(&s) || match_email(&s) || match_hex(&s) ||
               match_token(&s) || match_phone(&s) || copy_char(&s)); /* the last always does */
    }
    out[s.len] = '\0';
    return s.len;
}
