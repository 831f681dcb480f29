-- The doorbell: what a row of pg_cron calls, what became of each firing, and the POST through
-- pg_net where there is one. Which rows there are is the next file's. Neither pg_cron nor pg_net
-- nor Vault is needed: what is missing is looked up in the catalogue when it would be used.
--
-- Runbook. JOB is a row of reveille.job; its cron row is the one named in cron_name, which may ring
-- several jobs. Every line works without a superuser; `reveille` as the migrating role.
--   Pause        reveille jobs pause JOB reason='…'
--                holds for cron, HTTP, LISTEN and watchdog; the cron row goes on firing, and each
--                firing is logged as refused
--   Resume       reveille jobs resume JOB
--   Reschedule   reveille jobs set JOB schedule='30 5 * * *'
--                UTC; pg_cron is told, too. All jobs of a cron row, by its name:
--                reveille jobs set nightly-scheduler schedule='0 3 * * *'
--                or: select * from reveille_cron.set_job('JOB', '{"schedule": "30 5 * * *"}');
--   Remove       reveille jobs set JOB cron_name=
--                its cron row goes with the last job of it; a job without one is rung by the
--                watchdog, two minutes late: pause it, too, to have it not run at all
--   Restore      reveille jobs set JOB cron_name=daily-reminder-eval
--   Register all select * from reveille_cron.register_all();   after create extension pg_cron, too
--   Look         reveille doctor; select * from reveille_cron.drift();
--                select * from reveille.firing order by firing desc limit 10;
--   The POST     Vault: SCHEDULER_URL and SCHEDULER_SECRET, each by look-up, then
--                vault.update_secret, or vault.create_secret where there is none: one that fails
--                leaves the secret in the server's log. SCHEDULER_URL_JOB_NAME (in capitals) is one
--                job's own URL. {job} in a URL stands for the job's name (then the body is empty;
--                else it is {"job_name": …}). Without both, no POST: LISTEN and polling ring.
--   Not by cron.alter_job: a row that is off is made up for by the watchdog.
--
-- Once, as a superuser of a server of one's own: shared_preload_libraries = 'pg_cron',
-- cron.database_name, cron.use_background_workers = on (then nobody needs to log in as cron_runner:
-- alter role cron_runner connection limit 0); create extension pg_cron; grant usage on schema cron
-- to the migrating role with grant option. Where pg_cron connects by libpq, cron_runner needs its
-- limit.

create schema if not exists reveille_cron authorization reveille_owner;
grant usage on schema reveille_cron
    to cron_runner, reveille_invoker, reveille_producer, reveille_reader;

set role reveille_owner;
create index if not exists cron_execution_log_awaited on reveille.cron_execution_log(id)
    where status = 'triggered' and request_id is not null;
grant execute on function reveille.request_status(bigint) to reveille_invoker;
grant create on schema reveille_cron to reveille_invoker;    -- for this file only
reset role;

-- What runs with Vault's and pg_net's rights belongs to a role that has no others.
set role reveille_invoker;

-- The POSTs that are on their way: which firing owns which of pg_net's ids. Unlogged as pg_net's
-- own tables are: a crash of the server that lets pg_net count from 1 again empties this one as
-- well, so an answer to somebody else's request is never taken for ours.
create unlogged table if not exists reveille_cron.flight(
    request_id bigint primary key,
    log_id     bigint not null
);

-- Queues the POST that rings p_job for its request p_trigger; pg_net's id, or null where there is
-- no pg_net, or no address in Vault: then NOTIFY does it alone. RV422 when Vault has only a part of
-- it. Waits for nobody longer than a second, and not at all once cron's own part has taken three.
create or replace function reveille_cron.post(p_job text, p_trigger bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s'
as $$
declare
    own_name constant text := 'SCHEDULER_URL_' || upper(p_job);
    url text;
    secret text;
    sent bigint;
begin
    if not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                    where n.nspname = 'net' and p.proname = 'http_post'
                      and p.proargnames @> '{url,body,headers,timeout_milliseconds}'::text[])
       or not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                       where n.nspname = 'vault' and c.relname = 'decrypted_secrets') then
        return null;
    end if;
    execute $q$
        select coalesce(max(s.decrypted_secret) filter (where s.name = $1),
                        max(s.decrypted_secret) filter (where s.name = 'SCHEDULER_URL')),
               max(s.decrypted_secret) filter (where s.name = 'SCHEDULER_SECRET')
          from vault.decrypted_secrets s
         where s.name in ($1, 'SCHEDULER_URL', 'SCHEDULER_SECRET')
    $q$ into url, secret using own_name;
    if url is null and secret is null then
        return null;
    end if;
    if url !~ '^https?://[!-~]+$' is not false or secret !~ '^[!-~]+$' is not false then
        raise '% in Vault is missing, or not one',
              case when url ~ '^https?://[!-~]+$' then 'SCHEDULER_SECRET' else 'SCHEDULER_URL' end
              using errcode = 'RV422';
    end if;
    if clock_timestamp() > transaction_timestamp() + interval '3 s' then
        raise 'no time was left for the POST' using errcode = 'RV422';
    end if;
    execute 'select net.http_post(url := $1, body := $2, headers := $3,
                                  timeout_milliseconds := 10000)'
       into sent
      using replace(url, '{job}', p_job),
            case when strpos(url, '{job}') > 0 then '{}'
                 else jsonb_build_object('job_name', p_job) end,
            jsonb_build_object('Content-Type', 'application/json', 'Prefer', 'respond-async',
                               'X-Reveille-Trigger', p_trigger::text,
                               'Authorization', 'Bearer ' || secret);
    return sent;
