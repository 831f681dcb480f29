-- The functions on the host application's tables: mentors, and what belongs to whom. Contact dates
-- are in the next file, certifications and assignments in the one after. Created and owned by the
-- migrating role, which owns those tables (or bypasses RLS): reveille_owner gets EXECUTE on these
-- functions and nothing on the tables. With row_security = off, RLS in the way is an error here and
-- now, never fewer rows at 06:00.
--
-- The functions name the tables as host_table does, so the three files are applied again after a
-- change there. Written in host tables, and nothing else: three indexes, three triggers on
-- activities.

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

-- The text with each {name} replaced by the table's real name, with its schema. For migrations.
create or replace function reveille.with_host_names(p_text text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    h record;
begin
    for h in select name, to_regclass(rel) as rel from reveille.host_table loop
        p_text := replace(p_text, '{' || h.name || '}', h.rel::text);
    end loop;
    return p_text;
end $$;
revoke all on function reveille.with_host_names(text) from public;

-- ---- the functions --------------------------------------------------------------------------

set search_path = pg_catalog;    -- what is created here stands on built-in operators alone
do $do$
begin
    execute reveille.with_host_names($sql$

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

-- The judge for the sql engine, one query a slice, along (user_id, activity_date); what is dated
-- later than on_date does not count.
--   inactivity  no activity in the scenario's last "days" (60), or none at all
--   milestone   one of "counts" reached by the number of activities within the scenario's cooldown:
--               fewer before it, as many by on_date; of several the highest. The
--               window is the cooldown itself, so that a daily run tells a milestone once: it has
--               left the window when the cooldown ends, and one that was reached meanwhile has not.
create or replace function reveille.judge_mentors(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with mentor as (
        select m.id, m.user_id, l.day
          from {peer_mentors} m
          left join lateral (
                select a.activity_date as day from {activities} a
                 where a.user_id = m.user_id and a.activity_date <= on_date
                 order by a.activity_date desc limit 1) l on true
         where m.id = any(ids))
    select m.id, m.user_id, 'inactivity', null::uuid, jsonb_build_object('last_activity', m.day)
      from mentor m
     where params ? 'inactivity'
       and (m.day is null
            or m.day <= on_date - coalesce((params #>> '{inactivity,params,days}')::int, 60))
    union all
    select m.id, m.user_id, 'milestone', null::uuid, jsonb_build_object('activities', c.reached)
      from mentor m
     cross join lateral (
            select on_date - (params #>> '{milestone,cooldown_days}')::int as day) w
     cross join lateral (
            select count(*) filter (where a.activity_date <= w.day) as before, count(*) as now
              from {activities} a
             where a.user_id = m.user_id and a.activity_date <= on_date
               and m.day > w.day) n     -- nothing new: nothing to count
     cross join lateral (
            select max(x::int) as reached
              from jsonb_array_elements_text(params #> '{milestone,params,counts}') x
             where x::int > n.before and x::int <= n.now) c
     where params ? 'milestone' and c.reached is not null
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

create index if not exists reveille_activities_user_date on {activities}(user_id, activity_date);
create index if not exists reveille_assignments_active on {assignments}(peer_mentor_id)
    where status = 'active';
create index if not exists reveille_mentors_active on {peer_mentors}(id) where status = 'active';
$sql$);
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
        'reveille.judge_mentors(uuid[], date, jsonb)',
        'reveille.owned_by(uuid[], uuid[])']::regprocedure[]
    loop
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to reveille_owner', f);
    end loop;
    -- a table of another owner, or FORCE RLS, fails here with its name, and not at 06:00
    perform reveille.source_mentors(null, 1, current_date);
    perform reveille.lookup_mentors(array[nil]);
    perform reveille.judge_mentors(array[nil], current_date,
                                   '{"inactivity": {}, "milestone": {"cooldown_days": 1}}');
    perform reveille.owned_by(array[nil], array[nil]);
end $$;
