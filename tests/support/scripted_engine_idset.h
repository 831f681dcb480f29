/* Which mentors were ever asked about: a set of ids, 16 bytes each and nothing more, so that a
 * million mentors cost 32 MB. Ids are only ever added. */
#ifndef REVEILLE_SCRIPTED_ENGINE_IDSET_H
#define REVEILLE_SCRIPTED_ENGINE_IDSET_H

#include "scripted_engine_id.h"
#include "scripted_engine_why.h"

#include <stddef.h>

struct idset;

struct idset *idset_new(struct why *why); /* NULL without memory */
void idset_free(struct idset *set);

/* 0, also when the id is in already; -1 without memory or past SE_MENTORS_MAX. */
int idset_add(struct idset *set, const struct id *id, struct why *why);

size_t idset_count(const struct idset *set);

#endif
