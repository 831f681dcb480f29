/* See config.h. Three steps: every key of the table from NAME or NAME_FILE, then the KAFKA_* names
 * that are librdkafka's properties, then the names nobody knows. Error texts name the variable and
 * what is right, and never show a value: any of them may hold a password. */
#include "config.h"

#include "attrs.h"
#include "scrub.h"

#include <ctype.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 128 /* a variable's name with _FILE; ours are under 40 */
#define GROUP_SUFFIX ".workers"
#define FILE_SUFFIX "_FILE"
#define KAFKA_PREFIX "KAFKA_"

enum kind { TEXT, INT, SECRET, CHOICE };

struct key {
    const char *name;
    enum kind kind;
    const char *fallback;
    unsigned who;
    const char *help;
};

static const struct key keys[CONFIG_COUNT] = {
#define CONFIG(id, name, kind, fallback, who, help) [CFG_##id] = {name, kind, fallback, who, help},
#include "config.def"
#undef CONFIG
};

static const struct range {
    int64_t min, max;
} ranges[CONFIG_COUNT] = {
    [CFG_PAGE_SIZE] = {1, LIMIT_PAGE_MAX},
    [CFG_TIMEOUT_THRESHOLD_MS] = {0, 300000},
    [CFG_TRIGGER_ENGINE_TIMEOUT_MS] = {100, ENGINE_TIMEOUT_MAX_MS},
    [CFG_DRAIN_TIMEOUT_MS] = {0, 600000},
};

/* Separated by spaces. */
static const char *const choices[CONFIG_COUNT] = {
    [CFG_REVEILLE_ENV] = "production development",
    [CFG_DYNAMICS_ENABLED] = "true false",
    [CFG_LOG_LEVEL] = "debug info warn error",
};

/* The secrets that callers send us: their length is what makes guessing hopeless. */
static const bool must_be_hex[CONFIG_COUNT] = {
    [CFG_SCHEDULER_SECRET] = true,
    [CFG_SCHEDULER_SECRET_NEXT] = true,
    [CFG_OPERATOR_SECRET] = true,
};

struct value {
    struct secret secret; /* every kind's text; a file's for SECRET only, so that it is refreshed */
    int64_t number;       /* INT */
    const char *from;     /* "environment", "file", "default"; NULL: there is none */
};

struct config {
    unsigned who;
    struct value values[CONFIG_COUNT];
    struct broker_property *kafka; /* owned, names and values too */
    size_t kafka_count;
    const char **warnings; /* owned, and each */
    size_t warning_count;
};

/* ---- one variable ------------------------------------------------------------------------ */

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t len = strlen(s), n = strlen(suffix);
    return len >= n && strcmp(s + len - n, suffix) == 0;
}

/* NULL when it is not there or empty: an empty variable is how some tools say "not set". */
static const char *look_up(const char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return (*env)[len + 1] ? *env + len + 1 : NULL;
    return NULL;
}

/* Reads NAME or the file that NAME_FILE names. *ret_from is NULL when neither is set. */
static int read_variable(const char *const *env, const char *name, struct secret *ret_value,
                         const char **ret_from, struct err *err)
{
    char file_name[NAME_MAX_BYTES];
    snprintf(file_name, sizeof file_name, "%s" FILE_SUFFIX, name);
    const char *text = look_up(env, name);
    const char *path = look_up(env, file_name);
    *ret_from = NULL;
    if (text && path)
        return err_set(err, ERR_CONFIG, NULL, "%s: %s is set too; keep one of them", name,
                       file_name);
    if (path && secret_from_file(ret_value, path, err))
        return err_prefix(err, file_name);
    if (text && secret_from_text(ret_value, text, err))
        return err_prefix(err, name);
    if (text || path)
        *ret_from = path ? "file" : "environment";
    return 0;
}

/* ---- the table --------------------------------------------------------------------------- */

