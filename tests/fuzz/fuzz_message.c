/* Kafka messages: any bytes are an address or a reason why not, and an address that was read is the
 * one that its encoding gives. */
#include "fuzz.h"
#include "slice_msg.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const reasons[] = {"too_long", "unreadable", "version", "fields"};
    struct slice_msg m, again;
    struct err err = {0};
    if (slice_msg_decode(data, size, &m, &err)) {
        size_t known = 0;
        for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
            known += strcmp(err.code, reasons[i]) == 0;
        MUST(err.cls == ERR_PROTOCOL && known == 1);
        return 0;
    }
    uint8_t out[SLICE_MSG_MAX];
    size_t len = slice_msg_encode(&m, out);
    MUST(m.slice >= 0 && size <= SLICE_MSG_MAX && len <= SLICE_MSG_MAX);
    MUST(slice_msg_decode(out, len, &again, NULL) == 0);
    MUST(m.slice == again.slice && memcmp(&m.run, &again.run, sizeof m.run) == 0);
    return 0;
}
