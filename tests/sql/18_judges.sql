-- The jobs judged in SQL: what each scenario finds due, from the registry's own rows and numbers;
-- and that each of these jobs notifies once, and as late as its cooldown says.
begin;
select no_plan();

select results_eq(
    $$ select job_name, cron_name, schedule, engine, judge is not null from reveille.job
        where job_name in ('scenario_scheduler', 'certification_expiry_check', 'reminder_eval')
        order by 1 $$,
    $$ values ('certification_expiry_check', 'nightly-scheduler', '0 2 * * *', 'sql', true),
              ('reminder_eval', 'daily-reminder-eval', '0 6 * * *', 'sql', true),
              ('scenario_scheduler', 'scenario-scheduler-daily', '0 6 * * *', 'http', true) $$,
    'R-T1: the jobs, their cron rows and schedules; each of them can be judged in SQL');
select is_empty(
    $$ select job_name from reveille.job j
        where engine = 'sql' and exists (
            select from unnest(j.scenario_types) t
             where not exists (select from reveille.scenario_config c
                                where c.scenario_type = t)) $$,
    'R-E3: whatever a job judges is configured');

-- How many are due of the judged, and who, by the first digits of their ids.
create function pg_temp.due(p_judge regproc, p_ids uuid[], p_day date, p_params jsonb)
returns text language plpgsql as $$
declare
    said text;