static bool is_choice(const char *list, const char *text)
{
    size_t len = strlen(text);
    for (const char *p = list; p; p = strchr(p, ' ')) {
        p += *p == ' ';
        if (strcspn(p, " ") == len && strncmp(p, text, len) == 0)
            return true;
    }
    return false;
}

static int parse_int(enum config_key key, struct value *v, struct err *err)
{
    const struct range *r = &ranges[key];
    const char *text = v->secret.text;
    char *end;
    int64_t n = strtoll(text, &end, 10); /* out of its range it is out of ours, too */
    if (!isdigit((unsigned char)text[0]) || *end || n < r->min || n > r->max)
        return err_set(err, ERR_CONFIG, NULL,
                       "%s: a whole number from %" PRId64 " to %" PRId64 " is needed",
                       keys[key].name, r->min, r->max);
    v->number = n;
    return 0;
}

static int check_value(enum config_key key, struct value *v, struct err *err)
{
    switch (keys[key].kind) {
    case INT:
        return parse_int(key, v, err);
    case CHOICE:
        if (!is_choice(choices[key], v->secret.text))
            return err_set(err, ERR_CONFIG, NULL, "%s: one of these is needed: %s", keys[key].name,
                           choices[key]);
        return 0;
    case SECRET:
        if (must_be_hex[key] && !secret_is_hex(&v->secret))
            return err_set(err, ERR_CONFIG, NULL,
                           "%s: %d hexadecimal digits are needed; "
                           "make one with: openssl rand -hex %d",
                           keys[key].name, SECRET_HEX, SECRET_HEX / 2);
        return 0;
    case TEXT:
        return 0;
    }
    return 0;
}

static int read_key(struct config *c, const char *const *env, enum config_key key, struct err *err)
{
    struct value *v = &c->values[key];
    if (read_variable(env, keys[key].name, &v->secret, &v->from, err))
        return -1;
    if (!v->from && !keys[key].fallback)
        return 0;
    if (!v->from) {
        if (secret_from_text(&v->secret, keys[key].fallback, err))
            return -1;
        v->from = "default";
    }
    return check_value(key, v, err);
}

/* The one default that is made of another key. */
static int default_group(struct config *c, struct err *err)
{
    struct value *group = &c->values[CFG_KAFKA_GROUP_ID];
    const char *prefix = c->values[CFG_KAFKA_TOPIC_PREFIX].secret.text;
    if (group->from || !prefix)
        return 0;
    char text[SECRET_MAX + sizeof GROUP_SUFFIX];
    snprintf(text, sizeof text, "%s" GROUP_SUFFIX, prefix);
    if (secret_from_text(&group->secret, text, err))
        return -1;
    group->from = "default";
    return 0;
}

/* ---- Kafka's properties ------------------------------------------------------------------ */

/* KAFKA_SECURITY_PROTOCOL → security.protocol; returns owned. */
static char *property_name(const char *variable)
{
    char *name = strdup(variable + strlen(KAFKA_PREFIX));
    for (char *p = name; p && *p; p++)
        *p = (char)(*p == '_' ? '.' : tolower((unsigned char)*p));
    return name;
}

static bool property_exists(rd_kafka_conf_t *scratch, const char *property)
{
    char unused[256];
    return rd_kafka_conf_set(scratch, property, "", unused, sizeof unused) !=
           RD_KAFKA_CONF_UNKNOWN; /* "" puts it back to its default */
}

/* Checks one property and keeps it; takes nothing. */
static int keep_property(struct config *c, rd_kafka_conf_t *scratch, const char *variable,
                         const char *property, const char *value, struct err *err)
{
    char reason[256]; /* shows the value: not for us */
    if (rd_kafka_conf_set(scratch, property, value, reason, sizeof reason) != RD_KAFKA_CONF_OK)
        return err_set(err, ERR_CONFIG, NULL, "%s: librdkafka refuses this value of %s", variable,
                       property);
    struct broker_property *p = &c->kafka[c->kafka_count];
    p->name = strdup(property);
    p->value = strdup(value);
    c->kafka_count++; /* even when half made: config_free frees it */
    return p->name && p->value ? 0 : err_errno(err, "configuration");
}

