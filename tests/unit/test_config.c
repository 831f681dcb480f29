/* Tests config.c: which variables are read, refused or ignored, and that no value is ever shown
 * that could be a secret. */
#include "config.h"
#include "unit.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BOTH (FOR_PRODUCER | FOR_WORKER)

/* The environment of one test. */
#define ENV(...)          \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

static struct config *made(unsigned who, const char *const *env)
{
    struct err err = ERR_INIT;
    struct config *c = config_new(who, env, &err);
    if (!c)
        fail_msg("refused: %s", err.text);
    return c;
}

/* Refused, with this text; the word canary, which all bad values have, must not be in it. */
static void refused(const char *const *env, const char *expected)
{
    struct err err = ERR_INIT;
    assert_null(config_new(BOTH, env, &err));
    assert_err(err, ERR_CONFIG);
    assert_string_equal(err.text, expected);
    assert_null(strstr(err.text, "canary"));
}

static void has_defaults(void **state)
{
    (void)state;
    struct config *c = made(BOTH, ENV("PATH=/bin"));
    assert_null(config_text(c, CFG_DATABASE_URL));
    assert_false(config_has(c, CFG_DATABASE_URL));
    assert_null(config_secret(c, CFG_SCHEDULER_SECRET)->text);
    assert_string_equal(config_text(c, CFG_KAFKA_TOPIC_PREFIX), "reveille.slices");
    assert_string_equal(config_text(c, CFG_KAFKA_GROUP_ID), "reveille.slices.workers");
    assert_string_equal(config_text(c, CFG_REVEILLE_ENV), "production");
    assert_int_equal(config_int(c, CFG_PAGE_SIZE), 100);
    assert_int_equal(config_int(c, CFG_TIMEOUT_THRESHOLD_MS), 25000);
    assert_int_equal(config_int(c, CFG_TRIGGER_ENGINE_TIMEOUT_MS), 5000);
    assert_true(config_has(c, CFG_PAGE_SIZE));
    size_t n;
    (void)config_kafka(c, &n); /* only their number matters */
    assert_int_equal(n, 0);
    (void)config_warnings(c, &n);
    assert_int_equal(n, 0);
    config_free(c);
    config_free(NULL);
}

static void reads_values(void **state)
{
    (void)state;
    struct config *c =
        made(BOTH, ENV("DATABASE_URL=postgres://u:p@h/db", "PAGE_SIZE=1000", "LOG_LEVEL=debug",
                       "KAFKA_TOPIC_PREFIX=x", "SCHEDULER_SECRET=" HEX64, "LISTEN_ADDRESS="));
    assert_string_equal(config_text(c, CFG_DATABASE_URL), "postgres://u:p@h/db");
    assert_int_equal(config_int(c, CFG_PAGE_SIZE), 1000);
    assert_string_equal(config_text(c, CFG_LOG_LEVEL), "debug");
    assert_string_equal(config_text(c, CFG_KAFKA_GROUP_ID), "x.workers");
    assert_true(secret_matches(config_secret(c, CFG_SCHEDULER_SECRET), HEX64, 64));
    assert_string_equal(config_text(c, CFG_LISTEN_ADDRESS), "127.0.0.1:8790"); /* empty: not set */
    config_free(c);
}

static void reads_files(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE], variable[128], other[128];
    unit_file(path, HEX64 "\n", 65);
    snprintf(variable, sizeof variable, "OPERATOR_SECRET_FILE=%s", path);
    struct config *c = made(FOR_PRODUCER, ENV(variable));
    assert_string_equal(config_secret(c, CFG_OPERATOR_SECRET)->text, HEX64);
    assert_string_equal(config_secret(c, CFG_OPERATOR_SECRET)->path, path); /* to be refreshed */
    config_free(c);
    snprintf(variable, sizeof variable, "TRIGGER_ENGINE_URL_FILE=%s", path);
    snprintf(other, sizeof other, "TLS_CERT_FILE=%s", path); /* a name of its own: not TLS_CERT */
    c = made(BOTH, ENV(variable, other));
    assert_string_equal(config_text(c, CFG_TRIGGER_ENGINE_URL), HEX64);
    assert_string_equal(config_text(c, CFG_TLS_CERT_FILE), path);
    config_free(c);
    refused(ENV("TRIGGER_ENGINE_URL=canary", variable),
            "TRIGGER_ENGINE_URL: TRIGGER_ENGINE_URL_FILE is set too; keep one of them");
    unlink(path);
    refused(ENV("PAGE_SIZE_FILE=/nonexistent"),
            "PAGE_SIZE_FILE: cannot read /nonexistent: No such file or directory");
}

