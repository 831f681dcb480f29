-- ring and collect: what a firing leaves, the POST, its answer, and who may do it. pg_net and Vault
-- are stand-ins; the test plays pg_net's worker.
begin;
select no_plan();

-- ---- the plain doorbell
create function pg_temp.log() returns table(job text, status text, http smallint, error text)
language sql as $$
    select job_name, status, http_status, error_message from reveille.cron_execution_log order by id
$$;
select is(test.denied('cron_runner', $$ select reveille_cron.ring('nightly-scheduler') $$), 'allowed',
          'R-T6: cron_runner may ring');
select results_eq('select job, status from pg_temp.log()',
    $$ values ('certification_expiry_check', 'triggered'), ('hlf_dynamics_sync', 'triggered') $$,
    'R-T7: a firing is a row of the log, a row a job');
select results_eq($$ select job_name, source, state from reveille.trigger_request order by 1 $$,
    $$ values ('certification_expiry_check', 'pg_cron', 'pending'),
              ('hlf_dynamics_sync', 'pg_cron', 'pending') $$,
    'R-T4: a firing is a durable request, with no pg_net at all');
select is(count(*), 2::bigint, 'R-T4: the log knows each firing''s request')
  from reveille.cron_execution_log l
  join reveille.trigger_request t on t.id = l.trigger_id and t.job_name = l.job_name;
select reveille_cron.ring('nightly-scheduler');
select is(count(*), 2::bigint, 'R-T4: the same slot rung twice is one request a job')
  from reveille.trigger_request;
select is(count(*), 4::bigint, 'R-T7: but each firing has its rows') from pg_temp.log();
delete from reveille.cron_execution_log;
select reveille_cron.ring('no-such-row'), reveille_cron.ring('mentor@example.org; a text');
select results_eq('select * from pg_temp.log()',
    $$ values ('no-such-row', 'failed', null::smallint, 'no job has this cron_name'),
              ('?', 'failed', null, 'no job has this cron_name') $$,
    'R-T7: a row that no job has is a failed firing, and leaves no text of the caller''s');

-- ---- pause
delete from reveille.cron_execution_log;
delete from reveille.trigger_request;
select reveille.pause_job('reminder_eval', 'a holiday');
select reveille_cron.ring('daily-reminder-eval');
select results_eq('select * from pg_temp.log()',
    $$ values ('reminder_eval', 'refused', null::smallint, 'the job is paused') $$,
    'R-T8: a paused job''s firing is logged as refused');
select is_empty($$ select from reveille.trigger_request where state = 'pending' $$,
                'R-T8: and nothing is asked for');
select reveille.pause_job('reminder_eval', null);
delete from reveille.trigger_request;
update reveille.job set enabled_on = 'elsewhere' where job_name = 'reminder_eval';
select reveille_cron.ring('daily-reminder-eval');
select is((select error from pg_temp.log() offset 1),
          'this is a copy of the database; resume the job to run it here',
          'R-T8: on a copy of the database, too');
select reveille.pause_job('reminder_eval', null);

-- ---- one job's trouble is its own
delete from reveille.cron_execution_log;
delete from reveille.trigger_request;
create function pg_temp.trouble() returns trigger language plpgsql as $$
begin
    raise 'mentor@example.org is in the way' using errcode = '23514';
end $$;
create trigger trouble before insert on reveille.trigger_request for each row
    when (new.job_name = 'certification_expiry_check') execute function pg_temp.trouble();
select reveille_cron.ring('nightly-scheduler');
select results_eq('select job, status, error from pg_temp.log()',
    $$ values ('certification_expiry_check', 'failed', 'the request failed (23514)'),
              ('hlf_dynamics_sync', 'triggered', null) $$,
    'R-T7: a job that cannot be asked for costs the next one nothing, and no text gets into the log');
drop trigger trouble on reveille.trigger_request;

-- ---- pg_net and Vault
\ir net_vault_stand_in.sql
create function pg_temp.fire() returns bigint language plpgsql as $$
begin
    delete from reveille.trigger_request where job_name = 'reminder_eval';
    perform reveille_cron.ring('daily-reminder-eval');
    return (select max(id) from reveille.cron_execution_log);
