/* Compiler attributes and the checked cast that every `void *` of a callback goes through.
 * Not a place for helpers: nothing here has behaviour of its own but CHECK_MAGIC. */
#ifndef REVEILLE_ATTRS_H
#define REVEILLE_ATTRS_H

#include <assert.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

/* Every struct that is handed to a callback as `void *` starts with `unsigned magic`. CHECK_MAGIC
 * casts it back and stops the program when it is not what it says: that is a bug of ours, never
 * something input can cause, so it stays on in release builds. */
void magic_failed(const char *what, const char *file, int line) NORETURN;

#define CHECK_MAGIC(type, ptr, value)                                       \
    ((const unsigned *)(ptr) != NULL && *(const unsigned *)(ptr) == (value) \
         ? (type *)(ptr)                                                    \
         : (magic_failed(#type, __FILE__, __LINE__), (type *)NULL))

/* Hands a pointer over: yields it and leaves NULL behind, so that the hand-over shows. */
#define TAKE(p)                     \
    __extension__({                 \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A bound of limits.h as a text, for where a default is written as users would write it. */
#define TEXT_OF(n) TEXT_OF_(n)
#define TEXT_OF_(n) #n

#endif
