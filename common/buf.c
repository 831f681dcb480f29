/* See buf.h. Grows by doubling, so that appending is linear in all. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64 /* bytes of the first allocation: most short answers fit */

/* What an empty buffer points at. Never written: every write asks for capacity first. */
static const char nothing[1] = "";

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.data = (char *)nothing, .max = max};
}

void buf_release(struct buf *b)
{
    if (b->cap > 0)
        free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->cap > 0)
        b->data[0] = '\0';
}

/* Makes room for len more bytes and the zero behind them. */
static int reserve(struct buf *b, size_t len, struct err *err)
{
    if (len > b->max - b->len)
        return err_set(err, ERR_LIMIT, "buffer", "more than %zu bytes", b->max);
    size_t need = b->len + len + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap > 0 ? b->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    char *data = realloc(b->cap > 0 ? b->data : NULL, cap);
    if (!data)
        return err_errno(err, "buffer");
    if (b->cap == 0)
        data[0] = '\0';
    b->data = data;
    b->cap = cap;
    return 0;
}

void *buf_extend(struct buf *b, size_t len, struct err *err)
{
    if (reserve(b, len, err))
        return NULL;
    char *begin = b->data + b->len;
    b->len += len;
    b->data[b->len] = '\0';
    return begin;
}

int buf_append(struct buf *b, const void *bytes, size_t len, struct err *err)
{
    void *to = buf_extend(b, len, err);
    if (!to)
        return -1;
    if (len > 0)
        memcpy(to, bytes, len);
    return 0;
}

int buf_str(struct buf *b, const char *s, struct err *err)
{
    return buf_append(b, s, strlen(s), err);
}

int buf_printf(struct buf *b, struct err *err, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int rc = -1;
    int wanted = vsnprintf(NULL, 0, fmt, args);
    if (wanted < 0)
        err_errno(err, "formatting");
    else if (reserve(b, (size_t)wanted, err) == 0) {
        vsnprintf(b->data + b->len, (size_t)wanted + 1, fmt, again);
        b->len += (size_t)wanted;
        rc = 0;
    }
    va_end(again);
    va_end(args);
    return rc;
}

int buf_u32be(struct buf *b, uint32_t v, struct err *err)
{
    const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
                              (uint8_t)v};
    return buf_append(b, bytes, sizeof bytes, err);
}
