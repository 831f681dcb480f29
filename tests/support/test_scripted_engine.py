"""The scripted engine, from outside: what it answers, and how it behaves as a server."""

import json
import socket
import subprocess
import time
import uuid

import http.client
import pytest

from scripted_engine_probe import (PATIENCE_S, TYPES, mentor, opened, place, program, raw_call,
                                   until)


def actions_of(answer):
    return [d["action"] for d in answer.json["decisions"]]


# ---- what it answers -------------------------------------------------------------------------

def test_a_due_mentor_gets_one_dispatch_for_each_scenario_type_asked(start):
    answer = start().call(mentor(1))
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"peer_mentor_id": mentor(1), "decisions": [
        {"scenario_type": t, "action": "dispatch", "payload": {"engine": "scripted"}}
        for t in TYPES]}


def test_the_id_comes_back_in_lower_case_and_dry_run_and_unknown_members_are_let_pass(start):
    answer = start().call(mentor(1).replace("4000", "4ABC"), dry_run=True, more={"a": [1, None]})
    assert answer.json["peer_mentor_id"] == mentor(1).replace("4000", "4abc")


def test_who_is_due_is_told_by_the_hash_of_the_id_and_the_others_get_an_empty_list(start):
    engine = start("--due", "0.3")
    due = {m for m in map(mentor, range(200)) if engine.call(m).json["decisions"]}
    assert due == {m for m in map(mentor, range(200)) if place("due", m) < 0.3}
    assert 30 < len(due) < 90


def test_mentors_that_fail_do_so_in_every_call_and_in_three_kinds(start):
    engine = start("--failures", "0.5")
    seen = {"500": 0, "garbage": 0, "400": 0, "dispatch": 0}
    for m in map(mentor, range(60)):
        answers = [engine.call(m), engine.call(m)]
        expected = "dispatch"
        if place("failures", m) < 0.5:
            expected = ("500", "garbage", "400")[int(place("kind", m) * 3)]
        for answer in answers:
            assert answer.status == int(expected if expected.isdigit() else 200)
            if expected == "garbage":
                with pytest.raises(ValueError):
                    json.loads(answer.bytes)
        seen[expected] += 1
    assert all(seen.values()), seen


@pytest.mark.parametrize("body", [
    "", "[]", "{", "nonsense", '{"peer_mentor_id": "x"}',
    json.dumps({"invocation_id": mentor(1), "peer_mentor_id": mentor(2),
                "evaluation_date": "2026-11-21"}),
    json.dumps({"invocation_id": mentor(1), "peer_mentor_id": mentor(2),
                "evaluation_date": "today", "scenario_types": TYPES}),
    json.dumps({"invocation_id": mentor(1), "peer_mentor_id": mentor(2),
                "evaluation_date": "2026-11-21", "scenario_types": []}),
    json.dumps({"invocation_id": mentor(1), "peer_mentor_id": mentor(2),
                "evaluation_date": "2026-11-21", "scenario_types": ["t"] * 65}),
    json.dumps({"invocation_id": mentor(1), "peer_mentor_id": mentor(2),
                "evaluation_date": "2026-11-21", "scenario_types": TYPES}) + "x",
    '{"a": ' + "[" * 50 + "]" * 50 + "}", '{"a": "' + "\\",
])
def test_a_body_against_the_contract_is_answered_400_counted_and_logged(start, body):
    engine = start()
    answer = engine.ask("POST", "/evaluate", body)
    assert answer.status == 400 and answer.json["error"]
    assert engine.stats()["requests"] == 1
    assert [line[3] for line in engine.calls()] == ["400"]


