#include "migration.h"

#include "limits.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_LEN 14

static int only_sql(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 4 && strcmp(entry->d_name + len - 4, ".sql") == 0;
}

static bool well_named(const char *file)
{
    for (int i = 0; i < VERSION_LEN; i++)
        if (!isdigit((unsigned char)file[i]))
            return false;
    return file[VERSION_LEN] == '_' && strlen(file) > VERSION_LEN + 5;
}

/* Returns owned: the file's text, or NULL with err. */
static char *read_file(const char *path, struct err *err)
{
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        (void)err_errno(err, path);
        return NULL;
    }
    char *text = malloc(MIGRATION_MAX + 1);
    size_t len = text != NULL ? fread(text, 1, MIGRATION_MAX + 1, in) : 0;
    bool bad = text == NULL || ferror(in) != 0 || len > MIGRATION_MAX;
    (void)fclose(in); /* it was only read */
    if (bad) {
        (void)err_set(err, ERR_CONFIG, NULL, "%s: cannot be read, or is over 1 MiB", path);
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

static int read_one(const char *dir, const char *file, struct migration *m, struct err *err)
{
    char path[4096];
    if (!well_named(file))
        return err_set(err, ERR_CONFIG, NULL, "%s: a migration is named YYYYMMDDHHMMSS_name.sql",
                       file);
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    memcpy(m->version, file, VERSION_LEN);
    m->version[VERSION_LEN] = '\0';
    m->name = strndup(file + VERSION_LEN + 1, strlen(file) - VERSION_LEN - 5);
    m->text = read_file(path, err);
    if (m->name == NULL && m->text != NULL)
        return err_set(err, ERR_SYSTEM, "ENOMEM", "no memory for %s", file);
    return m->text != NULL ? 0 : -1;
}

int migrations_read(const char *dir, struct migration **ret_list, size_t *ret_n, struct err *err)
{
    struct dirent **entries;
    int found = scandir(dir, &entries, only_sql, alphasort);
    if (found < 0)
        return err_set(err, ERR_CONFIG, NULL, "%s cannot be read: name the folder with --dir", dir);
    int rc = found > 0 ? 0 : err_set(err, ERR_CONFIG, NULL, "there is no migration in %s", dir);
    size_t n = 0;
    struct migration *list = calloc((size_t)found + 1, sizeof(*list));
    if (list == NULL)
        rc = err_set(err, ERR_SYSTEM, "ENOMEM", "no memory for %d migrations", found);
    for (int i = 0; i < found; i++) {
        if (rc == 0)
            rc = read_one(dir, entries[i]->d_name, &list[n++], err);
        free(entries[i]);
    }
    free(entries);
    if (rc != 0) {
        migrations_free(list, n);
        return -1;
    }
    *ret_list = list;
    *ret_n = n;
    return 0;
}

void migrations_free(struct migration *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].name);
        free(list[i].text);
    }
    free(list);
}
