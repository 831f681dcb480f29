"""`reveille doctor` on a live stack: everything is well; then one thing is broken, the line that is
about it says so and how to mend it, and when it is mended all is well again."""

import pytest

from parts import ENGINES
from stack.database import OPERATOR
from world import JOB, World, until


@pytest.fixture(scope="module")
def stack(cluster, embedded, folder):
    """A producer, a worker, one run, and nothing that is wrong: the flow cluster's fsync is put on,
    pg_cron is not there, so a stand-in says whether cron's rows differ. On one broker: what is
    broken here is not Kafka's."""
    world = World(folder / "world-doctor", cluster, embedded)
    server = cluster.postgres
    try:
        prepare(world)
        yield world
    finally:
        wrong_at_the_end = world.close()
        for setting in ("alter system reset fsync", "select pg_reload_conf()"):
            server.psql(setting)
    assert not wrong_at_the_end, "\n".join(wrong_at_the_end)


def prepare(world):
    world.mentors(5)
    world.start_engine()
    world.start_producer()
    world.start_workers(1, WORKER_ENGINES=",".join(ENGINES))
    for setting in ("alter system set fsync = on", "select pg_reload_conf()"):
        world.db.rows(setting)
    world.db.rows("""
        create schema cron; create table cron.job();
        create schema if not exists reveille_cron authorization reveille_owner;
        create table reveille_cron.test_drift(what text);
        grant select on reveille_cron.test_drift to reveille_owner;
        create or replace function reveille_cron.drift() returns setof text
            language sql as 'select what from reveille_cron.test_drift';
        grant execute on function reveille_cron.drift() to reveille_owner""")
    done = world.cli("run", JOB, "--wait", "--json")
    assert done.code == 0, done.err
    until(lambda: world.db.value("show fsync") == "on", 20, "fsync is on")


def surroundings(stack, role=OPERATOR):
    """What the doctor looks at. Not through a pooler: its links keep a setting that was changed."""
    return {"KAFKA_BOOTSTRAP_SERVERS": stack.kafka, "KAFKA_TOPIC_PREFIX": stack.prefix,
            "DATABASE_URL": stack.cluster.postgres.url(role, stack.db.name)}


def doctor(stack, role=OPERATOR, **environment):
    """(exit code, {check: line}) of one look."""
    done = stack.cli("doctor", "--json", **{**surroundings(stack, role), **environment})
    lines = {line["name"]: line for line in done.json["checks"]}
    assert len(lines) == len(done.json["checks"]), "no name twice"
    assert all(set(line) == {"name", "ok", "found", "mend"} for line in lines.values())
    return done.code, lines


def wrong(lines):
    return sorted(name for name, line in lines.items() if line["ok"] is False)


def test_a_stack_that_is_well_is_found_to_be(stack):
    code, lines = doctor(stack)
    assert (code, wrong(lines)) == (0, []), {name: lines[name] for name in wrong(lines)}
    assert all(line["found"] for line in lines.values())
    text = stack.cli("doctor", **surroundings(stack))
    assert text.code == 0 and "NOT OK" not in text.out and "broker" in text.out


