-- Certifications and assignments as subjects: their sources, lookups and judges. Names and owners
-- as in 060800; nothing is written in the host's tables.
--
-- The sources walk the primary keys and hand out candidates; what is due, only the judge knows,
-- since a run's parameters are the judge's. Of a mentor who is not eligible (active, with an active
-- assignment) nothing is a subject.

set search_path = pg_catalog;
do $do$
begin
    execute reveille.with_host_names($sql$

-- Certifications that still hold on that day, of eligible mentors. The mentor is looked up for each
-- row on the way (LIMIT 1 sees to it): joined as a whole, a page would cost the table of mentors.
create or replace function reveille.source_certifications(p_cursor uuid, n int, on_date date)
returns table(subject_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select c.id
      from {certifications} c
     cross join lateral (
            select from {peer_mentors} m
             where m.id = c.peer_mentor_id and m.status = 'active'
               and exists (select from {assignments} a
                            where a.peer_mentor_id = m.id and a.status = 'active')
             limit 1) m
     where c.id >= coalesce(p_cursor, '00000000-0000-0000-0000-000000000000')
       and c.id is distinct from p_cursor and c.expires_on >= on_date
     order by c.id limit n
$$;

create or replace function reveille.lookup_certifications(ids uuid[])
returns table(subject_id uuid, user_id uuid, eligible boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select c.id, m.user_id, m.status = 'active' and exists (
               select from {assignments} a where a.peer_mentor_id = m.id and a.status = 'active')
      from {certifications} c join {peer_mentors} m on m.id = c.peer_mentor_id
     where c.id = any(ids)
$$;

-- certification_expiring: it ends within the scenario's "days" (30) from on_date, on_date included;
-- what has ended already is not expiring.
create or replace function reveille.judge_certifications(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select c.id, m.user_id, 'certification_expiring', c.id,
           jsonb_build_object('expires_on', c.expires_on)
      from {certifications} c join {peer_mentors} m on m.id = c.peer_mentor_id
     where params ? 'certification_expiring' and c.id = any(ids)
       and c.expires_on between on_date and on_date
           + coalesce((params #>> '{certification_expiring,params,days}')::int, 30)
$$;

-- Active assignments of active mentors.
create or replace function reveille.source_assignments(p_cursor uuid, n int, on_date date)
returns table(subject_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select a.id
      from {assignments} a
     cross join lateral (
            select from {peer_mentors} m
             where m.id = a.peer_mentor_id and m.status = 'active' limit 1) m
     where a.id >= coalesce(p_cursor, '00000000-0000-0000-0000-000000000000')
       and a.id is distinct from p_cursor and a.status = 'active'
     order by a.id limit n
$$;

create or replace function reveille.lookup_assignments(ids uuid[])
returns table(subject_id uuid, user_id uuid, eligible boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select a.id, m.user_id, a.status = 'active' and m.status = 'active'
      from {assignments} a join {peer_mentors} m on m.id = a.peer_mentor_id
     where a.id = any(ids)
$$;

-- reminder_due: the last contact that counts was "days" (14) ago or longer, or there was none yet.
create or replace function reveille.judge_assignments(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select a.id, m.user_id, 'reminder_due', a.id, jsonb_build_object('last_contact', l.day)
      from {assignments} a
      join {peer_mentors} m on m.id = a.peer_mentor_id
      left join reveille.contact_override o on o.assignment_id = a.id
     cross join lateral (
            select reveille.contact_that_counts(a.last_contact_date, o.contact_date,
                                                o.replaced) as day) l
     where params ? 'reminder_due' and a.id = any(ids)
       and (l.day is null
            or l.day <= on_date - coalesce((params #>> '{reminder_due,params,days}')::int, 14))
$$;
$sql$);
end $do$;
reset search_path;

do $$
declare
    f regprocedure;
    nil constant uuid := '00000000-0000-0000-0000-000000000000';
begin
    foreach f in array array[
        'reveille.source_certifications(uuid, int, date)',
        'reveille.lookup_certifications(uuid[])',
        'reveille.judge_certifications(uuid[], date, jsonb)',
        'reveille.source_assignments(uuid, int, date)', 'reveille.lookup_assignments(uuid[])',
        'reveille.judge_assignments(uuid[], date, jsonb)']::regprocedure[]
    loop
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to reveille_owner', f);
    end loop;
    -- as in 060800: what is in the way of them stops here
    perform reveille.source_certifications(null, 1, current_date);
    perform reveille.lookup_certifications(array[nil]);
    perform reveille.judge_certifications(array[nil], current_date,
                                          '{"certification_expiring": {}}');
    perform reveille.source_assignments(null, 1, current_date);
    perform reveille.lookup_assignments(array[nil]);
    perform reveille.judge_assignments(array[nil], current_date, '{"reminder_due": {}}');
end $$;
