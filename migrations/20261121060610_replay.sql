-- A replay is a run: its own slices, lease, totals and proof, over the subjects of a closed run (its
-- parent) whose last outcome is error or unreached. Here: what is left, what is selected of it, and
-- the opening. What a replay would do, and what replays have done: 061400.

set role reveille_owner;

-- Refuses what is no selection (22023), and one that chooses nothing: a replay of everything must be
-- meant. Members: partitions, slices (numbers), since, until (when the slice was done; ISO 8601,
-- without a zone UTC), error_classes, errors, unreached. Lists name at least one.
create or replace function reveille.check_selection(p_sel jsonb) returns void
language plpgsql stable as $$
declare
    wrong text;
begin
    if jsonb_typeof(p_sel) is distinct from 'object' then
        raise 'a selection is an object' using errcode = '22023';
    end if;
    select x.key into wrong      -- jsonb has one way to write each value
      from jsonb_each(p_sel) x
      left join (values
        ('partitions', '\[\d{1,9}(, \d{1,9})*\]'),
        ('slices', '\[\d{1,9}(, \d{1,9})*\]'),
        ('error_classes', '\["C"(, "C")*\]'),
        ('errors', 'true|false'),
        ('unreached', 'true|false'),
        ('since', '"\d{4}-\d\d-\d\d[^"]*"'),
        ('until', '"\d{4}-\d\d-\d\d[^"]*"')) form(key, pattern) using (key)
     where (x.value::text ~ ('^(' || replace(form.pattern, 'C', '(network_error|timeout_error|'
               'evaluation_logic_error|database_error|worker_lost)') || ')$')) is not true
     order by 1 limit 1;
    if found then
        raise 'the selection has no such member, or not so: %', left(wrong, 20)
            using errcode = '22023';
    end if;
    if not (p_sel ?| '{partitions,slices,error_classes,since,until}'
            or p_sel @> '{"errors": true}' or p_sel @> '{"unreached": true}') then
        raise 'a replay needs a selection' using errcode = '22023';
    end if;
    if (p_sel ->> 'since')::timestamptz > (p_sel ->> 'until')::timestamptz then
        raise 'the selection ends before it begins' using errcode = '22023';
    end if;
end $$;

-- The subjects of a closed run that are not settled for good: their slice in that run, and their
-- last outcome, which is an error of a class or (null) unreached. The last is that of the newest
-- replay that has reached them: one that was ended before it came to somebody has changed nothing.
create or replace function reveille.unresolved(p_parent uuid)
returns table(subject_id uuid, slice_no int, error_class text)
language sql stable as $$
    with before as (
        select e.subject_id, e.slice_no, e.error_class
          from reveille.subject_error e where e.run_id = p_parent
        union all
        select unnest(s.subject_ids), s.slice_no, null
          from reveille.slice s where s.run_id = p_parent and s.state = 'unreached'),
    again as (
        select distinct on (id) id as subject_id, e.error_class
          from reveille.run r
          join reveille.slice s on s.run_id = r.run_id and s.state = 'done'
         cross join lateral unnest(s.subject_ids) id
          left join reveille.subject_error e on e.run_id = r.run_id and e.subject_id = id
         where r.replay_of = p_parent
         order by id, r.started_at desc)
    select b.subject_id, b.slice_no, coalesce(a.error_class, b.error_class)
      from before b
      left join again a on a.subject_id = b.subject_id
     where a.subject_id is null or a.error_class is not null
$$;

-- Those of them that a selection means: in the parent's slices that it names, with a last outcome
-- that it names; without errors, error_classes and unreached: any.
create or replace function reveille.selected(p_parent uuid, p_sel jsonb)
returns table(subject_id uuid, error_class text) language sql stable as $$
    select u.subject_id, u.error_class
      from reveille.unresolved(p_parent) u
      join reveille.slice s on s.run_id = p_parent and s.slice_no = u.slice_no
     where (not p_sel ? 'partitions' or p_sel -> 'partitions' @> to_jsonb(s.partition))
       and (not p_sel ? 'slices' or p_sel -> 'slices' @> to_jsonb(s.slice_no))
       and s.done_at >= coalesce((p_sel ->> 'since')::timestamptz, '-infinity')
       and s.done_at <= coalesce((p_sel ->> 'until')::timestamptz, 'infinity')
       and (case when u.error_class is null then p_sel @> '{"unreached": true}'
                 else p_sel @> '{"errors": true}'
                      or coalesce(p_sel -> 'error_classes' ? u.error_class, false) end
            or not (p_sel @> '{"errors": true}' or p_sel @> '{"unreached": true}'
                    or p_sel ? 'error_classes'))
$$;

-- Whose subjects a replay of p_run judges: those of itself, or of the run that it is a replay of.
-- outcome: null, or why there can be none now: unknown · open · replaying (a replay of it is open) ·
-- paused (its job) · copy (of the database) · forgotten (who was judged is not kept any more).
-- slice_size: subjects a slice; a slice goes out whole, so one with a rate has no more than that.
-- 22023: a selection, size or rate that cannot be meant. A replay's own partitions, slices and times
-- are refused: they would be taken for its parent's.
create or replace function reveille.replay_parent(
    p_run uuid, p_sel jsonb, p_slice_size int, p_rate int,
    out outcome text, out parent reveille.run, out slice_size int)
