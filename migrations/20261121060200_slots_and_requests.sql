-- Slots (when a job is due) and trigger requests (that somebody asked for it). What becomes of a
-- request is the producer's: open_run, in the next file.

set role reveille_owner;

-- ---- slots ----------------------------------------------------------------------------------

-- The values of one field of a cron expression, within lo … hi; names stand for lo, lo + 1, …
-- pg_cron's grammar: lists, ranges, steps on * and on ranges. What pg_cron lets pass as junk (*x,
-- 1#2, 30-10, fri-mon) is refused: 22023, or 22P02 for a word that is neither name nor number.
create or replace function reveille.cron_field(p text, lo int, hi int, names text[])
returns int[] language plpgsql immutable as $$
declare
    item text;
    m text[];       -- first, last, step
    a int;
    b int;
    r int[] := '{}';
begin
    foreach item in array string_to_array(lower(p), ',') loop
        m := regexp_match(item,
            '^(?:\*|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/([1-9][0-9]{0,2}))?$');
        if m is null or (m[1] is not null and m[2] is null and m[3] is not null) then
            raise 'cron field "%" is not understood', p using errcode = '22023';
        end if;
        a := case when m[1] is null then lo
                  else coalesce(array_position(names, m[1]) - 1 + lo, m[1]::int) end;
        b := case when m[1] is null then hi
                  when m[2] is null then a
                  else coalesce(array_position(names, m[2]) - 1 + lo, m[2]::int) end;
        if a < lo or b > hi or a > b then
            raise 'cron field "%" is out of range', p using errcode = '22023';
        end if;
        r := r || array(select generate_series(a, b, coalesce(m[3]::int, 1)));
    end loop;
    return r;
end $$;

-- The latest fire time of a schedule (five fields, UTC, as pg_cron reads it) that is not after
-- p_at; null for one that never fires (30 February). Anybody who knows a job may call it. A firing,
-- a POST and the watchdog all ask it, so that they mean the same run.
create or replace function reveille.slot_of(p_schedule text, p_at timestamptz)
returns timestamptz language plpgsql immutable strict as $$
declare
    f text[] := regexp_split_to_array(btrim(p_schedule), '\s+');
    minutes int[];
    hours int[];
    days int[];
    months int[];
    weekdays int[];
    t timestamp := date_trunc('minute', p_at at time zone 'UTC');
    d date;
    s timestamp;
