-- judge_slices: the sql engine's claim, judge and settle of several slices in one statement.
begin;
select no_plan();
select test.job('j', 'sql');

-- judge_slices by worker p_w: the numbers of each slice.
create function pg_temp.judge(p_run uuid, p_slices int[], p_w text default 'w',
                              p_each boolean default false)
returns table(slice_no int, evaluated int, skipped int, errors int, dispatched int, suppressed int)
language sql as $$
    select x.slice_no, x.evaluated, x.skipped, x.errors, x.dispatched, x.suppressed
      from reveille.judge_slices(p_run, p_slices, p_w, p_each) x order by 1
$$;
select test.mentors(1, 25);
-- 1-5 were active today, 6-10 exactly 60 days ago, 11-15 59 days ago; 16-25 never
insert into activities(user_id, activity_date)
    select test.person(i), current_date - case when i <= 5 then 0 when i <= 10 then 60 else 59 end
      from generate_series(1, 15) i;
insert into activities(user_id, activity_date)
    select test.person(i), current_date - 400 from generate_series(1, 15) i;
select test.run('j', 5) as run \gset
update peer_mentors set status = 'paused' where id = test.mentor(21);

select results_eq(
    format($$ select * from pg_temp.judge(%L, '{0,1,2,3}') $$, :'run'),
    $$ values (0, 5, 0, 0, 0, 0), (1, 5, 0, 0, 5, 0), (2, 5, 0, 0, 0, 0), (3, 5, 0, 0, 5, 0) $$,
    'R-E3: inactivity is judged in bulk: 60 days ago is due, 59 is not, never active is due');
select is(payload, jsonb_build_object('last_activity', current_date - 60),
          'the notification says since when')
  from reveille.notification where user_id = test.person(6);
select is_empty(format($$ select * from pg_temp.judge(%L, '{0,1}') $$, :'run'),
                'R-D4: slices that are done are left alone');
select outcome from reveille.claim_slice(:'run', 4, 'other') \gset
select is_empty(format($$ select * from pg_temp.judge(%L, '{4}') $$, :'run'),
                'R-D4: and those that somebody lives on');
update reveille.slice set moved_at = clock_timestamp() - interval '11 s' where slice_no = 4;
select results_eq(format($$ select * from pg_temp.judge(%L, '{4}') $$, :'run'),
                  $$ values (4, 4, 1, 0, 4, 0) $$,
                  'R-P1: a stale one is taken over, who is paused skipped');
select is(attempt, 2, 'that is another attempt') from reveille.slice where slice_no = 4;
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- a judge that fails on one subject
create function public.failing_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql security definer as $$
    select m.id, m.user_id, 'inactivity', null::uuid,
           jsonb_build_object('x', 1 / (case when m.id = test.mentor(3) then 0 else 1 end))
      from public.peer_mentors m where m.id = any(ids)
$$;
update reveille.job set judge = 'public.failing_judge' where job_name = 'j';
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
select test.run('j', 5) as run \gset
select throws_ok(format($$ select * from pg_temp.judge(%L, '{0}') $$, :'run'), '22012',
    null,
                 'a judge''s data error fails the call');
select results_eq(format($$ select * from pg_temp.judge(%L, '{0}', 'w', true) $$, :'run'),
                  $$ values (0, 4, 0, 1, 4, 0) $$,
                  'R-E2: asked one by one, only that subject is an error');