end $$;
create function pg_temp.last() returns table(status text, http smallint, error text) language sql as $$
    select status, http_status, error_message from reveille.cron_execution_log order by id desc limit 1
$$;
select pg_temp.fire();
select results_eq('select * from pg_temp.last()',
    $$ values ('failed', null::smallint, 'the POST was not sent (42501)') $$,
    'R-T4: a Vault that was installed since and is closed to us is said');
select reveille_cron.let_in();
select pg_temp.fire();
select results_eq('select * from pg_temp.last()', $$ values ('triggered', null::smallint, null) $$,
    'R-T4: pg_net without an address in Vault: NOTIFY does it, and that is no failure');
select vault.create_secret('http://127.0.0.1:8790/daily-reminder-eval', 'SCHEDULER_URL');
select pg_temp.fire();
select results_eq('select * from pg_temp.last()',
    $$ values ('failed', null::smallint, 'SCHEDULER_SECRET in Vault is missing, or not one') $$,
    'R-T4: half of it in Vault is said, by name');
select is(count(*), 1::bigint, 'R-T4: and the request is there all the same')
  from reveille.trigger_request where job_name = 'reminder_eval' and state = 'pending';
select vault.create_secret(repeat('5ec4e7', 10) || 'abcd', 'SCHEDULER_SECRET');
select pg_temp.fire() as fired \gset
select is(to_jsonb(q) - 'id' || jsonb_build_object('body', convert_from(q.body, 'UTF8')::jsonb),
    jsonb_build_object('method', 'POST', 'url', 'http://127.0.0.1:8790/daily-reminder-eval',
        'body', jsonb '{"job_name": "reminder_eval"}', 'timeout_milliseconds', 10000,
        'headers', jsonb_build_object('Prefer', 'respond-async', 'Content-Type', 'application/json',
            'Authorization', 'Bearer ' || repeat('5ec4e7', 10) || 'abcd', 'X-Reveille-Trigger',
            (select max(id)::text from reveille.trigger_request))),
    'R-T4: the POST has a timeout of its own, the secret, the request''s id, and wants no waiting')
  from net.http_request_queue q;
select is(request_id, (select max(id) from net.http_request_queue), 'the log knows pg_net''s id')
  from reveille.cron_execution_log where id = :fired;
select vault.create_secret('http://127.0.0.1:1/v1/jobs/{job}/runs', 'SCHEDULER_URL_REMINDER_EVAL');
select pg_temp.fire();
select is(url || ' ' || convert_from(body, 'UTF8'), 'http://127.0.0.1:1/v1/jobs/reminder_eval/runs {}',
          'R-T3: a job may have an address of its own, with its name in it')
  from net.http_request_queue order by id desc limit 1;
select vault.update_secret(id, 'javascript:alert') from vault.secrets
 where name = 'SCHEDULER_URL_REMINDER_EVAL';
select pg_temp.fire();
select is(error, 'SCHEDULER_URL in Vault is missing, or not one', 'what is no URL is not called')
  from pg_temp.last();
delete from vault.secrets where name = 'SCHEDULER_URL_REMINDER_EVAL';
select is_empty($$ select x from (select to_jsonb(l)::text as x from reveille.cron_execution_log l
                     union all select to_jsonb(t)::text from reveille.trigger_request t
                     union all select to_jsonb(t)::text from reveille.scheduler_execution_log t
                     union all select to_jsonb(f)::text from reveille_cron.flight f
                     union all select to_jsonb(a)::text from reveille.audit a) y
                    where x like '%5ec4e7%' $$, 'R-T5: the secret is in no table of ours');

-- ---- a POST that fails
alter function net.http_post(text, jsonb, jsonb, jsonb, int) rename to http_post_as_it_was;
create function net.http_post(url text, body jsonb, params jsonb default '{}', headers jsonb default '{}',
                              timeout_milliseconds int default 5000)
returns bigint language plpgsql as $$
begin
    raise 'leaked: %', headers;
end $$;
select pg_temp.fire();
select results_eq('select * from pg_temp.last()',
    $$ values ('failed', null::smallint, 'the POST was not sent (P0001)') $$,
    'R-T4: a POST that fails is said without its text');
