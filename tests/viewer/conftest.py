"""A viewer on a free port, and a client that speaks plain HTTP to it."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from gossamer.viewer import Viewer
from tests.viewer.helpers import Client


@pytest.fixture
def viewer(tmp_path: Any) -> Iterator[Viewer]:
    with Viewer(port=0, data_dir=str(tmp_path / "data")) as viewer:
        yield viewer


@pytest.fixture
def client(viewer: Viewer) -> Client:
    return Client(viewer)
