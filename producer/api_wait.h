/* Callers that wait for a run: each is a request that was asked for in the database, looked up
 * every HTTP_WAIT_POLL_MS, and at once when the core notes that a run began or ended, until its run
 * has ended or the caller's time is up. Then it is answered with what the rows say. Any producer
 * can answer: it need not lead the run. */
#ifndef REVEILLE_API_WAIT_H
#define REVEILLE_API_WAIT_H

#include "api_query.h"
#include "db.h"
#include "err.h"
#include "http_server.h"
#include "log.h"
#include "loop.h"

#include <stdint.h>

struct api_waits;

/* Borrows all. */
struct api_waits *api_waits_new(struct loop *loop, struct db *db, struct log *log, struct err *err);
/* Forgets who waits; call it after the HTTP server and the database links are freed. */
void api_waits_free(struct api_waits *w);

/* Takes req and answers it by and by: 200 with the summary when the run has ended (or, for a form,
 * when the time is up), else 202 with it; 202 `queued` while there is no run; 409 or 422 when the
 * request was refused. request_id: the trigger_request's. memo says who asked how; copied. */
void api_wait_for(struct api_waits *w, struct http_request *req, int64_t request_id,
                  const struct api_memo *memo);

/* A run began or ended: look now. */
void api_waits_look(struct api_waits *w);

/* The producer leaves: everybody is answered now with what is known, and so is who comes later. */
void api_waits_drain(struct api_waits *w);

#endif
