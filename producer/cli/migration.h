/* The files of a folder of migrations: YYYYMMDDHHMMSS_name.sql, in order. Reads files, knows no
 * database. */
#ifndef REVEILLE_CLI_MIGRATION_H
#define REVEILLE_CLI_MIGRATION_H

#include "err.h"

#include <stddef.h>

struct migration {
    char version[15];
    char *name; /* owned: what stands between version and .sql */
    char *text; /* owned: the whole file */
};

/* Returns owned (migrations_free); CONFIG for a folder that cannot be read, has no migration, or
 * has a .sql file with another form of name. */
int migrations_read(const char *dir, struct migration **ret_list, size_t *ret_n,
                    struct err *err) MUST_CHECK;
void migrations_free(struct migration *list, size_t n);

#endif
