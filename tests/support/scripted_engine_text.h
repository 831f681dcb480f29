/* Two views on bytes that somebody else holds: a piece of text to read, and a buffer of fixed size
 * to write into. Neither allocates. */
#ifndef REVEILLE_SCRIPTED_ENGINE_TEXT_H
#define REVEILLE_SCRIPTED_ENGINE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed, not zero-terminated; at == NULL: absent. */
struct text {
    const char *at;
    size_t len;
};

bool text_is(struct text t, const char *word);
bool text_is_nocase(struct text t, const char *word);
/* The whole text as a decimal number, -1 if it is none, longer than 18 digits or empty. */
int64_t text_number(struct text t);

/* Borrowed; len never exceeds cap. What does not fit stops the program: every writer here is given
 * a buffer that its bounds (scripted_engine_limits.h) prove large enough. */
struct out {
    char *at;
    size_t len, cap;
};

void out_bytes(struct out *o, const char *bytes, size_t len);
void out_text(struct out *o, struct text t);
void out_word(struct out *o, const char *word);
void out_number(struct out *o, int64_t number);
/* One field of a log line: blanks, commas, '%' and everything outside printable ASCII as %XX; "-"
 * for an absent or empty text. */
void out_field(struct out *o, struct text t);

#endif
