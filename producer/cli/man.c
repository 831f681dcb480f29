/* Writes a manual page on stdout when the project is built: `reveille-man
 * reveille|reveille-producer| reveille-worker`. Verbs, options and variables come from the tables
 * that --help shows, so that the manual cannot know fewer or others; the prose around them is here.
 * Not installed. */
#include "config.h"
#include "help.h"
#include "verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct variable {
    const char *name, *fallback, *help;
    unsigned who;
};

static const struct variable variables[] = {
#define CONFIG(id, name, kind, fallback, who, help) {name, fallback, help, who},
#include "config.def"
#undef CONFIG
};

struct page {
    const char *name, *section, *what, *about;
    unsigned who;
    const char *signals, *exits, *see;
};

static const char service_signals[] =
    "SIGTERM and SIGINT drain and end the program, with 0, within DRAIN_TIMEOUT_MS. SIGHUP reads "
    "secrets and the log level again. Nothing needs SIGKILL, and SIGKILL loses nothing.";
static const char service_exits[] =
    "0 after a drain; 1 when it failed; 2 when something has to be changed before the same start "
    "can succeed: a variable, or a schema of another age.";

static const struct page pages[] = {
    {"reveille", "1", "the operator's command of Reveille",
     "Asks for runs, shows them, proves them, and keeps an installation in order. It speaks with "
     "PostgreSQL alone (doctor also with Kafka), so it works where there is no HTTP. Answers go to "
     "stdout, everything else to stderr.",
     FOR_CLI, NULL, NULL, "reveille-producer(8), reveille-worker(8)"},
    {"reveille-producer", "8", "plans runs, sends slices, answers over HTTP",
     "Takes requests for runs from PostgreSQL and over HTTP, pages the mentors out of PostgreSQL, "
     "writes the pages down as slices, sends their addresses to Kafka and closes the run when all "
     "are settled. Any number may run; each may be killed at any moment. Its log is one JSON "
     "object a line on stdout.",
     FOR_PRODUCER, service_signals, service_exits, "reveille(1), reveille-worker(8)"},
    {"reveille-worker", "8", "judges slices of mentors and settles them",
     "Takes the addresses of slices from Kafka, asks the engine what each mentor is due, and "
     "writes the outcome back in one transaction a slice. Any number may run, in one consumer "
     "group; how many calls an engine gets is one limit for all of them, set by reveille engines. "
     "Its log is one JSON object a line on stdout.",
     FOR_WORKER, service_signals, service_exits, "reveille(1), reveille-producer(8)"},
};

/* Text as roff shows it: nothing of it is taken for a request or an escape. */
static void put(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\')
            fputs("\\e", stdout);
        else if (*p == '-')
            fputs("\\-", stdout);
        else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
            printf("\\&%c", *p);
        else
            putchar(*p);
    }
}

static void put_line(const char *text)
{
    put(text);
    putchar('\n');
}

static void section(const char *name, const char *text)
{
    printf(".SH %s\n", name);
    put_line(text);
}

/* A paragraph with a tag in bold. */
static void tag(const char *before, const char *word, const char *after)
{
    fputs(".TP\n\\fB", stdout);
    put(before);
    put(word);
    fputs("\\fR", stdout);
    put_line(after);
}

static void put_options(const struct option_spec *options)
{
    char form[64];
    for (; options->name != NULL; options++) {
        bool optional = options->value != NULL && options->value[0] == '[';
        snprintf(form, sizeof(form), "%s%s", options->value == NULL || optional ? "" : " ",
                 options->value == NULL ? "" : options->value);
        tag("--", options->name, form);
        put_line(options->help);
    }
}

static void put_verb(const struct verb *verb)
{
    fputs(".SS \"reveille ", stdout);
    put(verb->name);
    putchar(verb->synopsis[0] != '\0' ? ' ' : '"');
    if (verb->synopsis[0] != '\0') {
        put(verb->synopsis);
        putchar('"');
    }
    putchar('\n');
    putchar(toupper((unsigned char)verb->summary[0]));
    put(verb->summary + 1);
    puts(".");
    put_options(verb->options);
    puts(".PP\n.RS\n.EX");
    put_line(verb->example);
    puts(".EE\n.RE");
}

static void put_verbs(void)
{
    const struct verb *verb;
    puts(".SH VERBS\nFor all of them:");
    put_options(verbs_common_options);
    puts(".PP");
    put_line(HELP_RUN);
    for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++)
        put_verb(verb);
    puts(".SH EXIT STATUS");
    for (int code = 0; code < HELP_EXITS; code++)
        printf(".IP %d 4\n%s\n", code, help_exits[code]);
}

static void put_variables(unsigned who)
{
    puts(".SH ENVIRONMENT\nEach also as NAME_FILE, a file that holds the value.");
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        const struct variable *v = &variables[i];
        if ((v->who & who) == 0)
            continue;
        tag("", v->name, "");
        put(v->help);
        if (v->fallback != NULL) {
            fputs(" (", stdout);
            put(v->fallback);
            putchar(')');
        }
        puts(".");
    }
    if ((who & (FOR_PRODUCER | FOR_WORKER)) != 0)
        puts(".PP\nAny other KAFKA_ name is a property of librdkafka: KAFKA_SECURITY_PROTOCOL is "
             "security.protocol.");
}

static void put_page(const struct page *page)
{
    printf(".TH %s %s \"\" \"Reveille " REVEILLE_VERSION "\"\n.SH NAME\n", page->name,
           page->section);
    put(page->name);
    fputs(" \\- ", stdout);
    put_line(page->what);
    printf(".SH SYNOPSIS\n.B ");
    put_line(page->name);
    if (page->who == FOR_CLI)
        puts(".I VERB\n[\\fIWORD\\fR ...] [\\fIOPTION\\fR ...]");
    else
        puts("[\\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR | \\fB\\-\\-check\\-config\\fR]");
    section("DESCRIPTION", page->about);
    if (page->who == FOR_CLI) {
        put_verbs();
    } else {
        puts(".SH OPTIONS");
        tag("--", "check-config", "");
        puts("shows every variable, secrets as ***, says what is wrong, and ends.");
        tag("--", "help", ", --version");
        puts("as they say.");
        section("SIGNALS", page->signals);
        section("EXIT STATUS", page->exits);
    }
    put_variables(page->who);
    section("SEE ALSO", page->see);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < COUNT_OF(pages); i++)
        if (strcmp(pages[i].name, argv[1]) == 0) {
            put_page(&pages[i]);
            return fflush(stdout) == 0 ? 0 : 1;
        }
    fputs("usage: reveille-man reveille|reveille-producer|reveille-worker\n", stderr);
    return 2;
}
