/* The command line, as plain data. */
#ifndef REVEILLE_SCRIPTED_ENGINE_OPTIONS_H
#define REVEILLE_SCRIPTED_ENGINE_OPTIONS_H

#include "scripted_engine_why.h"

/* Shares are 0 to 1; file names are borrowed from argv, NULL where none was given. */
struct options {
    int port; /* 0: the system chooses */
    const char *address_file, *script_file, *secret_file, *log_file;
    double latency_ms, latency_jitter;
    double tail_share, tail_ms;                   /* this share of calls takes tail_ms instead */
    double due;                                   /* share of mentors */
    double failures;                              /* share of mentors */
    double status_429, status_503, hang, garbage; /* shares of calls, together at most 1 */
    int retry_after;                              /* seconds; 0: the header is not sent */
    int limit;                                    /* calls in flight, 0: any number */
};

/* 0: *ret_options is filled; 1: help was asked for; -1: the command line is wrong. */
int options_parse(int argc, char **argv, struct options *ret_options, struct why *why);

extern const char OPTIONS_HELP[];

#endif
