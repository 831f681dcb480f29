/* See uuid.h. */
#include "uuid.h"

#include <string.h>
#include <unistd.h>

int uuid_random(struct uuid *ret_id, struct err *err)
{
    struct uuid id;
    if (getentropy(id.b, sizeof id.b))
        return err_errno(err, "random bytes");
    id.b[6] = (uint8_t)((id.b[6] & 0x0F) | 0x40); /* version 4 */
    id.b[8] = (uint8_t)((id.b[8] & 0x3F) | 0x80); /* the variant of RFC 9562 */
    *ret_id = id;
    return 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* A dash stands before these bytes: 8-4-4-4-12 digits. */
static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool uuid_parse(const char *text, struct uuid *ret_id)
{
    struct uuid id;
    const char *p = text;
    for (size_t i = 0; i < sizeof id.b; i++) {
        if (dash_before(i) && *p++ != '-')
            return false;
        int high = hex_value(p[0]);
        int low = high < 0 ? -1 : hex_value(p[1]); /* never reads behind the zero */
        if (low < 0)
            return false;
        id.b[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    if (*p != '\0')
        return false;
    *ret_id = id;
    return true;
}

void uuid_format(const struct uuid *id, char *out)
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    for (size_t i = 0; i < sizeof id->b; i++) {
        if (dash_before(i))
            *p++ = '-';
        *p++ = digits[id->b[i] >> 4];
        *p++ = digits[id->b[i] & 15];
    }
    *p = '\0';
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return uuid_compare(a, b) == 0;
}
