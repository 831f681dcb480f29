"""Whether a run is exact: recounted from its rows and from the scripted engine's own log, never
from the totals, and then compared with them. Knows nothing of how the run came about.
"""

from collections import Counter


def assert_exact(world, run, state="completed", limit=None):
    """The run has ended in `state`, and every planned subject has exactly one outcome, which is
    what the engine's log says it must be. limit: calls at a time that the fleet was allowed."""
    row = world.db.row("select r.*, j.engine from reveille.run r "
                       "join reveille.job j using (job_name) where run_id = %s", run)
    assert row.state == state
    outcomes = recount(world, run)
    summary = world.summary(run)
    assert_totals(summary, outcomes, row)
    assert_notifications(world, run, summary)
    if row.engine == "http" and world.engine is not None:
        assert_engine_agrees(world, row, outcomes)
    if limit is not None:
        assert world.engine.stats()["max_in_flight"] <= limit
        assert max((call.in_flight for call in world.engine.calls()), default=0) <= limit
    verified = world.cli("verify", run, "--json")
    assert verified.code == 0, verified.out + verified.err
    assert verified.json["holds"] and verified.json["run_id"] == str(run)
    return outcomes


def recount(world, run):
    """{subject: its one outcome}, from the slices' arrays and subject_error."""
    failed = {str(e.subject_id): e.error_class for e in world.db.rows(
        "select * from reveille.subject_error where run_id = %s", run)}
    outcomes = {}
    for s in world.slices(run):
        assert s.state in ("done", "unreached"), f"slice {s.slice_no} is {s.state}"
        assert s.attempt >= 1 or s.state == "unreached", f"slice {s.slice_no}: nobody's work"
        skipped = {str(one) for one in s.skipped_ids}
        for subject in map(str, s.subject_ids):
            assert subject not in outcomes, f"{subject} was planned twice"
            outcomes[subject] = ("unreached" if s.state == "unreached"
                                 else "skipped" if subject in skipped
                                 else "error" if subject in failed else "evaluated")
        counted = Counter(outcomes[str(one)] for one in s.subject_ids)
        assert (s.evaluated, s.skipped, s.errors, s.unreached) == (
            counted["evaluated"], counted["skipped"], counted["error"], counted["unreached"])
    assert set(failed) <= set(outcomes), "an error of somebody who was not planned"
    return outcomes


def assert_totals(summary, outcomes, row):
    counted = Counter(outcomes.values())
    assert summary["total_active_mentors"] == len(outcomes) == row.planned
    assert summary["total_evaluated"] == counted["evaluated"]
    assert summary["total_skipped"] == counted["skipped"]
    assert summary["total_errors"] == counted["error"]
    assert summary["remaining_unprocessed_count"] == counted["unreached"]
    assert summary["completed"] == (counted["unreached"] == 0)
    assert summary["partial"] == (counted["unreached"] > 0)


def assert_notifications(world, run, summary):
    rows = world.db.rows("select * from reveille.notification where run_id = %s", run)
    assert summary["total_dispatched"] == len(rows)
    by_scenario = summary["by_scenario"].values()
    assert sum(one["dispatched"] for one in by_scenario) == summary["total_dispatched"]
    suppressed = sum(sum(one["suppressed"].values()) for one in by_scenario)
    assert suppressed == summary["total_suppressed"]
    waiting = world.db.value("""
        select count(*) from reveille.outbox join reveille.notification n
               using (cooldown_window_start, user_id, scenario_type, about_id)
         where n.run_id = %s""", run)
    assert waiting == sum(not row.external for row in rows), "the outbox has each of them once"
    twice = world.db.rows("""
        select user_id from (
            select *, lag(cooldown_window_start) over (partition by user_id, scenario_type, about_id
                                                       order by cooldown_window_start) before
              from reveille.notification) x
         where cooldown_window_start - before < cooldown_days""")
    assert not twice, "two notifications closer than the cooldown"


def assert_engine_agrees(world, row, outcomes):
    """The engine was asked about those that were planned and eligible and nobody else; whoever is
    evaluated got a good answer; and it wanted to tell as many as were dispatched or suppressed."""
    begin = f"{row.job_name}/{row.evaluation_date}/"
    calls = [call for call in world.engine.calls() if call.key.startswith(begin)]
    asked = {call.mentor for call in calls}
    good = {call.mentor for call in calls if call.status == 200}
    evaluated = {subject for subject, outcome in outcomes.items() if outcome == "evaluated"}
    assert asked <= everybody_planned(world, row), "the engine was asked about somebody else"
    assert evaluated <= good, "evaluated without an answer"
    keys = {}
    for call in calls:
        assert call.key.split("/")[3] == call.mentor
        keys.setdefault((call.types, call.mentor), set()).add(call.key)
    assert all(len(one) == 1 for one in keys.values()), "one key a mentor, at each call"


def everybody_planned(world, row):
    """Those planned by any run of this job for this day: their calls bear the same keys."""
    return {str(one.id) for one in world.db.rows("""
        select distinct unnest(s.subject_ids) id from reveille.slice s
          join reveille.run r using (run_id)
         where r.job_name = %s and r.evaluation_date = %s""", row.job_name, row.evaluation_date)}
