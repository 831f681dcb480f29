/* See secret.h. Whatever held a secret is wiped before it is freed or left. */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void secret_release(struct secret *s)
{
    if (s->text) {
        explicit_bzero(s->text, s->len);
        free(s->text);
    }
    free(s->path);
    *s = SECRET_INIT;
}

int secret_from_text(struct secret *s, const char *text, struct err *err)
{
    if (text[0] == '\0')
        return err_set(err, ERR_CONFIG, NULL, "the value is empty");
    struct secret fresh = SECRET_INIT;
    fresh.text = strdup(text);
    if (!fresh.text)
        return err_errno(err, "secret");
    fresh.len = strlen(text);
    secret_release(s);
    *s = fresh;
    return 0;
}

/* CONFIG, because the operator must mend it; the errno's name says how. */
static int unreadable(struct err *err, const char *path)
{
    const char *name = strerrorname_np(errno);
    return err_set(err, ERR_CONFIG, name, "cannot read %s: %s", path, strerrordesc_np(errno));
}

/* Reads at most size bytes of fd; their number, or -1. */
static ssize_t read_all(int fd, char *bytes, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, bytes + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* From an open regular file, into a fresh secret without its path. */
static int read_secret(struct secret *ret_s, int fd, const char *path, struct err *err)
{
    char bytes[SECRET_MAX + 1]; /* one more, to see that there is too much */
    struct stat st;
    if (fstat(fd, &st))
        return unreadable(err, path);
    if (!S_ISREG(st.st_mode)) /* a pipe would hold the loop at the next refresh */
        return err_set(err, ERR_CONFIG, NULL, "%s is not a regular file", path);
    ssize_t got = read_all(fd, bytes, sizeof bytes);
    if (got < 0)
        return unreadable(err, path);
    size_t len = (size_t)got;
    int rc = 0;
    if (len > SECRET_MAX)
        rc = err_set(err, ERR_CONFIG, NULL, "%s holds more than %d bytes", path, SECRET_MAX);
    else if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (rc == 0 && len == 0)
        rc = err_set(err, ERR_CONFIG, NULL, "%s is empty", path);
    else if (rc == 0 && memchr(bytes, '\0', len))
        rc = err_set(err, ERR_CONFIG, NULL, "%s holds a zero byte", path);
    if (rc == 0) {
        *ret_s = (struct secret){.len = len, .mtime = st.st_mtim, .inode = st.st_ino};
        ret_s->text = strndup(bytes, len);
        rc = ret_s->text ? 0 : err_errno(err, "secret");
    }
    explicit_bzero(bytes, sizeof bytes);
    return rc;
}

int secret_from_file(struct secret *s, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return unreadable(err, path);
    struct secret fresh = SECRET_INIT;
    int rc = read_secret(&fresh, fd, path, err);
    close(fd);
    if (rc)
        return -1;
    fresh.path = strdup(path); /* before the release: path may be the old secret's own */
    if (!fresh.path) {
        err_errno(err, "secret");
        secret_release(&fresh);
        return -1;
    }
    secret_release(s);
    *s = fresh;
    return 0;
}

static bool same_file(const struct secret *s, const struct stat *st)
{
    return st->st_ino == s->inode && st->st_mtim.tv_sec == s->mtime.tv_sec &&
           st->st_mtim.tv_nsec == s->mtime.tv_nsec;
}

int secret_refresh(struct secret *s, bool *ret_changed, struct err *err)
{
    struct stat st;
    if (s->path && stat(s->path, &st))
        return unreadable(err, s->path);
    if (!s->path || same_file(s, &st)) {
        *ret_changed = false;
        return 0;
    }
    struct secret fresh = SECRET_INIT;
    if (secret_from_file(&fresh, s->path, err))
        return -1;
    *ret_changed = !secret_matches(s, fresh.text, fresh.len);
    secret_release(s);
    *s = fresh;
    return 0;
}

bool secret_matches(const struct secret *s, const char *given, size_t given_len)
{
    uint8_t ours[SHA256_DIGEST_LENGTH], theirs[SHA256_DIGEST_LENGTH];
    if (!s->text)
        return false;
    /* without memory there is no digest, and what is in ours and theirs says nothing */
    bool digested = SHA256((const uint8_t *)s->text, s->len, ours) != NULL &&
                    SHA256((const uint8_t *)given, given_len, theirs) != NULL;
    if (!digested)
        ERR_clear_error(); /* OpenSSL's own notes about it */
    return digested && CRYPTO_memcmp(ours, theirs, sizeof ours) == 0;
}

bool secret_is_hex(const struct secret *s)
{
    return s->text && s->len == SECRET_HEX && strspn(s->text, "0123456789abcdefABCDEF") == s->len;
}
