-- What the files of this folder share: mentors with predictable ids, jobs, and runs brought quickly
-- to where a test begins. Loaded once into the database that they run in, by `run`, as superuser.

create extension if not exists pgtap;
create schema test;
grant usage on schema test to public;

-- current_date shall be the day of the jobs' time zone
do $$ begin
    execute format('alter database %I set timezone = %L', current_database(), 'Europe/Oslo');
end $$;

-- The i-th mentor's id and user id: their order is that of i.
create function test.mentor(i int) returns uuid language sql immutable as $$
    select (lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000')::uuid
$$;
create function test.person(i int) returns uuid language sql immutable as $$
    select (lpad(to_hex(i), 8, '0') || '-0000-4000-8000-00000000ffff')::uuid
$$;

-- Mentors p_from … p_to: eligible ones, unless another status of theirs or of their assignment is
-- given.
create function test.mentors(p_from int, p_to int, p_status text default 'active',
                             p_assignment text default 'active')
returns void language sql as $$
    insert into peer_mentors(id, user_id, status)
        select test.mentor(i), test.person(i), p_status from generate_series(p_from, p_to) i;
    insert into assignments(id, peer_mentor_id, status)
        select test.mentor(i), test.mentor(i), p_assignment
          from generate_series(p_from, p_to) i where p_assignment is not null;
$$;

-- A job over the mentors. It is due once a year, so that no slot passes while a test runs.
create function test.job(p_name text, p_engine text default 'noop',
                         p_scenarios text[] default '{inactivity}')
returns void language sql as $$
    insert into reveille.job(job_name, schedule, engine, source, lookup, judge, scenario_types,
                             enabled_since)
        values (p_name, '0 0 1 1 *', p_engine, 'reveille.source_mentors',
                'reveille.lookup_mentors', 'reveille.judge_mentors', p_scenarios, '-infinity')
$$;

-- A manual run of a job, planned to its end in slices of p_page; led by holder 'p' with fence 1.
create function test.run(p_job text, p_page int default 100, p_params jsonb default '{}')
returns uuid language plpgsql as $$
declare
    r record;
begin
    perform reveille.request(p_job, 'manual', p_params);
    select * into strict r from reveille.open_run('p', p_page);
    while r.state = 'planning' loop
        select r.run_id, x.state, x.cursor into strict r
          from reveille.plan_page(r.run_id, 'p', 1, r.cursor, 10) x;
    end loop;
    return r.run_id;
end $$;

-- Claims and settles a slice by worker p_worker: a dispatch of every scenario of the run for the
-- subjects at p_due (default: all of them). Returns what settle_slice does.
create function test.settle(p_run uuid, p_slice int, p_due int[] default null,
                            p_worker text default 'w')
returns table(evaluated int, skipped int, errors int, dispatched int, suppressed int)
language plpgsql as $$
declare
    c record;
    d record;
begin
    select * into strict c from reveille.claim_slice(p_run, p_slice, p_worker);
    select coalesce(array_agg(x.o::int), '{}') as pos, coalesce(array_agg(x.u), '{}') as users,
           coalesce(array_agg(k), '{}') as scen
      into d
      from unnest(c.user_ids) with ordinality x(u, o) cross join unnest(c.scenario_types) k
     where c.eligible[x.o] and (p_due is null or x.o = any(p_due));
    return query
        select w.evaluated, w.skipped, w.errors, w.dispatched, w.suppressed
          from reveille.settle_slice(p_run, p_slice, p_worker,
            array(select o::int from unnest(c.eligible) with ordinality x(e, o) where not e),
            d.pos, d.users, d.scen, array_fill('dispatch'::text, array[cardinality(d.pos)]),
            array_fill(null::uuid, array[cardinality(d.pos)]),
            array_fill(null::text, array[cardinality(d.pos)])) w;
end $$;

-- Settles all pending slices of a run and closes it.
create function test.finish(p_run uuid, p_due int[] default null) returns void
language plpgsql as $$
begin
    perform test.settle(p_run, slice_no, p_due) from reveille.slice
      where run_id = p_run and state = 'pending' order by slice_no;
    perform reveille.close_run(p_run, 'p', (select fence from reveille.run_lease
                                             where run_id = p_run));
end $$;

-- Lets a job's next request be for another slot: this one was an hour ago.
create function test.age_slots(p_job text) returns void language sql as $$
    update reveille.trigger_request set slot = slot - interval '1 h' where job_name = p_job;
    update reveille.run set slot = slot - interval '1 h' where job_name = p_job;
$$;

-- The names of the checks of a run's proof that do not hold; '' when all do.
create function test.differs(p_run uuid) returns text language sql as $$
    select coalesce(string_agg(name, ', '), '') from reveille.verify_run(p_run) where not holds
$$;

-- What this statement comes to as this role: 'allowed', or the SQLSTATE of its refusal.
create function test.denied(p_role text, p_do text) returns text language plpgsql as $$
declare
    state text := 'allowed';
begin
    execute format('set local role %I', p_role);
    begin
        execute p_do;
    exception when others then
        state := sqlstate;
    end;
    reset role;
    return state;
end $$;
