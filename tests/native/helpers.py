"""What several tests of the compiled core use: scripts in processes of their own, and measures of memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

from tests.services.process import run_python

# Set by `make memcheck`: Python's allocator is replaced, everything is slow, and the checker itself needs memory.
SANITIZED = bool(os.environ.get("TEST_NATIVE_FILE"))

PRELUDE = """
import gc, os, sys, threading
import tests.native.sanitized
from gossamer._core import native
from gossamer._core.native import Buffer, Recorder, Span, SpanContext, set_active, current_span
from tests.native.helpers import PROCESS, encodings
recorder = Recorder(Buffer(1 << 40))

def gone_wrong(*args):
    # Others may wait for the thread that failed.
    import traceback
    error = args[0].exc_value if len(args) == 1 else args[1]
    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    os._exit(70)

sys.excepthook = threading.excepthook = gone_wrong
"""


def script(source, timeout=90, **env):
    """Run a script in a process of its own that must end well and have nothing to complain of; what it printed."""
    result = run_python(PRELUDE + source, timeout=timeout, GOSSAMER_PURE=None, **env)
    assert result.returncode == 0, (result.returncode, result.stdout[-2000:], result.stderr[-6000:])
    return result


class Process:
    """The facts of a process, made when they are asked for: scripts that encode nothing need no more imports."""

    made = None

    def __call__(self):
        if self.made is None:
            from gossamer._wire.info import Process as Info

            self.made = Info("shop", "test", "1.2", tags={"team": "blue"}, runtime_id="ab" * 16, pid=77)
        return self.made


PROCESS = Process()


def encodings(batch):
    """A batch in every format; the sizes only matter as something that must not be nothing."""
    from gossamer._wire.datadog import encode_v04, encode_v05
    from gossamer._wire.otlp import encode_json, encode_protobuf

    of = PROCESS()
    found = [encode_v04(batch, of), encode_v04(batch, of, native_events=True), encode_v05(batch, of)]
    found += [encode_protobuf(batch, of), encode_json(batch, of)]
    assert all(len(payload) > 1 for payload in found)
    return found


class Mallinfo2(ctypes.Structure):
    """As malloc.h has it."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def c_bytes():
    """Bytes in use of what C has allocated; the resident size where the C library does not tell."""
    try:
        function = ctypes.CDLL(None).mallinfo2
        function.restype = Mallinfo2
        found = function()
        return found.uordblks + found.hblkhd
    except (AttributeError, OSError, TypeError):
        return resident()


def resident():
    """The resident size of this process, in bytes; 0 where there is no /proc."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0


def settled():
    """Garbage collected; the memory in use by Python and by C."""
    for _ in range(3):
        gc.collect()
    return sys.getallocatedblocks(), c_bytes()