language plpgsql stable as $$
begin
    perform reveille.check_selection(p_sel);
    if p_slice_size not between 1 and 1000 then
        raise 'a slice has 1 to 1000 subjects' using errcode = '22023';
    end if;
    if p_rate not between 1 and 100000 or p_rate < p_slice_size then
        raise 'a rate is 1 to 100000 subjects a second, and no less than a slice'
            using errcode = '22023';
    end if;
    select x.* into parent from reveille.run x
     where x.run_id = (select coalesce(p.replay_of, p.run_id) from reveille.run p
                        where p.run_id = p_run);
    if parent.run_id <> p_run and p_sel ?| '{partitions,slices,since,until}' then
        raise 'a replay is selected from by errors, error classes and unreached alone; '
              'partitions, slices and times are those of the run that it replays'
            using errcode = '22023';
    end if;
    slice_size := least(coalesce(p_slice_size, parent.page_size), p_rate);
    outcome := case
        when parent.run_id is null then 'unknown'
        when parent.state in ('planning', 'running') then 'open'
        when exists (select from reveille.run x where x.replay_of = parent.run_id
                        and x.state in ('planning', 'running')) then 'replaying'
        when parent.pruned_at is not null then 'forgotten'
        else (select case when j.enabled_on is distinct from reveille.here() then 'copy'
                          when j.paused_at is not null then 'paused' end
                from reveille.job j where j.job_name = parent.job_name) end;
end $$;

-- Opens a replay: all slices in one transaction, so that the set is frozen at one instant. Nobody
-- leads it yet: its lease is over, and any producer takes it up at once, as its first holder (fence
-- 1). p_slice_size: null for the parent's. p_rate: at most so many subjects a second; null: no limit.
-- p_reason, p_by: for the audit and the run's row. outcome: opened, with the summary · nothing
-- (nobody who is selected is left) · those of replay_parent. The parent's row lock keeps two callers
-- apart; run_active_replay has the last word. 22023: as replay_parent, a reason over 500 characters,
-- or a rate at which it would not be done by its deadline.
create or replace function reveille.open_replay(
    p_run uuid, p_sel jsonb, p_slice_size int default null, p_rate int default null,
    p_reason text default null, p_by text default null)
returns table(outcome text, summary jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off set timezone = 'UTC'
as $$
declare
    x record;
    r reveille.run;     -- the parent
    j reveille.job;
    v uuid := gen_random_uuid();
    ids uuid[];
begin
    if length(p_reason) > 500 then
        raise 'a reason has up to 500 characters' using errcode = '22023';
    end if;
    perform from reveille.run p
      where p.run_id = (select coalesce(q.replay_of, q.run_id) from reveille.run q
                         where q.run_id = p_run)
        for no key update;
    select * into x from reveille.replay_parent(p_run, p_sel, p_slice_size, p_rate);
    r := x.parent;
    if x.outcome is null then
        ids := array(select s.subject_id from reveille.selected(r.run_id, p_sel) s order by 1);
    end if;
    if x.outcome is not null or ids = '{}' then
        return query select coalesce(x.outcome, 'nothing'), null::jsonb;
        return;
    end if;
    select b.* into strict j from reveille.job b where b.job_name = r.job_name;
    if cardinality(ids) > p_rate * extract(epoch from j.deadline) then
        raise 'at this rate the job''s deadline would end it first' using errcode = '22023';
    end if;
    insert into reveille.run(run_id, job_name, state, evaluation_date, dispatch_date, scenarios,
                             triggered_by, replay_of, selection, shadow, page_size, rate, slices,
                             planned, deadline_at)
        values (v, r.job_name, 'running', r.evaluation_date,
                (clock_timestamp() at time zone j.time_zone)::date, r.scenarios, 'replay',
                r.run_id, jsonb_strip_nulls(p_sel || jsonb_build_object('reason', p_reason)),
                r.shadow, x.slice_size, p_rate,
                ceil(cardinality(ids)::numeric / x.slice_size)::int, cardinality(ids),
                clock_timestamp() + j.deadline);
    insert into reveille.run_lease(run_id, holder, fence, lease_until)
        values (v, 'nobody', 0, '-infinity');
    insert into reveille.slice(run_id, slice_no, subject_ids, topic, partition)
        select v, p.page, array_agg(p.id order by p.id),
               regexp_replace((select s.topic from reveille.slice s
                                where s.run_id = r.run_id limit 1), '[^.]*$', j.engine),
               (p.page + ('x' || left(v::text, 8))::bit(32)::bigint) % e.topic_partitions
          from (select i.id, (i.o - 1) / x.slice_size as page
                  from unnest(ids) with ordinality i(id, o)) p
          join reveille.engine e on e.engine = j.engine
         group by p.page, e.topic_partitions;
    perform reveille.note(p_by, 'replay', r.run_id::text, jsonb_strip_nulls(
        p_sel || jsonb_build_object('run_id', v, 'rate', p_rate, 'reason', p_reason)));
    perform pg_notify('reveille_trigger', '');
    return query select 'opened', reveille.summary(v);
end $$;

grant execute on function reveille.open_replay(uuid, jsonb, int, int, text, text)
    to reveille_producer;

reset role;
