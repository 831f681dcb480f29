-- The registry: what there is to run, by which engine, and who asked for it. Runs and their slices
-- follow in the next file, notifications and logs in the one after.

set role reveille_owner;

-- Where the host application's tables are: name -> schema.table. Read by the migrations alone; to
-- move one, change its row and apply the file on the host's tables again.
create table if not exists reveille.host_table(
    name text primary key,
    rel  text not null
);
insert into reveille.host_table values
    ('peer_mentors', 'public.peer_mentors'),
    ('assignments', 'public.assignments'),
    ('activities', 'public.activities'),
    ('certifications', 'public.certifications')
on conflict do nothing;

-- An engine and the limit of its calls at a time, for the whole fleet. ask_share moves everything
-- but concurrency and topic_partitions, which are the operator's (set_engine).
create table if not exists reveille.engine(
    engine           text primary key,
    concurrency      int not null check (concurrency between 1 and 10000),  -- what is allowed
    current          int not null check (current >= 1),     -- what its health allows, never above
    paused_until     timestamptz,
    closed_since     timestamptz,                  -- closed: one probe at a time, ...
    probes           int not null default 0,       -- ... the next one at paused_until
    recent           text not null default '',     -- the fleet's last 20 first tries: . x s
    moved_at         timestamptz not null default '-infinity',    -- current, up or down, ...
    halved_at        timestamptz not null default '-infinity',    -- ... and down
    last_success_at  timestamptz,
    topic_partitions int not null default 12 check (topic_partitions between 1 and 1000)
);
insert into reveille.engine(engine, concurrency, current) values
    ('http', 10, 10), ('sql', 12, 12), ('dynamics', 4, 4), ('noop', 12, 12)
on conflict do nothing;

-- Who holds how much of an engine's limit. Unlogged: asking waits for no fsync. A crash of the
-- server empties it; the row without a worker's name is then missing, too, and ask_share lends
-- nothing for one lease, until whatever was lent before the crash has run out.
create unlogged table if not exists reveille.engine_share(
    engine        text not null,
    worker        text not null,
    granted       int not null,
    until         timestamptz not null,
    want          int not null default 0,
    starved_since timestamptz,
    seq           bigint not null default 0,
    report        jsonb,
    primary key (engine, worker)
);
insert into reveille.engine_share(engine, worker, granted, until)
    select engine, '', 10000, '-infinity' from reveille.engine
on conflict do nothing;

create table if not exists reveille.scenario_config(
    scenario_type text primary key check (scenario_type ~ '^[a-z_]{1,40}$'),
    enabled       boolean not null default true,
    cooldown_days int not null check (cooldown_days > 0),
    per_subject   boolean not null default false,  -- notified once for each about_id
    params        jsonb not null default '{}'
);

-- The registry of jobs. source, lookup and judge name functions:
--   source (cursor uuid, n int, on_date date) -> (subject_id), in its order; the cursor starts NULL
--   lookup (subject_ids uuid[]) -> (subject_id, user_id, eligible)
--   judge  (subject_ids uuid[], on_date date, params jsonb)
--          -> (subject_id, user_id, scenario_type, about_id, payload)
create table if not exists reveille.job(
    job_name        text primary key check (job_name ~ '^[a-z_]{1,40}$'),
    cron_name       text,
    schedule        text not null,
    time_zone       text not null default 'Europe/Oslo'
                    check (timezone(time_zone, timestamptz 'epoch') is not null),
    engine          text not null references reveille.engine,
    source          text not null,
    lookup          text not null,
    judge           text,
    scenario_types  text[] not null,
    page_size       int check (page_size between 1 and 1000),  -- null: the producer's PAGE_SIZE
    deadline        interval not null default '12 h' check (deadline > '0' and deadline < '24 h'),
    alert_after     interval not null default '30 min',
    catchup_window  interval not null default '12 h',
    paused_at       timestamptz,
    paused_reason   text,
    enabled_since   timestamptz,
    enabled_on      text,          -- another one than here(): a copy of the database, as if paused
    component       text not null default 'reveille',
    constraint job_judge check (engine <> 'sql' or judge is not null)
);

