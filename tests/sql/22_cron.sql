-- pg_cron's rows: registered from the registry, found where they differ, changed by set_job.
-- Against a stand-in with pg_cron's columns, signatures, RLS and grants; the real one is in
-- tests/flow.
begin;
select no_plan();

-- ---- without pg_cron
select is(reveille_cron.has_pg_cron(), false, 'a database without pg_cron is seen to be one');
select is_empty('select * from reveille_cron.register_all()',
                'R-T2: without pg_cron nothing is registered, and nothing is wrong');
select is_empty('select * from reveille_cron.drift()', 'R-T3: and nothing differs');
select is(reveille_cron.register('nightly-scheduler'), false, 'register says that it is not there');

-- ---- the stand-in
create schema cron;
create table cron.job(
    jobid    bigint generated always as identity primary key,
    schedule text not null,
    command  text not null,
    nodename text not null default 'localhost',
    nodeport int not null default 5432,
    database text not null default current_database(),
    username text not null default current_user,
    active   boolean not null default true,
    jobname  name,
    unique (jobname, username)
);
grant select on cron.job to public;
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);
create function cron.schedule(job_name text, schedule text, command text)
returns bigint language plpgsql security definer as $$
#variable_conflict use_column
declare
    n bigint;
begin
    insert into cron.job as j(jobname, schedule, command, username)
        values ($1, $2, $3, 'cron_runner')
        on conflict (jobname, username) do update
            set schedule = excluded.schedule, command = excluded.command
        returning j.jobid into n;
    return n;
end $$;
create function cron.unschedule(job_name name) returns bool language plpgsql security definer as $$
begin
    delete from cron.job where jobname = job_name and username = 'cron_runner';
    if not found then
        raise 'could not find valid entry for job ''%''', job_name;
    end if;
    return true;
end $$;

-- ---- registering
select is(reveille_cron.has_pg_cron(), true, 'pg_cron is found by its catalogue');
select results_eq('select * from reveille_cron.drift()',
    $$ values ('daily-reminder-eval is not registered with pg_cron'),
              ('nightly-scheduler is not registered with pg_cron'),
              ('scenario-scheduler-daily is not registered with pg_cron') $$,
    'R-T3: what is not registered is reported');
select is_empty('select * from reveille_cron.register_all()', 'R-T2: they are registered');
create function pg_temp.jobs() returns table(n text, s text, c text, u text) language sql as $$
    select jobname::text, schedule, command, username from cron.job order by 1
$$;
create temp table three as
    select name, schedule, format('select reveille_cron.ring(%L)', name) as command,
           'cron_runner' as owner
      from (values ('daily-reminder-eval', '0 6 * * *'), ('nightly-scheduler', '0 2 * * *'),
                   ('scenario-scheduler-daily', '0 6 * * *')) x(name, schedule);
select results_eq('select * from pg_temp.jobs()', 'table three',
    'R-T1: three rows, with their names, schedules and one owner');
select reveille_cron.register_all(), reveille_cron.register('nightly-scheduler');
select results_eq('select * from pg_temp.jobs()', 'table three', 'R-T2: applied again, one row a name');
select is_empty('select * from reveille_cron.drift()', 'R-T3: nothing differs any more');
select is(has_schema_privilege('cron_runner', 'cron', 'usage'), false,
          'R-T6: cron_runner has been let into schema cron for the registration only');
select is(has_schema_privilege('cron_runner', 'reveille_cron', 'create'), false,
          'R-T6: and creates nothing');
select is(current_setting('role'), 'none', 'the caller is who it was');

-- ---- drift
create function pg_temp.after(p_do text) returns text language plpgsql as $$
declare
    said text;
begin
    begin
        execute p_do;
        select string_agg(d, '; ') into said from reveille_cron.drift() d;
        raise 'back' using errcode = 'RV999';
    exception when sqlstate 'RV999' then
        null;
    end;
    return said;
