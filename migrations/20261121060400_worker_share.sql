-- An engine's limit, lent to the workers, and its health, which moves the limit. There are never
-- more calls in flight than engine.concurrency over the whole fleet, also after a kill or a freeze,
-- with no assumption about partitions or the number of workers.

set role reveille_owner;

-- What a report says about an engine's health, at time t; returns the engine's row as it is from
-- now on, and writes nothing. Up by one a second while all is well (an eighth above 16), by the
-- seconds that have passed, so that a night heals it. Half on 429/503, at most once a second, but at
-- once when a climb was too much: for as long as it stayed, the same calls would be refused again
-- and again, until their tries are used up. 16 failures among the fleet's last 20 first tries close it;
-- one success opens it again at one call.
create or replace function reveille.moved_by_report(
    e reveille.engine, p_report jsonb, t timestamptz)
returns reveille.engine language plpgsql as $$
declare
    tries text := coalesce(p_report ->> 'tries', '');
    bad int;
    seconds int;
begin
    e.recent := right(e.recent || tries, 20);
    bad := length(translate(e.recent, '.', ''));
    e.current := least(e.current, e.concurrency);
    seconds := least(extract(epoch from t - greatest(e.moved_at, '2000-01-01')), 10000);
    if (p_report ->> 'ok')::int > 0 then
        e.last_success_at := t;
        if e.closed_since is not null then
            e.closed_since := null;
            e.paused_until := null;
            e.recent := '';    -- the probes that failed before it say nothing any more
            e.moved_at := t;
            bad := 0;
        end if;
    end if;
    if e.closed_since is not null then
        null;    -- it stays closed; a probe is due at paused_until
    elsif bad >= 16 then
        e.closed_since := t;
        e.current := 1;
        e.probes := 0;
        e.paused_until := t + interval '1 s';
        e.recent := '';
    elsif tries like '%s%' then
        if e.halved_at <= t - interval '1 s' then
            e.current := greatest(e.current / 2, 1);
            e.moved_at := t;
            e.halved_at := t;
        end if;
    elsif e.moved_at <= t - interval '1 s' and e.current < e.concurrency then
        e.current := least(e.concurrency, e.current + greatest(e.current / 8, 1) * seconds);
        e.moved_at := t;
    end if;
    if p_report ? 'retry_after_ms' then
        e.paused_until := greatest(e.paused_until,
            t + least((p_report ->> 'retry_after_ms')::int, 300000) * interval '1 ms');
    end if;
    return e;
end $$;

-- The part of an engine's current limit that is fair to one worker: the small wishes first, what
-- they leave goes to the others; with too few calls for all, those who have starved longest. A wish
-- counts only while it was heard of in the last 2 s (8 s of its lease are left).
create or replace function reveille.fair_part(
    e reveille.engine, p_worker text, p_want int, p_starved_since timestamptz, t timestamptz)
returns int language plpgsql as $$
declare
    o record;
    rest int := e.current;
    n int;          -- who still waits for a part
    part int;
begin
    select count(*) + 1 into n from reveille.engine_share s
     where s.engine = e.engine and s.worker <> p_worker and s.want > 0
       and s.until > t + interval '8 s';
    for o in
        select x.worker, least(x.want, case when n > e.current then 1 else e.current end) as wish
          from (select s.worker, s.want, s.starved_since from reveille.engine_share s
                 where s.engine = e.engine and s.worker <> p_worker and s.want > 0
                   and s.until > t + interval '8 s'
                union all
                select p_worker, p_want, p_starved_since) x
         order by wish, x.starved_since desc nulls first, x.worker
    loop
        part := least(o.wish, rest / n);
        if o.worker = p_worker then
            return part;
        end if;
        rest := rest - part;
        n := n - 1;
    end loop;
    return 0;
end $$;

-- Asks for calls of an engine; any worker. p_want: how many it could use now (0: it is idle, and is
-- only seen). p_report: {"seq", "busy", "tries", "ok", "retry_after_ms"?, …}: seq grows with each
-- ask of a worker. busy: its calls in flight; until the answer is here it never has more than that,
-- so that the limit can be lowered at once. tries: first tries ended since the last report, in
-- order: '.' answered, 'x' network, timeout or 5xx, 's' 429 or 503. ok: calls that succeeded.
--
-- granted: calls at a time until lease_ms after the ask was *sent* (0: start none). probe: exactly
-- one call, then report. retry_ms: ask again after so long at the latest. outage_ms: the engine is
-- down, and its last success was so long ago: tries that failed since are not charged to anybody;
-- null: it is not down. current: calls at a time that the engine's health allows the whole fleet.
-- No row: the ask came later than a newer one of this worker.
-- RV404: no such engine.
--
-- Leans on the engine's row lock; waits for no fsync (a lost row of engine costs a second of
-- history, a lost row of engine_share is healed as the table says).
create or replace function reveille.ask_share(
    p_engine text, p_worker text, p_want int, p_report jsonb default '{}')
