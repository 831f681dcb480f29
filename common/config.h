/* The environment, read once from one table (config.def), then constant.
 *
 * Each name may also be given as NAME_FILE (a file with the value). An unknown REVEILLE_* is an
 * error, but for REVEILLE_LOCAL and REVEILLE_REQUIRE_*; KAFKA_* names become librdkafka properties
 * (KAFKA_SECURITY_PROTOCOL is security.protocol), and those librdkafka does not know are a warning.
 * What --help and --check-config show is written here; options.h reads the words. */
#ifndef REVEILLE_CONFIG_H
#define REVEILLE_CONFIG_H

#include "broker.h"
#include "err.h"
#include "secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum config_key {
#define CONFIG(id, name, kind, fallback, who, help) CFG_##id,
#include "config.def"
#undef CONFIG
    CONFIG_COUNT
};

/* who reads a key */
#define FOR_PRODUCER 1u
#define FOR_WORKER 2u
#define FOR_CLI 4u
#define FOR_ALL 7u

struct config;

/* Reads the keys of `who` from the environment (`environ`-like, NULL-terminated, borrowed). CONFIG
 * with a text that names the variable, what is wrong and what is right. */
struct config *config_new(unsigned who, const char *const *env, struct err *err);
void config_free(struct config *c); /* wipes secrets */

/* NULL when it is not set and has no default. Lent. */
const char *config_text(const struct config *c, enum config_key key);
int64_t config_int(const struct config *c, enum config_key key);
/* The secret itself, so that it can be refreshed; text NULL when it is not set. */
struct secret *config_secret(struct config *c, enum config_key key);
/* Whether the value is there (set, or a default). */
bool config_has(const struct config *c, enum config_key key);

/* The KAFKA_* properties, bootstrap.servers among them; without KAFKA_TOPIC_PREFIX and
 * KAFKA_GROUP_ID, which are ours. Lent. */
const struct broker_property *config_kafka(const struct config *c, size_t *ret_n);
/* Names that were ignored, for a warning each; lent. */
const char *const *config_warnings(const struct config *c, size_t *ret_n);

/* One line a key: name, value or default, where from; secrets as ***. For --check-config. */
void config_show(const struct config *c, FILE *out);
/* The table of `who`'s variables, for --help. */
void config_help(unsigned who, FILE *out);

#endif
