-- Which rows pg_cron has: one a cron_name of reveille.job, derived from there, owned by
-- cron_runner, and never written by hand. Also what an operator sets in the registry, since a
-- schedule that is set is one that pg_cron has to be told. The runbook stands in the file before;
-- what a row calls, too.
--
-- Telling pg_cron needs a role that is a member of cron_runner and may let it into schema cron for
-- as long: the migrating role. No superuser; and afterwards cron_runner cannot touch its rows.

set role reveille_owner;

-- What was seeded from the environment, so that it is seeded once.
create table if not exists reveille_cron.seeded(
    job_name text primary key,
    at       timestamptz not null default clock_timestamp()
);

-- Whether this database is the one that has pg_cron. Its catalogue, never its version, and not by
-- to_regclass: that is refused without USAGE on the schema.
create or replace function reveille_cron.has_pg_cron() returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname = 'cron' and p.proname = 'schedule'
           and p.proargnames @> '{job_name,schedule,command}'::text[])
$$;

-- ---- telling pg_cron ------------------------------------------------------------------------

-- cron_runner's rows of cron.job, which nobody else may see: a function of its own, closed to
-- itself, that is parsed now, while it may look into the schema, and needs no USAGE later. Called
-- by register in that moment; the caller is allowed to be cron_runner.
create or replace function reveille_cron.make_rows_visible() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    was constant text := current_setting('role');
begin
    grant create on schema reveille_cron to cron_runner;
    set local role cron_runner;
    execute $f$
        create or replace function reveille_cron.cron_rows()
        returns table(cron_name text, schedule text, command text, active boolean, here boolean)
        language sql stable security definer
        set search_path = pg_catalog, pg_temp set row_security = on
        begin atomic
            select j.jobname::text, j.schedule, j.command, j.active,
                   j.database = current_database()
              from cron.job j where j.jobname is not null;
        end
    $f$;
    revoke all on function reveille_cron.cron_rows() from public, cron_runner;
    grant execute on function reveille_cron.cron_rows() to reveille_owner;
    perform set_config('role', was, true);
    revoke create on schema reveille_cron from cron_runner;
end $$;

