/* The hosts of a conninfo as a list of addresses to try. libpq would resolve names within
 * PQconnectStart and block the loop, so a thread of its own does it, for one round at a time: a
 * round waits for it, so threads cannot pile up; the resolver's own time-outs bound it.
 * Addresses and socket paths need no thread. Names stay in `host`: TLS checks them. */
#include "db_internal.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HOSTS_MAGIC 0x64626831u
#define ADDR_SIZE 64 /* an IPv6 address with its scope */

struct name {
    const char *host; /* within the lookup's own memory */
    int n;
    char addrs[DB_HOSTS_MAX][ADDR_SIZE];
};

/* Shared by the thread and its list; the last holder frees it, so that a list may go while its
 * thread still waits for an answer. The thread writes names until it sets done; after that only the
 * list reads them. */
struct lookup {
    atomic_int holders;
    atomic_bool done; /* the eventfd only wakes: it is no fence of the language's */
    int fd;
    int n;
    struct name names[DB_HOSTS_MAX];
    char *texts[DB_HOSTS_MAX]; /* owned */
};

struct db_hosts {
    unsigned magic;
    struct loop *loop;
    int n_given, n_found;
    struct db_host given[DB_HOSTS_MAX]; /* as the conninfo says */
    struct db_host found[DB_HOSTS_MAX]; /* of the last round */
    struct lookup *lookup;              /* NULL: none under way */
    struct loop_fd *watch;
    db_hosts_fn fn;
    void *arg;
};

/* ---- lists --------------------------------------------------------------------------------- */

static int list_count(const char *list)
{
    int n = 1;

    if (list == NULL || *list == '\0') {
        return 0;
    }
    for (; *list != '\0'; list++) {
        n += *list == ',';
    }
    return n;
}

/* Copies item i; an empty or missing one leaves NULL. -1 only without memory. */
static int list_item(const char *list, int i, char **ret_item)
{
    if (list_count(list) <= i) {
        return 0;
    }
    for (; i > 0; i--) {
        list = strchr(list, ',') + 1;
    }
    size_t len = strcspn(list, ",");
    if (len == 0) {
        return 0;
    }
    *ret_item = strndup(list, len);
    return *ret_item != NULL ? 0 : -1;
}

static void hosts_clear(struct db_host *list, int *n)
{
    for (int i = 0; i < *n; i++) {
        free(list[i].host);
        free(list[i].addr);
        free(list[i].port);
        list[i] = (struct db_host){NULL, NULL, NULL};
    }
    *n = 0;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_SYSTEM, NULL, "no memory for the database's addresses");
}

static int split(struct db_hosts *h, const char *hosts, const char *addrs, const char *ports,
                 struct err *err)
{
    int n_hosts = list_count(hosts), n_addrs = list_count(addrs), n_ports = list_count(ports);
    int n = n_addrs > 0 ? n_addrs : n_hosts > 0 ? n_hosts : 1;

    if ((n_hosts > 0 && n_hosts != n) || (n_ports > 1 && n_ports != n) || n > DB_HOSTS_MAX) {
        return err_set(err, ERR_CONFIG, NULL,
                       "the database's hosts, addresses and ports do not match, or are over %d",
                       DB_HOSTS_MAX);
    }
    h->n_given = n;
    for (int i = 0; i < n; i++) {
        if (list_item(hosts, i, &h->given[i].host) || list_item(addrs, i, &h->given[i].addr) ||
            list_item(ports, n_ports == 1 ? 0 : i, &h->given[i].port)) {
            return no_memory(err);
        }
    }
    return 0;
}

struct db_hosts *db_hosts_new(struct loop *loop, const char *hosts, const char *addrs,
                              const char *ports, struct err *err)
{
    struct db_hosts *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        (void)no_memory(err);
        return NULL;
    }
    h->magic = HOSTS_MAGIC;
    h->loop = loop;
    if (split(h, hosts, addrs, ports, err)) {
        db_hosts_free(h);
        return NULL;
    }
    return h;
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void lookup_drop(struct lookup *l)
{
    if (atomic_fetch_sub(&l->holders, 1) > 1) {
        return;
    }
    for (int i = 0; i < l->n; i++) {
        free(l->texts[i]);
    }
    if (l->fd >= 0) {
        (void)close(l->fd);
    }
    free(l);
}

static void resolve(struct name *name)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    if (getaddrinfo(name->host, NULL, &hints, &found) != 0) {
        return;
    }
    for (struct addrinfo *a = found; a != NULL && name->n < DB_HOSTS_MAX; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, name->addrs[name->n], ADDR_SIZE, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            name->n++;
        }
    }
    freeaddrinfo(found);
}

static void *resolver(void *arg)
{
    struct lookup *l = arg; /* ours by its count of holders; no callback of the loop */

    for (int i = 0; i < l->n; i++) {
        resolve(&l->names[i]);
    }
    atomic_store(&l->done, true);
    (void)eventfd_write(l->fd, 1); /* a fresh counter takes a 1 */
    lookup_drop(l);
    return NULL;
}

