-- Who may do what: every role against every table and function of ours, and against the host's.
begin;
select no_plan();

create temp table role(name text);
insert into role values ('reveille_producer'), ('reveille_worker'), ('reveille_reader'),
    ('reveille_app'),
                        ('reveille_invoker'), ('cron_runner'), ('public');

-- ---- functions: these, and no others
create temp table allowed(role text, functions text[]);
insert into allowed values
    ('reveille_producer', '{request,request_status,catch_up,slot_of,cron_field,here,open_run,renew_lease,
        give_up_lease,plan_page,unpublished_slices,note_published,overdue_slices,pause_job,note_secret_use,
        close_run,fail_run,cancel_run,end_overdue_runs,note_alerts,open_replay,forecast_replay,replays_of,summary,
        summaries,find_run,progress_of,why_open,verify_run,set_contact,doctor,doctor_engines,applied_migrations}'),
    ('reveille_worker', '{ask_share,note_dead_letter,claim_slice,touch_slices,release_slices,settle_slice,
        judge_slices,doctor,doctor_engines,applied_migrations}'),
    ('reveille_reader', '{request_status,slot_of,cron_field,here,summary,summaries,find_run,progress_of,replays_of,
        why_open,verify_run,why,doctor,doctor_engines,applied_migrations}'),
    ('reveille_app', '{claim_notifications,mark_sent}'),
    ('reveille_invoker', '{request,request_status,slot_of,cron_field,here}'),
    ('cron_runner', '{}'),
    ('public', '{}');
select results_eq(
    format($$ select p.proname::text collate "default" from pg_proc p
               where p.pronamespace = 'reveille'::regnamespace
                 and has_function_privilege(%L, p.oid, 'execute') order by 1 $$, a.role),
    format($$ select unnest(%L::text[]) order by 1 $$, a.functions),
    format('R-T6: %s may call its own functions and no others', a.role))
  from allowed a;
select is_empty(
    $$ select proname from pg_proc where pronamespace = 'reveille'::regnamespace and prosecdef
          and not (proconfig @> '{"search_path=pg_catalog, pg_temp"}'
                   and proconfig @> '{row_security=off}') $$,
    'R-E4: every definer function has a fixed search_path and row_security off');
select is_empty(
    $$ select p.proname from pg_proc p, unnest('{reveille_producer,reveille_worker,reveille_reader,
              reveille_app,reveille_invoker}'::text[]) r
        where p.pronamespace = 'reveille'::regnamespace and not p.prosecdef
          and has_function_privilege(r, p.oid, 'execute')
          and p.proname not in ('slot_of', 'cron_field', 'here') $$,
    'what a role may call works with its owner''s rights, not with the caller''s');
select is_empty(
    $$ select proname from pg_proc
        where pronamespace = 'reveille'::regnamespace and proowner <> 'reveille_owner'::regrole
          and proname not in ('source_mentors', 'lookup_mentors', 'judge_mentors', 'owned_by',
                              'touch_contact', 'recount_contact', 'set_contact', 'last_contact',
                              'contact_that_counts', 'with_host_names', 'source_certifications',
                              'lookup_certifications', 'judge_certifications', 'source_assignments',
                              'lookup_assignments', 'judge_assignments', 'subjects_of',
                              'applied_migrations') $$,
    'only what touches the host''s tables belongs to the migrating role');

-- ---- tables: these rights, and no others
create temp table tables as
    select c.oid, c.relname::text collate "default" as name from pg_class c
     where c.relnamespace = 'reveille'::regnamespace and c.relkind in ('r', 'v');
create temp table readable(role text, names text[]);
insert into readable values
    ('reveille_reader', array(select name from tables)),
    ('reveille_producer', '{job,engine,engine_share,scenario_config,trigger_request,run,run_lease,slice,
        schema_version,subject_error,scheduler_execution_log,secret_use,run_summary,run_progress}'),
    ('reveille_worker', '{engine,run,schema_version}'),
    ('reveille_invoker', '{cron_execution_log}'),
    ('reveille_app', '{}'), ('cron_runner', '{}'), ('public', '{}');
select results_eq(
    format($$ select name from tables where has_table_privilege(%L, oid, 'select') order by 1 $$,
    r.role),
    format('select unnest(%L::text[]) order by 1', r.names),
    format('R-T6: %s reads its own tables and no others', r.role))
  from readable r;
select results_eq(
    $$ select r.name, t.name, p.right
         from role r, tables t, unnest('{insert,update,delete,truncate,trigger}'::text[]) p("right")
        where has_table_privilege(r.name, t.oid, p.right) $$,
    $$ values ('reveille_invoker', 'cron_execution_log', 'insert') $$,
    'R-T6: nobody writes our tables but through a function; only cron''s log is inserted into');
