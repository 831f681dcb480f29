-- What an operator asks and clears away: everything that happened to one mentor (why), and what is
-- too old to be kept (prune). Whether an installation is in order is the next file's.

-- ---- whose id is it -------------------------------------------------------------------------

-- Reads the host's tables, so it belongs to the migrating role, as those of 060800 do, and is made
-- again when a row of host_table changes.
set search_path = pg_catalog;    -- what is created here stands on built-in operators alone
do $do$
begin
    execute reveille.with_host_names($sql$

-- What an id stands for, and every id under which the same mentor can be a subject of a run: of a
-- mentor or its user, the mentor and all its assignments and certifications; of one of those, that
-- one alone. No row: nobody in the host's tables.
create or replace function reveille.subjects_of(p uuid)
returns table(kind text, subject_id uuid, mentor_id uuid, user_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select 'mentor', m.id, m.id, m.user_id from {peer_mentors} m where m.id = p or m.user_id = p
    union all
    select 'assignment', a.id, m.id, m.user_id
      from {assignments} a join {peer_mentors} m on m.id = a.peer_mentor_id
     where a.id = p or m.id = p or m.user_id = p
    union all
    select 'certification', c.id, m.id, m.user_id
      from {certifications} c join {peer_mentors} m on m.id = c.peer_mentor_id
     where c.id = p or m.id = p or m.user_id = p
$$;
$sql$);
end $do$;
reset search_path;
revoke all on function reveille.subjects_of(uuid) from public;
grant execute on function reveille.subjects_of(uuid) to reveille_owner;
select count(*) from reveille.subjects_of('00000000-0000-0000-0000-000000000000');

set role reveille_owner;

-- ---- why ------------------------------------------------------------------------------------

-- The notifications of a user, whoever wrote them. Dispatch dates are runs' dates: one probe of the
-- primary key for each, where a search by user would read every row.
create or replace function reveille.notifications_of(p_user uuid)
returns setof reveille.notification language sql stable as $$
    select n.* from (select distinct dispatch_date as day from reveille.run) d
      join reveille.notification n on n.cooldown_window_start = d.day and n.user_id = p_user
$$;

-- What a run did about one scenario for a subject that it evaluated, and why nothing went out, as
-- far as rows tell: an engine's own reasons are counted in the slice and kept nowhere by subject.
-- about: the subject where the scenario is kept per subject, else nil.
create or replace function reveille.why_scenario(
    r reveille.run, p_user uuid, p_subject uuid, p_scenario text, p_per_subject boolean)
returns jsonb language sql stable as $$
    with mine as (
        select n.* from reveille.notifications_of(p_user) n
         where n.scenario_type = p_scenario and (not p_per_subject or n.about_id = p_subject)),
    told as (
        select jsonb_build_object('result', case when external then 'dispatched_by_engine'
                                                 else 'dispatched' end) as answer, 1 as rank
          from mine where run_id = r.run_id
        union all
        select '{"result": "not_dispatched", "because": "shadow"}', 2 where r.shadow
        union all
        select jsonb_build_object('result', 'not_dispatched', 'because', 'duplicate',
                                  'of_run', run_id), 3
          from mine where evaluation_date = r.evaluation_date
        union all
        select jsonb_build_object('result', 'not_dispatched', 'because', 'cooldown',
                                  'of_run', run_id, 'until', cooldown_window_start + cooldown_days),
               4
          from mine where r.dispatch_date between cooldown_window_start
                                              and cooldown_window_start + cooldown_days - 1
        union all
        select '{"result": "not_dispatched", "because": "engine"}', 5)
    select jsonb_build_object('scenario_type', p_scenario) || answer from told order by rank limit 1
$$;

-- A subject's part in the slice that holds it: {outcome, error_class?, …}. outcome: waiting ·
-- claimed · skipped · error · unreached · evaluated.
create or replace function reveille.why_slice(
    r reveille.run, s reveille.slice, p_subject uuid, p_user uuid)
returns jsonb language sql stable as $$
    select jsonb_build_object(
        'run_id', r.run_id, 'job_name', r.job_name, 'status', r.state,
        'triggered_by', r.triggered_by, 'replay_of', r.replay_of, 'shadow', r.shadow,
        'evaluation_date', r.evaluation_date, 'started_at', r.started_at,
        'subject_id', p_subject, 'slice', s.slice_no, 'topic', s.topic, 'partition', s.partition,
        'rings', s.rings, 'attempt', s.attempt, 'worker', coalesce(s.worker, s.claimed_by),
        'last_error_class', s.last_error_class, 'done_at', s.done_at, 'outcome', o.outcome,
        'error_class', e.error_class, 'error_message', e.error_message,
        'scenarios', case o.outcome when 'evaluated' then (
            select coalesce(jsonb_agg(reveille.why_scenario(r, p_user, p_subject, x.key,
                       coalesce((x.value ->> 'per_subject')::boolean, false)) order by x.key), '[]')
              from jsonb_each(r.scenarios) x) else '[]' end)
      from (values (1)) one
      left join reveille.subject_error e on e.run_id = r.run_id and e.subject_id = p_subject
     cross join lateral (select case
            when s.state = 'unreached' then 'unreached'
            when s.state = 'pending' and s.claimed_by is not null then 'claimed'
            when s.state = 'pending' then 'waiting'
            when p_subject = any(s.skipped_ids) then 'skipped'
            when e.subject_id is not null then 'error'
            else 'evaluated' end as outcome) o
$$;

-- All that happened to one mentor, whichever of its ids is given (its user's, an assignment's, a
-- certification's): {subject_id, kind, mentor_id, runs: [as why_slice, the newest first, 100 at
-- most], notifications, cooldowns, corrections}. p_run: of that run alone. Null: the id is in no
-- host table and in no slice. A user's id is in no answer, also when it was asked for. Reads all slices that still know their
-- subjects (30 days); with p_run only that run's.
create or replace function reveille.why(p_subject uuid, p_run uuid default null) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with who as materialized (
        select * from reveille.subjects_of(p_subject)),
    id as materialized (
        select array_agg(subject_id) || p_subject as all_of from who),
    person as (
        select user_id, mentor_id from who limit 1),
    hit as materialized (
        select r, s, x.subject_id
          from id cross join reveille.slice s join reveille.run r using (run_id)
         cross join lateral (select distinct unnest(s.subject_ids) as subject_id) x
         where (p_run is null or s.run_id = p_run) and s.subject_ids && id.all_of
           and x.subject_id = any(id.all_of)
         order by r.started_at desc, x.subject_id limit 100),
    notified as materialized (
        select n.* from person cross join lateral reveille.notifications_of(person.user_id) n
         where p_run is null or n.run_id = p_run)
    select jsonb_build_object(
        'subject_id', case when not exists (select from who)
                             or exists (select from who where subject_id = p_subject)
                           then p_subject end,
        'kind', coalesce((select kind from who where subject_id = p_subject
                           order by kind <> 'mentor' limit 1),
                         (select 'user' from person), 'unknown'),
        'mentor_id', (select mentor_id from person),
        'runs', (select coalesce(jsonb_agg(reveille.why_slice(r, s, h.subject_id,
                                                             (select user_id from person))
                                           order by (r).started_at desc, h.subject_id), '[]')
                   from hit h),
        'notifications', (select coalesce(jsonb_agg(jsonb_build_object(
                'scenario_type', n.scenario_type,
                'about_id', nullif(n.about_id, '00000000-0000-0000-0000-000000000000'),
                'evaluation_date', n.evaluation_date, 'run_id', n.run_id, 'slice', n.slice_no,
                'created_at', n.created_at, 'external', n.external,
                'cooldown_until', n.cooldown_window_start + n.cooldown_days,
                'waiting_in_outbox', exists (select from reveille.outbox o
                     where o.cooldown_window_start = n.cooldown_window_start
                       and o.user_id = n.user_id and o.scenario_type = n.scenario_type
                       and o.about_id = n.about_id)) order by n.created_at desc), '[]')
             from notified n),
        'cooldowns', (select coalesce(jsonb_agg(jsonb_build_object(
                'scenario_type', c.scenario_type,
                'about_id', nullif(c.about_id, '00000000-0000-0000-0000-000000000000'),
                'until', c.until) order by c.scenario_type, c.about_id), '[]')
             from person join reveille.cooldown c using (user_id)),
        'corrections', (select coalesce(jsonb_agg(jsonb_build_object(
                'assignment_id', o.assignment_id, 'contact_date', o.contact_date,
                'set_at', o.set_at) order by o.set_at), '[]')
             from id join reveille.contact_override o on o.assignment_id = any(id.all_of))
        )
     where exists (select from who) or exists (select from hit)
