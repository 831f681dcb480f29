-- why, prune: what happened to one mentor, and what is removed when.
begin;
select no_plan();
insert into reveille.scenario_config(scenario_type, cooldown_days, per_subject)
    values ('milestone', 7, false), ('certification', 10, true)
on conflict (scenario_type) do update set enabled = true, cooldown_days = excluded.cooldown_days;
update reveille.scenario_config set cooldown_days = least(cooldown_days, 30);
select test.job('one', 'noop', '{inactivity,milestone}');
select test.mentors(1, 8);
insert into certifications(id, peer_mentor_id, expires_on)
    values (test.mentor(101), test.mentor(1), current_date);

-- ---- why: every outcome
select test.run('one', 2) as a \gset
select test.settle(:'a', 0, '{1}');                     -- 1 is due, 2 is not
update peer_mentors set status = 'paused' where id = test.mentor(3);
select test.settle(:'a', 1);                            -- 3 is skipped
select reveille.claim_slice(:'a', 2, 'host:1:x');       -- 5 and 6 are being judged
create function pg_temp.part(p_subject uuid, p_run uuid) returns jsonb language sql as $$
    select reveille.why(p_subject, p_run) -> 'runs' -> 0
$$;
select is(pg_temp.part(test.mentor(i), :'a') ->> 'outcome', expected,
          format('why tells the outcome: %s', expected))
  from (values (1, 'evaluated'), (2, 'evaluated'), (3, 'skipped'), (5, 'claimed'), (7, 'waiting'))
       x(i, expected);
select is(pg_temp.part(test.mentor(5), :'a') ->> 'worker', 'host:1:x', 'and who is at work on it');
select settle.errors from reveille.settle_slice(:'a', 2, 'host:1:x', '{}', '{1}',
    array[test.person(5)], '{nobody_knows}', '{dispatch}', array[null::uuid], '{null}') settle \gset
select is(pg_temp.part(test.mentor(5), :'a') - '{started_at,done_at,run_id,evaluation_date,rings}'::text[],
    '{"job_name": "one", "status": "running", "triggered_by": "manual", "replay_of": null,
      "shadow": false, "subject_id": "00000005-0000-4000-8000-000000000000", "slice": 2,
      "topic": "reveille.slices.noop", "attempt": 1, "worker": "host:1:x",
      "last_error_class": null, "outcome": "error", "error_class": "evaluation_logic_error",
      "error_message": "unusable decision", "scenarios": []}'::jsonb
      || jsonb_build_object('partition', s.partition),
    'why tells slice, partition, attempt, worker and the class of an error')
  from reveille.slice s where s.run_id = :'a' and s.slice_no = 2;
select reveille.cancel_run(:'a') is not null;
select is(pg_temp.part(test.mentor(7), :'a') ->> 'outcome', 'unreached', 'or that it was not reached');

-- ---- why: what was decided
select is(pg_temp.part(test.mentor(1), :'a') -> 'scenarios',
    '[{"scenario_type": "inactivity", "result": "dispatched"},
      {"scenario_type": "milestone", "result": "dispatched"}]', 'a dispatch');
select is(pg_temp.part(test.mentor(2), :'a') -> 'scenarios' -> 0,
    '{"scenario_type": "inactivity", "result": "not_dispatched", "because": "engine"}',
    'the engine''s silence');
select test.run('one', 2) as b \gset
select test.finish(:'b');
select is(pg_temp.part(test.mentor(1), :'b') -> 'scenarios' -> 0,
    jsonb_build_object('scenario_type', 'inactivity', 'result', 'not_dispatched',
                       'because', 'duplicate', 'of_run', :'a'),
    'a duplicate, and of which run');
select test.run('one', 2, jsonb_build_object('evaluation_date', current_date - 1)) as c \gset
select test.finish(:'c');
select is(pg_temp.part(test.mentor(1), :'c') -> 'scenarios' -> 0,
    jsonb_build_object('scenario_type', 'inactivity', 'result', 'not_dispatched',
                       'because', 'cooldown', 'of_run', :'a', 'until', current_date + 30),
    'R-D3: a cooldown, whose, and until when');
select test.run('one', 2, '{"shadow": true}') as d \gset
select test.finish(:'d');
select is(pg_temp.part(test.mentor(2), :'d') -> 'scenarios' -> 0 ->> 'because', 'shadow',
    'a shadow run');

-- ---- why: whose id is asked for
select is(w -> 'mentor_id', to_jsonb(test.mentor(1)), 'the mentor is found by ' || x.what)
  from (values ('its own id', test.mentor(1)), ('its user''s', test.person(1)),
               ('its certification''s', test.mentor(101))) x(what, id),
       reveille.why(x.id) w;
