"""Answers requests in this process and tells how much memory it holds meanwhile.

    slope_app.py COUNT

Prints JSON: the resident bytes at eleven points, the first after a warm-up of a tenth.
"""

from __future__ import annotations

import json
import os
import sys
import time

import tracing
import web_apps

POINTS = 10


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Warm up, run, print."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    count = int(sys.argv[1])
    run = web_apps.make("starlette", tracing.of_process())
    run(count // POINTS)
    time.sleep(1.5)
    found = [resident()]
    for _ in range(POINTS):
        run(count // POINTS)
        found.append(resident())
    answers.write(json.dumps({"resident": found, "count": count}) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
