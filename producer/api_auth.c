/* See api_auth.h. */
#include "api_auth.h"

#include "api_request.h"
#include "attrs.h"
#include "clock.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define API_AUTH_MAGIC 0x41555448u

/* The database keeps the last use, so that it holds for several producers (requirement T10). */
#define NOTE_USE_SQL "select reveille.note_secret_use($1)"

static const struct slot {
    enum config_key key;
    const char *name;
    enum api_power power;
} slots[] = {
    {CFG_SCHEDULER_SECRET, "scheduler", API_SCHEDULER},
    {CFG_SCHEDULER_SECRET_NEXT, "scheduler_next", API_SCHEDULER},
    {CFG_OPERATOR_SECRET, "operator", API_OPERATOR},
};
#define SLOTS COUNT_OF(slots)

struct api_auth {
    unsigned magic;
    struct config *cfg;
    struct db *db;
    struct log *log;
    struct metrics *metrics;
    bool unreadable[SLOTS];  /* said so already */
    int64_t noted_ms[SLOTS]; /* when its use was last written down; 0: never */
};

static void warn_missing(const struct api_auth *a)
{
    bool any = false;
    for (size_t i = 0; i < SLOTS; i++)
        any = any || (slots[i].power == API_SCHEDULER && config_has(a->cfg, slots[i].key));
    if (!any)
        log_event(a->log, EV_CONFIG_WARNING, log_name("name", "SCHEDULER_SECRET"),
                  log_name("problem", "not set: HTTP answers 401 to everybody who rings"));
}

struct api_auth *api_auth_new(struct config *cfg, struct db *db, struct log *log,
                              struct metrics *metrics, struct err *err)
{
    struct api_auth *a = calloc(1, sizeof *a);
    if (!a) {
        err_errno(err, "api auth");
        return NULL;
    }
    *a = (struct api_auth){
        .magic = API_AUTH_MAGIC, .cfg = cfg, .db = db, .log = log, .metrics = metrics};
    warn_missing(a);
    return a;
}

void api_auth_free(struct api_auth *a)
{
    free(a);
}

static void refresh_slot(struct api_auth *a, size_t i)
{
    struct secret *s = config_secret(a->cfg, slots[i].key);
    struct err err = ERR_INIT;
    bool changed = false;
    if (!s->text)
        return;
    int failed = secret_refresh(s, &changed, &err);
    if (!failed && changed)
        log_event(a->log, EV_SECRET_CHANGED, log_name("slot", slots[i].name));
    if (!failed && !secret_is_hex(s))
        failed = err_set(&err, ERR_CONFIG, "not_hex", "not %d hexadecimal digits", SECRET_HEX);
    if (failed && !a->unreadable[i])
        log_event(a->log, EV_SECRET_UNREADABLE, log_name("slot", slots[i].name), LOG_ERR(&err));
    a->unreadable[i] = failed != 0;
}

void api_auth_refresh(struct api_auth *a)
{
    for (size_t i = 0; i < SLOTS; i++)
        refresh_slot(a, i);
}

static void use_noted(void *arg, enum db_outcome outcome, const struct db_result *result,
                      const struct err *err)
{
    struct api_auth *a = CHECK_MAGIC(struct api_auth, arg, API_AUTH_MAGIC);
    (void)result;
    if (outcome == DB_REFUSED)
        log_event(a->log, EV_DATABASE_ERROR, log_name("what", "note_secret_use"), LOG_ERR(err));
}

/* A use that cannot be written down now is only a metric: a ring must not fail for it. */
static void note_use(struct api_auth *a, size_t i)
{
    int64_t now = clock_mono_ms();
    metrics_set(a->metrics, METRIC_SECRET_LAST_USED, slots[i].name, NULL,
                (double)clock_wall_us() / 1e6);
    if (a->noted_ms[i] != 0 && now - a->noted_ms[i] < API_NOTE_USE_MS)
        return;
    struct db_args *args = db_args_new();
    db_arg_text(args, slots[i].name);
    if (db_call(a->db, NOTE_USE_SQL, args, DB_STATEMENT_MS, use_noted, a, NULL) == 0)
        a->noted_ms[i] = now;
}

enum api_power api_auth_power(struct api_auth *a, const char *credential)
{
    enum api_power power = API_NOBODY;
    size_t used = SLOTS, len = credential ? strlen(credential) : 0;
    for (size_t i = 0; i < SLOTS; i++) { /* all of them, also after a match */
        const struct secret *s = config_secret(a->cfg, slots[i].key);
        bool same = secret_matches(s, credential ? credential : "", len) && secret_is_hex(s);
        if (same && slots[i].power > power) {
            power = slots[i].power;
            used = i;
        }
    }
    if (used < SLOTS)
        note_use(a, used);
    return power;
}

enum api_power api_auth_check(struct api_auth *a, const struct http_request *req)
{
    struct api_credentials shown =
        api_credentials(http_header(req, "X-Scheduler-Secret"), http_header(req, "Authorization"));
    api_auth_refresh(a);
    enum api_power by_secret = api_auth_power(a, shown.secret);
    enum api_power by_bearer = api_auth_power(a, shown.bearer); /* always both: the time is one */
    return by_secret > by_bearer ? by_secret : by_bearer;
}
