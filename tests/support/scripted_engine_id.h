/* A mentor's id: 16 bytes, and the place in [0, 1) that decides by hash which mentors are due and
 * which fail. The hash is part of the engine's contract (DESIGN.md has it in Python): a checker can
 * tell for every mentor what the engine will say, without asking it. */
#ifndef REVEILLE_SCRIPTED_ENGINE_ID_H
#define REVEILLE_SCRIPTED_ENGINE_ID_H

#include "scripted_engine_text.h"

#include <stdbool.h>
#include <stdint.h>

struct id {
    uint8_t b[16];
};

#define ID_TEXT_LEN 36

/* The 36-character form in either case; false, and *ret_id untouched, for anything else. */
bool id_parse(struct text t, struct id *ret_id);

void id_write(struct out *o, const struct id *id); /* lower case */

/* FNV-1a (64 bits) over the salt and the 16 bytes, murmur's finaliser on top. */
uint64_t id_hash(const char *salt, const struct id *id);

/* The upper 53 bits of that as a number in [0, 1). */
double id_place(const char *salt, const struct id *id);

#endif
