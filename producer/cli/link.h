/* The command's link to PostgreSQL: blocking, one statement after the other. What goes wrong is
 * said on stderr with the way out, and becomes an exit code. */
#ifndef REVEILLE_CLI_LINK_H
#define REVEILLE_CLI_LINK_H

#include "cli.h"
#include "uuid.h"

/* Connects cli->db; CLI_YES, CLI_USAGE (no DATABASE_URL) or CLI_AWAY. */
int link_open(struct cli *cli);

/* Runs one statement with text parameters ($1 …). Returns owned: its rows (PQclear), or NULL and
 * *ret_exit. A statement that finds nothing has rows: none. */
PGresult *link_query(struct cli *cli, const char *sql, int n, const char *const *params,
                     int *ret_exit);

/* The same for a statement that may take minutes: no statement_timeout of the role but `seconds`, a
 * line on stderr now and then that `what` is still under way, and the server gives up when we are
 * gone. Runs in a transaction of its own, which changes nothing. */
PGresult *link_query_patiently(struct cli *cli, const char *what, int seconds, const char *sql,
                               int n, const char *const *params, int *ret_exit);

/* The run that `word` names (an id, a unique prefix, latest[:JOB]; NULL: latest); CLI_YES and its
 * id, else said on stderr: CLI_NONE, CLI_USAGE (ambiguous), or what link_query says. */
int link_find_run(struct cli *cli, const char *word, char ret_id[UUID_TEXT_SIZE]);

/* CLI_YES if `sql`, whose one parameter is `name`, has a row; else said on stderr: CLI_NONE, there
 * is no such `what`, or what link_query says. */
int link_find(struct cli *cli, const char *what, const char *sql, const char *name);

/* The rows of `sql` as a table for people, or with --json as an array of objects. `none` is said on
 * stderr when there are none (NULL: nothing is said). */
int link_show(struct cli *cli, const char *sql, int n, const char *const *params, const char *none);

#endif
