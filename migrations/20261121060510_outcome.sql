-- The parts of settling: how notifications are put, decisions are checked and outcomes are counted.
-- Nobody may call these but settle_slice and judge_slices (the next file), which hold the slices.
--
-- Results travel as parallel arrays, one element a decision: p_pos is the subject's position
-- (1-based) among p_ids, so that no uuid of a subject is sent back. won, dup and the like are
-- ordinals in these arrays. ks, kd, kp: the run's scenarios, their cooldowns in days, and whether
-- each is kept per subject (about_id counts).
--
-- All of it is plpgsql, which keeps its plans for the session; a SQL function would be planned anew
-- for every slice.

set role reveille_owner;

-- What a run judges by, frozen in its row.
create or replace function reveille.frozen_in(
    p_run uuid, out ev date, out di date, out shadow boolean, out ks text[], out kd int[],
    out kp boolean[])
language plpgsql stable as $$
#variable_conflict use_column
begin
    select r.evaluation_date, r.dispatch_date, r.shadow, s.ks, s.kd, s.kp
      into strict ev, di, shadow, ks, kd, kp
      from reveille.run r
     cross join lateral (
        select coalesce(array_agg(x.key), '{}') as ks,
               coalesce(array_agg((x.value ->> 'cooldown_days')::int), '{}') as kd,
               coalesce(array_agg(coalesce((x.value ->> 'per_subject')::boolean, false)), '{}')
                   as kp
          from jsonb_each(r.scenarios) x) s
     where r.run_id = p_run;
end $$;

-- The one writing statement for dispatches, of one or several slices. Cooldown rows are locked in
-- key order, and a key's notification is only written under its cooldown row, so that two settles
-- can neither deadlock nor wait in the uniques, and nothing is notified twice within its cooldown.
-- The two NOT EXISTS save locks and guarantee nothing; the ON CONFLICT's WHERE is the guarantee.
-- With the evaluation date equal to the dispatch date, the cooldown row tells of a duplicate, too:
-- the look at notification is left out, unless p_careful. 23505: a settle beside us was first; roll
-- back, again with p_careful. p_bad: positions to leave out. Returns the ordinals that went in.
create or replace function reveille.put_notifications(
    p_run uuid, ev date, di date, ks text[], kd int[], kp boolean[], p_nos int[], p_bad int[],
    p_pos int[], p_user uuid[], p_scen text[], p_act text[], p_about uuid[], p_payload text[],
    p_careful boolean)
returns int[] language plpgsql as $$
#variable_conflict use_column
declare
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
    won int[];
begin
    with d as materialized (
        select distinct on (x.u, x.sc, ab) x.o, x.pos, x.u, x.sc collate "C" as sc,
               case when k.per then x.ab else nil end as ab, k.days,
               x.act = 'dispatched' as ext, x.pl
          from unnest(p_user, p_scen, p_act, p_about, p_payload, p_pos)
               with ordinality x(u, sc, act, ab, pl, pos, o)
          join unnest(ks, kd, kp) k(sc, days, per) on k.sc = x.sc
         where x.act <> 'suppress' and x.pos <> all(p_bad)
         order by x.u, x.sc, ab, x.o),
    c as (
        insert into reveille.cooldown as c(user_id, scenario_type, about_id, until)
        select d.u, d.sc, d.ab, di + d.days
          from d
         where not exists (
                select from reveille.cooldown q
                 where q.user_id = d.u and q.scenario_type = d.sc and q.about_id = d.ab
                   and q.until > di)
           and (ev = di and not p_careful or not exists (
                select from reveille.notification n
                 where n.evaluation_date = ev and n.user_id = d.u
                   and n.scenario_type = d.sc and n.about_id = d.ab))
           and (not p_careful or not exists (   -- told today already, its cooldown row deleted
                select from reveille.notification n
                 where n.cooldown_window_start = di and n.user_id = d.u
                   and n.scenario_type = d.sc and n.about_id = d.ab))
         order by d.u, d.sc, d.ab
        on conflict (user_id, scenario_type, about_id) do update
            set until = excluded.until where c.until <= di
        returning c.user_id, c.scenario_type, c.about_id),
    -- FULL, behind a fence: that is never a nested loop. The plan is made for a few rows, and as an
    -- inner join it may compare each of a thousand with each (measured: 90 us a subject, not 25).
    w as materialized (
        select x.*
          from (select d.*, c.user_id as won_by
                  from c
                  full join d on d.u = c.user_id and d.sc = c.scenario_type and d.ab = c.about_id
                offset 0) x
         where x.won_by is not null),
    i as (
        insert into reveille.notification(user_id, scenario_type, about_id, evaluation_date,
            cooldown_window_start, cooldown_days, run_id, slice_no, external, payload)
        select w.u, w.sc, w.ab, ev, di, w.days, p_run, p_nos[w.pos], w.ext,
               coalesce(w.pl, '{}')::jsonb
          from w),
    b as (
        insert into reveille.outbox(cooldown_window_start, user_id, scenario_type, about_id)
        select di, w.u, w.sc, w.ab from w where not w.ext)
    select coalesce(array_agg(w.o), '{}') into won from w;
    return won;
