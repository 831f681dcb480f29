/* The message on a Kafka partition: a slice's address, nothing more.
 * msgpack map {"v": 1, "run": bin(16), "slice": uint}, at most SLICE_MSG_MAX bytes. Its content is
 * never trusted: what it points to in the database decides. */
#ifndef REVEILLE_SLICE_MSG_H
#define REVEILLE_SLICE_MSG_H

#include "err.h"
#include "uuid.h"

#include <stddef.h>
#include <stdint.h>

struct slice_msg {
    struct uuid run;
    int32_t slice; /* 0 … INT32_MAX */
};

/* Writes the message into out; returns its length (always <= SLICE_MSG_MAX). */
size_t slice_msg_encode(const struct slice_msg *m, uint8_t out[SLICE_MSG_MAX]);

/* 0, or -1 with class PROTOCOL and a code that says why: "too_long", "unreadable", "version",
 * "fields". Lengths are checked by hand before msgpack sees the bytes (msgpack-c 4.0.0 allocates
 * what a header claims). Fields may come in any order; unknown, missing or repeated ones are
 * refused, and so are bytes after the map. */
int slice_msg_decode(const void *bytes, size_t len, struct slice_msg *ret_m,
                     struct err *err) MUST_CHECK;

#endif
