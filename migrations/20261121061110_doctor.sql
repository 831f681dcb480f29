-- Is this installation in order? A line a check, each with its mend; nothing here writes. What only
-- a client can see (its clock, Kafka, its environment) is asked by `reveille doctor` itself.

set role reveille_owner;

-- A line of the doctor's: p_wrong is what is wrong; null: nothing is, and p_good is said instead.
create or replace function reveille.finding(
    p_name text, p_wrong text, p_good text, p_mend text)
returns table(name text, ok boolean, found text, mend text)
language sql immutable as $$
    select p_name, p_wrong is null,
           coalesce(case when length(p_wrong) > 400 then left(p_wrong, 399) || '…' else p_wrong end,
                    p_good),
           case when p_wrong is not null then p_mend end
$$;

-- ---- the server and the roles ---------------------------------------------------------------

create or replace function reveille.doctor_server()
returns table(name text, ok boolean, found text, mend text)
language sql stable as $$
    select f.* from reveille.finding('server', (
            select string_agg(w, ', ') from (values
                (case when pg_is_in_recovery() then 'this is a standby' end),
                (case when current_setting('default_transaction_read_only')::boolean
                      then 'default_transaction_read_only is on' end),
                (case when current_setting('server_version_num')::int < 150000
                      then 'PostgreSQL ' || current_setting('server_version') end)) x(w)),
            'PostgreSQL ' || current_setting('server_version') || ', a primary',
            'DATABASE_URL must lead to a primary of PostgreSQL 15 or newer that may be written to')
        f
    union all
    select f.* from reveille.finding('durability', (
            select string_agg(format('%s is %s', x.setting, current_setting(x.setting)), ', ')
              from unnest('{fsync,full_page_writes,synchronous_commit}'::text[]) x(setting)
             where current_setting(x.setting) = 'off'),
            'a commit that was acknowledged survives a crash of the server',
            'turn it on in postgresql.conf (or at the role, the database), then reload; without it '
            || 'the guarantee of one outcome a mentor does not hold') f
$$;

-- Functions without which a role's program does nothing, by name.
create or replace function reveille.doctor_needs()
returns table(role text, function text) language sql immutable as $$
    select r, unnest(f) from (values
        ('reveille_producer', '{request,open_run,plan_page,unpublished_slices,note_published,
          renew_lease,overdue_slices,close_run,cancel_run,catch_up,summary}'::text[]),
        ('reveille_worker', '{ask_share,claim_slice,touch_slices,release_slices,settle_slice,
          judge_slices,note_dead_letter}'),
        ('reveille_reader', '{summary,find_run,verify_run,why_open,why}'),
        ('reveille_app', '{claim_notifications,mark_sent}'),
        ('reveille_invoker', '{request}')) x(r, f)
$$;

create or replace function reveille.doctor_roles()
returns table(name text, ok boolean, found text, mend text)
language sql stable as $$
    with role as (
        select x.name, r.oid, r.rolsuper or r.rolbypassrls or r.rolcreaterole as mighty
          from (select distinct n.role from reveille.doctor_needs() n
                union all values ('reveille_owner'), ('cron_runner')) x(name)
          left join pg_roles r on r.rolname = x.name)
    select f.* from reveille.finding('roles', (
            select string_agg(w, ', ' order by w) from (
                select format('%s is missing', r.name) as w from role r where r.oid is null
                union all
                select format('%s has powers beyond its grants', r.name) from role r where r.mighty
                union all
                select format('%s may not call %s', n.role, n.function)
                  from reveille.doctor_needs() n join role r on r.name = n.role
                 where r.oid is not null and not exists (
                    select from pg_proc p where p.pronamespace = 'reveille'::regnamespace
                       and p.proname = n.function and has_function_privilege(r.oid, p.oid, 'execute'))
                union all
                select format('%s may not use the schema', r.name) from role r
                 where r.oid is not null
                   and not has_schema_privilege(r.oid, 'reveille', 'usage')) x),
            'every role has its rights, and none more power than that',
            'apply the files of migrations/ again as the migrating role (psql -1 -f, in order): they '
            || 'grant what is missing; alter role … nosuperuser nobypassrls nocreaterole') f
    union all
    select f.* from reveille.finding('time-outs', (
            select string_agg(format('%s of %s', s.setting, r.name), ', ' order by r.name, s.setting)
              from role r
             cross join unnest('{statement_timeout,lock_timeout,row_security,
                idle_in_transaction_session_timeout}'::text[]) s(setting)
             where r.name in ('reveille_producer', 'reveille_worker', 'reveille_reader',
                              'cron_runner')
               and r.oid is not null and not exists (
                    select from pg_db_role_setting d cross join unnest(d.setconfig) c
                     where d.setrole = r.oid and d.setdatabase = 0
                       and c like s.setting || '=%' and c not in (s.setting || '=0',
                                                                  s.setting || '=on'))),
            'every role carries its time-outs, and row_security = off',
            'alter role … set …, as 20261121060000_roles.sql has it; or apply that file again') f
