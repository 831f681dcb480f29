"""Workers that are killed, frozen, sent away and brought back while a run is under way, and what the
database and their logs say of it. Not when that is done: each trial has its own rhythm."""

import collections
import contextlib
import json
import signal
import time

import outputs
from stand import judge
from world import until

READY_SECONDS = 120    # a group that forms on a busy machine


@contextlib.contextmanager
def under_way(stand, size, page=10, session_ms=10000, environment=lambda number: {}):
    """A world with size.mentors, an engine of size.latency ms, a producer and size.workers, and a
    run of them that has begun: their Fleet. At the end of the block the run goes on at full speed;
    when it has ended it is judged, and the fleet has its `summary` and `twice`."""
    with stand.world() as world:
        world.mentors(size.mentors)
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(page))
        fleet = Fleet(world, size.workers, session_ms, environment)
        fleet.run, fleet.progress = world.ask(), stand.progress
        fleet.moves()
        yield fleet
        world.engine.control(latency=2)
        fleet.summary = world.ended(fleet.run, 300)
        judge(world)
        fleet.twice = fleet.settled_twice()


class Fleet:
    """`count` workers of a world, all ready. session_ms: session.timeout.ms (10 s is the program's
    own default). environment: a function of the worker's number, for what each has of its own.
    What is asked of the database is asked about `run`."""

    def __init__(self, world, count, session_ms=10000, environment=lambda number: {}):
        self.world = world
        self.run = self.summary = self.twice = self.progress = None
        self._session = {"KAFKA_SESSION_TIMEOUT_MS": str(session_ms)}
        self._own = environment
        self._next = 1
        self.workers = [self.join(wait=False) for _ in range(count)]
        self.wait_ready()

    def join(self, wait=True):
        """One worker more."""
        worker, = self.world.start_workers(1, first=self._next, wait=wait,
                                           **self._session, **self._own(self._next))
        self._next += 1
        if wait:
            self.workers.append(worker)
        return worker

    def wait_ready(self, workers=None):
        for worker in workers or self.workers:
            worker.wait_ready(READY_SECONDS)

    def leave(self, worker):
        """SIGTERM; does not wait for its end."""
        self.workers.remove(worker)
        worker.daemon.ask_to_end(signal.SIGTERM)

    @staticmethod
    def kill(*workers):
        """kill -9, all at once. Returns their process ids."""
        pids = [worker.daemon.pid() for worker in workers]
        for worker in workers:
            worker.daemon.send(signal.SIGKILL)
        for worker in workers:
            worker.kill()
        return pids

    @staticmethod
    def back(*workers):
        """Starts those that were killed again, each under its name."""
        for worker in workers:
            worker.start()

    # --- what the database says

    def held_by(self, *pids):
        """{slice: its attempt} of the pending slices that these processes have claimed."""
        rows = self.world.db.rows(
            "select slice_no, attempt from reveille.slice where run_id = %s and state = 'pending' "
            "and split_part(claimed_by, ':', 2) = any(%s)", self.run, [str(pid) for pid in pids])
        return {row.slice_no: row.attempt for row in rows}

    def holders(self):
        """The workers that have claimed a pending slice."""
        pids = {row[0] for row in self.world.db.rows(
            "select distinct split_part(claimed_by, ':', 2) from reveille.slice "
            "where run_id = %s and state = 'pending' and claimed_by is not null", self.run)}
        return [worker for worker in self.workers if str(worker.daemon.pid()) in pids]

    def done(self):
        """How many slices are done."""
        return self.world.db.value("select count(*) from reveille.slice "
                                   "where run_id = %s and state = 'done'", self.run)

    def pending(self, slices):
        """How many of these are not settled yet."""
        return self.world.db.value("select count(*) from reveille.slice where run_id = %s "
                                   "and slice_no = any(%s) and state = 'pending'", self.run, slices)

    def open(self):
        """Whether the run goes on."""
        return self.world.state(self.run) in ("planning", "running")

    def moves(self, seconds=READY_SECONDS):
        """Waits until another slice is done, or the run has ended."""
        before = self.done()
        until(lambda: self.done() > before or not self.open(), seconds, "the run moves")

    def stops(self, partition=None):
        """[(end, length)] of the pauses between one slice done and the next, in seconds; of all
        partitions, or of one."""
        rows = self.world.db.rows(
            "select extract(epoch from done_at)::float8 t from reveille.slice where run_id = %s "
            "and state = 'done' and partition = coalesce(%s, partition) order by 1",
            self.run, partition)
        times = [row.t for row in rows]
        return [(later, later - earlier) for earlier, later in zip(times, times[1:])]

    def ended_at(self):
        """When the run was closed, as time.time()."""
        return self.world.db.value("select extract(epoch from finished_at)::float8 "
                                   "from reveille.run where run_id = %s", self.run)

    def partitions(self):
        return [row[0] for row in self.world.db.rows(
            "select distinct partition from reveille.slice where run_id = %s", self.run)]

    # --- what the workers' logs say

    def settled(self):
        """How often a worker said that it has settled a slice: {(run, slice): times}."""
        return collections.Counter((event["invocation_id"], event["slice"])
                                   for event in self.events("slice_settled"))

    def settled_twice(self):
        """How many slices were settled more than once."""
        return sum(times > 1 for times in self.settled().values())

    def put_out(self):
        """How often a worker noticed that the group had gone on without it."""
        return sum(event["lost"] for event in self.events("partitions_revoked"))

    def events(self, name):
        """The workers' and producers' log events of this name."""
        # Only the lines that are asked for are parsed: these logs have hundreds of thousands.
        mark = f'"{name}"'
        return [json.loads(line) for program in self.world.programs.values()
                for line in outputs.lines(program.daemon.log)
                if mark in line and line.endswith("}")]


def pause(seconds, unless=lambda: False):
    """Lets the run go on for so long, as the trial's rhythm wants it, or until `unless`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not unless():
        time.sleep(0.05)