end $$;

-- Rings one job and writes down that it did: a request (with its NOTIFY), a row of the log, and the
-- POST if there is one. Whatever fails costs what it is about, never the request; the log says
-- which SQLSTATE, never a text from outside. status: triggered; refused (the job is paused, or this
-- is a copy); failed (no request, or a POST that was wanted and not sent).
create or replace function reveille_cron.ring_job(p_job text) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_id bigint;
    v_state text;
    sent bigint;
    problem text;
    v_log bigint;
begin
    begin
        select q.id, q.state into v_id, v_state from reveille.request(p_job, 'pg_cron') q;
        if v_state = 'refused' then
            select s.reason into problem from reveille.request_status(v_id) s;
        end if;
    exception when others then
        problem := format('the request failed (%s)', sqlstate);
    end;
    if v_state = 'pending' then
        begin
            sent := reveille_cron.post(p_job, v_id);
        exception when others then
            problem := case sqlstate when 'RV422' then sqlerrm
                       else format('the POST was not sent (%s)', sqlstate) end;
        end;
    end if;
    insert into reveille.cron_execution_log(job_name, status, request_id, trigger_id, error_message)
        values (p_job, case when v_state = 'refused' then 'refused'
                            when v_id is not null and problem is null then 'triggered'
                            else 'failed' end,
                sent, v_id, left(problem, 500))
        returning id into v_log;
    if sent is not null then
        insert into reveille_cron.flight as f(request_id, log_id) values (sent, v_log)
            on conflict (request_id) do update set log_id = excluded.log_id;
    end if;
end $$;

-- Notes what the POSTs were answered, of up to p_limit firings, the oldest first; how many it knows
-- now. A firing owns an id of pg_net's as long as no later one has it and no crash was between
-- (flight), and an answer that came within five minutes of it; without one it is `unknown` then, or
-- as soon as it cannot be known. What stands in net._http_response may be forged there by anybody:
-- it informs this log, and no decision hangs on it, and its texts are not taken over.
-- ring calls it first, and the producer now and then: pg_net keeps answers for six hours.
create or replace function reveille_cron.collect(p_limit int default 100) returns int
language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off set lock_timeout = '1s'
as $$
declare
    ids bigint[];
    requests bigint[];
    fired timestamptz[];
    answers jsonb := '{}';
    known bigint[];
begin
    select array_agg(x.id), array_agg(x.request_id), array_agg(x.triggered_at)
      into ids, requests, fired
      from (select l.id, f.request_id, l.triggered_at
              from reveille.cron_execution_log l
              left join reveille_cron.flight f on f.log_id = l.id and f.request_id = l.request_id
             where l.status = 'triggered' and l.request_id is not null
             order by l.id limit p_limit
               for no key update of l skip locked) x;
    if ids is null then
        return 0;
    end if;
    begin
        execute $q$
            select coalesce(jsonb_object_agg(a.log_id, jsonb_build_object(
                       'timed_out', r.timed_out, 'code', r.status_code,
                       'error', left(r.error_msg, 200))), '{}')
              from unnest($1, $2, $3) a(log_id, request_id, fired)
              join net._http_response r on r.id = a.request_id
               and r.created between a.fired - interval '5 s' and a.fired + interval '5 min'
        $q$ into answers using ids, requests, fired;
    exception when others then
        answers := '{}';    -- no pg_net any more, or not for us: then nothing is known
    end;
    with outcome as (
        select a.log_id, r.answer, o.status,
               case when (r.answer ->> 'code')::int between 100 and 599
                    then (r.answer ->> 'code')::int end as code
          from unnest(ids, requests, fired) a(log_id, request_id, fired)
         cross join lateral (select answers -> a.log_id::text as answer) r
         cross join lateral (
            select case when r.answer is null then 'unknown'
                        when (r.answer ->> 'timed_out')::boolean then 'timed_out'
                        when (r.answer ->> 'code')::int between 200 and 299 then 'succeeded'
                        else 'failed' end as status) o
         where r.answer is not null or a.request_id is null
            or a.fired < clock_timestamp() - interval '5 min'),
    noted as (
        update reveille.cron_execution_log l
           set status = o.status, http_status = o.code, completed_at = clock_timestamp(),
               error_message = case o.status
                   when 'succeeded' then null
                   when 'unknown' then 'the answer to the POST was lost'
                   when 'timed_out' then 'no answer in 10 s'
                   else coalesce('HTTP ' || o.code, case
                       when o.answer ->> 'error' ~* 'resolv' then 'no answer: an unknown name'
                       when o.answer ->> 'error' ~* 'ssl|tls|certificate' then 'no answer: TLS'
                       when o.answer ->> 'error' ~* 'connect' then 'no answer: no connection'
                       else 'no answer: see net._http_response' end) end
          from outcome o where l.id = o.log_id
        returning l.id)
    select array_agg(id) into known from noted;
    delete from reveille_cron.flight where log_id = any(known);
    return coalesce(cardinality(known), 0);