select is(count(*), 1::bigint, 'R-T4: and loses no request')
  from reveille.trigger_request where job_name = 'reminder_eval' and state = 'pending';
drop function net.http_post(text, jsonb, jsonb, jsonb, int);
select pg_temp.fire();
select results_eq('select * from pg_temp.last()', $$ values ('triggered', null::smallint, null) $$,
    'R-T4: without the function there is no POST: the catalogue is asked, not a version');
alter function net.http_post_as_it_was(text, jsonb, jsonb, jsonb, int) rename to http_post;
alter view vault.decrypted_secrets rename column decrypted_secret to gone;
select pg_temp.fire();
select is(error, 'the POST was not sent (42703)', 'R-T4: a Vault that fails loses no request')
  from pg_temp.last();
alter view vault.decrypted_secrets rename column gone to decrypted_secret;

-- ---- the answers
create function pg_temp.answered(p_code int, p_error text default null, p_timed_out bool default false,
                                 p_late interval default '0')
returns setof record language plpgsql as $$
declare
    fired bigint;
begin
    delete from reveille.cron_execution_log;
    fired := pg_temp.fire();
    insert into net._http_response(id, status_code, timed_out, error_msg, created)
        select request_id, p_code, p_timed_out, p_error, clock_timestamp() + p_late
          from reveille.cron_execution_log where id = fired;
    perform reveille_cron.collect();
    return query select status, http_status::int, error_message from reveille.cron_execution_log
                  where id = fired;
end $$;
select results_eq(format('select * from pg_temp.answered(%L, %L, %L) x(s text, c int, e text)',
                         code, error, timed_out),
                  format('select %L::text, %L::int, %L::text', s, c, e),
                  format('R-T7: an answer %s is noted as %s', coalesce(code::text, error), s))
  from (values
    (202, null, false, 'succeeded', 202, null),
    (200, null, false, 'succeeded', 200, null),
    (503, null, false, 'failed', 503, 'HTTP 503'),
    (401, null, false, 'failed', 401, 'HTTP 401'),
    (307, null, false, 'failed', 307, 'HTTP 307'),
    (99999, null, false, 'failed', null, 'no answer: see net._http_response'),
    (null, 'Timeout was reached', true, 'timed_out', null, 'no answer in 10 s'),
    (null, 'Couldn''t connect to server', false, 'failed', null, 'no answer: no connection'),
    (null, 'Couldn''t resolve host name', false, 'failed', null, 'no answer: an unknown name'),
    (null, 'SSL peer certificate was not OK', false, 'failed', null, 'no answer: TLS'),
    (null, 'mentor@example.org', false, 'failed', null, 'no answer: see net._http_response'))
    as x(code, error, timed_out, s, c, e);
select is((select s from pg_temp.answered(200, null, false, interval '1 h') x(s text, c int, e text)),
          'triggered', 'R-T7: an answer of another hour is somebody else''s');
select is((select s from pg_temp.answered(200, null, false, interval '-1 h') x(s text, c int, e text)),
          'triggered', 'R-T7: nor is one from before the firing its answer');
select * from pg_temp.answered(200) x(s text, c int, e text);
select isnt(completed_at, null, 'R-T7: when it was known is noted') from reveille.cron_execution_log;

-- ---- ids that start at 1 again
truncate net._http_response, net.http_request_queue restart identity;
delete from reveille.cron_execution_log;
select pg_temp.fire() as before \gset
truncate net.http_request_queue restart identity;
select pg_temp.fire() as after \gset
select is(count(*), 2::bigint, 'two firings have been given the same id by pg_net')
  from reveille.cron_execution_log where request_id = 1;
insert into net._http_response(id, status_code) values (1, 202);
select is(reveille_cron.collect(), 2, 'both are known now');
select results_eq($$ select status, http_status from reveille.cron_execution_log order by id $$,
    $$ values ('unknown', null::smallint), ('succeeded', 202::smallint) $$,
    'R-T7: the newest owns the id; the older one''s answer is unknown, never the other''s');
