-- A worker's hold on slices: claim, renew, give back. The claim only saves work; what decides is
-- the slice's state, which settle locks (the file after the next).

set role reveille_owner;

-- Claims a slice for a worker; commit before anything is judged. A claim that was not renewed for
-- p_stale (the session time-out in force) is taken over. attempt counts only when the claim passes
-- to another worker; the one after p_attempts settles the slice's subjects as errors, worker_lost.
-- p_engine: whose topic brought the message; another engine's slice is unknown to it, so that no
-- misplaced or forged message chooses the judge (null: any).
-- outcome: claimed · busy (somebody lives on it; claim once more in stale_ms) · done (or its run
-- has ended: store the offset, go on) · lost (settled just now as worker_lost: subject_ids are
-- those errors) · unknown (dead letter). Only a claimed one has all other columns: subject_ids,
-- and for each of them user_ids and eligible (null and false: not found any more); empty ones for
-- engine sql, since judge_slices looks for itself. Leans on the slice's key; the job's lookup reads
-- the host's tables.
create or replace function reveille.claim_slice(
    p_run uuid, p_slice int, p_worker text, p_stale interval default '10 s',
    p_attempts int default 5, p_engine text default null)
returns table(outcome text, stale_ms int, attempt int, job_name text, component text,
              evaluation_date date, scenarios jsonb, scenario_types text[], shadow boolean,
              deadline_at timestamptz, subject_ids uuid[], user_ids uuid[], eligible boolean[])
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    s reveille.slice;
    v_lookup text;
begin
    update reveille.slice x
       set attempt = x.attempt + (x.claimed_by is distinct from p_worker)::int,
           claimed_by = p_worker, moved_at = clock_timestamp(), calls_done = 0
     where x.run_id = p_run and x.slice_no = p_slice and x.state = 'pending'
       and (p_engine is null or right(x.topic, length(p_engine) + 1) = '.' || p_engine)
       and (x.claimed_by is null or x.claimed_by = p_worker
            or x.moved_at < clock_timestamp() - p_stale)
    returning * into s;
    if not found then
        select x.* into s from reveille.slice x
         where x.run_id = p_run and x.slice_no = p_slice
           and (p_engine is null or right(x.topic, length(p_engine) + 1) = '.' || p_engine);
        outcome := case when not found then 'unknown'
                        when s.state = 'pending' then 'busy' else 'done' end;
        if outcome = 'busy' then
            stale_ms := 1 + greatest(0, ceil(1000 * extract(
                epoch from s.moved_at + p_stale - clock_timestamp())));
        end if;
        return next;
        return;
    end if;
    if s.attempt > p_attempts then
        perform reveille.settle_as_lost(s, p_worker);
    end if;
    select case when s.attempt > p_attempts then 'lost' else 'claimed' end, s.attempt, r.job_name,
           j.component, r.evaluation_date, r.scenarios,
           array(select jsonb_object_keys(r.scenarios) order by 1), r.shadow, r.deadline_at,
           s.subject_ids, j.lookup
      into strict outcome, attempt, job_name, component, evaluation_date, scenarios,
           scenario_types, shadow, deadline_at, subject_ids, v_lookup
      from reveille.run r join reveille.job j using (job_name) where r.run_id = p_run;
    user_ids := '{}';
    eligible := '{}';
    if outcome = 'claimed' and p_engine = 'sql' then
        subject_ids := '{}';
    elsif outcome = 'claimed' then
        execute format($q$
            select array_agg(l.user_id order by i.o),
                   array_agg(coalesce(l.eligible, false) order by i.o)
              from unnest($1) with ordinality i(id, o)
              left join %s($1) l on l.subject_id = i.id $q$, v_lookup::regproc)
            into user_ids, eligible using s.subject_ids;
    end if;
    return next;
end $$;

-- Renews claims, and notes for each slice how many calls are done and the last error's class (null:
-- as before). Returns those that are still this worker's; what is not returned is lost: drop it.
-- In slice order, since cancel locks the same rows.
create or replace function reveille.touch_slices(
    p_worker text, p_runs uuid[], p_slices int[], p_calls int[] default null,
    p_errors text[] default null)
returns table(run_id uuid, slice_no int)
language sql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with mine as (
        select s.run_id, s.slice_no, x.calls, x.error_class
          from reveille.slice s
          join unnest(p_runs, p_slices, p_calls, p_errors) x(run_id, slice_no, calls, error_class)
            on s.run_id = x.run_id and s.slice_no = x.slice_no
         where s.state = 'pending' and s.claimed_by = p_worker
         order by s.run_id, s.slice_no
           for no key update of s)
    update reveille.slice s
       set moved_at = clock_timestamp(), calls_done = coalesce(m.calls, s.calls_done),
           last_error_class = coalesce(m.error_class, s.last_error_class)
      from mine m
     where s.run_id = m.run_id and s.slice_no = m.slice_no
    returning s.run_id, s.slice_no
$$;

-- Gives claims back in order, on a drain or when a partition goes: that was no failed attempt.
-- Returns how many were still this worker's.
create or replace function reveille.release_slices(
    p_worker text, p_runs uuid[], p_slices int[])
returns int language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with mine as (
        select s.run_id, s.slice_no
          from reveille.slice s
          join unnest(p_runs, p_slices) x(run_id, slice_no)
            on s.run_id = x.run_id and s.slice_no = x.slice_no
         where s.state = 'pending' and s.claimed_by = p_worker
         order by s.run_id, s.slice_no
           for no key update of s),
    u as (
        update reveille.slice s
           set claimed_by = null, moved_at = null, attempt = s.attempt - 1
          from mine m
         where s.run_id = m.run_id and s.slice_no = m.slice_no
        returning 1)
    select count(*)::int from u
$$;

grant execute on function
    reveille.claim_slice(uuid, int, text, interval, int, text),
    reveille.touch_slices(text, uuid[], int[], int[], text[]),
    reveille.release_slices(text, uuid[], int[])
    to reveille_worker;

reset role;
