"""Where a stack keeps its files. A path and names, nothing that runs."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MIGRATIONS = ROOT / "migrations"
HOST_TABLES = ROOT / "deploy" / "local" / "host_tables.sql"
DEFAULT_FOLDER = ROOT / "build" / "local"


class StackError(Exception):
    """Something failed that the reader can mend: the text says what, and the way out."""


class Layout:
    """The files of one stack below one folder. Creating the object creates nothing."""

    OURS = ("broker", "lock", "log", "postgres", "run", "secret", "stack.json")

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.run = self.folder / "run"
        self.log = self.folder / "log"
        self.secret = self.folder / "secret"
        self.postgres = self.folder / "postgres"
        self.broker = self.folder / "broker"
        self.status = self.folder / "stack.json"

    def check(self):
        """Refuses a folder with files that are not a stack's: `remove` deletes."""
        if self.folder.exists():
            foreign = sorted(set(os.listdir(self.folder)) - set(self.OURS))
            if foreign:
                raise StackError(f"{self.folder} holds other files ({foreign[0]}, …): "
                                 "name a folder of its own in REVEILLE_LOCAL")

    def create(self):
        """Make the folders."""
        for folder, mode in ((self.run, 0o755), (self.log, 0o755), (self.secret, 0o700)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        self.folder.chmod(0o755)

    @contextlib.contextmanager
    def locked(self):
        """One command at a time works on a folder. The kernel drops the lock if we are killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(f"another command is at work on {self.folder}: wait for its end, "
                                 "or name another folder in REVEILLE_LOCAL") from None
            yield

    def remove(self, keep_logs=False):
        """Delete what a stack has written here, and the folder if nothing else is in it. Says
        whether there were logs to keep."""
        kept = keep_logs and self.log.exists() and bool(os.listdir(self.log))
        for name in self.OURS:
            path = self.folder / name
            if name == "log" and kept:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self.folder.exists() and not os.listdir(self.folder):
            self.folder.rmdir()
        return kept