-- Brings pg_cron's row p_cron_name in line with the registry: there, at its jobs' schedule; or
-- gone, when no job has that cron_name. Whether a row is switched off (cron.alter_job) stays as it
-- is. False: there is no pg_cron here. RV409: its jobs differ in their schedule. 42501: not the
-- migrating role, or that may not let cron_runner in.
create or replace function reveille_cron.register(p_cron_name text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    was constant text := current_setting('role');
    schedules text[];
    there boolean;
begin
    if not reveille_cron.has_pg_cron() then
        return false;
    end if;
    perform reveille.one_schedule(p_cron_name);
    schedules := array(select distinct j.schedule from reveille.job j
                        where j.cron_name = p_cron_name);
    grant usage on schema cron to cron_runner;
    if to_regprocedure('reveille_cron.cron_rows()') is null then
        perform reveille_cron.make_rows_visible();
    end if;
    set local role cron_runner;
    if schedules <> '{}' then
        execute 'select cron.schedule($1, $2, $3)'
          using p_cron_name, schedules[1], format('select reveille_cron.ring(%L)', p_cron_name);
    else
        execute 'select exists (select from cron.job where jobname = $1)' into there
          using p_cron_name;
        if there then    -- unschedule raises where there is none
            execute 'select cron.unschedule($1)' using p_cron_name;
        end if;
    end if;
    perform set_config('role', was, true);
    revoke usage on schema cron from cron_runner;
    return true;
end $$;

-- Registers every row that the registry has, and removes those of ours that it has not any more. A
-- sentence for each that it could not; none: all is well, or there is no pg_cron here. Idempotent.
create or replace function reveille_cron.register_all() returns setof text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
begin
    perform reveille_cron.let_in();
    for v_name in
        select j.cron_name from reveille.job j where j.cron_name is not null
        union
        select d.cron_name from reveille_cron.differences() d where d.problem like 'is left %'
        order by 1
    loop
        begin
            perform reveille_cron.register(v_name);
        exception
            when sqlstate 'RV409' then
                return next sqlerrm;
            when insufficient_privilege then
                return next format('pg_cron is not told of %s (%s); as whom it belongs to: grant '
                    'usage on schema cron to %I with grant option; then: select * from '
                    'reveille_cron.register_all()', v_name, sqlerrm, current_user);
        end;
    end loop;
end $$;

-- ---- is pg_cron in line -------------------------------------------------------------------

-- Where pg_cron and the registry differ: nothing where there is no pg_cron.
create or replace function reveille_cron.differences() returns table(cron_name text, problem text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
begin
    if not reveille_cron.has_pg_cron() then
        return;
    end if;
    if to_regprocedure('reveille_cron.cron_rows()') is null then
        return query select distinct j.cron_name, 'is not registered with pg_cron'
            from reveille.job j where j.cron_name is not null order by 1;
        return;
    end if;
    return query execute $q$
        with due as (
            select j.cron_name, min(j.schedule) as schedule,
                   count(distinct j.schedule) as schedules,
                   string_agg(j.job_name, ', ' order by j.job_name) as jobs
              from reveille.job j where j.cron_name is not null group by j.cron_name),
        compared as (
            select coalesce(d.cron_name, r.cron_name) as cron_name,
                   case when d.cron_name is null then
                            case when r.command like 'select reveille\_cron.ring(%'
                                 then 'is left in pg_cron, but no job has it' end
                        when d.schedules > 1 then format('rings %s at different times', d.jobs)
                        when r.cron_name is null then 'is not registered with pg_cron'
                        when not r.active then 'is switched off in pg_cron'
                        when not r.here then 'is for another database in pg_cron'
                        when r.schedule <> d.schedule then
                            format('fires at %s, but %s is due at %s', r.schedule, d.jobs,
                                   d.schedule)
                        when r.command <> format('select reveille_cron.ring(%L)', d.cron_name)
                            then 'has another command in pg_cron'
                   end as problem
              from due d full join reveille_cron.cron_rows() r using (cron_name))
        select c.cron_name, c.problem from compared c where c.problem is not null order by 1
    $q$;
end $$;

-- The same as sentences, each beginning with the cron row's name.
create or replace function reveille_cron.drift() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select d.cron_name || ' ' || d.problem from reveille_cron.differences() d
$$;

-- ---- what an operator sets ------------------------------------------------------------------

-- RV409, in words for an operator, when the jobs of a cron row differ in their schedule.
create or replace function reveille.one_schedule(p_cron_name text) returns void
language plpgsql as $$
declare
    jobs text;
begin
    select string_agg(format('%s (%s)', j.job_name, j.schedule), ', ' order by j.job_name) into jobs
      from reveille.job j where j.cron_name = p_cron_name
    having count(distinct j.schedule) > 1;
    if jobs is not null then
        raise '% rings % at one time: set the schedule of % itself, or give a job another cron_name',
              p_cron_name, jobs, p_cron_name using errcode = 'RV409';
    end if;
end $$;

-- A job's row as it would be with these settings; 22023 with what is wrong with one of them.
create or replace function reveille.job_with(p_job reveille.job, p_settings jsonb)
returns reveille.job language plpgsql stable as $$
declare
    given jsonb;
    wanted reveille.job;
begin
    select jsonb_object_agg(e.key, case
               when e.value = '""' then 'null'
               when e.key = 'scenario_types' then to_jsonb(string_to_array(e.value #>> '{}', ','))
               else e.value end)
      into given from jsonb_each(p_settings) e;
    wanted := jsonb_populate_record(p_job, coalesce(given, '{}'));
    if exists (select from unnest(wanted.scenario_types) t
                where t <> all(p_job.scenario_types)
                  and t not in (select c.scenario_type from reveille.scenario_config c)) then
        raise 'scenario_types has one that is not in scenario_config' using errcode = '22023';
    end if;
    if least(wanted.alert_after, wanted.catchup_window) <= interval '0' then
        raise 'alert_after and catchup_window are more than nothing' using errcode = '22023';
    end if;
    return wanted;
end $$;

-- What is wrong with these settings before any is looked at; null: nothing.
create or replace function reveille.settings_problem(
    p_settings jsonb, p_of_a_row boolean, p_name text)
returns text language plpgsql immutable as $$
declare
    settable constant text[] := '{schedule,cron_name,time_zone,engine,scenario_types,page_size,
        deadline,alert_after,catchup_window,component}';
    k text;
begin
    for k in select x from jsonb_object_keys(p_settings) x order by 1 loop
        if k <> all(settable) then
            return format('%s is not one of %s', left(k, 40), array_to_string(settable, ', '));
        elsif p_of_a_row and k <> 'schedule' then
            return p_name || ' is a cron row: it has a schedule, and nothing else to set';
        end if;
    end loop;
    return null;
end $$;

-- Sets columns of a job's row: {"schedule" | "cron_name" | "time_zone" | "engine" |
-- "scenario_types" | "page_size" | "deadline" | "alert_after" | "catchup_window" | "component":
-- text}, scenario_types with commas, an empty text for null. p_name may be a cron row's name: then
-- its schedule is set, for all its jobs. known: there is such a job; problem: what is wrong, and
-- nothing was changed; else cron_rows are those to be registered anew. A new schedule is in force
-- from now on: what would have been due by it earlier is not made up for. Leaves a row in audit.
create or replace function reveille.set_job(p_name text, p_settings jsonb, p_by text default null)
returns table(known boolean, problem text, cron_rows text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    of_a_row constant boolean := not exists (
        select from reveille.job j where j.job_name = p_name);
    was reveille.job;
    wanted reveille.job;
    violated text;
    empty text;
begin
    known := false;
    cron_rows := '{}';
    problem := reveille.settings_problem(p_settings, of_a_row, p_name);
    for was in
        select j.* from reveille.job j
         where p_name = case when of_a_row then j.cron_name else j.job_name end
         order by j.job_name for no key update
    loop
        known := true;
        exit when problem is not null;
        wanted := reveille.job_with(was, p_settings);
        update reveille.job j
           set schedule = wanted.schedule, cron_name = wanted.cron_name, engine = wanted.engine,
               time_zone = wanted.time_zone, scenario_types = wanted.scenario_types,
               page_size = wanted.page_size, deadline = wanted.deadline,
               alert_after = wanted.alert_after, catchup_window = wanted.catchup_window,
               component = wanted.component,
               enabled_since = case when wanted.schedule = was.schedule then j.enabled_since
                                    else clock_timestamp() end
         where j.job_name = was.job_name;
        if wanted.schedule <> was.schedule or wanted.cron_name is distinct from was.cron_name then
            cron_rows := cron_rows || array_remove(array[was.cron_name, wanted.cron_name], null);
        end if;
        perform reveille.note(p_by, 'set_job', was.job_name, p_settings);
    end loop;
    cron_rows := array(select distinct x from unnest(cron_rows) x order by x);
    perform reveille.one_schedule(x) from unnest(cron_rows) x;
    return next;
exception when data_exception or integrity_constraint_violation or sqlstate 'RV409' then
    get stacked diagnostics violated = constraint_name, empty = column_name;
    cron_rows := '{}';
    problem := case violated
        when 'job_schedule' then 'this schedule never fires'
        when 'job_engine_fkey' then 'there is no such engine'
        when 'job_judge' then 'engine sql needs a judge, and this job has none'
        when 'job_deadline_check' then 'deadline is above 0 and below 24 hours'
        when 'job_page_size_check' then 'page_size is from 1 to 1000'
        else case when empty <> '' then empty || ' cannot be empty' else left(sqlerrm, 300) end end;
    return next;
end $$;

-- set_job, and pg_cron told of it, both or neither: 42501 from a role that may set but not
-- register.
create or replace function reveille_cron.set_job(
    p_name text, p_settings jsonb, p_by text default null)
returns table(known boolean, problem text)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_rows text[];
begin
    select s.known, s.problem, s.cron_rows into known, problem, v_rows
      from reveille.set_job(p_name, p_settings, p_by) s;
    perform reveille_cron.register(x) from unnest(v_rows) x;
    return next;
end $$;

-- ---- the environment's seed -----------------------------------------------------------------

-- Seeds the job reminder_eval once, when its row is new: its schedule, and in Vault the address of
-- its own POST (SCHEDULER_URL_REMINDER_EVAL, unless it is there). Null: not given. Afterwards the
-- row and Vault hold, and an environment that differs is only spoken of. Sentences for the
-- operator. With the caller's rights, the migrating role's. 22023: no schedule, or no URL.
create or replace function reveille_cron.seed(p_schedule text, p_url text) returns setof text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    job constant text := 'reminder_eval';
    url_name constant text := 'SCHEDULER_URL_REMINDER_EVAL';
    has_vault constant boolean := exists (
        select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname = 'vault' and p.proname = 'create_secret');
    first boolean;
    in_force text;
    v_problem text;
begin
    select j.schedule into in_force from reveille.job j where j.job_name = job;
    if not found then
        return;
    end if;
    if p_url !~ '^https?://[!-~]+$' then
        raise 'REMINDER_FUNCTION_URL is not a URL' using errcode = '22023';
    end if;
    insert into reveille_cron.seeded(job_name) values (job) on conflict do nothing;
    first := found;
    if first and p_schedule <> in_force then
        select s.problem into v_problem
          from reveille_cron.set_job(job, jsonb_build_object('schedule', p_schedule), 'migrate') s;
        if v_problem is not null then
            raise 'REMINDER_CRON_EXPRESSION: %', v_problem using errcode = '22023';
        end if;
    elsif p_schedule <> in_force then
        return next format('REMINDER_CRON_EXPRESSION only seeds: %s stays in force; to change it: '
            'reveille jobs set %s schedule=''%s''', in_force, job, p_schedule);
    end if;
    if p_url is null then
        return;
    elsif not has_vault then
        return next 'REMINDER_FUNCTION_URL is not used: there is no Vault here, and no POST; '
            'NOTIFY rings';
        return;
    end if;
    execute 'select decrypted_secret from vault.decrypted_secrets where name = $1'
       into in_force using url_name;
    if in_force is null and first then
        execute 'select vault.create_secret($1, $2)' using p_url, url_name;
    elsif in_force is distinct from p_url then
        return next format('REMINDER_FUNCTION_URL only seeds: Vault''s %s holds', url_name);
    end if;
end $$;

revoke all on function reveille_cron.has_pg_cron(), reveille_cron.make_rows_visible(),
    reveille_cron.let_in(), reveille_cron.register(text), reveille_cron.register_all(),
    reveille_cron.differences(), reveille_cron.drift(), reveille_cron.seed(text, text),
    reveille_cron.set_job(text, jsonb, text) from public;
grant execute on function reveille_cron.drift() to reveille_reader, reveille_producer;
reset role;

do $$
declare
    problem text;
begin
    if not reveille_cron.has_pg_cron() then
        raise notice 'there is no pg_cron in this database: jobs are rung over HTTP, by hand and '
            'by the producer''s watchdog; after create extension pg_cron: select * from '
            'reveille_cron.register_all()';
    end if;
    for problem in select * from reveille_cron.register_all() loop
        raise warning '%', problem;
    end loop;
end $$;