select results_eq(
    format('select x ->> %L from jsonb_array_elements(reveille.why(%L) -> %L) x limit 1', 'run_id',
           test.person(1), 'runs'),
    format('select run_id::text from reveille.run where job_name = %L order by started_at desc
             limit 1', 'one'),
    'without a run it is all of them, the newest first');
select is(jsonb_array_length(reveille.why(test.person(1)) -> 'runs'), 4, 'none is missing');
select is(reveille.why(test.mentor(1), :'a') -> 'cooldowns' -> 0,
    jsonb_build_object('scenario_type', 'inactivity', 'about_id', null, 'until', current_date + 30),
    'the cooldowns in force');
select is(n - '{created_at,run_id}'::text[],
    jsonb_build_object('scenario_type', 'inactivity', 'about_id', null, 'slice', 0,
        'evaluation_date', current_date, 'external', false, 'cooldown_until', current_date + 30,
        'waiting_in_outbox', true), 'the notification''s row')
  from jsonb_array_elements(reveille.why(test.mentor(1)) -> 'notifications') n
 where n ->> 'scenario_type' = 'inactivity';
select is(position(test.person(1)::text in w::text), 0, 'R-S5: the user''s id is in no answer')
  from reveille.why(test.person(1)) w;
select reveille.set_contact(test.mentor(1), current_date, 'test');
select is(reveille.why(test.mentor(1)) -> 'corrections' -> 0 -> 'contact_date',
          to_jsonb(current_date), 'a correction by hand');
select is(reveille.why(gen_random_uuid()), null, 'an id that nobody has is null');
delete from certifications;
delete from assignments where peer_mentor_id = test.mentor(8);
delete from peer_mentors where id = test.mentor(8);
select is(reveille.why(test.mentor(8)) ->> 'kind', 'unknown', 'who has left the host is found still');
select is(reveille.why(test.mentor(8), :'b') -> 'runs' -> 0 ->> 'outcome', 'evaluated',
          'in the runs that planned it');

-- ---- prune
create function pg_temp.prune(p_older interval) returns jsonb language plpgsql as $$
declare
    k text;
    n int;
    total int;
    r jsonb := '{}';
begin
    foreach k in array '{slices,errors,requests,runs,notifications,cooldowns,logs,dead_letters}'::text[]
    loop
        total := 0;
        loop
            n := reveille.prune(k, p_older, 2);
            exit when n = 0;
            total := total + n;
        end loop;
        r := r || jsonb_build_object(k, total);
    end loop;
    return r;
end $$;
create function pg_temp.age(p_run uuid, p interval) returns void language sql as $$
    update reveille.run set started_at = started_at - p, finished_at = finished_at - p,
           dispatch_date = dispatch_date - extract(day from p)::int,
           evaluation_date = evaluation_date - extract(day from p)::int where run_id = p_run;
    update reveille.trigger_request set requested_at = requested_at - p where run_id = p_run;
    update reveille.scheduler_execution_log set started_at = started_at - p where run_id = p_run;
    update reveille.outbox o set cooldown_window_start = o.cooldown_window_start
               - extract(day from p)::int from reveille.notification n
     where n.run_id = p_run and (n.cooldown_window_start, n.user_id, n.scenario_type, n.about_id)
               = (o.cooldown_window_start, o.user_id, o.scenario_type, o.about_id);
    update reveille.notification set cooldown_window_start = cooldown_window_start
               - extract(day from p)::int, evaluation_date = evaluation_date
               - extract(day from p)::int where run_id = p_run;
$$;
select is(pg_temp.prune('1 day'), '{"slices": 0, "errors": 0, "requests": 0, "runs": 0,
    "notifications": 0, "cooldowns": 0, "logs": 0, "dead_letters": 0}',
    'nothing young is pruned');

select pg_temp.age(:'a', '20 d');
select is(pg_temp.prune('1 day') -> 'slices', '0',
    'R-D3: nothing is pruned that is younger than the longest cooldown');
select pg_temp.age(:'a', '11 d');
select reveille.summary(:'a') as before \gset
select is(x - '{requests,runs,logs,notifications}'::text[], '{"slices": 4, "errors": 1,
    "cooldowns": 0, "dead_letters": 0}', 'after 30 days it is forgotten who was judged, and no more')
  from pg_temp.prune('400 d') x;
select is(reveille.summary(:'a'), :'before'::jsonb, 'the run keeps its totals');
select is(reveille.why(test.mentor(5), :'a') -> 'runs', '[]', 'but not its subjects');
select results_eq(format('select * from reveille.verify_run(%L)', :'a'),
    $$ values ('its subjects were pruned after 30 days', 4::bigint, 0::bigint, false) $$,
    'R-D4: and cannot be proved any more, which is told from a loss');
