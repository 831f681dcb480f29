"""A private PostgreSQL cluster in a folder: the server, not what is in its databases (database.py).

It listens on a Unix socket in a folder that only its user may enter, where it trusts every role,
and on 127.0.0.1 with passwords, for tests that need TCP. PostgreSQL refuses to run as root: started
by root it runs as the user `postgres`, started by anybody else as oneself.

Ending it: stop("fast") ends open transactions and shuts down cleanly, stop("immediate") and kill()
leave a recovery to the next start, as a crash of the server and of the machine would.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from .daemon import Daemon, wait_for, working_in
from .layout import StackError
from .net import free_port

SUPERUSER = "postgres"
SOCKET_PATH_MAX = 107  # what the kernel allows for the name of a Unix socket
START_SECONDS = 120    # a recovery after kill() may come first


def newest_bindir():
    """The folder with initdb of the newest installed PostgreSQL."""
    candidates = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if candidates:
        return max(candidates, key=lambda bindir: int(bindir.parent.name.split(".")[0]))
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    raise StackError("PostgreSQL is not installed: run deploy/install-dependencies")


def closed_to(user, folder):
    """The first folder on the way to `folder` that `user` may not enter, or None."""
    for step in [*reversed(folder.parents), folder]:
        if step.exists() and subprocess.run(["test", "-x", step], user=user, group=user,
                                            extra_groups=[], check=False).returncode != 0:
            return step
    return None


class Postgres:
    """One cluster. `home` keeps data and socket (default: the layout's), `bindir` chooses the
    PostgreSQL version, `settings` overrides lines of postgresql.conf."""

    def __init__(self, layout, home=None, bindir=None, port=None, settings=None):
        self.home = Path(home or layout.postgres).resolve()
        self.data = self.home / "data"
        self.socket = self.home / "socket"
        self.bindir = Path(bindir or newest_bindir())
        self.port = port or free_port()
        self.user = "postgres" if os.geteuid() == 0 else None
        self.daemon = Daemon(layout, "postgres")
        self._settings = settings or {}

    # --- life

    def create(self, database):
        """Make the cluster with one empty database. Does not start it."""
        self._check_home()
        self.home.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            shutil.chown(self.home, self.user, self.user)
        self.home.chmod(0o700)
        self._tool("initdb", "-D", self.data, "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8",
                   "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync")
        self._as_user("mkdir", "-m", "700", self.socket)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(self._configuration(database))
        # Before the first start: pg_cron looks for its database as soon as the server is up.
        self._tool("postgres", "--single", "-D", self.data, "postgres",
                   "-c", "shared_preload_libraries=", stdin=f"create database {database};\n")

    def start(self):
        """Start the server and return when it takes connections."""
        if not self.daemon.alive():
            self._clear_killed()
        self.daemon.start([self.bindir / "postgres", "-D", self.data], self._environment(),
                          user=self.user)
        wait_for(self.ready, START_SECONDS, "connection to PostgreSQL", [self.daemon])

    def ready(self):
        """Whether the server takes connections now."""
        command = [self._client("pg_isready"), "-q", "-d", self.url()]
        return subprocess.run(command, env=self._environment(), check=False).returncode == 0

    def stop(self, mode="fast"):
        """Shut the server down: `fast` cleanly, `immediate` without a checkpoint."""
        return self.daemon.stop({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def kill(self):
        """SIGKILL to the server and all its processes, as if the machine had lost its power (less
        the page cache)."""
        self.daemon.send(signal.SIGSTOP)  # no new backend from here on
        self._kill_processes()
        self.daemon.kill()

    # --- use

    def url(self, role=SUPERUSER, database="postgres"):
        """A libpq URI over the socket."""
        return (f"postgresql://{quote(role)}@/{quote(database)}"
                f"?host={quote(str(self.socket), safe='')}&port={self.port}")

    def tcp_url(self, role, password, database):
        """A libpq URI over 127.0.0.1; the role needs a password (sql: alter role … password)."""
        who = f"{quote(role)}:{quote(password, safe='')}"
        return f"postgresql://{who}@127.0.0.1:{self.port}/{quote(database)}"

    def psql(self, sql, role=SUPERUSER, database="postgres", variables=None, single=False):
        """Run SQL text, stop at the first error, return what it prints unaligned. `variables` are
        psql's (:'name'); `single`: all of it in one transaction."""
        command = [self._client("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                   *(["-1"] if single else []),
                   *[f"--set={name}={value}" for name, value in (variables or {}).items()],
                   "-d", self.url(role, database), "-f", "-"]
        done = subprocess.run(command, input=sql, text=True, env=self._environment(),
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise StackError(f"psql as {role}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def has_pg_cron(self):
        return (self.bindir.parent / "lib" / "pg_cron.so").exists()

    # --- inside

    def _check_home(self):
        socket_path = self.socket / f".s.PGSQL.{self.port}"
        if len(os.fsencode(socket_path)) > SOCKET_PATH_MAX:
            raise StackError(f"{self.socket} is too long a path for a Unix socket: "
                             "put the stack into a shorter one, as REVEILLE_LOCAL=/tmp/rv")
        if self.user is not None:
            closed = closed_to(self.user, self.home.parent)
            if closed is not None:
                raise StackError(f"{closed} is closed to the user '{self.user}', as whom root runs "
                                 f"PostgreSQL: chmod o+x {closed}, or put the stack elsewhere, for "
                                 "instance REVEILLE_LOCAL=/tmp/rv")

    def _clear_killed(self):
        """What a server somebody has killed leaves in its successor's way: backends, which keep the
        shared memory, and lock files with a pid, which is taken in a container whose first process
        does not collect its dead."""
        self._kill_processes()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.socket / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)

    def _kill_processes(self):
        """All of the server's processes, which work in its data directory."""
        def rest():
            pids = working_in(self.data)
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return pids
        wait_for(lambda: not rest(), 30, "end of PostgreSQL's processes after SIGKILL")

    def _configuration(self, database):
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.socket,
            "unix_socket_permissions": "0700",
            "shared_buffers": "64MB",  # several stacks share a small machine
            "max_wal_size": "1GB",     # a roster of a million without a checkpoint storm
            "timezone": "UTC",
            "log_timezone": "UTC",
            "cluster_name": "reveille-local",
        }
        if self.has_pg_cron():
            settings.update({"shared_preload_libraries": "pg_cron", "cron.database_name": database,
                             "cron.use_background_workers": "on"})  # no password, no connection
        settings.update(self._settings)
        return "".join(f"{name} = '{value}'\n" for name, value in settings.items())

    def _client(self, program):
        """psql and pg_isready of the same version; a bare server's bindir has none."""
        own = self.bindir / program
        found = own if own.exists() else shutil.which(program)
        if found is None:
            raise StackError(f"{program} is not installed: run deploy/install-dependencies")
        return found

    def _tool(self, program, *arguments, stdin=None):
        self._as_user(self.bindir / program, *arguments, stdin=stdin)

    def _as_user(self, *command, stdin=None):
        identity = {}
        if self.user is not None:
            identity = {"user": self.user, "group": self.user, "extra_groups": []}
        done = subprocess.run([str(word) for word in command], input=stdin, text=True, cwd="/",
                              env=self._environment(), capture_output=True, check=False, **identity)
        if done.returncode != 0:
            raise StackError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")

    @staticmethod
    def _environment():
        """No PG* variable of the caller's: they would lead to another server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
