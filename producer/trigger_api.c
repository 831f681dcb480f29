/* See trigger_api.h. */
#include "trigger_api.h"

#include "api_ask.h"
#include "api_assignments.h"
#include "api_jobs.h"
#include "api_replay.h"
#include "api_reply.h"
#include "api_runs.h"
#include "attrs.h"
#include "http_server.h"
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIGGER_API_MAGIC 0x54415049u

struct trigger_api {
    unsigned magic;
    struct trigger_api_config cfg;
    struct api_context context;
    struct api_auth *auth;
    struct http_server *server;
    bool tls, draining;
};

/* {job} takes any name, {run} and {assignment} an id. A path's routes stand together. */
static const struct route {
    enum http_method method;
    const char *method_name, *path;
    enum api_power power;
    api_handler_fn handler;
} routes[] = {
    {HTTP_POST, "POST", "/v1/jobs/{job}/runs", API_SCHEDULER, api_ask_run},
    {HTTP_POST, "POST", "/scenario-scheduler", API_SCHEDULER, api_ask_scenarios},
    {HTTP_POST, "POST", "/nightly-scheduler", API_SCHEDULER, api_ask_nightly},
    {HTTP_POST, "POST", "/daily-reminder-eval", API_SCHEDULER, api_ask_reminders},
    {HTTP_GET, "GET", "/v1/runs", API_SCHEDULER, api_runs_list},
    {HTTP_GET, "GET", "/v1/runs/{run}", API_SCHEDULER, api_runs_get},
    {HTTP_GET, "GET", "/v1/runs/{run}/slices", API_SCHEDULER, api_runs_slices},
    {HTTP_POST, "POST", "/v1/runs/{run}/cancel", API_OPERATOR, api_runs_cancel},
    {HTTP_POST, "POST", "/v1/runs/{run}/replay", API_OPERATOR, api_replay},
    {HTTP_GET, "GET", "/v1/jobs", API_OPERATOR, api_jobs_list},
    {HTTP_PATCH, "PATCH", "/v1/jobs/{job}", API_OPERATOR, api_jobs_patch},
    {HTTP_PATCH, "PATCH", "/v1/assignments/{assignment}", API_OPERATOR, api_assignments_patch},
};

/* ---- paths ------------------------------------------------------------------------------- */

/* What stands in the place of `name` ("{job}"): the path's segment, len bytes of it. What cannot be
 * a job's name is the empty one, which is no job's: its answer is that of any unknown job. */
static bool take_segment(const char *name, const char *segment, size_t len, struct api_path *ret)
{
    char text[sizeof ret->job] = "";
    if (len < sizeof text)
        memcpy(text, segment, len);
    if (strncmp(name, "{run}", 5) == 0)
        return uuid_parse(text, &ret->run);
    if (strncmp(name, "{assignment}", 12) == 0)
        return uuid_parse(text, &ret->assignment);
    snprintf(ret->job, sizeof ret->job, "%s", api_job_name_is_text(text) ? text : "");
    return len > 0;
}

static bool path_matches(const char *pattern, const char *path, struct api_path *ret)
{
    while (*pattern && *path) {
        size_t p = strcspn(pattern + 1, "/") + 1, s = strcspn(path + 1, "/") + 1;
        if (pattern[1] == '{' ? !take_segment(pattern + 1, path + 1, s - 1, ret)
                              : p != s || memcmp(pattern, path, p) != 0)
            return false;
        pattern += p;
        path += s;
    }
    return *pattern == '\0' && *path == '\0';
}

/* The route of this path and method; NULL: *ret_allow says which methods the path knows, and is
 * empty when there is no such path. */
static const struct route *find_route(enum http_method method, const char *path,
                                      struct api_path *ret_path, const char **ret_allow)
{
    *ret_allow = "";
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (!path_matches(routes[i].path, path, ret_path))
            continue;
        if (routes[i].method == method)
            return &routes[i];
        *ret_allow = routes[i].method_name; /* no path has two */
    }
    return NULL;
}

/* ---- health ------------------------------------------------------------------------------ */

static void serve_ready(struct trigger_api *api, struct http_request *req)
{
    const char *waiting_for = api->draining ? "leaving" : api->cfg.not_ready(api->cfg.arg);
    if (waiting_for)
        api_reply_problem_titled(req, PROBLEM_NOT_READY, waiting_for);
    else
        api_reply_json(req, 200, "{\"ready\":true}");
}

static void serve_metrics(struct trigger_api *api, struct http_request *req)
{
    struct buf text;
    struct err err = ERR_INIT;
    buf_init(&text, METRICS_TEXT_MAX);
    api->cfg.refresh_metrics(api->cfg.arg);
    if (metrics_render(api->cfg.metrics, &text, &err))
        api_reply_problem(req, PROBLEM_INTERNAL);
    else
        http_reply(req, 200, METRICS_CONTENT_TYPE, text.data, text.len, NULL);
    buf_release(&text);
}

