"""`reveille jobs` and what `reveille migrate` seeds, where there is no pg_cron: what they say, what
they change, and with which code they end. With pg_cron: test_cron.py."""

import json

import pytest

from conftest import new_number
from parts import MIGRATIONS
from stack.database import ADMIN, PRODUCER
from world import JOB, World

READER = "reveille_reader"
REMINDER = "reminder_eval"


@pytest.fixture(name="live")
def fixture_live(cluster, embedded, folder, request):
    """A database, and nothing that runs on it."""
    world = World(folder / f"world-jobs-{new_number(request)}", cluster, embedded)
    try:
        yield world
    finally:
        wrong = world.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module", name="unchanged")
def fixture_unchanged(cluster, embedded, folder, request):
    """One for all tests that change nothing."""
    world = World(folder / f"world-jobs-{new_number(request)}", cluster, embedded)
    yield world
    wrong = world.close()
    assert not wrong, "\n".join(wrong)


def job(world, name=REMINDER):
    return world.db.row("select * from reveille.job where job_name = %s", name)


def audit(world):
    return [(row.action, row.object, row.detail) for row in world.db.rows(
        "select action, object, detail from reveille.audit where action in "
        "('pause', 'resume', 'set_job') order by id desc limit 1")]


def test_r_t3_the_registry_is_listed_and_one_job_shown(live):
    listed = {one["job"]: one for one in live.cli("jobs", "--json", role=READER).json}
    assert {JOB, REMINDER, "certification_expiry_check", "hlf_dynamics_sync"} <= set(listed)
    assert listed[REMINDER]["schedule_utc"] == "0 6 * * *"
    assert (listed[REMINDER]["cron_row"], listed[REMINDER]["state"]) == ("daily-reminder-eval", "on")
    assert [one["job"] for one in live.cli("jobs", "list", JOB, "--json").json] == [JOB]
    shown = live.cli("jobs", "show", REMINDER, "--json", role=READER)
    assert shown.code == 0 and shown.json["job_name"] == REMINDER
    assert shown.json["engine"] == "sql" and shown.json["last_fired_at"] is None
    text = live.cli("jobs", "show", REMINDER)
    assert text.code == 0 and "daily-reminder-eval" in text.out
    assert live.cli("jobs").out.splitlines()[0].split()[:2] == ["job", "schedule_utc"]


def test_r_t8_a_job_is_paused_and_resumed_and_the_audit_says_so(live):
    done = live.cli("jobs", "pause", REMINDER, "reason=a holiday", "--json")
    assert (done.code, done.json[0]["state"]) == (0, "paused")
    assert job(live).paused_reason == "a holiday"
    assert audit(live) == [("pause", REMINDER, {"reason": "a holiday"})]
    assert live.cli("run", REMINDER).code == 1
    live.db.rows("select reveille_cron.ring('daily-reminder-eval')")
    shown = live.cli("jobs", "show", REMINDER, "--json").json
    assert (shown["last_stage"], shown["last_error"]) == ("refused", "the job is paused")
    assert live.cli("jobs", "resume", REMINDER, "--json").json[0]["state"] == "on"
    assert job(live).paused_at is None
    assert audit(live)[0][:2] == ("resume", REMINDER)
    assert live.cli("jobs", "pause", REMINDER).code == 0 and job(live).paused_reason == "by hand"


def test_r_t3_what_is_set_is_in_the_row_and_in_the_audit(live):
    done = live.cli("jobs", "set", REMINDER, "schedule=30 5 * * *", "page_size=7", "deadline=3 h",
                    "--json", role=ADMIN)
    assert (done.code, done.json[0]["schedule_utc"]) == (0, "30 5 * * *")
    assert (job(live).schedule, job(live).page_size) == ("30 5 * * *", 7)
    assert audit(live) == [("set_job", REMINDER, {"schedule": "30 5 * * *", "page_size": "7",
                                                  "deadline": "3 h"})]
    assert live.cli("jobs", "set", REMINDER, "page_size=", role=ADMIN).code == 0
    assert job(live).page_size is None
    all_of_a_row = live.cli("jobs", "set", "nightly-scheduler", "schedule=0 3 * * *", "--json")
    assert all_of_a_row.code == 0, all_of_a_row.err
    assert {row.schedule for row in live.db.rows(
        "select schedule from reveille.job where cron_name = 'nightly-scheduler'")} == {"0 3 * * *"}


