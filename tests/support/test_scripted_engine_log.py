"""The scripted engine as a witness: what it counts, and that its log is true."""

import concurrent.futures
import contextlib
import os
import signal
import time

from scripted_engine_probe import PATIENCE_S, TYPES, mentor, opened, place, raw_call, until


def test_e1_in_flight_counts_calls_read_and_not_answered_and_the_maximum_can_be_reset(start):
    engine = start("--latency", "60000")
    waiting = engine.begin_calls(7)
    engine.open_calls(7)
    for connection in waiting[:4]:
        connection.close()
    engine.open_calls(3)
    assert engine.stats()["max_in_flight"] == 7
    engine.control(max_in_flight=0)
    assert engine.stats()["max_in_flight"] == 3
    waiting[4].close()
    engine.open_calls(2)
    assert engine.stats()["max_in_flight"] == 3
    stats = engine.stats()
    assert (stats["requests"], stats["mentors"], stats["cpu_us"] > 0) == (7, 1, True)
    for connection in waiting:
        connection.close()


def test_e1_a_client_that_gives_up_a_call_and_makes_another_is_never_counted_twice(start):
    engine = start("--hang", "1")
    raw = raw_call(mentor(1))
    with opened(engine) as first, opened(engine) as second:
        first.sendall(raw)
        engine.open_calls(1)
        with engine.frozen():  # the hang-up comes before the call is whole, its event behind it
            second.sendall(raw[:10])
            with opened(engine) as third:  # takes the first's place, and not its hang-up
                first.close()
                second.sendall(raw[10:])
                engine.thaw()
                until(lambda: engine.stats()["requests"] == 2, "the second call has arrived")
                assert engine.stats()["max_in_flight"] == 1
                third.sendall(raw)
                engine.open_calls(2)
    engine.open_calls(0)


def test_a_request_whose_client_is_gone_already_is_logged_and_never_in_flight(start):
    engine = start()
    descriptors = engine.descriptors()
    with engine.frozen(), opened(engine) as s:  # so that request and hang-up are read together
        s.sendall(raw_call(mentor(1)) * 2)
    until(lambda: engine.stats()["requests"] == 2, "both are read")
    assert engine.stats()["max_in_flight"] == 0
    assert [line[3] for line in engine.calls()] == ["0", "0"]
    until(lambda: engine.descriptors() == descriptors, "the connection is closed")


def test_above_its_limit_it_answers_503_at_once(start):
    engine = start("--limit", "2", "--latency", "60000")
    open_ones = engine.begin_calls(2)
    engine.open_calls(2)
    assert [engine.call(mentor(i)).status for i in range(3)] == [503] * 3
    open_ones[0].close()
    engine.open_calls(1)
    assert engine.stats()["max_in_flight"] == 3, "the refused ones were there too"
    open_ones[1].close()


def test_the_log_has_a_true_line_for_every_call_and_repeated_calls_are_repeated_lines(start):
    engine = start("--due", "0.5")
    before = time.time_ns() // 1000
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: engine.call(mentor(i % 100)), range(300)))
    after = time.time_ns() // 1000
    stats, streamed = engine.stats(), engine.calls()
    assert (stats["requests"], stats["mentors"], stats["in_flight"]) == (300, 100, 0)
    lines = engine.lines_after_stop()
    assert [line[:4] for line in lines] == streamed
    assert sorted(line[1] for line in lines) == sorted(mentor(i % 100) for i in range(300))
    assert max(int(line[5]) for line in lines) == stats["max_in_flight"]
    for at, who, key, status, types, _, action in lines:
        assert before <= int(at) <= after and status == "200" and types == ",".join(TYPES)
        assert key == f"job/2026-11-21/abc/{who}"
        assert action == ("dispatch" if place("due", who) < 0.5 else "none")
    assert sum(line[6] == "dispatch" for line in lines) == \
        sum(bool(a.json["decisions"]) for a in answers)


def test_the_log_is_flushed_while_the_engine_is_idle(start):
    engine = start()
    engine.call(mentor(1))
    until(lambda: len(engine.log_lines()) == 1, "the line is in the file")


def test_calls_in_flight_at_sigterm_are_logged_as_unanswered_and_it_exits_0(start):
    engine = start("--hang", "1")
    [connection] = engine.begin_calls(1)
    engine.open_calls(1)
    os.kill(engine.process.pid, signal.SIGHUP)
    assert engine.stats()["in_flight"] == 1
    assert [(line[1], line[3]) for line in engine.lines_after_stop()] == [(mentor(1), "0")]
    connection.close()


def test_after_a_restart_it_appends_to_the_log_mends_a_torn_line_and_streams_its_own(start):
    first = start()
    first.call(mentor(1))
    until(lambda: len(first.log_lines()) == 1, "the line is in the file")
    first.process.kill()
    first.process.wait()
    first.process.stderr.close()
    with open(first.log, "a", encoding="ascii") as log:
        log.write("1763704 00000000")  # as a killed write leaves it
    second = start()
    second.call(mentor(2))
    assert [line[1] for line in second.calls()] == [mentor(2)]
    assert second.stats()["requests"] == 1
    lines = second.lines_after_stop()
    assert [line[1] for line in lines if len(line) == 7] == [mentor(1), mentor(2)]


def test_a_log_that_cannot_be_written_ends_the_engine_with_1(start, tmp_path):
    os.symlink("/dev/full", tmp_path / "calls.log")
    engine = start()
    engine.call(mentor(1))
    assert engine.process.wait(PATIENCE_S) == 1
    assert "log" in engine.process.stderr.read().decode()
    engine.process.stderr.close()


def test_many_calls_stream_back_whole_while_calls_go_on(start):
    engine = start()
    count, answer_end = 5000, b"]}"
    one = raw_call(mentor(1), f"Idempotency-Key: {'k' * 200}\r\n")
    with opened(engine) as s:
        for _ in range(count // 50):
            s.sendall(one * 50)  # pipelined
            got = b""
            while got.count(answer_end) < 50:
                piece = s.recv(65536)
                assert piece, "closed"
                got += piece
            assert got.count(b"HTTP/1.1 200 OK") == 50
    with contextlib.closing(engine.connect()) as slow:
        slow.request("GET", "/stats/calls")
        response = slow.getresponse()
        head = response.read(1000)
        assert engine.call(mentor(2)).status == 200
        lines = (head + response.read()).decode().splitlines()
    assert len(lines) == count and all(line.split()[2] == "k" * 200 for line in lines)
    assert engine.stats()["max_in_flight"] == 1
