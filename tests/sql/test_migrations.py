"""The migrations on databases that are not as they should be, and on those that are."""

import os
import re

import psycopg2
import pytest

from scratch import Cluster, apply_migrations, execute, migrations

DSN = os.environ["REVEILLE_SQL_DSN"]
COLUMNS = {
    "peer_mentors": ("id", "user_id", "status"),
    "assignments": ("id", "peer_mentor_id", "status", "last_contact_date"),
    "activities": ("user_id", "assignment_id", "activity_date"),
    "certifications": ("id", "peer_mentor_id", "expires_on"),
}


@pytest.fixture(scope="module", name="cluster")
def fixture_cluster():
    with Cluster(DSN) as cluster:
        yield cluster


@pytest.fixture(scope="module", name="name")
def fixture_name(cluster):
    """A database with the migrations before the host's, which are tried in many ways."""
    name = cluster.database()
    apply_migrations(cluster.migrator_dsn(name), before_host())
    return name


def query(dsn, statement, *values):
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()
    finally:
        connection.close()


def before_host():
    """The migrations that do without the host's tables."""
    return migrations()[:migrations().index(host()[0])]


def host():
    """Those that create functions and triggers on them."""
    return [path for path in migrations() if "_host" in path.name]


def refusal(cluster, name, *before):
    """What the host's migrations say after these statements; everything is rolled back."""
    connection = psycopg2.connect(cluster.dsn_of(name))
    try:
        with connection.cursor() as cursor:
            for statement in before:
                cursor.execute(statement)
            cursor.execute(f"set session authorization {cluster.migrator}")
            with pytest.raises(psycopg2.Error) as refused:
                for path in host():
                    cursor.execute(path.read_text(encoding="utf-8"))
        return str(refused.value)
    finally:
        connection.close()


@pytest.mark.parametrize("table", sorted(COLUMNS))
def test_a_missing_host_table_stops_with_its_name(cluster, name, table):
    said = refusal(cluster, name, f"drop table {table} cascade")
    assert f"host table {table} (public.{table}) is missing" in said


@pytest.mark.parametrize("table,column", [(t, c) for t in sorted(COLUMNS) for c in COLUMNS[t]])
def test_a_missing_host_column_stops_with_table_and_column(cluster, name, table, column):
    said = refusal(cluster, name, f"alter table {table} drop column {column} cascade")
    assert f"host table {table} (public.{table}) has no column {column}" in said


def test_r_e4_force_rls_stops_the_migration_and_is_never_fewer_rows_in_silence(cluster, name):
    said = refusal(cluster, name, "alter table activities force row level security")
    assert 'row-level security policy for table "activities"' in said


def test_r_e4_a_table_of_another_owner_stops_the_migration(cluster, name):
    said = refusal(cluster, name, "alter table assignments owner to postgres")
    assert "assignments" in said


def test_host_tables_may_lie_elsewhere_under_other_names(cluster):
    name = cluster.database()
    dsn = cluster.migrator_dsn(name)
    apply_migrations(dsn, before_host())
    execute(dsn, "create schema app", 'alter table peer_mentors set schema app',
            'alter table app.peer_mentors rename to "Mentors"',
            """update reveille.host_table set rel = 'app."Mentors"' where name = 'peer_mentors'""")
    apply_migrations(dsn, migrations()[len(before_host()):])
    execute(cluster.dsn_of(name),
            """insert into app."Mentors"(id, user_id, status)
                 values (gen_random_uuid(), gen_random_uuid(), 'active')""",
            "insert into assignments(peer_mentor_id, status) select id, 'active' from app.\"Mentors\"")
    assert query(cluster.dsn_of(name),
                 "select count(*) from reveille.source_mentors(null, 10, current_date)") == [(1,)]


def test_r_t2_applied_again_nothing_is_doubled_and_no_setting_is_lost(cluster):
    name = cluster.database()
    dsn = cluster.migrator_dsn(name)
    apply_migrations(dsn)
    execute(dsn, "update reveille.engine set concurrency = 3, current = 2 where engine = 'http'",
            "update reveille.job set schedule = '30 5 * * *', paused_at = now()",
            "update reveille.scenario_config set cooldown_days = 99")
    tables = ("engine", "engine_share", "job", "scenario_config", "host_table", "schema_version")
    counts = [query(dsn, f"select count(*) from reveille.{table}") for table in tables]
    for _ in range(2):
        apply_migrations(dsn)
    assert [query(dsn, f"select count(*) from reveille.{table}") for table in tables] == counts
    assert query(dsn, """select distinct e.concurrency, e.current, j.schedule, j.paused_at is not null,
                                         s.cooldown_days
                           from reveille.engine e, reveille.job j, reveille.scenario_config s
                          where e.engine = 'http'""") == [(3, 2, "30 5 * * *", True, 99)]
    assert query(dsn, "select version, oldest_program from reveille.schema_version") == [(1, 1)]
    assert query(dsn, """select tgname, tgenabled from pg_trigger
                          where tgrelid = 'activities'::regclass and not tgisinternal
                          order by 1""") == [("activities_retouch", "A"),
                                             ("activities_touch", "A"),
                                             ("activities_untouch", "A")]


def test_the_migrating_role_is_no_superuser(cluster, name):
    assert query(cluster.migrator_dsn(name),
                 "select rolsuper, rolbypassrls from pg_roles where rolname = current_user"
                 ) == [(False, False)]


@pytest.mark.parametrize("path", migrations(), ids=lambda path: path.name)
def test_a_migration_is_plain_sql_within_one_transaction(path):
    text = path.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{14}_[a-z_]+\.sql", path.name)
    assert not re.search(r"^\s*\\", text, re.M), "a psql command"
    assert not re.search(r"^\s*(begin|commit|rollback|start transaction)\s*;", text, re.M | re.I)
    assert "concurrently" not in text.lower()


@pytest.mark.parametrize("path", migrations(), ids=lambda path: path.name)
def test_r_t5_no_migration_holds_a_secret_or_a_url(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|[0-9a-f]{64}|password\s+'", text, re.I)


def test_each_file_leaves_role_and_search_path_as_they_were(cluster):
    dsn = cluster.migrator_dsn(cluster.database())
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            for path in migrations():
                cursor.execute(path.read_text(encoding="utf-8"))
                cursor.execute("select current_user, current_setting('search_path')")
                assert cursor.fetchone() == (cluster.migrator, '"$user", public'), path.name
    finally:
        connection.close()