# Each: the check, what breaks it, what mends it, a word of what is found. As superuser.
BROKEN = [
    ("schema", "update reveille.schema_version set oldest_program = 99",
     "update reveille.schema_version set oldest_program = 1", "version 1"),
    ("migrations", "update supabase_migrations.schema_migrations set version = 'x' "
     "where version = '20261121060600'",
     "update supabase_migrations.schema_migrations set version = '20261121060600' "
     "where version = 'x'", "20261121060600"),
    ("clock", "create function public.clock_timestamp() returns timestamptz language sql as "
     "'select pg_catalog.clock_timestamp() + interval ''1 h'''; "
     "alter role reveille_operator in database {name} set search_path = public, pg_catalog",
     "drop function public.clock_timestamp(); "
     "alter role reveille_operator in database {name} reset search_path", "3600"),
    ("server", "alter database {name} set default_transaction_read_only = on",
     "set default_transaction_read_only = off; alter database {name} reset "
     "default_transaction_read_only", "read_only"),
    ("durability", "alter database {name} set synchronous_commit = off",
     "alter database {name} reset synchronous_commit", "synchronous_commit"),
    ("roles", "revoke execute on function reveille.mark_sent from reveille_app",
     "grant execute on function reveille.mark_sent to reveille_app",
     "reveille_app may not call mark_sent"),
    ("roles", "alter role reveille_reader bypassrls", "alter role reveille_reader nobypassrls",
     "reveille_reader has powers"),
    ("time-outs", "alter role reveille_worker set statement_timeout = 0",
     "alter role reveille_worker set statement_timeout = '12s'",
     "statement_timeout of reveille_worker"),
    ("host tables", "alter table public.activities rename to activities_gone; "
     "alter table public.assignments rename column status to gone",
     "alter table public.activities_gone rename to activities; "
     "alter table public.assignments rename column gone to status", "scenario_scheduler: column"),
    ("host indexes", "drop index public.reveille_mentors_active",
     "create index reveille_mentors_active on public.peer_mentors(id) where status = 'active'",
     "reveille_mentors_active"),
    ("contact triggers", "alter table public.activities enable trigger activities_touch",
     "alter table public.activities enable always trigger activities_touch", "activities_touch"),
    ("cron rows", "insert into reveille_cron.test_drift values ('daily at another time')",
     "delete from reveille_cron.test_drift", "daily at another time"),
    ("cron log", "insert into reveille.cron_execution_log(job_name, status, http_status) "
     "values ('nightly', 'failed', 503)", "delete from reveille.cron_execution_log", "HTTP 503"),
    ("jobs", "select reveille.pause_job('drill', 'a test')",
     "select reveille.pause_job('drill', null)", "a test"),
    ("jobs", "update reveille.job set enabled_on = 'elsewhere' where job_name = 'drill'",
     "update reveille.job set enabled_on = reveille.here() where job_name = 'drill'", "a copy"),
    ("scenarios", "update reveille.job set scenario_types = '{{nothing}}' where job_name = 'drill'",
     "update reveille.job set scenario_types = '{{inactivity}}' where job_name = 'drill'", "drill"),
    ("firings", "update reveille.job set enabled_since = '-infinity', catchup_window = '1 s' "
     "where job_name = 'drill'",
     "select reveille.pause_job('drill', null); update reveille.job set catchup_window = '12 h' "
     "where job_name = 'drill'", "nobody rang"),
    ("requests", "insert into reveille.job(job_name, schedule, engine, source, lookup, "
     "scenario_types, paused_at) select 'stuck', schedule, engine, source, lookup, scenario_types, "
     "now() from reveille.job where job_name = 'drill'; "
     "update reveille.job set paused_at = null, enabled_on = 'x' where job_name = 'stuck'; "
     "insert into reveille.trigger_request(job_name, source, requested_at) "
     "values ('stuck', 'manual', now() - interval '1 h')",
     "delete from reveille.trigger_request where job_name = 'stuck'; "
     "delete from reveille.job where job_name = 'stuck'", "1 waiting"),
    ("runs", "insert into reveille.run(run_id, job_name, state, evaluation_date, dispatch_date, "
     "scenarios, triggered_by, page_size, deadline_at, started_at) values "
     "('feed0000-0000-4000-8000-000000000000', 'drill', 'running', current_date, current_date, "
     "'{{}}', 'manual', 1, now() + interval '9 h', now() - interval '1 h'); "
     "insert into reveille.run_lease(run_id, holder, lease_until) values "
     "('feed0000-0000-4000-8000-000000000000', 'a test', now() + interval '1 h')",
     "delete from reveille.run where run_id = 'feed0000-0000-4000-8000-000000000000'",
     "feed0000 of drill"),
    ("workers", "update reveille.job set engine = 'drum' where job_name = 'drill'",
     "update reveille.job set engine = 'noop' where job_name = 'drill'", "none for engine drum"),
    ("engines", "update reveille.engine set closed_since = now(), paused_until = now() + "
     "interval '1 h' where engine = 'drum'",
     "update reveille.engine set closed_since = null, paused_until = null "
     "where engine = 'drum'", "drum is closed"),
    ("shares", "insert into reveille.engine_share values ('drum', 'a test', 99, "
     "now() + interval '1 h')", "delete from reveille.engine_share where worker = 'a test'",
     "99 of 4"),
    ("outbox", "insert into reveille.outbox(cooldown_window_start, user_id, scenario_type, "
     "about_id) values (current_date - 9, gen_random_uuid(), 'test', gen_random_uuid())",
     "delete from reveille.outbox where scenario_type = 'test'", "1 rows wait"),
    ("secrets", "insert into reveille.secret_use values ('next', now() + interval '2 d')",
     "delete from reveille.secret_use where slot = 'next'", "SCHEDULER_SECRET_NEXT"),
    ("retention", "insert into reveille.run(job_name, state, evaluation_date, dispatch_date, "
     "scenarios, triggered_by, page_size, deadline_at, started_at, finished_at) select 'drill', "
     "'failed', d, d, '{{}}', 'manual', 1, d, d, d from (select current_date - 500) x(d)",
     "delete from reveille.run where finished_at < now() - interval '1 y'", "the oldest run"),
]


