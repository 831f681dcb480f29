-- The application's way to what it is to send. Granted to reveille_app, which an application's role
-- is made a member of.

set role reveille_owner;

-- Takes up to p_limit notifications for p_lease, oldest first; they come again if they are not
-- reported as sent by then. Two callers never get the same ones: SKIP LOCKED.
create or replace function reveille.claim_notifications(
    p_limit int, p_lease interval default '1 min')
returns table(id bigint, user_id uuid, scenario_type text, about_id uuid, evaluation_date date,
              payload jsonb, created_at timestamptz, run_id uuid)
language sql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with u as (
        update reveille.outbox o
           set claimed_until = clock_timestamp() + p_lease
         where o.id = any(array(
            select x.id from reveille.outbox x
             where x.claimed_until is null or x.claimed_until < clock_timestamp()
             order by x.id limit p_limit
               for update skip locked))
        returning o.*)
    select u.id, n.user_id, n.scenario_type, n.about_id, n.evaluation_date, n.payload,
           n.created_at, n.run_id
      from u
      join reveille.notification n
        using (cooldown_window_start, user_id, scenario_type, about_id)
     order by 1
$$;

-- Reports notifications as sent: they leave the outbox. Returns how many were there and claimed, so
-- a second report counts nothing. In order of id: two calls may name the same rows.
create or replace function reveille.mark_sent(p_ids bigint[])
returns int language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with l as (
        select id from reveille.outbox
         where id = any(p_ids) and claimed_until is not null
         order by id for update),
    d as (
        delete from reveille.outbox o using l where o.id = l.id
        returning 1)
    select count(*)::int from d
$$;

grant execute on function
    reveille.claim_notifications(int, interval),
    reveille.mark_sent(bigint[])
    to reveille_app;

reset role;
