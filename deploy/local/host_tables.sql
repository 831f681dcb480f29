-- The host application's tables, for local use: as an application would own them. In production
-- they are somebody else's; Reveille needs the columns that migrations/DESIGN.md lists, and every
-- other column here has a default. Empty: whoever starts a stack fills them.

create table if not exists peer_mentors(
    id         uuid primary key default gen_random_uuid(),
    user_id    uuid not null unique,
    org_id     uuid not null default gen_random_uuid(),
    status     text not null check (status in ('active', 'paused', 'deactivated')),
    created_at timestamptz not null default now()
);

create table if not exists assignments(
    id                     uuid primary key default gen_random_uuid(),
    peer_mentor_id         uuid not null references peer_mentors,
    status                 text not null check (status in
                           ('pending', 'active', 'paused', 'completed', 'cancelled')),
    assigned_on            date not null default current_date,
    last_contact_date      date,
    reminder_interval_days int not null default 14 check (reminder_interval_days > 0)
);

create table if not exists activities(
    id            bigint generated always as identity primary key,
    user_id       uuid not null,
    assignment_id uuid references assignments,
    activity_date date not null,
    registered_by uuid,
    path          text not null default 'direct' check (path in
                  ('direct', 'proxy', 'bulk', 'coordinator_proxy')),
    created_at    timestamptz not null default now()
);
create index if not exists activities_assignment_date on activities(assignment_id, activity_date)
    where assignment_id is not null;

create table if not exists certifications(
    id             uuid primary key default gen_random_uuid(),
    peer_mentor_id uuid not null references peer_mentors,
    kind           text not null default 'basic',
    expires_on     date not null,
    revoked        boolean not null default false
);
create index if not exists certifications_live on certifications(peer_mentor_id, expires_on)
    where not revoked;

alter table peer_mentors enable row level security;
alter table assignments enable row level security;
alter table activities enable row level security;
alter table certifications enable row level security;
