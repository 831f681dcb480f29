-- close_run, cancel_run, fail_run, end_overdue_runs; pause and engine settings; the audit.
begin;
select no_plan();
select test.job('e');
select test.mentors(1, 5);

-- ---- close
select test.run('e', 2) as run \gset
select is(reveille.close_run(:'run', 'p', 1), null, 'a run with pending slices is not closed');
select test.settle(:'run', n) from generate_series(0, 2) n;
select is(reveille.close_run(:'run', 'q', 1), null, 'nor by who does not lead it');
select is(reveille.close_run(:'run', 'p', 2), null, 'nor with another fence');
select reveille.close_run(:'run', 'p', 1) as summary \gset
select is(:'summary'::jsonb - 'run_id' - 'evaluation_date' - 'duration_ms',
          '{"job_name": "e", "status": "completed", "triggered_by": "manual", "replay_of": null,
            "total_active_mentors": 5, "total_evaluated": 5, "total_dispatched": 5,
            "total_suppressed": 0, "total_skipped": 0, "total_errors": 0,
            "remaining_unprocessed_count": 0, "pages_processed": 3,
            "by_scenario": {"inactivity": {"evaluated": 5, "dispatched": 5, "suppressed": {}}},
            "completed": true, "partial": false}', 'R-S1: closing answers with the summary');
select is(reveille.close_run(:'run', 'p', 1), null, 'a run is closed once');
select is(reveille.summary(:'run'), :'summary'::jsonb,
    'R-S2: the summary can be read again, unchanged');
