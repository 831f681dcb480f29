-- summary, summaries, run_summary, find_run, why_open: what is shown of runs.
begin;
select no_plan();
select test.job('one', 'noop', '{inactivity,milestone}'), test.job('two');
update reveille.scenario_config set enabled = true, cooldown_days = 7
 where scenario_type = 'milestone';
select test.mentors(1, 6);
select test.run('one', 2) as a \gset
select test.settle(:'a', 0);
select test.settle(:'a', 1, '{1}');

-- ---- S1: an open run
select is(reveille.summary(:'a') - 'run_id' - 'duration_ms' - 'evaluation_date',
    '{"job_name": "one", "status": "running", "triggered_by": "manual", "replay_of": null,
      "total_active_mentors": 6, "total_evaluated": 4, "total_dispatched": 6, "total_suppressed": 0,
      "total_skipped": 0, "total_errors": 0, "remaining_unprocessed_count": 2, "pages_processed": 2,
      "by_scenario": {"inactivity": {"evaluated": 4, "dispatched": 3, "suppressed": {}},
                      "milestone": {"evaluated": 4, "dispatched": 3, "suppressed": {}}},
      "completed": false, "partial": false}',
    'R-S1: the summary of an open run, by scenario over its slices');
select results_eq(
    format($$ select array_agg(k order by k) from jsonb_object_keys(reveille.summary(%L)) k $$,
    :'a'),
    $$ values ('{by_scenario,completed,duration_ms,evaluation_date,job_name,pages_processed,partial,
        remaining_unprocessed_count,replay_of,run_id,status,total_active_mentors,total_dispatched,
        total_errors,total_evaluated,total_skipped,total_suppressed,triggered_by}'::text[]) $$,
    'R-S1: it has exactly the keys of the public interface');
select is(reveille.summary(gen_random_uuid()), null, 'an unknown run has no summary');
select test.finish(:'a');
select test.run('one', 2) as b \gset
select test.finish(:'b');
select is(reveille.summary(:'b') -> 'by_scenario' -> 'inactivity',
          '{"evaluated": 6, "dispatched": 1, "suppressed": {"duplicate": 5}}',
          'R-S1: reasons are summed over the slices');
select is(s -> 'total_dispatched', to_jsonb(d), 'R-S1: dispatched is the sum over the scenarios')
  from reveille.summary(:'b') s, lateral (
    select sum((value ->> 'dispatched')::int) d from jsonb_each(s -> 'by_scenario')) x;
select cmp_ok((reveille.summary(:'b') ->> 'duration_ms')::int, '>=', 0,
    'durations are never negative');

-- ---- lists
select test.run('two') as c \gset
update reveille.run set started_at = now() - case run_id when :'a' then interval '3 h'
    when :'b' then interval '2 h' else interval '1 h' end;
select results_eq($$ select s ->> 'run_id' from reveille.summaries(null, 10, null) s $$,
                  format('values (%L), (%L), (%L)', :'c', :'b', :'a'),
                  'runs are listed newest first');
select results_eq($$ select s ->> 'run_id' from reveille.summaries('one', 1, null) s $$,
                  format('values (%L)', :'b'), 'of one job, as many as asked for');
select results_eq($$ select s ->> 'run_id' from reveille.summaries(null, 10,
    now() - interval '2 h') s $$,
                  format('values (%L)', :'a'), 'and those before a time');
select results_eq(format('select job_name, status, total_evaluated, completed, by_scenario ? %L
                            from reveille.run_summary where run_id = %L', 'milestone', :'b'),
                  $$ values ('one', 'completed', 6, true, true) $$, 'the same as columns');

-- ---- which run is meant
update reveille.run set started_at = now() + interval '1 s' where run_id = :'b';
select is(array(select reveille.find_run(p)), array[expected]::uuid[], title)
  from (values ('latest', :'b', 'latest is the run that was started last'),
               ('latest:two', :'c', 'latest:JOB that of a job'),
               (:'a', :'a', 'a whole id'), (upper(left(:'a', 18)), :'a', 'the beginning of an id'))
       x(p, expected, title);
select is_empty(format('select reveille.find_run(%L)', p), title)
  from (values ('latest:nobody', 'no run of that job'), (left(:'a', 3), 'three digits are too few'),
               ('zzzz', 'no hex digits'), ('%%%%', 'no pattern'), (gen_random_uuid()::text,
               'no such run')) x(p, title);
insert into reveille.run(run_id, job_name, evaluation_date, dispatch_date, scenarios, triggered_by,
                         page_size, deadline_at, state)
    select x::uuid, 'two', current_date, current_date, '{}', 'manual', 1, now(), 'failed'
      from unnest(array['abcd0000-0000-4000-8000-000000000001',
      'abcd0000-0000-4000-8000-000000000002',
                        'abcd0000-0000-4000-8000-000000000003']) x;
select is((select count(*) from reveille.find_run('abcd')), 2::bigint,
          'a beginning that is not unique is told by two rows');

-- ---- what keeps a run open
select reveille.cancel_run(:'c');
select test.run('two', 1) as d \gset
select reveille.note_published(:'d', '{1,2,3,4}', '{1,2,3,4}');
select outcome from reveille.claim_slice(:'d', 2, 'w:1') \gset
select outcome from reveille.claim_slice(:'d', 3, 'w:2') \gset
select reveille.touch_slices('w:1', array[:'d'::uuid], '{2}', '{7}', '{timeout_error}');
update reveille.slice set moved_at = now() - interval '20 s', published_at = now() - interval '1 h'
 where run_id = :'d' and slice_no = 3;
select test.settle(:'d', 4);
update reveille.run set started_at = now() - interval '2 s' where run_id = :'d';
update reveille.slice set published_at = now() - interval '1 s'
    where run_id = :'d' and slice_no in (1, 2);
update reveille.slice set moved_at = now() where run_id = :'d' and slice_no = 2;
select results_eq(
    format('select slice_no, worker, calls_done, last_error_class, rings, state_hint
              from reveille.why_open(%L)', :'d'),
    $$ values (3, 'w:2', 0, null, 1, 'stale'), (0, null, null, null, 0, 'not published'),
              (5, null, null, null, 0, 'not published'), (1, null, null, null, 1,
              'published, waiting'),
              (2, 'w:1', 7, 'timeout_error', 1, 'claimed') $$,
    'what keeps a run open, the longest unmoved first');
select cmp_ok(age_s, '>=', 20::float8, 'with its age in seconds') from reveille.why_open(:'d')
    where slice_no = 3;

select * from finish();
rollback;
