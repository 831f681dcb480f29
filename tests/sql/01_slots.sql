-- slot_of and cron_field: pg_cron's grammar, in UTC.
begin;
select no_plan();

create function pg_temp.slot(p_schedule text, p_at text) returns text language sql as $$
    select to_char(reveille.slot_of(p_schedule, p_at::timestamptz) at time zone 'UTC',
                   'YYYY-MM-DD HH24:MI')
$$;

select is(pg_temp.slot(s, at), expected, format('R-T13: %s at %s was due at %s', s, at, expected))
  from (values
    ('0 6 * * *', '2026-11-21 06:00Z', '2026-11-21 06:00'),
    ('0 6 * * *', '2026-11-21 05:59:59Z', '2026-11-20 06:00'),
    ('0 6 * * *', '2026-11-21 14:05Z', '2026-11-21 06:00'),
    ('0 6 * * *', '2026-07-01 07:30+02', '2026-06-30 06:00'),
    ('*/15 * * * *', '2026-01-01 00:14Z', '2026-01-01 00:00'),
    ('5,35 8-10 * * *', '2026-01-01 10:36Z', '2026-01-01 10:35'),
    ('10-50/20 * * * *', '2026-01-01 00:51Z', '2026-01-01 00:50'),
    ('0 2 29 2 *', '2026-01-01 00:00Z', '2024-02-29 02:00'),
    ('0 0 29 2 *', '2103-12-31 00:00Z', '2096-02-29 00:00'),
    ('0 0 * * mon', '2026-11-21 00:00Z', '2026-11-16 00:00'),
    ('0 0 * * 7', '2026-11-21 00:00Z', '2026-11-15 00:00'),
    ('0 0 13 * fri', '2026-11-21 00:00Z', '2026-11-20 00:00'),      -- either
    ('0 0 */2 * fri', '2026-11-21 00:00Z', '2026-11-13 00:00'),     -- a star: both
    ('0 0 1 JAN *', '2026-11-21 00:00Z', '2026-01-01 00:00'))
    as x(s, at, expected);

select is(reveille.slot_of('0 0 30 2 *', now()), null,
    'R-T13: a schedule that never fires has no slot');

select throws_matching(format('select reveille.slot_of(%L, now())', s), '.', 'R-T3: refused: ' || s)
  from unnest(array['@daily', '0 6 * *', '0 6 * * * *', '*x * * * *', '1#2 * * * *', '60 * * * *',
                    '30-10 * * * *', '* * * * fri-mon', '1/20 * * * *', '* * * * someday',
                    '10 seconds', '0 6 $ * *']) s;

-- every schedule's slots against a walk of all minutes of two weeks
select is(
    (select count(*) from generate_series(timestamptz '2026-11-01Z', '2026-11-14Z', '7 min') t
      where reveille.slot_of(s, t) is distinct from (
        select max(m) from generate_series(t - interval '3 days', t, '1 min') m
         where extract(minute from m at time zone 'UTC') = any(mi)
           and extract(hour from m at time zone 'UTC') = any(ho))
        and extract(minute from t) = 0),
    0::bigint, 'R-T13: slots of ' || s || ' agree with a walk minute by minute')
  from (values ('0 6 * * *', '{0}'::int[], '{6}'::int[]),
               ('*/20 2,14 * * *', '{0,20,40}', '{2,14}')) as x(s, mi, ho);

-- the registry takes no schedule or time zone that cannot be read
select throws_ok($$ update reveille.job set schedule = 'at six' $$, '22023', null,
                 'R-T3: a job with a schedule of two fields is refused');
select throws_ok($$ update reveille.job set schedule = '0 0 30 2 *' $$, '23514', null,
                 'R-T3: a job that is never due is refused');
select throws_ok($$ update reveille.job set time_zone = 'Europe/Nowhere' $$, '22023', null,
                 'R-T3: a job in an unknown time zone is refused');
select results_eq(
    $$ select schedule, engine, component, paused_at is null, enabled_on = reveille.here()
         from reveille.job where job_name = 'scenario_scheduler' $$,
    $$ values ('0 6 * * *', 'http', 'scenario-scheduler', true, true) $$,
    'R-T1: the job scenario_scheduler is there, at 06:00 UTC, and enabled here');

select * from finish();
rollback;
