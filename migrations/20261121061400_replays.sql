-- What a replay would do, without doing it, and what the replays of a run have left.

set role reveille_owner;

-- What settling makes of decisions to dispatch (parallel arrays, as in 060510), by scenario: {type:
-- {evaluated, dispatched, suppressed: {duplicate, cooldown, shadow}}}. p_bad: positions that are
-- errors. Says what put_notifications and duplicates do, and writes nothing.
create or replace function reveille.would_count(
    ev date, di date, p_shadow boolean, ks text[], kp boolean[], p_evaluated int, p_bad int[],
    p_pos int[], p_user uuid[], p_scen text[], p_about uuid[])
returns jsonb language sql stable as $$
    with d as (
        select x.u, x.sc collate "C" as sc, x.o, case when k.per then x.ab
                   else '00000000-0000-0000-0000-000000000000' end as ab
          from unnest(p_pos, p_user, p_scen, p_about) with ordinality x(pos, u, sc, ab, o)
          join unnest(ks, kp) k(sc, per) on k.sc = x.sc
         where x.pos <> all(p_bad)),
    reason as (
        select d.sc, case
            when p_shadow then 'shadow'
            when exists (select from reveille.notification n
                          where n.evaluation_date = ev and n.user_id = d.u
                            and n.scenario_type = d.sc and n.about_id = d.ab) then 'duplicate'
            when exists (select from reveille.cooldown q
                          where q.user_id = d.u and q.scenario_type = d.sc and q.about_id = d.ab
                            and q.until > di)
              or exists (select from reveille.notification n
                          where n.cooldown_window_start = di and n.user_id = d.u
                            and n.scenario_type = d.sc and n.about_id = d.ab) then 'cooldown'
            when row_number() over (partition by d.u, d.sc, d.ab order by d.o) > 1
            then 'duplicate' end as why     -- of one that goes out before it
          from d),
    n as (
        select k.sc, r.why, count(r.sc) as n
          from unnest(ks) k(sc) left join reason r on r.sc = k.sc group by 1, 2)
    select coalesce(jsonb_object_agg(x.sc, jsonb_build_object(
               'evaluated', p_evaluated, 'dispatched', x.dispatched,
               'suppressed', coalesce(x.suppressed, '{}'))), '{}')
      from (select sc, coalesce(sum(n) filter (where why is null), 0) as dispatched,
                   jsonb_object_agg(why, n) filter (where why is not null) as suppressed
              from n group by sc) x
$$;

-- What a replay of these subjects would count, judged now and by the rules that their run froze. For
-- the sql engine, whose judge is a function without effect, exactly (exact). What another engine
-- would say nobody knows: there every scenario counts as due, so that dispatched is what can go out
-- at most, and suppressed what does not in any case.
create or replace function reveille.forecast(r reveille.run, p_ids uuid[]) returns jsonb
language plpgsql stable as $$
declare
    j reveille.job;
    f record;           -- frozen in the run
    a record;           -- the judge's answer
    ok int[];           -- positions of those that are still eligible ...
    people uuid[];      -- ... and their users
    bad int[] := '{}';
    scenarios jsonb;
    evaluated int;
