"""The real pg_cron, firing by its own clock: what it has registered, a run that a firing opened, the
answer to its POST, and where the secret is not. pg_net and Vault are stand-ins; `deliver` plays
pg_net's worker. Minutes long: pg_cron knows no shorter schedule than a minute."""

import http.client
import os
import secrets
import subprocess
from urllib.parse import urlsplit

import psycopg2
import pytest

from checker import assert_exact
from parts import MIGRATIONS, POOLED, PROGRAMS, ROOT, Cluster, NAME, TEMPLATE
from stack.database import ADMIN, OPERATOR, Database
from stack.postgres import Postgres
from world import JOB, World, until

pytestmark = [pytest.mark.long,
              pytest.mark.skipif(POOLED, reason="pg_cron is in the server: no link of its is pooled")]

ROWS = [("daily-reminder-eval", "0 6 * * *"), ("nightly-scheduler", "0 2 * * *"),
        ("scenario-scheduler-daily", "0 6 * * *")]
FIRING_SECONDS = 70    # of a schedule of a minute
STAND_IN = ROOT / "tests" / "sql" / "net_vault_stand_in.sql"


class CronCluster(Cluster):
    """A cluster of its own with pg_cron, which serves one database: every world's."""

    def __init__(self, folder):
        super().__init__(folder)
        self.postgres = Postgres(self.layout, settings={"max_connections": "100", "fsync": "off"})

    def start(self):
        self.postgres.create(NAME)
        self.postgres.start()
        database = Database(self.postgres)
        database.create(secrets.token_hex(32), PROGRAMS / "reveille")
        database.sql(TEMPLATE, role="postgres")

    def new(self):
        return NAME

    def drop(self, name):
        """The cluster goes, and its database with it."""


@pytest.fixture(scope="module", name="cron")
def fixture_cron(folder):
    cluster = CronCluster(folder / "pg-cron")
    if not cluster.postgres.has_pg_cron():
        pytest.fail("pg_cron is not installed: run deploy/install-dependencies")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module", name="stack")
def fixture_stack(cron, embedded, folder):
    """Producer, worker, 20 mentors; pg_net and Vault, whose address is the producer's."""
    world = World(folder / "world-cron", cron, embedded)
    cron.postgres.psql(STAND_IN.read_text(encoding="utf-8"), database=NAME)
    cron.postgres.psql(f"""
        grant usage on schema vault to {ADMIN} with grant option;
        grant select on vault.decrypted_secrets to {ADMIN} with grant option;
        grant execute on all functions in schema vault to {ADMIN} with grant option""", database=NAME)
    assert reveille(cron, "migrate", "--dir", MIGRATIONS).returncode == 0, "for what came since"
    try:
        world.mentors(20)
        world.start_engine()
        world.start_producer(PAGE_SIZE="5")
        world.start_workers(1)
        yield world
    finally:
        wrong = world.close()
    assert not wrong, "\n".join(wrong)


def rows(cron):
    """pg_cron's rows: [(name, schedule)]."""
    said = cron.postgres.psql("select jobname, schedule from cron.job order by 1", database=NAME)
    return [tuple(line.split("|")) for line in said.splitlines()]


def reveille(cron, *words, role=ADMIN, **environment):
    """The CLI without a world, on this cluster."""
    return subprocess.run([PROGRAMS / "reveille", *words], text=True, capture_output=True, check=False,
                          env={"PATH": os.defpath, "DATABASE_URL": cron.url(role, NAME),
                               "LSAN_OPTIONS": os.environ.get("LSAN_OPTIONS", ""), **environment})


def firings(world, stage=None):
    """The firings of the job, the oldest first; of a stage."""
    return [f for f in world.db.rows("select * from reveille.firing where job_name = %s "
                                     "order by firing", JOB) if stage in (None, f.stage)]


def deliver(world, status=None):
    """What pg_net's worker does with the oldest request: posts it, or, with a status, pretends that
    this was answered. Returns the status; None when nothing waits."""
    taken = world.db.rows("delete from net.http_request_queue where id = (select min(id) from "
                          "net.http_request_queue) returning *")
    if not taken:
        return None
    request = taken[0]
    if status is None:
        url = urlsplit(request.url)
        link = http.client.HTTPConnection(url.netloc, timeout=request.timeout_milliseconds / 1000)
        link.request("POST", url.path, bytes(request.body), request.headers)
        status = link.getresponse().status
        link.close()
    world.db.rows("insert into net._http_response(id, status_code, timed_out) values (%s, %s, false)",
                  request.id, status)
    return status


