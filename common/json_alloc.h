/* Memory for jansson. Its reader (2.14) takes a failed allocation for a short text and then reads and
 * writes beyond it: so it never sees one. When memory runs out, the process says so and leaves with
 * EXIT_FAILURE, as librdkafka has it leave, too; whoever keeps it running starts it again, and
 * nothing is lost but what was under way. */
#ifndef REVEILLE_JSON_ALLOC_H
#define REVEILLE_JSON_ALLOC_H

/* To be called before the first use of jansson; for the whole process. */
void json_alloc_or_leave(void);

#endif
