/* How `reveille` speaks: answers on stdout, everything else on stderr; colours and bars only on a
 * terminal, and without NO_COLOR. */
#ifndef REVEILLE_CLI_PRINT_H
#define REVEILLE_CLI_PRINT_H

#include "attrs.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* One line on stderr, "reveille: …". */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

bool on_terminal(void); /* stderr is one: bars may be drawn */

/* "1,234,567"; "1 h 02 m", "1 m 20 s", "4.2 s"; into out, which holds PRINT_SIZE bytes. */
#define PRINT_SIZE 32
const char *print_number(long long n, char *out);
const char *print_duration(double seconds, char *out);

/* Columns aligned, numbers to the right, the first row the columns' names. */
void print_table(const PGresult *rows);

/* One JSON document, indented. */
void print_json_text(const char *json);
void print_json(const json_t *value);

/* A line a scenario of a summary's by_scenario. */
void print_scenarios(const json_t *by_scenario);

/* Redraws one line on stderr (a terminal), or says it at most every few seconds (not one).
 * total < 0: not known yet. */
void print_bar(long long done, long long total, double rate, double seconds_left);
void print_bar_end(void);

/* A word in green or red on a terminal's stdout; plain else. */
void print_verdict(bool good, const char *word);

#endif