truncate net._http_response, net.http_request_queue restart identity;
delete from reveille.cron_execution_log;
select pg_temp.fire();
truncate reveille_cron.flight;      -- what a crash of the server does to it, and to pg_net's
insert into net._http_response(id, status_code) values (1, 200);    -- another application's, since
select reveille_cron.collect();
select results_eq('select status, http from pg_temp.log()', $$ values ('unknown', null::smallint) $$,
    'R-T7: after a crash no answer is taken for one that was on its way before');
select is(relpersistence, 'u', 'R-T7: a crash does empty it') from pg_class
 where oid = 'reveille_cron.flight'::regclass;
delete from reveille.cron_execution_log;
truncate net._http_response;
select pg_temp.fire();
select is(reveille_cron.collect(), 0, 'an answer is waited for');
update reveille.cron_execution_log set triggered_at = triggered_at - interval '6 min';
select is(reveille_cron.collect(), 1, 'but not for ever');
select results_eq('select status, error from pg_temp.log()',
    $$ values ('unknown', 'the answer to the POST was lost') $$, 'R-T7: and then it is unknown');
select is_empty('table reveille_cron.flight', 'nothing is left on its way');

-- ---- ring collects, within bounds, and whatever happens there
delete from reveille.cron_execution_log;
select pg_temp.fire();
insert into net._http_response(id, status_code) select request_id, 503 from reveille.cron_execution_log;
select pg_temp.fire();
select results_eq('select status, http from pg_temp.log()',
    $$ values ('failed', 503::smallint), ('triggered', null) $$,
    'R-T7: a non-2xx answer is noted by the next firing, which it does not stop');
select pg_temp.fire(), pg_temp.fire();
update reveille.cron_execution_log set triggered_at = triggered_at - interval '6 min'
 where status = 'triggered';
select is(reveille_cron.collect(2), 2, 'no more than it was told at a time');
alter table net._http_response rename to gone;
select pg_temp.fire();
select is(count(*), 1::bigint, 'R-T4: pg_net''s table gone: the next firing rings as ever')
  from reveille.trigger_request where job_name = 'reminder_eval' and state = 'pending';
alter table net.gone rename to _http_response;

-- ---- the chain
delete from reveille.cron_execution_log;
delete from reveille.trigger_request;
select test.mentors(1, 2);
select test.job('chained');
update reveille.job set cron_name = 'chained' where job_name = 'chained';
create function pg_temp.chain() returns text language sql as $$
    select string_agg(concat_ws('/', stage, doorbell, http_status, request, run), ', ' order by firing)
      from reveille.firing
$$;
delete from vault.secrets;
select reveille_cron.ring('chained');
select is(pg_temp.chain(), 'rung/triggered/pending', 'the chain: rung');
select vault.create_secret('http://x', 'SCHEDULER_URL'), vault.create_secret('abc', 'SCHEDULER_SECRET');
delete from reveille.cron_execution_log;
select reveille_cron.ring('chained');
select is(pg_temp.chain(), 'sent/triggered/pending', 'the chain: sent');
insert into net._http_response(id, status_code) select request_id, 202 from reveille.cron_execution_log;
select reveille_cron.collect();
select is(pg_temp.chain(), 'accepted/succeeded/202/pending', 'the chain: accepted');
select run_id as run from reveille.open_run('p') \gset
select is(pg_temp.chain(), 'opened/succeeded/202/opened/planning', 'the chain: a run opened');
select reveille.plan_page(:'run', 'p', 1, null, 10);
select test.finish(:'run');
select is(pg_temp.chain(), 'closed/succeeded/202/opened/completed', 'the chain: closed');
select reveille.pause_job('chained', 'x');
update reveille.trigger_request set slot = slot - interval '1 h';
select reveille_cron.ring('chained');
select is(stage, 'refused', 'the chain: refused')
  from reveille.firing order by firing desc limit 1;

-- ---- who may
select results_eq(
    $$ select r.name, p.proname::text collate "default"
         from (values ('cron_runner'), ('public'), ('reveille_app'), ('reveille_producer'),
                      ('reveille_reader'), ('reveille_worker')) r(name), pg_proc p
        where p.pronamespace = 'reveille_cron'::regnamespace
          and has_function_privilege(r.name, p.oid, 'execute') order by 1, 2 $$,
    $$ values ('cron_runner', 'collect' collate "default"), ('cron_runner', 'ring'),
              ('reveille_producer', 'collect'), ('reveille_producer', 'drift'),
              ('reveille_reader', 'drift') $$,
    'R-T6: cron_runner may ring and collect, and call nothing else');
