"""A PostgreSQL server."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import tempfile
from typing import Iterator, List, NamedTuple, Optional

import pytest

from tests.services.ports import free_port, wait_until
from tests.services.process import Server, run, start

BINARIES = "/usr/lib/postgresql/*/bin"
"""Where Debian has them: not on PATH."""
USER, DATABASE = "shop", "shop"


class Postgres(NamedTuple):
    """Where a server listens, and whom it lets in without a password."""

    host: str
    port: int
    user: str = USER
    database: str = DATABASE

    @property
    def conninfo(self) -> str:
        """For `connect`."""
        return "host={} port={} user={} dbname={}".format(*self)

    @property
    def url(self) -> str:
        """The same as a URL."""
        return "postgresql://{2}@{0}:{1}/{3}".format(*self)


def binaries() -> Optional[str]:
    """The folder with the programs of the newest server that is installed."""
    found = [folder for folder in glob.glob(BINARIES) if os.path.exists(os.path.join(folder, "postgres"))]
    if found:
        return max(found, key=lambda folder: [int(part) for part in folder.split("/")[4].split(".")])
    on_path = shutil.which("postgres")
    return on_path and os.path.dirname(on_path)


def owner() -> str:
    """A user that is not root, as which the server of root is run."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def as_owner(folder: str) -> List[str]:
    """What stands before a command that the server's user runs; `folder` becomes that user's."""
    if os.geteuid() != 0:
        return []
    entry = pwd.getpwnam(owner())
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


def start_postgres(folder: str, home: str) -> Server:
    """A server with its data in `folder`, of the programs in `home`."""
    data = os.path.join(folder, "data")
    prefix = as_owner(folder)
    made = run(
        prefix + [home + "/initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
        timeout=120,
        cwd=folder,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=" + folder, "fsync=off", "max_connections=50"]
    args = prefix + [home + "/postgres", "-D", data, "-p", "{port}"]
    server = start(args + [word for setting in settings for word in ("-c", setting)], free_port(), cwd=folder)
    psql = [home + "/psql", "-h", "127.0.0.1", "-p", server.port, "-U", USER, "-d", "postgres", "-c"]
    try:  # it listens before it lets anybody in
        wait_until(lambda: run(psql + ["select 1"]).returncode == 0, 60, "the server lets us in")
        created = run(psql + ["create database " + DATABASE], timeout=60)
        assert created.returncode == 0, created.stderr
    except AssertionError:
        print(server.stop(signal.SIGINT))
        raise
    return server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server for the run. TEST_POSTGRES=user@host:port/database names another."""
    named = os.environ.get("TEST_POSTGRES")
    if named:
        user, _, rest = named.rpartition("@")
        address, _, database = rest.partition("/")
        host, _, port = address.partition(":")
        yield Postgres(host, int(port or 5432), user or USER, database or DATABASE)
        return
    home = binaries()
    if home is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        os.chmod(folder, 0o755)
        server = start_postgres(folder, home)
        yield Postgres("127.0.0.1", server.port)
        server.stop(signal.SIGINT)
