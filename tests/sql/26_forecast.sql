-- forecast_replay: the dry run tells what then happens, and changes nothing.
begin;
select no_plan();
select test.mentors(1, 9);
select test.job('q', 'sql', '{inactivity,milestone}');
update reveille.scenario_config set cooldown_days = 7, enabled = true
 where scenario_type in ('inactivity', 'milestone');

-- Judges inactivity and milestone for everybody; the 5th mentor's decision is too long, and the
-- 7th's are for the 6th's user.
create function public.test_judge(subject_ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql stable security definer set row_security = off as $$
    select m.id, case when m.id = test.mentor(7) then test.person(6) else m.user_id end,
           k, null::uuid, jsonb_build_object('x', repeat('x', case when m.id = test.mentor(5)
                                                     then 17000 else 1 end))
      from public.peer_mentors m cross join jsonb_object_keys(params) k
     where m.id = any(subject_ids) and (m.id <> test.mentor(9) or k = 'inactivity')
$$;
grant execute on function public.test_judge(uuid[], date, jsonb) to reveille_owner;
update reveille.job set judge = 'public.test_judge' where job_name = 'q';

select test.run('q', 4) as parent \gset
select reveille.cancel_run(:'parent');
select evaluation_date as ev from reveille.run where run_id = :'parent' \gset
-- 1: still within the cooldown of another day; 2: told for this day already; 3: paused since
insert into reveille.cooldown(user_id, scenario_type, about_id, until)
    values (test.person(1), 'inactivity', '00000000-0000-0000-0000-000000000000', :'ev'::date + 3);
insert into reveille.cooldown(user_id, scenario_type, about_id, until)
    values (test.person(2), 'inactivity', '00000000-0000-0000-0000-000000000000', :'ev'::date + 7);
insert into reveille.notification(user_id, scenario_type, evaluation_date, cooldown_window_start,
                                  cooldown_days, slice_no, run_id)
    values (test.person(2), 'inactivity', :'ev', :'ev', 7, 0, gen_random_uuid());
update public.peer_mentors set status = 'paused' where id = test.mentor(3);

create function pg_temp.forecast(p_run uuid, p_sel jsonb default '{"unreached": true}')
returns jsonb language sql as $$ select forecast from reveille.forecast_replay(p_run, p_sel) $$;
-- The rows that anything could have changed.
create function pg_temp.rows() returns bigint language sql as $$
    select (select count(*) from reveille.run) + (select count(*) from reveille.slice)
         + (select count(*) from reveille.notification) + (select count(*) from reveille.cooldown)
         + (select count(*) from reveille.audit)
$$;
select pg_temp.rows() as before \gset
select pg_temp.forecast(:'parent') as f \gset
select is(:'f'::jsonb - 'forecast', format('{"replay_of": "%s", "subjects": 9, "slices": 3,
              "errors": {}, "unreached": 9}', :'parent')::jsonb,
          'R-X1: a dry run tells how many would be judged');
select is(:'f'::jsonb -> 'forecast', '{"exact": true, "evaluated": 7, "skipped": 1, "errors": 1,
    "dispatched": 9, "suppressed": 4, "by_scenario": {
        "inactivity": {"evaluated": 7, "dispatched": 4, "suppressed": {"cooldown": 1, "duplicate": 2}},
        "milestone": {"evaluated": 7, "dispatched": 5, "suppressed": {"duplicate": 1}}}}',
          'R-X1: and for the sql engine what would go out, and what not, and why');
select is(pg_temp.rows(), :before::bigint, 'R-X1: it changes nothing');

-- ---- what then happens
select summary ->> 'run_id' as replay
  from reveille.open_replay(:'parent', '{"unreached": true}') \gset
select is((select outcome from reveille.forecast_replay(:'parent', '{"unreached": true}')),
          'replaying', 'R-X1: a dry run of what would be refused says so');
