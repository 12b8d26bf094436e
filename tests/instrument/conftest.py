import importlib
import sys

import pytest

from gossamer._core import Recorder, set_active
from gossamer._instrument import imports
from gossamer._instrument.declare import Integration
from gossamer._instrument.engine import Engine
from gossamer._trace.tracer import Tracer

SAMPLE = "tests.instrument.sample"


class Bench:
    """An engine of its own with one integration over the sample library."""

    def __init__(self) -> None:
        self.tracer = Tracer(Recorder())
        self.integration = Integration("sample", service="sampled")
        self.engine = Engine(self.tracer)
        self.sample = importlib.import_module(SAMPLE)

    def install(self):
        self.engine.add(self.integration)

    def spans(self):
        batch = self.tracer.recorder.buffer.swap()
        return [span for chunk in batch or () for span in chunk.spans]

    def span(self):
        (span,) = self.spans()
        return span

    @property
    def status(self):
        return self.engine.statuses["sample"]


@pytest.fixture
def bench():
    sys.modules.pop(SAMPLE, None)
    set_active(None)
    found = Bench()
    yield found
    found.engine.uninstall()
    imports._watchers.clear()
    sys.modules.pop(SAMPLE, None)
    set_active(None)
