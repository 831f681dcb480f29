-- run_alert, note_alerts: what should have happened by now, told once.
begin;
select no_plan();
select test.job('daily');
select test.mentors(1, 3);
update reveille.job set paused_at = now() where job_name <> 'daily';
create function pg_temp.due(p_ago interval) returns void language sql as $$
    update reveille.job set schedule = to_char(clock_timestamp() at time zone 'UTC' - p_ago,
                                               'MI HH24 * * *')
     where job_name = 'daily'
$$;
create function pg_temp.on() returns text language sql as $$
    select coalesce(string_agg(kind, ',' order by kind), '') from reveille.run_alert
$$;
create function pg_temp.told() returns text language sql as $$
    select coalesce(string_agg(kind, ',' order by kind) filter (where fresh), '')
      from reveille.note_alerts()
$$;

-- ---- a slot without a run; computable with no producer alive
select pg_temp.due('29 min');
update reveille.job set enabled_since = clock_timestamp() - interval '10 h' where job_name = 'daily';
select is(pg_temp.on(), '', 'R-S7: a slot of 29 minutes ago may wait');
select pg_temp.due('31 min');
select is(pg_temp.on(), 'slot', 'R-S7: one of 31 minutes ago without a run is an alert');
select results_eq($$ select job_name, run_id, slot, age >= interval '31 min', alert_after
                       from reveille.run_alert $$,
    $$ values ('daily', null::uuid, date_trunc('minute', clock_timestamp() - interval '31 min'),
               true, interval '30 min') $$, 'R-S7: it says how old it is, and what is allowed');
update reveille.job set enabled_since = clock_timestamp() where job_name = 'daily';
select is(pg_temp.on(), '', 'R-S7: a slot from before the job was enabled is none');
update reveille.job set enabled_since = '-infinity', enabled_on = 'x' where job_name = 'daily';
select is(pg_temp.on(), '', 'R-S7: a copy''s slots are none');
update reveille.job set enabled_on = reveille.here(), paused_at = now() where job_name = 'daily';
select is(pg_temp.on(), '', 'R-S7: a paused job''s slots are none');
update reveille.job set paused_at = null where job_name = 'daily';
update reveille.job set schedule = '* * * * *' where job_name = 'daily';
select is(pg_temp.on(), 'slot', 'R-S7: a job of every minute without a run for half an hour');
select pg_temp.due('31 min');
select is(pg_temp.told(), 'slot', 'R-S7: an alert is told');
select is(pg_temp.told(), '', 'R-S7: once');
select is((select count(*) from reveille.note_alerts()), 1::bigint,
          'R-S7: and stays on for the metrics');
select reveille.request('daily', 'http');
select run_id as run from reveille.open_run('p') \gset
select is(pg_temp.on(), '', 'R-S7: it ends when the slot has its run');
select pg_temp.told();
select is_empty('select from reveille.alert_told', 'R-S7: and is forgotten');

-- ---- a run that takes too long
update reveille.run set started_at = clock_timestamp() - interval '29 min';
select is(pg_temp.on(), '', 'R-S7: a run of 29 minutes may go on');
update reveille.run set started_at = clock_timestamp() - interval '31 min';
select is(pg_temp.told(), 'run', 'R-S7: one of 31 minutes is an alert');
select results_eq('select run_id, age_s >= 1860, alert_after_s, fresh from reveille.note_alerts()',
                  format('values (%L::uuid, true, 1800::bigint, false)', :'run'),
                  'R-S7: it names the run, its age and what is allowed, and is told once');
update reveille.job set paused_at = now() where job_name = 'daily';
select is(pg_temp.on(), 'run', 'R-S7: a run goes on while its job is paused, and so does its alert');
update reveille.job set paused_at = null where job_name = 'daily';

-- ---- a slot that failed for good
select reveille.cancel_run(:'run', 'partial');
select is(pg_temp.on(), 'slot', 'R-S7: a failed run is none');
update reveille.trigger_request set tries = 2;
select is(pg_temp.on(), 'slot', 'R-T13: a failed slot that is tried again is not given up');
update reveille.trigger_request set tries = 3;
select is(pg_temp.told(), 'failed,slot', 'R-T13: after the last try a failed slot is an alert');
select is(pg_temp.told(), '', 'R-T13: told once');
update reveille.trigger_request set tries = 0;
update reveille.job set catchup_window = '20 min' where job_name = 'daily';
select is(pg_temp.on(), 'failed,slot',
          'R-T13: so is one that failed too late to be tried again');
select reveille.request('daily', 'http');
select is(pg_temp.on(), 'slot', 'R-T13: until somebody asks for it again');

select * from finish();
rollback;
