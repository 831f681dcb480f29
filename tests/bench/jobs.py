"""The figures of the jobs that are judged in SQL, of the doorbell and of the page query; parts of
bench.py, which prints them."""

import time

from rig import JOB, Rig, median

# What the job does, as one statement: the same mentors, the same judge, the same notifications. Without
# what makes it a run that can crash: slices, claims, cooldowns, the outbox, numbers.
REFERENCE = """
    insert into reveille.notification(user_id, scenario_type, about_id, evaluation_date,
        cooldown_window_start, cooldown_days, run_id, slice_no, external, payload)
    select v.user_id, v.scenario_type, '00000000-0000-0000-0000-000000000000', current_date,
           current_date, 30, '00000000-0000-0000-0000-000000000000', 0, false, v.payload
      from (select array_agg(subject_id) as ids from (
                select subject_id, row_number() over () / 1000 as page
                  from reveille.source_mentors(null, 100000000, current_date)) s group by page) p
     cross join lateral reveille.judge_mentors(
               p.ids, current_date, '{"inactivity": {"params": {"days": 60}}}') v"""


def judged_in_sql(folder, repeat, rosters, row):
    """Mentors a second of the inactivity job in SQL, and how its time grows with the roster."""
    took = {}
    for mentors in rosters:
        with Rig(folder, mentors=mentors, workers=2, page=1000) as rig:
            rig.sql(f"update reveille.job set engine = 'sql' where job_name = '{JOB}'; analyze")
            rig.run()
            for workers in (2, 1):
                if workers == 1:
                    rig.stack.program("worker-2").stop()
                runs, references = [], []
                for _ in range(repeat):
                    rig.reset()
                    runs.append(rig.run()["seconds"])
                    rig.reset()
                    started = time.monotonic()
                    rig.sql(REFERENCE)
                    references.append(time.monotonic() - started)
                took[workers, mentors] = median(runs)
                row(f"{mentors:,} mentors judged in SQL, page 1,000, {workers} worker(s)",
                    f"{mentors / median(runs):,.0f} a second",
                    f"one INSERT ... SELECT: {mentors / median(references):,.0f} a second, aim 0.5",
                    f"{median(references) / median(runs):.2f}")
    few, many = min(rosters), max(rosters)
    for workers in (1, 2):
        row(f"the time of {many:,} to that of {few:,}, {workers} worker(s)",
            f"{took[workers, many] / took[workers, few]:.1f} x", "aim at most 11")


def many_due(folder, row):
    """Reminders and certifications that are all due."""
    with Rig(folder, mentors=60000, workers=2) as rig:
        rig.sql("""set session_replication_role = replica;
            update assignments set last_contact_date = current_date;
            update assignments set last_contact_date = current_date - 30 where id in (
                select id from assignments where status = 'active' limit 10000);
            delete from certifications;
            insert into certifications(peer_mentor_id, expires_on)
            select subject_id, current_date + 10
              from reveille.source_mentors(null, 50000, current_date); analyze""")
        for job, what, aim in (("reminder_eval", "10,000 assignments due for a reminder", 5),
                               ("certification_expiry_check", "50,000 certifications", 10)):
            result = rig.run(job=job)
            row(f"{what}, page 100, 2 workers, trigger to closed",
                f"{result['seconds']:.1f} s, {result['dispatched']:,} notifications",
                f"aim within {aim} s")


def doorbell(folder, repeat, row):
    """pg_cron's own part of a firing, and from there to the first call of the engine."""
    with Rig(folder, mentors=100, workers=1, latency=0) as rig:
        rig.run()
        rings, delays = [], []
        for _ in range(max(repeat, 5)):
            rig.reset()
            rig.sql("update reveille.run set slot = null;"
                    "update reveille.trigger_request set slot = null")
            rings.append(float(rig.sql("""
                create temp table began as select clock_timestamp() as at;
                select reveille_cron.ring('scenario-scheduler-daily');
                select extract(epoch from clock_timestamp() - at) * 1000 from began""").split()[-1]))
            delays.append(1000 * float(rig.sql(f"""
                do $$ begin while exists (select from reveille.run where state in
                    ('planning', 'running') and job_name = '{JOB}') or not exists (select from
                    reveille.run where slot is not null and job_name = '{JOB}') loop
                    perform pg_sleep(0.01); commit; end loop; end $$;
                select extract(epoch from min(s.done_at) - min(c.triggered_at))
                  from reveille.cron_execution_log c, reveille.run r join reveille.slice s
                    using (run_id) where r.slot is not null and r.job_name = '{JOB}'
                   and c.id = (select max(id) from reveille.cron_execution_log)""").split()[-1]))
        row("a firing's own part, reveille_cron.ring", f"{median(rings):.1f} ms", "aim under 5 ms")
        row("firing to the first slice evaluated", f"{median(delays):.0f} ms", "aim under 200 ms")


def page_query(folder, mentors, row):
    """A page of 100 at the beginning, in the middle and at the end of the roster."""
    with Rig(folder, mentors=mentors, workers=0) as rig:
        rig.sql("vacuum analyze")
        found = rig.sql("""
            set plan_cache_mode = force_generic_plan;
            create temp table cursors as
            select n, (select id from peer_mentors order by id offset greatest(
                       (select count(*) from peer_mentors) * n / 10 - 200, 0) limit 1) as id
              from (values (0), (5), (10)) v(n);
            do $$ declare c record; s timestamptz; i int; begin
                create temp table times(n int, ms float);
                for c in select * from cursors loop
                    for i in 1..50 loop
                        s := clock_timestamp();
                        perform from reveille.source_mentors(c.id, 100, current_date);
                        insert into times values (c.n,
                            extract(epoch from clock_timestamp() - s) * 1000);
                    end loop;
                end loop; end $$;
            select string_agg(to_char(ms, 'FM0.00'), ', ' order by n) from (
                select n, percentile_cont(0.5) within group (order by ms) as ms
                  from times group by n) x""").strip().splitlines()[-1]
        row(f"a page of 100 of {mentors:,} mentors: first, middle, last", f"{found} ms",
            "aim under 1 ms")