-- One execution of a job. run_active: a job never overlaps itself. run_slot: a slot has one run,
-- but a failed one frees it.
create table if not exists reveille.run(
    run_id          uuid primary key default gen_random_uuid(),
    job_name        text not null references reveille.job,
    slot            timestamptz,                    -- null: a manual run, or a replay
    state           text not null default 'planning' check (state in
                    ('planning', 'running', 'completed', 'partial', 'cancelled', 'failed')),
    evaluation_date date not null,                  -- the day that is judged
    dispatch_date   date not null,                  -- the day of planning; cooldowns count from it
    scenarios       jsonb not null,                 -- {type: {cooldown_days, per_subject, params}}
    triggered_by    text not null check (triggered_by in
                    ('pg_cron', 'http', 'manual', 'catchup', 'replay')),
    replay_of       uuid references reveille.run,
    selection       jsonb,                          -- a replay's, with its reason; else
                                                    -- {"subjects": […]} or null
    shadow          boolean not null default false,
    page_size       int not null,
    rate            int,                            -- a replay's: subjects a second at most
    cursor          uuid,
    slices          int not null default 0,
    planned         int,                            -- subjects; null while planning
    deadline_at     timestamptz not null,
    started_at      timestamptz not null default clock_timestamp(),
    finished_at     timestamptz,
    totals          jsonb,                          -- run_numbers() at the end
    pruned_at       timestamptz,                    -- from when on its slices are removed: no proof
    error_message   text check (length(error_message) <= 500),
    constraint run_replay check ((replay_of is null) = (triggered_by <> 'replay'))
);
create unique index if not exists run_active on reveille.run(job_name)
    where replay_of is null and state in ('planning', 'running');
create unique index if not exists run_active_replay on reveille.run(replay_of)
    where state in ('planning', 'running');
create unique index if not exists run_slot on reveille.run(job_name, slot)
    where replay_of is null and state <> 'failed';
create index if not exists run_started on reveille.run(started_at);

-- Who leads a run. Apart from run, because a lease in a row that others lock starves.
create table if not exists reveille.run_lease(
    run_id      uuid primary key references reveille.run on delete cascade,
    holder      text not null,
    fence       bigint not null default 1,
    lease_until timestamptz not null
);

-- Somebody asked for a job. unique (job, slot): ringing twice is one request.
create table if not exists reveille.trigger_request(
    id              bigint generated always as identity primary key,
    job_name        text not null references reveille.job,
    slot            timestamptz,
    source          text not null check (source in ('pg_cron', 'http', 'manual', 'catchup')),
    params          jsonb not null default '{}',
    idempotency_key text,
    state           text not null default 'pending' check (state in
                    ('pending', 'opened', 'coalesced', 'missed', 'refused')),
    reason          text,                           -- why it was refused, missed or coalesced
    run_id          uuid references reveille.run,
    tries           int not null default 0,         -- failed runs of this slot so far
    requested_at    timestamptz not null default clock_timestamp(),
    unique (job_name, slot),
    unique (job_name, idempotency_key)
);
create index if not exists trigger_request_pending on reveille.trigger_request(job_name, slot)
    where state = 'pending';
create index if not exists trigger_request_run on reveille.trigger_request(run_id);

-- Up to page_size subjects of a run. This row is the only lock between settling and closing: it
-- goes once from pending to done or unreached. Totals are sums over these rows.
create table if not exists reveille.slice(
    run_id           uuid not null references reveille.run on delete cascade,
    slice_no         int not null,
    subject_ids      uuid[] not null,
    skipped_ids      uuid[] not null default '{}',
    topic            text not null,
    partition        int not null,
    state            text not null default 'pending' check (state in
                     ('pending', 'done', 'unreached')),
    attempt          int not null default 0,        -- how many incarnations have claimed it
    claimed_by       text,                          -- host:pid:random
    moved_at         timestamptz,                   -- the claim's last renewal
    calls_done       int,
    last_error_class text,
    published_at     timestamptz,
    published_offset bigint,
    rings            int not null default 0,        -- how often it was published
    evaluated        int,
    skipped          int,
    errors           int,
    unreached        int,
    dispatched       int,
    suppressed       int,
    by_scenario      jsonb,
    worker           text,                          -- who settled it
    done_at          timestamptz,
    primary key (run_id, slice_no),
    constraint slice_identity check (state = 'pending' or (
        cardinality(subject_ids) = evaluated + skipped + errors + unreached
        and skipped = cardinality(skipped_ids)
        and dispatched is not null and suppressed is not null))
);
create index if not exists slice_pending on reveille.slice(run_id, slice_no)
    where state = 'pending';

-- What the programs ask before anything else: a program older than oldest_program, or newer than
-- version, stops and says so.
create table if not exists reveille.schema_version(
    version        int primary key,
    oldest_program int not null,
    at             timestamptz not null default clock_timestamp()
);
insert into reveille.schema_version(version, oldest_program) values (1, 1) on conflict do nothing;

revoke all on all tables in schema reveille from public;
grant select on all tables in schema reveille to reveille_reader;
grant select on reveille.job, reveille.engine, reveille.engine_share, reveille.scenario_config,
    reveille.trigger_request, reveille.run, reveille.run_lease, reveille.slice,
    reveille.schema_version to reveille_producer;
grant select on reveille.engine, reveille.run, reveille.schema_version to reveille_worker;
grant select (job_name, cron_name) on reveille.job to reveille_invoker;

reset role;
