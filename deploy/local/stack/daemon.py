"""One background process: started, found again by another command, stopped.

A process is known by its pid together with its start time, so a pid that the system has given to
somebody else is never signalled. RUN/NAME.pid holds the pid alone, for people and their scripts;
RUN/NAME.birth beside it says which process that was. Output goes to LOG/NAME.log, appended.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from .layout import StackError

POLL_SECONDS = 0.05
STOP_SECONDS = 30  # a program drains for 20 s


def wait_for(condition, seconds, what, watched=()):
    """Return the first true value of condition(). Fails after `seconds`, or as soon as a watched
    daemon has ended, with the end of its log."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        for daemon in watched:
            if not daemon.alive():
                raise StackError(f"{daemon.name} ended before {what}\n{daemon.log_tail()}")
        if time.monotonic() > deadline:
            tails = "".join(f"\n{daemon.log_tail()}" for daemon in watched)
            raise StackError(f"no {what} within {seconds} s{tails}")
        time.sleep(POLL_SECONDS)


def birth_of(pid):
    """What tells this process from every other that ever had its pid; None if it has ended."""
    try:
        # The command's name stands in brackets and may hold anything: count from the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_time = fields[0], fields[19]
    return None if state in "ZX" else f"{boot} {start_time}"


def working_in(folder):
    """The pids of all processes whose working directory is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd") == str(folder):
                    found.append(int(entry.name))
            except OSError:  # ended meanwhile, or not ours to look at
                continue
    return found


@contextlib.contextmanager
def _no_interruption():
    """Ctrl-C and its like wait until the block has ended: between a start and its pid file they
    would leave a process that nobody finds again. Gives the signals that were blocked before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK,
                                    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Daemon:
    """The process NAME of a stack, whether this Python started it or another did."""

    def __init__(self, layout, name):
        self.name = name
        self.log = layout.log / f"{name}.log"
        self._pid_file = layout.run / f"{name}.pid"
        self._birth_file = layout.run / f"{name}.birth"
        self._child = None

    def start(self, command, environment, user=None):
        """Start command (argv) in a session of its own, so that Ctrl-C at our terminal does not
        reach it. `user`: change to this user, which only root can."""
        if self.alive():
            raise StackError(f"{self.name} runs already (pid {self.pid()})")
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        for folder in (self.log.parent, self._pid_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with _no_interruption() as signals, open(self.log, "ab") as log:
            try:
                self._child = subprocess.Popen(
                    [str(word) for word in command], env=environment, cwd="/", stdout=log,
                    stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True,
                    preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, signals),
                    **identity)
            except OSError as reason:
                raise StackError(f"cannot start {self.name}: {reason}") from reason
            self._birth_file.write_text(birth_of(self._child.pid) or "ended")
            self._pid_file.write_text(f"{self._child.pid}\n")

    def pid(self):
        """The pid of the process while it lives, else None."""
        if self._child is not None:
            self._child.poll()  # or it stays a zombie for as long as we live
        try:
            pid = int(self._pid_file.read_text())
            birth = self._birth_file.read_text()
        except (FileNotFoundError, ValueError):
            return None
        return pid if birth_of(pid) == birth else None

    def alive(self):
        return self.pid() is not None

    def send(self, number):
        """Send a signal; says whether the process was there to get it."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def ask_to_end(self, number=signal.SIGTERM):
        """Send the signal, also to a frozen process, and do not wait. `wait_ended` may follow."""
        if self.send(number):
            self.send(signal.SIGCONT)

    def wait_ended(self, seconds=STOP_SECONDS):
        """Wait until the process has ended; True if it did of itself, False if it had to be killed
        after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                self.kill()
                return False
            time.sleep(POLL_SECONDS)
        self._forget()
        return True

    def stop(self, number=signal.SIGTERM, seconds=STOP_SECONDS):
        """ask_to_end, then wait_ended. Stopping what does not run is True."""
        self.ask_to_end(number)
        return self.wait_ended(seconds)

    def kill(self):
        """SIGKILL, and wait until the process is gone."""
        if self.send(signal.SIGKILL):
            wait_for(lambda: not self.alive(), STOP_SECONDS, f"end of {self.name} after SIGKILL")
        self._forget()

    def log_tail(self, lines=20):
        """The last lines of the log under a heading, for an error message."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - 16384))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            text = ""
        return "\n".join([f"--- last lines of {self.log}", *text.splitlines()[-lines:]])

    def _forget(self):
        self._pid_file.unlink(missing_ok=True)
        self._birth_file.unlink(missing_ok=True)
