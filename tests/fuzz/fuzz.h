/* What the fuzz targets share: how a property is said, and libFuzzer's entry. A target reads bytes
 * from outside as the program would, and states what must hold for any of them. */
#ifndef REVEILLE_FUZZ_H
#define REVEILLE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Holds in every build, unlike assert: a broken property is a crash, which libFuzzer keeps. */
#define MUST(property)                                                             \
    do {                                                                           \
        if (!(property)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #property); \
            abort();                                                               \
        }                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
