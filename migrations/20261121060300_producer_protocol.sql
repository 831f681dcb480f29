-- What a producer calls while a run is planned and worked on: open, plan, publish, ring again. How
-- a run ends is in the next file.
--
-- Locks, in this order: job, run, slices in slice order. Workers take slices alone, so a producer
-- never waits for them but in cancel. The lease is apart (run_lease), fenced by a number that grows
-- with each holder, on the database's clock.

set role reveille_owner;

-- ---- opening --------------------------------------------------------------------------------

-- Takes over the run whose lease ended first, if there is one: its id, or null. A copy of the
-- database leaves the runs of its source alone.
create or replace function reveille.take_over_run(p_holder text, p_lease interval)
returns uuid language sql as $$
    update reveille.run_lease l
       set holder = p_holder, fence = fence + 1, lease_until = clock_timestamp() + p_lease
     where l.run_id = (
        select x.run_id
          from reveille.run_lease x
          join reveille.run r using (run_id)
          join reveille.job j using (job_name)
         where r.state in ('planning', 'running') and x.lease_until < clock_timestamp()
           and j.enabled_on = reveille.here()
         order by x.lease_until limit 1
           for update of x skip locked)
    returning l.run_id
$$;

-- Of a job's waiting slots only the newest runs: older ones become coalesced, and what has waited
-- longer than the job's catchup_window since it was asked for is missed. How old the slot is does
-- not matter here. Callers hold the job's row lock.
create or replace function reveille.drop_old_requests(p_job reveille.job)
returns void language sql as $$
    with old as (
        update reveille.trigger_request t
           set state = x.state,
               reason = case x.state when 'missed' then 'waited longer than the catch-up window'
                                     else 'a newer slot was waiting' end
          from (select id, case when requested_at < clock_timestamp() - p_job.catchup_window
                                then 'missed'
                                when slot < max(slot) over () then 'coalesced' end as state
                  from reveille.trigger_request
                 where job_name = p_job.job_name and state = 'pending' and slot is not null) x
         where t.id = x.id
           and (x.state = 'coalesced' or x.state = 'missed'    -- unless it was just rung again
                and t.requested_at < clock_timestamp() - p_job.catchup_window)
        returning t.job_name, t.slot, t.state, t.reason)
    insert into reveille.scheduler_execution_log(job_name, started_at, finished_at, status,
                                                 error_message)
        select job_name, slot, clock_timestamp(), state, reason from old
$$;

-- A request's run, with everything it will judge by; null when it is not to have one (its slot has
-- had its run, or its date is in the future), which is noted in the request. The constraints
-- run_active and run_slot have the last word. Callers hold the job's row lock.
create or replace function reveille.create_run(
    p_job reveille.job, p_request reveille.trigger_request, p_page_size int)
returns uuid language plpgsql as $$
#variable_conflict use_column
declare
    params constant jsonb := p_request.params;
    today constant date := (clock_timestamp() at time zone p_job.time_zone)::date;
    on_date constant date := coalesce((params ->> 'evaluation_date')::date,
                                      (p_request.slot at time zone p_job.time_zone)::date, today);
    v_scenarios jsonb;
    v_run uuid;
begin
    if on_date > today then
        update reveille.trigger_request
           set state = 'refused', reason = 'evaluation_date is in the future'
         where id = p_request.id;
        return null;
    end if;
    select coalesce(jsonb_object_agg(c.scenario_type, jsonb_build_object(
               'cooldown_days', c.cooldown_days, 'per_subject', c.per_subject,
               'params', c.params)), '{}')
      into v_scenarios
      from reveille.scenario_config c
     where c.enabled and c.scenario_type = any(p_job.scenario_types)
       and (p_request.params -> 'scenario_types' is null     -- c has params of its own
            or p_request.params -> 'scenario_types' ? c.scenario_type);
    insert into reveille.run(job_name, slot, evaluation_date, dispatch_date, triggered_by, shadow,
                             selection, page_size, deadline_at, scenarios)
        values (p_job.job_name, p_request.slot, on_date, today, p_request.source,
                coalesce((params ->> 'shadow')::boolean, false),
                case when params ? 'subjects'
                     then jsonb_build_object('subjects', params -> 'subjects') end,
                coalesce(p_job.page_size, p_page_size), clock_timestamp() + p_job.deadline,
                v_scenarios)
        on conflict do nothing
        returning run_id into v_run;
    update reveille.trigger_request
       set state = 'opened', run_id = coalesce(v_run, (
               select r.run_id from reveille.run r
                where r.job_name = p_job.job_name and r.slot = p_request.slot
                  and r.replay_of is null and r.state <> 'failed'))
     where id = p_request.id;
    return v_run;
end $$;

