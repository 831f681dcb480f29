-- settle_slice: a slice's outcome, all of it or nothing, each notification once.
begin;
select no_plan();
select test.job('s', 'noop', '{inactivity,milestone}');
update reveille.scenario_config set enabled = true, cooldown_days = 7
 where scenario_type = 'milestone';
select test.mentors(1, 4);

-- settle_slice with one decision a row: {"pos", "scen", "act"?, "user"?, "about"?, "payload"?}.
create function pg_temp.settle(p_run uuid, p_slice int, p_skipped int[], p_decisions jsonb,
    e_pos int[] default '{}', e_class text[] default '{}', p_each boolean default false,
    p_careful boolean default false) returns text language sql as $$
    select (select row(x.evaluated, x.skipped, x.errors, x.dispatched, x.suppressed)::text
              from reveille.settle_slice(p_run, p_slice, 'w', p_skipped, d.pos, d.users,
               d.scen, d.act, d.about, d.payload, e_pos, e_class,
               array_fill('went wrong'::text, array[cardinality(e_pos)]), p_each, p_careful) x)
      from (select coalesce(array_agg((e ->> 'pos')::int), '{}') as pos,
                   coalesce(array_agg(case when e ? 'user' then (e ->> 'user')::uuid
                                           else test.person((e ->> 'pos')::int) end),
                                           '{}') as users,
                   coalesce(array_agg(e ->> 'scen'), '{}') as scen,
                   coalesce(array_agg(coalesce(e ->> 'act', 'dispatch')), '{}') as act,
                   coalesce(array_agg((e ->> 'about')::uuid), '{}') as about,
                   coalesce(array_agg(e ->> 'payload'), '{}') as payload
              from jsonb_array_elements(p_decisions) e) d
$$;
create function pg_temp.by_scenario(p_run uuid) returns jsonb language sql as $$
    select reveille.summary(p_run) -> 'by_scenario'
$$;

-- ---- one slice with everything
select test.run('s') as run \gset
select is(pg_temp.settle(:'run', 0, '{4}', '[
    {"pos": 1, "scen": "inactivity", "payload": "{\"days\": 61}"},
    {"pos": 1, "scen": "milestone", "act": "dispatched"},
    {"pos": 2, "scen": "inactivity", "act": "suppress"}]', '{3}', '{network_error}'),
    '(2,1,1,2,1)', 'R-S6: one settle writes evaluated, skipped, errors, dispatched and suppressed');
select is(pg_temp.by_scenario(:'run'), '{
    "inactivity": {"evaluated": 2, "dispatched": 1, "suppressed": {"engine": 1}},
    "milestone": {"evaluated": 2, "dispatched": 1, "suppressed": {}}}',
    'R-E3: the numbers of each scenario, with those that had no decision');
select results_eq(
    $$ select user_id, scenario_type collate "default", external, payload, cooldown_days, about_id,
    slice_no,
              evaluation_date = cooldown_window_start from reveille.notification order by 2 $$,
    $$ values (test.person(1), 'inactivity', false, jsonb '{"days": 61}', 30,
               uuid '00000000-0000-0000-0000-000000000000', 0, true),
              (test.person(1), 'milestone', true, '{}', 7,
               '00000000-0000-0000-0000-000000000000', 0, true) $$,
    'R-D1: the notification is the dispatch');
select results_eq($$ select scenario_type collate "default" from reveille.outbox $$,
    $$ values ('inactivity') $$,
                  'what the engine has sent itself is not in the outbox');
select results_eq(
    $$ select scenario_type collate "default", until - (now() at time zone 'Europe/Oslo')::date
    from reveille.cooldown
        order by 1 $$, $$ values ('inactivity', 30), ('milestone', 7) $$,
    'R-D3: the cooldown counts from the day of dispatch');
select results_eq($$ select subject_id, error_class, error_message, attempt
                       from reveille.subject_error $$,
                  $$ values (test.mentor(3), 'network_error', 'went wrong', 0) $$,
                  'R-E2: an error is named, with its class');
select is(skipped_ids, array[test.mentor(4)], 'R-P1: who was skipped is named')
  from reveille.slice where run_id = :'run';
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 2, "scen": "milestone"}]'), null,
          'R-D4: a second settle of the slice changes nothing');
select is((select count(*) from reveille.notification), 2::bigint, 'R-D4: nor does it notify');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- duplicates and cooldown
select test.run('s') as run \gset
select is(pg_temp.settle(:'run', 0, '{}', '[
    {"pos": 1, "scen": "inactivity"}, {"pos": 2, "scen": "inactivity"},
    {"pos": 2, "scen": "inactivity"}]'), '(4,0,0,1,2)',
    'R-D2: a duplicate is counted as suppressed, and is no error');
