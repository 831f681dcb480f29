/* Which bytes are a UTF-8 character: for the places where outside text is cut or written.
 * Knows nothing of what a character means. */
#ifndef REVEILLE_UTF8_H
#define REVEILLE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length (1 … 4) of the well-formed character at the start of the n bytes at s, 0 when there is
 * none: overlong forms, surrogates, code points above U+10FFFF and characters cut short. */
static inline size_t utf8_length(const char *s, size_t n)
{
    const uint8_t *b = (const uint8_t *)s;
    if (n == 0)
        return 0;
    if (b[0] < 0x80)
        return 1;
    size_t len = b[0] >= 0xF0 ? 4 : b[0] >= 0xE0 ? 3 : 2;
    if (b[0] < 0xC2 || b[0] > 0xF4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((b[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (b[0] == 0xE0 && b[1] < 0xA0) || (b[0] == 0xF0 && b[1] < 0x90);
    bool surrogate = b[0] == 0xED && b[1] > 0x9F;
    bool beyond = b[0] == 0xF4 && b[1] > 0x8F;
    return overlong || surrogate || beyond ? 0 : len;
}

/* How many of the n bytes at s remain when a character that was cut short at their end is left out.
 */
static inline size_t utf8_cut(const char *s, size_t n)
{
    size_t back = 0;
    while (back < 3 && back < n && ((uint8_t)s[n - 1 - back] & 0xC0) == 0x80)
        back++;
    if (back == n)
        return n; /* no first byte at all: not a character that was cut */
    uint8_t first = (uint8_t)s[n - 1 - back];
    size_t need = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return need > back + 1 ? n - 1 - back : n;
}

#endif
