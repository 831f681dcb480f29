#include "scripted_engine_text.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

bool text_is(struct text t, const char *word)
{
    return t.at != NULL && t.len == strlen(word) && memcmp(t.at, word, t.len) == 0;
}

bool text_is_nocase(struct text t, const char *word)
{
    return t.at != NULL && t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

int64_t text_number(struct text t)
{
    int64_t n = 0;

    if (t.at == NULL || t.len == 0 || t.len > 18)
        return -1;
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] < '0' || t.at[i] > '9')
            return -1;
        n = n * 10 + (t.at[i] - '0');
    }
    return n;
}

void out_bytes(struct out *o, const char *bytes, size_t len)
{
    assert(len <= o->cap - o->len);
    memcpy(o->at + o->len, bytes, len);
    o->len += len;
}

void out_text(struct out *o, struct text t)
{
    if (t.len > 0)
        out_bytes(o, t.at, t.len);
}

void out_word(struct out *o, const char *word)
{
    out_bytes(o, word, strlen(word));
}

void out_number(struct out *o, int64_t number)
{
    char digits[20];
    size_t first = sizeof(digits);
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do {
        digits[--first] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        out_bytes(o, "-", 1);
    out_bytes(o, digits + first, sizeof(digits) - first);
}

void out_field(struct out *o, struct text t)
{
    static const char HEX[] = "0123456789ABCDEF";

    if (t.at == NULL || t.len == 0) {
        out_bytes(o, "-", 1);
        return;
    }
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];

        if (c > ' ' && c < 0x7f && c != '%' && c != ',') {
            out_bytes(o, t.at + i, 1);
        } else {
            char code[3] = {'%', HEX[c >> 4], HEX[c & 15]};

            out_bytes(o, code, sizeof(code));
        }
    }
}
