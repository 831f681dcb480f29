-- request, request_status, catch_up: who asks for a job, and what becomes of it.
begin;
select no_plan();
select test.job('yearly');
select test.mentors(1, 3);

-- ---- ringing
create temp table first as select * from reveille.request('yearly', 'pg_cron');
select is(state, 'pending', 'R-T13: a ring is a pending request') from first;
select results_eq($$ select id, state from reveille.request('yearly', 'http') $$,
                  $$ select id, state from first $$, 'R-T13: the same slot is the same request');
select is(source, 'pg_cron', 'R-T13: who rang first is who triggered')
  from reveille.trigger_request where id = (select id from first);
select is((select count(*) from reveille.trigger_request where job_name = 'yearly'), 1::bigint,
          'R-T4: ringing twice leaves one row');
select isnt((select id from reveille.request('yearly', 'manual')), (select id from first),
            'R-T12: a manual request has a row of its own');
select is(slot, null, 'R-T12: a manual request has no slot')
  from reveille.trigger_request where source = 'manual';

-- ---- refusals are results
select is((select state from reveille.request('no_such_job', 'http')), 'unknown',
          'R-T11: an unknown job is an answer, not an exception');
select is((select id from reveille.request(repeat('x', 200), 'http')), null,
          'R-T11: an unknown job has no request');
select results_eq(
    $$ select job_name, status, error_message from reveille.scheduler_execution_log
        order by id $$,
    $$ values ('no_such_job', 'failed', 'unknown job'), ('?', 'failed', 'unknown job') $$,
    'R-T11: an unknown job leaves a failed row in the execution log');

create function pg_temp.asked(p_params jsonb) returns text language plpgsql as $$
declare
    q record;
begin
    select * into q from reveille.request('yearly', 'manual', p_params);
    return (select concat(q.state, ': ' || t.reason) from reveille.trigger_request t
             where t.id = q.id);
end $$;
select is(pg_temp.asked(p), expected, format('R-T12: %s is %s', left(p::text, 60), expected))
  from (values
    (jsonb '{"evaluation_date": "2024-02-29", "shadow": true}', 'pending'),
    ('{"evaluation_date": "9999-01-01"}', 'refused: evaluation_date is in the future'),
    ('{"evaluation_date": "2026-02-30"}', 'refused: evaluation_date is not a day of the calendar'),
    ('{"evaluation_date": "tomorrow"}', 'refused: evaluation_date is not a date (YYYY-MM-DD)'),
    ('{"evaluation_date": 20260101}', 'refused: evaluation_date is not a date (YYYY-MM-DD)'),
    ('{"scenario_types": ["inactivity"]}', 'pending'),
    ('{"scenario_types": ["inactivity", "party"]}',
     'refused: scenario_types has one that is not of this job'),
    ('{"scenario_types": []}', 'refused: scenario_types is not a list of scenarios'),
    ('{"scenario_types": "inactivity"}', 'refused: scenario_types is not a list of scenarios'),
    ('{"shadow": "yes"}', 'refused: shadow is neither true nor false'),
    ('{"subjects": ["00000001-0000-4000-8000-000000000000"]}', 'pending'),
    ('{"subjects": ["me"]}', 'refused: subjects has something that is not an id'),
    ('{"subjects": []}', 'refused: subjects is not a list of 1 to 1000 ids'),
    ('{"evaluaton_date": "2024-01-01"}', 'refused: unknown parameter evaluaton_date'),
    ('[]', 'refused: the parameters are not an object'),
    ('null', 'pending'))
    as x(p, expected);
select is(
    pg_temp.asked(jsonb_build_object('evaluation_date',
        (clock_timestamp() at time zone time_zone)::date)), 'pending',
    'R-T12: today, in the job''s time zone, is no date in the future')
  from reveille.job where job_name = 'yearly';

-- ---- idempotency
create temp table keyed as select * from reveille.request('yearly', 'manual', '{"shadow": true}',
    'k1');
select is((select id from reveille.request('yearly', 'manual', '{}', 'k1')), (select id from keyed),
          'R-T12: the same key is the same request');

-- ---- paused, a copy
select reveille.pause_job('yearly', 'maintenance');
select is(pg_temp.asked('{}'), 'refused: the job is paused', 'R-T8: a paused job refuses requests');
select reveille.pause_job('yearly', null);
update reveille.job set enabled_on = '1/elsewhere' where job_name = 'yearly';
select matches(pg_temp.asked('{}'), '^refused: this is a copy of the database',
               'R-T13: on a copy of the database a job refuses requests');
select reveille.pause_job('yearly', null);
select is(pg_temp.asked('{}'), 'pending', 'R-T13: resume takes the copy for its own');

-- ---- slots that can be rung again
delete from reveille.trigger_request;
select reveille.request('yearly', 'pg_cron');
update reveille.trigger_request set state = 'missed', reason = 'x';
select is((select state from reveille.request('yearly', 'http')), 'pending',
          'R-T13: a missed slot can be rung again');
select results_eq($$ select source, reason from reveille.trigger_request $$,
                  $$ values ('http', null::text) $$, 'R-T13: it is triggered by who rang again');
create temp table opened as select * from reveille.open_run('p');
select is((select state from reveille.request('yearly', 'http')), 'opened',
          'R-T12: a repeated ring answers with the slot''s run');
select is((select run_id from reveille.request('yearly', 'http')), (select run_id from opened),
          'R-T13: same slot, same run');
select reveille.cancel_run((select run_id from opened), 'partial');
select is(state, 'failed', 'a deadline in planning is a failed run')
  from reveille.run where run_id = (select run_id from opened);
