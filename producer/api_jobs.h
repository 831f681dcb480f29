/* The registry over HTTP: list the jobs, pause and resume one. What a pause means is the
 * database's. */
#ifndef REVEILLE_API_JOBS_H
#define REVEILLE_API_JOBS_H

#include "api_context.h"

/* GET /v1/jobs */
void api_jobs_list(struct api_context *x, struct http_request *req, const struct api_path *path,
                   enum api_power power);
/* PATCH /v1/jobs/{job} {"paused": …} */
void api_jobs_patch(struct api_context *x, struct http_request *req, const struct api_path *path,
                    enum api_power power);

#endif
