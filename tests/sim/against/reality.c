/* See reality.h. */
#include "schema_world.h"

#include "reality.h"

/* A subject's id: its job and its place, as model_db_subject has it. */
#define PREPARE                                                                                 \
    "create schema sim; grant usage on schema sim to public;"                                   \
    "create function sim.now() returns timestamptz language sql stable as $$"                   \
    "    select timestamptz '2026-11-21 06:00+00'"                                              \
    "           + current_setting('sim.ms')::bigint * interval '1 ms' $$;"                      \
    "create function sim.ms(t timestamptz) returns bigint language sql stable as $$"            \
    "    select (extract(epoch from t - timestamptz '2026-11-21 06:00+00') * 1000)::bigint $$;" \
    "create table sim.roster(job int primary key, n int);"                                      \
    "grant select on sim.roster to public; insert into sim.roster values (0, 0), (1, 0);"       \
    "create function sim.subject(job int, place int) returns uuid language sql immutable as $$" \
    "    select (lpad(to_hex(job + 1), 2, '0') || lpad('', 26, '0')"                            \
    "            || lpad(to_hex(place), 4, '0'))::uuid $$;"                                     \
    "create function sim.lookup(ids uuid[])"                                                    \
    "returns table(subject_id uuid, user_id uuid, eligible boolean) language sql stable as $$"  \
    "    select i, i, true from unnest(ids) i $$;"                                              \
    "do $$ declare j int; begin"                                                                \
    "    for j in 0..1 loop"                                                                    \
    "        execute format("                                                                   \
    "            'create function sim.source_%1$s(c uuid, n int, d date)"                       \
    "             returns table(subject_id uuid) language sql stable as $f$"                    \
    "                 select s from (select sim.subject(%1$s, p) s from sim.roster r,"          \
    "                                generate_series(0, r.n - 1) p where r.job = %1$s) x"       \
    "                  where c is null or s > c order by s limit n $f$', j);"                   \
    "        insert into reveille.job(job_name, schedule, engine, source, lookup,"              \
    "                                 scenario_types, enabled_since)"                           \
    "            values ('job_' || chr(97 + j), '0 0 1 1 *', 'http', 'sim.source_' || j, "      \
    "'sim.lookup',"                                                                             \
    "                    '{inactivity}', '-infinity');"                                         \
    "    end loop;"                                                                             \
    "end $$;"                                                                                   \
    "do $$ declare f record; begin"                                                             \
    "    for f in select p.oid from pg_proc p"                                                  \
    "              where p.pronamespace = 'reveille'::regnamespace and p.prokind = 'f'"         \
    "                and p.prosrc like '%clock_timestamp()%' loop"                              \
    "        execute replace(pg_get_functiondef(f.oid), 'clock_timestamp()', 'sim.now()');"     \
    "    end loop;"                                                                             \
    "end $$"

void reality_prepare(PGconn *pg)
{
    schema_exec(pg, "set sim.ms = '0'");
    schema_exec(pg, PREPARE);
}

void reality_reset(PGconn *pg, int concurrency, const int roster[2], const int page_size[2])
{
    char sql[1024];
    snprintf(sql, sizeof(sql),
             "truncate reveille.run, reveille.trigger_request, reveille.notification,"
             "         reveille.cooldown, reveille.outbox, reveille.engine_share cascade;"
             "update reveille.engine"
             "   set concurrency = %d, current = %d, closed_since = null, probes = 0,"
             "       paused_until = null, recent = '', last_success_at = null, moved_at = "
             "sim.now() - interval '1 h',"
             "       halved_at = sim.now() - interval '1 h' where engine = 'http';"
             "insert into reveille.engine_share(engine, worker, granted, until)"
             "    values ('http', '', 0, '-infinity');"
             "update sim.roster set n = case job when 0 then %d else %d end;"
             "update reveille.job set page_size = case job_name when 'job_a' then %d else %d end"
             " where job_name like 'job__'",
             concurrency, concurrency, roster[0], roster[1], page_size[0], page_size[1]);
    schema_exec(pg, sql);
}

void reality_set_clock(PGconn *pg, int64_t ms)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "set sim.ms = '%lld'", (long long)ms);
    schema_exec(pg, sql);
}

static void write_rows(const PGresult *r, char ret[REALITY_TEXT])
{
    size_t len = 0;
    ret[0] = '\0';
    for (int row = 0; row < PQntuples(r); row++)
        for (int col = 0; col < PQnfields(r); col++) {
            const char *value = PQgetisnull(r, row, col) ? "-" : PQgetvalue(r, row, col);
            const char *before = col > 0 ? "|" : row > 0 ? ";" : "";
            len += (size_t)snprintf(ret + len, REALITY_TEXT - len, "%s%s", before, value);
            assert_true(len < REALITY_TEXT);
        }
}

void reality_ask(PGconn *pg, char ret[REALITY_TEXT], const char *fmt, ...)
{
    char sql[REALITY_TEXT];
    va_list args;
    va_start(args, fmt);
    assert_in_range(vsnprintf(sql, sizeof(sql), fmt, args), 1, sizeof(sql) - 1);
    va_end(args);
    PGresult *r = PQexec(pg, sql);
    if (PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK)
        write_rows(r, ret);
    else
        snprintf(ret, REALITY_TEXT, "error %s: %s", PQresultErrorField(r, PG_DIAG_SQLSTATE),
                 PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
    PQclear(r);
}
