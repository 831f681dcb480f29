/* See doctor.h: how a line comes to be. Not which checks there are: those are in verb_doctor.c and
 * doctor_kafka.c. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>

#define FOUND_MAX 2048

void doctor_add(json_t *checks, const char *name, enum doctor_verdict verdict, const char *mend,
                const char *found, ...)
{
    char text[FOUND_MAX];
    va_list ap;
    va_start(ap, found);
    vsnprintf(text, sizeof(text), found, ap);
    va_end(ap);
    json_t *line =
        json_pack("{s:s, s:o, s:s, s:o}", "name", name, "ok",
                  verdict == DOCTOR_UNKNOWN ? json_null() : json_boolean(verdict == DOCTOR_OK),
                  "found", text, "mend", verdict == DOCTOR_OK ? json_null() : json_string(mend));
    json_array_append_new(checks, line);
}