select is(pg_temp.by_scenario(:'run') #> '{inactivity,suppressed}', '{"duplicate": 2}',
          'R-D2: one of the same day, or named twice in a slice, is a duplicate');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

create function pg_temp.days_pass(p_days int) returns void language sql as $$
    update reveille.notification set cooldown_window_start = cooldown_window_start - p_days,
           evaluation_date = evaluation_date - p_days;
    update reveille.cooldown set until = until - p_days;
    update reveille.run set dispatch_date = dispatch_date - p_days,
           evaluation_date = evaluation_date - p_days;
    update reveille.outbox set cooldown_window_start = cooldown_window_start - p_days;
$$;
select pg_temp.days_pass(29);
select test.run('s') as run \gset
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 1, "scen": "inactivity"}]'), '(4,0,0,0,1)',
          'R-D3: on day 29 of 30 it is too early');
select is(pg_temp.by_scenario(:'run') #> '{inactivity,suppressed}', '{"cooldown": 1}',
          'R-D3: the cooldown refused it');
select reveille.close_run(:'run', 'p', 1);
select pg_temp.days_pass(1);
select test.run('s') as run \gset
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 1, "scen": "inactivity"}]'), '(4,0,0,1,0)',
          'R-D3: on day 30 it goes out');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'R-D3: and the run holds');

-- an older evaluation date, of a day that has its notification: the careful look finds it
select test.run('s', 100, jsonb_build_object('evaluation_date', current_date - 30)) as run \gset
update reveille.cooldown set until = current_date - 1;
delete from reveille.notification where cooldown_window_start = current_date;
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 1, "scen": "inactivity"},
    {"pos": 3, "scen": "inactivity"}]'), '(4,0,0,1,1)',
    'R-D1: the same evaluation date is never notified twice, whatever the cooldown says');
select is(pg_temp.by_scenario(:'run') #> '{inactivity,suppressed}', '{"duplicate": 1}',
          'R-D2: it is a duplicate');
select reveille.close_run(:'run', 'p', 1);

-- a notification past the cooldown table: plain INSERT fails, the careful one does not
update reveille.cooldown set until = current_date;
select test.run('s') as run \gset
insert into reveille.notification(user_id, scenario_type, evaluation_date, cooldown_window_start,
                                  cooldown_days, slice_no, run_id)
    values (test.person(2), 'milestone', current_date, current_date, 7, 0, gen_random_uuid());
select throws_ok(format($$ select pg_temp.settle(%L, 0, '{}',
    '[{"pos": 2, "scen": "milestone"}]') $$,
                        :'run'), '23505', null, 'R-D1: the database itself refuses a duplicate');
select is((select state from reveille.slice where run_id = :'run'), 'pending',
    'and all of the settle');
select throws_ok(format($$ insert into reveille.notification(user_id, scenario_type, evaluation_date,
    cooldown_window_start, cooldown_days, slice_no, run_id) values (test.person(2), 'milestone',
    current_date - %s, current_date + %s, 7, 0, gen_random_uuid()) $$, earlier, later), '23505', null,
    title)
  from (values (0, 1, 'R-D1: nothing is written twice for an evaluation date'),
               (1, 0, 'R-D1: nor twice for a day of dispatch')) x(earlier, later, title);
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 2, "scen": "milestone"}]', '{}', '{}', false,
    true),
          '(4,0,0,0,1)', 'R-D2: settled again with care, it is suppressed');
select reveille.close_run(:'run', 'p', 1);

-- told today for another date, and its cooldown row deleted by hand: no settle without end
delete from reveille.cooldown;
select test.run('s', 100, jsonb_build_object('evaluation_date', current_date - 1)) as run \gset
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 2, "scen": "milestone"}]', '{}', '{}', false,
    true),
          '(4,0,0,0,1)', 'R-D3: nobody is told twice on a day, also without the cooldown row');
select reveille.close_run(:'run', 'p', 1);

-- ---- shadow
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
select test.run('s', 100, '{"shadow": true}') as run \gset
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 1, "scen": "inactivity"},
    {"pos": 1, "scen": "milestone",
    "act": "suppress"}]'), '(4,0,0,0,2)', 'a shadow run dispatches nothing');
select is(pg_temp.by_scenario(:'run'), '{
    "inactivity": {"evaluated": 4, "dispatched": 0, "suppressed": {"shadow": 1}},
    "milestone": {"evaluated": 4, "dispatched": 0,
    "suppressed": {"engine": 1}}}', 'and counts all');
select is((select count(*) from reveille.cooldown), 0::bigint, 'and starts no cooldown');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the shadow run holds');

