/* Secrets: read from a file or the environment, compared in constant time, wiped.
 * A struct secret never appears in a log line, an error text or an answer. */
#ifndef REVEILLE_SECRET_H
#define REVEILLE_SECRET_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

struct secret {
    char *text; /* owned, zero-terminated; NULL: there is none */
    size_t len;
    char *path;            /* owned; the file it came from, NULL: from the environment */
    struct timespec mtime; /* of that file when it was read */
    ino_t inode;
};

#define SECRET_INIT ((struct secret){.text = NULL})

/* Copies the value. */
int secret_from_text(struct secret *s, const char *text, struct err *err) MUST_CHECK;

/* Reads a file of at most SECRET_MAX bytes; one trailing newline is dropped. CONFIG when it cannot
 * be read or is empty; the text names the file, never its content. */
int secret_from_file(struct secret *s, const char *path, struct err *err) MUST_CHECK;

/* Reads the file again if it is another one or was written since. *ret_changed says whether the
 * value is new. A file that cannot be read now keeps the old value and is an error. */
int secret_refresh(struct secret *s, bool *ret_changed, struct err *err) MUST_CHECK;

/* Whether `given` is the secret, in a time that depends on neither: both sides are hashed
 * (SHA-256), the digests compared by CRYPTO_memcmp. False when there is no secret. */
bool secret_matches(const struct secret *s, const char *given, size_t given_len);

/* Whether it is exactly SECRET_HEX hexadecimal digits. */
bool secret_is_hex(const struct secret *s);

void secret_release(struct secret *s); /* wipes, frees */

#endif