returns table(granted int, lease_ms int, probe boolean, retry_ms int, outage_ms bigint,
              current int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    lease constant interval := interval '10 s';
    e reveille.engine;
    was reveille.engine;
    me reveille.engine_share;
    t timestamptz;
    busy int;
    lent int;           -- what the others hold
    known boolean;      -- the row without a name is there: no crash has emptied the table
begin
    perform set_config('synchronous_commit', 'off', true);
    select x.* into e from reveille.engine x where x.engine = p_engine for no key update;
    if not found then
        raise 'unknown engine' using errcode = 'RV404';
    end if;
    t := clock_timestamp();
    was := e;
    select x.* into me from reveille.engine_share x
     where x.engine = p_engine and x.worker = p_worker;
    if me.seq >= (p_report ->> 'seq')::bigint then
        return;
    end if;
    -- never more than it was lent; and with its lease its calls are over: each was started a
    -- time-out before the lease's end
    busy := case when me.until > t
                 then least(coalesce((p_report ->> 'busy')::int, 0), me.granted) else 0 end;
    e := reveille.moved_by_report(e, p_report, t);

    select coalesce(sum(s.granted) filter (where s.until > t and s.worker <> p_worker), 0),
           coalesce(bool_or(s.worker = ''), false)
      into lent, known
      from reveille.engine_share s where s.engine = p_engine;
    if not known then
        insert into reveille.engine_share(engine, worker, granted, until)
            values (p_engine, '', 10000, t + lease);
        lent := 10000;
    end if;

    granted := 0;
    probe := false;
    if p_want > 0 and coalesce(e.paused_until <= t, true) then
        if e.closed_since is null then
            granted := least(reveille.fair_part(e, p_worker, p_want, me.starved_since, t),
                             greatest(e.current - lent, 0));
        elsif lent = 0 and busy = 0 then
            granted := 1;
            probe := true;
            e.probes := e.probes + 1;
            e.paused_until := t + least(2 ^ e.probes, 30) * interval '1 s';
        end if;
    end if;
    current := e.current;
    lease_ms := extract(epoch from lease) * 1000;
    retry_ms := case
        when granted >= least(p_want, e.current) then 1000
        when e.paused_until > t
        then least(greatest(extract(epoch from e.paused_until - t) * 1000, 20), 1000)::int
        else 100 end;
    if e.closed_since is not null then
        -- after an idle night the last success tells nothing: what closed it failed just before
        outage_ms := extract(epoch from t - greatest(e.last_success_at,
                                                     e.closed_since - interval '5 min')) * 1000;
    end if;

    if me.worker is null then
        delete from reveille.engine_share s
         where s.engine = p_engine and s.until < t - interval '1 min' and s.worker <> '';
        insert into reveille.engine_share(engine, worker, granted, until)
            values (p_engine, p_worker, 0, t);
    end if;
    update reveille.engine_share s
       set granted = greatest(ask_share.granted, busy), until = t + lease, want = p_want,
           seq = coalesce((p_report ->> 'seq')::bigint, s.seq), report = p_report,
           starved_since = case when p_want > 0 and ask_share.granted = 0
                                then coalesce(s.starved_since, t) end
     where s.engine = p_engine and s.worker = p_worker;
    if e is distinct from was then
        update reveille.engine x
           set current = e.current, paused_until = e.paused_until, closed_since = e.closed_since,
               probes = e.probes, recent = e.recent, moved_at = e.moved_at,
               halved_at = e.halved_at, last_success_at = e.last_success_at
         where x.engine = p_engine;
    end if;
    return next;
end $$;

-- Notes a message that no worker can use: where it lies and why, never what is in it. False: it is
-- known, or there were 1,000 in the last hour already: only counted.
create or replace function reveille.note_dead_letter(
    p_topic text, p_partition int, p_offset bigint, p_reason text)
returns boolean language sql security definer
set search_path = pg_catalog, pg_temp set row_security = off
as $$
    with i as (
        insert into reveille.dead_letter(topic, partition, "offset", reason)
        select p_topic, p_partition, p_offset, left(p_reason, 200)
         where (select count(*)
                  from (select from reveille.dead_letter
                         where seen_at > clock_timestamp() - interval '1 h' limit 1000) x) < 1000
        on conflict do nothing
        returning 1)
    select exists (select from i)
$$;

grant execute on function
    reveille.ask_share(text, text, int, jsonb),
    reveille.note_dead_letter(text, int, bigint, text)
    to reveille_worker;

reset role;
