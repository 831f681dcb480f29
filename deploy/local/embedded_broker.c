/*
 * A Kafka broker for a demo and for fast tests: librdkafka's mock cluster in a process of its own.
 *
 * It is not a broker for anything else, and says so when it starts: memory only (a restart forgets
 * topics, log and committed offsets), at most 5 MiB kept a partition, no transactions, no admin
 * API, no access control. All members of a group must use one assignor.
 *
 * Started by deploy/local/stack/broker.py. Topics are created before the address is published, so
 * whoever has read the address finds them. SIGTERM and SIGINT end it with 0; nothing is saved.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

/* Reveille has one topic an engine; the rest is room for tests. */
#define TOPICS_MAX 64
/* What the design allows an engine's topic; librdkafka keeps every partition in memory. */
#define PARTITIONS_MAX 1000
/* Of every answer, in ms. The mock cluster closes a group's sync as soon as the leader's assignment
 * is there, and turns away a member that asks a moment later: it joins again, and all wait another
 * 5 s (one start in four on a busy machine). The leader asks for metadata first, the others do not:
 * with a delay on every answer, they are there before it. */
#define ANSWER_DELAY_MS 20

struct topic {
    char name[250]; /* Kafka's own limit is 249 characters */
    int partitions;
};

struct options {
    struct topic topics[TOPICS_MAX];
    size_t topic_count;
    const char *address_file; /* NULL: the address is only printed */
    in_port_t port;           /* 0: the system chooses */
    in_port_t advertised;     /* where clients shall come; 0: to `port` */
};

/*
 * The only state outside main. The mock cluster binds its listener to port 0 and offers no way to
 * choose; a broker that is started again must have its old address, or its clients never find it.
 * And it tells clients the address it is bound to, where they must come through a proxy to meet its
 * faults. So the program brings its own bind() and getsockname(), which have no argument to carry
 * a port in. Written once, before any thread exists.
 */
static in_port_t listener_port;
static in_port_t advertised_port;

/* In libc's place for the whole process: gives the cluster's listener the port asked for. */
int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    if (listener_port != 0 && address->sa_family == AF_INET &&
        length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in chosen;
        memcpy(&chosen, address, sizeof(chosen));
        if (chosen.sin_port == 0) {
            chosen.sin_port = htons(listener_port);
            return (int)syscall(SYS_bind, fd, &chosen, sizeof(chosen));
        }
    }
    return (int)syscall(SYS_bind, fd, address, length);
}

/* In libc's place too: of the listener, it tells the port that clients shall come to. */
int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    int rc = (int)syscall(SYS_getsockname, fd, address, length);

    if (rc == 0 && advertised_port != 0 && address->sa_family == AF_INET &&
        *length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in told;
        memcpy(&told, address, sizeof(told));
        if (told.sin_port == htons(listener_port)) {
            told.sin_port = htons(advertised_port);
            memcpy(address, &told, sizeof(told));
        }
    }
    return rc;
}

/* librdkafka 2.0.2 aborts the process when its listener's port is taken: look first, and say so. */
static int check_port(in_port_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1; /* as the cluster does: a port that only old connections linger on is free */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool usable = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                  bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (!usable)
        fprintf(stderr, "cannot listen on 127.0.0.1:%u: %s\n", (unsigned)port, strerror(errno));
    if (fd >= 0)
        close(fd);
    return usable ? 0 : -1;
}

static void print_usage(FILE *out)
{
    fputs("usage: reveille-embedded-broker --topic NAME:PARTITIONS [...] [options]\n"
          "A Kafka broker in memory, for development and tests only.\n"
          "\n"
          "  --topic NAME:PARTITIONS  create this topic; may be repeated\n"
          "  --port PORT              listen on 127.0.0.1:PORT (default: any free port)\n"
          "  --advertised-port PORT   tell clients to come to this port, a proxy's; needs --port\n"
          "  --address-file FILE      write the address (host:port) to FILE once it serves\n"
          "  --help                   this text\n"
          "\n"
          "Ends with 0 on SIGTERM and SIGINT, 1 when it cannot serve, 2 on wrong usage.\n",
          out);
}

/* A whole decimal number between min and max; -1 when text is anything else. */
static long parse_number(const char *text, long min, long max)
{
    char *end = NULL;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return -1;
    return value;
}

static int parse_topic(struct options *opts, const char *text)
{
    const char *colon = strrchr(text, ':');

    if (opts->topic_count == TOPICS_MAX) {
        fprintf(stderr, "at most %d topics\n", TOPICS_MAX);
        return -1;
    }
    struct topic *topic = &opts->topics[opts->topic_count];
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    long partitions = colon == NULL ? -1 : parse_number(colon + 1, 1, PARTITIONS_MAX);
    if (length == 0 || length >= sizeof(topic->name) || partitions < 0) {
        fprintf(stderr, "--topic takes NAME:PARTITIONS with 1 to %d partitions, not '%s'\n",
                PARTITIONS_MAX, text);
        return -1;
    }
    memcpy(topic->name, text, length);
    topic->name[length] = '\0';
    topic->partitions = (int)partitions;
    opts->topic_count++;
    return 0;
}