end $$;

-- The same after a data error: subject by subject, each under a savepoint; the bad one becomes an
-- error. In the order of their keys, as far as subjects have one; where two settles cross all the
-- same, one gets 40P01 and is tried again whole.
create or replace function reveille.put_each(
    p_run uuid, ev date, di date, ks text[], kd int[], kp boolean[], p_nos int[], p_bad int[],
    p_pos int[], p_user uuid[], p_scen text[], p_act text[], p_about uuid[], p_payload text[],
    out won int[], out bad int[], out messages text[])
language plpgsql as $$
declare
    subject int;
    os int[];       -- the ordinals of its decisions
begin
    won := '{}';
    bad := '{}';
    messages := '{}';
    for subject in
        select x.pos from unnest(p_pos, p_user, p_scen, p_act) x(pos, u, sc, act)
         where x.act <> 'suppress' and x.pos <> all(p_bad)
         group by 1 order by min(row(x.u, x.sc)::text collate "C"), 1
    loop
        os := array(select o::int from unnest(p_pos) with ordinality x(p, o) where p = subject);
        for try in 1..5 loop
            begin
                won := won || array(
                    select os[w] from unnest(reveille.put_notifications(
                        p_run, ev, di, ks, kd, kp, p_nos, '{}',
                        array(select p_pos[o] from unnest(os) o),
                        array(select p_user[o] from unnest(os) o),
                        array(select p_scen[o] from unnest(os) o),
                        array(select p_act[o] from unnest(os) o),
                        array(select p_about[o] from unnest(os) o),
                        array(select p_payload[o] from unnest(os) o), true)) w);
                exit;
            exception when data_exception or integrity_constraint_violation
                        or program_limit_exceeded then
                continue when sqlstate = '23505' and try < 5;    -- a new snapshot sees its row
                bad := bad || subject;
                messages := messages || sqlstate;
                exit;
            end;
        end loop;
    end loop;
end $$;

-- The subjects with a decision that cannot be used, in p_bad's order of discovery: an unknown
-- scenario or action, no user, a payload over 16 kB, or in a scenario kept per subject an about_id
-- that is missing or is no certification or assignment of that user. One wrong decision spoils the
-- subject, all of it. p_bad: subjects that are errors already, left out of the second look.
create or replace function reveille.unusable(
    ks text[], kp boolean[], p_bad int[], p_pos int[], p_user uuid[], p_scen text[], p_act text[],
    p_about uuid[], p_payload text[], out bad int[], out messages text[])
language plpgsql stable as $$
declare
    foreigners int[];
begin
    bad := array(
        select distinct x.pos
          from unnest(p_pos, p_user, p_scen, p_act, p_about, p_payload) x(pos, u, sc, act, ab, pl)
          left join unnest(ks, kp) k(sc, per) on k.sc = x.sc
         where (nullif(x.u, '00000000-0000-0000-0000-000000000000') is not null  -- nobody to tell
                and x.act in ('dispatch', 'dispatched', 'suppress')
                and k.sc is not null and (not k.per or x.ab is not null)
                and coalesce(octet_length(x.pl), 0) <= 16384) is not true);
    messages := array_fill('unusable decision'::text, array[cardinality(bad)]);
    if true = any(kp) then
        foreigners := array(
            select distinct x.pos
              from unnest(p_pos, p_user, p_scen, p_about) x(pos, u, sc, ab)
              join unnest(ks, kp) k(sc, per) on k.sc = x.sc and k.per
              left join reveille.owned_by(p_user, p_about) o
                on o.user_id = x.u and o.about_id = x.ab
             where o.about_id is null and x.pos <> all(p_bad || bad));
        bad := bad || foreigners;
        messages := messages || array_fill('about_id is not of this user'::text,
                                           array[cardinality(foreigners)]);
    end if;