def test_e5_calls_without_the_expected_secret_are_answered_401(start, tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    engine = start("--secret-expected", tmp_path / "secret")
    statuses = [engine.call(mentor(1), headers=h).status for h in (
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer s3cret2"},
        {"Authorization": "Bearer s3cret"})]
    assert statuses == [401, 401, 401, 200]
    assert [line[3] for line in engine.calls()] == ["401", "401", "401", "200"]
    assert engine.stop() == 0
    assert "s3cret" not in engine.log.read_text()


def test_a_script_is_used_up_call_by_call_and_its_last_action_repeats(start, script):
    engine = start(*script(f"# a comment\n\n{mentor(1)} 500 429:7 none dispatch # so\n"
                           f"{mentor(2)} suppress:opted_out\r\n"))
    answers = [engine.call(mentor(1)) for _ in range(5)]
    assert [a.status for a in answers] == [500, 429, 200, 200, 200]
    assert answers[1].headers["Retry-After"] == "7" and "Retry-After" not in answers[0].headers
    assert [actions_of(a) for a in answers[2:]] == [[], ["dispatch"] * 2, ["dispatch"] * 2]
    assert engine.call(mentor(2)).json["decisions"] == [
        {"scenario_type": t, "action": "suppress", "reason": "opted_out"} for t in TYPES]
    assert actions_of(engine.call(mentor(3))) == ["dispatch"] * 2


def test_scripted_answers_that_are_wrong_are_wrong_in_the_way_that_was_asked_for(start, script):
    about = str(uuid.uuid4())
    words = ["dispatched", "wrong-id", "huge", "two-decisions", "foreign-type", "unknown-action",
             f"dispatch:{about}", "302", "suppress"]
    engine = start(*script(f"{mentor(1)} {' '.join(words)}\n"))
    got = {word: engine.call(mentor(1)) for word in words}
    assert actions_of(got["dispatched"]) == ["dispatched"] * 2
    assert got["wrong-id"].json["peer_mentor_id"] == mentor(0)
    assert len(got["huge"].bytes) > 200 * 1024 and got["huge"].json["peer_mentor_id"] == mentor(1)
    assert [d["scenario_type"] for d in got["two-decisions"].json["decisions"]] == \
        [TYPES[0], TYPES[0], TYPES[1], TYPES[1]]
    assert {d["scenario_type"] for d in got["foreign-type"].json["decisions"]} == {"not_asked_for"}
    assert set(actions_of(got["unknown-action"])) == {"postpone"}
    assert {d["about_id"] for d in got[f"dispatch:{about}"].json["decisions"]} == {about}
    assert got["302"].status == 302 and got["302"].headers["Location"] == "/elsewhere"
    assert got["suppress"].json["decisions"][0]["reason"] == "scripted"
    assert [line[6].split(":")[0] for line in engine.lines_after_stop()] == \
        [w.split(":")[0] for w in words]


def test_reset_hang_slow_drip_and_truncated_calls_are_logged_as_unanswered(start, script):
    engine = start(*script(f"{mentor(1)} reset hang slow-drip truncated none\n"))
    with pytest.raises(ConnectionResetError):
        engine.call(mentor(1))
    with pytest.raises(TimeoutError):
        engine.call(mentor(1), timeout=0.5)
    drip_and_give_up(engine)
    with pytest.raises(http.client.IncompleteRead):
        engine.call(mentor(1))
    assert engine.call(mentor(1)).json["decisions"] == []
    engine.open_calls(0)
    assert [(line[3], line[6]) for line in engine.lines_after_stop()] == [
        ("0", "reset"), ("0", "hang"), ("0", "slow-drip"), ("0", "truncated"), ("200", "none")]


def drip_and_give_up(engine):
    with opened(engine) as s:
        s.sendall(raw_call(mentor(1)))
        got = b""
        while len(got) < 5:
            piece = s.recv(4096)
            assert len(piece) <= 2, "it does not drip"
            got += piece
        assert got.startswith(b"HTTP/")


def test_shares_of_calls_hold_side_by_side_and_carry_retry_after(start):
    engine = start("--status-429", "0.25", "--status-503", "0.25", "--garbage", "0.25",
                   "--retry-after", "3")
    answers = [engine.call(mentor(i)) for i in range(400)]
    counts = {s: sum(a.status == s for a in answers) for s in (429, 503, 200)}
    garbage = sum(a.bytes.startswith(b"<html>") for a in answers)
    assert 60 < counts[429] < 140 and 60 < counts[503] < 140 and 60 < garbage < 140, counts
    assert counts[200] - garbage > 60
    assert all((a.headers["Retry-After"] == "3") == (a.status in (429, 503)) for a in answers)


def test_a_share_of_calls_hangs(start):
    engine = start("--hang", "1")
    with pytest.raises(TimeoutError):
        engine.call(mentor(1), timeout=0.3)
    engine.open_calls(0)
    assert [line[3] for line in engine.calls()] == ["0"]


# ---- when it answers -------------------------------------------------------------------------

def test_an_answer_never_comes_before_its_latency(start):
    engine = start("--latency", "50.5")
    began = time.monotonic()
    engine.call(mentor(1))
    assert time.monotonic() - began >= 0.0505
    engine.control(latency=1500)
    began = time.monotonic()
    engine.call(mentor(1))
    assert time.monotonic() - began >= 1.5


def test_the_tail_takes_its_own_time_and_jitter_stays_within_its_share(start):
    engine = start("--latency", "1", "--latency-jitter", "0.5", "--latency-tail", "1:200")
    began = time.monotonic()
    engine.call(mentor(1))
    assert time.monotonic() - began >= 0.2
    engine = start("--latency", "200", "--latency-jitter", "0.5")
    for i in range(5):
        began = time.monotonic()
        engine.call(mentor(i))
        assert time.monotonic() - began >= 0.1


# ---- how it behaves as a server --------------------------------------------------------------

def test_down_resets_every_connection_but_can_be_told_to_come_back(start):
    engine = start("--hang", "1")
    [connection] = engine.begin_calls(1)
    engine.open_calls(1)
    engine.control(mode="down")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    connection.close()
    with pytest.raises(ConnectionResetError):
        engine.call(mentor(1))
    stats = engine.stats()
    assert (stats["requests"], stats["in_flight"]) == (1, 0), "what it does not take is no call"
    engine.control(mode="503")
    assert engine.call(mentor(1)).status == 503
    engine.control(mode="hang")
    with pytest.raises(TimeoutError):
        engine.call(mentor(1), timeout=0.3)
    assert engine.ask("POST", "/control", '{"mode": "asleep"}').status == 400
    assert engine.ask("POST", "/control", '{"colour": 1}').status == 400
    assert engine.ask("POST", "/control", '{"latency": -1}').status == 400


def test_it_refuses_what_is_not_http_and_says_404_and_405(start):
    engine = start()
    assert engine.ask("GET", "/evaluate").status == 404
    assert engine.ask("DELETE", "/evaluate").status == 405
    for raw, status in ((b"nonsense\r\n\r\n", 400), (b"POST / HTTP/1.1\r\n\r\n", 411),
                        (b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", 413),
                        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
                        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, 413)):
        with opened(engine) as s:
            s.sendall(raw)
            assert s.makefile("rb").readline().split()[1] == str(status).encode()
    assert engine.stats()["requests"] == 0


def test_a_request_may_come_byte_by_byte_and_connections_are_kept_alive(start):
    engine = start()
    raw = raw_call(mentor(1))
    with opened(engine) as s:
        for _ in range(2):
            for i in range(len(raw)):
                s.sendall(raw[i:i + 1])
            assert s.recv(12) == b"HTTP/1.1 200"
            got = b""
            while not got.endswith(b"]}"):
                got += s.recv(4096)
    assert engine.stats()["requests"] == 2


def test_it_serves_1024_connections_and_resets_the_one_too_many(start):
    engine = start()
    held = [engine.connect() for _ in range(1024)]
    try:
        for connection in held:
            connection.request("GET", "/stats")
            assert connection.getresponse().read()
        with pytest.raises(ConnectionError):
            engine.stats()
        held.pop().close()
        until(lambda: answers(engine), "a freed place can be taken")
    finally:
        for connection in held:
            connection.close()


def answers(engine):
    try:
        return engine.stats()
    except ConnectionError:
        return None


@pytest.mark.parametrize("options", [
    ["--port", "70000"], ["--due", "2"], ["--due", "x"], ["--latency-tail", "0.5"], ["--colour"],
    ["--hang", "0.7", "--garbage", "0.7"], ["stray"], ["--port"]])
def test_a_wrong_command_line_ends_with_2_and_one_line(options):
    done = subprocess.run([program(), *options], capture_output=True, timeout=PATIENCE_S,
                          check=False)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("line", ["x dispatch", mentor(1), f"{mentor(1)} dance",
                                  f"{mentor(1)} none:reason", f"{mentor(1)} 429:x",
                                  f"{mentor(1)} none\n{mentor(1)} none"])
def test_a_wrong_script_is_refused_with_its_line(script, line):
    done = subprocess.run([program(), *script(line + "\n")], capture_output=True,
                          timeout=PATIENCE_S, check=False)
    assert done.returncode == 1 and b"script" in done.stderr


def test_help_names_every_option():
    done = subprocess.run([program(), "--help"], capture_output=True, timeout=PATIENCE_S,
                          check=False)
    for option in ("port", "address-file", "latency", "latency-jitter", "latency-tail", "due",
                   "failures", "status-429", "status-503", "retry-after", "hang", "garbage",
                   "limit", "script", "secret-expected", "log"):
        assert f"--{option}".encode() in done.stdout
    assert done.returncode == 0
