/* 16 bytes that name a run, a subject or a user. Order is memcmp's, which is PostgreSQL's. */
#ifndef REVEILLE_UUID_H
#define REVEILLE_UUID_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

struct uuid {
    uint8_t b[16];
};

#define UUID_TEXT_SIZE 37 /* 36 characters and the zero */

/* Version 4; SYSTEM without entropy. */
int uuid_random(struct uuid *ret_id, struct err *err) MUST_CHECK;
bool uuid_parse(const char *text, struct uuid *ret_id); /* the 36-character form, any case */
void uuid_format(const struct uuid *id, char *out);     /* out: UUID_TEXT_SIZE bytes */
int uuid_compare(const struct uuid *a, const struct uuid *b);
bool uuid_equal(const struct uuid *a, const struct uuid *b);

#endif
