/* Runs over HTTP: list them, read one, read its slices, cancel it. Answers come from the rows, so
 * any producer can give them. Asking for a run is api_ask's. */
#ifndef REVEILLE_API_RUNS_H
#define REVEILLE_API_RUNS_H

#include "api_context.h"

/* GET /v1/runs?job=&limit=&before= : summaries, newest first; before: a run's id or a time. */
void api_runs_list(struct api_context *x, struct http_request *req, const struct api_path *path,
                   enum api_power power);
/* GET /v1/runs/{run}: the summary, and its replays. */
void api_runs_get(struct api_context *x, struct http_request *req, const struct api_path *path,
                  enum api_power power);
/* GET /v1/runs/{run}/slices?state=&after= : up to 1,000, by number. */
void api_runs_slices(struct api_context *x, struct http_request *req, const struct api_path *path,
                     enum api_power power);
/* POST /v1/runs/{run}/cancel */
void api_runs_cancel(struct api_context *x, struct http_request *req, const struct api_path *path,
                     enum api_power power);

#endif
