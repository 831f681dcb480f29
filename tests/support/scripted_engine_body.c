#include "scripted_engine_body.h"

#include <stdlib.h>
#include <string.h>

/* A reader over the body; each read_… steps over what it read and the blanks behind it, and returns
 * false, at an undefined place, where something else stands. */
struct reader {
    const char *p, *end;
};

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool read_char(struct reader *r, char c)
{
    if (r->p >= r->end || *r->p != c)
        return false;
    r->p++;
    skip_blanks(r);
    return true;
}

static bool read_string(struct reader *r, struct text *ret_text)
{
    const char *from = r->p + 1;

    if (r->p >= r->end || *r->p != '"')
        return false;
    for (const char *p = from; p < r->end && (unsigned char)*p >= 0x20; p++) {
        if (*p == '"') {
            *ret_text = (struct text){.at = from, .len = (size_t)(p - from)};
            r->p = p + 1;
            skip_blanks(r);
            return true;
        }
        if (*p == '\\')
            p++;
    }
    return false;
}

/* A number, true, false or null: the letters as they stand. */
static bool read_literal(struct reader *r, struct text *ret_text)
{
    const char *from = r->p;

    while (r->p < r->end && strchr(",]} \t\r\n", *r->p) == NULL)
        r->p++;
    *ret_text = (struct text){.at = from, .len = (size_t)(r->p - from)};
    skip_blanks(r);
    return ret_text->len > 0;
}

static bool number_of(struct text t, double *ret_number)
{
    char digits[32];
    char *end;

    if (t.len == 0 || t.len >= sizeof(digits) || strchr("-0123456789", t.at[0]) == NULL)
        return false;
    memcpy(digits, t.at, t.len);
    digits[t.len] = '\0';
    *ret_number = strtod(digits, &end);
    return *end == '\0';
}

static bool skip_value(struct reader *r, int depth)
{
    struct text t;
    double number;
    char close;

    if (r->p >= r->end || depth > SE_NESTING_MAX)
        return false;
    if (*r->p == '"')
        return read_string(r, &t);
    if (*r->p != '{' && *r->p != '[') {
        return read_literal(r, &t) && (text_is(t, "true") || text_is(t, "false") ||
                                       text_is(t, "null") || number_of(t, &number));
    }
    close = *r->p == '{' ? '}' : ']';
    (void)read_char(r, *r->p);
    if (read_char(r, close))
        return true;
    do {
        if (close == '}' && !(read_string(r, &t) && read_char(r, ':')))
            return false;
        if (!skip_value(r, depth + 1))
            return false;
    } while (read_char(r, ','));
    return read_char(r, close);
}

/* Walks the members of the body's object. 1: *ret_name is a member's and the reader stands at its
 * value; 0: the object and the body are over; -1: no JSON object. */
static int next_member(struct reader *r, bool *first, struct text *ret_name)
{
    if (*first) {
        skip_blanks(r);
        if (!read_char(r, '{'))
            return -1;
        if (read_char(r, '}'))
            return r->p == r->end ? 0 : -1;
    } else if (!read_char(r, ',')) {
        return read_char(r, '}') && r->p == r->end ? 0 : -1;
    }
    *first = false;
    return read_string(r, ret_name) && read_char(r, ':') ? 1 : -1;
}

static bool is_date(struct text t)
{
    if (t.len != 10 || t.at[4] != '-' || t.at[7] != '-')
        return false;
    return text_number((struct text){t.at, 4}) >= 0 &&
           text_number((struct text){t.at + 5, 2}) >= 1 &&
           text_number((struct text){t.at + 8, 2}) >= 1;
}

static bool read_types(struct reader *r, struct evaluation *ev)
{
    ev->n_types = 0;
    if (!read_char(r, '['))
        return false;
    do {
        if (ev->n_types == SE_TYPES_MAX || !read_string(r, &ev->types[ev->n_types]))
            return false;
        ev->n_types++;
    } while (read_char(r, ','));
    return read_char(r, ']');
}

/* Reads one member's value; which of the four necessary ones it was goes into *seen as a bit. */
static bool evaluation_member(struct reader *r, struct text name, struct evaluation *ev,
                              unsigned *seen)
{
    struct text t;
    struct id ignored;

    if (text_is(name, "peer_mentor_id")) {
        *seen |= 1;
        return read_string(r, &t) && (ev->has_mentor = id_parse(t, &ev->mentor));
    }
    if (text_is(name, "invocation_id")) {
        *seen |= 2;
        return read_string(r, &t) && id_parse(t, &ignored);
    }
    if (text_is(name, "evaluation_date")) {
        *seen |= 4;
        return read_string(r, &t) && is_date(t);
    }
    if (text_is(name, "scenario_types")) {
        *seen |= 8;
        return read_types(r, ev);
    }
    if (text_is(name, "dry_run"))
        return read_literal(r, &t) && (text_is(t, "true") || text_is(t, "false"));
    return skip_value(r, 1);
}

int body_evaluation(struct text body, struct evaluation *ret_evaluation, struct why *why)
{
    struct reader r = {.p = body.at, .end = body.at + body.len};
    struct evaluation *ev = ret_evaluation;
    struct text name;
    unsigned seen = 0;
    bool first = true;
    int more;

    ev->has_mentor = false;
    ev->n_types = 0;
    while ((more = next_member(&r, &first, &name)) > 0) {
        if (!evaluation_member(&r, name, ev, &seen)) {
            int shown = name.len > 40 ? 40 : (int)name.len;

            return why_set(why, "%.*s is not what the contract says", shown, name.at);
        }
    }
    if (more < 0)
        return why_set(why, "the body is not a JSON object");
    if (seen != 15)
        return why_set(why, "one of invocation_id, peer_mentor_id, evaluation_date, "
                            "scenario_types is missing");
    return 0;
}

static bool change_member(struct reader *r, struct text name, struct change *change)
{
    struct text t;
    double number;

    if (text_is(name, "mode"))
        return read_string(r, &change->mode);
    if (!read_literal(r, &t) || !number_of(t, &number))
        return false;
    if (text_is(name, "latency") && number >= 0 && number <= SE_LATENCY_MAX_MS) {
        change->has_latency = true;
        change->latency_ms = number;
        return true;
    }
    if (text_is(name, "max_in_flight") && text_is(t, "0")) {
        change->resets_maximum = true;
        return true;
    }
    return false;
}

int body_change(struct text body, struct change *ret_change, struct why *why)
{
    struct reader r = {.p = body.at, .end = body.at + body.len};
    struct change change = {0};
    struct text name;
    bool first = true;
    int more;

    while ((more = next_member(&r, &first, &name)) > 0)
        if (!change_member(&r, name, &change))
            return why_set(why, "members are latency (ms), mode (a string), max_in_flight (0)");
    if (more < 0)
        return why_set(why, "the body is not a JSON object");
    *ret_change = change;
    return 0;
}
