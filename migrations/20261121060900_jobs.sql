-- The registry's rows: what is looked for, and by which job. Applied again, they stay as they were
-- set meanwhile. Adding a job is adding a row here, or by hand.
--
-- scenario_config, what its parameters mean, and why the cooldowns are what they are. Each number
-- evaluated, dispatched and suppressed, and why, is in a run's summary, by_scenario:
--   inactivity              no activity for params.days days, or never any. Told again each
--                           cooldown, for as long as it lasts.
--   milestone               params.counts: the numbers of activities that are one. It is looked for
--                           within the last cooldown_days, so one milestone is told once, and
--                           one that is reached in another's cooldown when that ends. Off until
--                           somebody wants it:
--                             update reveille.scenario_config set enabled = true
--                              where scenario_type = 'milestone';
--   certification_expiring  a certification ends within params.days days. cooldown_days is more
--                           than that: told once, and once again when it was renewed and ends.
--   reminder_due            the last contact in an assignment was params.days days ago, or longer.
--                           Told again each cooldown, until there was contact.
-- The last two are kept per subject: two certifications of a mentor are two notifications.

set role reveille_owner;

insert into reveille.scenario_config(scenario_type, enabled, cooldown_days, per_subject, params)
values ('inactivity', true, 30, false, '{"days": 60}'),
       ('milestone', false, 14, false, '{"counts": [10, 25, 50, 100, 250, 500, 1000]}'),
       ('certification_expiring', true, 60, true, '{"days": 30}'),
       ('reminder_due', true, 7, true, '{"days": 14}')
on conflict do nothing;

-- scenario_scheduler has a judge, too: `reveille jobs set scenario_scheduler engine=sql` is enough
-- to have it judged here, in bulk.
insert into reveille.job(job_name, cron_name, schedule, engine, source, lookup, judge,
                         scenario_types, component)
values ('scenario_scheduler', 'scenario-scheduler-daily', '0 6 * * *', 'http',
        'reveille.source_mentors', 'reveille.lookup_mentors', 'reveille.judge_mentors',
        '{inactivity,milestone}', 'scenario-scheduler'),
       ('certification_expiry_check', 'nightly-scheduler', '0 2 * * *', 'sql',
        'reveille.source_certifications', 'reveille.lookup_certifications',
        'reveille.judge_certifications', '{certification_expiring}', 'certification-expiry-check'),
       ('reminder_eval', 'daily-reminder-eval', '0 6 * * *', 'sql',
        'reveille.source_assignments', 'reveille.lookup_assignments',
        'reveille.judge_assignments', '{reminder_due}', 'reminder-eval')
on conflict do nothing;

reset role;
