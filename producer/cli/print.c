#include "print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define WIDTH_MAX 60 /* of a column; longer cells are not cut, only not aligned */

void say(const char *fmt, ...)
{
    va_list ap;
    fputs("reveille: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool on_terminal(void)
{
    return isatty(STDERR_FILENO) != 0;
}

const char *print_number(long long n, char *out)
{
    char digits[PRINT_SIZE];
    int len = snprintf(digits, sizeof(digits), "%lld", n < 0 ? -n : n);
    int at = 0;
    if (n < 0)
        out[at++] = '-';
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *print_duration(double seconds, char *out)
{
    long long whole = (long long)(seconds + 0.5);
    if (seconds < 60)
        snprintf(out, PRINT_SIZE, "%.1f s", seconds);
    else if (whole < 3600)
        snprintf(out, PRINT_SIZE, "%lld m %02lld s", whole / 60, whole % 60);
    else
        snprintf(out, PRINT_SIZE, "%lld h %02lld m", whole / 3600, whole / 60 % 60);
    return out;
}

static bool is_number(const PGresult *rows, int col)
{
    Oid type = PQftype(rows, col);
    return type == 20 || type == 21 || type == 23 || type == 700 || type == 701 || type == 1700;
}

/* A cell as people read it: PostgreSQL's t and f are yes and no. */
static const char *cell(const PGresult *rows, int row, int col)
{
    const char *text = PQgetvalue(rows, row, col);
    if (PQftype(rows, col) != 16 || text[0] == '\0')
        return text;
    return text[0] == 't' ? "yes" : "no";
}

static int width_of(const PGresult *rows, int col)
{
    int width = (int)strlen(PQfname(rows, col));
    for (int r = 0; r < PQntuples(rows); r++)
        if ((int)strlen(cell(rows, r, col)) > width)
            width = (int)strlen(cell(rows, r, col));
    return width < WIDTH_MAX ? width : WIDTH_MAX;
}

static void print_cell(const char *text, int width, bool right, bool last)
{
    if (right)
        printf("%*s", width, text);
    else if (last)
        printf("%s", text);
    else
        printf("%-*s", width, text);
    fputs(last ? "\n" : "  ", stdout);
}

void print_table(const PGresult *rows)
{
    int cols = PQnfields(rows);
    for (int r = -1; r < PQntuples(rows); r++)
        for (int c = 0; c < cols; c++)
            print_cell(r < 0 ? PQfname(rows, c) : cell(rows, r, c), width_of(rows, c),
                       is_number(rows, c), c == cols - 1);
}

void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    putchar('\n');
}

void print_json_text(const char *json)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    if (value != NULL)
        print_json(value);
    else
        puts(json); /* the database wrote it: better as it came than not at all */
    json_decref(value);
}

void print_scenarios(const json_t *by_scenario)
{
    const char *type, *reason;
    json_t *counts, *n;
    char a[PRINT_SIZE], b[PRINT_SIZE], c[PRINT_SIZE];
    json_object_foreach((json_t *)by_scenario, type, counts)
    {
        printf("  %s: evaluated %s, dispatched %s", type,
               print_number(json_integer_value(json_object_get(counts, "evaluated")), a),
               print_number(json_integer_value(json_object_get(counts, "dispatched")), b));
        json_object_foreach(json_object_get(counts, "suppressed"), reason, n)
        {
            printf(", suppressed (%s) %s", reason, print_number(json_integer_value(n), c));
        }
        putchar('\n');
    }
}

void print_bar(long long done, long long total, double rate, double seconds_left)
{
    char a[PRINT_SIZE], b[PRINT_SIZE], left[PRINT_SIZE] = "";
    if (seconds_left >= 0)
        print_duration(seconds_left, left);
    const char *head = on_terminal() ? "\r" : "reveille: ";
    fputs(head, stderr);
    if (on_terminal() && total > 0) {
        int full = (int)(done * BAR_WIDTH / total);
        fputc('[', stderr);
        for (int i = 0; i < BAR_WIDTH; i++)
            fputc(i < full ? '#' : '.', stderr);
        fputs("] ", stderr);
    }
    fprintf(stderr, "%s of %s  %.0f/s%s%s", print_number(done, a),
            total >= 0 ? print_number(total, b) : "?", rate, left[0] ? "  left " : "", left);
    fputs(on_terminal() ? "\033[K" : "\n", stderr);
    fflush(stderr);
}

void print_bar_end(void)
{
    if (on_terminal())
        fputs("\r\033[K", stderr);
}

void print_verdict(bool good, const char *word)
{
    bool colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    printf("%s%s%s", colour ? (good ? "\033[32m" : "\033[31m") : "", word, colour ? "\033[0m" : "");
}
