/* Where each request of a connection begins and ends, read strictly, byte by byte, beside evhttp
 * and before it. evhttp takes a bare line feed for a line's end, a line that begins with a zero
 * byte for the end of the header, the first of two lengths, the rest of a line for its
 * continuation, blanks inside a target; a proxy in front of us that does not is how a second
 * request is smuggled past it. So what evhttp has read is served only if these bytes say that it is
 * one request, too.
 *
 * Knows no routes, keeps no text, allocates nothing. Not a parser of what a request means. */
#ifndef REVEILLE_HTTP_FRAMING_H
#define REVEILLE_HTTP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FRAMING_WORD 20 /* longer than each method and header that matters here */

/* Zeroed: a connection of which nothing has been read. */
struct http_framing {
    int state;                        /* what the next byte belongs to; its own business */
    unsigned whole;                   /* requests that have come whole and sound */
    char word[HTTP_FRAMING_WORD + 1]; /* method or name, in lower case, as far as it fits */
    size_t at;                        /* bytes of it, also of what does not fit */
    int field;                        /* which header's value this is */
    int minor;                        /* of HTTP/1.x */
    bool head;                        /* HEAD or TRACE: its body would be left unread */
    bool spaced;                      /* a length's digits have ended */
    int hosts, lengths, digits;
    size_t size;  /* bytes of the head so far */
    int64_t body; /* bytes of the body that are still to come */
};

/* The next bytes, in any portions. After the first that is not as it must be, nothing counts. */
void http_framing_read(struct http_framing *f, const char *bytes, size_t len);

/* Whether the request that evhttp has read as its n-th (from 0) is the n-th here: a method, a path
 * from "/" on and HTTP/1.0 or 1.1 with one blank between, lines that end in CR LF, names that are
 * tokens, no folded line, no control character, one Host (1.0: at most one), at most one length of
 * digits only, no transfer encoding, no body of a HEAD or TRACE, no CONNECT; the head no longer
 * than HTTP_HEADER_MAX with its line ends, which evhttp does not count. */
bool http_framing_is_sound(const struct http_framing *f, unsigned n);

#endif
