-- How runs end, and what an operator sets: close, fail, cancel, deadline; pause, engines, the audit.

set role reveille_owner;

-- A line of the audit; p_by null: the role that is logged in.
create or replace function reveille.note(
    p_by text, p_action text, p_object text, p_detail jsonb default '{}')
returns void language sql as $$
    insert into reveille.audit(actor, action, object, detail)
        values (left(coalesce(p_by, session_user), 100), p_action, p_object, p_detail)
$$;

-- ---- what an operator sets ------------------------------------------------------------------

-- Pauses a job everywhere: cron, watchdog, HTTP, LISTEN. A null reason resumes it, and takes a
-- copied database for its own. What runs already goes on. False: no such job.
create or replace function reveille.pause_job(
    p_job text, p_reason text, p_by text default null)
returns boolean language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    if p_reason is not null then
        update reveille.job
           set paused_at = coalesce(paused_at, clock_timestamp()), paused_reason = p_reason
         where job_name = p_job;
    else
        update reveille.job
           set paused_at = null, paused_reason = null, enabled_since = clock_timestamp(),
               enabled_on = reveille.here()
         where job_name = p_job;
    end if;
    if not found then
        return false;
    end if;
    perform reveille.note(p_by, case when p_reason is null then 'resume' else 'pause' end, p_job,
                          jsonb_build_object('reason', p_reason));
    perform pg_notify('reveille_trigger', '');    -- a request may have waited for the resume
    return true;
end $$;

-- An engine's calls at a time for the whole fleet, and its topic's partitions; null leaves one as
-- it is. In force within a second: the workers ask so often. False: no such engine.
create or replace function reveille.set_engine(
    p_engine text, p_concurrency int, p_partitions int default null, p_by text default null)
returns boolean language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    update reveille.engine
       set concurrency = coalesce(p_concurrency, concurrency),
           topic_partitions = coalesce(p_partitions, topic_partitions),
           current = case when closed_since is null then coalesce(p_concurrency, current)
                          else current end
     where engine = p_engine;
    if not found then
        return false;
    end if;
    perform reveille.note(p_by, 'set_engine', p_engine, jsonb_strip_nulls(jsonb_build_object(
        'concurrency', p_concurrency, 'topic_partitions', p_partitions)));
    perform pg_notify('reveille_trigger', '');    -- the producers make sure of the topic
    return true;
end $$;

-- Notes that a secret was used, now; p_slot names which one (current, next, operator), never
-- itself.
create or replace function reveille.note_secret_use(p_slot text)
returns void language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    insert into reveille.secret_use as u(slot, last_used_at)
        values (left(p_slot, 63), clock_timestamp())
        on conflict (slot) do update set last_used_at = excluded.last_used_at
$$;

-- ---- the end of a run -----------------------------------------------------------------------

-- Gives a run its final state and the sums over its slices, logs it and wakes the producer, since a
-- request may be waiting behind it. Callers hold the run's row lock. Returns its summary.
create or replace function reveille.finish_run(
    p_run uuid, p_state text, p_error text default null)
returns jsonb language plpgsql as $$
begin
    update reveille.run r
       set state = p_state, finished_at = clock_timestamp(), error_message = p_error,
           totals = n.numbers, planned = coalesce(r.planned, (n.numbers ->> 'subjects')::int)
      from (select reveille.run_numbers(p_run) as numbers) n
     where r.run_id = p_run;
    insert into reveille.scheduler_execution_log(run_id, job_name, started_at, finished_at, status,
                                                 error_message)
        select run_id, job_name, started_at, finished_at, state, error_message
          from reveille.run where run_id = p_run;
    perform pg_notify('reveille_trigger', '');
    return reveille.summary(p_run);
end $$;

-- Locks a run that is in this state and led by this holder; false: it is not, and nothing is
-- locked. A statement of its own, so that what its caller reads next is read under the lock.
create or replace function reveille.lock_led(
    p_run uuid, p_holder text, p_fence bigint, p_state text)
returns boolean language plpgsql as $$
begin
    perform from reveille.run r
       join reveille.run_lease l using (run_id)
      where r.run_id = p_run and r.state = p_state and l.holder = p_holder
        and l.fence = p_fence
        for no key update of r;
    return found;