end $$;

-- What pg_cron calls at the time of the row p_cron_name: rings each of its jobs. A name that no job
-- has leaves a failed row (job_name '?' if it could be none: whoever may ring must not be able to
-- leave a text in our tables). Takes milliseconds, seconds when pg_net's tables are locked.
create or replace function reveille_cron.ring(p_cron_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    v_job text;
begin
    begin
        perform reveille_cron.collect();
    exception when others then
        null;    -- what became of earlier firings never holds this one up
    end;
    for v_job in
        select j.job_name from reveille.job j where j.cron_name = p_cron_name order by 1
    loop
        perform reveille_cron.ring_job(v_job);
    end loop;
    if not found then
        insert into reveille.cron_execution_log(job_name, status, error_message)
            values (case when p_cron_name ~ '^[a-z0-9_-]{1,63}$' then p_cron_name else '?' end,
                    'failed', 'no job has this cron_name');
    end if;
end $$;

revoke all on function reveille_cron.post(text, bigint), reveille_cron.ring_job(text),
    reveille_cron.collect(int), reveille_cron.ring(text) from public;
grant execute on function reveille_cron.ring(text), reveille_cron.collect(int) to cron_runner;
grant execute on function reveille_cron.collect(int) to reveille_producer;
reset role;

set role reveille_owner;
revoke create on schema reveille_cron from reveille_invoker;

-- The chain, a row a firing: fired → sent → accepted → opened → closed, so that "cron succeeded" is
-- not taken for "the work was done". stage is how far it came: closed, opened; refused, coalesced,
-- missed (no run); accepted (the POST had a 2xx), sent (a POST), rung (a request), failed
-- (nothing).
create or replace view reveille.firing with (security_invoker = true) as
    select l.id as firing, l.job_name, l.triggered_at as fired_at,
           case when r.finished_at is not null then 'closed'
                when r.run_id is not null then 'opened'
                when t.state in ('refused', 'coalesced', 'missed') then t.state
                when l.status = 'succeeded' then 'accepted'
                when l.request_id is not null then 'sent'
                when l.trigger_id is not null then 'rung'
                else 'failed' end as stage,
           l.status as doorbell, l.http_status, l.error_message, t.slot, t.state as request,
           r.run_id, r.state as run, r.started_at as opened_at, r.finished_at as closed_at
      from reveille.cron_execution_log l
      left join reveille.trigger_request t on t.id = l.trigger_id
      left join reveille.run r on r.run_id = t.run_id;
revoke all on reveille.firing from public;
grant select on reveille.firing to reveille_reader;

-- Gives reveille_invoker what the POST needs of Vault and pg_net, where they are and it has not got
-- it yet (of pg_net every role has all, as it comes); a refusal is a notice, since the doorbell does
-- without. Supabase's service_role gets to read our log. With the caller's rights: the migrating
-- role's. Called here and by register_all, for what was installed since.
create or replace function reveille_cron.let_in() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    me constant oid := 'reveille_invoker'::regrole;
    statement text;
begin
    for statement in
        select format('grant usage on schema %I to reveille_invoker', n.nspname)
          from pg_namespace n
         where n.nspname in ('vault', 'net') and not has_schema_privilege(me, n.oid, 'usage')
        union all
        select format('grant %s on %I.%I to reveille_invoker', x.needed, x.place, x.name)
          from (values ('vault', 'decrypted_secrets', 'select'),
                       ('net', '_http_response', 'select'),
                       ('net', 'http_request_queue', 'select'),
                       ('net', 'http_request_queue', 'insert')) x(place, name, needed)
          join pg_namespace n on n.nspname = x.place
          join pg_class c on c.relnamespace = n.oid and c.relname = x.name
         where not has_table_privilege(me, c.oid, x.needed)
        union all
        select format('grant usage on sequence %I.%I to reveille_invoker', n.nspname, c.relname)
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'net'     -- CASE: it is an error to ask of anything but a sequence
           and case when c.relkind = 'S' then not has_sequence_privilege(me, c.oid, 'usage') end
        union all
        select format('grant execute on function %s to reveille_invoker', p.oid::regprocedure)
          from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname = 'vault' and p.proname = '_crypto_aead_det_decrypt'
           and not has_function_privilege(me, p.oid, 'execute')
        union all
        select format('grant reveille_reader to %I', r.rolname)
          from pg_roles r
         where r.rolname = 'service_role' and not pg_has_role(r.oid, 'reveille_reader', 'usage')
    loop
        begin
            execute statement;
        exception when insufficient_privilege then
            raise notice 'not allowed: %', statement;
        end;
    end loop;
end $$;
reset role;

select reveille_cron.let_in();