-- ---- what cannot be used
select test.run('s') as run \gset
select throws_ok(format($$ select pg_temp.settle(%L, 0, %L, %L) $$, :'run', s, d), 'RV422', null,
    title)
  from (values ('{}', '[{"pos": 5, "scen": "inactivity"}]',
      'a result outside the slice is refused'),
               ('{}', '[{"pos": 0, "scen": "inactivity"}]', 'position 0 is outside the slice'),
               ('{1}', '[{"pos": 1, "scen": "inactivity"}]',
               'a result for a skipped subject is refused'),
               ('{5}', '[]', 'who is not in the slice is not skipped')) x(s, d, title);
select throws_ok(format($$ select pg_temp.settle(%L, 0, '{}', '[]', '{9}', '{network_error}') $$,
    :'run'),
                 'RV422', null, 'an error outside the slice is refused');
select is(pg_temp.settle(:'run', 0, '{}', jsonb '[
    {"pos": 1, "scen": "party"}, {"pos": 1, "scen": "inactivity"},
    {"pos": 2, "scen": "inactivity", "act": "shout"},
    {"pos": 3, "scen": "inactivity", "user": "00000000-0000-0000-0000-000000000000"}]' || jsonb_build_array(jsonb_build_object(
        'pos', 4, 'scen', 'inactivity', 'payload', '"' || repeat('x', 16384) || '"'))),
    '(0,0,4,0,0)', 'R-E2: a subject with one unusable decision is an error, all of it');
select results_eq(format('select distinct error_class, error_message from reveille.subject_error
                           where run_id = %L', :'run'),
                  $$ values ('evaluation_logic_error', 'unusable decision') $$,
                  'R-E2: of the engine''s logic');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- data that the database refuses: all fails, subject by subject only the bad one
select test.run('s') as run \gset
select throws_ok(format($$ select pg_temp.settle(%L, 0, '{}', '[{"pos": 1, "scen": "inactivity"},
    {"pos": 2, "scen": "inactivity", "payload": "{broken"}]') $$, :'run'), '22P02', null,
    'a payload that is no JSON fails the settle');
select is(pg_temp.settle(:'run', 0, '{}', '[{"pos": 1, "scen": "inactivity"},
    {"pos": 2, "scen": "inactivity", "payload": "{broken"}, {"pos": 2, "scen": "milestone"}]',
    '{}', '{}', true), '(3,0,1,1,0)', 'R-E2: settled one by one, only that subject is an error');
select results_eq(format('select subject_id, error_class, error_message from reveille.subject_error
                           where run_id = %L', :'run'),
                  $$ values (test.mentor(2), 'database_error', '22P02') $$,
                  'R-E2: of the database');
select is((select count(*) from reveille.notification where user_id = test.person(2)), 0::bigint,
          'none of its decisions goes out');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- per subject: two certificates of one mentor
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
update reveille.scenario_config set per_subject = true where scenario_type = 'milestone';
insert into certifications(id, peer_mentor_id, expires_on)
    select test.mentor(c), test.mentor(m), '2026-12-31' from (values (101, 1), (102, 1), (103,
    2)) x(c, m);
select test.run('s') as run \gset
select is(pg_temp.settle(:'run', 0, '{}', jsonb_build_array(
    jsonb_build_object('pos', 1, 'scen', 'milestone', 'about', test.mentor(101)),
    jsonb_build_object('pos', 1, 'scen', 'milestone', 'about', test.mentor(102)),
    jsonb_build_object('pos', 1, 'scen', 'inactivity', 'about', test.mentor(103)),
    jsonb_build_object('pos', 2, 'scen', 'milestone', 'about', test.mentor(101)),
    jsonb_build_object('pos', 3, 'scen', 'milestone'),
    jsonb_build_object('pos', 4, 'scen', 'milestone', 'about', test.mentor(4)))), '(2,0,2,4,0)',
    'R-D1: kept per subject, two certificates of a mentor are two notifications');
select results_eq($$ select scenario_type collate "default", about_id from reveille.notification
                      where user_id = test.person(1) order by 1, 2 $$,
    $$ values ('inactivity', uuid '00000000-0000-0000-0000-000000000000'),
              ('milestone', test.mentor(101)), ('milestone', test.mentor(102)) $$,
    'R-D1: about_id counts only where the scenario is kept per subject');
select results_eq(format('select subject_id, error_message from reveille.subject_error
                           where run_id = %L order by 1', :'run'),
    $$ values (test.mentor(2), 'about_id is not of this user'), (test.mentor(3),
    'unusable decision') $$,
    'R-E2: another''s certificate, or none, is an error');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- the row guards itself
select throws_ok($$ update reveille.slice set evaluated = evaluated + 1 where state = 'done' $$,
    '23514',
                 null, 'R-D4: the identity of a slice is a constraint');

select * from finish();
rollback;
