"""An engine that is sick costs time and no mentor: the lent limit follows its health, one probe at a
time asks whether it is back, and what happened meanwhile is charged to nobody. Three workers, on
Kafka (whose members must not notice); each test restarts the engine with the ailment it is about,
and judges a date of its own.

Not here: that the limit holds when workers come, go and die (test_limit.py)."""

import datetime

import pytest

from checker import assert_exact
from parts import POOLED
from stack.net import http_request
from test_faults import under_way
from test_run import script
from test_sql_engine import JOB as SWEEP, sweep
from world import until, World

MENTORS = 300
WORKERS = ("worker-1", "worker-2", "worker-3")
LIMIT = 10         # reveille.engine's concurrency of a new database
TIMEOUT_MS = 1500  # of a call


pytestmark = pytest.mark.skipif(POOLED, reason="the pooler's runs need no Kafka")


@pytest.fixture(scope="module")
def fleet(kafka, cluster, folder):
    world = World(folder / "sick", cluster, kafka)
    try:
        world.roster = sorted(world.mentors(MENTORS))
        sweep(world, page=100)
        world.start_engine()
        world.start_producer(PAGE_SIZE="10")
        world.start_workers(len(WORKERS), TRIGGER_ENGINE_TIMEOUT_MS=str(TIMEOUT_MS))
        yield world
    finally:
        wrong = world.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def sick(fleet):
    """The fleet, nothing open, the engine's limit as on its first day."""
    yield fleet
    for run in fleet.open_runs():
        fleet.cli("cancel", run)
    fleet.engine.stop()
    fleet.db.rows("update reveille.engine set current = concurrency, closed_since = null, "
                  "paused_until = null, recent = '' where engine = 'http'")


def restart(world, latency, *arguments):
    world.engine.stop()
    world.start_engine(latency=latency, arguments=arguments)


def health(world):
    return world.db.row("select *, clock_timestamp() as now from reveille.engine "
                        "where engine = 'http'")


def calls_of(world, run):
    day = world.summary(run)["evaluation_date"]
    return sorted((call for call in world.engine.calls() if call.day == day),
                  key=lambda call: call.at_us)


def at(call):
    """When it arrived, on the clock that the database has, too."""
    return datetime.datetime.fromtimestamp(call.at_us / 1e6, datetime.timezone.utc)


def seconds(of):
    return datetime.timedelta(seconds=of)


def assert_nobody_was_charged(world, run):
    """All evaluated, no slice begun twice, no error anywhere."""
    summary = world.ended(run)
    assert (summary["status"], summary["total_evaluated"]) == ("completed", MENTORS)
    assert (summary["total_errors"], summary["remaining_unprocessed_count"]) == (0, 0)
    assert {s.attempt for s in world.slices(run)} == {1}
    assert_exact(world, run, limit=LIMIT)