end $$;
select is(pg_temp.after(what), expected, 'R-T3: reported: ' || expected)
  from (values
    ($$ delete from cron.job where jobname = 'nightly-scheduler' $$,
     'nightly-scheduler is not registered with pg_cron'),
    ($$ update cron.job set active = false where jobname = 'nightly-scheduler' $$,
     'nightly-scheduler is switched off in pg_cron'),
    ($$ update cron.job set database = 'elsewhere' where jobname = 'nightly-scheduler' $$,
     'nightly-scheduler is for another database in pg_cron'),
    ($$ update cron.job set command = 'select 1' where jobname = 'nightly-scheduler' $$,
     'nightly-scheduler has another command in pg_cron'),
    ($$ update reveille.job set schedule = '0 5 * * *' where job_name = 'reminder_eval' $$,
     'daily-reminder-eval fires at 0 6 * * *, but reminder_eval is due at 0 5 * * *'),
    ($$ update reveille.job set schedule = '0 5 * * *' where job_name = 'hlf_dynamics_sync' $$,
     'nightly-scheduler rings certification_expiry_check, hlf_dynamics_sync at different times'),
    ($$ update reveille.job set cron_name = null where job_name = 'reminder_eval' $$,
     'daily-reminder-eval is left in pg_cron, but no job has it'),
    ($$ update cron.job set username = 'postgres' where jobname = 'nightly-scheduler' $$,
     'nightly-scheduler is not registered with pg_cron')) x(what, expected);
select is(pg_temp.after($$ insert into cron.job(jobname, schedule, command, username)
                             values ('vacuum', '0 3 * * *', 'vacuum', 'cron_runner') $$), null,
          'a row of pg_cron that is not ours is left alone');

-- ---- setting
create function pg_temp.set(p_name text, p jsonb) returns text language sql as $$
    select case when not s.known then 'unknown' else coalesce(s.problem, 'done') end
      from reveille_cron.set_job(p_name, p, 'me') s
$$;
update reveille.job set enabled_since = '-infinity' where job_name = 'reminder_eval';
select is(pg_temp.set('reminder_eval', '{"schedule": "30 5 * * *"}'), 'done', 'a schedule is set');
select is(s, '30 5 * * *', 'R-T3: and pg_cron told of it')
  from pg_temp.jobs() where n = 'daily-reminder-eval';
select ok(enabled_since > now(), 'what was due by the new schedule before is not made up for')
  from reveille.job where job_name = 'reminder_eval';
select results_eq($$ select actor, object, detail from reveille.audit where action = 'set_job' $$,
    $$ values ('me', 'reminder_eval', jsonb '{"schedule": "30 5 * * *"}') $$,
    'who set what is in the audit');
