-- What runs leave behind: notifications with their cooldown and outbox, errors, logs, the audit.

set role reveille_owner;

-- The row that is the dispatch; never changed once written. D1's two constraints name sets of
-- columns, not their order: date first, a run writes to one small hot range whatever the history.
-- No foreign keys: workers must not lock run. Whoever deletes a row sets its cooldown row back.
create table if not exists reveille.notification(
    user_id               uuid not null,
    about_id              uuid not null default '00000000-0000-0000-0000-000000000000',
    scenario_type         text collate "C" not null,
    evaluation_date       date not null,
    cooldown_window_start date not null,            -- the run's dispatch date
    cooldown_days         int not null check (cooldown_days > 0),
    slice_no              int not null,
    run_id                uuid not null,
    created_at            timestamptz not null default now(),
    external              boolean not null default false,  -- the engine has told the user itself
    payload               jsonb not null default '{}',
    constraint notification_dates check (cooldown_window_start >= evaluation_date),
    constraint notification_cooldown_key
        primary key (cooldown_window_start, user_id, scenario_type, about_id),
    constraint notification_idem_key
        unique (evaluation_date, user_id, scenario_type, about_id)
);
-- A run's rows lie together; a btree on run_id would cost four times as much a row.
create index if not exists notification_run on reveille.notification
    using brin (run_id uuid_minmax_multi_ops) with (pages_per_range = 32, autosummarize = on);

-- The lock that keeps two notifications of a key apart (D3), also across midnight and replays.
-- Written by settle alone, in key order. fillfactor: renewals stay on their page.
create table if not exists reveille.cooldown(
    user_id       uuid,
    about_id      uuid,
    scenario_type text collate "C",
    until         date not null,
    primary key (user_id, scenario_type, about_id)
) with (fillfactor = 70);

-- What the application has not taken yet; a row leaves when it is sent.
create table if not exists reveille.outbox(
    id                    bigint generated always as identity primary key,
    claimed_until         timestamptz,
    cooldown_window_start date not null,
    user_id               uuid not null,
    scenario_type         text collate "C" not null,
    about_id              uuid not null
) with (fillfactor = 80);

create table if not exists reveille.subject_error(
    run_id        uuid not null,
    subject_id    uuid not null,
    slice_no      int not null,
    error_class   text not null check (error_class in ('network_error', 'timeout_error',
                  'evaluation_logic_error', 'database_error', 'worker_lost')),
    error_message text check (length(error_message) <= 500),
    attempt       int not null,
    at            timestamptz not null default clock_timestamp(),
    primary key (run_id, subject_id)
);

-- A message that no worker could use: its address, never its content.
create table if not exists reveille.dead_letter(
    topic     text,
    partition int,
    "offset"  bigint,
    reason    text not null,
    seen_at   timestamptz not null default clock_timestamp(),
    primary key (topic, partition, "offset")
);
create index if not exists dead_letter_seen on reveille.dead_letter(seen_at);

-- One row a firing of pg_cron.
create table if not exists reveille.cron_execution_log(
    id            bigint generated always as identity primary key,
    job_name      text not null,
    triggered_at  timestamptz not null default clock_timestamp(),
    status        text not null check (status in
                  ('triggered', 'refused', 'succeeded', 'failed', 'timed_out', 'unknown')),
    http_status   smallint,
    request_id    bigint,                           -- pg_net's
    trigger_id    bigint,                           -- trigger_request.id
    completed_at  timestamptz,
    error_message text check (length(error_message) <= 500)
);
create index if not exists cron_execution_log_triggered
    on reveille.cron_execution_log(triggered_at);

-- One row a run, and one for every slot that got none.
create table if not exists reveille.scheduler_execution_log(
    id            bigint generated always as identity primary key,
    run_id        uuid,
    job_name      text not null,
    started_at    timestamptz not null,
    finished_at   timestamptz,
    status        text not null,
    error_message text check (length(error_message) <= 500)
);
create index if not exists scheduler_execution_log_started
    on reveille.scheduler_execution_log(started_at);

-- An operator's correction of a last contact, and the host's date that it replaces.
create table if not exists reveille.contact_override(
    assignment_id uuid primary key,
    contact_date  date not null,
    replaced      date,
    set_by        text not null,
    set_at        timestamptz not null default now()
);

-- When each of the scheduler's secrets was last used; here, so that it holds for several producers.
create table if not exists reveille.secret_use(
    slot         text primary key,
    last_used_at timestamptz not null
);

-- Who cancelled, paused, replayed or set what, and when.
create table if not exists reveille.audit(
    id     bigint generated always as identity primary key,
    at     timestamptz not null default clock_timestamp(),
    actor  text not null,
    action text not null,
    object text not null,
    detail jsonb not null default '{}'
);

revoke all on all tables in schema reveille from public;
grant select on all tables in schema reveille to reveille_reader;
grant select on reveille.subject_error, reveille.scheduler_execution_log, reveille.secret_use
    to reveille_producer;
grant insert (job_name, triggered_at, status, error_message) on reveille.cron_execution_log
    to cron_runner;
grant insert, select, update (status, http_status, completed_at, error_message)
    on reveille.cron_execution_log to reveille_invoker;

reset role;