$$;

-- ---- prune ----------------------------------------------------------------------------------

-- Days of the longest cooldown that any run or scenario has: nothing younger is ever removed.
create or replace function reveille.longest_cooldown() returns int language sql stable as $$
    select greatest((select coalesce(max(cooldown_days), 0) from reveille.scenario_config),
                    (select coalesce(max((x.value ->> 'cooldown_days')::int), 0)
                       from reveille.run cross join lateral jsonb_each(scenarios) x))
$$;

-- Removes up to p_batch rows of one kind, and says how many; 0: there is no more. The kinds, in the
-- order in which they are to be asked for (a run goes when its slices and requests are gone):
--
--   slices, errors       of runs that ended more than 30 days ago (p_older, if that is less): who
--                        was judged. The run keeps its totals, and cannot be proved any more: its
--                        pruned_at says so.
--   requests, runs, notifications, cooldowns, logs, dead_letters
--                        older than p_older. A job's newest slot stays, so that it is not run
--                        again; a notification that waits in the outbox stays.
--
-- Each no younger than the longest cooldown, and a cooldown row only when it ended so long ago.
-- 22023: another kind.
create or replace function reveille.prune(p_kind text, p_older interval, p_batch int default 1000)
returns int language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    least_age constant interval := reveille.longest_cooldown() * interval '1 day';
    v_ids timestamptz := clock_timestamp() - greatest(least(p_older, '30 days'), least_age);
    v_old timestamptz := clock_timestamp() - greatest(p_older, least_age);
    n int;