$$;

-- ---- the host's tables ----------------------------------------------------------------------

-- Calls each job's functions once, as a run would, with nobody in particular.
create or replace function reveille.doctor_host()
returns table(name text, ok boolean, found text, mend text)
language plpgsql stable as $$
declare
    j reveille.job;
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    params jsonb;
    wrong text[] := '{}';
begin
    for j in select * from reveille.job x order by x.job_name loop
        select coalesce(jsonb_object_agg(c.scenario_type, jsonb_build_object(
                   'cooldown_days', c.cooldown_days, 'per_subject', c.per_subject,
                   'params', c.params)), '{}')
          into params from reveille.scenario_config c where c.scenario_type = any(j.scenario_types);
        begin
            execute format('select count(*) from %s(null, 1, current_date)', j.source::regproc);
            execute format('select count(*) from %s($1)', j.lookup::regproc) using array[nobody];
            if j.judge is not null then
                execute format('select count(*) from %s($1, current_date, $2)', j.judge::regproc)
                  using array[nobody], params;
            end if;
        exception when others then
            wrong := wrong || format('%s: %s', j.job_name, sqlerrm);
        end;
    end loop;
    return query select * from reveille.finding('host tables',
        nullif(array_to_string(wrong, '; '), ''), 'source, lookup and judge of every job answer',
        'set reveille.host_table.rel to where the table is and apply the *_host* migrations again, '
        || 'as a role that owns the tables');
    return query select * from reveille.finding('host indexes', (
            select string_agg(x.index, ', ') from unnest('{reveille_activities_user_date,
                reveille_assignments_active,reveille_mentors_active}'::text[]) x(index)
             where not exists (
                select from pg_class c join pg_index i on i.indexrelid = c.oid
                  join reveille.host_table h on to_regclass(h.rel) = i.indrelid
                 where c.relname = x.index and i.indisvalid)),
        'all there, and valid', 'missing or invalid: drop index if exists …, then apply '
        || '20261121060800_host.sql again; without it a page reads the whole roster');
    return query select * from reveille.finding('contact triggers', (
            select string_agg(x.trigger || case when t.oid is null then ' is missing'
                                                else ' is off, or not for replicas' end, ', ')
              from reveille.host_table h
             cross join unnest('{activities_touch,activities_retouch,activities_untouch}'::text[])
                        x(trigger)
              left join pg_trigger t on t.tgrelid = to_regclass(h.rel) and t.tgname = x.trigger
             where h.name = 'activities' and t.tgenabled is distinct from 'A'),
        'activities move last_contact_date, on replicas too',
        'apply the *_host* migrations again, or: alter table … enable always trigger …');
end $$;

-- ---- jobs, firings, runs --------------------------------------------------------------------