@pytest.mark.parametrize("check, breaks, mends, found", BROKEN,
                         ids=[f"{row[0]}-{number}" for number, row in enumerate(BROKEN)])
def test_r_t3_what_is_broken_is_found_and_what_is_mended_is_well(stack, check, breaks, mends, found):
    name = stack.db.name
    stack.db.rows(DRUM)
    try:
        stack.db.rows(breaks.format(name=name))
        code, lines = doctor(stack)
    finally:
        stack.db.rows(mends.format(name=name))
        stack.db.rows(NO_DRUM)
    assert lines[check]["ok"] is False and found in lines[check]["found"], lines[check]
    assert lines[check]["mend"]
    assert code == 1
    _, lines = doctor(stack)
    assert wrong(lines) == []


# The flow template has no engine that nobody works for.
DRUM = """
insert into reveille.engine(engine, concurrency, current, topic_partitions)
    values ('drum', 4, 4, 0 + 1) on conflict do nothing;
insert into reveille.engine_share(engine, worker, granted, until)
    values ('drum', '', 1, '-infinity') on conflict do nothing"""
NO_DRUM = """
delete from reveille.engine_share where engine = 'drum';
delete from reveille.engine where engine = 'drum'"""


def test_a_topic_that_is_missing_is_named_and_not_made(world):
    world.start_producer()
    _, lines = doctor(world)
    assert lines["broker"]["ok"] and lines["topics"]["ok"], lines
    for _ in range(2):
        code, lines = doctor(world, KAFKA_TOPIC_PREFIX="nobody.here", KAFKA_GROUP_ID="some.group")
        assert code == 1 and lines["topics"]["ok"] is False and lines["topics"]["mend"]
        assert "nobody.here.http has 0 of 4" in lines["topics"]["found"]


def test_messages_that_nobody_works_on_are_found(world, kcat_send):
    world.start_producer()
    kcat_send(world, "http", 0, [b"nothing that can be read"])
    code, lines = doctor(world)
    assert code == 1 and lines["group"]["ok"] is lines["workers"]["ok"] is False
    assert f"1 wait in {world.prefix}.http" in lines["group"]["found"] and lines["group"]["mend"]
    world.start_engine()
    world.start_workers(1, WORKER_ENGINES=",".join(ENGINES))
    until(lambda: doctor(world)[1]["group"]["found"].startswith("0 "), 60, "a worker has passed it")
    assert doctor(world)[1]["group"]["ok"]


@pytest.mark.parametrize("code, check, environment", [
    (4, "broker", {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}),
    (4, "database", {"DATABASE_URL": "postgresql://nobody:sesame@127.0.0.1:1/x"}),
    (2, "database", {"DATABASE_URL": None}),
    (1, "environment", {"SCHEDULER_SECRET": "short"}),
    (1, "environment", {"WORKER_ENGINES_FILE": "/nowhere"})])
def test_what_only_this_end_sees(stack, code, check, environment):
    ended, lines = doctor(stack, **environment)
    assert ended == code and wrong(lines) == [check] and lines[check]["mend"]
    assert "sesame" not in str(lines)


def test_without_kafkas_address_it_says_that_it_has_not_looked(stack):
    code, lines = doctor(stack, KAFKA_BOOTSTRAP_SERVERS=None)
    assert code == 0 and lines["broker"]["ok"] is None and "topics" not in lines


def test_a_database_without_reveille_gets_one_line_and_the_mend(stack):
    url = stack.cluster.postgres.url("postgres", "postgres")
    code, lines = doctor(stack, DATABASE_URL=url)
    assert code == 1 and wrong(lines) == ["schema"]
    assert "reveille migrate" in lines["schema"]["mend"]


@pytest.mark.parametrize("role", ["reveille_reader", "reveille_producer", "reveille_worker"])
def test_any_role_of_the_programs_may_ask(stack, role):
    code, lines = doctor(stack, role=role)
    assert (code, wrong(lines)) == (0, [])