@pytest.mark.parametrize("code, words", [
    (2, ["set", REMINDER, "schedule=0 25 * * *"]), (2, ["set", REMINDER, "schedule=often"]),
    (2, ["set", REMINDER, "schedule="]), (2, ["set", REMINDER, "engine=steam"]),
    (2, ["set", REMINDER, "page_size=0"]), (2, ["set", REMINDER, "time_zone=Moon"]),
    (2, ["set", REMINDER, "judge=x"]), (2, ["set", REMINDER, "schedule"]),
    (2, ["set", REMINDER, "=x"]), (2, ["set", REMINDER]), (2, ["set"]), (2, ["pause"]),
    (2, ["pause", REMINDER, "because"]), (2, ["show"]), (2, ["remove", REMINDER]),
    (2, ["set", "certification_expiry_check", "schedule=0 4 * * *"]),
    (3, ["set", "no_such_job", "schedule=0 4 * * *"]), (3, ["show", "no_such_job"]),
    (3, ["pause", "no_such_job"]), (3, ["resume", "no_such_job"]), (3, ["list", "no_such_job"])])
def test_exit_codes_and_nothing_is_changed(unchanged, code, words):
    before = unchanged.db.rows("select * from reveille.job order by 1")
    done = unchanged.cli("jobs", *words, role=ADMIN)
    assert done.code == code, done.out + done.err
    assert done.err and not done.out, "it says why"
    assert unchanged.db.rows("select * from reveille.job order by 1") == before


def test_r_t6_another_role_sets_nothing_and_is_told_the_statement(live):
    for role in (PRODUCER, READER):
        done = live.cli("jobs", "set", REMINDER, "schedule=0 4 * * *", role=role)
        assert done.code == 2
        assert """reveille_cron.set_job('reminder_eval', '{"schedule":"0 4 * * *"}')""" in done.err
    assert live.cli("jobs", "pause", REMINDER, role=READER).code == 2
    assert (job(live).schedule, job(live).paused_at) == ("0 6 * * *", None)


# ---- the seed

def migrate(world, **environment):
    return world.cli("migrate", "--dir", MIGRATIONS, "--json", role=ADMIN, **environment)


def test_r_t3_the_environment_seeds_the_reminders_schedule_once(live):
    live.db.rows("truncate reveille_cron.seeded")
    wrong = migrate(live, REMINDER_CRON_EXPRESSION="often")
    assert wrong.code == 2 and "REMINDER_CRON_EXPRESSION" in wrong.err
    assert job(live).schedule == "0 6 * * *"
    done = migrate(live, REMINDER_CRON_EXPRESSION="15 5 * * *")
    assert (done.code, done.err) == (0, "") and json.loads(done.out) == {"applied": []}
    assert job(live).schedule == "15 5 * * *"
    assert live.cli("jobs", "set", REMINDER, "schedule=45 5 * * *", role=ADMIN).code == 0
    again = migrate(live, REMINDER_CRON_EXPRESSION="15 5 * * *")
    assert again.code == 0 and "45 5 * * * stays in force" in again.err
    assert job(live).schedule == "45 5 * * *"


def test_r_t3_the_environment_seeds_the_reminders_url_in_vault_once(live):
    url = "http://127.0.0.1:8790/daily-reminder-eval"
    live.db.rows("truncate reveille_cron.seeded")
    assert "no Vault here" in migrate(live, REMINDER_FUNCTION_URL=url).err
    live.db.rows((MIGRATIONS.parent / "tests" / "sql" / "net_vault_stand_in.sql").read_text())
    live.db.rows(f"grant usage on schema vault, net to {ADMIN} with grant option; grant all on all "
                 f"tables in schema vault to {ADMIN} with grant option; grant execute on all "
                 f"functions in schema vault to {ADMIN} with grant option")
    live.db.rows("truncate reveille_cron.seeded")
    for _twice in range(2):
        done = migrate(live, REMINDER_FUNCTION_URL=url)
        assert (done.code, done.err) == (0, "")
    stored = live.db.rows("select name, decrypted_secret from vault.decrypted_secrets")
    assert stored == [("SCHEDULER_URL_REMINDER_EVAL", url)]
    other = migrate(live, REMINDER_FUNCTION_URL="http://127.0.0.1:1/other")
    assert other.code == 0 and "only seeds" in other.err and "127.0.0.1" not in other.err
    assert live.db.rows("select name, decrypted_secret from vault.decrypted_secrets") == stored
    assert migrate(live, REMINDER_FUNCTION_URL="ftp://x").code == 2