# ---- what is registered

def test_r_t1_three_rows_of_one_owner_with_names_and_schedules(cron):
    assert rows(cron) == ROWS
    owners = cron.postgres.psql("select distinct username, database, active from cron.job",
                                database=NAME)
    assert owners == f"cron_runner|{NAME}|t"


def test_r_t2_applied_again_by_either_tool_and_restarted_there_is_one_row_a_name(cron):
    assert reveille(cron, "migrate", "--dir", MIGRATIONS).returncode == 0
    for path in sorted(MIGRATIONS.glob("*_cron*.sql")) * 2:
        cron.postgres.psql(path.read_text(encoding="utf-8"), ADMIN, NAME, single=True)
    assert rows(cron) == ROWS
    cron.postgres.restart("immediate")
    assert rows(cron) == ROWS
    assert reveille(cron, "migrate", "--dir", MIGRATIONS).stderr == ""


def test_r_t6_cron_runner_cannot_touch_the_rows_that_it_owns(cron):
    for statement in ("select cron.schedule('mine', '* * * * *', 'select 1')", "table cron.job",
                      "select cron.unschedule('nightly-scheduler')",
                      "select reveille_cron.register('nightly-scheduler')",
                      "select reveille_cron.cron_rows()", "table reveille.job"):
        with psycopg2.connect(cron.url("cron_runner", NAME)) as link, link.cursor() as cursor:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
        link.close()


def test_r_t3_a_schedule_is_set_by_one_command_and_drift_is_found(cron):
    done = reveille(cron, "jobs", "set", "nightly-scheduler", "schedule=30 1 * * *")
    assert done.returncode == 0, done.stderr
    assert dict(rows(cron))["nightly-scheduler"] == "30 1 * * *"
    assert reveille(cron, "jobs", "set", "nightly-scheduler", "schedule=0 2 * * *",
                    role=OPERATOR).returncode == 0, "the local stack's operator may do everything"
    assert rows(cron) == ROWS
    drift = "select * from reveille_cron.drift()"
    assert cron.postgres.psql(drift, "reveille_reader", NAME) == ""
    cron.postgres.psql("update cron.job set active = false where jobname = 'nightly-scheduler'; "
                       "update reveille.job set schedule = '0 7 * * *' where job_name = "
                       "'reminder_eval'", database=NAME)
    assert cron.postgres.psql(drift, "reveille_reader", NAME).splitlines() == [
        "daily-reminder-eval fires at 0 6 * * *, but reminder_eval is due at 0 7 * * *",
        "nightly-scheduler is switched off in pg_cron"]
    cron.postgres.psql("update cron.job set active = true; update reveille.job set schedule = "
                       "'0 6 * * *' where job_name = 'reminder_eval'", database=NAME)


def test_r_t3_who_may_set_but_not_register_changes_nothing_and_is_told_the_statement(cron):
    cron.postgres.psql("create role halfway login in role reveille_owner")
    done = reveille(cron, "jobs", "set", "reminder_eval", "schedule=0 8 * * *", role="halfway")
    assert done.returncode == 2
    statement = ("select * from reveille_cron.set_job('reminder_eval', '{\"schedule\":\"0 8 * * *\"}');")
    assert statement in done.stderr
    assert rows(cron) == ROWS and cron.postgres.psql(
        "select schedule from reveille.job where job_name = 'reminder_eval'",
        database=NAME) == "0 6 * * *"
    assert reveille(cron, "jobs", "set", "reminder_eval", "page_size=50",
                    role="halfway").returncode == 0, "what pg_cron need not know"
    cron.postgres.psql(statement, ADMIN, NAME)
    assert dict(rows(cron))["daily-reminder-eval"] == "0 8 * * *"
    assert reveille(cron, "jobs", "set", "reminder_eval", "schedule=0 6 * * *").returncode == 0


