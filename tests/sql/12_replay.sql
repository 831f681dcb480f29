-- open_replay: a new run over those whose last outcome is error or unreached.
begin;
select no_plan();
select test.job('r');
select test.mentors(1, 12);

-- Settles a slice of 3: the first subject is evaluated, the second an error of class p_class.
create function pg_temp.fail(p_run uuid, p_slice int, p_class text) returns void language sql as $$
    select reveille.settle_slice(p_run, p_slice, 'w', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                                 '{2}', array[p_class], '{x}')
$$;
create function pg_temp.chosen(p_parent uuid, p_sel jsonb) returns text language sql as $$
    select coalesce(string_agg(ltrim(left(x.subject_id::text, 8), '0'), ' ' order by 1), '')
      from reveille.selected(p_parent, p_sel) x
$$;
create function pg_temp.outcome(p_run uuid, p_sel jsonb default '{"errors": true}') returns text
language sql as $$ select outcome from reveille.open_replay(p_run, p_sel) $$;
-- Takes the open replay up, as a producer does.
create function pg_temp.led() returns uuid language sql as $$
    select run_id from reveille.open_run('p')
$$;

select test.run('r', 3) as parent \gset
select is(pg_temp.outcome(:'parent'), 'open', 'R-X1: an open parent is refused');
select pg_temp.fail(:'parent', 0, 'network_error'), pg_temp.fail(:'parent', 1, 'timeout_error'),
       pg_temp.fail(:'parent', 2, 'network_error');
select reveille.cancel_run(:'parent');
update reveille.slice set done_at = '2026-01-01 12:00Z' where run_id = :'parent' and slice_no = 2;
select partition as p0 from reveille.slice where run_id = :'parent' and slice_no = 0 \gset
select partition as p3 from reveille.slice where run_id = :'parent' and slice_no = 3 \gset

-- ---- selection: 2, 5, 8 are errors, a b c unreached
select is(pg_temp.chosen(:'parent', s), expected, format('R-X1: %s selects %s', s, expected))
  from (values
    (jsonb '{"errors": true}', '2 5 8'), ('{"unreached": true}', 'a b c'),
    ('{"errors": true, "unreached": true}', '2 5 8 a b c'),
    ('{"error_classes": ["timeout_error"]}', '5'),
    ('{"error_classes": ["timeout_error", "network_error"]}', '2 5 8'),
    ('{"error_classes": ["worker_lost"]}', ''),
    ('{"error_classes": ["timeout_error"], "unreached": true}', '5 a b c'),
    ('{"slices": [1, 3]}', '5 a b c'), ('{"slices": [1, 3], "errors": true}', '5'),
    ('{"slices": [1, 3], "unreached": true}', 'a b c'),
    ('{"slices": [0, 1], "error_classes": ["network_error"]}', '2'),
    ('{"until": "2026-01-02"}', '8'), ('{"since": "2026-01-02", "errors": true}', '2 5'),
    ('{"since": "2026-01-01T12:00Z", "until": "2026-01-01T12:00Z"}', '8'),
    ('{"since": "2026-01-01T12:00:01Z"}', '2 5 a b c'),
    ('{"errors": false, "slices": [0]}', '2'), ('{"slices": [99]}', ''),
    (format('{"partitions": [%s]}', :p0)::jsonb, '2'),
    (format('{"partitions": [%s, %s]}', :p0, :p3)::jsonb, '2 a b c'),
    (format('{"partitions": [%s], "slices": [1]}', :p0)::jsonb, ''),
    (format('{"partitions": [%s], "unreached": true}', :p0)::jsonb, '')) as x(s, expected);
select throws_ok(format($$ select reveille.open_replay(%L, %L) $$, :'parent', s), '22023', null,
                 'R-X1: what is no selection, or an empty one, is refused: ' || s)
  from unnest(array['{}', '[]', 'null', '{"reason": "x"}', '{"errors": false}', '{"errors": 1}',
                    '{"slices": []}', '{"slices": 1}', '{"slices": ["1"]}', '{"slices": [-1]}',
                    '{"slices": [1.5]}', '{"partitions": []}', '{"error_classes": []}',
                    '{"error_classes": ["nobody_knows"]}', '{"errors": true, "more": 1}',
                    '{"since": "yesterday"}', '{"since": 1}', '{"until": "infinity"}',
                    '{"since": "2026-01-02", "until": "2026-01-01"}']) s;
select throws_ok(format($$ select reveille.open_replay(%L, '{"since": "2026-13-01"}') $$, :'parent'),
                 '22008', null, 'R-X1: a day that is none is refused');
