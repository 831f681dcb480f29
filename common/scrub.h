/* Removes from a text what must not be in a log line, an error text or an answer: UUIDs, e-mail
 * addresses, telephone numbers, tokens (JWTs, Bearer values, long hex or base64 runs), URLs'
 * credentials and queries, and everything from the first line that looks like a stack trace on.
 * Not a parser and no promise about names: texts from outside are an allow-list's business first,
 * this is the second fence. Runs in one pass, well under a millisecond for LOG_LINE_MAX bytes. */
#ifndef REVEILLE_SCRUB_H
#define REVEILLE_SCRUB_H

#include <stddef.h>

/* Writes the scrubbed text, cut to out_size - 1 bytes at a character's border, with control bytes
 * as spaces; always zero-terminated when out_size > 0. Returns the length written. Bytes that are
 * no UTF-8 become '?'. `in` need not be zero-terminated. in and out must not overlap. */
size_t scrub_text(const char *in, size_t in_len, char *out, size_t out_size);

#endif