select reveille.open_run('p');
-- As a worker does that meets no trouble: a slice after the other.
select reveille.judge_slices(:'replay', array[s], 'w') from generate_series(0, 2) s;
select reveille.close_run(:'replay', 'p', 1) as done \gset
select is(jsonb_build_object(
              'evaluated', d -> 'total_evaluated', 'skipped', d -> 'total_skipped',
              'errors', d -> 'total_errors', 'dispatched', d -> 'total_dispatched',
              'suppressed', d -> 'total_suppressed', 'by_scenario', d -> 'by_scenario'),
          (:'f'::jsonb -> 'forecast') - 'exact', 'R-X1: what it told is what then happens')
  from (select :'done'::jsonb as d) x;
select is(pg_temp.forecast(:'parent', '{"errors": true, "unreached": true}')
              #- '{forecast,by_scenario}',
          format('{"replay_of": "%s", "subjects": 1, "slices": 1, "unreached": 0,
              "errors": {"evaluation_logic_error": 1}, "forecast": {"exact": true, "evaluated": 0,
              "skipped": 0, "errors": 1, "dispatched": 0, "suppressed": 0}}', :'parent')::jsonb,
          'R-X1: errors are told by class');
select is(pg_temp.forecast(:'parent'), format('{"replay_of": "%s", "subjects": 0, "slices": 0,
    "errors": {}, "unreached": 0, "forecast": {"exact": true, "evaluated": 0, "skipped": 0,
    "errors": 0, "dispatched": 0, "suppressed": 0, "by_scenario": {
        "inactivity": {"evaluated": 0, "dispatched": 0, "suppressed": {}},
        "milestone": {"evaluated": 0, "dispatched": 0, "suppressed": {}}}}}', :'parent')::jsonb,
          'R-X1: nobody left is a forecast of nobody');

-- ---- a judge that stumbles is asked one by one, as by the worker
create function public.test_stumbles(subject_ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql stable security definer set row_security = off as $$
    select m.id, m.user_id, 'inactivity', null::uuid,
           jsonb_build_object('x', 1 / (m.id <> test.mentor(8))::int)
      from public.peer_mentors m where m.id = any(subject_ids)
$$;
grant execute on function public.test_stumbles(uuid[], date, jsonb) to reveille_owner;
select test.job('t', 'sql', '{inactivity}');
update reveille.job set judge = 'public.test_stumbles' where job_name = 't';
select test.run('t', 4) as other \gset
select reveille.cancel_run(:'other');
select is(pg_temp.forecast(:'other') #- '{forecast,by_scenario}' -> 'forecast', '{"exact": true,
    "evaluated": 7, "skipped": 0, "errors": 1, "dispatched": 2, "suppressed": 5}',
          'R-X1: a row that the judge stumbles over is forecast as an error');

-- ---- engines that cannot tell: bounds
select test.job('h', 'http', '{inactivity}');
select test.run('h', 4) as http \gset
select reveille.cancel_run(:'http');
select ok((f ->> 'dispatched')::int + (f ->> 'suppressed')::int = 8 and not (f ->> 'exact')::boolean
          and (f ->> 'dispatched')::int = (
            select count(distinct m.user_id) from public.peer_mentors m
             where m.status = 'active' and not exists (
                select from reveille.cooldown c where c.user_id = m.user_id
                   and c.scenario_type = 'inactivity' and c.until > :'ev'::date)),
          'R-X1: of another engine it tells what can go out at most: ' || f::text)
  from (select pg_temp.forecast(:'http') -> 'forecast' as f) x;
select test.run('h', 4, '{"shadow": true}') as shadow \gset
select reveille.cancel_run(:'shadow');
select is(pg_temp.forecast(:'shadow') #> '{forecast,by_scenario,inactivity}',
          '{"evaluated": 8, "dispatched": 0, "suppressed": {"shadow": 8}}',
          'R-X1: of a shadow run nothing goes out');

-- ---- who may
select lives_ok(format($$ set local transaction_read_only = on;
    select * from reveille.forecast_replay(%L, '{"unreached": true}') $$, :'http'),
    'R-X1: a dry run needs no transaction that may write');
select is(test.denied(r, format($$ select * from reveille.forecast_replay(%L,
              '{"unreached": true}') $$, :'http')), expected, format('%s forecasts: %s', r, expected))
  from (values ('reveille_producer', 'allowed'), ('reveille_reader', '42501'),
               ('reveille_worker', '42501')) x(r, expected);

select * from finish();
rollback;