select results_eq(
    $$ select r.name, t.name, a.attname::text collate "default", p.right
         from role r, tables t, pg_attribute a, unnest('{insert,update}'::text[]) p("right")
        where a.attrelid = t.oid and a.attnum > 0 and r.name <> 'public'
          and has_column_privilege(r.name, t.oid, a.attnum, p.right)
          and not has_table_privilege(r.name, t.oid, p.right)
        order by 1, 4, a.attnum $$,
    $$ values ('cron_runner', 'cron_execution_log', 'job_name', 'insert'),
              ('cron_runner', 'cron_execution_log', 'triggered_at', 'insert'),
              ('cron_runner', 'cron_execution_log', 'status', 'insert'),
              ('cron_runner', 'cron_execution_log', 'error_message', 'insert'),
              ('reveille_invoker', 'cron_execution_log', 'status', 'update'),
              ('reveille_invoker', 'cron_execution_log', 'http_status', 'update'),
              ('reveille_invoker', 'cron_execution_log', 'completed_at', 'update'),
              ('reveille_invoker', 'cron_execution_log', 'error_message', 'update') $$,
    'R-T7: cron''s log is insert-only for cron_runner, and nobody deletes from it');
select is_empty(
    $$ select r.name, h.rel, p.right
         from (select name from role union values ('reveille_owner')) r, reveille.host_table h,
              unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) p("right")
        where has_table_privilege(r.name, h.rel, p.right) $$,
    'R-E4: none of our roles has any right on a table of the host');

-- ---- tried, not only looked up
select is(test.denied(r, s), '42501', format('R-T6: %s is refused: %s', r, left(s, 60)))
  from (values
    ('reveille_worker', 'select * from reveille.notification'),
    ('reveille_worker', 'update reveille.slice set state = ''done'''),
    ('reveille_worker', 'select reveille.cancel_run(gen_random_uuid())'),
    ('reveille_worker', 'select * from reveille.write_outcome(null, null, null, null, null, null, null, null,
        null, null, null, null, null, null, null)'),
    ('reveille_worker', 'select * from peer_mentors'),
    ('reveille_worker', 'select * from reveille.lookup_mentors(null)'),
    ('reveille_producer', 'update reveille.engine set concurrency = 1000'),
    ('reveille_producer', 'select reveille.set_engine(''http'', 1000)'),
    ('reveille_producer', 'select * from reveille.settle_slice(null, 1, null, null, null, null, null, null, null, null)'),
    ('reveille_producer', 'select * from reveille.notification'),
    ('reveille_reader', 'select reveille.cancel_run(gen_random_uuid())'),
    ('reveille_reader', 'delete from reveille.audit'),
    ('reveille_reader', 'select * from assignments'),
    ('reveille_app', 'select * from reveille.outbox'),
    ('reveille_app', 'select * from reveille.run'),
    ('cron_runner', 'select reveille.request(''scenario_scheduler'', ''pg_cron'')'),
    ('cron_runner', 'select * from reveille.cron_execution_log'),
    ('cron_runner', 'update reveille.cron_execution_log set status = ''failed'''),
    ('reveille_invoker', 'delete from reveille.cron_execution_log'),
    ('reveille_invoker', 'select schedule from reveille.job')) x(r, s);
select is(test.denied(r, s), 'allowed', format('%s may: %s', r, s))
  from (values
    ('reveille_reader', 'select * from reveille.run_summary, reveille.run_progress, reveille.notification'),
    ('reveille_reader', 'select reveille.verify_run(gen_random_uuid()), reveille.find_run(''latest'')'),
    ('reveille_producer', 'select reveille.request(''scenario_scheduler'', ''http'')'),
    ('reveille_producer', 'select * from reveille.open_run(''p'')'),
    ('reveille_worker', 'select * from reveille.claim_slice(gen_random_uuid(), 0, ''w'')'),
    ('reveille_worker', 'select * from reveille.ask_share(''http'', ''w'', 1)'),
    ('reveille_app', 'select * from reveille.claim_notifications(1)'),
    ('reveille_invoker', 'select reveille.request(''scenario_scheduler'', ''pg_cron'')'),
    ('cron_runner', 'insert into reveille.cron_execution_log(job_name, status) values (''x'', ''triggered'')'))
    x(r, s);

-- ---- the roles themselves
select results_eq(
    $$ select rolname::text collate "default", rolcanlogin,
    rolsuper or rolcreaterole or rolcreatedb or rolbypassrls
         from pg_roles where rolname in ('reveille_owner', 'reveille_producer', 'reveille_worker',
              'reveille_reader', 'reveille_app', 'reveille_invoker', 'cron_runner') order by 1 $$,
    $$ values ('cron_runner', true, false), ('reveille_app', false, false),
              ('reveille_invoker', false, false), ('reveille_owner', false, false),
              ('reveille_producer', true, false), ('reveille_reader', true, false),
              ('reveille_worker', true, false) $$, 'R-T6: no role has more power than its grants');
select is(array(select unnest(setconfig) order by 1),
    array['idle_in_transaction_session_timeout=5s',
          'lock_timeout=6s', 'row_security=off', 'statement_timeout=' || seconds],
          format('%s carries its time-outs', name))
  from (values ('reveille_producer', '30s'), ('reveille_worker', '12s'), ('reveille_reader', '12s'),
               ('cron_runner', '12s')) x(name, seconds)
  join pg_db_role_setting s on s.setrole = x.name::regrole and s.setdatabase = 0;

select * from finish();
rollback;