select is_empty(
    $$ select r.name, c.relname
         from (values ('cron_runner'), ('public'), ('reveille_app'), ('reveille_producer'),
                      ('reveille_reader'), ('reveille_worker')) r(name), pg_class c
        where c.relnamespace = 'reveille_cron'::regnamespace and c.relkind = 'r'
          and has_table_privilege(r.name, c.oid,
                'select, insert, update, delete, truncate, references, trigger') $$,
    'R-T6: and its tables are nobody''s but their owner''s');
select is_empty(
    $$ select proname from pg_proc where pronamespace = 'reveille_cron'::regnamespace and prosecdef
          and not (proconfig @> '{"search_path=pg_catalog, pg_temp"}'
                   and proconfig @> '{row_security=off}') $$,
    'R-T6: every definer function there has a fixed search_path and row_security off');
select is(test.denied(r, s), '42501', format('R-T6: %s is refused: %s', r, left(s, 70)))
  from (values
    ('cron_runner', $$ select reveille_cron.ring_job('chained') $$),
    ('cron_runner', $$ select reveille_cron.post('chained', 1) $$),
    ('cron_runner', $$ select reveille_cron.register('chained') $$),
    ('cron_runner', $$ select reveille_cron.register_all() $$),
    ('cron_runner', $$ select reveille_cron.set_job('chained', '{}') $$),
    ('cron_runner', $$ select reveille.set_job('chained', '{}') $$),
    ('cron_runner', $$ select reveille_cron.seed(null, null) $$),
    ('cron_runner', $$ select reveille_cron.drift() $$),
    ('cron_runner', $$ select * from reveille_cron.flight $$),
    ('cron_runner', $$ select * from reveille.cron_execution_log $$),
    ('cron_runner', $$ select * from reveille.firing $$),
    ('cron_runner', $$ select * from vault.decrypted_secrets $$),
    ('cron_runner', $$ delete from reveille.cron_execution_log $$),
    ('cron_runner', $$ update reveille.cron_execution_log set status = 'succeeded' $$),
    ('cron_runner', $$ create table reveille_cron.mine() $$),
    ('reveille_reader', $$ select reveille_cron.ring('chained') $$),
    ('reveille_reader', $$ select reveille_cron.collect() $$),
    ('reveille_reader', $$ delete from reveille.cron_execution_log $$),
    ('reveille_reader', $$ insert into reveille.cron_execution_log(job_name, status) values ('x', 'failed') $$),
    ('reveille_reader', $$ select * from vault.decrypted_secrets $$),
    ('reveille_producer', $$ select reveille_cron.ring('chained') $$),
    ('reveille_producer', $$ select reveille_cron.set_job('chained', '{}') $$),
    ('reveille_producer', $$ select * from vault.decrypted_secrets $$),
    ('reveille_invoker', $$ delete from reveille.cron_execution_log $$)) x(r, s);
select is(test.denied(r, s), 'allowed', format('R-T6: %s may: %s', r, regexp_replace(s, '\s+', ' ', 'g')))
  from (values
    ('cron_runner', $$ select reveille_cron.collect() $$),
    ('cron_runner', $$ insert into reveille.cron_execution_log(job_name, triggered_at, status, error_message)
                         values ('x', now(), 'failed', 'x') $$),
    ('reveille_producer', $$ select reveille_cron.collect() $$),
    ('reveille_reader', $$ select * from reveille.firing, reveille.cron_execution_log,
                             reveille_cron.drift() $$)) x(r, s);

-- ---- Supabase's role
create role service_role;
select reveille_cron.let_in();
select is(test.denied('service_role', 'select * from reveille.cron_execution_log'), 'allowed',
          'R-T7: service_role reads the log, where it is');
select is(test.denied('service_role', 'delete from reveille.cron_execution_log'), '42501',
          'R-T7: and deletes nothing there');

select * from finish();
rollback;
