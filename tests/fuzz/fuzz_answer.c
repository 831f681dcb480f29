/* The trigger engine's answers: any bytes are a whole verdict or a failure in our own words. */
#include "engine_http_answer.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uuid asked;
    MUST(uuid_parse("6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5", &asked));
    struct answer *a = engine_http_answer((const char *)data, size, &asked);
    if (!a)
        return 0; /* memory */
    if (a->ok) {
        for (int i = 0; i < a->n; i++)
            MUST(a->decisions[i].scenario_type && a->decisions[i].scenario_type[0]);
    } else {
        MUST(a->cls == ERR_LOGIC && a->n == 0);
        MUST(a->text[0] && memchr(a->text, '\0', sizeof a->text));
    }
    answer_free(a);
    return 0;
}