end $$;

-- Ends a run whose slices are all settled, for who holds its lease: the summary. Null: not closed
-- (slices are pending, or it is planned still, or ended, or another's).
create or replace function reveille.close_run(p_run uuid, p_holder text, p_fence bigint)
returns jsonb language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    if not reveille.lock_led(p_run, p_holder, p_fence, 'running') then
        return null;
    end if;
    if exists (select from reveille.slice where run_id = p_run and state = 'pending') then
        return null;
    end if;
    return reveille.finish_run(p_run, 'completed');
end $$;

-- Makes what is pending of a run unreached. Callers hold the run's row lock, and the locks of its
-- pending slices where a settle may be under way.
create or replace function reveille.leave_unreached(p_run uuid) returns void language sql as $$
    update reveille.slice
       set state = 'unreached', evaluated = 0, skipped = 0, skipped_ids = '{}', errors = 0,
           unreached = cardinality(subject_ids), dispatched = 0, suppressed = 0,
           by_scenario = '{}', done_at = clock_timestamp()
     where run_id = p_run and state = 'pending'
$$;

-- Ends a run that cannot be planned, for who holds its lease: failed, with p_error (what the
-- database said against a page, sanitised), so that its slot is free and catch_up tries it again.
-- The summary; null: it is not being planned any more, or it is another's.
create or replace function reveille.fail_run(
    p_run uuid, p_holder text, p_fence bigint, p_error text)
returns jsonb language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    if not reveille.lock_led(p_run, p_holder, p_fence, 'planning') then
        return null;
    end if;
    perform from reveille.slice where run_id = p_run and state = 'pending'
      order by slice_no for no key update;
    perform reveille.leave_unreached(p_run);
    return reveille.finish_run(p_run, 'failed', left(p_error, 500));
end $$;

-- Ends an open run now: pending slices become unreached, what is dispatched stays. p_state:
-- cancelled, or partial (the deadline), which is failed for a run not planned to its end: what was
-- never planned is counted nowhere, so the slot must stay free. Returns the summary; null: not
-- open. The run's row first (else a page could still add slices), then the slices in slice order:
-- waits for a settle under way, and a later settle finds nothing pending.
create or replace function reveille.cancel_run(
    p_run uuid, p_state text default 'cancelled', p_by text default null)
returns jsonb language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    was text;
begin
    if p_state not in ('cancelled', 'partial') then
        raise 'a run is cancelled or partial, not %', p_state using errcode = '22023';
    end if;
    select state into was from reveille.run
     where run_id = p_run and state in ('planning', 'running')
       for no key update;
    if not found then
        return null;
    end if;
    perform from reveille.slice where run_id = p_run and state = 'pending'
      order by slice_no for no key update;
    if p_state = 'partial' and was = 'running' and not exists (
            select from reveille.slice where run_id = p_run and state = 'pending') then
        return reveille.finish_run(p_run, 'completed');     -- all done, only nobody closed it in time
    end if;
    perform reveille.leave_unreached(p_run);
    if p_state = 'cancelled' then
        perform reveille.note(p_by, 'cancel', p_run::text);
    end if;
    return reveille.finish_run(p_run,
        case when p_state = 'partial' and was = 'planning' then 'failed' else p_state end,
        case when p_state = 'partial' then 'deadline' end);
end $$;

-- Ends a run past its deadline, if there is one: 1, else 0; to be called until it says 0. One a
-- transaction, so that a run whose settles take long keeps no other's rows locked; any of them, so
-- that one which cannot be ended now does not stand before the others. Any producer may call it: no
-- lease is asked.
create or replace function reveille.end_overdue_runs() returns int
language sql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select count(reveille.cancel_run(run_id, 'partial'))::int
      from (select run_id from reveille.run
             where state in ('planning', 'running') and deadline_at < clock_timestamp()
             order by random() limit 1
               for no key update skip locked) x
$$;

grant execute on function
    reveille.pause_job(text, text, text),
    reveille.note_secret_use(text),
    reveille.close_run(uuid, text, bigint),
    reveille.cancel_run(uuid, text, text),
    reveille.fail_run(uuid, text, bigint, text),
    reveille.end_overdue_runs()
    to reveille_producer;

reset role;
