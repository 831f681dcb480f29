"""What is in the stack's database: roles, the host application's tables, Reveille's migrations.

reveille_admin     the migrating role: not a superuser, owns the host tables, may create roles
reveille_operator  may do everything; whose URL the stack exports
reveille_producer, reveille_worker and the others come with the migrations
"""

import os
import subprocess

from .layout import HOST_TABLES, MIGRATIONS, StackError

NAME = "reveille"
ADMIN = "reveille_admin"
OPERATOR = "reveille_operator"
PRODUCER = "reveille_producer"
WORKER = "reveille_worker"

# As a database administrator would once, as superuser.
PREPARE = f"""
create role {ADMIN} login createrole;
create role {OPERATOR} login createrole bypassrls;
alter database {NAME} owner to {ADMIN};
"""

PREPARE_CRON = f"""
create extension pg_cron;
grant usage on schema cron to {ADMIN} with grant option;
grant usage on schema cron to {OPERATOR} with grant option;
grant select on cron.job, cron.job_run_details to {OPERATOR};
"""

# The operator has every power of every role; TCP asks for the one password of this cluster.
FINISH = f"""
grant cron_runner to {OPERATOR};
select format('grant %I to {OPERATOR}', rolname) from pg_roles
 where (rolname like 'reveille\\_%' or rolname = 'cron_runner') and rolname <> '{OPERATOR}' \\gexec
select format('alter role %I password %L', rolname, :'password') from pg_roles
 where rolname like 'reveille\\_%' and rolcanlogin \\gexec
"""


class Database:
    """The database `reveille` of a running cluster (which Postgres.create(NAME) has made)."""

    def __init__(self, postgres):
        self.postgres = postgres

    def url(self, role=OPERATOR):
        return self.postgres.url(role, NAME)

    def sql(self, text, role=OPERATOR, **options):
        """Run SQL in this database; see Postgres.psql."""
        return self.postgres.psql(text, role, NAME, **options)

    def create(self, password, command=None):
        """Roles, host tables, migrations, grants: once, on an empty database. `password` is what
        every reveille_* login role shall have over TCP; `command` as in migrate."""
        superuser = {"role": "postgres"}
        self.sql(PREPARE, **superuser)
        if self.postgres.has_pg_cron():
            self.sql(PREPARE_CRON, **superuser)
        self.sql(HOST_TABLES.read_text(encoding="utf-8"), role=ADMIN, single=True)
        self.migrate(command)
        self.sql(FINISH, variables={"password": password}, **superuser)

    def migrate(self, command=None):
        """Apply the migrations by `command`, the built `reveille`; without one, by psql, each file
        in one transaction: tests of the SQL alone need no build."""
        if command is None:
            for path in sorted(MIGRATIONS.glob("*.sql")):
                self.sql(path.read_text(encoding="utf-8"), role=ADMIN, single=True)
            return
        done = subprocess.run([command, "migrate", "--dir", MIGRATIONS], check=False, text=True,
                              env={"PATH": os.environ.get("PATH", os.defpath),
                                   "DATABASE_URL": self.url(ADMIN)},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise StackError(f"reveille migrate ended with {done.returncode}:\n{done.stdout}")
