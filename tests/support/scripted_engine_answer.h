/* The bytes of an HTTP answer: an action turned into what a client reads. Sends nothing. */
#ifndef REVEILLE_SCRIPTED_ENGINE_ANSWER_H
#define REVEILLE_SCRIPTED_ENGINE_ANSWER_H

#include "scripted_engine_body.h"
#include "scripted_engine_script.h"
#include "scripted_engine_text.h"

#include <stdbool.h>

/* Room for one answer; what answer_… returns is borrowed from it until the next answer_… */
struct answer_page;

struct answer_page *answer_page_new(struct why *why); /* NULL without memory */
void answer_page_free(struct answer_page *page);

/* The answer to a call. action is neither HANG nor RESET; ev may lack a mentor only with STATUS,
 * whose body says error, a text that needs no escapes. */
struct text answer_call(struct answer_page *page, const struct action *action,
                        const struct evaluation *ev, const char *error, bool keep_alive);

/* The HTTP status that answer_call writes; 0 for HANG and RESET, which write none. */
int answer_status(const struct action *action);

/* Any other answer with a JSON body. */
struct text answer_json(struct answer_page *page, int status, const char *json, bool keep_alive);

/* The head of an answer in text/plain whose chunks follow. */
struct text answer_chunked_head(struct answer_page *page, bool keep_alive);

#endif
