/* Replays over HTTP: a run over what went wrong in another, or a forecast of one. What may be
 * selected, and what is left, is the database's word (open_replay, forecast_replay). */
#ifndef REVEILLE_API_REPLAY_H
#define REVEILLE_API_REPLAY_H

#include "api_context.h"

/* POST /v1/runs/{run}/replay: 202 and the replay's summary; with "dry_run" 200 and the forecast. */
void api_replay(struct api_context *x, struct http_request *req, const struct api_path *path,
                enum api_power power);

#endif
