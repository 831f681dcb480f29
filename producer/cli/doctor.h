/* What the parts of `reveille doctor` share: the list of checks that each adds its lines to. Which
 * checks there are: verb_doctor.c (database, this machine), doctor_kafka.c, and in the database
 * reveille.doctor(). */
#ifndef REVEILLE_CLI_DOCTOR_H
#define REVEILLE_CLI_DOCTOR_H

#include "attrs.h"
#include "config.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>

enum doctor_verdict { DOCTOR_WRONG, DOCTOR_OK, DOCTOR_UNKNOWN }; /* unknown: not to be told here */

/* Adds a line: name, verdict, what was found (formatted; it may not hold a secret), and the mend,
 * which is left out of a line that is ok. */
void doctor_add(json_t *checks, const char *name, enum doctor_verdict verdict, const char *mend,
                const char *found, ...) PRINTF_LIKE(5, 6);

/* Adds the lines broker, topics and group. `engines` are rows of reveille.doctor_engines(): engine,
 * partitions wanted, live workers; NULL: the database did not say. The configuration is a
 * producer's, NULL when it is wrong. False: the broker is out of reach. Changes nothing in Kafka:
 * joins no group, creates no topic. */
bool doctor_kafka(json_t *checks, const struct config *config, const PGresult *engines);

#endif
