/* reveille-scripted-engine: the trigger engine of Reveille's tests, demo and bench. It judges as it
 * is told (by option, script or POST /control) and is the independent witness of what Reveille
 * asked: every call is counted and logged, none is ever taken for the repetition of another. It is
 * not a model of a good engine: it does not honour the idempotency key, it reports it.
 * It shares no code with what it watches. DESIGN.md says how its parts fit.
 *
 * SIGTERM, SIGINT: open calls end unanswered, the log is written out, exit 0. SIGHUP: nothing.
 * Exit 1: something it needs failed, also when the log could not be written; 2: wrong usage. */
#include "scripted_engine_calls.h"
#include "scripted_engine_desk.h"
#include "scripted_engine_limits.h"
#include "scripted_engine_options.h"
#include "scripted_engine_server.h"
#include "scripted_engine_timers.h"
#include "scripted_engine_verdict.h"
#include "scripted_engine_why.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct engine {
    struct verdict *verdict;
    struct calls *calls;
    struct timers *timers;
    struct desk *desk;
    struct server *server;
    int stop_fd;
};

static void engine_release(struct engine *e)
{
    server_free(e->server);
    desk_free(e->desk);
    timers_free(e->timers);
    calls_free(e->calls);
    verdict_free(e->verdict);
    if (e->stop_fd >= 0)
        (void)close(e->stop_fd);
}

/* The system's default of 1024 descriptors is less than our connections and the few beside them. */
static int allow_descriptors(struct why *why)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return why_errno(why, "getrlimit");
    if (limit.rlim_cur < SE_CONNECTIONS_MAX + 64) {
        limit.rlim_cur = SE_CONNECTIONS_MAX + 64;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            return why_errno(why, "setrlimit: descriptors for every connection");
    }
    return 0;
}

static int signals_to_fd(int *ret_fd, struct why *why)
{
    sigset_t stops;

    (void)sigemptyset(&stops);
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    if (sigprocmask(SIG_BLOCK, &stops, NULL) || signal(SIGHUP, SIG_IGN) == SIG_ERR)
        return why_errno(why, "signals");
    if ((*ret_fd = signalfd(-1, &stops, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        return why_errno(why, "signalfd");
    return 0;
}

/* Says where it listens: a line on stdout, and the file, which is whole as soon as it is there. */
static int announce(int port, const char *path, struct why *why)
{
    char address[64], draft[4096];
    FILE *f;

    (void)snprintf(address, sizeof(address), "http://127.0.0.1:%d/evaluate", port);
    (void)printf("%s\n", address); /* nobody need read it */
    (void)fflush(stdout);
    if (path == NULL)
        return 0;
    int len = snprintf(draft, sizeof(draft), "%s.%d", path, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof(draft))
        return why_set(why, "the address file's name is too long");
    if ((f = fopen(draft, "we")) == NULL)
        return why_errno(why, draft);
    int written = fprintf(f, "%s\n", address);
    if (fclose(f) || written < 0 || rename(draft, path)) {
        (void)why_errno(why, path);
        (void)unlink(draft);
        return -1;
    }
    return 0;
}

static int engine_run(struct engine *e, const struct options *options, struct why *why)
{
    if (allow_descriptors(why) || signals_to_fd(&e->stop_fd, why))
        return -1;
    if (!(e->verdict = verdict_new(options, why)))
        return -1;
    if (!(e->calls = calls_new(options->log_file, why)))
        return -1;
    if (!(e->timers = timers_new(SE_CONNECTIONS_MAX, why)))
        return -1;
    if (!(e->desk = desk_new(e->verdict, e->calls, e->timers, why)))
        return -1;
    if (!(e->server = server_new(options->port, e->desk, e->calls, e->timers, why)))
        return -1;
    if (announce(server_port(e->server), options->address_file, why))
        return -1;
    return server_run(e->server, e->stop_fd, why);
}

int main(int argc, char **argv)
{
    struct engine engine = {.stop_fd = -1};
    struct options options;
    struct why why;
    int parsed = options_parse(argc, argv, &options, &why);

    if (parsed > 0)
        return fputs(OPTIONS_HELP, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    if (parsed < 0) {
        (void)fprintf(stderr, "reveille-scripted-engine: %s (--help)\n", why.text);
        return 2;
    }
    int rc = engine_run(&engine, &options, &why) ? EXIT_FAILURE : EXIT_SUCCESS;
    if (rc != EXIT_SUCCESS)
        (void)fprintf(stderr, "reveille-scripted-engine: %s\n", why.text);
    engine_release(&engine);
    return rc;
}
