/* The requests that ask for a run: ring a job's current slot, or a manual run. Reads the body, asks
 * the database (reveille.request), rings the core at once, and leaves the rest to api_wait. */
#ifndef REVEILLE_API_ASK_H
#define REVEILLE_API_ASK_H

#include "api_context.h"

/* POST /v1/jobs/{job}/runs */
void api_ask_run(struct api_context *x, struct http_request *req, const struct api_path *path,
                 enum api_power power);

/* The forms that pg_cron knows: POST /scenario-scheduler, /nightly-scheduler (its body names the
 * job), /daily-reminder-eval. */
void api_ask_scenarios(struct api_context *x, struct http_request *req, const struct api_path *path,
                       enum api_power power);
void api_ask_nightly(struct api_context *x, struct http_request *req, const struct api_path *path,
                     enum api_power power);
void api_ask_reminders(struct api_context *x, struct http_request *req, const struct api_path *path,
                       enum api_power power);

#endif
