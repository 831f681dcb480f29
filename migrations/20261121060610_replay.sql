-- A replay is a run: its own slices, lease, totals and proof, over the subjects of a closed run
-- (its parent) whose last outcome is error or unreached.

set role reveille_owner;

-- Whether a selection chooses anything at all: a replay of everything must be meant.
create or replace function reveille.selects(p_sel jsonb) returns boolean
language sql immutable as $$
    select p_sel ?| '{partitions,slices,error_classes,since,until}'
        or p_sel @> '{"errors": true}' or p_sel @> '{"unreached": true}'
$$;

-- The subjects that a selection means: of the parent's slices that it names ("partitions",
-- "slices", "since", "until": when the slice was done), those that ended as an error of the kind it
-- names ("errors", "error_classes") or unreached ("unreached"; with none of the three: every kind),
-- and that no replay of the parent has judged since.
create or replace function reveille.replay_subjects(p_parent uuid, p_sel jsonb)
returns setof uuid language sql stable as $$
    with pick as (
        select slice_no, state, subject_ids from reveille.slice
         where run_id = p_parent
           and (not p_sel ? 'partitions' or p_sel -> 'partitions' @> to_jsonb(partition))
           and (not p_sel ? 'slices' or p_sel -> 'slices' @> to_jsonb(slice_no))
           and done_at >= coalesce((p_sel ->> 'since')::timestamptz, '-infinity')
           and done_at <= coalesce((p_sel ->> 'until')::timestamptz, 'infinity')),
    kind as (
        select errors, unreached, not (errors or unreached or p_sel ? 'error_classes') as every
          from (select p_sel @> '{"errors": true}' as errors,
                       p_sel @> '{"unreached": true}' as unreached) x),
    bad as (
        select e.subject_id
          from reveille.subject_error e
          join pick using (slice_no)
         cross join kind
         where e.run_id = p_parent
           and (every or errors or p_sel -> 'error_classes' ? e.error_class)
        union
        select unnest(subject_ids) from pick cross join kind
         where state = 'unreached' and (every or unreached)),
    again as (
        select run_id from reveille.run where replay_of = p_parent),
    judged as (
        select unnest(s.subject_ids) as subject_id, s.run_id
          from reveille.slice s join again using (run_id) where s.state = 'done'
        except
        select subject_id, run_id from reveille.subject_error join again using (run_id))
    select subject_id from bad
    except
    select subject_id from judged
    order by 1
$$;

-- Opens a replay of a closed run (of its parent, if that run is a replay itself), all slices in one
-- transaction, so that the set is frozen at one instant; its id, the caller's fence and the number
-- of subjects. p_slice_size: null for the parent's. p_dry: only the number.
-- 22023: nothing is selected, or a selection that cannot be read. RV404: no such run. RV409: it is
-- open, or a replay of it is.
create or replace function reveille.open_replay(
    p_parent uuid, p_sel jsonb, p_holder text, p_slice_size int default null,
    p_dry boolean default false, p_prefix text default 'reveille.slices',
    p_lease interval default '15 s', p_by text default null)
returns table(run_id uuid, fence bigint, subjects int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    r reveille.run;
    j reveille.job;
    e reveille.engine;
    v uuid := gen_random_uuid();
    n int;
    size int;
begin
    if reveille.selects(p_sel) is not true then
        raise 'a replay needs a selection' using errcode = '22023';
    end if;
    if p_slice_size not between 1 and 1000 then
        raise 'a slice has 1 to 1000 subjects' using errcode = '22023';
    end if;
    select x.* into r from reveille.run x
     where x.run_id = coalesce(
        (select p.replay_of from reveille.run p where p.run_id = p_parent), p_parent)
       for no key update;
    if not found then
        raise 'there is no such run' using errcode = 'RV404';
    end if;
    if r.state in ('planning', 'running') then
        raise 'the run is still open' using errcode = 'RV409';
    end if;
    if p_dry then
        return query select null::uuid, null::bigint, count(*)::int
                       from reveille.replay_subjects(r.run_id, p_sel);
        return;
    end if;
    if exists (select from reveille.run x where x.replay_of = r.run_id
                  and x.state in ('planning', 'running')) then
        raise 'a replay of this run is still open' using errcode = 'RV409';
    end if;
    select x.* into j from reveille.job x where x.job_name = r.job_name;
    select x.* into e from reveille.engine x where x.engine = j.engine;
    size := coalesce(p_slice_size, r.page_size);
    insert into reveille.run(run_id, job_name, state, evaluation_date, dispatch_date, scenarios,
                             triggered_by, replay_of, selection, shadow, page_size, deadline_at)
        values (v, r.job_name, 'running', r.evaluation_date,
                (clock_timestamp() at time zone j.time_zone)::date, r.scenarios, 'replay',
                r.run_id, p_sel, r.shadow, size, clock_timestamp() + j.deadline);
    insert into reveille.run_lease(run_id, holder, lease_until)
        values (v, p_holder, clock_timestamp() + p_lease);
    insert into reveille.slice(run_id, slice_no, subject_ids, topic, partition)
        select v, page, array_agg(id order by id), p_prefix || '.' || e.engine,
               (page + ('x' || left(v::text, 8))::bit(32)::bigint) % e.topic_partitions
          from (select id, (row_number() over (order by id) - 1) / size as page
                  from reveille.replay_subjects(r.run_id, p_sel) id) x
         group by page;
    update reveille.run x
       set slices = s.slices, planned = s.subjects
      from (select count(*) as slices, coalesce(sum(cardinality(subject_ids)), 0) as subjects
              from reveille.slice where run_id = v) s
     where x.run_id = v
    returning x.planned into n;
    perform reveille.note(p_by, 'replay', r.run_id::text,
                          p_sel || jsonb_build_object('run_id', v));
    perform pg_notify('reveille_trigger', '');
    return query select v, 1::bigint, n;
end $$;

grant execute on function
    reveille.open_replay(uuid, jsonb, text, int, boolean, text, interval, text)
    to reveille_producer;

reset role;
