#include "scripted_engine_id.h"

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

static bool dash_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool id_parse(struct text t, struct id *ret_id)
{
    const char *p = t.at;
    struct id id;

    if (t.at == NULL || t.len != ID_TEXT_LEN)
        return false;
    for (int i = 0; i < 16; i++) {
        if (dash_before(i) && *p++ != '-')
            return false;
        int high = hex_value(p[0]), low = hex_value(p[1]);
        if (high < 0 || low < 0)
            return false;
        id.b[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    *ret_id = id;
    return true;
}

void id_write(struct out *o, const struct id *id)
{
    static const char HEX[] = "0123456789abcdef";
    char form[ID_TEXT_LEN];
    char *p = form;

    for (int i = 0; i < 16; i++) {
        if (dash_before(i))
            *p++ = '-';
        *p++ = HEX[id->b[i] >> 4];
        *p++ = HEX[id->b[i] & 15];
    }
    out_bytes(o, form, sizeof(form));
}

uint64_t id_hash(const char *salt, const struct id *id)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *salt != '\0'; salt++)
        h = (h ^ (uint8_t)*salt) * 0x100000001b3u;
    for (int i = 0; i < 16; i++)
        h = (h ^ id->b[i]) * 0x100000001b3u;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 33);
}

double id_place(const char *salt, const struct id *id)
{
    return (double)(id_hash(salt, id) >> 11) * 0x1p-53;
}
