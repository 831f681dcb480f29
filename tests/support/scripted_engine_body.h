/* The two JSON bodies the engine reads: a call's, and a change of behaviour. Strings are not
 * decoded: what the engine sends back (scenario types) goes back as it came, escapes and all. */
#ifndef REVEILLE_SCRIPTED_ENGINE_BODY_H
#define REVEILLE_SCRIPTED_ENGINE_BODY_H

#include "scripted_engine_id.h"
#include "scripted_engine_limits.h"
#include "scripted_engine_text.h"
#include "scripted_engine_why.h"

#include <stdbool.h>

/* Texts are borrowed from the body. */
struct evaluation {
    bool has_mentor; /* false: the body does not say, or says nonsense */
    struct id mentor;
    struct text types[SE_TYPES_MAX]; /* between their quotes */
    int n_types;
};

/* 0 for a body as the contract wants it: invocation_id and peer_mentor_id are ids, evaluation_date
 * a date, scenario_types a list of 1 to SE_TYPES_MAX strings; dry_run, if there, a boolean; other
 * members are let pass. -1 for any other; what could be read of it is in *ret_evaluation even then,
 * because a call that is refused is logged too. */
int body_evaluation(struct text body, struct evaluation *ret_evaluation, struct why *why);

struct change {
    bool has_latency, resets_maximum;
    double latency_ms;
    struct text mode; /* absent: stays as it is */
};

/* -1 for unknown members, values out of range, or a body that is no JSON object. Whether the mode
 * exists is the caller's to say. */
int body_change(struct text body, struct change *ret_change, struct why *why);

#endif
