#include "args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct option_spec *find(const struct option_spec *table, const char *name, size_t len)
{
    for (; table->name != NULL; table++)
        if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
            return table;
    return NULL;
}

static bool optional(const struct option_spec *spec)
{
    return spec->value != NULL && spec->value[0] == '[';
}

/* One option; *i moves on when its value is the next word. */
static int parse_option(struct args *a, int argc, char **argv, int *i,
                        const struct option_spec *options, const struct option_spec *common,
                        struct err *err)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");
    const struct option_spec *spec = find(options, name, len);
    if (spec == NULL)
        spec = find(common, name, len);
    if (spec == NULL)
        return err_set(err, ERR_CONFIG, NULL, "there is no option --%.*s", (int)len, name);
    if (a->options == ARGS_OPTIONS_MAX)
        return err_set(err, ERR_CONFIG, NULL, "more than %d options", ARGS_OPTIONS_MAX);
    if (!spec->many && args_has(a, spec->name))
        return err_set(err, ERR_CONFIG, NULL, "--%s is given twice", spec->name);
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (value != NULL && spec->value == NULL)
        return err_set(err, ERR_CONFIG, NULL, "--%s takes no value", spec->name);
    if (value == NULL && spec->value != NULL && !optional(spec)) {
        if (*i + 1 >= argc)
            return err_set(err, ERR_CONFIG, NULL, "--%s needs %s", spec->name, spec->value);
        value = argv[++*i];
    }
    a->option[a->options].spec = spec;
    a->option[a->options++].value = value;
    return 0;
}

int args_parse(struct args *ret_args, int argc, char **argv, const struct option_spec *options,
               const struct option_spec *common, struct err *err)
{
    struct args a = {.words = 0, .options = 0};
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            if (parse_option(&a, argc, argv, &i, options, common, err))
                return -1;
        } else if (a.words == ARGS_WORDS_MAX) {
            return err_set(err, ERR_CONFIG, NULL, "more than %d words", ARGS_WORDS_MAX);
        } else {
            a.word[a.words++] = argv[i];
        }
    }
    *ret_args = a;
    return 0;
}

bool args_has(const struct args *a, const char *name)
{
    for (int i = 0; i < a->options; i++)
        if (strcmp(a->option[i].spec->name, name) == 0)
            return true;
    return false;
}

const char *args_value(const struct args *a, const char *name, int n)
{
    for (int i = 0; i < a->options; i++)
        if (strcmp(a->option[i].spec->name, name) == 0 && n-- == 0)
            return a->option[i].value;
    return NULL;
}

int args_int(const struct args *a, const char *name, int min, int max, int fallback, int *ret_n,
             struct err *err)
{
    const char *text = args_value(a, name, 0);
    if (text == NULL) {
        *ret_n = fallback;
        return 0;
    }
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < min || n > max)
        return err_set(err, ERR_CONFIG, NULL, "--%s: a whole number from %d to %d is needed", name,
                       min, max);
    *ret_n = (int)n;
    return 0;
}