select throws_ok(format($$ select reveille.open_replay(%L, '{"errors": true}', %s) $$, :'parent', a),
                 '22023', null, 'R-X1: refused: ' || what)
  from (values ('0', 'a slice of nobody'), ('1001', 'a slice of more than 1000'),
               ('null, 0', 'a rate of 0'), ('10, 9', 'a slice that is larger than the rate'),
               ('null, null, repeat(''x'', 501)', 'a reason of 501 characters')) x(a, what);
select is(pg_temp.outcome(gen_random_uuid()), 'unknown', 'R-X1: an unknown run is refused');
select is(pg_temp.outcome(:'parent', '{"slices": [99]}'), 'nothing',
          'R-X1: nobody is left: no run is opened');
select is_empty($$ select from reveille.run where triggered_by = 'replay' $$, 'R-X1: none so far');
select reveille.pause_job('r', 'test');
select is(pg_temp.outcome(:'parent'), 'paused', 'R-T8: a paused job is not replayed');
select reveille.pause_job('r', null);
update reveille.job set enabled_on = 'elsewhere' where job_name = 'r';
select is(pg_temp.outcome(:'parent'), 'copy', 'R-T13: on a copy of the database nothing is replayed');
update reveille.job set enabled_on = reveille.here() where job_name = 'r';

-- ---- the first replay: one is judged, one fails again, with another error
select summary ->> 'run_id' as replay, summary
  from reveille.open_replay(:'parent', '{"errors": true}', 1, 5, 'after the outage', 'anna') \gset
select is(:'summary'::jsonb, reveille.summary(:'replay') || jsonb_build_object(
              'duration_ms', :'summary'::jsonb -> 'duration_ms'),
          'R-X1: an opened replay is told with its summary');
select results_eq(
    format('select state, triggered_by, replay_of, planned, slices, page_size, rate, selection,
                   slot from reveille.run where run_id = %L', :'replay'),
    format($$ select 'running', 'replay', %L::uuid, 3, 3, 1, 5,
                     '{"errors": true, "reason": "after the outage"}'::jsonb,
                     null::timestamptz $$, :'parent'),
    'R-X1: a replay is a run of its own, planned at once, in slices of the size asked for');
select results_eq(
    format($$ select slice_no, cardinality(subject_ids), topic from reveille.slice
               where run_id = %L order by 1 $$, :'replay'),
    $$ values (0, 1, 'reveille.slices.noop'), (1, 1, 'reveille.slices.noop'),
              (2, 1, 'reveille.slices.noop') $$, 'R-X1: its slices are on the parent''s topics');
select results_eq(
    $$ select actor, object, detail from reveille.audit where action = 'replay' $$,
    format($$ select 'anna', %L, jsonb_build_object('errors', true, 'rate', 5, 'run_id', %L::text,
                     'reason', 'after the outage') $$, :'parent', :'replay'),
    'R-X1: who asked for it, and why, is in the audit');
select is(pg_temp.outcome(:'parent'), 'replaying',
          'R-X1: a second replay of a run waits for the first');
select is(pg_temp.outcome(:'replay'), 'replaying', 'R-X1: and so does a replay of it');
select results_eq($$ select run_id::text, fence, state, takeover from reveille.open_run('p') $$,
                  format($$ values (%L, 1::bigint, 'running', false) $$, :'replay'),
                  'R-X1: any producer takes it up at once, as its first leader');
select reveille.request('r', 'http');
select isnt_empty($$ select * from reveille.open_run('p') where job_name = 'r' $$,
                  'R-X1: a replay does not hold up the job');
select test.settle(:'replay', 0), test.settle(:'replay', 2);
select reveille.settle_slice(:'replay', 1, 'w', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                             '{1}', '{worker_lost}', '{x}');
select isnt(reveille.close_run(:'replay', 'p', 1), null, 'R-X1: it closes like any run');
select is(test.differs(:'replay'), '', 'R-X1: and has its own proof');
select is(test.differs(:'parent'), '', 'R-X1: the parent''s is as it was');

select is(reveille.replays_of(:'parent') -> 'unresolved', '{"errors": 1, "unreached": 3}',
          'R-X1: what is unresolved is counted, errors and unreached apart');

-- ---- the second: what was judged since is not judged again, and the last outcome counts
select is(pg_temp.chosen(:'parent', s), expected, format('R-X1: after a replay %s selects %s', s, expected))
  from (values (jsonb '{"errors": true}', '5'), ('{"error_classes": ["timeout_error"]}', ''),
               ('{"error_classes": ["worker_lost"]}', '5'), ('{"slices": [1]}', '5'),
               ('{"unreached": true}', 'a b c')) x(s, expected);
select throws_ok(format($$ select reveille.open_replay(%L, '{"slices": [0]}') $$, :'replay'),
                 '22023', null, 'R-X1: a replay''s own slices are not mistaken for its parent''s');
select summary ->> 'run_id' as second, summary ->> 'replay_of' as of,
       (summary -> 'total_active_mentors')::int as subjects
  from reveille.open_replay(:'replay', '{"errors": true, "unreached": true}') \gset
select is(:'of'::uuid, :'parent'::uuid, 'R-X1: a replay of a replay is one of its parent');
select is(:subjects, 4, 'R-X1: over all that is left there');
select is((select page_size from reveille.run where run_id = :'second'), 3,
          'R-X1: in slices of the parent''s size');
select is(pg_temp.led(), :'second'::uuid);
select test.settle(:'second', 0);     -- 5 a b; c is not reached
select reveille.cancel_run(:'second');
select is(pg_temp.chosen(:'parent', '{"errors": true, "unreached": true}'), 'c',
          'R-X1: a replay that was ended has settled what it reached, and left the rest as it was');
select is(reveille.replays_of(:'parent') -> 'unresolved', '{"errors": 0, "unreached": 1}',
          'R-X1: what is unresolved is counted');
select is(jsonb_path_query_array(reveille.replays_of(:'parent'), '$.runs[*].status'),
          '["completed", "cancelled"]'::jsonb, 'R-X1: a run''s replays are listed, oldest first');
select is(reveille.replays_of(:'parent') #> '{runs,0}',
          format('{"run_id": "%s", "status": "completed", "subjects": 3, "evaluated": 2,
                   "skipped": 0, "errors": 1, "remaining": 0, "reason": "after the outage"}',
                 :'replay')::jsonb, 'R-X1: with what became of them, and why they were asked for');
