/* Who may call: the scheduler's secrets (two while one rotates) and the operator's, which is worth
 * more. Every configured secret is compared with, in constant time, whatever the answer; files are
 * looked at before each comparison, so a rotation needs no restart. The last use of each is a
 * metric and a row of reveille.secret_use. Knows no routes: what a power allows is trigger_api's.
 */
#ifndef REVEILLE_API_AUTH_H
#define REVEILLE_API_AUTH_H

#include "config.h"
#include "db.h"
#include "err.h"
#include "http_server.h"
#include "log.h"
#include "metrics.h"

enum api_power {
    API_NOBODY,    /* no secret, or a wrong one */
    API_SCHEDULER, /* may ring a job's current slot, and read */
    API_OPERATOR,  /* may choose dates, cancel, pause */
};

struct api_auth;

/* Borrows all. Warns in the log when no scheduler's secret is there: then nobody can ring. */
struct api_auth *api_auth_new(struct config *cfg, struct db *db, struct log *log,
                              struct metrics *metrics, struct err *err);
void api_auth_free(struct api_auth *a);

/* What the request's secret allows. */
enum api_power api_auth_check(struct api_auth *a, const struct http_request *req);

/* The same for a secret as it stands in a header; NULL: none. */
enum api_power api_auth_power(struct api_auth *a, const char *credential);

/* Looks at the files now (SIGHUP). */
void api_auth_refresh(struct api_auth *a);

#endif
