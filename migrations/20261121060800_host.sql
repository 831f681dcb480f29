-- The functions on the host application's tables, and the first job. Created and owned by the
-- migrating role, which owns those tables (or bypasses RLS): reveille_owner gets EXECUTE on these
-- functions and nothing on the tables. With row_security = off, RLS in the way is an error here and
-- now, never fewer rows at 06:00.
--
-- The functions name the tables as host_table does, so this file is applied again after a change
-- there. Written in host tables, and nothing else: three indexes, and a trigger on activities.

-- ---- what must be there ---------------------------------------------------------------------

do $$
declare
    missing record;
begin
    for missing in
        select h.name, h.rel, c.column_name, to_regclass(h.rel) is null as no_table
          from reveille.host_table h
          join (values ('peer_mentors', '{id,user_id,status}'::text[]),
                       ('assignments', '{id,peer_mentor_id,status,last_contact_date}'),
                       ('activities', '{user_id,assignment_id,activity_date}'),
                       ('certifications', '{id,peer_mentor_id,expires_on}')) as t(name, columns)
            using (name)
         cross join lateral unnest(t.columns) with ordinality c(column_name, o)
          left join pg_attribute a on a.attrelid = to_regclass(h.rel)
                and a.attname = c.column_name and not a.attisdropped and a.attnum > 0
         where a.attname is null
         order by h.name, c.o
    loop
        if missing.no_table then
            raise 'host table % (%) is missing', missing.name, missing.rel
                using hint = 'create it, or set reveille.host_table.rel to where it is';
        end if;
        raise 'host table % (%) has no column %', missing.name, missing.rel, missing.column_name
            using hint = 'add the column, or set reveille.host_table.rel to a view that has it';
    end loop;
end $$;

-- ---- the functions --------------------------------------------------------------------------

-- {name} stands for the table's real name. Each is SECURITY DEFINER with a fixed search_path.
do $do$
declare
    h record;
    source text := $sql$

