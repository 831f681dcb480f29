-- unpublished_slices, note_published, overdue_slices: what the publisher and the reconciler ask.
begin;
select no_plan();
select test.job('pub');
select test.mentors(1, 10);
select test.run('pub', 1) as run \gset

create function pg_temp.overdue(p_run uuid) returns int[] language sql as $$
    select array_agg(slice_no) from reveille.overdue_slices(p_run)
$$;
create function pg_temp.unpublished(p_run uuid, p_after int,
    p_limit int) returns int[] language sql as $$
    select array_agg(slice_no) from reveille.unpublished_slices(p_run, p_after, p_limit)
$$;
select is(pg_temp.unpublished(:'run', -1, 4), '{0,1,2,3}', 'R-P5: slices are drawn in order');
select is(pg_temp.unpublished(:'run', 3, 100), '{4,5,6,7,8,9}', 'R-P5: and on from where one was');
select is(pg_temp.overdue(:'run'), '{0,1,2,3,4,5,6,7,8,9}', 'never published is overdue, too');

select reveille.note_published(:'run', '{0,1,2}', '{100,101,102}');
select is(pg_temp.unpublished(:'run', -1, 100), '{3,4,5,6,7,8,9}',
    'what is published is drawn no more');
select results_eq(format('select published_offset, rings, published_at is not null from reveille.slice
                           where run_id = %L and slice_no < 4 order by slice_no', :'run'),
    $$ values (100::bigint, 1, true), (101, 1, true), (102, 1, true), (null, 0, false) $$,
    'where it lies in the log is noted');
select is(pg_temp.overdue(:'run'), '{3,4,5,6,7,8,9}', 'what was just published is not overdue');

-- ---- the back-off: stale (10 s) and 1 s; then 5 s, doubling to 10 min
create function pg_temp.rung(p_run uuid, p_rings int,
    p_ago interval) returns boolean language plpgsql as $$
begin
    update reveille.slice set rings = p_rings, published_at = clock_timestamp() - p_ago
     where run_id = p_run and slice_no = 0;
    return exists (select from reveille.overdue_slices(p_run) where slice_no = 0);
end $$;
select is(pg_temp.rung(:'run', rings, ago), expected,
          format('rung %s times, the last %s ago: ring again: %s', rings, ago, expected))
  from (values (1, interval '10.9 s', false), (1, '11.1 s', true),
               (2, '14.9 s', false), (2, '15.1 s', true), (3, '19.9 s', false), (3, '20.1 s', true),
               (4, '29.9 s', false), (4, '30.1 s', true), (9, '600 s', false), (9, '611 s', true),
               (99, '609 s', false), (99, '611 s', true)) x(rings, ago, expected);

-- ---- a claim that lives
select outcome from reveille.claim_slice(:'run', 0, 'w') \gset
select is(pg_temp.rung(:'run', 1, '1 h'), false, 'what somebody works on is not rung for');
update reveille.slice set moved_at = clock_timestamp() - interval '10.5 s' where slice_no = 0;
select is(pg_temp.rung(:'run', 1, '1 h'), false, 'nor what went stale less than a second ago');
update reveille.slice set moved_at = clock_timestamp() - interval '11.1 s' where slice_no = 0;
select is(pg_temp.rung(:'run', 1, '1 h'), true, 'but what has been stale for a second');
select is(attempt, 1, 'the attempts are told') from reveille.overdue_slices(:'run')
    where slice_no = 0;
select test.settle(:'run', 1);
select ok(1 <> all(pg_temp.overdue(:'run')), 'what is done is not rung for');
select reveille.note_published(:'run', '{1}', '{777}');
select is(published_offset, 101::bigint, 'nor is anything noted about it')
  from reveille.slice where slice_no = 1;

-- ---- progress
select results_eq(format('select state, slices, planned, pending, done, last_moved > now()
                            from reveille.progress_of(%L)', :'run'),
                  $$ values ('running', 10, 10, 9, 1, true) $$, 'progress is told cheaply');
select results_eq($$ select job_name, pending, done, overdue from reveille.run_progress $$,
                  $$ values ('pub', 9, 1, false) $$, 'R-S7: and as a view of the open runs');
update reveille.run set started_at = now() - interval '31 min';
select is(overdue, true, 'R-S7: a run over 30 minutes shows, also when every producer is dead')
  from reveille.run_progress;

select * from finish();
rollback;
