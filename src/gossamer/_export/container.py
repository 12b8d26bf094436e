"""Which container this process runs in, for the Agent's container tags."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

__all__ = ["container_headers"]

_ID = re.compile(r"([0-9a-f]{64}|[0-9a-f]{32}-\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){4}$)(?:\.scope)?$")
_HOST_CGROUP_INODE = 0xEFFFFFFB  # of the namespace of the host itself


def container_headers(cgroup: str = "/proc/self/cgroup", mount: str = "/sys/fs/cgroup") -> Dict[str, str]:
    """Headers with the id of the container, or of its cgroup where the id is hidden; none outside of containers."""
    try:
        with open(cgroup) as file:
            lines = file.read(65536).splitlines()
    except (OSError, ValueError):
        return {}
    for line in lines:
        found = _ID.search(line.rpartition("/")[2])
        if found:
            return {"Datadog-Container-ID": found.group(1), "Datadog-Entity-ID": "ci-" + found.group(1)}
    try:
        if os.stat("/proc/self/ns/cgroup").st_ino == _HOST_CGROUP_INODE:
            return {}
        for line in lines:
            parts = line.split(":", 2)
            if len(parts) == 3 and parts[1] in ("", "memory"):
                inode = os.stat(os.path.join(mount, parts[1], parts[2].lstrip("/"))).st_ino
                return {"Datadog-Entity-ID": "in-%d" % inode}
    except (OSError, ValueError):
        pass
    return {}
