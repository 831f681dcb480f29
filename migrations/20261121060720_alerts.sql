-- Alerts (S7): what should have happened by now and has not. What there is to be told is a view, true
-- whether a producer lives or not; note_alerts keeps what was told, so that it is told once.

set role reveille_owner;

-- What is wrong now, by the clock and the rows alone. kind:
--   run     a run that is open longer than its job's alert_after
--   slot    a slot that is due for longer than that, and none as new has a run (but failed ones):
--           nobody rang, no producer lives, or it waits behind another run
--   failed  the newest slot's run failed, and catch_up does not try it again any more
-- A paused job's slots, a copy's, and those from before the job was enabled are nobody's business.
create or replace view reveille.run_alert with (security_invoker = true) as
    select 'run' as kind, r.job_name, j.component, r.run_id, r.slot,
           clock_timestamp() - r.started_at as age, j.alert_after
      from reveille.run r
      join reveille.job j using (job_name)
     where r.state in ('planning', 'running') and clock_timestamp() - r.started_at > j.alert_after
    union all
    select 'slot', j.job_name, j.component, null, s.slot, clock_timestamp() - s.slot, j.alert_after
      from reveille.job j
     cross join lateral (
        select reveille.slot_of(j.schedule, clock_timestamp() - j.alert_after) as slot) s
     where j.paused_at is null and j.enabled_on = reveille.here() and s.slot > j.enabled_since
       and not exists (select from reveille.run r
                        where r.job_name = j.job_name and r.replay_of is null
                          and r.slot >= s.slot and r.state <> 'failed')
    union all
    select 'failed', j.job_name, j.component, r.run_id, t.slot, clock_timestamp() - r.finished_at,
           j.alert_after
      from reveille.job j
     cross join lateral (select reveille.slot_of(j.schedule, clock_timestamp()) as slot) s
      join reveille.trigger_request t on t.job_name = j.job_name and t.slot = s.slot
      join reveille.run r on r.run_id = t.run_id
     where j.paused_at is null and j.enabled_on = reveille.here() and r.state = 'failed'
       and (t.tries >= 3 or t.slot <= clock_timestamp() - j.catchup_window);

-- Which of them were told; a row goes with its alert.
create table if not exists reveille.alert_told(
    kind     text not null,
    job_name text not null,
    subject  text not null,     -- the run's id; of a slot, its seconds since 1970
    told_at  timestamptz not null default clock_timestamp(),
    primary key (kind, job_name, subject)
);

-- All alerts of now, for metrics. fresh: this caller is the one to tell it; of any number of
-- producers one is, once an alert. A producer that dies between this and its log line has told
-- nobody: the view still does.
create or replace function reveille.note_alerts()
returns table(kind text, job_name text, component text, run_id uuid, slot timestamptz,
              age_s bigint, alert_after_s bigint, fresh boolean)
language sql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with alert as materialized (
        select a.*, coalesce(a.run_id::text,
                             extract(epoch from a.slot)::bigint::text) as subject
          from reveille.run_alert a),
    over as (
        delete from reveille.alert_told t
         using (select x.kind, x.job_name, x.subject from reveille.alert_told x
                 where not exists (select from alert a where a.kind = x.kind
                                      and a.job_name = x.job_name and a.subject = x.subject)
                 order by 1, 2, 3
                   for update skip locked) x
         where t.kind = x.kind and t.job_name = x.job_name and t.subject = x.subject),
    told as (
        insert into reveille.alert_told(kind, job_name, subject)
            select a.kind, a.job_name, a.subject from alert a order by 1, 2, 3
        on conflict do nothing
        returning kind, job_name, subject)
    select a.kind, a.job_name, a.component, a.run_id, a.slot,
           floor(extract(epoch from a.age))::bigint,
           floor(extract(epoch from a.alert_after))::bigint, t.kind is not null
      from alert a
      left join told t using (kind, job_name, subject)
     order by 1, 2, 5
$$;

revoke all on reveille.alert_told, reveille.run_alert from public;
grant select on reveille.alert_told, reveille.run_alert to reveille_reader;
grant execute on function reveille.note_alerts() to reveille_producer;

reset role;