begin
    execute format('select coalesce(string_agg(ltrim(left(subject_id::text, 8), ''0''), '' '''
                   ' order by subject_id), '''') from %s($1, $2, $3)', p_judge)
        into said using p_ids, p_day, p_params;
    return said;
end $$;
create function pg_temp.ids(p_from int, p_to int) returns uuid[] language sql as $$
    select array_agg(test.mentor(i)) from generate_series(p_from, p_to) i
$$;
create function pg_temp.active_on(i int, p_day date, n int default 1) returns void
language sql as $$
    insert into activities(user_id, activity_date)
        select test.person(i), p_day from generate_series(1, n)
$$;

-- ---- mentors: inactivity and milestones
select test.mentors(1, 8);
select pg_temp.active_on(1, '2026-03-02'), pg_temp.active_on(2, '2026-03-01'),
       pg_temp.active_on(3, '2026-05-02'), pg_temp.active_on(4, '2026-05-01', 9),
       pg_temp.active_on(5, '2026-04-01', 12), pg_temp.active_on(6, '2026-04-30', 30);
select is(pg_temp.due('reveille.judge_mentors', pg_temp.ids(1, 8), '2026-04-30',
                      '{"inactivity": {"params": {"days": 60}}}'), '2 3 4 7 8',
    'R-E3: inactive are those without activity for so many days, or with none at all by then');
select is(pg_temp.due('reveille.judge_mentors', pg_temp.ids(1, 8), '2026-05-01',
                      '{"inactivity": {}}'), '1 2 3 7 8',
    'R-E3: on the day that is judged, whatever day it is now');
select is(pg_temp.due('reveille.judge_mentors', pg_temp.ids(1, 8), '2026-05-01', '{}'), '',
    'R-E3: what is not among the run''s scenarios is not judged');

select pg_temp.active_on(4, '2026-05-02');      -- the tenth
create function pg_temp.milestone(p_day date, p_cooldown int default 14) returns text
language sql as $$
    select pg_temp.due('reveille.judge_mentors', pg_temp.ids(1, 8), p_day, jsonb_build_object(
        'milestone', jsonb_build_object('cooldown_days', p_cooldown,
                                        'params', '{"counts": [10, 25, 50]}'::jsonb)))
$$;
select is(pg_temp.milestone('2026-05-01'), '6', 'R-E3: nine are no milestone; thirty are');
select is(pg_temp.milestone('2026-05-02'), '4 6', 'R-E3: the tenth is one, on its day');
select is(pg_temp.milestone('2026-05-13'), '4 6', 'R-E3: and for as long as its cooldown lasts');
select is(pg_temp.milestone('2026-05-14'), '4', 'R-E3: not a day longer');
select is(pg_temp.milestone('2026-05-16'), '', 'R-E3: so that nobody is told twice');
select pg_temp.active_on(5, '2026-05-20');      -- the thirteenth
select is(pg_temp.milestone('2026-05-20'), '', 'R-E3: an activity between two milestones is none');
select results_eq(
    $$ select user_id, payload from reveille.judge_mentors(pg_temp.ids(6, 6), '2026-05-01',
           '{"milestone": {"cooldown_days": 14, "params": {"counts": [10, 25, 50]}}}') $$,
    $$ values (test.person(6), jsonb '{"activities": 25}') $$,
    'R-E3: of several reached at once the highest is told');

-- Day after day: each milestone once, one that was reached in another's cooldown when that ends.
create function pg_temp.told(p_days int) returns text language plpgsql as $$
declare
    day date := '2026-06-01';
    until date := '-infinity';
    said text := '';
    hit int;
begin
    for i in 1..p_days loop
        select (payload ->> 'activities')::int into hit from reveille.judge_mentors(
            pg_temp.ids(8, 8), day, '{"milestone": {"cooldown_days": 14,
                                      "params": {"counts": [1, 2, 4]}}}');
        if hit is not null and day >= until then
            said := said || format('%s on %s; ', hit, day);
            until := day + 14;
        end if;
        day := day + 1;
    end loop;
    return said;
end $$;
select pg_temp.active_on(8, d)
  from unnest('{2026-06-03,2026-06-04,2026-06-30,2026-07-01}'::date[]) d;
select is(pg_temp.told(60), '1 on 2026-06-03; 2 on 2026-06-17; 4 on 2026-07-01; ',
          'R-D3: run daily, each milestone is told once, and none is missed');

-- ---- certifications
select test.mentors(11, 15), test.mentors(16, 16, 'paused'),
       test.mentors(17, 17, 'active', 'completed');
insert into certifications(id, peer_mentor_id, expires_on)
    select test.mentor(100 + n), test.mentor(m), d::date
      from (values (1, 11, '2026-05-01'), (2, 12, '2026-05-31'), (3, 13, '2026-06-01'),
                   (4, 14, '2026-04-30'), (5, 16, '2026-05-10'), (6, 17, '2026-05-10'),
                   (7, 11, '2026-05-20')) x(n, m, d);
create function pg_temp.page(p_source regproc, p_cursor uuid, n int, p_day date) returns text
language plpgsql as $$
declare
    said text;
begin
    execute format('select string_agg(ltrim(left(subject_id::text, 8), ''0''), '' '')'
                   '  from %s($1, $2, $3)', p_source) into said using p_cursor, n, p_day;
    return said;
end $$;
select is(pg_temp.page('reveille.source_certifications', null, 100, '2026-05-01'), '65 66 67 6b',
    'R-E7: subjects are the certifications that still hold, of mentors who are eligible');
select is(pg_temp.page('reveille.source_certifications', test.mentor(101), 2, '2026-05-01'),
    '66 67', 'R-P2: as many as asked for after the cursor, in the order of their ids');
select is(pg_temp.page('reveille.source_certifications', test.mentor(107), 100, '2026-05-01'), null,
    'R-P2: none after the last');
select results_eq(
    $$ select subject_id, user_id, eligible from reveille.lookup_certifications(
           pg_temp.ids(105, 108)) order by 1 $$,
    $$ values (test.mentor(105), test.person(16), false),
              (test.mentor(106), test.person(17), false),
              (test.mentor(107), test.person(11), true) $$,
    'R-P1: a paused mentor''s certification is no subject any more');
select is(pg_temp.due('reveille.judge_certifications', pg_temp.ids(101, 104), '2026-05-01',
                      '{"certification_expiring": {"params": {"days": 30}}}'), '65 66',
    'R-E3: expiring are those that end from that day on, for 30 days; ended is not expiring');
select results_eq(
    $$ select subject_id, user_id, scenario_type, about_id, payload
         from reveille.judge_certifications(pg_temp.ids(102, 102), '2026-05-01',
                                            '{"certification_expiring": {}}') $$,
    $$ values (test.mentor(102), test.person(12), 'certification_expiring', test.mentor(102),
               jsonb '{"expires_on": "2026-05-31"}') $$,
    'R-D1: each certification is told of by itself');

-- ---- assignments
update assignments set last_contact_date = d::date
  from (values (11, '2026-04-17'), (12, '2026-04-18'), (13, '2026-05-09')) x(n, d)
 where id = test.mentor(n);
select is(pg_temp.page('reveille.source_assignments', test.mentor(8), 100, '2026-05-01'),
    'b c d e f', 'R-E8: subjects are the active assignments of active mentors');
select is(pg_temp.page('reveille.source_assignments', test.mentor(11), 2, '2026-05-01'), 'c d',
    'R-P2: as many as asked for after the cursor, in the order of their ids');
select results_eq(
    $$ select subject_id, user_id, eligible from reveille.lookup_assignments(
           pg_temp.ids(15, 18)) order by 1 $$,
    $$ values (test.mentor(15), test.person(15), true), (test.mentor(16), test.person(16), false),
              (test.mentor(17), test.person(17), false) $$,
    'R-P1: nor is a paused mentor''s assignment, or one that is completed');
create function pg_temp.reminded(p_day date, p_days int default 14) returns text
language sql as $$
    select pg_temp.due('reveille.judge_assignments', pg_temp.ids(11, 14), p_day,
        jsonb_build_object('reminder_due', jsonb_build_object('params',
            jsonb_build_object('days', p_days))))
$$;
select is(pg_temp.reminded('2026-05-01'), 'b e',
    'R-E8: due is a reminder 14 days after the last contact, not 13; and where there was none');
select is(pg_temp.reminded('2026-05-01', 13), 'b c e', 'R-E3: how many days is configuration');
select reveille.set_contact(test.mentor(11), '2026-04-28', 'anna');
select reveille.set_contact(test.mentor(13), '2026-01-01', 'anna');
select is(pg_temp.reminded('2026-05-01'), 'd e', 'R-E8: what counts is the corrected date');
select results_eq(
    $$ select user_id, about_id, payload from reveille.judge_assignments(pg_temp.ids(13, 13),
           '2026-05-01', '{"reminder_due": {}}') $$,
    $$ values (test.person(13), test.mentor(13), jsonb '{"last_contact": "2026-01-01"}') $$,
    'R-E8: and is told');

-- ---- each of these jobs as a whole: D1, D2, D3, D4
delete from certifications;
insert into certifications(id, peer_mentor_id, expires_on)
    select test.mentor(200 + i), test.mentor(11 + i % 2), current_date + 5 + i
      from generate_series(0, 5) i;
update assignments set last_contact_date = current_date - 20;
update reveille.contact_override set contact_date = current_date - 20, replaced = current_date - 20;

-- A run of a job, judged by the registry's own functions: dispatched, suppressed, and why.
create function pg_temp.night(p_job text, p_params jsonb default '{}') returns text
language plpgsql as $$
declare
    v_run uuid := test.run(p_job, 2, p_params);
    s jsonb;
begin
    perform reveille.judge_slices(v_run, array(select slice_no from reveille.slice
                                                where run_id = v_run), 'w', p_careful => true);
    perform reveille.close_run(v_run, 'p', 1);
    s := reveille.summary(v_run);
    return format('%s of %s, suppressed %s%s', s ->> 'total_dispatched', s ->> 'total_evaluated',
                  (select string_agg((x.value -> 'suppressed')::text, '')
                     from jsonb_each(s -> 'by_scenario') x), test.differs(v_run));
end $$;
create function pg_temp.days_pass(p_days int) returns void language sql as $$
    update reveille.notification set cooldown_window_start = cooldown_window_start - p_days,
           evaluation_date = evaluation_date - p_days;
    update reveille.cooldown set until = until - p_days;
    update reveille.run set dispatch_date = dispatch_date - p_days,
           evaluation_date = evaluation_date - p_days;
    update reveille.outbox set cooldown_window_start = cooldown_window_start - p_days;
$$;
update reveille.job set engine = 'sql' where job_name = 'scenario_scheduler';
delete from activities;
select is(pg_temp.night('scenario_scheduler', '{"shadow": true}'),
    '0 of 13, suppressed {"shadow": 13}', 'R-D3: scenario_scheduler in shadow tells nobody');
select is(pg_temp.night('scenario_scheduler'), '13 of 13, suppressed {}',
    'R-D1: scenario_scheduler, judged in SQL, tells each mentor');
select is(pg_temp.night('scenario_scheduler'), '0 of 13, suppressed {"duplicate": 13}',
    'R-D2: and the second time nobody');
select is(pg_temp.night('certification_expiry_check', '{"shadow": true}'),
    '0 of 6, suppressed {"shadow": 6}', 'R-D3: certification_expiry_check in shadow tells nobody');
select is(pg_temp.night('certification_expiry_check'), '6 of 6, suppressed {}',
    'R-D1: certification_expiry_check tells of each certification, also of several of a mentor');
select is(pg_temp.night('certification_expiry_check'), '0 of 6, suppressed {"duplicate": 6}',
    'R-D2: and the second time of none');
select is(pg_temp.night('reminder_eval', '{"shadow": true}'),
    '0 of 13, suppressed {"shadow": 13}', 'R-D3: reminder_eval in shadow tells nobody');
select is(pg_temp.night('reminder_eval'), '13 of 13, suppressed {}',
    'R-D1: reminder_eval reminds of each assignment');
select is(pg_temp.night('reminder_eval'), '0 of 13, suppressed {"duplicate": 13}',
    'R-D2: and the second time of none');

select pg_temp.days_pass(1);
update certifications set expires_on = expires_on + 1;
select is(pg_temp.night('reminder_eval', jsonb_build_object('evaluation_date', current_date - 1)),
    '0 of 13, suppressed {"duplicate": 13}',
    'R-D3: made up a day late, the day that has been judged is a duplicate');
select is(pg_temp.night('reminder_eval'), '0 of 13, suppressed {"cooldown": 13}',
    'R-D3: the next day is too early');
select is(pg_temp.night('certification_expiry_check'), '0 of 6, suppressed {"cooldown": 6}',
    'R-D3: for certifications, too');
select pg_temp.days_pass(5);
select is(pg_temp.night('reminder_eval'), '0 of 13, suppressed {"cooldown": 13}',
    'R-D3: and so is the sixth');
select pg_temp.days_pass(1);
update certifications set expires_on = expires_on - 1;
update reveille.scenario_config set cooldown_days = 1 where scenario_type = 'reminder_due';
select is(pg_temp.night('reminder_eval',
    jsonb_build_object('evaluation_date', current_date - 1)), '13 of 13, suppressed {}',
    'R-D3: after seven days it goes out again, counted from the day on which it was told');
select is(pg_temp.night('reminder_eval'), '0 of 13, suppressed {"cooldown": 13}',
    'R-D3: a run of today on the same day as one that was made up is too early');
select is((select count(*) from reveille.notification a join reveille.notification b
             using (user_id, scenario_type, about_id)
            where b.cooldown_window_start > a.cooldown_window_start
              and b.cooldown_window_start < a.cooldown_window_start + a.cooldown_days), 0::bigint,
          'R-D3: no two notifications are closer than the cooldown');

-- ---- a row that cannot be judged costs itself
insert into certifications(id, peer_mentor_id, expires_on)
    values (test.mentor(300), test.mentor(11), 'infinity');
select test.run('certification_expiry_check', 100) as run \gset
create function pg_temp.poison() returns trigger language plpgsql as $$
begin
    if new.about_id = test.mentor(203) then
        raise data_exception;
    end if;
    return new;
end $$;
create trigger poison before insert on reveille.notification
    for each row execute function pg_temp.poison();
delete from reveille.notification; delete from reveille.cooldown; delete from reveille.outbox;
select throws_ok(format($$ select * from reveille.judge_slices(%L, '{0}', 'w') $$, :'run'),
    '22000', null, 'a row that the database refuses fails the slice');
select results_eq(
    format($$ select evaluated, errors, dispatched
                from reveille.judge_slices(%L, '{0}', 'w', true) $$, :'run'),
    'values (6, 1, 5)', 'R-E2: one by one, it costs itself; what never ends is not expiring');

select * from finish();
rollback;