-- One run to work on, or no row. First a run whose lease ended (with a higher fence), else the
-- newest waiting request of a job that has no active run. p_page_size: subjects a slice where the
-- job's row names none. The lease runs from now; who does not renew it loses the run. takeover:
-- somebody has led it before; a replay is opened without a leader, and comes as a run whose lease
-- ended. planned: null while planning. Two producers never open the same job: its row is locked, and
-- those who find it locked go on to the next.
create or replace function reveille.open_run(
    p_holder text, p_page_size int default 100, p_lease interval default '15 s')
returns table(run_id uuid, fence bigint, job_name text, state text, cursor uuid, takeover boolean,
              engine text, topic_partitions int, page_size int, planned int, slices int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    j reveille.job;
    q reveille.trigger_request;
    v_run uuid := reveille.take_over_run(p_holder, p_lease);
begin
    if v_run is null then
        for j in
            select b.* from reveille.job b
             where b.paused_at is null and b.enabled_on = reveille.here()
               and exists (select from reveille.trigger_request t
                            where t.job_name = b.job_name and t.state = 'pending')
               and not exists (select from reveille.run r
                                where r.job_name = b.job_name and r.replay_of is null
                                  and r.state in ('planning', 'running'))
             order by b.job_name
               for no key update skip locked
        loop
            -- the loop's snapshot is older than the lock: look again
            continue when exists (select from reveille.run r
                                   where r.job_name = j.job_name and r.replay_of is null
                                     and r.state in ('planning', 'running'));
            perform reveille.drop_old_requests(j);
            loop    -- past those that are not to have a run: create_run takes them out of the way
                select t.* into q from reveille.trigger_request t
                 where t.job_name = j.job_name and t.state = 'pending'
                 order by t.slot nulls last, t.id limit 1
                   for update;
                exit when not found;
                v_run := reveille.create_run(j, q, p_page_size);
                exit when v_run is not null;
            end loop;
            if v_run is not null then
                insert into reveille.run_lease(run_id, holder, lease_until)
                    values (v_run, p_holder, clock_timestamp() + p_lease);
                exit;
            end if;
        end loop;
    end if;
    return query
        select r.run_id, l.fence, r.job_name, r.state, r.cursor, l.fence > 1, e.engine,
               e.topic_partitions, r.page_size, r.planned, r.slices
          from reveille.run r
          join reveille.run_lease l on l.run_id = r.run_id
          join reveille.job b on b.job_name = r.job_name
          join reveille.engine e on e.engine = b.engine
         where r.run_id = v_run;
end $$;

-- False: the lease is somebody else's by now, and so is the run.
create or replace function reveille.renew_lease(
    p_run uuid, p_holder text, p_fence bigint, p_lease interval default '15 s')
returns boolean language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with u as (
        update reveille.run_lease set lease_until = clock_timestamp() + p_lease
         where run_id = p_run and holder = p_holder and fence = p_fence
        returning 1)
    select exists (select from u)
$$;

-- For a drain: the next producer is woken and takes the run over at once. Nothing happens if it is
-- not ours.
create or replace function reveille.give_up_lease(p_run uuid, p_holder text, p_fence bigint)
returns void language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with given_up as (
        update reveille.run_lease set lease_until = '-infinity'
         where run_id = p_run and holder = p_holder and fence = p_fence
        returning 1)
    select pg_notify('reveille_trigger', '') from given_up
$$;

-- ---- planning -------------------------------------------------------------------------------

-- The text of plan_page's one statement for a job. Parameters: $1 cursor, $2 run, $3 first slice,
-- $4 page size, $5 pages, $6 date, $7 topic, $8 the run's offset among the partitions, $9 their
-- number, $10 chosen subjects. A run of chosen subjects takes those of them that are eligible, by
-- the job's lookup: walking a roster of a million for one mentor would take a thousand calls.
create or replace function reveille.plan_text(p_job reveille.job, p_chosen boolean)
returns text language sql stable as $$
    select format($q$
        with s as (
            select subject_id, (row_number() over (order by subject_id) - 1) / $4 as page
              from %s x
             limit $4 * $5),
        p as (
            insert into reveille.slice(run_id, slice_no, subject_ids, topic, partition)
            select $2, $3 + page, array_agg(subject_id order by subject_id), $7,
                   ($3 + page + $8) %% $9
              from s group by page
            returning slice_no, partition, subject_ids)
        select array_agg(partition order by slice_no),
               (array_agg(subject_ids[cardinality(subject_ids)] order by slice_no desc))[1],
               coalesce(sum(cardinality(subject_ids)), 0)
          from p $q$,
        case when p_chosen
             then format('(select subject_id from %s($10) where eligible'
                         ' and ($1 is null or subject_id > $1) order by 1)',
                         p_job.lookup::regproc)
             else format('%s($1, $4 * $5, $6)', p_job.source::regproc) end)
$$;

-- Writes up to p_pages pages in one transaction; a page is a slice. Only for who holds the lease
-- and knows the cursor. The run's row lock serialises planners, cancel and close; no worker takes
-- it. outcome: planned · last (nothing is left: the run is running, and run.planned is set) · stale
-- (somebody else plans, or planning is over; nothing was written: look again). state, cursor: the
-- run's after the call. first_slice, partitions, planned: what this call has added.
create or replace function reveille.plan_page(
    p_run uuid, p_holder text, p_fence bigint, p_cursor uuid, p_pages int default 1,
    p_prefix text default 'reveille.slices')
returns table(outcome text, state text, cursor uuid, first_slice int, partitions int[],
              planned int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    r reveille.run;
    j reveille.job;
    e reveille.engine;
    chosen uuid[];
    last uuid;
begin
    select x.* into r from reveille.run x where x.run_id = p_run for no key update;
    if r.state is distinct from 'planning' or r.cursor is distinct from p_cursor
       or not exists (select from reveille.run_lease l
                       where l.run_id = p_run and l.holder = p_holder and l.fence = p_fence
                         and l.lease_until > clock_timestamp()) then
        return query select 'stale', r.state, r.cursor, r.slices, '{}'::int[], 0;
        return;
    end if;
    select x.* into j from reveille.job x where x.job_name = r.job_name;
    select x.* into e from reveille.engine x where x.engine = j.engine;
    if r.selection ? 'subjects' then
        chosen := array(select distinct x::uuid
                          from jsonb_array_elements_text(r.selection -> 'subjects') x);
    end if;
    execute reveille.plan_text(j, chosen is not null)
        into partitions, last, planned
        using p_cursor, p_run, r.slices, r.page_size, p_pages, r.evaluation_date,
              p_prefix || '.' || e.engine, ('x' || left(p_run::text, 8))::bit(32)::bigint,
              e.topic_partitions, chosen;
    partitions := coalesce(partitions, '{}');
    first_slice := r.slices;
    outcome := case when planned < r.page_size * p_pages then 'last' else 'planned' end;
    update reveille.run x
       set cursor = coalesce(last, x.cursor), slices = x.slices + cardinality(partitions),
           state = case outcome when 'last' then 'running' else x.state end,
           planned = case outcome when 'last' then (
               select coalesce(sum(cardinality(s.subject_ids)), 0) from reveille.slice s
                where s.run_id = p_run) end
     where x.run_id = p_run
    returning x.state, x.cursor into state, cursor;
    return next;
end $$;

-- ---- publishing and ringing again -----------------------------------------------------------

-- Planned and never published, after p_after, in slice order: the publisher's only source. Leans on
-- slice_pending. p_after: -1 for the beginning.
create or replace function reveille.unpublished_slices(p_run uuid, p_after int, p_limit int)
returns table(slice_no int, topic text, partition int)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select slice_no, topic, partition from reveille.slice
     where run_id = p_run and state = 'pending' and published_at is null and slice_no > p_after
     order by slice_no limit p_limit
$$;

-- Where published slices lie in the log. A slice that somebody holds at the moment is left out: it
-- moves, and needs no note.
create or replace function reveille.note_published(
    p_run uuid, p_slices int[], p_offsets bigint[])
returns void language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with free as (
        select x.slice_no from reveille.slice x
         where x.run_id = p_run and x.slice_no = any(p_slices) and x.state = 'pending'
         order by x.slice_no
           for no key update skip locked)
    update reveille.slice s
       set published_at = clock_timestamp(), published_offset = o.off, rings = rings + 1
      from unnest(p_slices, p_offsets) o(no, off)
      join free on free.slice_no = o.no
     where s.run_id = p_run and s.slice_no = o.no
$$;

-- Pending slices that nobody moves and whose back-off is over: p_first after going stale the first
-- time, then p_wait doubling to 10 minutes; also those never published. The caller leaves out what
-- its partition's committed offset has not reached.
create or replace function reveille.overdue_slices(
    p_run uuid, p_limit int default 1000, p_stale interval default '10 s',
    p_first interval default '1 s', p_wait interval default '5 s')
returns table(slice_no int, topic text, partition int, published_offset bigint, attempt int)
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select slice_no, topic, partition, published_offset, attempt from reveille.slice
     where run_id = p_run and state = 'pending'
       and (claimed_by is null or moved_at < clock_timestamp() - p_stale)
       and (published_at is null
            or greatest(published_at, moved_at) < clock_timestamp() - p_stale - case
                when rings <= 1 then p_first
                else least(p_wait * 2 ^ least(rings - 2, 20), interval '10 min') end)
     order by slice_no limit p_limit
$$;

grant execute on function
    reveille.open_run(text, int, interval),
    reveille.renew_lease(uuid, text, bigint, interval),
    reveille.give_up_lease(uuid, text, bigint),
    reveille.plan_page(uuid, text, bigint, uuid, int, text),
    reveille.unpublished_slices(uuid, int, int),
    reveille.note_published(uuid, int[], bigint[]),
    reveille.overdue_slices(uuid, int, interval, interval, interval)
    to reveille_producer;

reset role;