begin
    select x.* into strict j from reveille.job x where x.job_name = r.job_name;
    select * into strict f from reveille.frozen_in(r.run_id);
    execute format('select coalesce(array_agg(x.o::int), ''{}''), array_agg(l.user_id)'
                   '  from unnest($1) with ordinality x(i, o)'
                   '  join %s($1) l on l.subject_id = x.i where l.eligible', j.lookup::regproc)
        into ok, people using p_ids;
    if j.engine = 'sql' then
        begin
            select * into a from reveille.ask_judge(j.judge, p_ids, ok, r.evaluation_date,
                                                    r.scenarios, false);
        exception when others then      -- one by one, as a worker does; what is no judge's is again
            select * into a from reveille.ask_judge(j.judge, p_ids, ok, r.evaluation_date,
                                                    r.scenarios, true);
        end;
        bad := a.bad || (select x.bad from reveille.unusable(f.ks, f.kp, a.bad, a.pos, a.users,
            a.scen, array_fill('dispatch'::text, array[cardinality(a.pos)]), a.about,
            a.payload) x);
    else
        select coalesce(array_agg(x.pos), '{}') as pos, coalesce(array_agg(x.u), '{}') as users,
               coalesce(array_agg(k), '{}') as scen,
               coalesce(array_agg(p_ids[x.pos]), '{}') as about
          into a
          from unnest(ok, people) x(pos, u) cross join unnest(f.ks) k;
    end if;
    evaluated := cardinality(ok) - (select count(distinct b) from unnest(bad) b);
    scenarios := reveille.would_count(
        r.evaluation_date, (clock_timestamp() at time zone j.time_zone)::date, f.shadow, f.ks,
        f.kp, evaluated, bad, a.pos, a.users, a.scen, a.about);
    return jsonb_build_object(
        'exact', j.engine = 'sql', 'evaluated', evaluated,
        'skipped', cardinality(p_ids) - cardinality(ok), 'errors', cardinality(ok) - evaluated,
        'dispatched', (select coalesce(sum((x.value ->> 'dispatched')::int), 0)
                         from jsonb_each(scenarios) x),
        'suppressed', (select coalesce(sum(y.value::int), 0) from jsonb_each(scenarios) x
                        cross join lateral jsonb_each_text(x.value -> 'suppressed') y),
        'by_scenario', scenarios);
end $$;

-- A dry run: what open_replay with the same arguments would open. outcome: forecast, or what
-- open_replay would say (but never nothing: that is a forecast of 0 subjects). forecast:
-- {replay_of, subjects, slices, errors: {class: n}, unreached, forecast: as above}. Writes nothing,
-- locks nothing.
create or replace function reveille.forecast_replay(
    p_run uuid, p_sel jsonb, p_slice_size int default null, p_rate int default null)
returns table(outcome text, forecast jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off set timezone = 'UTC'
as $$
declare
    x record;
    ids uuid[];
    classes text[];
    doc jsonb;
begin
    select * into x from reveille.replay_parent(p_run, p_sel, p_slice_size, p_rate);
    if x.outcome is null then
        select coalesce(array_agg(s.subject_id order by s.subject_id), '{}'),
               coalesce(array_agg(s.error_class), '{}')
          into ids, classes from reveille.selected((x.parent).run_id, p_sel) s;
        doc := jsonb_build_object(
            'replay_of', (x.parent).run_id, 'subjects', cardinality(ids),
            'slices', ceil(cardinality(ids)::numeric / x.slice_size)::int,
            'errors', (select coalesce(jsonb_object_agg(c.class, c.n), '{}')
                         from (select c as class, count(*) as n from unnest(classes) c
                                where c is not null group by 1) c),
            'unreached', (select count(*) from unnest(classes) c where c is null),
            'forecast', reveille.forecast(x.parent, ids));
    end if;
    return query select coalesce(x.outcome, 'forecast'), doc;
end $$;

-- The replays of a run, oldest first, and what is unresolved all the same: subjects whose last
-- outcome is an error or unreached (null: who was judged is not kept any more). Null for a replay,
-- whose replays are its parent's; and for none.
create or replace function reveille.replays_of(p_run uuid) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select jsonb_build_object(
        'runs', (select coalesce(jsonb_agg(jsonb_build_object(
                     'run_id', x.run_id, 'status', x.state, 'subjects', x.planned,
                     'evaluated', (s.v -> 'total_evaluated')::int,
                     'skipped', (s.v -> 'total_skipped')::int,
                     'errors', (s.v -> 'total_errors')::int,
                     'remaining', (s.v -> 'remaining_unprocessed_count')::int,
                     'reason', x.selection -> 'reason') order by x.started_at), '[]')
                   from reveille.run x
                  cross join lateral (select reveille.summary(x.run_id) as v) s
                  where x.replay_of = r.run_id),
        'unresolved', case when r.pruned_at is null then (select jsonb_build_object(
                           'errors', count(*) filter (where u.error_class is not null),
                           'unreached', count(*) filter (where u.error_class is null))
                         from reveille.unresolved(r.run_id) u) end)
      from reveille.run r
     where r.run_id = p_run and r.replay_of is null
$$;

grant execute on function reveille.forecast_replay(uuid, jsonb, int, int) to reveille_producer;
grant execute on function reveille.replays_of(uuid) to reveille_producer, reveille_reader;

reset role;
