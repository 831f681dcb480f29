-- plan_page: the roster becomes slices, each subject once, whoever plans.
begin;
select no_plan();
select test.job('plan');
select test.mentors(1, 250), test.mentors(301, 310, 'paused'), test.mentors(311, 320,
    'deactivated'),
       test.mentors(321, 330, 'active', null), test.mentors(331, 340, 'active', 'paused');
insert into assignments(peer_mentor_id, status) select test.mentor(i), 'active'
  from generate_series(1, 9) i;      -- a second assignment is no second subject

create function pg_temp.opened(p_params jsonb default '{}') returns uuid language plpgsql as $$
begin
    perform reveille.request('plan', 'manual', p_params);
    return (select run_id from reveille.open_run('p', 100));
end $$;

-- ---- page by page
select pg_temp.opened() as run \gset
select results_eq(
    format($$ select outcome, state, cursor, first_slice, cardinality(partitions), planned
                from reveille.plan_page(%L, 'p', 1, null) $$, :'run'),
    $$ select 'planned', 'planning', test.mentor(100), 0, 1, 100 $$,
    'R-P2: a page is a hundred subjects, and the cursor its last one');
select results_eq(
    format($$ select outcome, first_slice, planned, cursor
                from reveille.plan_page(%L, 'p', 1, null) $$, :'run'),
    $$ select 'stale', 1, 0, test.mentor(100) $$,
    'R-P4: a page with an old cursor is refused, and told the new one');
select is((select outcome from reveille.plan_page(:'run', 'q', 1, test.mentor(100))), 'stale',
          'R-P4: who does not hold the lease cannot plan');
select is((select outcome from reveille.plan_page(:'run', 'p', 2, test.mentor(100))), 'stale',
          'R-P4: nor can another fence');
update reveille.run_lease set lease_until = clock_timestamp() - interval '1 ms';
select is((select outcome from reveille.plan_page(:'run', 'p', 1, test.mentor(100))), 'stale',
          'R-P4: nor who let the lease end');
select is((select count(*) from reveille.slice where run_id = :'run'), 1::bigint,
          'R-P4: a stale call writes nothing');
select fence from reveille.open_run('q') \gset
select results_eq(
    format($$ select outcome, state, first_slice, cardinality(partitions), planned
                from reveille.plan_page(%L, 'q', %s, test.mentor(100), 5) $$, :'run', :fence),
    $$ values ('last', 'running', 1, 2, 150) $$,
    'R-P4: the successor goes on at the cursor, several pages at once');
select results_eq(
    format('select array_agg(cardinality(subject_ids) order by slice_no)
              from reveille.slice where run_id = %L', :'run'),
    $$ values ('{100,100,50}'::int[]) $$, 'R-P3: 250 mentors and pages of 100 are 3 slices');
select results_eq(
    format('select unnest(subject_ids) from reveille.slice where run_id = %L order by 1', :'run'),
    'select test.mentor(i) from generate_series(1, 250) i',
    'R-P1: planned are the active mentors with an active assignment, each once');
select is(planned, 250, 'R-P3: the run knows how many it has') from reveille.run
    where run_id = :'run';
select is(count(*), 0::bigint, 'R-P5: each slice''s partition is its number plus the run''s offset')
  from reveille.slice
 where run_id = :'run'
   and partition <> (slice_no + ('x' || left(run_id::text, 8))::bit(32)::bigint) % 12;
select is((select outcome from reveille.plan_page(:'run', 'q', :fence, test.mentor(250))), 'stale',
          'R-P4: what is planned is not planned on');
select reveille.cancel_run(:'run');

-- ---- a roster of exactly two pages, and of none
delete from assignments where peer_mentor_id > test.mentor(200);
select pg_temp.opened() as run \gset
select is((select outcome from reveille.plan_page(:'run', 'p', 1, null, 2)), 'planned',
          'a full call may not be the last');
select results_eq(
    format($$ select outcome, state, planned, partitions, cursor
                from reveille.plan_page(%L, 'p', 1, test.mentor(200), 2) $$, :'run'),
    $$ select 'last', 'running', 0, '{}'::int[], test.mentor(200) $$,
    'a call that finds nothing is the last');
select reveille.cancel_run(:'run');
delete from assignments;
select pg_temp.opened() as run \gset
select is((select outcome from reveille.plan_page(:'run', 'p', 1, null)), 'last',
          'R-P3: zero mentors are planned in one call');
select is(reveille.close_run(:'run', 'p', 1) ->> 'status', 'completed',
          'R-P3: zero mentors are a completed run');
select is(s - 'run_id' - 'evaluation_date' - 'duration_ms',
          '{"job_name": "plan", "status": "completed", "triggered_by": "manual", "replay_of": null,
            "total_active_mentors": 0, "total_evaluated": 0, "total_dispatched": 0,
            "total_suppressed": 0, "total_skipped": 0, "total_errors": 0,
            "remaining_unprocessed_count": 0, "pages_processed": 0,
            "by_scenario": {"inactivity": {"evaluated": 0, "dispatched": 0, "suppressed": {}}},
            "completed": true, "partial": false}', 'R-P3: of zeros')
  from reveille.summary(:'run') s;
select is(test.differs(:'run'), '', 'R-P3: and it holds');

-- ---- chosen subjects
insert into assignments(peer_mentor_id, status) select test.mentor(i), 'active'
  from generate_series(1, 250) i;
select pg_temp.opened(jsonb_build_object('subjects', jsonb_build_array(test.mentor(7),
    test.mentor(249), test.mentor(7), test.mentor(305), test.mentor(9999)))) as run \gset
select is((select planned from reveille.plan_page(:'run', 'p', 1, null)), 2,
          'a run of chosen subjects plans those of them that are eligible');
select results_eq(format('select unnest(subject_ids) from reveille.slice where run_id = %L',
    :'run'),
                  'select test.mentor(i) from (values (7), (249)) x(i)', 'each of them once');
select is(state, 'running', 'and is planned') from reveille.run where run_id = :'run';
select reveille.cancel_run(:'run');

-- ---- settings of job and engine
update reveille.job set page_size = 30 where job_name = 'plan';
select reveille.set_engine('noop', null, 3);
select pg_temp.opened() as run \gset
select is((select cardinality(partitions) from reveille.plan_page(:'run', 'p', 1, null, 2, 'x.y')),
    2,
          'the job''s page size goes before the producer''s');
select results_eq(format('select distinct topic, partition between 0 and 2 from reveille.slice
                           where run_id = %L', :'run'),
                  $$ values ('x.y.noop', true) $$,
                  'R-P5: slices go to the topic of the engine, and its partitions');
select is((select outcome from reveille.plan_page(gen_random_uuid(), 'p', 1, null)), 'stale',
          'an unknown run is stale');

select * from finish();
rollback;