static int keep_warning(struct config *c, const char *variable, struct err *err)
{
    char *name = strdup(variable);
    if (!name)
        return err_errno(err, "configuration");
    c->warnings[c->warning_count++] = name;
    return 0;
}

/* What a KAFKA_* variable means: `base` is its name without _FILE when only that is a property. */
static int read_property(struct config *c, rd_kafka_conf_t *scratch, const char *const *env,
                         const char *variable, struct err *err)
{
    char base[NAME_MAX_BYTES];
    snprintf(base, sizeof base, "%s", variable);
    char *property = property_name(variable);
    bool known = property && property_exists(scratch, property);
    if (property && !known && ends_with(base, FILE_SUFFIX)) {
        base[strlen(base) - strlen(FILE_SUFFIX)] = '\0';
        property[strlen(property) - strlen(FILE_SUFFIX)] = '\0';
        known = property_exists(scratch, property);
    }
    struct secret value = SECRET_INIT;
    const char *from = NULL;
    int rc;
    if (!property)
        rc = err_errno(err, "configuration");
    else if (!known)
        rc = keep_warning(c, variable, err);
    else
        rc = read_variable(env, base, &value, &from, err);
    if (rc == 0 && from)
        rc = keep_property(c, scratch, base, property, value.text, err);
    secret_release(&value);
    free(property);
    return rc;
}

/* KAFKA_TOPIC_PREFIX and KAFKA_GROUP_ID are no properties but keys of ours. */
static bool is_property(const char *variable)
{
    return starts_with(variable, KAFKA_PREFIX) &&
           !starts_with(variable, keys[CFG_KAFKA_TOPIC_PREFIX].name) &&
           !starts_with(variable, keys[CFG_KAFKA_GROUP_ID].name);
}

/* The name before '='; false when it is longer than any that we could know, or its value empty. */
static bool split_name(const char *variable, char name[NAME_MAX_BYTES])
{
    size_t len = strcspn(variable, "=");
    if (len >= NAME_MAX_BYTES || variable[len] == '\0' || variable[len + 1] == '\0')
        return false;
    memcpy(name, variable, len);
    name[len] = '\0';
    return true;
}

static int read_kafka(struct config *c, const char *const *env, struct err *err)
{
    size_t n = 1; /* an array of none is no failure */
    for (const char *const *e = env; *e; e++)
        n += starts_with(*e, KAFKA_PREFIX);
    c->kafka = calloc(n, sizeof *c->kafka);
    c->warnings = calloc(n, sizeof *c->warnings);
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    int rc = c->kafka && c->warnings && scratch ? 0 : err_errno(err, "configuration");
    for (; rc == 0 && *env; env++) {
        char name[NAME_MAX_BYTES];
        if (is_property(*env) && split_name(*env, name))
            rc = read_property(c, scratch, env, name, err);
    }
    if (scratch)
        rd_kafka_conf_destroy(scratch);
    return rc;
}

/* ---- names nobody knows ------------------------------------------------------------------ */

/* A key's name, alone or with _FILE. */
static bool is_key(const char *name)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        size_t len = strlen(keys[i].name);
        bool begins = starts_with(name, keys[i].name);
        if (begins && (!name[len] || strcmp(name + len, FILE_SUFFIX) == 0))
            return true;
    }
    return false;
}

/* Names of the scripts that start us. */
static bool is_script_name(const char *name)
{
    return strcmp(name, "REVEILLE_LOCAL") == 0 || strcmp(name, "REVEILLE_URL") == 0 ||
           starts_with(name, "REVEILLE_REQUIRE_");
}

