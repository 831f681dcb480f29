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
    select coalesce(string_agg(ltrim(left(x::text, 8), '0'), ' ' order by x), '')
      from reveille.replay_subjects(p_parent, p_sel) x
$$;
select test.run('r', 3) as parent \gset
select throws_ok(format($$ select reveille.open_replay(%L, '{"errors": true}', 'p') $$, :'parent'),
    'RV409',
                 null, 'R-X1: an open parent is refused');
select pg_temp.fail(:'parent', 0, 'network_error'), pg_temp.fail(:'parent', 1, 'timeout_error'),
       pg_temp.fail(:'parent', 2, 'network_error');
select reveille.cancel_run(:'parent');
update reveille.slice set done_at = '2026-01-01' where run_id = :'parent' and slice_no = 2;
select partition as p0 from reveille.slice where run_id = :'parent' and slice_no = 0 \gset

-- ---- selection: 2, 5, 8 are errors, a b c unreached
select is(pg_temp.chosen(:'parent', s), expected, format('R-X1: %s selects %s', s, expected))
  from (values
    (jsonb '{"errors": true}', '2 5 8'), ('{"unreached": true}', 'a b c'),
    ('{"errors": true, "unreached": true}', '2 5 8 a b c'),
    ('{"error_classes": ["timeout_error"]}', '5'),
    ('{"error_classes": ["timeout_error"], "unreached": true}', '5 a b c'),
    ('{"slices": [1, 3]}', '5 a b c'), ('{"slices": [1, 3], "errors": true}', '5'),
    ('{"until": "2026-01-02"}', '8'), ('{"since": "2026-01-02", "errors": true}', '2 5'),
    ('{"errors": false, "slices": [0]}', '2'), ('{"slices": [99]}', ''))
    as x(s, expected);
select is(pg_temp.chosen(:'parent', jsonb_build_object('partitions', jsonb_build_array(:p0))), '2',
          'R-X1: a partition selects its slices');
select throws_ok(format($$ select reveille.open_replay(%L, %L, 'p') $$, :'parent', s), '22023',
    null,
                 'R-X1: no selection is refused: ' || s)
  from unnest(array['{}', '{"reason": "x"}', '{"errors": false}', '[]']) s;
select throws_ok(format($$ select reveille.open_replay(%L, '{"errors": true}', 'p', 0) $$,
    :'parent'),
                 '22023', null, 'R-X1: a slice of nobody is refused');
select throws_ok($$ select reveille.open_replay(gen_random_uuid(), '{"errors": true}', 'p') $$,
    'RV404',
                 null, 'R-X1: an unknown run is refused');
select results_eq(format($$ select * from reveille.open_replay(%L, '{"errors": true}', 'p', null,
    true) $$,
                         :'parent'), $$ values (null::uuid, null::bigint, 3) $$,
                  'R-X1: a dry run tells how many');

-- ---- the first replay: one is judged, one fails again
select run_id as replay, fence, subjects
  from reveille.open_replay(:'parent', '{"errors": true}', 'p', 1, p_by => 'anna') \gset
select is(:subjects, 3, 'R-X1: three subjects are replayed');
select results_eq(format('select state, triggered_by, replay_of, planned, slices, page_size, slot
                            from reveille.run where run_id = %L', :'replay'),
                  format($$ select 'running', 'replay', %L::uuid, 3, 3, 1, null::timestamptz $$,
                  :'parent'),
                  'R-X1: a replay is a run of its own, planned at once, in slices of the size asked for');
select results_eq($$ select actor, action, object from reveille.audit where action = 'replay' $$,
                  format($$ select 'anna', 'replay', %L $$, :'parent'),
                  'R-X1: and is in the audit');
select throws_ok(format($$ select reveille.open_replay(%L, '{"errors": true}', 'p') $$, :'parent'),
    'RV409',
                 null, 'R-X1: a second replay of a run waits for the first');
select reveille.request('r', 'http');
select isnt_empty($$ select * from reveille.open_run('p') where job_name = 'r' $$,
                  'R-X1: a replay does not hold up the job');
select test.settle(:'replay', 0), test.settle(:'replay', 2);
select reveille.settle_slice(:'replay', 1, 'w', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                             '{1}', '{timeout_error}', '{x}');
select isnt(reveille.close_run(:'replay', 'p', :fence), null, 'R-X1: it closes like any run');
select is(test.differs(:'replay'), '', 'R-X1: and has its own proof');
select is(test.differs(:'parent'), '', 'R-X1: the parent''s is as it was');

-- ---- the second: what was judged since is not judged again
select is(pg_temp.chosen(:'parent', '{"errors": true}'), '5',
          'R-X1: only those whose last outcome is an error are left');
select is((select subjects from reveille.open_replay(:'replay',
    '{"errors": true, "unreached": true}', 'p')),
          4, 'R-X1: a replay of a replay is one of its parent');
select test.finish(run_id) from reveille.run where replay_of = :'parent' and state = 'running';
select is(pg_temp.chosen(:'parent', '{"errors": true, "unreached": true}'), '',
    'R-X1: until nothing is left');

select * from finish();
rollback;
