-- claim_slice, touch_slices, release_slices: who is at work on a slice.
begin;
select no_plan();
select test.job('c');
select test.mentors(1, 6);
select test.run('c', 3) as run \gset
update peer_mentors set status = 'paused' where id = test.mentor(2);
delete from assignments where peer_mentor_id = test.mentor(3);
delete from peer_mentors where id = test.mentor(3);

create function pg_temp.claim(p_run uuid, p_slice int, p_w text) returns text language sql as $$
    select outcome from reveille.claim_slice(p_run, p_slice, p_w)
$$;
create function pg_temp.go_stale(p_run uuid) returns void language sql as $$
    update reveille.slice set moved_at = clock_timestamp() - interval '10.1 s' where run_id = p_run
$$;

select results_eq(
    format($$ select outcome, attempt, job_name, component, evaluation_date = current_date,
                     scenario_types, scenarios -> 'inactivity' ->> 'cooldown_days', shadow,
                     subject_ids, user_ids, eligible from reveille.claim_slice(%L, 0, 'w1') $$,
                     :'run'),
    $$ select 'claimed', 1, 'c', 'reveille', true, '{inactivity}'::text[], '30', false,
              array[test.mentor(1), test.mentor(2), test.mentor(3)],
              array[test.person(1), test.person(2), null], array[true, false, false] $$,
    'R-P1: a claim tells who of the slice is still eligible');
select results_eq(
    format($$ select outcome, stale_ms between 9000 and 10001, subject_ids
                from reveille.claim_slice(%L, 0, 'w2') $$, :'run'),
    $$ values ('busy', true, null::uuid[]) $$,
    'R-D4: a slice whose owner lives is busy, and for how long');
select is(pg_temp.claim(:'run', 0, 'w1'), 'claimed', 'its owner may claim it again');
select is(attempt, 1, 'that is no new attempt') from reveille.slice where slice_no = 0;
select is(pg_temp.claim(:'run', 9, 'w1'), 'unknown', 'an unknown slice is a dead letter');
select is(pg_temp.claim(gen_random_uuid(), 0, 'w1'), 'unknown', 'so is one of an unknown run');
select is((select outcome from reveille.claim_slice(:'run', 0, 'w1', '10 s', 5, 'http')), 'unknown',
          'a slice is unknown to an engine that it was not planned for');
select is((select outcome from reveille.claim_slice(:'run', 0, 'w1', '10 s', 5, 'noop')), 'claimed',
          'and known to its own');

-- ---- takeover
select pg_temp.go_stale(:'run');
select is(pg_temp.claim(:'run', 0, 'w2'), 'claimed',
    'R-D4: a stale claim passes to the next worker');
select is(attempt, 2, 'which is another attempt') from reveille.slice where slice_no = 0;
select is_empty(format($$ select * from reveille.touch_slices('w1', array[%L::uuid], '{0}') $$,
    :'run'),
                'the former owner is told that it has lost it');

-- ---- touch and release
select results_eq(
    format($$ select slice_no from reveille.touch_slices('w2', array[%1$L::uuid, %1$L], '{0,1}',
                     '{2,0}', '{network_error,null}') $$, :'run'),
    $$ values (0) $$, 'a touch returns those that are still its own');
select reveille.touch_slices('w2', array[:'run'::uuid], '{0}');
select results_eq(
    $$ select calls_done, last_error_class, moved_at > now() from reveille.slice
    where slice_no = 0 $$,
    $$ values (2, 'network_error', true) $$,
    'a touch notes how far it is, and nothing is forgotten');
select is(reveille.release_slices('w1', array[:'run'::uuid], '{0}'), 0,
    'nobody releases another''s');
select is(reveille.release_slices('w2', array[:'run'::uuid], '{0}'), 1, 'its owner does');
select results_eq($$ select attempt, claimed_by from reveille.slice where slice_no = 0 $$,
                  $$ values (1, null::text) $$,
                  'what is given back in order was no failed attempt');
select is(pg_temp.claim(:'run', 0, 'w3'), 'claimed', 'and is free at once');

-- ---- poison
select pg_temp.go_stale(:'run'), pg_temp.claim(:'run', 0, 'v' || n) from generate_series(3, 5) n;
select is(attempt, 5, 'five workers may try a slice') from reveille.slice where slice_no = 0;
select pg_temp.go_stale(:'run');
select results_eq(
    format($$ select outcome, job_name, component, subject_ids
                from reveille.claim_slice(%L, 0, 'v6') $$, :'run'),
    $$ select 'lost', 'c', 'reveille', array[test.mentor(1), test.mentor(2), test.mentor(3)] $$,
    'R-E2, R-S4: the sixth settles it, and is told whose errors it has written');
select results_eq(
    $$ select state, evaluated, skipped, errors, worker from reveille.slice where slice_no = 0 $$,
    $$ values ('done', 0, 0, 3, 'v6') $$, 'R-E2: every subject of it is an error');
select results_eq($$ select error_class, count(*), min(attempt)
    from reveille.subject_error group by 1 $$,
                  $$ values ('worker_lost', 3::bigint, 6) $$, 'R-E2: of class worker_lost');
select is(pg_temp.claim(:'run', 0, 'v7'), 'done', 'and it is done for everybody');
select test.settle(:'run', 1);
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'such a run holds');

select * from finish();
rollback;