static int refuse_unknown(const char *const *env, struct err *err)
{
    for (; *env; env++) {
        char name[NAME_MAX_BYTES];
        if (!starts_with(*env, "REVEILLE_") || !split_name(*env, name))
            continue;
        if (!is_key(name) && !is_script_name(name))
            return err_set(err, ERR_CONFIG, NULL, "%s: there is no such variable; --help shows all",
                           name);
    }
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static int read_all(struct config *c, const char *const *env, struct err *err)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++)
        if ((keys[i].who & c->who) && read_key(c, env, (enum config_key)i, err))
            return -1;
    if ((keys[CFG_KAFKA_GROUP_ID].who & c->who) && default_group(c, err))
        return -1;
    if ((keys[CFG_KAFKA_BOOTSTRAP_SERVERS].who & c->who) && read_kafka(c, env, err))
        return -1;
    return refuse_unknown(env, err);
}

struct config *config_new(unsigned who, const char *const *env, struct err *err)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c) {
        err_errno(err, "configuration");
        return NULL;
    }
    c->who = who;
    if (read_all(c, env, err)) {
        config_free(c);
        return NULL;
    }
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CONFIG_COUNT; i++)
        secret_release(&c->values[i].secret);
    for (size_t i = 0; i < c->kafka_count; i++) {
        free((char *)c->kafka[i].name);
        if (c->kafka[i].value)
            explicit_bzero((char *)c->kafka[i].value, strlen(c->kafka[i].value));
        free((char *)c->kafka[i].value);
    }
    for (size_t i = 0; i < c->warning_count; i++)
        free((char *)c->warnings[i]);
    free(c->kafka);
    free(c->warnings);
    free(c);
}

const char *config_text(const struct config *c, enum config_key key)
{
    return c->values[key].secret.text;
}

int64_t config_int(const struct config *c, enum config_key key)
{
    assert(keys[key].kind == INT && (keys[key].who & c->who));
    return c->values[key].number;
}

struct secret *config_secret(struct config *c, enum config_key key)
{
    assert(keys[key].kind == SECRET);
    return &c->values[key].secret;
}

bool config_has(const struct config *c, enum config_key key)
{
    return c->values[key].from != NULL;
}

const struct broker_property *config_kafka(const struct config *c, size_t *ret_n)
{
    *ret_n = c->kafka_count;
    return c->kafka;
}

const char *const *config_warnings(const struct config *c, size_t *ret_n)
{
    *ret_n = c->warning_count;
    return c->warnings;
}

/* ---- what is shown ----------------------------------------------------------------------- */

/* Of what could hold a password or a key, only the names of files and mechanisms are shown. */
static bool may_show(const char *property)
{
    if (!starts_with(property, "sasl.") && !starts_with(property, "ssl."))
        return true;
    return ends_with(property, ".location") || ends_with(property, ".mechanism") ||
           ends_with(property, ".mechanisms");
}

/* An address may hold credentials. */
static void show_text(const char *text, FILE *out)
{
    char clean[SECRET_MAX];
    if (strstr(text, "://")) {
        scrub_text(text, strlen(text), clean, sizeof clean);
        text = clean;
    }
    fputs(text, out);
}

void config_show(const struct config *c, FILE *out)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        const struct value *v = &c->values[i];
        if (!(keys[i].who & c->who))
            continue;
        fprintf(out, "%-27s ", keys[i].name);
        if (!v->from)
            fputc('-', out);
        else if (keys[i].kind == SECRET)
            fputs("***", out);
        else
            show_text(v->secret.text, out);
        fprintf(out, "  (%s)\n", v->from ? v->from : "not set");
    }
    for (size_t i = 0; i < c->kafka_count; i++) {
        const struct broker_property *p = &c->kafka[i];
        fprintf(out, "%-27s %s  (Kafka)\n", p->name, may_show(p->name) ? p->value : "***");
    }
}

void config_help(unsigned who, FILE *out)
{
    fputs("Environment, each also as NAME_FILE, a file that holds the value:\n", out);
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        if (!(keys[i].who & who))
            continue;
        fprintf(out, "  %-27s %s", keys[i].name, keys[i].help);
        if (keys[i].fallback)
            fprintf(out, " [%s]", keys[i].fallback);
        fputc('\n', out);
    }
}
