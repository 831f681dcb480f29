-- Roles and schemas. Who may do what is granted where the object is created, in the later files.
--
-- Applied by the migrating role: CREATEROLE and CREATE on the database, not a superuser. Every file
-- of this folder is one transaction and may be applied again without harm.
--
--   reveille_owner      owns our tables and functions; nobody logs in as it
--   reveille_producer   opens, plans, publishes, closes: EXECUTE on its functions, SELECT on ours
--   reveille_worker     claims, judges, settles: EXECUTE on its functions, next to no SELECT
--   reveille_reader     SELECT on all of ours, nothing of the host's
--   reveille_app        the application's way to the outbox; nobody logs in as it
--   reveille_invoker    what pg_cron's command runs as; nobody logs in as it
--   cron_runner         owns the rows of cron.job

-- The grant to the migrating role comes before the settings: from version 16 on, a creator may
-- alter a role, but is not a member of it until it says so.
do $$
declare
    made record;
begin
    for made in
        select *
          from (values ('reveille_owner', 'nologin'),
                       ('reveille_invoker', 'nologin'),
                       ('reveille_app', 'nologin'),
                       ('reveille_producer', 'login'),
                       ('reveille_worker', 'login'),
                       ('reveille_reader', 'login'),
                       ('cron_runner', 'login connection limit 4')) as r(name, options)
         where not exists (select from pg_roles where rolname = r.name)
    loop
        execute format('create role %I %s', made.name, made.options);
    end loop;
    execute format('grant reveille_owner, reveille_invoker, cron_runner to %I', current_user);
end $$;

-- Time-outs stand at the role, so that they hold behind a transaction pooler, too. A lock may take
-- longer than a page or a settle may hold it (5 s), a statement longer than a lock, and a producer
-- that freezes inside its page must not block its successor.
-- row_security = off: RLS in the way is an error, never fewer rows.
do $$
declare
    r text;
begin
    foreach r in array array['reveille_producer', 'reveille_worker', 'reveille_reader',
                             'cron_runner'] loop
        execute format('alter role %I set statement_timeout = %L', r,
                       case r when 'reveille_producer' then '30s' else '12s' end);
        execute format('alter role %I set lock_timeout = %L', r, '6s');
        execute format('alter role %I set idle_in_transaction_session_timeout = %L', r, '5s');
        execute format('alter role %I set row_security = off', r);
    end loop;
end $$;

-- Nobody gets EXECUTE on our functions but those it is granted to, from the moment of creation.
alter default privileges for role reveille_owner revoke execute on functions from public;

create schema if not exists reveille authorization reveille_owner;
grant usage on schema reveille to reveille_producer, reveille_worker, reveille_reader,
    reveille_invoker, reveille_app, cron_runner;