end $$;

-- Which refused dispatches are duplicates (a row of the same evaluation date is there); the others
-- were refused by the cooldown. A statement of its own: only a new snapshot sees who was first.
create or replace function reveille.duplicates(
    ev date, ks text[], kp boolean[], p_won int[], p_user uuid[], p_scen text[], p_act text[],
    p_about uuid[])
returns int[] language plpgsql as $$
begin
    return array(
        select x.o::int
          from unnest(p_user, p_scen, p_act, p_about) with ordinality x(u, sc, act, ab, o)
          join unnest(ks, kp) k(sc, per) on k.sc = x.sc
          left join unnest(p_won) w(o) on w.o = x.o
         where x.act <> 'suppress' and w.o is null and exists (
            select from reveille.notification n
             where n.evaluation_date = ev and n.user_id = x.u and n.scenario_type = x.sc
               and n.about_id = case when k.per then x.ab
                                     else '00000000-0000-0000-0000-000000000000' end));
end $$;

-- Puts the numbers on the slices and makes them done. by_scenario has every scenario of the run,
-- also with zeros: {type: {evaluated, dispatched, suppressed: {duplicate, cooldown, engine,
-- shadow}}}.
create or replace function reveille.write_numbers(
    p_run uuid, p_worker text, p_shadow boolean, ks text[], p_slices int[], p_ids uuid[],
    p_nos int[], p_skipped int[], p_bad int[], p_won int[], p_dup int[], p_pos int[],
    p_scen text[], p_act text[])
returns table(slice_no int, evaluated int, skipped int, errors int, dispatched int,
              suppressed int)
language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with decision as materialized (
        select p_nos[d.pos] as no, d.sc, d.act, w.o as won, u.o as dup
          from unnest(p_scen, p_act, p_pos) with ordinality d(sc, act, pos, o)
          left join unnest(p_won) w(o) on w.o = d.o
          left join unnest(p_dup) u(o) on u.o = d.o
         where d.pos <> all(p_bad)),
    cell as (
        select s.no, k.sc, count(d.no)::int as n, count(d.won)::int as won,
               count(d.dup)::int as dup,
               (count(*) filter (where d.act = 'suppress'))::int as engine,
               (count(*) filter (where p_shadow and d.act <> 'suppress'))::int as shadow
          from unnest(p_slices) s(no)
          left join unnest(ks) k(sc) on true
          left join decision d on d.no = s.no and d.sc = k.sc
         group by 1, 2),
    failed as (
        select p_nos[pos] as no, count(distinct pos)::int as n from unnest(p_bad) pos group by 1),
    absent as (
        select p_nos[pos] as no, array_agg(p_ids[pos] order by pos) as ids
          from (select distinct pos from unnest(p_skipped) pos) x group by 1),
    sums as (
        select c.no, coalesce(f.n, 0) as errors, coalesce(a.ids, '{}') as skipped_ids,
               sum(c.won)::int as dispatched, sum(c.n - c.won)::int as suppressed,
               coalesce(jsonb_object_agg(c.sc, jsonb_build_object(
                   'evaluated', t.n - coalesce(cardinality(a.ids), 0) - coalesce(f.n, 0),
                   'dispatched', c.won,
                   'suppressed', jsonb_strip_nulls(jsonb_build_object(
                       'duplicate', nullif(c.dup, 0),
                       'cooldown', nullif(c.n - c.won - c.dup - c.engine - c.shadow, 0),
                       'engine', nullif(c.engine, 0),
                       'shadow', nullif(c.shadow, 0)))))
                   filter (where c.sc is not null), '{}') as by_scenario
          from cell c
          join (select no, count(*) as n from unnest(p_nos) no group by 1) t using (no)
          left join failed f using (no)
          left join absent a using (no)
         group by 1, 2, 3)
    update reveille.slice s
       set state = 'done',
           evaluated = cardinality(s.subject_ids) - cardinality(x.skipped_ids) - x.errors,
           skipped = cardinality(x.skipped_ids), skipped_ids = x.skipped_ids, errors = x.errors,
           unreached = 0, dispatched = x.dispatched, suppressed = x.suppressed,
           by_scenario = x.by_scenario, worker = p_worker, done_at = clock_timestamp()
      from sums x
     where s.run_id = p_run and s.slice_no = x.no
    returning s.slice_no, s.evaluated, s.skipped, s.errors, s.dispatched, s.suppressed;
end $$;

reset role;
