/* See slice_msg.h. Decoding has two steps: `measured` walks the heads and makes sure that every
 * length they claim is there, then msgpack builds the object from bytes that cannot lie any more.
 */
#include "slice_msg.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

#define VERSION 1

struct target {
    uint8_t *bytes;
    size_t len;
};

/* msgpack's writer: into the fixed buffer, which the largest message fits (37 bytes). */
static int write_target(void *data, const char *bytes, size_t len)
{
    struct target *t = data;
    assert(t->len + len <= SLICE_MSG_MAX);
    memcpy(t->bytes + t->len, bytes, len);
    t->len += len;
    return 0;
}

static void pack_key(msgpack_packer *pk, const char *key)
{
    size_t len = strlen(key);
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, key, len);
}

size_t slice_msg_encode(const struct slice_msg *m, uint8_t out[SLICE_MSG_MAX])
{
    assert(m->slice >= 0);
    struct target t = {.bytes = out};
    msgpack_packer pk;
    msgpack_packer_init(&pk, &t, write_target);
    msgpack_pack_map(&pk, 3);
    pack_key(&pk, "v");
    msgpack_pack_uint8(&pk, VERSION);
    pack_key(&pk, "run");
    msgpack_pack_bin(&pk, sizeof m->run.b);
    msgpack_pack_bin_body(&pk, m->run.b, sizeof m->run.b);
    pack_key(&pk, "slice");
    msgpack_pack_uint32(&pk, (uint32_t)m->slice);
    return t.len;
}

/* One item's head: its own bytes with what it carries, and how many items it says follow inside. */
struct item {
    uint64_t bytes, children;
};

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* What the heads 0xc0 … 0xdf bring with them. */
struct head {
    uint8_t fixed; /* bytes that always follow */
    uint8_t width; /* bytes of the length that follows; 0: there is none */
    enum { NOTHING, BYTES, ITEMS, PAIRS } counts;
};

/* clang-format off */
static const struct head heads[32] = { /* all zero: nil, false and true */
    [0x04] = {0, 1, BYTES}, [0x05] = {0, 2, BYTES}, [0x06] = {0, 4, BYTES},   /* bin */
    [0x07] = {1, 1, BYTES}, [0x08] = {1, 2, BYTES}, [0x09] = {1, 4, BYTES},   /* ext */
    [0x0a] = {.fixed = 4}, [0x0b] = {.fixed = 8},                             /* float */
    [0x0c] = {.fixed = 1}, [0x0d] = {.fixed = 2},                             /* uint */
    [0x0e] = {.fixed = 4}, [0x0f] = {.fixed = 8},
    [0x10] = {.fixed = 1}, [0x11] = {.fixed = 2},                             /* int */
    [0x12] = {.fixed = 4}, [0x13] = {.fixed = 8},
    [0x14] = {.fixed = 2}, [0x15] = {.fixed = 3}, [0x16] = {.fixed = 5},      /* fixext */
    [0x17] = {.fixed = 9}, [0x18] = {.fixed = 17},
    [0x19] = {0, 1, BYTES}, [0x1a] = {0, 2, BYTES}, [0x1b] = {0, 4, BYTES},   /* str */
    [0x1c] = {0, 2, ITEMS}, [0x1d] = {0, 4, ITEMS},                           /* array */
    [0x1e] = {0, 2, PAIRS}, [0x1f] = {0, 4, PAIRS},                           /* map */
};
/* clang-format on */

/* false when there is no such head (0xc1), or its length is cut short. */
static bool measure_wide(const uint8_t *p, size_t left, struct item *ret)
{
    const struct head *h = &heads[p[0] - 0xc0u];
    if (p[0] == 0xc1 || left < 1u + h->width)
        return false;
    uint64_t length = big_endian(p + 1, h->width);
    ret->bytes = 1u + h->fixed + h->width;
    if (h->counts == BYTES)
        ret->bytes += length;
    else
        ret->children = h->counts == PAIRS ? 2 * length : length;
    return true;
}

