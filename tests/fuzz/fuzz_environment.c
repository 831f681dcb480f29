/* The environment: any variables, one a line, are a configuration or an error with a text; and no
 * secret is shown. Names of files are left out: what they lead to is not this target's. */
#include "config.h"
#include "fuzz.h"

#include <string.h>

#define VARIABLES 32
#define SECRET "5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5ec5"

static void show(const struct config *c)
{
    char *shown = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&shown, &len);
    if (!out)
        return;
    config_show(c, out);
    fclose(out);
    MUST(!strstr(shown, SECRET));
    free(shown);
}

static void try_environment(char *text)
{
    const char *env[VARIABLES + 2] = {"OPERATOR_SECRET=" SECRET};
    size_t n = 1;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line && n <= VARIABLES;
         line = strtok_r(NULL, "\n", &rest))
        if (!strstr(line, "_FILE") && !strstr(line, SECRET) && strchr(line, '='))
            env[n++] = line;
    struct err err = {0};
    struct config *c = config_new(FOR_ALL, env, &err);
    if (c)
        show(c);
    else
        MUST(err.text[0] && !strstr(err.text, SECRET));
    config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    try_environment(text);
    free(text);
    return 0;
}