select results_eq(
    format('select l.job_name, l.status, l.started_at = r.started_at, l.finished_at = r.finished_at
              from reveille.scheduler_execution_log l join reveille.run r using (run_id)'),
    $$ values ('e', 'completed', true, true) $$, 'R-S3: the execution log has a row a run');
select is(test.differs(:'run'), '', 'the run holds');

-- ---- cancel
select test.run('e', 2) as run \gset
select test.settle(:'run', 0);
select reveille.cancel_run(:'run', 'cancelled', 'anna') as summary \gset
\set cancelled :run
select results_eq(
    format($$ select s ->> 'status', (s ->> 'total_evaluated')::int,
                     (s ->> 'remaining_unprocessed_count')::int, (s ->> 'completed')::boolean,
                     (s ->> 'partial')::boolean from (select jsonb %L as s) x $$, :'summary'),
    $$ values ('cancelled', 2, 3, false, true) $$, 'a cancelled run says what remains');
select results_eq(format('select array_agg(state order by slice_no), sum(unreached)::int
                            from reveille.slice where run_id = %L', :'run'),
                  $$ values ('{done,unreached,unreached}'::text[], 3) $$,
                  'R-D4: what was pending is unreached, what was done stays');
select is(reveille.cancel_run(:'run'), null, 'an ended run is not cancelled again');
select is(reveille.cancel_run(gen_random_uuid()), null, 'nor is an unknown one');
select throws_ok(format('select reveille.cancel_run(%L, %L)', :'run', 'completed'), '22023', null,
                 'a cancel does not complete a run');
select is_empty(format('select * from reveille.settle_slice(%L, 1, %L, %L, %L, %L, %L, %L, %L, %L)',
                       :'run', 'w', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
                'R-D4: a late settle finds nothing pending');
select is((select outcome from reveille.claim_slice(:'run', 1, 'w')), 'done',
          'R-D4: a late claim is told to go on');
select is(test.differs(:'run'), '', 'the cancelled run holds');

-- ---- the deadline
select test.run('e', 2) as run \gset
select is(reveille.end_overdue_runs(), 0, 'a run before its deadline goes on');
update reveille.run set deadline_at = clock_timestamp() where run_id = :'run';
select is(reveille.end_overdue_runs(), 1, 'a run past its deadline is ended');
select results_eq(format('select state, error_message, planned from reveille.run where run_id = %L',
    :'run'),
                  $$ values ('partial', 'deadline', 5) $$, 'planned to its end, it is partial');
select is(test.differs(:'run'), '', 'the partial run holds');
select test.run('e', 2) as run \gset
select test.settle(:'run', slice_no) from reveille.slice where run_id = :'run' order by 1;
update reveille.run set deadline_at = clock_timestamp() where run_id = :'run';
select reveille.end_overdue_runs();
select is((select state from reveille.run where run_id = :'run'), 'completed',
          'a run whose slices are all done is completed, also past its deadline');
select reveille.request('e', 'manual');
select run_id as run from reveille.open_run('p', 2) \gset
select reveille.plan_page(:'run', 'p', 1, null);
update reveille.run set deadline_at = clock_timestamp() where run_id = :'run';
select reveille.end_overdue_runs();
select results_eq(format('select state, planned, slices from reveille.run where run_id = %L',
    :'run'),
                  $$ values ('failed', 2, 1) $$,
                  'R-T13: in planning it is failed, so that the slot stays free');
select is(reveille.summary(:'run') -> 'completed', 'false', 'a failed run is not completed');
select is(test.differs(:'run'), '', 'the failed run holds, as far as it came');

select test.job('ee');
select reveille.cancel_run(run_id) from reveille.run where state in ('planning', 'running');
select test.run('e', 2), test.run('ee', 2);
update reveille.run set deadline_at = clock_timestamp() where state = 'running';
select is(array[reveille.end_overdue_runs(), reveille.end_overdue_runs(),
                reveille.end_overdue_runs()], '{1,1,0}',
          'overdue runs are ended one a call, so that none waits for another''s settles');

-- ---- a run that cannot be planned
select reveille.request('e', 'pg_cron') as rung;
select run_id as run from reveille.open_run('p', 2) \gset
select reveille.plan_page(:'run', 'p', 1, null);
select is(reveille.fail_run(:'run', 'q', 1, 'x'), null, 'only its leader fails a run');
select is(reveille.fail_run(:'run', 'p', 2, 'x'), null, 'with the fence that is its own');
select is(reveille.fail_run(:'run', 'p', 1, repeat('x', 600)) ->> 'status', 'failed',
          'R-S3: a run that cannot be planned is failed');
select results_eq(
    format('select r.state, length(r.error_message), l.status, l.error_message = r.error_message,
                   (select string_agg(s.state, %L) from reveille.slice s where s.run_id = r.run_id)
              from reveille.run r join reveille.scheduler_execution_log l using (run_id)
             where r.run_id = %L', ',', :'run'),
    $$ values ('failed', 500, 'failed', true, 'unreached') $$,
    'R-S3: the run and its row in the execution log say why; no slice stays pending');
select is(test.differs(:'run'), '', 'the run that could not be planned holds');
select is(reveille.fail_run(:'run', 'p', 1, 'x'), null, 'it fails once');
select is((select state from reveille.request('e', 'http')), 'pending',
          'R-T13: its slot is free for another run');
update reveille.trigger_request set state = 'refused' where state = 'pending';
select test.run('e', 2) as run \gset
select is(reveille.fail_run(:'run', 'p', 1, 'x'), null, 'a run that is planned does not fail so');
select reveille.cancel_run(:'run');

-- ---- S1 while a run is open
select reveille.request('e', 'manual');
select run_id as run from reveille.open_run('p', 2) \gset
select reveille.plan_page(:'run', 'p', 1, null);
select test.settle(:'run', 0);
select results_eq(
    format($$ select s -> 'total_active_mentors', s -> 'remaining_unprocessed_count',
                     s -> 'total_evaluated', s ->> 'status' from reveille.summary(%L) s $$, :'run'),
    $$ values (jsonb 'null', jsonb '0', jsonb '2', 'planning') $$,
    'R-S1: while planning the number of subjects is null, and the rest counts what is planned');

-- ---- what an operator sets
select ok(not reveille.pause_job('nobody', 'x'), 'an unknown job is not paused');
select reveille.pause_job('e', 'moving', 'anna'), reveille.pause_job('e', null, 'anna');
select ok(not reveille.set_engine('nobody', 3), 'an unknown engine is not set');
select ok(reveille.set_engine('http', 4, null, 'anna'), 'R-E1: the limit is set while running');
select results_eq($$ select concurrency, current, topic_partitions from reveille.engine
                      where engine = 'http' $$, $$ values (4, 4, 12) $$, 'R-E1: and holds at once');
select throws_ok($$ select reveille.set_engine('http', 0) $$, '23514', null,
    'R-E1: zero is no limit');
select results_eq(
    $$ select actor, action, object from reveille.audit where actor = 'anna' order by id $$,
    format($$ values ('anna', 'cancel', %L), ('anna', 'pause', 'e'), ('anna', 'resume', 'e'),
                     ('anna', 'set_engine', 'http') $$, :'cancelled'),
    'R-T12: who cancelled, paused, resumed and set is in the audit');
select reveille.note_secret_use('scheduler'), reveille.note_secret_use('scheduler');
select is(count(*), 1::bigint, 'R-T10: the last use of a secret is kept, once a secret')
  from reveille.secret_use where last_used_at > now();

select * from finish();
rollback;
