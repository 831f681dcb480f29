"""The parts that all flow tests share: one PostgreSQL cluster with a template database, and brokers
that hand out topics. Not what one test builds on them (world.py).

Nothing here is killed by a test: who kills PostgreSQL or a broker takes one of its own.
"""

import itertools
import os
import secrets
import sys
from pathlib import Path

import psycopg2

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "local"))

from stack.broker import EmbeddedBroker, Kafka              # noqa: E402
from stack.database import ADMIN, NAME, Database            # noqa: E402
from stack.layout import HOST_TABLES, Layout, MIGRATIONS    # noqa: E402
from stack.net import free_port                             # noqa: E402
from stack.postgres import Postgres                         # noqa: E402
from stack.stack import EMBEDDED_ENVIRONMENT, KAFKA_ENVIRONMENT  # noqa: E402

from pooler import Pooler                                   # noqa: E402

POOLED = os.environ.get("REVEILLE_FLOW_POOLER") == "1"  # every program behind PgBouncer
PROGRAMS = Path(os.environ.get("REVEILLE_FLOW_PROGRAMS", ROOT / "build" / "debug" / "bin"))
# The witness is not under test: without sanitizers, if it is built so.
ENGINE_PROGRAMS = next((folder for folder in (ROOT / "build" / "release" / "bin",)
                        if (folder / "reveille-scripted-engine").exists()), PROGRAMS)
ENGINES = ("http", "sql", "dynamics", "noop")
PARTITIONS = 4                    # few, so that small runs use them all
TOPIC_PREFIXES = 64 // len(ENGINES)  # of an embedded broker, which has room for 64 topics
GATE = 4711                       # the advisory lock that holds planning up (see TEMPLATE)

# What the tests add to a fresh database. `gated`: scenario_scheduler planned by a source that
# waits, from its second page on, while a test holds the gate; `drill`: judged by the engine noop.
TEMPLATE = f"""
update reveille.engine set topic_partitions = {PARTITIONS};
create function public.gated_source(p_cursor uuid, n int, on_date date)
returns table(subject_id uuid) language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    if p_cursor is not null then
        perform pg_advisory_xact_lock_shared({GATE});
    end if;
    return query select s.subject_id from reveille.source_mentors(p_cursor, n, on_date) s;
end
$$;
insert into reveille.job(job_name, schedule, engine, source, lookup, scenario_types)
select x.job_name, '0 6 * * *', x.engine, x.source, 'reveille.lookup_mentors', '{{inactivity}}'
  from (values ('gated', 'http', 'public.gated_source'),
               ('drill', 'noop', 'reveille.source_mentors')) x(job_name, engine, source);
"""


class PostgresWithoutCron(Postgres):
    """pg_cron would hold the template open, and nothing here is rung by a clock."""

    def has_pg_cron(self):
        return False


class Cluster:
    """A PostgreSQL cluster with the template. `new` makes a database in a tenth of a second."""

    def __init__(self, folder):
        self.layout = Layout(folder)
        self.layout.create()
        # Nothing here loses its power: what a crash of the server leaves is in the page cache.
        self.postgres = PostgresWithoutCron(self.layout, settings={
            "max_connections": "200", "fsync": "off"})
        self._numbers = itertools.count(1)
        self._pooler = Pooler(self.layout, self.postgres) if POOLED else None

    def start(self):
        self.postgres.create(NAME)
        self.postgres.start()
        database = Database(self.postgres)
        database.create(secrets.token_hex(32), PROGRAMS / "reveille")
        database.sql(TEMPLATE, role="postgres")
        if self._pooler:
            self._pooler.start()

    def stop(self):
        if self._pooler:
            self._pooler.stop()
        self.postgres.stop()

    def url(self, role, name):
        """The database's address for a program."""
        return (self._pooler or self.postgres).url(role, name)

    def new(self):
        """The name of a new database like the template, whose jobs know it for their own."""
        name = self._create(f"template {NAME}")
        with self.connect(name) as link, link.cursor() as cursor:
            cursor.execute("select reveille.pause_job(job_name, null) from reveille.job")
        link.close()
        return name

    def copy(self, name):
        """The name of a copy of a database that nobody is connected to: its jobs are as they were."""
        return self._create(f"template {name}")

    def new_empty(self):
        """The name of a database without anything; `migrate` makes it one like the others."""
        return self._create("template template0")

    def migrate(self, name, command):
        """Host tables, then `reveille migrate` (a function that runs the CLI), then TEMPLATE."""
        self.postgres.psql(HOST_TABLES.read_text(encoding="utf-8"), ADMIN, name, single=True)
        command("migrate", "--dir", MIGRATIONS, role=ADMIN)
        self.postgres.psql(TEMPLATE, database=name)

    def drop(self, name):
        self.postgres.psql(f"drop database if exists {name} with (force)")

    def connect(self, name):
        return psycopg2.connect(self.postgres.url("postgres", name))

    def _create(self, how):
        name = f"flow_{next(self._numbers)}"
        self.postgres.psql(f"create database {name} {how}")
        self.postgres.psql(f"alter database {name} owner to {ADMIN}")
        return name


class EmbeddedBrokers:
    """Topics of embedded brokers. They are made when a broker starts, so a broker has a stock of
    them; when it is used up, the next broker starts. stock: worlds a broker; each costs its start a
    quarter of a second."""

    kind = "embedded"
    environment = {**KAFKA_ENVIRONMENT, **EMBEDDED_ENVIRONMENT}

    def __init__(self, folder, stock=TOPIC_PREFIXES):
        self._folder = folder
        self._stock = stock
        self._brokers = []
        self._prefixes = []

    def take(self):
        """(address, topic prefix): topics nobody has used."""
        if not self._prefixes:
            self._start_one()
        return self._brokers[-1].address, self._prefixes.pop()

    def stop(self):
        for broker in self._brokers:
            broker.stop()

    def _start_one(self):
        layout = Layout(self._folder / f"embedded-{len(self._brokers) + 1}")
        layout.create()
        self._prefixes = [f"flow.{secrets.token_hex(3)}" for _ in range(self._stock)]
        topics = {f"{prefix}.{engine}": PARTITIONS
                  for prefix in self._prefixes for engine in ENGINES}
        self._brokers.append(embedded_broker(layout, topics))
        self._brokers[-1].start()


class KafkaBrokers:
    """Topic prefixes of one Apache Kafka; the producers create the topics."""

    kind = "kafka"
    environment = KAFKA_ENVIRONMENT

    def __init__(self, folder):
        self.layout = Layout(folder / "kafka")
        self.layout.create()
        self.broker = Kafka(self.layout)

    def start(self):
        self.broker.start()

    def take(self):
        return self.broker.address, f"flow.{secrets.token_hex(3)}"

    def stop(self):
        self.broker.stop()


def embedded_broker(layout, topics, port=None):
    """Not started yet."""
    return EmbeddedBroker(layout, PROGRAMS / "reveille-embedded-broker", topics,
                          port or free_port())