select is(reveille.replays_of(:'replay'), null::jsonb, 'R-X1: a replay''s are its parent''s');

-- ---- the third
select reveille.open_replay(:'parent', '{"unreached": true}', null, 2);
select pg_temp.led() as third \gset
select is((select page_size from reveille.run where run_id = :'third'), 2,
          'R-X1: a slice, which goes out whole, is no larger than the rate');
select test.finish(:'third');
select is(pg_temp.outcome(:'parent', '{"errors": true, "unreached": true}'), 'nothing',
          'R-X1: until nothing is left');
select is(test.differs(run_id), '', 'R-X1: each run is proved alone')
  from reveille.run where job_name = 'r' and state not in ('planning', 'running');

-- ---- a cancelled run of everybody: shadow, deadline, rate, what was pruned
select test.job('s');
select test.run('s', 3, '{"shadow": true}') as shadow \gset
select reveille.cancel_run(:'shadow');
update reveille.job set deadline = '5 s' where job_name = 's';
select throws_ok(format($$ select reveille.open_replay(%L, '{"unreached": true}', null, 2) $$,
                        :'shadow'), '22023', null,
                 'R-X1: a rate at which the deadline would come first is refused');
select summary ->> 'run_id' as replay
  from reveille.open_replay(:'shadow', '{"unreached": true}', null, 3) \gset
select results_eq(format('select shadow, deadline_at - started_at < ''6 s'' from reveille.run
                           where run_id = %L', :'replay'), $$ values (true, true) $$,
                  'R-X1: the replay of a shadow run is one, and has a deadline of its own');
select reveille.cancel_run(:'replay');
select is(pg_temp.chosen(:'shadow', '{"unreached": true}'), '1 2 3 4 5 6 7 8 9 a b c',
          'R-X1: a replay that reached nobody has changed nothing');
update reveille.run set pruned_at = clock_timestamp() where run_id = :'shadow';
select is(pg_temp.outcome(:'shadow', '{"unreached": true}'), 'forgotten',
          'R-X1: of a run whose subjects are not kept any more there is no replay');
select is(reveille.replays_of(:'shadow') -> 'unresolved', 'null',
          'R-X1: and of what is unresolved in it nothing is said');
select is(test.denied(r, format($$ select * from reveille.open_replay(%L, '{"errors": true}') $$,
                                :'parent')), expected, format('R-X1: %s may open one: %s', r, expected))
  from (values ('reveille_producer', 'allowed'), ('reveille_worker', '42501'),
               ('reveille_reader', '42501'), ('reveille_app', '42501'),
               ('cron_runner', '42501'), ('reveille_invoker', '42501')) x(r, expected);

select * from finish();
rollback;
