"""The Debian packages that tests need: installed where this is root, named where it is not."""

from __future__ import annotations

import glob
import os
import shutil
from typing import Dict, List, Sequence

from environments import SetupError, fail, run, say

# program, or a pattern for one that Debian keeps off PATH: the package that brings it
FOR_TESTS = {
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "/usr/lib/postgresql/*/bin/postgres": "postgresql",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}


def missing(programs: Dict[str, str]) -> List[str]:
    """The packages whose programs are not here."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/bin:/usr/sbin"
    return [
        package
        for program, package in programs.items()
        if not glob.glob(program) and not shutil.which(program, path=path)
    ]


def install(packages: Sequence[str]) -> bool:
    """Install packages as root; False where that is not possible."""
    apt = shutil.which("apt-get")
    if not packages or apt is None or os.geteuid() != 0:
        return not packages
    say("apt-get install " + " ".join(packages))
    # RUNLEVEL=1: a package's service is not started; the tests start servers of their own.
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        try:
            run([apt, "--quiet", *command], env=env)
        except SetupError as error:
            say(str(error)[-3000:])
            if command[0] == "install":
                return False
    return True


def ensure(programs: Dict[str, str]) -> List[str]:
    """Install what is missing; a line for each package that stays missing."""
    packages = missing(programs)
    if install(packages):
        return []
    left = missing(programs)
    if left and os.environ.get("CI") == "true" and os.geteuid() == 0:
        fail("these Debian packages could not be installed: " + " ".join(left))
    if left:
        say("missing, so some tests are skipped. As root: apt-get install " + " ".join(left))
    return [f"Debian package {package} is not installed" for package in left]