static bool measure(const uint8_t *p, size_t left, struct item *ret)
{
    *ret = (struct item){.bytes = 1};
    if (p[0] >= 0xc0 && p[0] <= 0xdf)
        return measure_wide(p, left, ret);
    if (p[0] >= 0xa0 && p[0] <= 0xbf) /* a short string */
        ret->bytes += p[0] & 0x1fu;
    else if (p[0] >= 0x90 && p[0] <= 0x9f) /* a short array */
        ret->children = p[0] & 0x0fu;
    else if (p[0] >= 0x80 && p[0] <= 0x8f) /* a short map */
        ret->children = 2 * (p[0] & 0x0fu);
    return true;
}

/* Whether the bytes are exactly one object whose every length is there. */
static bool measured(const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    uint64_t wanted = 1;
    for (; wanted > 0; wanted--) {
        struct item item;
        if (at == len || !measure(bytes + at, len - at, &item) || item.bytes > len - at)
            return false;
        at += (size_t)item.bytes;
        wanted += item.children;
    }
    return at == len;
}

static bool key_is(const msgpack_object *key, const char *name)
{
    return key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(name) &&
           memcmp(key->via.str.ptr, name, strlen(name)) == 0;
}

/* The value of the first key of that name, or NULL. */
static const msgpack_object *value_of(const msgpack_object_map *map, const char *name)
{
    for (uint32_t i = 0; i < map->size; i++)
        if (key_is(&map->ptr[i].key, name))
            return &map->ptr[i].val;
    return NULL;
}

static int read_fields(const msgpack_object *root, struct slice_msg *ret_m, struct err *err)
{
    if (root->type != MSGPACK_OBJECT_MAP)
        return err_set(err, ERR_PROTOCOL, "fields", "slice message: not a map");
    const msgpack_object_map *map = &root->via.map;
    const msgpack_object *v = value_of(map, "v");
    if (!v || v->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return err_set(err, ERR_PROTOCOL, "fields", "slice message: no version");
    if (v->via.u64 != VERSION)
        return err_set(err, ERR_PROTOCOL, "version", "slice message: another version than %d",
                       VERSION);
    const msgpack_object *run = value_of(map, "run");
    const msgpack_object *slice = value_of(map, "slice");
    if (map->size != 3 || !run || !slice) /* so none is repeated either */
        return err_set(err, ERR_PROTOCOL, "fields", "slice message: not v, run and slice");
    if (run->type != MSGPACK_OBJECT_BIN || run->via.bin.size != sizeof ret_m->run.b)
        return err_set(err, ERR_PROTOCOL, "fields", "slice message: run is not 16 bytes");
    if (slice->type != MSGPACK_OBJECT_POSITIVE_INTEGER || slice->via.u64 > INT32_MAX)
        return err_set(err, ERR_PROTOCOL, "fields", "slice message: slice is not its number");
    memcpy(ret_m->run.b, run->via.bin.ptr, sizeof ret_m->run.b);
    ret_m->slice = (int32_t)slice->via.u64;
    return 0;
}

int slice_msg_decode(const void *bytes, size_t len, struct slice_msg *ret_m, struct err *err)
{
    if (len > SLICE_MSG_MAX)
        return err_set(err, ERR_PROTOCOL, "too_long", "slice message: %zu bytes", len);
    if (!measured(bytes, len))
        return err_set(err, ERR_PROTOCOL, "unreadable", "slice message: not one msgpack object");
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    int rc;
    if (msgpack_unpack_next(&unpacked, bytes, len, NULL) == MSGPACK_UNPACK_SUCCESS)
        rc = read_fields(&unpacked.data, ret_m, err);
    else
        rc = err_set(err, ERR_PROTOCOL, "unreadable", "slice message: msgpack refuses it");
    msgpack_unpacked_destroy(&unpacked);
    return rc;
}