@pytest.mark.long
def test_r_e1_the_limit_halves_on_503_at_most_once_a_second_and_climbs_by_one(sick):
    restart(sick, 200, "--limit", "6")     # in the some 12 s that this takes it climbs twice
    seen = [health(sick)]
    run = sick.ask(evaluation_date="2026-02-01")

    def watched():
        row = health(sick)
        if row.current != seen[-1].current:
            seen.append(row)
        return sick.state(run) not in ("planning", "running")
    until(watched, 90, "the run has ended")
    assert_nobody_was_charged(sick, run)
    assert any(call.status == 503 for call in calls_of(sick, run))
    moves = list(zip(seen, seen[1:]))
    down = [(old, new) for old, new in moves if new.current < old.current]
    up = [(old, new) for old, new in moves if new.current > old.current]
    assert len(down) >= 2 and len(up) >= 2, [row.current for row in seen]
    # a step up just before may not have been seen: what is halved is one more
    assert all(new.current in (old.current // 2, (old.current + 1) // 2) for old, new in down)
    assert all(late.moved_at - early.moved_at >= seconds(1)
               for (_, early), (_, late) in zip(down, down[1:]))
    assert all(new.current - old.current <= round((new.moved_at - old.moved_at).total_seconds())
               for old, new in up), "one for each second, rounded"
    assert not any(row.closed_since for row in seen)


@pytest.mark.long
def test_r_d4_an_outage_closes_the_engine_for_the_fleet_and_costs_no_mentor(sick):
    """The engine goes, is seen to be away by everybody, and comes back; meanwhile other engines'
    jobs go on."""
    restart(sick, 100)
    run = sick.ask(evaluation_date="2026-02-02")
    under_way(sick, run)
    sick.engine.control(mode="503")
    closed = until(lambda: health(sick).closed_since, 20, "the engine is closed")
    held = {s.slice_no: s.claimed_by for s in sick.slices(run)
            if s.state == "pending" and s.claimed_by}
    moved = len(sick.events("partitions_assigned") + sick.events("partitions_revoked"))
    for job in ("drill", SWEEP):
        assert sick.ended(sick.ask(job))["total_evaluated"] == MENTORS, "it goes on"
    until(lambda: health(sick).probes >= 3, 20, "it was probed three times")
    assert_visible(sick, run, closed)
    assert_probed_one_by_one(sick, run, closed)
    now = {s.slice_no: s.claimed_by for s in sick.slices(run) if s.state == "pending"}
    assert held and held.items() <= now.items(), "claims are kept"
    assert len(sick.events("partitions_assigned") + sick.events("partitions_revoked")) == moved
    assert health(sick).closed_since == closed
    sick.engine.control(mode="ok", latency=20)
    until(lambda: health(sick).closed_since is None, 60, "it is found to be back")
    assert_nobody_was_charged(sick, run)
    assert {e["engine"] for e in sick.events("engine_closed")} == {"http"}
    until(lambda: len(sick.events("engine_open")) == len(sick.events("engine_closed")), 10,
          "whoever saw it closed sees it open")


def assert_visible(world, run, closed):
    """`engines`, `why-open`, metrics; and a closed engine makes no worker unready."""
    since = f"{closed.astimezone(datetime.timezone.utc):%Y-%m-%d %H:%M:%S}"
    http = next(one for one in world.cli("engines", "--json").json if one["engine"] == "http")
    assert (http["closed"], http["closed_since_utc"]) == (True, since)
    assert (http["current"], http["concurrency"]) == (1, LIMIT)
    assert http["probes"] >= 3 and http["last_success_utc"]
    assert since in world.cli("engines").out
    why = world.cli("why-open", run, "--json").json
    assert why["engine"]["closed_since_utc"] == since
    classes = {s["slice"]: s["last_error"] for s in why["slices"]}
    assert "network_error" in classes.values(), classes
    assert f"engine http is closed since {since} UTC" in world.cli("why-open", run).out
    for name in WORKERS:
        worker = world.programs[name]
        assert world.metric(worker, 'reveille_engine_closed{engine="http"}') == 1, name
        assert world.metric(worker, 'reveille_engine_current{engine="http"}') == 1, name
        assert world.metric(worker, 'reveille_engine_closed{engine="sql"}') == 0, name
        assert http_request("GET", f"http://{worker.address()}/readyz")[0] == 200, name


def assert_probed_one_by_one(world, run, closed):
    """What the engine itself has seen: after the closing one call at a time for the whole fleet,
    each later than the one before by more, each about another mentor."""
    before = health(world).probes
    probes = [call for call in calls_of(world, run) if at(call) > closed + seconds(0.9)]
    assert before - 1 <= len(probes) <= health(world).probes
    assert {call.in_flight for call in probes} == {1}
    assert len({call.mentor for call in probes}) == len(probes)
    gaps = [at(two) - at(one) for one, two in zip(probes, probes[1:])]
    assert all(gap >= seconds(1) for gap in gaps), gaps


@pytest.mark.long
def test_r_e1_retry_after_pauses_the_engine_for_everybody(sick):
    restart(sick, 50, *script(sick, {sick.roster[150]: "429:5 dispatch"}))
    run = sick.ask(evaluation_date="2026-02-03")
    until(lambda: (row := health(sick)).paused_until and row.paused_until > row.now, 20,
          "the engine is paused")
    until(lambda: sick.engine.stats()["in_flight"] == 0, 5, "what was in flight has ended")
    listed = sick.cli("engines", "list", "http", "--json").json[0]
    assert 1 <= listed["paused_s"] <= 5 and not listed["closed"]
    assert "engine http asked for a pause" in sick.cli("why-open", run).out
    paused = health(sick).paused_until
    assert_nobody_was_charged(sick, run)
    calls = calls_of(sick, run)
    asked = next(at(call) for call in calls if call.status == 429)
    assert paused - asked >= seconds(5)
    assert not [call for call in calls if paused - seconds(3.8) < at(call) < paused], \
        "a worker hears of it within a second, at its next ask"
    assert [call.status for call in calls if call.mentor == sick.roster[150]] == [429, 200]


@pytest.mark.long
def test_r_e1_a_call_that_timed_out_is_repeated_under_its_key_and_counted_once(sick):
    """Sent and not answered: nobody knows what the engine did. The first calls are answered just
    after the time is up, and four of the last mentors only at the second or third call."""
    slow = dict.fromkeys(sick.roster[-2:], "hang dispatch") | dict.fromkeys(
        sick.roster[-4:-2], "hang hang dispatched")
    restart(sick, TIMEOUT_MS + 100, *script(sick, slow))
    run = sick.ask(evaluation_date="2026-02-04")
    until(lambda: sick.engine.stats()["in_flight"] == LIMIT, 20, "the first are being asked about")
    sick.engine.control(latency=2)
    sick.db.rows("truncate reveille.notification, reveille.cooldown, reveille.outbox")
    assert_nobody_was_charged(sick, run)
    summary = sick.summary(run)
    assert (summary["total_dispatched"], summary["total_suppressed"]) == (MENTORS, 0)
    calls = {}
    for call in calls_of(sick, run):
        calls.setdefault(call.mentor, []).append(call)
    again = {mentor: one for mentor, one in calls.items() if len(one) > 1}
    assert set(slow) <= set(again) and len(again) >= len(slow) + LIMIT
    for mentor, one in again.items():
        assert len({call.key for call in one}) == 1, "the engine can know it again"
        assert [call.status for call in one] == [0] * (len(one) - 1) + [200]
    asked = 'reveille_engine_requests_total{engine="http",result="%s"}'
    timeouts = sum(sick.metric(sick.programs[name], asked % "timeout_error") for name in WORKERS)
    assert timeouts == sum(len(one) - 1 for one in again.values())
