#include "scripted_engine_script.h"
#include "scripted_engine_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum argument { ARGUMENT_NO, ARGUMENT_REASON, ARGUMENT_ABOUT, ARGUMENT_SECONDS };

static const struct {
    const char *name;
    enum argument argument;
} ACTIONS[] = {
#define ACTION(id, name, argument) {name, ARGUMENT_##argument},
#include "scripted_engine_action.def"
#undef ACTION
};
#define N_ACTIONS (sizeof(ACTIONS) / sizeof(ACTIONS[0]))

struct line {
    struct id mentor;
    size_t next, last; /* indices into actions: this call's, and the one that repeats */
};

struct script {
    char *text; /* the file; notes are borrowed from it */
    size_t len;
    struct action *actions;
    size_t n_actions, cap_actions;
    struct line *lines; /* sorted by mentor */
    size_t n_lines, cap_lines;
};

void action_write(struct out *o, const struct action *action)
{
    if (action->kind == ACTION_STATUS)
        out_number(o, action->status);
    else
        out_word(o, ACTIONS[action->kind].name);
}

/* What stands behind the colon; safe to be sent inside a JSON string. */
static bool argument_fits(enum argument argument, struct text note, struct action *action)
{
    struct id ignored;
    int64_t seconds = text_number(note);

    switch (argument) {
    case ARGUMENT_NO:
        return false;
    case ARGUMENT_REASON:
        action->note = note;
        return note.len > 0 && note.len <= 64 && memchr(note.at, '"', note.len) == NULL &&
               memchr(note.at, '\\', note.len) == NULL;
    case ARGUMENT_ABOUT:
        action->note = note;
        return id_parse(note, &ignored);
    case ARGUMENT_SECONDS:
        action->retry_after = (int)seconds;
        return seconds > 0 && seconds <= 86400;
    }
    return false;
}

static bool action_parse(struct text word, struct action *ret_action)
{
    const char *colon = memchr(word.at, ':', word.len);
    struct text name = {word.at, colon ? (size_t)(colon - word.at) : word.len};
    struct text note = {colon ? colon + 1 : NULL, colon ? word.len - name.len - 1 : 0};
    struct action action = {.kind = ACTION_STATUS};
    int64_t status = text_number(name);
    size_t i = ACTION_STATUS;

    if (status >= 300 && status <= 599) {
        action.status = (int)status;
    } else {
        for (i = 0; i < N_ACTIONS && !text_is(name, ACTIONS[i].name); i++)
            ;
        if (i == N_ACTIONS || i == ACTION_STATUS)
            return false;
        action.kind = (enum action_kind)i;
    }
    if (colon != NULL && !argument_fits(ACTIONS[i].argument, note, &action))
        return false;
    *ret_action = action;
    return true;
}

/* Makes room for one element more, the array doubling. */
static int reserve(void **array, size_t *cap, size_t used, size_t size, struct why *why)
{
    if (used < *cap)
        return 0;
    size_t n = *cap > 0 ? *cap * 2 : 256;
    void *grown = reallocarray(*array, n, size);
    if (grown == NULL)
        return why_errno(why, "a script");
    *array = grown;
    *cap = n;
    return 0;
}

/* The next word of the line, and *p behind it; absent at the line's end or at a comment. */
static struct text next_word(const char **p, const char *end)
{
    struct text word = {NULL, 0};
    const char *at = *p;

    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
        at++;
    if (at < end && *at != '#') {
        word.at = at;
        while (at < end && *at != ' ' && *at != '\t' && *at != '\r')
            at++;
        word.len = (size_t)(at - word.at);
    }
    *p = at;
    return word;
}

static int read_line(struct script *s, const char *p, const char *end, int number, struct why *why)
{
    struct text word = next_word(&p, end);
    struct line line = {.next = s->n_actions};

    if (word.at == NULL)
        return 0;
    if (!id_parse(word, &line.mentor))
        return why_set(why, "script, line %d: begins with no id", number);
    while ((word = next_word(&p, end)).at != NULL) {
        if (reserve((void **)&s->actions, &s->cap_actions, s->n_actions, sizeof(*s->actions), why))
            return -1;
        if (!action_parse(word, &s->actions[s->n_actions]))
            return why_set(why, "script, line %d: no action: %.*s", number,
                           word.len > 40 ? 40 : (int)word.len, word.at);
        s->n_actions++;
    }
    if (s->n_actions == line.next)
        return why_set(why, "script, line %d: no action", number);
    if (reserve((void **)&s->lines, &s->cap_lines, s->n_lines, sizeof(*s->lines), why))
        return -1;
    line.last = s->n_actions - 1;
    s->lines[s->n_lines++] = line;
    return 0;
}

static int by_mentor(const void *a, const void *b)
{
    return memcmp(&((const struct line *)a)->mentor, &((const struct line *)b)->mentor,
                  sizeof(struct id));
}

static int read_lines(struct script *s, struct why *why)
{
    const char *p = s->text, *end = s->text + s->len;

    for (int number = 1; p < end; number++) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));

        if (eol == NULL)
            eol = end;
        if (read_line(s, p, eol, number, why))
            return -1;
        p = eol + 1;
    }
    if (s->n_lines > 0)
        qsort(s->lines, s->n_lines, sizeof(*s->lines), by_mentor);
    for (size_t i = 1; i < s->n_lines; i++) {
        if (by_mentor(&s->lines[i - 1], &s->lines[i]) == 0) {
            char id[ID_TEXT_LEN];

            id_write(&(struct out){.at = id, .cap = sizeof(id)}, &s->lines[i].mentor);
            return why_set(why, "script: two lines for %.*s", ID_TEXT_LEN, id);
        }
    }
    return 0;
}

static int read_file(struct script *s, const char *path, struct why *why)
{
    FILE *f = fopen(path, "re");
    size_t cap = 0, n = 1;

    if (f == NULL)
        return why_errno(why, path);
    while (n > 0 && s->len < SE_SCRIPT_MAX) {
        if (s->len == cap) {
            char *grown = realloc(s->text, cap = cap > 0 ? cap * 2 : 65536);

            if (grown == NULL)
                break;
            s->text = grown;
        }
        n = fread(s->text + s->len, 1, cap - s->len, f);
        s->len += n;
    }
    if (n > 0 || ferror(f)) {
        (void)fclose(f);
        return why_set(why, "%s: cannot be read, or has more than %d bytes", path, SE_SCRIPT_MAX);
    }
    (void)fclose(f);
    return 0;
}

struct script *script_load(const char *path, struct why *why)
{
    struct script *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        (void)why_errno(why, "a script");
        return NULL;
    }
    if (read_file(s, path, why) || read_lines(s, why)) {
        script_free(s);
        return NULL;
    }
    return s;
}

void script_free(struct script *script)
{
    if (script != NULL) {
        free(script->lines);
        free(script->actions);
        free(script->text);
    }
    free(script);
}

bool script_take(struct script *script, const struct id *mentor, struct action *ret_action)
{
    struct line wanted = {.mentor = *mentor};
    struct line *line;

    if (script->n_lines == 0)
        return false;
    line = bsearch(&wanted, script->lines, script->n_lines, sizeof(wanted), by_mentor);
    if (line == NULL)
        return false;
    *ret_action = script->actions[line->next];
    if (line->next < line->last)
        line->next++;
    return true;
}
