"""Databases that come and go in a running cluster: made by a superuser, migrated by a role that is
none. Not a cluster: that is deploy/local/stack."""

import os
from pathlib import Path

import psycopg2
from psycopg2.extensions import make_dsn

ROOT = Path(__file__).resolve().parent.parent.parent
MIGRATIONS = ROOT / "migrations"
HOST_TABLES = ROOT / "deploy" / "local" / "host_tables.sql"
SUPPORT = Path(__file__).resolve().parent / "support.sql"
PASSWORD = "only for as long as the tests run"
ROLES = ("reveille_owner", "reveille_invoker", "reveille_app", "reveille_producer",
         "reveille_worker", "reveille_reader", "cron_runner")


def execute(dsn, *statements):
    """In one transaction."""
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def migrations():
    return sorted(MIGRATIONS.glob("*.sql"))


def apply_migrations(dsn, paths=None):
    """Each file in one transaction and as one query, as `reveille migrate` does."""
    for path in paths or migrations():
        execute(dsn, path.read_text(encoding="utf-8"))


class Cluster:
    """Makes databases, and removes them and its migrating role at the end."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.migrator = f"reveille_test_migrator_{os.getpid()}"
        self._names = []

    def __enter__(self):
        self._admin = psycopg2.connect(make_dsn(self.dsn, dbname="postgres"))
        self._admin.autocommit = True
        self._do(f"create role {self.migrator} login createrole password '{PASSWORD}'")
        with self._admin.cursor() as cursor:
            cursor.execute("select rolname from pg_roles where rolname = any(%s)", (list(ROLES),))
            for (role,) in cursor.fetchall():    # another's: from version 16 on, only with ADMIN
                self._do(f"grant {role} to {self.migrator} with admin option")
        return self

    def __exit__(self, *_):
        for name in reversed(self._names):
            self._do(f"drop database if exists {name} with (force)")
        self._do(f"drop owned by {self.migrator}")
        self._do(f"drop role {self.migrator}")
        self._admin.close()

    def _do(self, statement):
        with self._admin.cursor() as cursor:
            cursor.execute(statement)

    def database(self):
        """A new database with the host application's tables. Not a copy of another: a copy knows
        that it is one, and its jobs are as if paused."""
        name = f"reveille_test_{os.getpid()}_{len(self._names)}"
        self._do(f"create database {name} owner {self.migrator}")
        self._names.append(name)
        execute(self.migrator_dsn(name), HOST_TABLES.read_text(encoding="utf-8"))
        return name

    def migrated(self):
        """A new database with every migration and the helpers of support.sql."""
        name = self.database()
        apply_migrations(self.migrator_dsn(name))
        self.load(name, SUPPORT)
        return name

    def dsn_of(self, name):
        return make_dsn(self.dsn, dbname=name)

    def migrator_dsn(self, name):
        return make_dsn(self.dsn, dbname=name, user=self.migrator, password=PASSWORD)

    def load(self, name, path):
        execute(self.dsn_of(name), path.read_text(encoding="utf-8"))