static int parse_port(in_port_t *ret_port, const char *text)
{
    long port = parse_number(text, 0, 65535);

    if (port < 0) {
        fprintf(stderr, "a port is a number from 0 to 65535, not '%s'\n", text);
        return -1;
    }
    *ret_port = (in_port_t)port;
    return 0;
}

/* 0: go on; 1: help was printed; -1: wrong usage, the reason is on stderr. */
static int parse_options(struct options *opts, int argc, char **argv)
{
    static const struct option known[] = {{"topic", required_argument, NULL, 't'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"advertised-port", required_argument, NULL, 'A'},
                                          {"address-file", required_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'h') {
            print_usage(stdout);
            return 1;
        }
        if (option == 'a')
            opts->address_file = optarg;
        else if (option == 't' && parse_topic(opts, optarg) == 0)
            continue;
        else if (option == 'p' && parse_port(&opts->port, optarg) == 0)
            continue;
        else if (option == 'A' && parse_port(&opts->advertised, optarg) == 0)
            continue;
        else
            return -1;
    }
    bool unbound = opts->advertised != 0 && opts->port == 0; /* whose port were it to tell? */
    if (optind < argc || opts->topic_count == 0 || unbound) {
        print_usage(stderr);
        return -1;
    }
    return 0;
}

/* A reader sees no file or the whole address, never half of one. */
static int write_address(const char *path, const char *address)
{
    char draft[4096];
    int length = snprintf(draft, sizeof(draft), "%s.new", path);

    if (length < 0 || (size_t)length >= sizeof(draft)) {
        fprintf(stderr, "the name of the address file is too long\n");
        return -1;
    }
    FILE *file = fopen(draft, "we");
    bool written = file != NULL && fprintf(file, "%s\n", address) > 0;
    if (file != NULL && fclose(file) != 0)
        written = false;
    if (!written || rename(draft, path) != 0) {
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
        return -1;
    }
    return 0;
}

static int create_topics(rd_kafka_mock_cluster_t *cluster, const struct options *opts)
{
    for (size_t i = 0; i < opts->topic_count; i++) {
        const struct topic *topic = &opts->topics[i];
        rd_kafka_resp_err_t code =
            rd_kafka_mock_topic_create(cluster, topic->name, topic->partitions, 1);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            fprintf(stderr, "cannot create topic %s: %s\n", topic->name, rd_kafka_err2str(code));
            return -1;
        }
    }
    return 0;
}

/* Serves until one of the signals comes; they must be blocked in every thread. */
static int serve(rd_kafka_t *handle, const struct options *opts, const sigset_t *endings)
{
    int rc = -1;
    int received;
    /* One node only: the port that was asked for can be bound once. */
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(handle, 1);

    if (cluster == NULL) {
        fprintf(stderr, "the mock cluster does not start\n");
        return -1;
    }
    if (create_topics(cluster, opts) != 0)
        goto out;
    rd_kafka_mock_broker_set_rtt(cluster, -1, ANSWER_DELAY_MS);
    const char *address = rd_kafka_mock_cluster_bootstraps(cluster);
    if (opts->address_file != NULL && write_address(opts->address_file, address) != 0)
        goto out;
    printf("embedded broker on %s: FOR DEVELOPMENT ONLY, everything is in memory\n", address);
    fflush(stdout);
    sigwait(endings, &received);
    rc = 0;
out:
    rd_kafka_mock_cluster_destroy(cluster);
    return rc;
}

/* The cluster lives inside a client handle, which itself connects to nothing. */
static rd_kafka_t *new_handle(void)
{
    char reason[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    /* Warnings (4), but not the notice (5) that this handle has no broker to connect to. */
    rd_kafka_conf_set(conf, "log_level", "4", reason, sizeof(reason));
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    if (handle == NULL) {
        fprintf(stderr, "librdkafka does not start: %s\n", reason);
        rd_kafka_conf_destroy(conf);
    }
    return handle; /* which has taken conf */
}

int main(int argc, char **argv)
{
    struct options opts = {.topic_count = 0};
    sigset_t endings;

    int parsed = parse_options(&opts, argc, argv);
    if (parsed != 0)
        return parsed > 0 ? EXIT_SUCCESS : 2;
    if (check_port(opts.port) != 0)
        return EXIT_FAILURE;
    listener_port = opts.port;
    advertised_port = opts.advertised;

    /* Before librdkafka starts its threads: they inherit the mask, only sigwait() sees these. */
    sigemptyset(&endings);
    sigaddset(&endings, SIGTERM);
    sigaddset(&endings, SIGINT);
    pthread_sigmask(SIG_BLOCK, &endings, NULL);

    rd_kafka_t *handle = new_handle();
    if (handle == NULL)
        return EXIT_FAILURE;
    int rc = serve(handle, &opts, &endings);
    rd_kafka_destroy(handle);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