static void checks_values(void **state)
{
    (void)state;
    static const char page[] = "PAGE_SIZE: a whole number from 1 to 1000 is needed";
    refused(ENV("PAGE_SIZE=0"), page);
    refused(ENV("PAGE_SIZE=1001"), page);
    refused(ENV("PAGE_SIZE=-1"), page);
    refused(ENV("PAGE_SIZE= 5"), page);
    refused(ENV("PAGE_SIZE=5canary"), page);
    refused(ENV("PAGE_SIZE=99999999999999999999999"), page);
    refused(ENV("TIMEOUT_THRESHOLD_MS=300001"),
            "TIMEOUT_THRESHOLD_MS: a whole number from 0 to 300000 is needed");
    refused(ENV("TRIGGER_ENGINE_TIMEOUT_MS=99"),
            "TRIGGER_ENGINE_TIMEOUT_MS: a whole number from 100 to 8000 is needed");
    refused(ENV("DRAIN_TIMEOUT_MS=600001"),
            "DRAIN_TIMEOUT_MS: a whole number from 0 to 600000 is needed");
    refused(ENV("REVEILLE_ENV=canary"),
            "REVEILLE_ENV: one of these is needed: production development");
    refused(ENV("LOG_LEVEL=inf"), "LOG_LEVEL: one of these is needed: debug info warn error");
    refused(ENV("LOG_LEVEL=info warn"), "LOG_LEVEL: one of these is needed: debug info warn error");
    static const char secret[] = "SCHEDULER_SECRET: 64 hexadecimal digits are needed; "
                                 "make one with: openssl rand -hex 32";
    refused(ENV("SCHEDULER_SECRET=canary"), secret);
    refused(ENV("SCHEDULER_SECRET=" HEX64 "0"), secret);
    struct config *c = made(FOR_WORKER, ENV("SCHEDULER_SECRET=canary", "PAGE_SIZE=x"));
    config_free(c); /* the producer's: nothing to a worker */
}

static void knows_its_names(void **state)
{
    (void)state;
    refused(ENV("REVEILLE_PAGESIZE=canary"),
            "REVEILLE_PAGESIZE: there is no such variable; --help shows all");
    refused(ENV("REVEILLE_REQUIRED=1"),
            "REVEILLE_REQUIRED: there is no such variable; --help shows all");
    struct config *c = made(FOR_WORKER, ENV("REVEILLE_LOCAL=/x", "REVEILLE_REQUIRE_KAFKA=1",
                                            "REVEILLE_URL=http://x", "REVEILLE_ENV=development"));
    config_free(c);
}

static const char *property(const struct config *c, const char *name)
{
    size_t n;
    const struct broker_property *p = config_kafka(c, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(p[i].name, name) == 0)
            return p[i].value;
    return NULL;
}