begin
    if cardinality(f) <> 5 then
        raise 'a schedule has five fields, not %', cardinality(f) using errcode = '22023';
    end if;
    minutes := reveille.cron_field(f[1], 0, 59, '{}');
    hours := reveille.cron_field(f[2], 0, 23, '{}');
    days := reveille.cron_field(f[3], 1, 31, '{}');
    months := reveille.cron_field(f[4], 1, 12,
        '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
    weekdays := reveille.cron_field(f[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat,sun}');
    if 7 = any(weekdays) then
        weekdays := weekdays || 0;
    end if;
    for back in 0..3000 loop    -- 29 February comes after at most 8 years
        d := t::date - back;
        continue when not extract(month from d)::int = any(months);
        -- as cron does: with a star in one of the two, both must hold; else either
        continue when not case
            when f[3] like '*%' or f[5] like '*%'
            then extract(day from d)::int = any(days) and extract(dow from d)::int = any(weekdays)
            else extract(day from d)::int = any(days) or extract(dow from d)::int = any(weekdays)
            end;
        select max(x.at) into s
          from (select d + make_interval(hours => h, mins => m) as at
                  from unnest(hours) h, unnest(minutes) m) x
         where x.at <= t;
        if s is not null then
            return s at time zone 'UTC';
        end if;
    end loop;
    return null;
end $$;

-- A schedule that nobody can read would stop the watchdog for all jobs: no row has one.
do $$
begin
    if not exists (select from pg_constraint where conname = 'job_schedule'
                      and conrelid = 'reveille.job'::regclass) then
        alter table reveille.job add constraint job_schedule
            check (reveille.slot_of(schedule, timestamptz '2024-03-01 00:00Z') is not null);
    end if;
end $$;

-- Which database this is, so that a restored dump knows that it is one. A physical copy keeps both
-- halves: only REVEILLE_ENV tells that one apart.
create or replace function reveille.here() returns text language sql stable as $$
    select system_identifier || '/' || current_database() from pg_control_system()
$$;

-- Adding a job is adding a row: it is enabled from then on, in the database that it is added to.
alter table reveille.job
    alter enabled_since set default clock_timestamp(),
    alter enabled_on set default reveille.here();

-- ---- requests -------------------------------------------------------------------------------

-- What is wrong with a request's parameters, in words for whoever asked; null: nothing.
-- {"evaluation_date"?, "scenario_types"?, "shadow"?, "subjects"?}, of these types and no others:
-- a misspelt parameter must not become a run of today's date.
create or replace function reveille.params_problem(p_job reveille.job, p_params jsonb)
returns text language plpgsql stable as $$
declare
    k text;
    v jsonb;
begin
    if jsonb_typeof(p_params) <> 'object' then
        return 'the parameters are not an object';
    end if;
    for k, v in select * from jsonb_each(p_params) loop
        if k = 'evaluation_date' then
            if v #>> '{}' !~ '^\d{4}-\d{2}-\d{2}$' or jsonb_typeof(v) <> 'string' then
                return 'evaluation_date is not a date (YYYY-MM-DD)';
            end if;
            if (v #>> '{}')::date > (clock_timestamp() at time zone p_job.time_zone)::date then
                return 'evaluation_date is in the future';
            end if;
        elsif k = 'scenario_types' then
            if jsonb_typeof(v) <> 'array' or v = '[]' then
                return 'scenario_types is not a list of scenarios';
            end if;
            if not v <@ to_jsonb(p_job.scenario_types) then
                return 'scenario_types has one that is not of this job';
            end if;
        elsif k = 'shadow' then
            if jsonb_typeof(v) <> 'boolean' then
                return 'shadow is neither true nor false';
            end if;
        elsif k = 'subjects' then
            if jsonb_typeof(v) <> 'array' or jsonb_array_length(v) not between 1 and 1000 then
                return 'subjects is not a list of 1 to 1000 ids';
            end if;
            perform x::uuid from jsonb_array_elements_text(v) x;
        else
            return 'unknown parameter ' || left(k, 40);
        end if;
    end loop;
    return null;
exception
    when invalid_text_representation then
        return 'subjects has something that is not an id';
    when datetime_field_overflow or invalid_datetime_format then
        return 'evaluation_date is not a day of the calendar';
end $$;

-- Asks for a job; pg_cron's command, the HTTP listener, the CLI and catch_up all end here.
-- A request with parameters, or from 'manual', has no slot; every other one asks for the job's
-- current slot, and ringing twice is one request. A failed, missed or refused slot can be rung
-- again, however old it is. p_key: the same key of the same job is the same request.
-- state: pending · opened · coalesced · missed · refused (with a reason) as in trigger_request, or
-- 'unknown': no such job, id null, and a failed row in the execution log (job_name '?' if it could
-- be none: whoever may ring must not be able to leave a text in our tables).
-- Leans on unique (job, slot) and unique (job, key). Wakes the producers when it leaves a request
-- pending: NOTIFY reveille_trigger. A slot that was opened already wakes nobody.
create or replace function reveille.request(
    p_job text, p_source text, p_params jsonb default '{}', p_key text default null)
returns table(id bigint, state text, run_id uuid)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    j reveille.job;
    params jsonb := coalesce(nullif(p_params, 'null'), '{}');
    v_slot timestamptz;
    v_reason text;
begin
    select * into j from reveille.job where job_name = p_job;
    if not found then
        insert into reveille.scheduler_execution_log(job_name, started_at, finished_at, status,
                                                     error_message)
            values (case when p_job ~ '^[a-z_]{1,40}$' then p_job else '?' end,   -- not any text
                    clock_timestamp(), clock_timestamp(), 'failed', 'unknown job');
        return query select null::bigint, 'unknown', null::uuid;
        return;
    end if;
    return query select t.id, t.state, t.run_id from reveille.trigger_request t
        where t.job_name = p_job and t.idempotency_key = p_key;
    if found then
        return;
    end if;
    if p_source <> 'manual' and params = '{}' then
        v_slot := reveille.slot_of(j.schedule, clock_timestamp());
        -- Who rings for what is open, or was rung for within the last second, waits for no lock and no
        -- disk, however many there are: `on conflict` locks the row, for one after the other, each
        -- until its commit is on disk.
        return query select t.id, t.state, t.run_id
            from reveille.trigger_request t left join reveille.run r using (run_id)
            where t.job_name = p_job and t.slot = v_slot
              and (t.state = 'opened' and r.state <> 'failed'
                   or t.state = 'pending' and t.requested_at > clock_timestamp() - interval '1 s');
        if found then
            return;
        end if;
    end if;
    v_reason := case
        when j.enabled_on is distinct from reveille.here()
        then 'this is a copy of the database; resume the job to run it here'
        when j.paused_at is not null then 'the job is paused'
        else reveille.params_problem(j, params) end;
    return query
        insert into reveille.trigger_request as t(job_name, slot, source, params, idempotency_key,
                                                  state, reason)
        values (p_job, v_slot, p_source, params, p_key,
                case when v_reason is null then 'pending' else 'refused' end, v_reason)
        on conflict (job_name, slot) do update
            set state = excluded.state, reason = null, run_id = null,
                source = case t.state when 'pending' then t.source else excluded.source end,
                tries = t.tries + (t.state = 'opened')::int, requested_at = excluded.requested_at
            where excluded.state = 'pending'
              and (t.state in ('pending', 'refused', 'missed')
                   or exists (select from reveille.run r
                               where r.run_id = t.run_id and r.state = 'failed'))
        returning t.id, t.state, t.run_id;
    if not found then
        return query select t.id, t.state, t.run_id from reveille.trigger_request t
            where t.job_name = p_job and t.slot = v_slot;
    elsif v_reason is null then
        perform pg_notify('reveille_trigger', '');
    end if;
exception when unique_violation then    -- the same key twice at one time: the other one was first
    return query select t.id, t.state, t.run_id from reveille.trigger_request t
        where t.job_name = p_job and t.idempotency_key = p_key;
end $$;

-- What has become of a request: its state and why, its run if it has one, and while it is pending
-- the active run that it waits behind. No row: no such request.
create or replace function reveille.request_status(p_id bigint)
returns table(state text, reason text, run_id uuid, behind uuid)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select t.state, t.reason, t.run_id, r.run_id
      from reveille.trigger_request t
      left join reveille.run r
        on t.state = 'pending' and r.job_name = t.job_name and r.replay_of is null
       and r.state in ('planning', 'running')
     where t.id = p_id
$$;

-- What the watchdog is to ask for of a job: no row, or its newest slot. missed: nobody rang for it
-- nor for a newer one, after two minutes of grace. failed: its run failed 1, 5 or 15 minutes ago, by
-- the tries it has had; after these no more. Only slots after enabled_since and younger than
-- catchup_window, never of a paused job or on a copy.
create or replace function reveille.due_slot(p_job reveille.job)
returns table(slot timestamptz, what text) language sql stable as $$
    select s.slot, case when t.id is null then 'missed' else 'failed' end
      from (select reveille.slot_of(p_job.schedule, clock_timestamp()) as slot,
                   reveille.slot_of(p_job.schedule, clock_timestamp() - interval '2 min') as graced,
                   clock_timestamp() - p_job.catchup_window as oldest) s
      left join reveille.trigger_request t
        on t.job_name = p_job.job_name and t.slot = s.slot
      left join reveille.run r on r.run_id = t.run_id
     where p_job.paused_at is null and p_job.enabled_on = reveille.here()
       and case when t.id is null
                then s.graced > p_job.enabled_since and s.graced > s.oldest
                     and not exists (select from reveille.trigger_request x
                                      where x.job_name = p_job.job_name and x.slot >= s.graced)
                else s.slot > p_job.enabled_since and s.slot > s.oldest
                     and r.state = 'failed' and r.finished_at < clock_timestamp()
                         - (array[1, 5, 15])[t.tries + 1] * interval '1 min' end
$$;

-- The watchdog. On a copy of the database it pauses the jobs that are not paused yet, which says so
-- in their rows (what: copy; slot null). Else it asks for what is due (what: missed, failed). Any
-- number of producers may call it: one of them acts, and is told so by a row; the others look again
-- under the job's lock and find nothing due. A job that is being opened or looked at is left out.
create or replace function reveille.catch_up()
returns table(job_name text, component text, slot timestamptz, what text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    j reveille.job;
begin
    return query
        update reveille.job x
           set paused_at = clock_timestamp(),
               paused_reason = 'this is a copy of the database; resume the job to run it here'
         where x.enabled_on is distinct from reveille.here() and x.paused_at is null
        returning x.job_name, x.component, null::timestamptz, 'copy';
    for j in
        select x.* from reveille.job x
         where exists (select from reveille.due_slot(x)) order by x.job_name
    loop
        select x.* into j from reveille.job x where x.job_name = j.job_name
           for no key update skip locked;
        continue when not found;
        select d.slot, d.what into slot, what from reveille.due_slot(j) d;
        continue when not found;
        perform reveille.request(j.job_name, 'catchup');
        job_name := j.job_name;
        component := j.component;
        return next;
    end loop;
end $$;

grant execute on function reveille.request(text, text, jsonb, text)
    to reveille_invoker, reveille_producer;
grant execute on function reveille.request_status(bigint) to reveille_producer, reveille_reader;
grant execute on function reveille.catch_up() to reveille_producer;
grant execute on function reveille.slot_of(text, timestamptz),
    reveille.cron_field(text, int, int, text[]), reveille.here()
    to reveille_producer, reveille_reader, reveille_invoker;

reset role;