select results_eq(format('select subject_id, error_class, error_message from reveille.subject_error
                           where run_id = %L', :'run'),
                  $$ values (test.mentor(3), 'database_error', '22012') $$,
                  'R-E2: of the database');
select reveille.judge_slices(:'run', '{1,2,3,4}', 'w');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- a judge that raises, one that answers twice, and one that answers nonsense
create function public.raising_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language plpgsql security definer as $$
declare
    x uuid;
begin
    if test.mentor(6) = any(ids) then
        raise 'a row that this judge does not understand';
    elsif test.mentor(7) = any(ids) then
        x := (select m.id from public.peer_mentors m where m.id >= test.mentor(7));
    end if;
    return query
        select m.id, m.user_id,
               case when m.id = test.mentor(8) then 'unheard_of' else 'inactivity' end,
               null::uuid, '{}'::jsonb
          from public.peer_mentors m where m.id = any(ids);
end $$;
update reveille.job set judge = 'public.raising_judge' where job_name = 'j';
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
select test.run('j', 5) as run \gset
select throws_ok(format($$ select * from pg_temp.judge(%L, '{1}') $$, :'run'), 'P0001', null,
                 'a judge that raises fails the call');
select results_eq(
    format($$ select errors, dispatched, error_ids, error_classes, error_texts
                from reveille.judge_slices(%L, '{1}', 'w', true) $$, :'run'),
    $$ values (3, 2, array[test.mentor(6), test.mentor(7), test.mentor(8)],
               '{database_error,database_error,evaluation_logic_error}'::text[],
               '{P0001,21000,"unusable decision"}'::text[]) $$,
    'R-E2, R-S4: each bad subject costs itself, and is told with its class');
select reveille.judge_slices(:'run', '{0,2,3,4}', 'w');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- a judge that is not allowed, one that is gone, and one that names what is not there
create function public.closed_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql as $$ select null::uuid, null::uuid, '', null::uuid, '{}'::jsonb $$;
revoke all on function public.closed_judge(uuid[], date, jsonb) from public;
create function public.stale_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language plpgsql as $$ begin return query select * from public.no_such_table; end $$;
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
select test.run('j', 5) as run \gset
create function pg_temp.refused(p_run uuid, p_judge text) returns text language plpgsql as $$
begin
    update reveille.job set judge = p_judge where job_name = 'j';
    perform reveille.judge_slices(p_run, '{0}', 'w');
    return 'none';
exception when others then
    return sqlstate;
end $$;
create function pg_temp.one_by_one(p_run uuid, p_slice int, p_judge text) returns text
language plpgsql as $$
declare
    got record;
begin
    update reveille.job set judge = p_judge where job_name = 'j';
    select * into got from reveille.judge_slices(p_run, array[p_slice], 'w', true);
    return format('%s errors: %s', got.errors,
                  array(select distinct c || ' ' || t
                          from unnest(got.error_classes, got.error_texts) x(c, t)));
end $$;
select is(pg_temp.refused(:'run', judge), state, 'a judge is refused for good: ' || state)
  from (values ('public.closed_judge', '42501'), ('public.gone_judge', '42883'),
               ('public.stale_judge', '42P01')) x(judge, state);
select is(pg_temp.one_by_one(:'run', slice, judge), '5 errors: {"database_error ' || state || '"}',
          'R-E2: asked one by one, it costs its subjects: ' || state)
  from (values (0, 'public.closed_judge', '42501'), (1, 'public.gone_judge', '42883'),
               (2, 'public.stale_judge', '42P01')) x(slice, judge, state);
update reveille.job set judge = 'public.raising_judge' where job_name = 'j';
select reveille.judge_slices(:'run', '{3,4}', 'w');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- which scenarios, and what comes of what they say
create function public.double_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql security definer as $$
    select m.id, m.user_id, k, null::uuid, '{}'::jsonb
      from public.peer_mentors m cross join jsonb_object_keys(params) k
     where m.id = any(ids) and (k = 'milestone' or m.id <= test.mentor(3))
$$;
update reveille.scenario_config set enabled = true, cooldown_days = 7
 where scenario_type = 'milestone';
update reveille.job set judge = 'public.double_judge', scenario_types = '{inactivity,milestone}'
 where job_name = 'j';
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
create function pg_temp.by_scenario(p_run uuid, p_slices int[] default '{0,1,2,3,4}') returns jsonb
language plpgsql as $$
begin
    perform reveille.judge_slices(p_run, p_slices, 'w');
    perform reveille.close_run(p_run, 'p', 1);
    return reveille.summary(p_run) -> 'by_scenario';
end $$;
select test.run('j', 5, '{"shadow": true}') as run \gset
select is(pg_temp.by_scenario(:'run'), '{
    "inactivity": {"evaluated": 24, "dispatched": 0, "suppressed": {"shadow": 3}},
    "milestone": {"evaluated": 24, "dispatched": 0, "suppressed": {"shadow": 24}}}',
    'R-E3: a shadow run judges and counts, and dispatches nothing');
select is((select count(*) from reveille.notification), 0::bigint, 'nothing is written');
select test.run('j', 5, '{"scenario_types": ["milestone"]}') as run \gset
select is(pg_temp.by_scenario(:'run'), '{
    "milestone": {"evaluated": 24, "dispatched": 24, "suppressed": {}}}',
    'R-E3: a run of a subset judges and counts that subset only');
delete from reveille.notification where user_id = test.person(1);
delete from reveille.outbox where user_id = test.person(1);
select test.run('j', 5) as run \gset
select is(pg_temp.by_scenario(:'run'), '{
    "inactivity": {"evaluated": 24, "dispatched": 3, "suppressed": {}},
    "milestone": {"evaluated": 24, "dispatched": 0,
                  "suppressed": {"duplicate": 23, "cooldown": 1}}}',
    'R-D2, R-E3: what was told before is counted by its reason, each scenario for itself');
select is(test.differs(:'run'), '', 'the run holds');

select * from finish();
rollback;
