/* Contact dates over HTTP: an operator's correction of one assignment's. That it is kept, and until
 * when, is the database's (set_contact). */
#ifndef REVEILLE_API_ASSIGNMENTS_H
#define REVEILLE_API_ASSIGNMENTS_H

#include "api_context.h"

/* PATCH /v1/assignments/{assignment} {"last_contact_date": …} */
void api_assignments_patch(struct api_context *x, struct http_request *req,
                           const struct api_path *path, enum api_power power);

#endif
