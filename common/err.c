/* See err.h. Filling a struct err never fails and never allocates. */
#include "err.h"

#include "utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line of text: cut at a character's border, control bytes as spaces. */
static void set_text(struct err *err, const char *text, size_t wanted)
{
    size_t len = wanted;
    if (wanted >= sizeof err->text)
        len = utf8_cut(text, sizeof err->text - 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        err->text[i] = c < 0x20 || c == 0x7F ? ' ' : text[i];
    }
    err->text[len] = '\0';
}

/* Formats aside first: the arguments may point into *err itself. */
static int PRINTF_LIKE(5, 0) set(struct err *err, enum err_class cls, bool retry, const char *code,
                                 const char *fmt, va_list args)
{
    if (!err)
        return -1;
    char text[ERR_TEXT_MAX];
    int wanted = vsnprintf(text, sizeof text, fmt, args);
    char kept[sizeof err->code] = "";
    if (code)
        snprintf(kept, sizeof kept, "%s", code);
    err->cls = cls;
    err->retry = retry;
    memcpy(err->code, kept, sizeof kept);
    set_text(err, text, wanted < 0 ? 0 : (size_t)wanted);
    return -1;
}

int err_set(struct err *err, enum err_class cls, const char *code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(err, cls, false, code, fmt, args);
    va_end(args);
    return -1;
}

int err_retry(struct err *err, enum err_class cls, const char *code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(err, cls, true, code, fmt, args);
    va_end(args);
    return -1;
}

int err_errno(struct err *err, const char *what)
{
    int number = errno;
    const char *name = strerrorname_np(number);
    const char *message = strerrordesc_np(number);
    return err_set(err, ERR_SYSTEM, name, "%s: %s", what, message ? message : "unknown error");
}

int err_prefix(struct err *err, const char *what)
{
    if (!err)
        return -1;
    char text[ERR_TEXT_MAX];
    int wanted = snprintf(text, sizeof text, "%s: %s", what, err->text);
    set_text(err, text, wanted < 0 ? 0 : (size_t)wanted);
    return -1;
}

bool err_is_set(const struct err *err)
{
    return err->cls != ERR_NONE;
}

const char *err_class_name(enum err_class cls)
{
    static const char *const names[] = {
#define ERR_CLASS(id, name) [ERR_##id] = name,
#include "err_class.def"
#undef ERR_CLASS
    };
    return (size_t)cls < COUNT_OF(names) ? names[cls] : "unknown_error";
}
