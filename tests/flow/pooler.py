"""PgBouncer in transaction mode before a cluster: what a program meets where connections are pooled.
It keeps nothing of a session from one transaction to the next: no LISTEN, no prepared statement."""

import os
import socket

from stack.daemon import Daemon, wait_for
from stack.net import free_port

ROLES = ("postgres", "reveille_producer", "reveille_worker", "reveille_reader",
         "reveille_operator", "reveille_admin")

CONFIGURATION = """
[databases]
* = host={postgres.socket} port={postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 10
server_login_retry = 1
ignore_startup_parameters = extra_float_digits,options
"""


class Pooler:
    """`layout`: whose folders take its pid and its log; `postgres`: before which it stands."""

    def __init__(self, layout, postgres):
        self.port = free_port()
        self.daemon = Daemon(layout, "pgbouncer")
        self._postgres = postgres
        self._folder = layout.folder / "pgbouncer"

    def start(self):
        self._folder.mkdir()
        self._folder.chmod(0o755)
        users = self._folder / "users"
        users.write_text("".join(f'"{role}" ""\n' for role in ROLES), encoding="utf-8")
        file = self._folder / "pgbouncer.ini"
        file.write_text(CONFIGURATION.format(postgres=self._postgres, port=self.port, users=users),
                        encoding="utf-8")
        self.daemon.start(["/usr/sbin/pgbouncer", file], {"PATH": os.defpath},
                          user=self._postgres.user)  # it refuses to be root, as PostgreSQL does
        wait_for(self._answers, 30, "connection to PgBouncer", [self.daemon])

    def _answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.daemon.stop()

    def url(self, role, database):
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"