select is(count(*)::int, 4, 'notifications stay as long as runs')
  from reveille.notification where run_id = :'a';

-- a run of a slot, and its replay
insert into reveille.run(run_id, job_name, slot, state, evaluation_date, dispatch_date, scenarios,
        triggered_by, page_size, deadline_at, started_at, finished_at, replay_of)
    select x.id::uuid, 'one', x.slot, 'completed', current_date - 500, current_date - 500, '{}', x.by, 1, now(),
           now() - interval '500 d',
           now() - case when x.parent is null then interval '500 d' else '350 d' end, x.parent::uuid
      from (values ('aaaa0000-0000-4000-8000-000000000001', '2020-01-01Z'::timestamptz, 'http', null),
                   ('aaaa0000-0000-4000-8000-000000000002', '2020-01-02Z', 'http', null),
                   ('aaaa0000-0000-4000-8000-000000000003', null, 'replay',
                    'aaaa0000-0000-4000-8000-000000000001')) x(id, slot, by, parent);
insert into reveille.trigger_request(job_name, slot, source, state, run_id, requested_at)
    select 'one', slot, 'http', 'opened', run_id, started_at from reveille.run where slot is not null;
insert into reveille.dead_letter values ('t', 1, 1, 'x', now() - interval '500 d'), ('t', 1, 2, 'x', now());
insert into reveille.cron_execution_log(job_name, triggered_at, status)
    values ('x', now() - interval '500 d', 'succeeded'), ('x', now(), 'succeeded');
insert into reveille.cooldown values (test.person(7), test.person(7), 'old', current_date - 500),
                                     (test.person(7), test.person(7), 'new', current_date + 1);
select pg_temp.age(:'a', '480 d');
select is(pg_temp.prune('400 d'), '{"slices": 0, "errors": 0, "requests": 2, "runs": 1,
    "notifications": 0, "cooldowns": 1, "logs": 2, "dead_letters": 1}',
    'after 400 days runs go, a job''s newest slot never, nor one with a younger replay');
update reveille.run set finished_at = finished_at - interval '100 d' where replay_of is not null;
select is(pg_temp.prune('400 d') -> 'runs', '2', 'and a parent with its last replay');
select is(array(select run_id::text from reveille.run where job_name = 'one' and slot is not null),
    '{aaaa0000-0000-4000-8000-000000000002}', 'R-T13: so that the slot is not run again');
select is(count(*)::int, 4, 'a notification that nobody has taken yet stays')
  from reveille.notification where run_id = :'a';
select reveille.mark_sent(array_agg(id)) from reveille.claim_notifications(100);
select is(pg_temp.prune('400 d') -> 'notifications', '4', 'and goes when it has been taken');
select throws_ok($$ select reveille.prune('everything', '1 d') $$, '22023');

-- ---- what pg_cron and pg_net leave behind
-- (stand-ins with the columns and the row security of pg_cron 1.4.2 and pg_net)
select is(reveille.prune_foreign(k, '400 d'), 0, k || ' where there is none')
  from unnest('{cron_details,net_responses}'::text[]) k;
create schema cron;
create table cron.job_run_details(runid bigint, username text not null default current_user,
                                  start_time timestamptz);
alter table cron.job_run_details enable row level security;
create policy own on cron.job_run_details using (username = current_user);
grant select, delete on cron.job_run_details to public;
insert into cron.job_run_details values (1, 'cron_runner', now() - interval '500 d'),
    (2, 'cron_runner', now()), (3, 'somebody', now() - interval '500 d');
select is(reveille.prune_foreign('cron_details', '400 d'), 1, 'pg_cron''s details of our rows');
select is(array(select runid from cron.job_run_details order by 1), '{2,3}'::bigint[],
    'no young one, and no one else''s');
select is(has_schema_privilege('cron_runner', 'cron', 'usage'), false,
    'R-T6: cron_runner is let into pg_cron''s schema only for as long');
create schema net;
create table net._http_response(id bigint, created timestamptz not null default now());
insert into net._http_response(id, created) values (1, now() - interval '500 d'), (2, now());
select is(reveille.prune_foreign('net_responses', '400 d'), 1, 'pg_net''s answers');
select throws_ok($$ select reveille.prune_foreign('everything', '1 d') $$, '22023');

-- ---- doctor (each check is broken in tests/flow/test_doctor.py)
set local role reveille_reader;
select is_empty($$ select name from reveille.doctor() group by 1 having count(*) > 1 $$,
    'no check has two lines');
select cmp_ok(count(*)::int, '>', 15, 'and there are many') from reveille.doctor();
select is_empty($$ select * from reveille.doctor() where ok is not false and found is null
                      or ok is false and mend is null $$,
    'each says what it found, and the mend of what is wrong');
reset role;

select * from finish();
rollback;