/* Whether it was one of the three paths that need no secret; then it is answered. */
static bool serve_health(struct trigger_api *api, struct http_request *req)
{
    const char *path = http_path(req);
    bool live = strcmp(path, "/livez") == 0, ready = strcmp(path, "/readyz") == 0;
    if (!live && !ready && strcmp(path, "/metrics") != 0)
        return false;
    if (http_method_of(req) != HTTP_GET)
        api_reply_bad_method(req, "GET");
    else if (live)
        api_reply_json(req, 200, "{\"live\":true}");
    else if (ready)
        serve_ready(api, req);
    else
        serve_metrics(api, req);
    return true;
}

/* ---- requests ---------------------------------------------------------------------------- */

static void serve(void *arg, struct http_request *req)
{
    struct trigger_api *api = CHECK_MAGIC(struct trigger_api, arg, TRIGGER_API_MAGIC);
    struct api_path path;
    const char *allow;
    size_t len;
    memset(&path, 0, sizeof path);
    if (serve_health(api, req))
        return;
    enum api_power power = api_auth_check(api->auth, req);
    if (power == API_NOBODY) {
        api_reply_problem(req, PROBLEM_UNAUTHORIZED);
        return;
    }
    const struct route *route = find_route(http_method_of(req), http_path(req), &path, &allow);
    if (!route && *allow)
        api_reply_bad_method(req, allow);
    else if (!route)
        api_reply_problem(req, PROBLEM_NO_SUCH_PATH);
    else if (power < route->power)
        api_reply_problem(req, PROBLEM_NEEDS_OPERATOR);
    else if ((http_body(req, &len), len) > 0 && !api_is_json_type(http_header(req, "Content-Type")))
        api_reply_problem(req, PROBLEM_NOT_JSON);
    else if (api->draining)
        api_reply_problem_titled(req, PROBLEM_NOT_READY, "leaving");
    else
        route->handler(&api->context, req, &path, power);
}

/* ---- life -------------------------------------------------------------------------------- */

static int make_parts(struct trigger_api *api, struct err *err)
{
    const struct trigger_api_config *c = &api->cfg;
    struct http_server_config http = {.address = config_text(c->cfg, CFG_LISTEN_ADDRESS),
                                      .cert_file = config_text(c->cfg, CFG_TLS_CERT_FILE),
                                      .key_file = config_text(c->cfg, CFG_TLS_KEY_FILE)};
    const char *env = config_text(c->cfg, CFG_REVEILLE_ENV);
    api->tls = http.cert_file != NULL;
    api->context = (struct api_context){
        .log = c->log,
        .wake = c->wake,
        .development = strcmp(env, "development") == 0,
        .threshold_ms = config_int(c->cfg, CFG_TIMEOUT_THRESHOLD_MS),
    };
    if (!(api->auth = api_auth_new(c->cfg, c->db, c->log, c->metrics, err)) ||
        !(api->context.queries = api_queries_new(c->db, c->log, err)) ||
        !(api->context.waits = api_waits_new(c->loop, c->db, c->log, err)) ||
        !(api->server = http_server_new(c->loop, &http, serve, api, err)))
        return -1;
    return 0;
}

struct trigger_api *trigger_api_new(const struct trigger_api_config *cfg, struct err *err)
{
    struct trigger_api *api = calloc(1, sizeof *api);
    if (!api) {
        err_errno(err, "trigger api");
        return NULL;
    }
    api->magic = TRIGGER_API_MAGIC;
    api->cfg = *cfg;
    if (make_parts(api, err)) {
        trigger_api_free(api);
        return NULL;
    }
    return api;
}

void trigger_api_free(struct trigger_api *api)
{
    if (!api)
        return;
    http_server_free(api->server); /* first: it may still tell the waits that clients are gone */
    api_waits_free(api->context.waits);
    api_queries_free(api->context.queries);
    api_auth_free(api->auth);
    api->magic = 0;
    free(api);
}

const char *trigger_api_address(const struct trigger_api *api)
{
    return http_server_address(api->server);
}

bool trigger_api_is_tls(const struct trigger_api *api)
{
    return api->tls;
}

void trigger_api_run_moved(struct trigger_api *api)
{
    api_waits_look(api->context.waits);
}

void trigger_api_database_reached(struct trigger_api *api)
{
    api_queries_reached(api->context.queries);
}

void trigger_api_refresh_secrets(struct trigger_api *api)
{
    api_auth_refresh(api->auth);
}

void trigger_api_drain(struct trigger_api *api)
{
    api->draining = true;
    http_server_stop_accepting(api->server);
    api_waits_drain(api->context.waits);
}

int trigger_api_open_requests(const struct trigger_api *api)
{
    return http_server_open_requests(api->server);
}
