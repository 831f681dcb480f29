/* Parameters of a statement in PostgreSQL's binary formats, with their types, in one buffer.
 * Not a general encoder: only the types our SQL functions take. */
#include "db_internal.h"

#include <stdlib.h>
#include <string.h>

#define JSONB_VERSION 1
#define NULL_LENGTH UINT32_MAX /* -1 as the length of a null element */

/* Stands for parameters that there was no memory for: db_call reports it. Never written to. */
static const struct db_args no_memory = {.failed = true};

struct db_args *db_args_new(void)
{
    struct db_args *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        return (struct db_args *)&no_memory;
    }
    buf_init(&a->bytes, DB_RESULT_MAX);
    return a;
}

void db_args_free(struct db_args *a)
{
    if (a == NULL || a == &no_memory) {
        return;
    }
    buf_release(&a->bytes);
    free(a);
}

int db_args_send(const struct db_args *a, PGconn *pg, const char *sql)
{
    const char *values[DB_ARGS_MAX];
    int formats[DB_ARGS_MAX];

    if (a == NULL) {
        return PQsendQueryParams(pg, sql, 0, NULL, NULL, NULL, NULL, 1);
    }
    for (int i = 0; i < a->n; i++) {
        values[i] = a->lengths[i] < 0 ? NULL : a->bytes.data + a->begin[i];
        formats[i] = 1;
    }
    return PQsendQueryParams(pg, sql, a->n, a->types, values, a->lengths, formats, 1);
}

/* ---- building ------------------------------------------------------------------------------ */

static bool arg_begin(struct db_args *a, Oid type)
{
    if (a->failed) {
        return false;
    }
    if (a->n == DB_ARGS_MAX) {
        magic_failed("a statement with more than DB_ARGS_MAX parameters", __FILE__, __LINE__);
    }
    a->types[a->n] = type;
    a->begin[a->n] = a->bytes.len;
    a->lengths[a->n] = -1;
    return true;
}

/* The value is what has been appended since arg_begin. The buffer's cap keeps it an int. */
static void arg_end(struct db_args *a)
{
    if (!a->failed) {
        a->lengths[a->n] = (int)(a->bytes.len - a->begin[a->n]);
        a->n++;
    }
}

static void put_bytes(struct db_args *a, const void *bytes, size_t len)
{
    if (!a->failed && buf_append(&a->bytes, bytes, len, NULL)) {
        a->failed = true;
    }
}

static void put_u32(struct db_args *a, uint32_t v)
{
    if (!a->failed && buf_u32be(&a->bytes, v, NULL)) {
        a->failed = true;
    }
}

static void put_u64(struct db_args *a, uint64_t v)
{
    put_u32(a, (uint32_t)(v >> 32));
    put_u32(a, (uint32_t)v);
}

static void arg_null_of(struct db_args *a, Oid type)
{
    if (arg_begin(a, type)) {
        a->n++;
    }
}

void db_arg_bool(struct db_args *a, bool v)
{
    if (arg_begin(a, OID_BOOL)) {
        put_bytes(a, v ? "\1" : "\0", 1);
        arg_end(a);
    }
}

void db_arg_int(struct db_args *a, int32_t v)
{
    if (arg_begin(a, OID_INT4)) {
        put_u32(a, (uint32_t)v);
        arg_end(a);
    }
}

void db_arg_bigint(struct db_args *a, int64_t v)
{
    if (arg_begin(a, OID_INT8)) {
        put_u64(a, (uint64_t)v);
        arg_end(a);
    }
}

void db_arg_text(struct db_args *a, const char *v)
{
    if (v == NULL) {
        arg_null_of(a, OID_TEXT);
    } else if (arg_begin(a, OID_TEXT)) {
        put_bytes(a, v, strlen(v));
        arg_end(a);
    }
}

void db_arg_json(struct db_args *a, const char *v)
{
    static const char version = JSONB_VERSION;

    if (v == NULL) {
        arg_null_of(a, OID_JSONB);
    } else if (arg_begin(a, OID_JSONB)) {
        put_bytes(a, &version, 1);
        put_bytes(a, v, strlen(v));
        arg_end(a);
    }
}

void db_arg_uuid(struct db_args *a, const struct uuid *v)
{
    if (v == NULL) {
        arg_null_of(a, OID_UUID);
    } else if (arg_begin(a, OID_UUID)) {
        put_bytes(a, v->b, sizeof(v->b));
        arg_end(a);
    }
}

/* ---- arrays -------------------------------------------------------------------------------- */

/* dimensions, whether there may be nulls, the elements' type, and for the one dimension its length
 * and first index. An empty array has no dimension. */
static void put_array_head(struct db_args *a, Oid element, bool nulls, size_t n)
{
    put_u32(a, n > 0 ? 1 : 0);
    put_u32(a, nulls ? 1 : 0);
    put_u32(a, element);
    if (n > 0) {
        if (n > INT32_MAX) {
            a->failed = true;
        }
        put_u32(a, (uint32_t)n);
        put_u32(a, 1);
    }
}

void db_arg_int_array(struct db_args *a, const int32_t *v, size_t n)
{
    if (!arg_begin(a, OID_INT4_ARRAY)) {
        return;
    }
    put_array_head(a, OID_INT4, false, n);
    for (size_t i = 0; i < n; i++) {
        put_u32(a, sizeof(v[i]));
        put_u32(a, (uint32_t)v[i]);
    }
    arg_end(a);
}

void db_arg_bigint_array(struct db_args *a, const int64_t *v, size_t n)
{
    if (!arg_begin(a, OID_INT8_ARRAY)) {
        return;
    }
    put_array_head(a, OID_INT8, false, n);
    for (size_t i = 0; i < n; i++) {
        put_u32(a, sizeof(v[i]));
        put_u64(a, (uint64_t)v[i]);
    }
    arg_end(a);
}

void db_arg_uuid_array(struct db_args *a, const struct uuid *v, const bool *is_null, size_t n)
{
    if (!arg_begin(a, OID_UUID_ARRAY)) {
        return;
    }
    put_array_head(a, OID_UUID, is_null != NULL, n);
    for (size_t i = 0; i < n; i++) {
        if (is_null != NULL && is_null[i]) {
            put_u32(a, NULL_LENGTH);
        } else {
            put_u32(a, sizeof(v[i].b));
            put_bytes(a, v[i].b, sizeof(v[i].b));
        }
    }
    arg_end(a);
}

void db_arg_text_array(struct db_args *a, const char *const *v, size_t n)
{
    if (!arg_begin(a, OID_TEXT_ARRAY)) {
        return;
    }
    put_array_head(a, OID_TEXT, true, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = v[i] != NULL ? strlen(v[i]) : 0;
        /* A length that a 32-bit field cannot say is over the buffer's cap anyway. */
        put_u32(a, v[i] != NULL ? (uint32_t)len : NULL_LENGTH);
        put_bytes(a, v[i] != NULL ? v[i] : "", len);
    }
    arg_end(a);
}