-- The job's source: eligible mentors after the cursor, by id. 'active' is a literal and the cursor
-- stands in both halves, so that both partial indexes are read from the cursor on (P2): else each
-- page would read the assignments from their beginning.
create or replace function reveille.source_mentors(p_cursor uuid, n int, on_date date)
returns table(subject_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select m.id from {peer_mentors} m
     where m.id >= coalesce(p_cursor, '00000000-0000-0000-0000-000000000000')
       and m.id is distinct from p_cursor and m.status = 'active'
       and exists (
            select from {assignments} a
             where a.peer_mentor_id = m.id and a.status = 'active'
               and a.peer_mentor_id >= coalesce(p_cursor, '00000000-0000-0000-0000-000000000000'))
     order by m.id limit n
$$;

-- The job's lookup: who these mentors are, and whether they are still eligible.
create or replace function reveille.lookup_mentors(ids uuid[])
returns table(subject_id uuid, user_id uuid, eligible boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select m.id, m.user_id, m.status = 'active' and exists (
               select from {assignments} a where a.peer_mentor_id = m.id and a.status = 'active')
      from {peer_mentors} m where m.id = any(ids)
$$;

-- The judge for the sql engine: inactivity, for mentors without an activity in the scenario's last
-- "days" (60), also those with none at all. One query a slice, along (user_id, activity_date).
create or replace function reveille.judge_mentors(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select m.id, m.user_id, 'inactivity', null::uuid, jsonb_build_object('last_activity', l.day)
      from {peer_mentors} m
      left join lateral (
            select a.activity_date as day from {activities} a
             where a.user_id = m.user_id and a.activity_date <= on_date
             order by a.activity_date desc limit 1) l on true
     where params ? 'inactivity' and m.id = any(ids)
       and (l.day is null
            or l.day <= on_date - coalesce((params #>> '{inactivity,params,days}')::int, 60))
$$;

-- Which of these things (certifications, assignments) belong to which of these users: settle asks,
-- for scenarios that are kept per subject.
create or replace function reveille.owned_by(users uuid[], abouts uuid[])
returns table(user_id uuid, about_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select m.user_id, c.id
      from {certifications} c join {peer_mentors} m on m.id = c.peer_mentor_id
     where c.id = any(abouts) and m.user_id = any(users)
    union all
    select m.user_id, a.id
      from {assignments} a join {peer_mentors} m on m.id = a.peer_mentor_id
     where a.id = any(abouts) and m.user_id = any(users)
$$;

-- Every path that registers activity (row by row, in bulk, COPY) moves last_contact_date forward,
-- never back (E8). Assignments are locked in the order of their ids.
create or replace function reveille.touch_contact() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
begin
    perform from {assignments} a where a.id in (select assignment_id from fresh)
      order by a.id for no key update;
    update {assignments} a set last_contact_date = x.day
      from (select assignment_id, max(activity_date) as day from fresh group by 1) x
     where a.id = x.assignment_id
       and (a.last_contact_date is null or a.last_contact_date < x.day);
    return null;
end $$;
create or replace trigger activities_touch after insert on {activities}
    referencing new table as fresh for each statement execute function reveille.touch_contact();
alter table {activities} enable always trigger activities_touch;

-- An operator's correction of an assignment's last contact, kept until a later activity moves the
-- host's date on. False: no such assignment.
create or replace function reveille.set_contact(p_assignment uuid, p_date date, p_by text)
returns boolean
language sql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with o as (
        insert into reveille.contact_override as c(assignment_id, contact_date, replaced, set_by)
        select a.id, p_date, a.last_contact_date, p_by from {assignments} a
         where a.id = p_assignment
        on conflict (assignment_id) do update
            set contact_date = excluded.contact_date, replaced = excluded.replaced,
                set_by = excluded.set_by, set_at = now()
        returning 1)
    select exists (select from o)
$$;

-- The contact date that counts, given the host's: the correction while it still replaces that one.
create or replace function reveille.last_contact(p_assignment uuid, p_host date) returns date
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select coalesce((select o.contact_date from reveille.contact_override o
                      where o.assignment_id = p_assignment
                        and p_host is not distinct from o.replaced), p_host)
$$;

create index if not exists reveille_activities_user_date on {activities}(user_id, activity_date);
create index if not exists reveille_assignments_active on {assignments}(peer_mentor_id)
    where status = 'active';
create index if not exists reveille_mentors_active on {peer_mentors}(id) where status = 'active';
$sql$;
begin
    set local search_path = pg_catalog;    -- so that regclass writes names with their schema
    for h in select name, to_regclass(rel) as rel from reveille.host_table loop
        source := replace(source, '{' || h.name || '}', h.rel::text);
    end loop;
    execute source;
end $do$;
reset search_path;

-- ---- who may call them, and do they work ----------------------------------------------------

do $$
declare
    f regprocedure;
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
begin
    foreach f in array array[
        'reveille.source_mentors(uuid, int, date)', 'reveille.lookup_mentors(uuid[])',
        'reveille.judge_mentors(uuid[], date, jsonb)', 'reveille.owned_by(uuid[], uuid[])',
        'reveille.touch_contact()', 'reveille.set_contact(uuid, date, text)',
        'reveille.last_contact(uuid, date)']::regprocedure[]
    loop
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to reveille_owner', f);
    end loop;
    grant execute on function reveille.set_contact(uuid, date, text) to reveille_producer;
    -- a table of another owner, or FORCE RLS, fails here with its name, and not at 06:00
    perform reveille.source_mentors(null, 1, current_date);
    perform reveille.lookup_mentors(array[nil]);
    perform reveille.judge_mentors(array[nil], current_date, '{"inactivity": {}}');
    perform reveille.owned_by(array[nil], array[nil]);
end $$;

-- ---- the first job --------------------------------------------------------------------------

set role reveille_owner;
insert into reveille.scenario_config(scenario_type, cooldown_days, params)
    values ('inactivity', 30, '{"days": 60}')
on conflict do nothing;
insert into reveille.job(job_name, cron_name, schedule, engine, source, lookup, scenario_types,
                         component)
    values ('scenario_scheduler', 'scenario-scheduler-daily', '0 6 * * *', 'http',
            'reveille.source_mentors', 'reveille.lookup_mentors', '{inactivity}',
            'scenario-scheduler')
on conflict do nothing;
reset role;
