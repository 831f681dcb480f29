#include "scripted_engine_answer.h"
#include "scripted_engine_limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_ROOM 256 /* the head is written in front of the body, once its length is known */

struct answer_page {
    char bytes[SE_ANSWER_MAX];
};

struct answer_page *answer_page_new(struct why *why)
{
    struct answer_page *page = malloc(sizeof(*page));

    if (page == NULL)
        (void)why_errno(why, "room for an answer");
    return page;
}

void answer_page_free(struct answer_page *page)
{
    free(page);
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return " OK";
    case 400:
        return " Bad Request";
    case 401:
        return " Unauthorized";
    case 429:
        return " Too Many Requests";
    case 500:
        return " Internal Server Error";
    case 503:
        return " Service Unavailable";
    default:
        return " Scripted";
    }
}

static struct out body_begin(struct answer_page *page)
{
    return (struct out){.at = page->bytes + HEAD_ROOM, .cap = sizeof(page->bytes) - HEAD_ROOM};
}

static void head_write(struct out *o, int status, const char *content_type, bool keep_alive)
{
    out_word(o, "HTTP/1.1 ");
    out_number(o, status);
    out_word(o, reason_of(status));
    out_word(o, "\r\nContent-Type: ");
    out_word(o, content_type);
    if (!keep_alive)
        out_word(o, "\r\nConnection: close");
    if (status == 401)
        out_word(o, "\r\nWWW-Authenticate: Bearer");
    if (status < 400 && status >= 300)
        out_word(o, "\r\nLocation: /elsewhere");
}

/* Puts the head into the room that body_begin left before the body: one piece, one send. */
static struct text finish(const struct out *body, int status, int retry_after, bool keep_alive)
{
    char room[HEAD_ROOM];
    struct out head = {.at = room, .cap = sizeof(room)};

    head_write(&head, status, "application/json", keep_alive);
    if (retry_after > 0) {
        out_word(&head, "\r\nRetry-After: ");
        out_number(&head, retry_after);
    }
    out_word(&head, "\r\nContent-Length: ");
    out_number(&head, (int64_t)body->len);
    out_word(&head, "\r\n\r\n");
    char *from = body->at - head.len;
    memcpy(from, head.at, head.len);
    return (struct text){.at = from, .len = head.len + body->len};
}

/* The word in a decision's "action". */
static const char *action_word(enum action_kind kind)
{
    if (kind == ACTION_DISPATCHED)
        return "dispatched";
    if (kind == ACTION_SUPPRESS)
        return "suppress";
    if (kind == ACTION_UNKNOWN_ACTION)
        return "postpone";
    return "dispatch";
}

static void decision_write(struct out *o, const struct action *action, struct text type)
{
    out_word(o, o->at[o->len - 1] == '[' ? "{\"scenario_type\":\"" : ",{\"scenario_type\":\"");
    if (action->kind == ACTION_FOREIGN_TYPE)
        out_word(o, "not_asked_for");
    else
        out_text(o, type);
    out_word(o, "\",\"action\":\"");
    out_word(o, action_word(action->kind));
    if (action->kind == ACTION_SUPPRESS) {
        out_word(o, "\",\"reason\":\"");
        if (action->note.at != NULL)
            out_text(o, action->note);
        else
            out_word(o, "scripted");
        out_word(o, "\"}");
        return;
    }
    if (action->note.at != NULL) {
        out_word(o, "\",\"about_id\":\"");
        out_text(o, action->note);
    }
    out_word(o, "\",\"payload\":{\"engine\":\"scripted\"}}");
}

/* A decision so large that the client must give up on it. */
static void huge_write(struct out *o, struct text type)
{
    out_word(o, "{\"scenario_type\":\"");
    out_text(o, type);
    out_word(o, "\",\"action\":\"dispatch\",\"payload\":{\"padding\":\"");
    assert(o->cap - o->len > SE_HUGE_BYTES);
    memset(o->at + o->len, 'x', SE_HUGE_BYTES);
    o->len += SE_HUGE_BYTES;
    out_word(o, "\"}}");
}

static void decisions_write(struct out *o, const struct action *action, const struct evaluation *ev)
{
    struct id named = ev->mentor;

    if (action->kind == ACTION_WRONG_ID)
        named.b[15] ^= 1;
    out_word(o, "{\"peer_mentor_id\":\"");
    id_write(o, &named);
    out_word(o, "\",\"decisions\":[");
    if (action->kind == ACTION_HUGE) {
        huge_write(o, ev->types[0]);
    } else if (action->kind != ACTION_NONE) {
        int times = action->kind == ACTION_TWO_DECISIONS ? 2 : 1;

        for (int i = 0; i < ev->n_types * times; i++)
            decision_write(o, action, ev->types[i / times]);
    }
    out_word(o, "]}");
}

struct text answer_call(struct answer_page *page, const struct action *action,
                        const struct evaluation *ev, const char *error, bool keep_alive)
{
    struct out body = body_begin(page);
    int status = answer_status(action);

    if (action->kind == ACTION_STATUS) {
        out_word(&body, "{\"error\":\"");
        out_word(&body, error);
        out_word(&body, "\"}");
    } else if (action->kind == ACTION_GARBAGE) {
        out_word(&body, "<html>Everything is fine</html>");
    } else {
        assert(ev->has_mentor);
        decisions_write(&body, action, ev);
    }
    struct text answer = finish(&body, status, action->retry_after, keep_alive);
    if (action->kind == ACTION_TRUNCATED)
        answer.len -= body.len / 2;
    return answer;
}

int answer_status(const struct action *action)
{
    if (action->kind == ACTION_HANG || action->kind == ACTION_RESET)
        return 0;
    return action->kind == ACTION_STATUS ? action->status : 200;
}

struct text answer_json(struct answer_page *page, int status, const char *json, bool keep_alive)
{
    struct out body = body_begin(page);

    out_word(&body, json);
    return finish(&body, status, 0, keep_alive);
}

struct text answer_chunked_head(struct answer_page *page, bool keep_alive)
{
    struct out head = {.at = page->bytes, .cap = sizeof(page->bytes)};

    head_write(&head, 200, "text/plain", keep_alive);
    out_word(&head, "\r\nTransfer-Encoding: chunked\r\n\r\n");
    return (struct text){.at = head.at, .len = head.len};
}