def test_a_pg_cron_that_was_dropped_and_made_again_is_registered_with(cron):
    cron.postgres.psql("drop extension pg_cron cascade", database=NAME)
    assert reveille(cron, "migrate", "--dir", MIGRATIONS).returncode == 0, "all else goes on"
    cron.postgres.psql("create extension pg_cron", database=NAME)
    refused = reveille(cron, "migrate", "--dir", MIGRATIONS)
    assert refused.returncode == 0 and "grant usage on schema cron" in refused.stderr
    cron.postgres.psql(f"grant usage on schema cron to {ADMIN} with grant option", database=NAME)
    assert reveille(cron, "migrate", "--dir", MIGRATIONS).stderr == ""
    assert rows(cron) == ROWS


# ---- firing for real

def test_r_t7_a_firing_every_minute_opens_runs_whatever_its_post_was_answered(stack):
    secret = stack.secret("scheduler")
    address = f"http://127.0.0.1:{stack.producer_port}/scenario-scheduler"
    for name, value in (("SCHEDULER_URL", address), ("SCHEDULER_SECRET", secret)):
        stack.db.rows("select vault.create_secret(%s, %s)", value, name)
    done = stack.cli("jobs", "set", JOB, "schedule=* * * * *", role=ADMIN)
    assert done.code == 0, done.err

    first = until(lambda: firings(stack), FIRING_SECONDS, "pg_cron has fired")[0]
    assert (first.doorbell, first.http_status) == ("triggered", None)
    assert deliver(stack, status=503) == 503
    run = until(lambda: firings(stack)[0].run_id, 20, "NOTIFY has opened a run")
    assert stack.ended(str(run))["triggered_by"] == "pg_cron"
    assert_exact(stack, str(run))
    assert stack.summary(str(run))["status"] == "completed"

    second = until(lambda: firings(stack)[1:], FIRING_SECONDS, "the next firing is not stopped")[0]
    assert second.slot > first.slot
    first = firings(stack)[0]
    assert (first.doorbell, first.http_status, first.stage) == ("failed", 503, "closed")
    assert deliver(stack) == 202, "the producer takes what is posted"
    until(lambda: firings(stack)[1].doorbell == "succeeded", FIRING_SECONDS, "its answer is noted")
    until(lambda: firings(stack)[1].stage == "closed", 60, "and its run has ended, too")
    done = stack.cli("status", str(run))
    assert done.code == 0 and "503" in done.out, "status shows the chain"


def test_r_t4_crons_own_part_is_short_and_crons_own_log_says_that_it_ran(stack):
    details = until(lambda: stack.db.rows(
        "select * from cron.job_run_details where command like %s and end_time is not null",
        "%scenario-scheduler-daily%"), FIRING_SECONDS, "a firing's own part has ended")
    assert {(d.status, d.username) for d in details} == {("succeeded", "cron_runner")}
    assert all((d.end_time - d.start_time).total_seconds() < 5 for d in details)


def test_r_t8_a_paused_jobs_firing_is_refused_and_logged(stack):
    assert stack.cli("jobs", "pause", JOB, "reason=a test").code == 0
    until(lambda: firings(stack, "refused"), FIRING_SECONDS + 10, "a firing was refused")
    assert firings(stack, "refused")[-1].error_message == "the job is paused"
    assert not stack.db.rows("select from reveille.trigger_request where job_name = %s and "
                             "state = 'pending'", JOB)
    assert stack.cli("jobs", "set", JOB, "schedule=0 6 * * *", role=ADMIN).code == 0
    assert stack.cli("jobs", "resume", JOB).code == 0


def test_r_t5_the_secret_is_nowhere_but_in_vault_and_in_pg_nets_queue(stack):
    secret = stack.secret("scheduler")
    said = stack.db.rows("select command || coalesce(return_message, '') as x from "
                         "cron.job_run_details union all select command from cron.job")
    tables = stack.db.rows("select schemaname || chr(46) || tablename as name from pg_tables "
                           "where schemaname in ('reveille', 'reveille_cron')")
    assert said and len(tables) > 10
    for table in tables:
        said += stack.db.rows(f"select to_jsonb(t)::text as x from {table.name} t")
    assert not [row.x for row in said if secret in row.x]
    log = stack.cluster.postgres.daemon.log.read_text(encoding="utf-8", errors="replace")
    assert "scenario-scheduler-daily" in log and secret not in log
    dumped = subprocess.run(["pg_dump", "--schema=reveille*", "--schema=cron", "-d",
                             stack.db.url("postgres")], capture_output=True, text=True, check=True)
    assert "reveille_cron.ring" in dumped.stdout and secret not in dumped.stdout