select is((select state from reveille.request('yearly', 'http')), 'pending',
          'R-T13: a failed run frees its slot');
select is(tries, 1, 'R-T13: the failed run is counted') from reveille.trigger_request;

-- ---- status
select is(behind, null, 'R-T13: nothing runs, so a pending request waits behind nothing')
  from reveille.request_status((select id from reveille.trigger_request));
select run_id as run from reveille.open_run('p') \gset
select test.age_slots('yearly');
select id as later from reveille.request('yearly', 'pg_cron') \gset
select results_eq(format('select state, behind from reveille.request_status(%s)', :later),
                  format('select %L, %L::uuid', 'pending', :'run'),
                  'R-T13: another slot while a run is active waits behind it');
select is_empty('select * from reveille.request_status(-1)', 'an unknown request has no status');

-- ---- the watchdog
delete from reveille.trigger_request;
delete from reveille.run_lease;
delete from reveille.run;
update reveille.job set paused_at = now() where job_name <> 'yearly';
create function pg_temp.due(p_ago interval) returns void language sql as $$
    update reveille.job set paused_at = null, enabled_on = reveille.here(),
           enabled_since = '-infinity', catchup_window = '12 h',
           schedule = to_char(clock_timestamp() at time zone 'UTC' - p_ago, 'MI HH24 * * *')
     where job_name = 'yearly'
$$;
create function pg_temp.caught() returns text language sql as $$
    select coalesce(string_agg(what, ',' order by what), '') from reveille.catch_up()
$$;
select pg_temp.due('10 min');
select is(pg_temp.caught(), 'missed', 'R-T13: a slot that nobody rang for is caught up');
select is(source, 'catchup', 'R-T13: and marked catchup') from reveille.trigger_request;
select is(slot, date_trunc('minute', clock_timestamp() - interval '10 min'),
          'R-T13: the newest slot, and no other') from reveille.trigger_request;
select is(pg_temp.caught(), '', 'R-T13: once');
delete from reveille.trigger_request;
update reveille.job set enabled_since = clock_timestamp() where job_name = 'yearly';
select is(pg_temp.caught(), '', 'R-T13: no slot from before the job was enabled');
select pg_temp.due('10 min');
update reveille.job set catchup_window = '5 min' where job_name = 'yearly';
select is(pg_temp.caught(), '', 'R-T13: no slot outside the catch-up window');
select pg_temp.due('10 min');
update reveille.job set paused_at = now() where job_name = 'yearly';
select is(pg_temp.caught(), '', 'R-T8: the watchdog leaves a paused job alone');
select pg_temp.due('0 min');
select is(pg_temp.caught(), '', 'R-T13: a slot gets two minutes of grace');

-- a job of every minute: its newest slot is never two minutes old
update reveille.job set schedule = '* * * * *' where job_name = 'yearly';
select is(pg_temp.caught(), 'missed', 'R-T13: a job of every minute is caught up, too');
update reveille.trigger_request set slot = slot - interval '1 min';
select is(pg_temp.caught(), '', 'R-T13: but not while its doorbell is only a minute late');
delete from reveille.trigger_request;

-- ---- a copy of the database
select pg_temp.due('10 min');
update reveille.job set enabled_on = '1/elsewhere' where job_name = 'yearly';
select is(pg_temp.caught(), 'copy', 'R-T13: on a copy of the database nothing is caught up');
select is_empty('select from reveille.trigger_request', 'R-T13: nothing is asked for there');
select results_eq($$ select paused_at is not null, paused_reason from reveille.job
                      where job_name = 'yearly' $$,
    $$ values (true, 'this is a copy of the database; resume the job to run it here') $$,
    'R-T13: a copy wakes up paused, and its row says why');
select is(pg_temp.caught(), '', 'R-T13: which is said once');
select reveille.pause_job('yearly', null);
select results_eq($$ select paused_at, paused_reason, enabled_on from reveille.job
                      where job_name = 'yearly' $$,
    $$ values (null::timestamptz, null::text, reveille.here()) $$,
    'R-T13: resumed, it is this database''s own');

-- ---- failed slots
select pg_temp.due('40 min');
select pg_temp.caught();
create function pg_temp.fail_after(p_ago interval) returns text language plpgsql as $$
begin
    perform reveille.cancel_run(run_id, 'partial') from reveille.open_run('p');
    update reveille.run set finished_at = clock_timestamp() - p_ago where state = 'failed';
    return pg_temp.caught();
end $$;
select is(pg_temp.fail_after('59 s'), '', 'R-T13: a failed run is not tried again at once');
select is(pg_temp.fail_after('61 s'), 'failed', 'R-T13: but after a minute');
select is(source, 'catchup', 'R-T13: marked catchup') from reveille.trigger_request;
select is(pg_temp.fail_after('295 s'), '', 'R-T13: the second time not after four');
select is(pg_temp.fail_after('305 s'), 'failed', 'R-T13: but after five');
select is(pg_temp.fail_after('890 s'), '', 'R-T13: the third time not after fourteen');
select is(pg_temp.fail_after('910 s'), 'failed', 'R-T13: but after fifteen');
select is(pg_temp.fail_after('1 h'), '', 'R-T13: and then no more');
select is(tries, 3, 'R-T13: its tries are counted') from reveille.trigger_request;
select is((select count(*) from reveille.run where state = 'failed'), 4::bigint,
          'R-T13: four failed runs of one slot, one after the other');

select * from finish();
rollback;