/* Detached, and with every signal blocked: they are the loop's. */
static int resolver_start(struct lookup *l)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;

    if (pthread_attr_init(&attr) != 0) {
        return -1;
    }
    (void)sigfillset(&all);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attr, resolver, l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : -1;
}

/* ---- a round ------------------------------------------------------------------------------- */

static bool is_name(const struct db_host *given)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return given->addr == NULL && given->host != NULL && given->host[0] != '/' &&
           given->host[0] != '@' && inet_pton(AF_INET, given->host, bytes) != 1 &&
           inet_pton(AF_INET6, given->host, bytes) != 1;
}

static int add_found(struct db_hosts *h, const struct db_host *given, const char *addr)
{
    if (h->n_found == DB_HOSTS_MAX) {
        return 0;
    }
    struct db_host *f = &h->found[h->n_found++];
    f->host = given->host != NULL ? strdup(given->host) : NULL;
    f->addr = addr != NULL ? strdup(addr) : NULL;
    f->port = given->port != NULL ? strdup(given->port) : NULL;
    bool missing = (given->host != NULL && f->host == NULL) || (addr != NULL && f->addr == NULL) ||
                   (given->port != NULL && f->port == NULL);
    return missing ? -1 : 0;
}

/* l: what the thread found, in the order of the names among the given; NULL: there are none. */
static int collect(struct db_hosts *h, const struct lookup *l, struct err *err)
{
    int at = 0;

    hosts_clear(h->found, &h->n_found);
    for (int i = 0; i < h->n_given; i++) {
        if (!is_name(&h->given[i])) {
            if (add_found(h, &h->given[i], h->given[i].addr)) {
                return no_memory(err);
            }
            continue;
        }
        const struct name *name = &l->names[at++];
        for (int k = 0; k < name->n; k++) {
            if (add_found(h, &h->given[i], name->addrs[k])) {
                return no_memory(err);
            }
        }
    }
    if (h->n_found == 0) {
        /* Without the name: of a mistyped URI it may be a piece of the password. */
        return err_retry(err, ERR_NETWORK, NULL, "the database's host name cannot be resolved");
    }
    return 0;
}

static void on_resolved(void *arg, unsigned ready)
{
    struct db_hosts *h = CHECK_MAGIC(struct db_hosts, arg, HOSTS_MAGIC);
    struct err err = ERR_INIT;

    (void)ready;
    if (!atomic_load(&h->lookup->done)) {
        return;
    }
    struct lookup *l = TAKE(h->lookup);
    loop_fd_free(TAKE(h->watch));
    (void)collect(h, l, &err); /* err tells */
    lookup_drop(l);
    h->fn(h->arg, &err);
}

static int lookup_start(struct db_hosts *h, struct err *err)
{
    struct lookup *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return no_memory(err);
    }
    atomic_init(&l->holders, 1);
    l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < h->n_given; i++) {
        if (is_name(&h->given[i])) {
            l->texts[l->n] = strdup(h->given[i].host);
            l->names[l->n].host = l->texts[l->n];
            l->n++;
        }
    }
    for (int i = 0; i < l->n; i++) {
        if (l->texts[i] == NULL) {
            lookup_drop(l);
            return no_memory(err);
        }
    }
    h->watch = l->fd >= 0 ? loop_fd_new(h->loop, l->fd, LOOP_READ, on_resolved, h, err) : NULL;
    if (h->watch == NULL) {
        lookup_drop(l);
        return err_set(err, ERR_SYSTEM, NULL, "cannot watch for a resolved name");
    }
    atomic_store(&l->holders, 2);
    if (resolver_start(l)) {
        loop_fd_free(TAKE(h->watch));
        atomic_store(&l->holders, 1);
        lookup_drop(l);
        return err_set(err, ERR_SYSTEM, NULL, "cannot start a thread to resolve a name");
    }
    h->lookup = l;
    return 0;
}

void db_hosts_look_up(struct db_hosts *h, db_hosts_fn fn, void *arg)
{
    struct err err = ERR_INIT;
    bool names = false;

    h->fn = fn;
    h->arg = arg;
    for (int i = 0; i < h->n_given; i++) {
        names = names || is_name(&h->given[i]);
    }
    if (names && lookup_start(h, &err) == 0) {
        return;
    }
    if (!names) {
        (void)collect(h, NULL, &err); /* err tells */
    }
    fn(arg, &err);
}

int db_hosts_count(const struct db_hosts *h)
{
    return h->n_found;
}

const struct db_host *db_hosts_at(const struct db_hosts *h, int i)
{
    return &h->found[i];
}

void db_hosts_free(struct db_hosts *h)
{
    if (h == NULL) {
        return;
    }
    loop_fd_free(h->watch);
    if (h->lookup != NULL) {
        lookup_drop(h->lookup);
    }
    hosts_clear(h->given, &h->n_given);
    hosts_clear(h->found, &h->n_found);
    h->magic = 0;
    free(h);
}
