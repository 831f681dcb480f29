/* What the engine can do with a call, and the script that says it mentor by mentor. A script is
 * text, a line a mentor, `UUID ACTION…`; the actions are used up one a call, the last one repeats;
 * `#` begins a comment. A mentor has one line. */
#ifndef REVEILLE_SCRIPTED_ENGINE_SCRIPT_H
#define REVEILLE_SCRIPTED_ENGINE_SCRIPT_H

#include "scripted_engine_id.h"
#include "scripted_engine_text.h"
#include "scripted_engine_why.h"

#include <stdbool.h>

enum action_kind {
#define ACTION(id, name, argument) ACTION_##id,
#include "scripted_engine_action.def"
#undef ACTION
};

struct action {
    enum action_kind kind;
    int status;       /* of ACTION_STATUS */
    int retry_after;  /* seconds, 0: no such header; of ACTION_STATUS */
    struct text note; /* the reason or the id behind the colon, may be absent; the script's */
};

/* "dispatch", "503": as scripts and the log write it, without what stands behind the colon. */
void action_write(struct out *o, const struct action *action);

struct script;

/* Reads the file; -1 and the line's number in why for anything it does not understand. */
struct script *script_load(const char *path, struct why *why);
void script_free(struct script *script);

/* True if the mentor has a line; *ret_action is then this call's, and the next call gets the next.
 * Its note lives as long as the script. */
bool script_take(struct script *script, const struct id *mentor, struct action *ret_action);

#endif
