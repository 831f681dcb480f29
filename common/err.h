/* One way to report a failure: a class, a short code, whether trying again can help, and a text.
 *
 * Functions that can fail return 0 or -1 (or a pointer or NULL) and take `struct err *err` as their
 * last parameter; it is written only on failure. "Not found" and "duplicate" are results, not
 * errors. A text never holds a secret, a personal datum or a stack trace: whoever passes outside
 * text in (a server's message, an engine's answer) scrubs it first (scrub.h). */
#ifndef REVEILLE_ERR_H
#define REVEILLE_ERR_H

#include "attrs.h"
#include "limits.h"

#include <stdbool.h>

enum err_class {
#define ERR_CLASS(id, name) ERR_##id,
#include "err_class.def"
#undef ERR_CLASS
};

struct err {
    enum err_class cls;
    bool retry;              /* the same call may succeed later */
    char code[20];           /* SQLSTATE, errno name, broker's code; may be empty */
    char text[ERR_TEXT_MAX]; /* one line, for people */
};

/* What a fresh struct err is set to; cls ERR_NONE means nothing happened. */
#define ERR_INIT ((struct err){.cls = ERR_NONE})

/* Fills *err (NULL is allowed: the caller does not care) and returns -1, so that a failing function
 * can say `return err_set(err, …)`. The text is cut at ERR_TEXT_MAX and its control bytes become
 * spaces. code may be NULL. */
int err_set(struct err *err, enum err_class cls, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* The same with retry = true. */
int err_retry(struct err *err, enum err_class cls, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* From errno, which is read at once: code is its name, text is "what: its message". */
int err_errno(struct err *err, const char *what);

/* Puts "what: " before the text, for the caller that knows more; returns -1. */
int err_prefix(struct err *err, const char *what);

bool err_is_set(const struct err *err);
const char *err_class_name(enum err_class cls);

#endif
