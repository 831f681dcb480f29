-- open_run and the lease: which run a producer gets, and who leads it.
begin;
select no_plan();
select test.job('a_job'), test.job('b_job');
select test.mentors(1, 3);
select is_empty($$ select * from reveille.open_run('p') $$,
    'nobody asked: there is nothing to open');

-- ---- an open
select reveille.request('a_job', 'pg_cron');
select * from reveille.open_run('p', 50) \gset
select is(format('%s %s %s %s %s %s %s %s', :'job_name', :'state', :'fence', :'takeover', :'engine',
                 :topic_partitions, :page_size, :slices),
          'a_job planning 1 f noop 12 50 0',
          'R-P3: a run is opened in planning, with the page size asked for');
select results_eq(
    $$ select triggered_by, slot, evaluation_date, dispatch_date, shadow, selection, planned,
              scenarios, deadline_at - started_at between '11:59:59' and '12:00:01'
         from reveille.run $$,
    $$ select 'pg_cron', reveille.slot_of('0 0 1 1 *', now()),
              (reveille.slot_of('0 0 1 1 *', now()) at time zone 'Europe/Oslo')::date,
              (now() at time zone 'Europe/Oslo')::date, false, null::jsonb, null::int,
              jsonb '{"inactivity": {"params": {"days": 60}, "per_subject": false,
                                     "cooldown_days": 30}}', true $$,
    'R-D3: a run freezes its scenarios, its slot''s local date, and the day of planning');
select is(state, 'opened', 'R-T4: the request is opened') from reveille.trigger_request;
select is_empty($$ select * from reveille.open_run('q') $$,
    'R-T13: a run that is led is nobody else''s');

-- ---- T13: no overlap, only the newest of several waiting
select test.age_slots('a_job');
select reveille.request('a_job', 'http');
select is_empty($$ select * from reveille.open_run('q') $$, 'R-T13: a job never overlaps itself');
select throws_ok($$ insert into reveille.run(job_name, evaluation_date, dispatch_date, scenarios,
                        triggered_by, page_size, deadline_at)
                    select job_name, evaluation_date, dispatch_date, scenarios, triggered_by,
                        page_size, deadline_at from reveille.run $$, '23505', null,
                 'R-T13: the database itself refuses a second active run of a job');
select reveille.request('b_job', 'http');
select is(job_name, 'b_job', 'R-T13: another job is not held up') from reveille.open_run('q');
select test.age_slots('a_job');
select reveille.request('a_job', 'http');
select reveille.cancel_run(:'run_id');
create temp table next as select * from reveille.open_run('p');
select is(job_name, 'a_job', 'R-T13: when the run has ended the next is opened') from next;
select results_eq(
    $$ select state, reason, run_id is not null from reveille.trigger_request
        where job_name = 'a_job' order by slot desc $$,
    $$ values ('opened', null, true), ('coalesced', 'a newer slot was waiting', false),
              ('opened', null, true) $$,
    'R-T13: of several waiting slots only the newest runs');
select is((select count(*) from reveille.scheduler_execution_log
            where job_name = 'a_job' and status = 'coalesced'), 1::bigint,
          'R-S3: the coalesced one is in the execution log');
select reveille.cancel_run(run_id) from next;
select test.age_slots('a_job');
select reveille.request('a_job', 'pg_cron');
update reveille.trigger_request set requested_at = clock_timestamp() - interval '13 h'
 where state = 'pending';
select is_empty($$ select * from reveille.open_run('p') $$,
                'R-T13: a request that waited longer than the catch-up window is not run');
select is((select state from reveille.trigger_request where job_name = 'a_job'
            order by slot desc limit 1), 'missed', 'R-T13: it is missed');
select is((select status from reveille.scheduler_execution_log order by id desc limit 1), 'missed',
          'R-S3: and in the execution log');
select reveille.request('a_job', 'http');
update reveille.trigger_request set slot = slot - interval '20 h' where state = 'pending';
select isnt_empty($$ select * from reveille.open_run('p') $$,
                  'R-T13: what was just rung is run, however old its slot is');

