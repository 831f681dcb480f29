/* What is shown of an engine, wherever it is shown: `reveille engines` and `reveille why-open`. Not
 * a verb; the columns' source is reveille.engine as e. */
#ifndef REVEILLE_CLI_FLEET_H
#define REVEILLE_CLI_FLEET_H

#define UTC_TEXT(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')"

/* current: calls at a time that its health allows of `concurrency`. probes: made since it closed.
 * paused_s: seconds until the next call may start: the next probe's, or the engine's own wish
 * (Retry-After). Null where there is nothing to say. */
#define ENGINE_COLUMNS                                                                             \
    "e.engine, e.concurrency, e.current, e.topic_partitions partitions, "                          \
    "e.closed_since is not null closed, " UTC_TEXT(                                                \
        "e.closed_since") " closed_since_utc, case when e.closed_since is not null then e.probes " \
                          "end "                                                                   \
                          "probes, case when e.paused_until > clock_timestamp() then "             \
                          "ceil(extract(epoch from e.paused_until - clock_timestamp()))::int end " \
                          "paused_s, " UTC_TEXT("e.last_success_at") " last_success_utc"

#endif