begin
    case p_kind
    when 'slices' then
        with gone as (
            delete from reveille.slice where (run_id, slice_no) in (
                select s.run_id, s.slice_no from reveille.run r join reveille.slice s using (run_id)
                 where r.finished_at < v_ids limit p_batch)
            returning run_id),
        told as (    -- so that verify_run can tell what is pruned from what is lost
            update reveille.run set pruned_at = clock_timestamp()
             where run_id in (select run_id from gone) and pruned_at is null)
        select count(*) into n from gone;
        return n;
    when 'errors' then
        delete from reveille.subject_error where (run_id, subject_id) in (
            select e.run_id, e.subject_id
              from reveille.run r join reveille.subject_error e using (run_id)
             where r.finished_at < v_ids limit p_batch);
    when 'requests' then
        delete from reveille.trigger_request where id in (
            select t.id from reveille.trigger_request t
             where t.requested_at < v_old and t.state <> 'pending'
               and (t.slot is null or t.slot < (
                    select max(x.slot) from reveille.trigger_request x
                     where x.job_name = t.job_name))
             limit p_batch);
    when 'runs' then
        delete from reveille.run where run_id in (
            select r.run_id from reveille.run r
             where r.finished_at < v_old
               and not exists (select from reveille.slice s where s.run_id = r.run_id)
               and not exists (select from reveille.trigger_request t where t.run_id = r.run_id)
               and not exists (select from reveille.run x where x.replay_of = r.run_id)
             limit p_batch);
    when 'notifications' then
        delete from reveille.notification where
            (cooldown_window_start, user_id, scenario_type, about_id) in (
            select n.cooldown_window_start, n.user_id, n.scenario_type, n.about_id
              from reveille.notification n
             where n.cooldown_window_start < v_old::date
               and not exists (select from reveille.outbox o
                     where o.cooldown_window_start = n.cooldown_window_start
                       and o.user_id = n.user_id and o.scenario_type = n.scenario_type
                       and o.about_id = n.about_id)
             limit p_batch);
    when 'cooldowns' then
        delete from reveille.cooldown where (user_id, scenario_type, about_id) in (
            select user_id, scenario_type, about_id from reveille.cooldown
             where until < v_old::date limit p_batch);
    when 'logs' then
        with a as (
            delete from reveille.scheduler_execution_log where id in (
                select id from reveille.scheduler_execution_log
                 where started_at < v_old limit p_batch)
            returning 1),
        b as (
            delete from reveille.cron_execution_log where id in (
                select id from reveille.cron_execution_log
                 where triggered_at < v_old limit p_batch)
            returning 1)
        select (select count(*) from a) + (select count(*) from b) into n;
        return n;
    when 'dead_letters' then
        delete from reveille.dead_letter where (topic, partition, "offset") in (
            select topic, partition, "offset" from reveille.dead_letter
             where seen_at < v_old limit p_batch);
    else
        raise 'there is nothing called % to prune', p_kind using errcode = '22023';
    end case;
    get diagnostics n = row_count;
    return n;
end $$;

-- The same for what pg_cron and pg_net leave behind, where they are: 'cron_details',
-- 'net_responses'. With the caller's rights, since these are no tables of ours: pg_cron shows a
-- role its own rows only, so cron_runner removes them. It is let into their schema for as long. A
-- warning, and 0, for a caller who may not.
create or replace function reveille.prune_foreign(
    p_kind text, p_older interval, p_batch int default 1000)
returns int language plpgsql as $$
declare
    was name := current_user;
    allowed boolean;
    n int := 0;
begin
    if p_kind = 'cron_details' and to_regclass('cron.job_run_details') is not null then
        allowed := has_schema_privilege('cron_runner', 'cron', 'usage');
        if not allowed then
            grant usage on schema cron to cron_runner;
        end if;
        set local role cron_runner;
        execute 'delete from cron.job_run_details where runid in (select runid
                   from cron.job_run_details where start_time < $1 limit $2)'
          using clock_timestamp() - p_older, p_batch;
        get diagnostics n = row_count;
        execute format('set local role %I', was);
        if not allowed then
            revoke usage on schema cron from cron_runner;
        end if;
    elsif p_kind = 'net_responses' and to_regclass('net._http_response') is not null then
        execute 'delete from net._http_response where ctid = any(array(select ctid
                   from net._http_response where created < $1 limit $2))'
          using clock_timestamp() - p_older, p_batch;
        get diagnostics n = row_count;
    elsif p_kind not in ('cron_details', 'net_responses') then
        raise 'there is nothing called % to prune', p_kind using errcode = '22023';
    end if;
    return n;
exception when insufficient_privilege then
    raise warning '% stay: %', p_kind, sqlerrm;
    return 0;
end $$;

grant execute on function reveille.why(uuid, uuid) to reveille_reader;

reset role;