static void makes_properties(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE], variable[128];
    unit_file(path, "canary\n", 7);
    snprintf(variable, sizeof variable, "KAFKA_SASL_PASSWORD_FILE=%s", path);
    struct config *c =
        made(FOR_WORKER, ENV("KAFKA_BOOTSTRAP_SERVERS=a:1,b:2", "KAFKA_SECURITY_PROTOCOL=SASL_SSL",
                             variable, "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_HOME_FILE=/x",
                             "KAFKA_GROUP_ID=mine", "KAFKA_TOPIC_PREFIX=p", "KAFKA_RACK="));
    size_t n;
    (void)config_kafka(c, &n); /* only their number matters */
    assert_int_equal(n, 3);
    assert_string_equal(property(c, "bootstrap.servers"), "a:1,b:2");
    assert_string_equal(config_text(c, CFG_KAFKA_BOOTSTRAP_SERVERS), "a:1,b:2");
    assert_string_equal(property(c, "security.protocol"), "SASL_SSL");
    assert_string_equal(property(c, "sasl.password"), "canary");
    assert_string_equal(config_text(c, CFG_KAFKA_GROUP_ID), "mine");
    const char *const *warnings = config_warnings(c, &n);
    assert_int_equal(n, 2);
    assert_string_equal(warnings[0], "KAFKA_PORT");
    assert_string_equal(warnings[1], "KAFKA_HOME_FILE");
    config_free(c);
    refused(ENV("KAFKA_SECURITY_PROTOCOL=canary"),
            "KAFKA_SECURITY_PROTOCOL: librdkafka refuses this value of security.protocol");
    refused(ENV("KAFKA_SASL_PASSWORD=canary", variable),
            "KAFKA_SASL_PASSWORD: KAFKA_SASL_PASSWORD_FILE is set too; keep one of them");
    refused(ENV("KAFKA_SASL_PASSWORD_FILE=/nonexistent"),
            "KAFKA_SASL_PASSWORD_FILE: cannot read /nonexistent: No such file or directory");
    c = made(FOR_CLI, ENV("KAFKA_SECURITY_PROTOCOL=canary")); /* knows no Kafka */
    config_free(c);
    unlink(path);
}

static char *shown(const struct config *c, unsigned help)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    if (c)
        config_show(c, out);
    else
        config_help(help, out);
    fclose(out);
    return text;
}

static void shows_no_secret(void **state)
{
    (void)state;
    struct config *c =
        made(BOTH, ENV("DATABASE_URL=postgres://u:canary@h/db", "SUPABASE_SERVICE_ROLE_KEY=canary",
                       "TRIGGER_ENGINE_URL=https://u:canary@engine/f?key=canary",
                       "KAFKA_SASL_PASSWORD=canary", "KAFKA_SSL_KEY_PASSWORD=canary",
                       "KAFKA_SASL_OAUTHBEARER_CONFIG=canary", "KAFKA_CLIENT_RACK=eu-1",
                       "KAFKA_SSL_CA_LOCATION=/ca.pem", "OPERATOR_SECRET=" HEX64));
    char *text = shown(c, 0);
    assert_null(strstr(text, "canary"));
    assert_null(strstr(text, "aabbcc"));
    assert_non_null(strstr(text, "OPERATOR_SECRET             ***  (environment)\n"));
    assert_non_null(strstr(text, "https://[credentials]@engine/f?[query]  (environment)\n"));
    assert_non_null(strstr(text, "PAGE_SIZE                   100  (default)\n"));
    assert_non_null(strstr(text, "SCHEDULER_SECRET            -  (not set)\n"));
    assert_non_null(strstr(text, "sasl.password               ***  (Kafka)\n"));
    assert_non_null(strstr(text, "client.rack                 eu-1  (Kafka)\n"));
    assert_non_null(strstr(text, "ssl.ca.location             /ca.pem  (Kafka)\n"));
    free(text);
    config_free(c);
}

static void helps(void **state)
{
    (void)state;
    char *text = shown(NULL, FOR_WORKER);
    assert_non_null(strstr(text, "TRIGGER_ENGINE_URL "));
    assert_non_null(strstr(text, "[5000]\n"));
    assert_null(strstr(text, "SCHEDULER_SECRET"));
    free(text);
    text = shown(NULL, FOR_PRODUCER);
    assert_non_null(strstr(text, "SCHEDULER_SECRET "));
    assert_null(strstr(text, "TRIGGER_ENGINE_URL"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-X3: what is not set has its default, or is not there", has_defaults),
        TEST("R-X3: a variable that is set counts, an empty one does not", reads_values),
        TEST("R-X3: each variable can be a file, but not both", reads_files),
        TEST("R-X3, R-T5: a bad value is refused by name and never shown", checks_values),
        TEST("an unknown REVEILLE_* is refused, the scripts' own are not", knows_its_names),
        TEST("KAFKA_* are librdkafka's properties, unknown ones warnings", makes_properties),
        TEST("R-T5, R-E5: what is shown holds no secret", shows_no_secret),
        TEST("--help shows a program its own variables", helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
