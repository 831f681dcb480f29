-- When there was last contact in an assignment (E8). The host's own column is moved by every path
-- that registers, changes or removes activity; an operator's correction stands beside it, in
-- contact_override, so that no recount undoes it. Names and owners as in the file before.

set search_path = pg_catalog;
do $do$
begin
    execute reveille.with_host_names($sql$

-- The date that counts, of the host's and a correction (null: there is none). A correction is kept
-- until the host's date goes beyond both it and the date that it replaced: a later activity.
create or replace function reveille.contact_that_counts(
    p_host date, p_corrected date, p_replaced date)
returns date language sql immutable as $$
    select case when p_host > greatest(p_corrected, p_replaced) then p_host
                else coalesce(p_corrected, p_host) end
$$;

-- The same for an assignment, given the host's date.
create or replace function reveille.last_contact(p_assignment uuid, p_host date) returns date
language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    select reveille.contact_that_counts(p_host, o.contact_date, o.replaced)
      from (select) x
      left join reveille.contact_override o on o.assignment_id = p_assignment
$$;

-- An operator's correction of an assignment's last contact. False: no such assignment. Null: the day
-- is still to come (tomorrow's date is today's somewhere on Earth), and nothing was set.
create or replace function reveille.set_contact(p_assignment uuid, p_date date, p_by text)
returns boolean
language sql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with known as (select p_date <= (clock_timestamp() at time zone 'UTC')::date + 1 as past),
    o as (
        insert into reveille.contact_override as c(assignment_id, contact_date, replaced, set_by)
        select a.id, p_date, a.last_contact_date, p_by from {assignments} a
         where a.id = p_assignment and (select past from known)
           for no key update
        on conflict (assignment_id) do update
            set contact_date = excluded.contact_date, replaced = excluded.replaced,
                set_by = excluded.set_by, set_at = now()
        returning 1),
    noted as (
        select reveille.note(p_by, 'set_contact', p_assignment::text,
                             jsonb_build_object('last_contact_date', p_date)) from o)
    select case when past then (select count(*) > 0 from noted) end from known
$$;

-- New activities, one or a million: they move the host's date forward, never back. All of their
-- assignments are locked, also those that will not move: a removal beside us may be taking their
-- date back. In the order of their ids, so that two statements cannot deadlock; and with a lock
-- that the foreign keys of the host's own writes do not wait for.
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

-- Changed and removed activities. An assignment whose date was one of theirs is counted again, from
-- what is left (null: nothing); any other date came from elsewhere, and stays. A correction is
-- kept: where the host's date falls below the one that it replaced, that one falls, too, so that
-- the next activity counts. A change of neither assignment nor date locks and moves nothing.
create or replace function reveille.recount_contact() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    gone_ids uuid[];
    gone_days date[];
    new_ids uuid[];
    new_days date[];
    stale uuid[];
begin
    if tg_op = 'DELETE' then
        select array_agg(assignment_id), array_agg(activity_date) into gone_ids, gone_days
          from (select distinct assignment_id, activity_date from gone) x;
    else
        select array_agg(assignment_id), array_agg(activity_date) into gone_ids, gone_days
          from (select assignment_id, activity_date from gone
                except all select assignment_id, activity_date from fresh) x;
        select array_agg(assignment_id), array_agg(activity_date) into new_ids, new_days
          from (select assignment_id, activity_date from fresh
                except all select assignment_id, activity_date from gone) x;
    end if;
    perform from {assignments} a where a.id = any(gone_ids || new_ids)
      order by a.id for no key update;
    stale := array(select distinct a.id
                     from {assignments} a join unnest(gone_ids, gone_days) g(id, day)
                       on g.id = a.id and g.day = a.last_contact_date);
    if stale <> '{}' then
        with left_over as materialized (
            select s.id, max(c.activity_date) as day
              from unnest(stale) s(id) left join {activities} c on c.assignment_id = s.id
             group by 1),
        o as (
            update reveille.contact_override o set replaced = l.day
              from left_over l
             where o.assignment_id = l.id and o.replaced is not null
               and (l.day is null or l.day < o.replaced))
        update {assignments} a set last_contact_date = l.day
          from left_over l
         where a.id = l.id and a.last_contact_date is distinct from l.day;
    end if;
    update {assignments} a set last_contact_date = x.day
      from (select id, max(day) as day from unnest(new_ids, new_days) n(id, day) group by 1) x
     where a.id = x.id and (a.last_contact_date is null or a.last_contact_date < x.day);
    return null;
end $$;

create or replace trigger activities_touch after insert on {activities}
    referencing new table as fresh for each statement execute function reveille.touch_contact();
create or replace trigger activities_retouch after update on {activities}
    referencing old table as gone new table as fresh for each statement
    execute function reveille.recount_contact();
create or replace trigger activities_untouch after delete on {activities}
    referencing old table as gone for each statement execute function reveille.recount_contact();
-- also in a session that replays what another database has done
alter table {activities} enable always trigger activities_touch;
alter table {activities} enable always trigger activities_retouch;
alter table {activities} enable always trigger activities_untouch;
$sql$);
end $do$;
reset search_path;

do $$
declare
    f regprocedure;
begin
    foreach f in array array[
        'reveille.contact_that_counts(date, date, date)', 'reveille.last_contact(uuid, date)',
        'reveille.set_contact(uuid, date, text)', 'reveille.touch_contact()',
        'reveille.recount_contact()']::regprocedure[]
    loop
        execute format('revoke all on function %s from public', f);
        execute format('grant execute on function %s to reveille_owner', f);
    end loop;
    grant execute on function reveille.set_contact(uuid, date, text) to reveille_producer;
    perform reveille.set_contact('00000000-0000-0000-0000-000000000000', current_date, '');
end $$;
