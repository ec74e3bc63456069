"""Do both servers serve, to the clients that we use, and to nobody else?"""

from __future__ import annotations

import stat
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
import sqlalchemy
from celery import Celery
from kombu import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from crm_sync import embedded
from crm_sync.errors import ConfigError

from .conftest import copy_folder, execute, is_alive, pids, value, within


@pytest.fixture(scope="module")
def servers(template: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("serving") / "data"
    copy_folder(template, folder)
    with embedded.running(folder, durable=False) as running:
        yield folder, running


def test_given_an_empty_folder_when_started_then_the_database_is_there_in_utf8_with_the_builtin_locale(tmp_path):
    with embedded.running(tmp_path / "new", durable=False) as servers:
        found = [
            value(servers.database_url, "SELECT current_database()"),
            value(servers.database_url, "SELECT current_user"),
            value(servers.database_url, "SHOW server_encoding"),
            value(servers.database_url, "SELECT concat(datlocprovider, ' ', datlocale) FROM pg_database LIMIT 1"),
            value(servers.database_url, "SHOW timezone"),
        ]

    assert found == ["crm_sync", "crm_sync", "UTF8", "b C.UTF-8", "UTC"]


def test_the_database_url_works_in_sqlalchemy_once_the_scheme_is_swapped(servers):
    url = servers[1].database_url.replace("postgresql://", "postgresql+psycopg://")

    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        answer = connection.scalar(sqlalchemy.text("SELECT 6 * 7"))
    engine.dispose()

    assert answer == 42


def test_the_broker_url_carries_a_message_in_kombu(servers):
    with Connection(servers[1].broker_url) as connection, connection.SimpleQueue("pull") as queue:
        queue.put({"nudge": 1})
        message = queue.get(timeout=5)
        message.ack()

    assert message.payload == {"nudge": 1}


def test_the_broker_url_serves_celery_as_broker_and_result_backend(servers):
    app = Celery(broker=servers[1].broker_url, backend=servers[1].broker_url)

    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
    answered = app.backend.client.ping()
    app.close()

    assert answered


def test_the_broker_keeps_nothing_on_disk_and_refuses_rather_than_forgets(servers):
    with broker(servers) as client:
        settings = client.config_get("appendonly", "save", "maxmemory-policy", "port")

    assert settings == {"appendonly": "no", "save": "", "maxmemory-policy": "noeviction", "port": "0"}


def test_given_no_password_or_a_wrong_one_when_the_broker_is_called_then_it_refuses(servers):
    for password in (None, "guess"):
        with broker(servers, password=password) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_no_server_listens_on_the_network(servers):
    status = embedded.status(servers[0])

    listening = [
        connection
        for pid in pids(status)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert listening == []


def test_the_password_is_on_no_command_line_and_in_one_file_that_only_we_can_read(servers):
    folder, running = servers
    password = running.broker_url.split("@")[0].rpartition(":")[2]
    status = embedded.status(folder)

    told = "".join(
        str([*psutil.Process(pid).cmdline(), *psutil.Process(pid).environ().values()]) for pid in pids(status)
    )
    holding = [file for file in folder.iterdir() if file.is_file() and password.encode() in file.read_bytes()]

    assert password not in told + repr(running)
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in holding] == [("broker.password", 0o600)]


def test_a_stranger_role_is_not_let_in_even_by_the_user_who_started_the_database(servers):
    url = servers[1].database_url.replace("//crm_sync@", "//postgres@")

    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        psycopg.connect(url)


def test_given_a_refused_statement_when_it_holds_an_address_then_the_log_does_not(servers):
    folder, running = servers
    execute(running.database_url, "CREATE TABLE people (email text PRIMARY KEY)")
    execute(running.database_url, "INSERT INTO people VALUES ('ada@example.com')")

    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(running.database_url, "INSERT INTO people VALUES ('ada@example.com')")

    assert "ada@example.com" not in (folder / "postgres.log").read_text()


def test_given_a_restart_then_rows_and_urls_are_the_same(data):
    with embedded.running(data, durable=False) as before:
        execute(before.database_url, "CREATE TABLE kept AS SELECT 1 AS one")

    with embedded.running(data) as after:
        rows = value(after.database_url, "SELECT count(*) FROM kept")
        fsync = value(after.database_url, "SHOW fsync")

    assert (rows, fsync) == (1, "on")
    assert (after.database_url, after.broker_url) == (before.database_url, before.broker_url)


def test_given_servers_without_fsync_when_durable_ones_are_asked_for_then_the_sentence_says_to_stop_them(data):
    with (
        embedded.running(data, durable=False),
        pytest.raises(ConfigError, match=r"started for tests, without fsync: stop them first\."),
        embedded.running(data),
    ):
        pass


def test_given_one_pair_when_started_again_then_it_is_adopted(data):
    first = embedded.start(data, durable=False)
    before = embedded.status(data)

    second = embedded.start(data, durable=False)

    assert (second, embedded.status(data)) == (first, before)


def test_given_two_blocks_when_the_outer_ends_then_nothing_is_left(data):
    with embedded.running(data, durable=False) as outer:
        with embedded.running(data, durable=False) as inner:
            status = embedded.status(data)
        still = value(outer.database_url, "SELECT 1")

    assert (inner, still) == (outer, 1)
    assert within(1, lambda: not any(is_alive(pid) for pid in pids(status)))
    assert embedded.status(data) is None
    assert not Path(socket_path((data, outer))).parents[1].exists()


def test_given_two_copies_of_a_data_folder_when_both_run_then_each_has_its_own_servers(data, tmp_path):
    copy_folder(data, tmp_path / "copy")

    with embedded.running(data, durable=False) as one, embedded.running(tmp_path / "copy", durable=False) as other:
        execute(one.database_url, "CREATE TABLE only_here ()")
        found = value(other.database_url, "SELECT to_regclass('only_here')")

    assert found is None


def socket_path(servers) -> str:
    return servers[1].broker_url.partition("@")[2].partition("?")[0]


def broker(servers, **changes) -> redis.Redis:
    password = servers[1].broker_url.split("@")[0].rpartition(":")[2]
    once = Retry(NoBackoff(), 0)
    arguments = {"unix_socket_path": socket_path(servers), "password": password, "retry": once, **changes}
    return redis.Redis(decode_responses=True, **arguments)
