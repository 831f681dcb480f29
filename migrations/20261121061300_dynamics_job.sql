-- The job hlf_dynamics_sync: at 02:00 UTC the engine dynamics tells the service there which mentors
-- are still ours. It has no scenario: nobody is told anything, so it has no cooldown, and its run
-- counts the evaluated, the skipped and the errors. Source and lookup are the mentors' own.
--
-- A row that an operator has changed stays as it is.

set role reveille_owner;
insert into reveille.job(job_name, cron_name, schedule, engine, source, lookup, scenario_types)
    values ('hlf_dynamics_sync', 'nightly-scheduler', '0 2 * * *', 'dynamics',
            'reveille.source_mentors', 'reveille.lookup_mentors', '{}')
on conflict do nothing;
reset role;
