/* Growable bytes with a hard cap.
 * Invariant: data[len] is always a zero byte, so the content can be read as a string if it holds
 * none itself; len never exceeds max. A failed append leaves the buffer as it was. */
#ifndef REVEILLE_BUF_H
#define REVEILLE_BUF_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;      /* owned; never NULL after buf_init: an empty buffer points at a static zero */
    size_t len, cap; /* bytes used, bytes allocated */
    size_t max;      /* the hard cap */
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* frees; the buffer is empty and usable again, its cap kept */
void buf_clear(struct buf *b);   /* forgets the content, keeps the memory */

/* Each returns 0, or -1 with class LIMIT (over max) or SYSTEM (no memory). */
int buf_append(struct buf *b, const void *bytes, size_t len, struct err *err) MUST_CHECK;
int buf_str(struct buf *b, const char *s, struct err *err) MUST_CHECK;
int buf_printf(struct buf *b, struct err *err, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(3, 4);
int buf_u32be(struct buf *b, uint32_t v, struct err *err) MUST_CHECK;

/* Room for `len` more bytes; returns where they begin (valid until the next call), or NULL. The
 * bytes count as used at once; their content is undefined until written. */
void *buf_extend(struct buf *b, size_t len, struct err *err) MUST_CHECK;

#endif
