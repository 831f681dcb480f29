/* Where the HTTP server listens, and with which certificate. Runs before the loop does. */
#include "http_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

SSL_CTX *http_tls_new(const struct http_server_config *cfg, struct err *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1) {
        (void)err_set(err, ERR_SYSTEM, NULL, "cannot set up TLS");
    } else if (SSL_CTX_use_certificate_chain_file(tls, cfg->cert_file) != 1) {
        (void)err_set(err, ERR_CONFIG, NULL, "cannot use the certificate %s", cfg->cert_file);
    } else if (cfg->key_file == NULL ||
               SSL_CTX_use_PrivateKey_file(tls, cfg->key_file, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(tls) != 1) {
        (void)err_set(err, ERR_CONFIG, NULL, "cannot use the key of the certificate %s",
                      cfg->cert_file);
    } else {
        return tls;
    }
    SSL_CTX_free(tls);
    return NULL;
}

/* Numbers only, so that nothing is looked up: "1.2.3.4:80", "[::1]:0". */
static bool parse_address(const char *text, struct sockaddr_storage *ret_sa)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)ret_sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret_sa;
    const char *colon = strrchr(text, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - text);
    char host[HTTP_ADDRESS_SIZE] = "", *end;
    unsigned long port;

    if (host_len == 0 || host_len >= sizeof(host) || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX) {
        return false;
    }
    memcpy(host, text, host_len);
    if (host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1;
    }
    in4->sin_family = AF_INET;
    in4->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &in4->sin_addr) == 1;
}

static void format_address(const struct sockaddr_storage *sa, char out[HTTP_ADDRESS_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";

    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        (void)snprintf(out, HTTP_ADDRESS_SIZE, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)sa;
        (void)inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
        (void)snprintf(out, HTTP_ADDRESS_SIZE, "%s:%u", host, ntohs(in4->sin_port));
    }
}

/* A listening socket, or -1. Accepted ones inherit TCP_NODELAY; without it TLS answers take 44 ms.
 */
int http_listen(const char *address, char ret_address[HTTP_ADDRESS_SIZE], struct err *err)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    int on = 1, fd;

    if (!parse_address(address, &sa)) {
        return err_set(err, ERR_CONFIG, NULL,
                       "\"%s\" is no address to listen at (as in 127.0.0.1:8790)", address);
    }
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_errno(err, "cannot make a socket");
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, HTTP_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        (void)err_errno(err, "cannot listen");
        (void)err_prefix(err, address);
        (void)close(fd);
        return -1;
    }
    format_address(&sa, ret_address);
    return fd;
}
