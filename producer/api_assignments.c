/* See api_assignments.h. */
#include "api_assignments.h"

#include "api_reply.h"

/* No document: no such assignment, and nothing was set. */
#define SET_SQL                                                             \
    "select done is null, case when done then jsonb_build_object("          \
    "  'assignment_id', $1::uuid, 'last_contact_date', $2::date)::text end" \
    " from reveille.set_contact($1, $2::date, 'operator over HTTP') done"
enum { SET_FUTURE, SET_DOCUMENT };

static void set(void *arg, struct http_request *req, const struct db_result *r,
                const struct api_memo *memo)
{
    (void)arg;
    (void)memo;
    if (db_bool(r, 0, SET_FUTURE))
        api_reply_problem_titled(req, PROBLEM_WRONG_FIELDS, "last_contact_date is in the future");
    else if (db_is_null(r, 0, SET_DOCUMENT))
        api_reply_problem(req, PROBLEM_NO_SUCH_ASSIGNMENT);
    else
        api_reply_json(req, 200, db_text(r, 0, SET_DOCUMENT));
}

void api_assignments_patch(struct api_context *x, struct http_request *req,
                           const struct api_path *path, enum api_power power)
{
    (void)power;
    size_t len;
    const char *body = http_body(req, &len);
    char date[sizeof "YYYY-MM-DD"];
    enum api_parsed parsed = api_parse_contact(body, len, date);
    if (parsed != API_GOOD) {
        api_reply_problem(req, parsed == API_MALFORMED ? PROBLEM_MALFORMED : PROBLEM_WRONG_FIELDS);
        return;
    }
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &path->assignment);
    db_arg_text(args, date);
    api_query(x->queries, req, "set_contact", SET_SQL, args, set, NULL, NULL);
}
