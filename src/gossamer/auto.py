"""`import gossamer.auto` starts the tracer and instruments every library that the program uses.

As the first import of a program it does what `gossamer run` does from outside. Libraries that are imported already are
instrumented as well; functions that were taken from them by name (`from library import function`) stay as they are, and
`gossamer doctor` tells where.
"""

import os

from gossamer import _begin

_begin.start()

if os.environ.get("GOSSAMER_DOCTOR_REPORTS"):
    from gossamer._cli import report

    report.write_at_exit(os.environ["GOSSAMER_DOCTOR_REPORTS"])