-- ---- a slot that has had its run, a date in the future
delete from reveille.run_lease; delete from reveille.trigger_request; delete from reveille.run;
select reveille.request('a_job', 'http');
select run_id from reveille.open_run('p') \gset
select reveille.cancel_run(:'run_id');
update reveille.trigger_request set state = 'pending', run_id = null;
select is_empty($$ select * from reveille.open_run('p') $$, 'R-T13: a slot has one run');
select is(t.run_id, :'run_id'::uuid, 'R-T13: its request is told which')
  from reveille.trigger_request t;
insert into reveille.trigger_request(job_name, source, params)
    values ('a_job', 'manual', '{"evaluation_date": "9999-01-01"}');
select is_empty($$ select * from reveille.open_run('p') $$, 'no run has a date in the future');
select is(state, 'refused', 'its request is refused, so that it stands in nobody''s way')
  from reveille.trigger_request where source = 'manual';

insert into reveille.trigger_request(job_name, source, params)
    values ('a_job', 'manual', '{"evaluation_date": "9999-01-01"}'), ('a_job', 'manual', '{}');
select isnt_empty($$ select * from reveille.open_run('p') $$,
                  'and the next request of the job is opened in the same call');
select reveille.cancel_run(run_id) from reveille.run where state = 'planning';

-- ---- parameters
select test.run('a_job', 10, '{"evaluation_date": "2026-01-02", "shadow": true,
                               "scenario_types": ["inactivity"]}') as manual \gset
select results_eq(format('select triggered_by, evaluation_date, shadow, slot from reveille.run
                           where run_id = %L', :'manual'),
                  $$ values ('manual', date '2026-01-02', true, null::timestamptz) $$,
                  'R-T12: a manual run has the date and the shadow that were asked for');
select reveille.cancel_run(:'manual');
update reveille.scenario_config set enabled = false;
select test.run('a_job') as none \gset
select is(scenarios, '{}', 'R-E3: a scenario that is not enabled is not in the run')
  from reveille.run where run_id = :'none';
select reveille.cancel_run(:'none');
update reveille.scenario_config set enabled = true;

-- ---- paused, a copy
select reveille.request('a_job', 'manual');
select reveille.pause_job('a_job', 'x');
select is_empty($$ select * from reveille.open_run('p') $$,
    'R-T8: a pause holds for what waits, too');
update reveille.job set paused_at = null, enabled_on = 'x' where job_name = 'a_job';
select is_empty($$ select * from reveille.open_run('p') $$, 'R-T13: on a copy nothing is opened');
select reveille.pause_job('a_job', null);

-- ---- leases
select run_id, fence from reveille.open_run('p') \gset
select ok(reveille.renew_lease(:'run_id', 'p', 1), 'the holder renews its lease');
select ok(not reveille.renew_lease(:'run_id', 'q', 1), 'another one cannot');
select ok(not reveille.renew_lease(:'run_id', 'p', 2), 'nor can another fence');
select reveille.give_up_lease(:'run_id', 'q', 1);
select is_empty($$ select * from reveille.open_run('q') $$, 'only the holder can give a lease up');
select reveille.give_up_lease(:'run_id', 'p', 1);
select results_eq($$ select run_id, fence, takeover, state from reveille.open_run('q') $$,
                  format('select %L::uuid, 2::bigint, true, %L', :'run_id', 'planning'),
                  'R-P4: a run without a leader is taken over, with a higher fence');
select ok(not reveille.renew_lease(:'run_id', 'p', 1), 'R-P4: the old leader is fenced off');
update reveille.run_lease set lease_until = clock_timestamp() - interval '1 ms';
update reveille.job set enabled_on = 'x' where job_name = 'a_job';
select is_empty($$ select * from reveille.open_run('q') $$,
    'R-T13: on a copy no run is taken over');

select * from finish();
rollback;
