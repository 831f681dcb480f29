/* Reading a result: values in PostgreSQL's binary formats, checked for their type, and what the
 * server says against a statement. Not for what happened to the link: db.c judges that. */
#include "db_internal.h"
#include "scrub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors -------------------------------------------------------------------------------- */

/* Conflicts, exhausted or stopping servers, time-outs, a server that is read-only just now. */
static bool sqlstate_retry(const char *code)
{
    static const char *const prefixes[] = {"40001", "40P01", "55P03", "53",
                                           "57014", "57P",   "08",    "25006"};

    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        if (strncmp(code, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

void db_result_error(const PGresult *pg, struct err *err)
{
    const char *code = PQresultErrorField(pg, PG_DIAG_SQLSTATE);
    const char *said = PQresultErrorField(pg, PG_DIAG_MESSAGE_PRIMARY);
    char text[ERR_TEXT_MAX];

    if (said == NULL) {
        said = "no reason given";
    }
    (void)scrub_text(said, strlen(said), text, sizeof(text));
    (void)err_set(err, ERR_DATABASE, code, "%s", text);
    err->retry = code != NULL && sqlstate_retry(code);
}

bool db_result_fatal(const PGresult *pg)
{
    const char *severity = PQresultErrorField(pg, PG_DIAG_SEVERITY_NONLOCALIZED);

    return severity == NULL || strcmp(severity, "ERROR") != 0;
}

/* ---- single values ------------------------------------------------------------------------- */

static void wrong_column(const PGresult *pg, int row, int col, const char *asked)
{
    char what[96];

    (void)snprintf(what, sizeof(what), "row %d of %d, column %d of %d (type %u) asked for as %s",
                   row, PQntuples(pg), col, PQnfields(pg), PQftype(pg, col), asked);
    magic_failed(what, __FILE__, __LINE__);
}

static void check_place(const struct db_result *r, int row, int col, const char *asked)
{
    if (row < 0 || row >= PQntuples(r->pg) || col < 0 || col >= PQnfields(r->pg)) {
        wrong_column(r->pg, row, col, asked);
    }
}

int db_rows(const struct db_result *r)
{
    return PQntuples(r->pg);
}

bool db_is_null(const struct db_result *r, int row, int col)
{
    check_place(r, row, col, "anything");
    return PQgetisnull(r->pg, row, col) == 1;
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* The bytes of a value whose length its type fixes; NULL when it is null. */
static const uint8_t *fixed_value(const struct db_result *r, int row, int col, int len,
                                  const char *asked)
{
    if (db_is_null(r, row, col)) {
        return NULL;
    }
    if (PQgetlength(r->pg, row, col) != len) {
        wrong_column(r->pg, row, col, asked);
    }
    return (const uint8_t *)PQgetvalue(r->pg, row, col);
}

/* An int2, int4 or int8, whichever the column is; `widest` is what the caller can take. */
static int64_t integer(const struct db_result *r, int row, int col, int widest, const char *asked)
{
    check_place(r, row, col, asked);

    Oid type = PQftype(r->pg, col);
    int len = type == OID_INT2 ? 2 : type == OID_INT4 ? 4 : type == OID_INT8 ? 8 : 0;
    if (len == 0 || len > widest) {
        wrong_column(r->pg, row, col, asked);
    }
    const uint8_t *p = fixed_value(r, row, col, len, asked);
    if (p == NULL) {
        return 0;
    }
    if (len == 2) {
        return (int16_t)(uint16_t)(p[0] << 8 | p[1]);
    }
    if (len == 4) {
        return (int32_t)read_u32(p);
    }
    return (int64_t)((uint64_t)read_u32(p) << 32 | read_u32(p + 4));
}

bool db_bool(const struct db_result *r, int row, int col)
{
    check_place(r, row, col, "bool");
    if (PQftype(r->pg, col) != OID_BOOL) {
        wrong_column(r->pg, row, col, "bool");
    }
    const uint8_t *p = fixed_value(r, row, col, 1, "bool");
    return p != NULL && *p != 0;
}

int32_t db_int(const struct db_result *r, int row, int col)
{
    return (int32_t)integer(r, row, col, 4, "int");
}

int64_t db_bigint(const struct db_result *r, int row, int col)
{
    return integer(r, row, col, 8, "bigint");
}

const char *db_text(const struct db_result *r, int row, int col)
{
    check_place(r, row, col, "text");

    Oid type = PQftype(r->pg, col);
    if (type != OID_TEXT && type != OID_VARCHAR && type != OID_NAME && type != OID_JSON &&
        type != OID_JSONB) {
        wrong_column(r->pg, row, col, "text");
    }
    if (PQgetisnull(r->pg, row, col)) {
        return "";
    }
    const char *text = PQgetvalue(r->pg, row, col);
    /* jsonb travels as a version byte and the text. */
    return type == OID_JSONB && PQgetlength(r->pg, row, col) > 0 ? text + 1 : text;
}

struct uuid db_uuid(const struct db_result *r, int row, int col)
{
    struct uuid id = {{0}};

    check_place(r, row, col, "uuid");
    if (PQftype(r->pg, col) != OID_UUID) {
        wrong_column(r->pg, row, col, "uuid");
    }
    const uint8_t *p = fixed_value(r, row, col, sizeof(id.b), "uuid");
    if (p != NULL) {
        memcpy(id.b, p, sizeof(id.b));
    }
    return id;
}

/* ---- arrays -------------------------------------------------------------------------------- */

/* Walks the elements of a binary array. */
struct array {
    const uint8_t *p, *end;
    size_t n; /* elements that follow */
};

static int array_broken(struct err *err)
{
    return err_set(err, ERR_PROTOCOL, NULL, "an array from the database cannot be read");
}

/* A null reads as an empty array. */
static int array_begin(const struct db_result *r, int row, int col, struct array *ret_a,
                       struct err *err)
{
    struct array a = {.n = 0};

    if (PQgetisnull(r->pg, row, col)) {
        *ret_a = a;
        return 0;
    }
    a.p = (const uint8_t *)PQgetvalue(r->pg, row, col);
    a.end = a.p + PQgetlength(r->pg, row, col);
    if (a.end - a.p < 12) {
        return array_broken(err);
    }
    uint32_t dimensions = read_u32(a.p);
    a.p += 12; /* dimensions, whether nulls occur, the elements' type: the column's says it */
    if (dimensions == 1) {
        if (a.end - a.p < 8) {
            return array_broken(err);
        }
        a.n = read_u32(a.p);
        a.p += 8; /* length, first index */
        if (a.n > (size_t)(a.end - a.p) / 4) {
            return array_broken(err); /* each element has a length field */
        }
    } else if (dimensions != 0) {
        return err_set(err, ERR_PROTOCOL, NULL, "an array from the database has %u dimensions",
                       dimensions);
    }
    *ret_a = a;
    return 0;
}

/* The next element's bytes; *ret_p is NULL for a null. */
static int array_next(struct array *a, const uint8_t **ret_p, size_t *ret_len, struct err *err)
{
    if (a->end - a->p < 4) {
        return array_broken(err);
    }
    uint32_t len = read_u32(a->p);
    a->p += 4;
    if (len == UINT32_MAX) {
        *ret_p = NULL;
        *ret_len = 0;
        return 0;
    }
    if (len > (size_t)(a->end - a->p)) {
        return array_broken(err);
    }
    *ret_p = a->p;
    *ret_len = len;
    a->p += len;
    return 0;
}

/* A kind of element of fixed length: `wire` bytes each become `size` bytes. */
struct element {
    Oid array_type;
    const char *asked;
    size_t wire, size;
    void (*read)(void *out, const uint8_t *p);
};

static void read_uuid(void *out, const uint8_t *p)
{
    memcpy(out, p, sizeof(struct uuid));
}

static void read_bool(void *out, const uint8_t *p)
{
    *(bool *)out = *p != 0;
}

static const struct element uuid_element = {OID_UUID_ARRAY, "uuid[]", sizeof(struct uuid),
                                            sizeof(struct uuid), read_uuid};
static const struct element bool_element = {OID_BOOL_ARRAY, "bool[]", 1, sizeof(bool), read_bool};

/* All elements of an array, zeroes where they are null; -1: *v holds some of them. */
static int read_elements(struct array *a, const struct element *e, char *v, struct err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        const uint8_t *p;
        size_t len;
        if (array_next(a, &p, &len, err)) {
            return -1;
        }
        if (p != NULL && len != e->wire) {
            return array_broken(err);
        }
        if (p != NULL) {
            e->read(v + i * e->size, p);
        }
    }
    return 0;
}

/* Returns owned: the array, NULL when it is empty; -1 as db_uuid_array. */
static int fixed_array(const struct db_result *r, int row, int col, const struct element *e,
                       void **ret_v, size_t *ret_n, struct err *err)
{
    struct array a;

    check_place(r, row, col, e->asked);
    if (PQftype(r->pg, col) != e->array_type) {
        wrong_column(r->pg, row, col, e->asked);
    }
    if (array_begin(r, row, col, &a, err)) {
        return -1;
    }
    char *v = a.n > 0 ? calloc(a.n, e->size) : NULL;
    if (v == NULL && a.n > 0) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory for an array of %zu", a.n);
    }
    if (read_elements(&a, e, v, err)) {
        free(v);
        return -1;
    }
    *ret_v = v;
    *ret_n = a.n;
    return 0;
}

int db_uuid_array(const struct db_result *r, int row, int col, struct uuid **ret_v, size_t *ret_n,
                  struct err *err)
{
    void *v;
    if (fixed_array(r, row, col, &uuid_element, &v, ret_n, err)) {
        return -1;
    }
    *ret_v = v;
    return 0;
}

int db_bool_array(const struct db_result *r, int row, int col, bool **ret_v, size_t *ret_n,
                  struct err *err)
{
    void *v;
    if (fixed_array(r, row, col, &bool_element, &v, ret_n, err)) {
        return -1;
    }
    *ret_v = v;
    return 0;
}

int db_text_array(const struct db_result *r, int row, int col, char **ret_v, size_t *ret_n,
                  struct err *err)
{
    struct array a;

    check_place(r, row, col, "text[]");
    Oid type = PQftype(r->pg, col);
    if (type != OID_TEXT_ARRAY && type != OID_VARCHAR_ARRAY && type != OID_NAME_ARRAY) {
        wrong_column(r->pg, row, col, "text[]");
    }
    if (array_begin(r, row, col, &a, err)) {
        return -1;
    }
    /* Each element loses its length field of 4 bytes and gains a zero: the rest is room enough. */
    char *v = a.n > 0 ? malloc((size_t)(a.end - a.p)) : NULL;
    if (v == NULL && a.n > 0) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory for an array of %zu", a.n);
    }
    char *out = v;
    for (size_t i = 0; i < a.n; i++) {
        const uint8_t *p;
        size_t len;
        if (array_next(&a, &p, &len, err)) {
            free(v);
            return -1;
        }
        if (p != NULL) {
            memcpy(out, p, len);
            out += len;
        }
        *out++ = '\0';
    }
    *ret_v = v;
    *ret_n = a.n;
    return 0;
}
