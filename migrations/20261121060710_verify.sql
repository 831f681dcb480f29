-- The proof of a run: everything counted again from rows, not from totals, and compared.

set role reveille_owner;

-- A run's subjects with their outcomes, counted one by one: from the arrays of its slices, from
-- skipped_ids, from subject_error, and from slices that were not reached. evaluated: in a done
-- slice, and neither skipped nor an error.
create or replace function reveille.recount_subjects(
    p_run uuid, out listed bigint, out different bigint, out evaluated bigint, out skipped bigint,
    out errors bigint, out unreached bigint, out pending bigint)
language sql stable as $$
    with subject as materialized (
        select s.state, id, id = any(s.skipped_ids) as skipped
          from reveille.slice s cross join lateral unnest(s.subject_ids) id
         where s.run_id = p_run),
    failed as (
        select subject_id from reveille.subject_error where run_id = p_run)
    select count(*), count(distinct s.id),
           count(*) filter (where s.state = 'done' and not s.skipped and f.subject_id is null),
           count(*) filter (where s.state = 'done' and s.skipped),
           count(*) filter (where s.state = 'done' and f.subject_id is not null),
           count(*) filter (where s.state = 'unreached'),
           count(*) filter (where s.state = 'pending')
      from subject s
      left join failed f on f.subject_id = s.id
$$;

-- Notifications closer to an earlier one of their key than that one's cooldown, among the keys that
-- a run has notified: whatever run, replay or hand wrote them. Looks as far back as the longest
-- cooldown of any run reaches, along the date-first keys.
create or replace function reveille.too_close(p_run uuid) returns bigint
language sql stable as $$
    with mine as (
        select user_id, scenario_type, about_id, cooldown_window_start, cooldown_days
          from reveille.notification where run_id = p_run),
    span as (
        select min(cooldown_window_start) - (
                   select coalesce(max((x.value ->> 'cooldown_days')::int), 0)
                     from reveille.run cross join lateral jsonb_each(scenarios) x) as first,
               max(cooldown_window_start + cooldown_days) as last
          from mine),
    near as (
        select n.cooldown_window_start as day,
               max(n.cooldown_window_start + n.cooldown_days) over (
                   partition by n.user_id, n.scenario_type, n.about_id
                   order by n.cooldown_window_start
                   rows between unbounded preceding and 1 preceding) as free_from
          from reveille.notification n
          join (select distinct user_id, scenario_type, about_id from mine) m
            using (user_id, scenario_type, about_id)
         where n.cooldown_window_start between (select first from span) and (select last from span))
    select count(*) from near where day < free_from
$$;

-- Decisions and dispatches of a run by the numbers of its scenarios.
create or replace function reveille.recount_decisions(
    p_run uuid, out dispatched bigint, out suppressed bigint)
language sql stable as $$
    select coalesce(sum((x.value ->> 'dispatched')::bigint), 0),
           coalesce(sum((select sum(y.value::bigint)
                           from jsonb_each_text(x.value -> 'suppressed') y)), 0)
      from reveille.slice s cross join lateral jsonb_each(s.by_scenario) x
     where s.run_id = p_run
$$;

-- Rows of the outbox for a dispatch date without the notification that they stand for.
create or replace function reveille.orphans(p_day date) returns bigint
language sql stable as $$
    select count(*) from reveille.outbox o
     where o.cooldown_window_start = p_day and not exists (
        select from reveille.notification n
         where n.cooldown_window_start = o.cooldown_window_start and n.user_id = o.user_id
           and n.scenario_type = o.scenario_type and n.about_id = o.about_id)
$$;

-- The proof, a line a check; name is shown to the operator. A run holds if every line does. An open
-- run does not ("the run is closed"), nor one whose slices prune has removed, which gets that one
-- line and no other: what is gone can be counted no more, and proves nothing either way. No row: no
-- such run.
create or replace function reveille.verify_run(p_run uuid)
returns table(name text, expected bigint, actual bigint, holds boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    r reveille.run;
    s record;       -- subjects, one by one
    n record;       -- sums over the slices
    d record;       -- decisions by scenario
    v_rows bigint;
begin
    select * into r from reveille.run x where x.run_id = p_run;
    if not found then
        return;
    elsif r.pruned_at is not null then
        return query
            select 'its subjects were pruned after 30 days', r.slices::bigint, count(*), false
              from reveille.slice x where x.run_id = p_run;
        return;
    end if;
    select * into s from reveille.recount_subjects(p_run);
    select * into d from reveille.recount_decisions(p_run);
    select count(*) as slices, count(*) filter (where x.state = 'pending') as pending,
           coalesce(sum(x.evaluated), 0) as evaluated, coalesce(sum(x.skipped), 0) as skipped,
           coalesce(sum(x.errors), 0) as errors, coalesce(sum(x.unreached), 0) as unreached,
           coalesce(sum(x.dispatched), 0) as dispatched,
           coalesce(sum(x.suppressed), 0) as suppressed
      into n from reveille.slice x where x.run_id = p_run;
    select count(*) into v_rows from reveille.notification x where x.run_id = p_run;
    return query
        select c.name, c.expected, c.actual, c.expected is not distinct from c.actual
          from (values
            ('the run is closed', 1,
             (r.state not in ('planning', 'running'))::int::bigint),
            ('slices planned = slices there', r.slices::bigint, n.slices),
            ('slices without an outcome', 0, n.pending),
            ('subjects planned = evaluated + skipped + errors + unreached', r.planned::bigint,
             s.evaluated + s.skipped + s.errors + s.unreached),
            ('subjects in slices = different subjects', s.listed, s.different),
            ('evaluated, by slice = one by one', n.evaluated, s.evaluated),
            ('skipped, by slice = named', n.skipped, s.skipped),
            ('errors, by slice = rows', n.errors,
             (select count(*) from reveille.subject_error x where x.run_id = p_run)),
            ('errors, rows = subjects of the run', n.errors, s.errors),
            ('unreached, by slice = one by one', n.unreached, s.unreached),
            ('dispatched, by slice = notifications', n.dispatched, v_rows),
            ('dispatched, by slice = by scenario', n.dispatched, d.dispatched),
            ('suppressed, by slice = by scenario', n.suppressed, d.suppressed),
            ('totals that differ from the rows', 0,
             (r.totals is distinct from reveille.run_numbers(p_run))::int::bigint),
            ('notifications within another''s cooldown', 0, reveille.too_close(p_run)),
            ('outbox rows without a notification', 0, reveille.orphans(r.dispatch_date))
          ) as c(name, expected, actual);
end $$;

grant execute on function reveille.verify_run(uuid) to reveille_producer, reveille_reader;

reset role;
