"""Host tables under row-level security, and of other owners (E4): the functions see every row, or
the migrations stop with the table's name, or the call fails. Never fewer rows in silence."""

import os

import psycopg2
import psycopg2.errors
import pytest

from scratch import Cluster, SUPPORT, apply_migrations, execute
from test_migrations import COLUMNS, before_host, query, refusal

DSN = os.environ["REVEILLE_SQL_DSN"]
TABLES = sorted(COLUMNS)
IDS = "array(select test.mentor(i) from generate_series(1, 5) i)"
USERS = "array(select test.person(i) from generate_series(1, 5) i)"

# What each function answers about five mentors, each with an assignment and a certification that
# have the mentor's id; and on which tables it stands.
CALLS = {
    "source_mentors(null, 100, current_date)": (5, "peer_mentors assignments"),
    f"lookup_mentors({IDS}) where eligible": (5, "peer_mentors assignments"),
    f"judge_mentors({IDS}, current_date, '{{\"inactivity\": {{}}}}')":
        (4, "peer_mentors activities"),     # one has been active: fewer rows are more who are told
    f"owned_by({USERS}, {IDS})": (10, "peer_mentors assignments certifications"),
    "source_certifications(null, 100, current_date)":
        (5, "peer_mentors assignments certifications"),
    f"lookup_certifications({IDS}) where eligible":
        (5, "peer_mentors assignments certifications"),
    f"judge_certifications({IDS}, current_date, '{{\"certification_expiring\": {{}}}}')":
        (5, "peer_mentors certifications"),
    "source_assignments(null, 100, current_date)": (5, "peer_mentors assignments"),
    f"lookup_assignments({IDS}) where eligible": (5, "peer_mentors assignments"),
    f"judge_assignments({IDS}, current_date, '{{\"reminder_due\": {{}}}}')":
        (4, "peer_mentors assignments"),
}


@pytest.fixture(scope="module", name="cluster")
def fixture_cluster():
    with Cluster(DSN) as cluster:
        yield cluster


@pytest.fixture(scope="module", name="bare")
def fixture_bare(cluster):
    """A database with the migrations before the host's."""
    name = cluster.database()
    apply_migrations(cluster.migrator_dsn(name), before_host())
    return name


def fill(cluster, name):
    cluster.load(name, SUPPORT)
    execute(cluster.dsn_of(name), "select test.mentors(1, 5)",
            """insert into certifications(id, peer_mentor_id, expires_on)
                 select id, id, current_date + 1 from peer_mentors""",
            """insert into activities(user_id, assignment_id, activity_date)
                 values (test.person(1), test.mentor(1), current_date)""")
    return name


@pytest.fixture(scope="module", name="full")
def fixture_full(cluster):
    """A migrated database with five mentors; every test rolls back."""
    name = cluster.database()
    apply_migrations(cluster.migrator_dsn(name))
    return fill(cluster, name)


def ask(cluster, name, call, *before):
    """How many rows the owner of our functions gets, after these statements of the superuser."""
    connection = psycopg2.connect(cluster.dsn_of(name))
    try:
        with connection.cursor() as cursor:
            for statement in before:
                cursor.execute(statement)
            cursor.execute("set local role reveille_owner")
            cursor.execute(f"select count(*) from reveille.{call}")
            return cursor.fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize("bodies", ["on", "off"])
@pytest.mark.parametrize("table", TABLES)
def test_r_e4_force_rls_stops_the_migrations_with_the_tables_name(cluster, bare, table, bodies):
    """Already as a function is made; where its body is not looked at then, as it is called."""
    said = refusal(cluster, bare, f"set check_function_bodies = {bodies}",
                   f"alter table {table} force row level security")
    assert f'row-level security policy for table "{table}"' in said


@pytest.mark.parametrize("table", TABLES)
def test_r_e4_another_owner_stops_the_migrations_with_the_tables_name(cluster, bare, table):
    assert table in refusal(cluster, bare, f"alter table {table} owner to postgres")


@pytest.mark.parametrize("table", TABLES)
def test_r_e4_another_owners_rls_stops_the_migrations_whatever_is_granted(cluster, bare, table):
    said = refusal(cluster, bare, f"alter table {table} owner to postgres",
                   f"grant all on {table} to {cluster.migrator}",
                   f"create policy all_of_it on {table} using (true)")
    assert table in said


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.split("(")[0])
def test_r_e4_rls_of_the_migrating_roles_tables_hides_nothing(cluster, full, call):
    policies = [f"create policy nobody on {table} as restrictive using (false)"
                for table in TABLES]
    assert ask(cluster, full, call, *policies) == CALLS[call][0]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.split("(")[0])
def test_r_e4_rls_that_is_forced_later_fails_the_call(cluster, full, call, table):
    force = f"alter table {table} force row level security"
    if table not in CALLS[call][1].split():
        assert ask(cluster, full, call, force) == CALLS[call][0]
        return
    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as refused:
        ask(cluster, full, call, force)
    assert f'table "{table}"' in str(refused.value)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.split("(")[0])
def test_r_e4_a_table_given_away_later_fails_the_call(cluster, full, call):
    table = CALLS[call][1].split()[-1]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as refused:
        ask(cluster, full, call, f"alter table {table} owner to postgres")
    assert table in str(refused.value)


@pytest.mark.parametrize("statement", ["insert", "update", "delete"])
def test_r_e8_contact_dates_that_rls_hides_fail_the_write_and_are_not_left_behind(
        cluster, full, statement):
    connection = psycopg2.connect(cluster.dsn_of(full))
    try:
        with connection.cursor() as cursor:
            cursor.execute("alter table assignments force row level security")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege) as refused:
                cursor.execute({
                    "insert": "insert into activities(user_id, assignment_id, activity_date)"
                              " values (test.person(2), test.mentor(2), current_date)",
                    "update": "update activities set activity_date = current_date - 1",
                    "delete": "delete from activities"}[statement])
        assert "assignments" in str(refused.value)
    finally:
        connection.close()


def test_r_e4_a_migrating_role_that_bypasses_rls_sees_the_rows_of_forced_tables(cluster):
    name = cluster.database()
    execute(cluster.dsn_of(name), f"alter role {cluster.migrator} bypassrls",
            *[f"alter table {table} force row level security" for table in TABLES])
    try:
        apply_migrations(cluster.migrator_dsn(name))
        fill(cluster, name)
        for call, (rows, _tables) in CALLS.items():
            assert ask(cluster, name, call) == rows, call
        assert query(cluster.dsn_of(name), "select last_contact_date from assignments"
                                           " where last_contact_date is not null")
    finally:
        execute(cluster.dsn_of(name), f"alter role {cluster.migrator} nobypassrls")
