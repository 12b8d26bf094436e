"""A Redis server, and a Redis Cluster of three nodes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import Any, Iterator, List, NamedTuple

import pytest

from tests.services.ports import accepts, free_port, wait_until
from tests.services.process import Server, start


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


def need(*programs: str) -> None:
    """Skip the test where one of the programs is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: apt-get install redis-server redis-tools)")


def start_redis(folder: str, port: int = 0, *options: Any) -> Server:
    """A redis-server that keeps nothing on disk but in `folder`."""
    args = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--dir", folder]
    args += ["--save", "", "--appendonly", "no"]
    return start(args + list(options), port=port, LC_ALL="C")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Address]:
    """A Redis server for the run; tests use keys of their own, or flush it. TEST_REDIS=host:port names another."""
    named = os.environ.get("TEST_REDIS")
    if named:
        host, _, port = named.partition(":")
        yield Address(host, int(port or 6379))
        return
    need("redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = start_redis(folder)
        yield Address("127.0.0.1", server.port)
        server.stop()


def cluster_port() -> int:
    """A free port whose bus port, 10000 above, is free as well."""
    while True:
        port = free_port()
        if port < 55000 and not accepts(port + 10000):
            return port


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[List[Address]]:
    """A Redis Cluster for the run: the addresses of its three nodes, no replicas."""
    need("redis-server", "redis-cli")
    servers: List[Server] = []
    with tempfile.TemporaryDirectory(prefix="redis-cluster-") as folder:
        try:
            for _ in range(3):
                port = cluster_port()
                home = os.path.join(folder, str(port))
                os.mkdir(home)
                config = ["--cluster-config-file", os.path.join(home, "nodes.conf"), "--cluster-node-timeout", "2000"]
                servers.append(start_redis(home, port, "--cluster-enabled", "yes", *config))
            nodes = [Address("127.0.0.1", server.port) for server in servers]
            create_cluster(nodes)
            yield nodes
        finally:
            for server in servers:
                server.stop()


def create_cluster(nodes: List[Address]) -> None:
    """Join the nodes and wait until each of them says that the cluster is up."""
    addresses = ["{}:{}".format(*node) for node in nodes]
    create = ["redis-cli", "--cluster", "create"] + addresses + ["--cluster-replicas", "0", "--cluster-yes"]
    subprocess.run(create, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=60)

    def is_up(node: Address) -> bool:
        command = ["redis-cli", "-p", str(node.port), "cluster", "info"]
        return b"cluster_state:ok" in subprocess.run(command, stdout=subprocess.PIPE, timeout=10).stdout

    for node in nodes:
        wait_until(lambda node=node: is_up(node), 20, "the cluster is up")  # type: ignore[misc]