update reveille.job set enabled_since = '-infinity' where job_name = 'reminder_eval';
select is(pg_temp.set('reminder_eval', '{"page_size": "7", "deadline": "3 h", "time_zone": "UTC",
    "scenario_types": "reminder_due,inactivity", "alert_after": "1 h", "catchup_window": "2 h",
    "component": "x", "engine": "noop"}'), 'done', 'everything else is set');
select results_eq($$ select page_size, deadline, time_zone, scenario_types, alert_after, catchup_window,
                            component, engine, enabled_since from reveille.job
                      where job_name = 'reminder_eval' $$,
    $$ values (7, interval '3 h', 'UTC', '{reminder_due,inactivity}'::text[], interval '1 h',
               interval '2 h', 'x', 'noop', timestamptz '-infinity') $$, 'to what was given');
select is(pg_temp.set('reminder_eval', '{"page_size": ""}'), 'done', 'an empty text is null');
select is(page_size, null, 'as it was asked') from reveille.job where job_name = 'reminder_eval';
select is(pg_temp.set('nobody', '{"schedule": "0 1 * * *"}'), 'unknown', 'an unknown job is said');
select is(pg_temp.set('reminder_eval', p), said, 'refused: ' || said)
  from (values
    (jsonb '{"schedule": "0 25 * * *"}', 'cron field "25" is out of range'),
    ('{"schedule": "often"}', 'a schedule has five fields, not 1'),
    ('{"schedule": "0 6 30 2 *"}', 'this schedule never fires'),
    ('{"schedule": ""}', 'schedule cannot be empty'),
    ('{"engine": "steam"}', 'there is no such engine'),
    ('{"deadline": "25 h"}', 'deadline is above 0 and below 24 hours'),
    ('{"deadline": "soon"}', 'invalid input syntax for type interval: "soon"'),
    ('{"time_zone": "Moon"}', 'time zone "Moon" not recognized'),
    ('{"page_size": "1001"}', 'page_size is from 1 to 1000'),
    ('{"page_size": "many"}', 'invalid input syntax for type integer: "many"'),
    ('{"scenario_types": "party"}', 'scenario_types has one that is not in scenario_config'),
    ('{"catchup_window": "0"}', 'alert_after and catchup_window are more than nothing'),
    ('{"judge": "x"}', 'judge is not one of schedule, cron_name, time_zone, engine, scenario_types, '
        || 'page_size, deadline, alert_after, catchup_window, component')) x(p, said);
select is(pg_temp.set('hlf_dynamics_sync', '{"engine": "sql"}'),
          'engine sql needs a judge, and this job has none', 'an engine that cannot judge it is refused');

-- ---- a row that rings two
select is(pg_temp.set('hlf_dynamics_sync', '{"schedule": "0 4 * * *"}'),
    'nightly-scheduler rings certification_expiry_check (0 2 * * *), hlf_dynamics_sync (0 4 * * *) at '
    || 'one time: set the schedule of nightly-scheduler itself, or give a job another cron_name',
    'R-T3: two jobs of one row cannot differ in their schedule');
select is(schedule, '0 2 * * *', 'and nothing was changed')
  from reveille.job where job_name = 'hlf_dynamics_sync';
select is(pg_temp.set('nightly-scheduler', '{"schedule": "0 3 * * *"}'), 'done',
          'the row''s schedule is set for all its jobs');
select results_eq($$ select job_name, schedule from reveille.job where cron_name = 'nightly-scheduler'
                      order by 1 $$,
    $$ values ('certification_expiry_check', '0 3 * * *'), ('hlf_dynamics_sync', '0 3 * * *') $$,
    'R-T3: both have it');
select is(pg_temp.set('nightly-scheduler', '{"engine": "noop"}'),
    'nightly-scheduler is a cron row: it has a schedule, and nothing else to set',
    'a row''s name is for its schedule');
select is(pg_temp.set('hlf_dynamics_sync', '{"cron_name": "dynamics-sync", "schedule": "0 4 * * *"}'),
          'done', 'a job moves to a row of its own');
select is(pg_temp.set('reminder_eval', '{"cron_name": ""}'), 'done', 'and one has none any more');
select results_eq('select n, s from pg_temp.jobs()',
    $$ values ('dynamics-sync', '0 4 * * *'), ('nightly-scheduler', '0 3 * * *'),
              ('scenario-scheduler-daily', '0 6 * * *') $$,
    'R-T1: a row is there as long as a job has it');
select is_empty('select * from reveille_cron.drift()', 'and pg_cron is in line with all of it');

-- ---- what cannot be registered is said, and stops nothing else
update reveille.job set schedule = '0 1 * * *', cron_name = 'nightly-scheduler'
 where job_name = 'hlf_dynamics_sync';
update reveille.job set schedule = '0 7 * * *' where job_name = 'scenario_scheduler';
select results_eq('select * from reveille_cron.register_all()',
    $$ values ('nightly-scheduler rings certification_expiry_check (0 3 * * *), hlf_dynamics_sync '
        || '(0 1 * * *) at one time: set the schedule of nightly-scheduler itself, or give a job '
        || 'another cron_name') $$, 'R-T3: a conflict is a clear sentence');
select results_eq('select n, s from pg_temp.jobs()',
    $$ values ('nightly-scheduler', '0 3 * * *'), ('scenario-scheduler-daily', '0 7 * * *') $$,
    'the others are registered, and what no job has is gone');
select throws_ok($$ select reveille_cron.register('nightly-scheduler') $$, 'RV409');

-- ---- the seed
update reveille.job set schedule = '0 6 * * *', cron_name = 'daily-reminder-eval'
 where job_name = 'reminder_eval';
select throws_ok($$ select reveille_cron.seed('0 25 * * *', null) $$, '22023',
    'REMINDER_CRON_EXPRESSION: cron field "25" is out of range', 'R-T3: a seed that is none is refused');
select throws_ok($$ select reveille_cron.seed(null, 'ftp://x') $$, '22023');
select is_empty($$ select * from reveille_cron.seed('15 5 * * *', null) $$,
                'R-T3: the environment seeds the schedule');
select is(s, '15 5 * * *', 'and pg_cron has it') from pg_temp.jobs() where n = 'daily-reminder-eval';
select is_empty('select * from reveille_cron.seed(null, null)', 'an empty environment says nothing');
select results_eq($$ select * from reveille_cron.seed('0 9 * * *', 'http://x') $$,
    $$ values ('REMINDER_CRON_EXPRESSION only seeds: 15 5 * * * stays in force; to change it: reveille '
        || 'jobs set reminder_eval schedule=''0 9 * * *'''),
        ('REMINDER_FUNCTION_URL is not used: there is no Vault here, and no POST; NOTIFY rings') $$,
    'R-T3: once only, and afterwards a difference is spoken of');
select is(schedule, '15 5 * * *', 'the row holds') from reveille.job where job_name = 'reminder_eval';

select * from finish();
rollback;
