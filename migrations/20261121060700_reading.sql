-- Reading: what the summary, the CLI and the HTTP listener show of a run. Nothing here writes.

set role reveille_owner;

-- The sums over a run's slices so far, with every scenario of the run, also with zeros. finish_run
-- stores them as run.totals; verify_run counts again and compares.
create or replace function reveille.run_numbers(p_run uuid) returns jsonb
language sql stable as $$
    with s as materialized (
        select state, cardinality(subject_ids) as subjects, evaluated, skipped, errors, unreached,
               dispatched, suppressed, by_scenario
          from reveille.slice where run_id = p_run),
    part as (
        select e.key as scenario, e.value
          from s cross join lateral jsonb_each(s.by_scenario) e where s.state = 'done'),
    refused as (
        select scenario, jsonb_object_agg(reason, n) as reasons
          from (select p.scenario, x.key as reason, sum(x.value::int) as n
                  from part p cross join lateral jsonb_each_text(p.value -> 'suppressed') x
                 group by 1, 2) y
         group by 1),
    by_scenario as (
        select k.scenario, jsonb_build_object(
                   'evaluated', coalesce(sum((p.value ->> 'evaluated')::int), 0),
                   'dispatched', coalesce(sum((p.value ->> 'dispatched')::int), 0),
                   'suppressed', coalesce(f.reasons, '{}')) as numbers
          from (select jsonb_object_keys(scenarios) as scenario
                  from reveille.run where run_id = p_run) k
          left join part p using (scenario)
          left join refused f using (scenario)
         group by k.scenario, f.reasons)
    select jsonb_build_object(
               'subjects', coalesce(sum(subjects), 0),
               'evaluated', coalesce(sum(evaluated), 0),
               'skipped', coalesce(sum(skipped), 0),
               'errors', coalesce(sum(errors), 0),
               'unreached', coalesce(sum(unreached), 0),
               'dispatched', coalesce(sum(dispatched), 0),
               'suppressed', coalesce(sum(suppressed), 0),
               'slices', count(*),
               'slices_done', count(*) filter (where state = 'done'),
               'by_scenario', (select coalesce(jsonb_object_agg(scenario, numbers), '{}')
                                 from by_scenario))
      from s
$$;