create or replace function reveille.doctor_jobs()
returns table(name text, ok boolean, found text, mend text)
language sql stable as $$
    with job as (
        select j.*, reveille.slot_of(j.schedule, clock_timestamp()) as slot,
               j.enabled_on is distinct from reveille.here() as copied
          from reveille.job j)
    select f.* from reveille.finding('jobs', (
            select string_agg(case when j.copied
                       then format('%s was enabled in another database: this one is a copy',
                                   j.job_name)
                       else format('%s is paused since %s: %s', j.job_name,
                                   to_char(j.paused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'),
                                   coalesce(j.paused_reason, 'no reason given')) end,
                   '; ' order by j.job_name)
              from job j where j.copied or j.paused_at is not null),
            (select format('%s, none is paused', count(*)) from job),
            'reveille jobs resume JOB, if it shall run here') f
    union all
    select f.* from reveille.finding('scenarios', (
            select string_agg(j.job_name, ', ' order by j.job_name) || ': none of its scenarios is '
                   || 'enabled' from job j
             where cardinality(j.scenario_types) > 0 and not exists (
                select from reveille.scenario_config c
                 where c.enabled and c.scenario_type = any(j.scenario_types))),
            'every job has one to judge by',
            'update reveille.scenario_config set enabled = true where scenario_type = …') f
    union all
    select f.* from reveille.finding('firings', (
            select string_agg(format('%s, %s: %s', j.job_name,
                       to_char(j.slot at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'),
                       case when t.id is null then 'nobody rang'
                            when t.state = 'opened' then 'its run failed'
                            else t.state || coalesce(' (' || t.reason || ')', '') end),
                   '; ' order by j.job_name)
              from job j
              left join reveille.trigger_request t on t.job_name = j.job_name and t.slot = j.slot
              left join reveille.run r on r.run_id = t.run_id
             where j.paused_at is null and not j.copied and j.slot > j.enabled_since
               and j.slot < clock_timestamp() - interval '5 min'
               and (t.id is null or t.state in ('missed', 'refused') or r.state = 'failed')),
            'every job''s latest slot was rung and opened',
            'reveille run JOB makes it up now; is a producer up (it catches up by itself), does '
            || 'cron.job have the row, what does the run''s error_message say') f
    union all
    select f.* from reveille.finding('requests', (
            select format('%s waiting for more than a minute, the oldest since %s', count(*),
                       to_char(min(t.requested_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'))
              from reveille.trigger_request t
             where t.state = 'pending' and t.requested_at < clock_timestamp() - interval '1 min'
               and not exists (select from reveille.run r
                     where r.job_name = t.job_name and r.replay_of is null
                       and r.state in ('planning', 'running'))
            having count(*) > 0),
            'none waits for a producer', 'start reveille-producer, or look at its log') f
    union all
    select f.* from reveille.finding('runs', (
            select string_agg(format('%s of %s is open for %s', left(r.run_id::text, 8), r.job_name,
                       date_trunc('second', clock_timestamp() - r.started_at)), ', ')
              from reveille.run r join job j using (job_name)
             where r.state in ('planning', 'running')
               and clock_timestamp() - r.started_at > j.alert_after),
            'none is open for longer than its job''s alert_after',
            'reveille why-open RUN tells which slices, and what the engine is at') f
$$;

-- ---- workers, engines, what waits -----------------------------------------------------------

create or replace function reveille.doctor_fleet()
returns table(name text, ok boolean, found text, mend text)
language sql stable as $$
    with live as (
        select s.* from reveille.engine_share s
         where s.worker <> '' and s.until > clock_timestamp()),
    used as (
        select distinct j.engine from reveille.job j where j.paused_at is null)
    select f.* from reveille.finding('workers', (
            select string_agg(format('none for engine %s', u.engine), ', ' order by u.engine)
              from used u where not exists (select from live l where l.engine = u.engine)),
            (select format('%s alive', count(distinct worker)) from live),
            'start reveille-worker with that engine in WORKER_ENGINES, or pause its jobs') f
    union all
    select f.* from reveille.finding('engines', (
            select string_agg(case when e.closed_since is not null
                       then format('%s is closed since %s: nearly every call failed', e.engine,
                                   to_char(e.closed_since at time zone 'UTC', 'HH24:MI UTC'))
                       else format('%s has asked for a pause until %s', e.engine,
                                   to_char(e.paused_until at time zone 'UTC', 'HH24:MI:SS UTC'))
                       end, ', ' order by e.engine)
              from reveille.engine e
             where e.closed_since is not null or e.paused_until > clock_timestamp()),
            (select string_agg(format('%s %s/%s', engine, current, concurrency), ', ' order by engine)
               from reveille.engine),
            'look at the engine itself; it is probed, and opened again by the first answer') f
    union all
    select f.* from reveille.finding('shares', (
            select string_agg(w, ', ') from (
                select format('%s has lent %s of %s calls', e.engine, sum(l.granted), e.concurrency)
                  from reveille.engine e join live l using (engine)
                 group by e.engine, e.concurrency
                having sum(l.granted) > e.concurrency
                union all
                select format('%s has lost its shares', e.engine) from reveille.engine e
                 where not exists (select from reveille.engine_share s
                                    where s.engine = e.engine and s.worker = '')) x(w)),
            'no engine has lent more than it may',
            'after a crash of the server, or with a limit just lowered, it heals within 10 s; else '
            || 'end the workers and start them again') f
    union all
    select f.* from reveille.finding('outbox', (
            select format('%s rows wait, the oldest since %s', count(*), min(o.cooldown_window_start))
              from reveille.outbox o where o.cooldown_window_start < current_date - 1
            having count(*) > 0),
            'nothing waits for more than a day',
            'does the application call reveille.claim_notifications and mark_sent?') f
    union all
    select f.* from reveille.finding('secrets', (
            select 'SCHEDULER_SECRET_NEXT is in use, the old one for a day not any more'
              from reveille.secret_use n
              left join reveille.secret_use o on o.slot = 'current'
             where n.slot = 'next' and n.last_used_at > coalesce(o.last_used_at, '-infinity')
                                                        + interval '1 day'),
            (select coalesce('last used: ' || string_agg(format('%s %s', slot,
                        to_char(last_used_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC')), ', '
                        order by slot), 'none was used yet') from reveille.secret_use),
            'end the rotation: make it SCHEDULER_SECRET and empty SCHEDULER_SECRET_NEXT') f
    union all
    select f.* from reveille.finding('retention', (
            select format('the oldest run is of %s', min(r.started_at)::date) from reveille.run r
             where r.finished_at < clock_timestamp() - interval '430 days' having count(*) > 0),
            'no run is older than 430 days', 'reveille prune, best once a month') f
$$;

-- ---- pg_cron --------------------------------------------------------------------------------

-- ok is null where there is no pg_cron: everything else rings without it.
create or replace function reveille.doctor_cron()
returns table(name text, ok boolean, found text, mend text)
language plpgsql stable as $$
declare
    wrong text;
begin
    -- not to_regclass: that is refused without USAGE on the schema
    if not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = 'cron' and c.relname = 'job') then
        return query select 'cron rows', null::boolean, 'pg_cron is not in this database',
            'jobs are rung by HTTP, by hand and by the producer''s catch-up; for pg_cron: create '
            || 'extension pg_cron, then apply the cron migration again';
    elsif not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                       where n.nspname = 'reveille_cron' and p.proname = 'drift') then
        return query select * from reveille.finding('cron rows', 'no job is registered', null,
            'reveille migrate');
    else
        begin
            execute 'select string_agg(d::text, ''; '') from reveille_cron.drift() d' into wrong;
        exception when others then
            wrong := sqlerrm;
        end;
        return query select * from reveille.finding('cron rows', wrong,
            'every job''s row is registered and active, with its schedule',
            'reveille jobs set JOB schedule=… as the migrating role registers it again');
    end if;
    return query select * from reveille.finding('cron log', (
            select string_agg(format('%s at %s: %s%s', l.job_name,
                       to_char(l.triggered_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'),
                       l.status, coalesce(', HTTP ' || l.http_status, '')), '; ' order by l.job_name)
              from (select distinct on (c.job_name) c.* from reveille.cron_execution_log c
                     order by c.job_name, c.triggered_at desc, c.id desc) l
             where l.status in ('failed', 'timed_out')),
        'no cron row''s last firing failed',
        'the request is kept all the same; for the POST: the URL and the secret in Vault, and is '
        || 'the producer to be reached from the database?');
end $$;

-- ---- the whole ------------------------------------------------------------------------------

-- Every check that the database can make of itself, in the order of their weight. Any of our
-- roles may ask.
create or replace function reveille.doctor()
returns table(name text, ok boolean, found text, mend text)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select * from reveille.doctor_server()
    union all select * from reveille.doctor_roles()
    union all select * from reveille.doctor_host()
    union all select * from reveille.doctor_cron()
    union all select * from reveille.doctor_jobs()
    union all select * from reveille.doctor_fleet()
$$;

-- What Kafka is held against: an engine's topic, the partitions it shall have, and whether anybody
-- works on it.
create or replace function reveille.doctor_engines()
returns table(engine text, partitions int, workers int)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select e.engine, e.topic_partitions, (
               select count(*)::int from reveille.engine_share s
                where s.engine = e.engine and s.worker <> '' and s.until > clock_timestamp())
      from reveille.engine e order by e.engine
$$;

grant execute on function reveille.doctor(), reveille.doctor_engines()
    to reveille_producer, reveille_worker, reveille_reader;

reset role;

-- Which migrations are recorded here; the history belongs to the migrating role, and so does this.
create or replace function reveille.applied_migrations() returns setof text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        return query execute 'select version::text from supabase_migrations.schema_migrations';
    end if;
end $$;
revoke all on function reveille.applied_migrations() from public;
grant execute on function reveille.applied_migrations()
    to reveille_producer, reveille_worker, reveille_reader;
