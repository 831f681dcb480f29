#include "scripted_engine_options.h"
#include "scripted_engine_limits.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char OPTIONS_HELP[] =
    "usage: reveille-scripted-engine [OPTION]…\n"
    "A trigger engine for Reveille's tests: judges as it is told, and logs every call.\n"
    "  --port N                  listen on 127.0.0.1:N (0: a free one)\n"
    "  --address-file F          write http://127.0.0.1:PORT/evaluate to F\n"
    "  --latency MS              an answer takes so long (0; fractions allowed)\n"
    "  --latency-jitter SHARE    … give or take this share of it\n"
    "  --latency-tail SHARE:MS   this share of calls takes MS instead\n"
    "  --due SHARE               share of mentors, by hash of id, that are due (1)\n"
    "  --failures SHARE          share of mentors, by hash of id, whose every call fails\n"
    "  --status-429 SHARE        share of calls answered 429; so --status-503\n"
    "  --retry-after S           goes with every 429 and 503 but a script's\n"
    "  --hang SHARE              share of calls that are read and never answered\n"
    "  --garbage SHARE           share of calls answered 200 with nonsense\n"
    "  --limit N                 503 at once for what is above N calls in flight\n"
    "  --script F                a line a mentor: UUID ACTION…, one a call, the last repeats\n"
    "  --secret-expected F       401 but for Authorization: Bearer with the content of F\n"
    "  --log F                   append a line a call to F\n"
    "POST any path: a call · GET /stats · GET /stats/calls · POST /control. See DESIGN.md.\n";

enum option_key {
    OPTION_HELP = 256,
    OPTION_PORT,
    OPTION_ADDRESS_FILE,
    OPTION_LATENCY,
    OPTION_JITTER,
    OPTION_TAIL,
    OPTION_DUE,
    OPTION_FAILURES,
    OPTION_429,
    OPTION_503,
    OPTION_RETRY_AFTER,
    OPTION_HANG,
    OPTION_GARBAGE,
    OPTION_LIMIT,
    OPTION_SCRIPT,
    OPTION_SECRET,
    OPTION_LOG
};

static const struct option LONG_OPTIONS[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"port", required_argument, NULL, OPTION_PORT},
    {"address-file", required_argument, NULL, OPTION_ADDRESS_FILE},
    {"latency", required_argument, NULL, OPTION_LATENCY},
    {"latency-jitter", required_argument, NULL, OPTION_JITTER},
    {"latency-tail", required_argument, NULL, OPTION_TAIL},
    {"due", required_argument, NULL, OPTION_DUE},
    {"failures", required_argument, NULL, OPTION_FAILURES},
    {"status-429", required_argument, NULL, OPTION_429},
    {"status-503", required_argument, NULL, OPTION_503},
    {"retry-after", required_argument, NULL, OPTION_RETRY_AFTER},
    {"hang", required_argument, NULL, OPTION_HANG},
    {"garbage", required_argument, NULL, OPTION_GARBAGE},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"script", required_argument, NULL, OPTION_SCRIPT},
    {"secret-expected", required_argument, NULL, OPTION_SECRET},
    {"log", required_argument, NULL, OPTION_LOG},
    {NULL, 0, NULL, 0},
};

static int real(const char *from, char stop, double max, double *ret_number)
{
    char *end;
    double n = strtod(from, &end);

    if (end == from || *end != stop || !(n >= 0 && n <= max))
        return -1;
    *ret_number = n;
    return 0;
}

static int whole(const char *from, long max, int *ret_number)
{
    char *end;
    long n = strtol(from, &end, 10);

    if (end == from || *end != '\0' || n < 0 || n > max)
        return -1;
    *ret_number = (int)n;
    return 0;
}

static int share_and_ms(const char *from, struct options *o)
{
    const char *colon = strchr(from, ':');

    if (colon == NULL || real(from, ':', 1, &o->tail_share))
        return -1;
    return real(colon + 1, '\0', SE_LATENCY_MAX_MS, &o->tail_ms);
}

static int one_option(enum option_key key, const char *value, struct options *o)
{
    switch (key) {
    case OPTION_HELP:
        return 1;
    case OPTION_PORT:
        return whole(value, 65535, &o->port);
    case OPTION_LATENCY:
        return real(value, '\0', SE_LATENCY_MAX_MS, &o->latency_ms);
    case OPTION_JITTER:
        return real(value, '\0', 1, &o->latency_jitter);
    case OPTION_TAIL:
        return share_and_ms(value, o);
    case OPTION_DUE:
        return real(value, '\0', 1, &o->due);
    case OPTION_FAILURES:
        return real(value, '\0', 1, &o->failures);
    case OPTION_429:
        return real(value, '\0', 1, &o->status_429);
    case OPTION_503:
        return real(value, '\0', 1, &o->status_503);
    case OPTION_RETRY_AFTER:
        return whole(value, 86400, &o->retry_after);
    case OPTION_HANG:
        return real(value, '\0', 1, &o->hang);
    case OPTION_GARBAGE:
        return real(value, '\0', 1, &o->garbage);
    case OPTION_LIMIT:
        return whole(value, SE_CONNECTIONS_MAX, &o->limit);
    case OPTION_ADDRESS_FILE:
        o->address_file = value;
        return 0;
    case OPTION_SCRIPT:
        o->script_file = value;
        return 0;
    case OPTION_SECRET:
        o->secret_file = value;
        return 0;
    case OPTION_LOG:
        o->log_file = value;
        return 0;
    }
    return -1;
}

int options_parse(int argc, char **argv, struct options *ret_options, struct why *why)
{
    struct options o = {.due = 1};
    int key, at = 0;

    opterr = 0; /* what is wrong is said once, by main */
    while ((key = getopt_long(argc, argv, "", LONG_OPTIONS, &at)) != -1) {
        if (key < OPTION_HELP)
            return why_set(why, "unknown option, or one without its value: %s", argv[optind - 1]);
        int rc = one_option((enum option_key)key, optarg, &o);
        if (rc < 0)
            return why_set(why, "--%s does not take %s", LONG_OPTIONS[at].name, optarg);
        if (rc > 0)
            return rc;
    }
    if (optind < argc)
        return why_set(why, "not an option: %s", argv[optind]);
    if (o.hang + o.garbage + o.status_429 + o.status_503 > 1 + 1e-9)
        return why_set(why, "the shares of calls add up to more than 1");
    *ret_options = o;
    return 0;
}