-- A run's Summary as the public interface describes it (section 4); null: no such run. From the
-- slices while it is open, from run.totals once it has ended. remaining counts what is planned and
-- has no outcome; while planning, what is planned so far. plpgsql keeps its plan: whoever rings again
-- is answered with this, and planning it anew each time costs 30 times what it does.
create or replace function reveille.summary(p_run uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    return (select jsonb_build_object(
               'run_id', r.run_id, 'job_name', r.job_name, 'status', r.state,
               'evaluation_date', r.evaluation_date, 'triggered_by', r.triggered_by,
               'replay_of', r.replay_of,
               'total_active_mentors', r.planned,
               'total_evaluated', (n.t ->> 'evaluated')::int,
               'total_dispatched', (n.t ->> 'dispatched')::int,
               'total_suppressed', (n.t ->> 'suppressed')::int,
               'total_skipped', (n.t ->> 'skipped')::int,
               'total_errors', (n.t ->> 'errors')::int,
               'remaining_unprocessed_count', x.remaining,
               'pages_processed', (n.t ->> 'slices_done')::int,
               'by_scenario', n.t -> 'by_scenario',
               'duration_ms', floor(extract(epoch from
                   coalesce(r.finished_at, clock_timestamp()) - r.started_at) * 1000)::bigint,
               'completed', x.ended and r.state <> 'failed' and x.remaining = 0,
               'partial', x.ended and x.remaining > 0)
      from reveille.run r
     cross join lateral (select coalesce(r.totals, reveille.run_numbers(r.run_id)) as t) n
     cross join lateral (
        select r.state not in ('planning', 'running') as ended,
               coalesce(r.planned, (n.t ->> 'subjects')::int) - (n.t ->> 'evaluated')::int
                   - (n.t ->> 'skipped')::int - (n.t ->> 'errors')::int as remaining) x
     where r.run_id = p_run);
end $$;

-- Summaries, the newest run first: of one job (null: of all), up to p_limit, started before
-- p_before (null: whenever). Leans on run_started.
create or replace function reveille.summaries(
    p_job text, p_limit int, p_before timestamptz)
returns setof jsonb language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select reveille.summary(r.run_id)
      from (select run_id, started_at from reveille.run
             where (p_job is null or job_name = p_job)
               and started_at < coalesce(p_before, 'infinity')
             order by started_at desc, run_id limit p_limit) r
     order by r.started_at desc, r.run_id
$$;

-- The run that an operator means: a full id, the beginning of one (at least four hex digits),
-- 'latest', or 'latest:JOB'. No row: none. Two rows: the beginning is not unique.
create or replace function reveille.find_run(p text) returns setof uuid
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    (select run_id from reveille.run
      where p = 'latest' or p like 'latest:%' and job_name = substr(p, 8)
      order by started_at desc, run_id limit 1)
    union all
    (select run_id from reveille.run
      where p ~* '^[0-9a-f]{4}[0-9a-f-]{0,32}$' and run_id::text like lower(p) || '%'
      limit 2)
$$;

-- How far a run is, cheaply: a few times a second. Pending slices are counted through
-- slice_pending. last_moved: when one of them was last published or moved, or the run was planned
-- or ended.
create or replace function reveille.progress_of(p_run uuid)
returns table(state text, slices int, planned int, pending int, done int, last_moved timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select r.state, r.slices, r.planned, s.pending, r.slices - s.pending,
           coalesce(r.finished_at, s.moved, r.started_at)
      from reveille.run r
     cross join lateral (
        select count(*)::int as pending, max(greatest(published_at, moved_at)) as moved
          from reveille.slice where run_id = p_run and state = 'pending') s
     where r.run_id = p_run
$$;

-- The slices that keep a run open, the longest unmoved first, at most 1,000. age_s: seconds since
-- they were last published or moved. state_hint: not published · published, waiting · claimed ·
-- stale (its worker has not renewed the claim for 10 s).
create or replace function reveille.why_open(p_run uuid)
returns table(slice_no int, topic text, partition int, worker text, age_s double precision,
              attempt int, calls_done int, last_error_class text, rings int, state_hint text)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select s.slice_no, s.topic, s.partition, s.claimed_by,
           extract(epoch from statement_timestamp()
                   - coalesce(greatest(s.published_at, s.moved_at), r.started_at))::float8,
           s.attempt, s.calls_done, s.last_error_class, s.rings,
           case when s.claimed_by is not null
                then case when s.moved_at < statement_timestamp() - interval '10 s'
                          then 'stale' else 'claimed' end
                when s.published_at is null then 'not published'
                else 'published, waiting' end
      from reveille.slice s
      join reveille.run r using (run_id)
     where s.run_id = p_run and s.state = 'pending'
     order by 5 desc, 1
     limit 1000
$$;

-- The summary as columns. The caller needs EXECUTE on summary(), and sees what the owner sees.
create or replace view reveille.run_summary with (security_invoker = true) as
    select s.run_id, s.job_name, s.status, s.evaluation_date, s.triggered_by, s.replay_of,
           s.total_active_mentors, s.total_evaluated, s.total_dispatched, s.total_suppressed,
           s.total_skipped, s.total_errors, s.remaining_unprocessed_count, s.pages_processed,
           s.by_scenario, s.duration_ms, s.completed, s.partial, r.started_at, r.finished_at
      from reveille.run r
     cross join lateral jsonb_to_record(reveille.summary(r.run_id)) as s(
        run_id uuid, job_name text, status text, evaluation_date date, triggered_by text,
        replay_of uuid, total_active_mentors int, total_evaluated int, total_dispatched int,
        total_suppressed int, total_skipped int, total_errors int,
        remaining_unprocessed_count int, pages_processed int, by_scenario jsonb,
        duration_ms bigint, completed boolean, partial boolean);

-- Open runs and how far they are; the age of the oldest tells that no producer lives (S7).
create or replace view reveille.run_progress with (security_invoker = true) as
    select r.run_id, r.job_name, p.state, p.slices, p.planned, p.pending, p.done, p.last_moved,
           extract(epoch from clock_timestamp() - r.started_at)::float8 as age_s,
           clock_timestamp() - r.started_at > j.alert_after as overdue
      from reveille.run r
      join reveille.job j using (job_name)
     cross join lateral reveille.progress_of(r.run_id) p
     where r.state in ('planning', 'running');

grant select on reveille.run_summary, reveille.run_progress to reveille_reader, reveille_producer;
grant execute on function
    reveille.summary(uuid),
    reveille.summaries(text, int, timestamptz),
    reveille.find_run(text),
    reveille.progress_of(uuid),
    reveille.why_open(uuid)
    to reveille_producer, reveille_reader;

reset role;
