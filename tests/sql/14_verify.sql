-- verify_run: the proof notices what was broken behind its back.
begin;
select no_plan();
select test.job('v');
select test.mentors(1, 10);
update reveille.scenario_config set enabled = true, cooldown_days = 7
 where scenario_type = 'milestone';
update reveille.job set scenario_types = '{inactivity,milestone}' where job_name = 'v';
select test.run('v', 4) as run \gset
select is(test.differs(:'run'), 'the run is closed, slices without an outcome,'
    ' subjects planned = evaluated + skipped + errors + unreached, totals that differ from the rows',
    'an open run does not hold');
select test.settle(:'run', 0, '{1,2}');
select reveille.settle_slice(:'run', 1, 'w', '{4}', '{1}', array[test.person(5)], '{inactivity}',
    '{dispatch}',
                             array[null]::uuid[], array[null]::text[], '{2}', '{network_error}',
                             '{x}');
select reveille.cancel_run(:'run');
select is(test.differs(:'run'), '', 'R-D4: a run with every kind of outcome holds');
select is((select count(*) from reveille.verify_run(:'run')), 16::bigint, 'by sixteen checks');
select is_empty('select * from reveille.verify_run(gen_random_uuid())',
    'an unknown run has no proof');
select is(max(length(name)) <= 62, true, 'names fit the operator''s screen')
    from reveille.verify_run(:'run');

-- Breaks something, and says which checks notice; then it is as before.
create function pg_temp.notices(p_run uuid, p_break text) returns text language plpgsql as $$
declare
    found_out text;
begin
    begin
        execute replace(p_break, '{run}', quote_literal(p_run));
        found_out := test.differs(p_run);
        raise 'undo' using errcode = 'UNDO1';
    exception when sqlstate 'UNDO1' then
        return found_out;
    end;
end $$;
select is(pg_temp.notices(:'run', break), expected, 'R-D4: noticed: ' || title)
  from (values
    ('a lost notification', 'delete from reveille.notification where run_id = {run}
        and user_id = test.person(1) and scenario_type = ''milestone'';
      delete from reveille.outbox where user_id = test.person(1) and scenario_type = ''milestone''',
     'dispatched, by slice = notifications'),
    ('a notification too many',
    'insert into reveille.notification(user_id, scenario_type, evaluation_date,
        cooldown_window_start, cooldown_days, slice_no, run_id) values (test.person(9),
        ''inactivity'',
        current_date, current_date, 30, 0, {run})', 'dispatched, by slice = notifications'),
    ('a notification within another''s cooldown',
    'insert into reveille.notification(user_id, scenario_type,
        evaluation_date, cooldown_window_start, cooldown_days, slice_no,
        run_id) values (test.person(1),
        ''inactivity'', current_date - 29, current_date - 29, 30, 0, gen_random_uuid())',
     'notifications within another''s cooldown'),
    ('one that comes too early after this run',
    'insert into reveille.notification(user_id, scenario_type,
        evaluation_date, cooldown_window_start, cooldown_days, slice_no,
        run_id) values (test.person(1),
        ''milestone'', current_date + 6, current_date + 6, 7, 0, gen_random_uuid())',
     'notifications within another''s cooldown'),
    ('an outbox row for nothing',
    'insert into reveille.outbox(cooldown_window_start, user_id, scenario_type,
        about_id) values (current_date, test.person(9), ''inactivity'', test.person(9))',
     'outbox rows without a notification'),
    ('a lost error', 'delete from reveille.subject_error where run_id = {run}',
     'evaluated, by slice = one by one, errors, by slice = rows, errors, rows = subjects of the run'),
    ('an error of a stranger', 'update reveille.subject_error set subject_id = gen_random_uuid()',
     'evaluated, by slice = one by one, errors, rows = subjects of the run'),
    ('a subject planned twice', 'update reveille.slice set subject_ids[3] = test.mentor(1)
        where run_id = {run} and slice_no = 0', 'subjects in slices = different subjects'),
    ('a lost slice', 'delete from reveille.slice where run_id = {run} and slice_no = 2',
     'slices planned = slices there, subjects planned = evaluated + skipped + errors + unreached,'
     ' totals that differ from the rows'),
    ('changed totals', 'update reveille.run set totals = jsonb_set(totals, ''{errors}'', ''0'')',
     'totals that differ from the rows'),
    ('changed numbers of a scenario',
    'update reveille.slice set by_scenario = jsonb_set(by_scenario,
        ''{inactivity,suppressed}'', ''{"cooldown": 1}'') where run_id = {run} and slice_no = 0',
     'suppressed, by slice = by scenario, totals that differ from the rows'),
    ('a slice opened again', 'update reveille.slice set state = ''pending'' where run_id = {run} and slice_no = 2',
     'slices without an outcome, subjects planned = evaluated + skipped + errors + unreached,'
     ' unreached, by slice = one by one'),
    ('nothing', 'select 1', '')) x(title, break, expected);

select * from finish();
rollback;
