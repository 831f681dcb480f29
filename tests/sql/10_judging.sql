-- judge_slices: the sql engine's claim, judge and settle of several slices in one statement.
begin;
select no_plan();
select test.job('j', 'sql');
select test.mentors(1, 25);
-- 1-5 were active today, 6-10 exactly 60 days ago, 11-15 59 days ago; 16-25 never
insert into activities(user_id, activity_date)
    select test.person(i), current_date - case when i <= 5 then 0 when i <= 10 then 60 else 59 end
      from generate_series(1, 15) i;
insert into activities(user_id, activity_date)
    select test.person(i), current_date - 400 from generate_series(1, 15) i;
select test.run('j', 5) as run \gset
update peer_mentors set status = 'paused' where id = test.mentor(21);

select results_eq(
    format($$ select * from reveille.judge_slices(%L, '{0,1,2,3}', 'w') order by 1 $$, :'run'),
    $$ values (0, 5, 0, 0, 0, 0), (1, 5, 0, 0, 5, 0), (2, 5, 0, 0, 0, 0), (3, 5, 0, 0, 5, 0) $$,
    'R-E3: inactivity is judged in bulk: 60 days ago is due, 59 is not, never active is due');
select is(payload, jsonb_build_object('last_activity', current_date - 60),
          'the notification says since when')
  from reveille.notification where user_id = test.person(6);
select is_empty(format($$ select * from reveille.judge_slices(%L, '{0,1}', 'w') $$, :'run'),
                'R-D4: slices that are done are left alone');
select outcome from reveille.claim_slice(:'run', 4, 'other') \gset
select is_empty(format($$ select * from reveille.judge_slices(%L, '{4}', 'w') $$, :'run'),
                'R-D4: and those that somebody lives on');
update reveille.slice set moved_at = clock_timestamp() - interval '11 s' where slice_no = 4;
select results_eq(format($$ select * from reveille.judge_slices(%L, '{4}', 'w') $$, :'run'),
                  $$ values (4, 4, 1, 0, 4, 0) $$,
                  'R-P1: a stale one is taken over, who is paused skipped');
select is(attempt, 2, 'that is another attempt') from reveille.slice where slice_no = 4;
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

-- ---- a judge that fails on one subject
create function public.failing_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql security definer as $$
    select m.id, m.user_id, 'inactivity', null::uuid,
           jsonb_build_object('x', 1 / (case when m.id = test.mentor(3) then 0 else 1 end))
      from public.peer_mentors m where m.id = any(ids)
$$;
update reveille.job set judge = 'public.failing_judge' where job_name = 'j';
delete from reveille.notification; delete from reveille.cooldown;
select test.run('j', 5) as run \gset
select throws_ok(format($$ select * from reveille.judge_slices(%L, '{0}', 'w') $$, :'run'), '22012',
    null,
                 'a judge''s data error fails the call');
select results_eq(format($$ select * from reveille.judge_slices(%L, '{0}', 'w', true) $$, :'run'),
                  $$ values (0, 4, 0, 1, 4, 0) $$,
                  'R-E2: asked one by one, only that subject is an error');
select results_eq(format('select subject_id, error_class, error_message from reveille.subject_error
                           where run_id = %L', :'run'),
                  $$ values (test.mentor(3), 'database_error', '22012') $$,
                  'R-E2: of the database');
select reveille.judge_slices(:'run', '{1,2,3,4}', 'w');
select reveille.close_run(:'run', 'p', 1);
select is(test.differs(:'run'), '', 'the run holds');

select * from finish();
rollback;
