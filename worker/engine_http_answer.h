/* The trigger engine's answer, from its bytes to a struct answer. Pure: no I/O, no clock.
 *
 * Strict in what it uses, deaf to the rest: unknown members are ignored; a member that is used and
 * has the wrong form spoils the whole answer, because half an answer would be a guess about a
 * person. Whether a scenario belongs to the run is the database's question, not this one's. */
#ifndef REVEILLE_ENGINE_HTTP_ANSWER_H
#define REVEILLE_ENGINE_HTTP_ANSWER_H

#include "outcome.h"
#include "uuid.h"

#include <stddef.h>

/* Returns owned: an answer that holds (ok, its decisions), or one that failed with ERR_LOGIC and a
 * text in our own words, never the engine's. NULL only when memory runs out. `asked` is the subject
 * that the answer must name. */
struct answer *engine_http_answer(const char *bytes, size_t len, const struct uuid *asked);

#endif
