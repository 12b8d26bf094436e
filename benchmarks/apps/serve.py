"""Runs a real server in this process, so that a launcher has a plain script to launch.

serve.py gunicorn|uvicorn PORT NAME      NAME: what to serve of service_app.py
"""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    """Serve until ended: gunicorn with one synchronous worker, uvicorn with one process."""
    kind, port, name = sys.argv[1:4]
    where, target = "127.0.0.1:" + port, "service_app:" + name
    if kind == "gunicorn":
        from gunicorn.app.wsgiapp import run

        sys.argv = ["gunicorn", "--chdir", HERE, "--bind", where, "--workers", "1", "--log-level", "warning"]
        sys.argv += ["--worker-tmp-dir", "/dev/shm", "--no-control-socket"] if os.path.isdir("/dev/shm") else []
        sys.argv.append(target)
        run()
    else:
        import uvicorn

        uvicorn.run(target, app_dir=HERE, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
