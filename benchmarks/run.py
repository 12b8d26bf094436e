"""All benchmarks, one after another, each in a process of its own.

    python benchmarks/run.py [--quick] [NAME ...]

Numbers of one machine and one moment: compare the ratios within a run. Exit code 1 when a budget is not held.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What makes each of them quick.
QUICK = {
    "span": ["--rounds", "2"],
    "encode": ["--quick"],
    "startup": ["--rounds", "3"],
    "viewer": ["--quick"],
    "viewer_page": ["10000"],
}
NAMES = tuple(QUICK)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a smaller store")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: %s (default: all)" % ", ".join(NAMES))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error("no such benchmark: %s" % ", ".join(unknown))
    environ = dict(os.environ)
    paths = [str(HERE.parent / "src"), str(HERE.parent), environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    failed = []
    for name in options.names or NAMES:
        print("== %s" % name, flush=True)
        command = [sys.executable, str(HERE / (name + ".py"))] + (QUICK[name] if options.quick else [])
        if subprocess.run(command, env=environ, cwd=str(HERE.parent)).returncode:
            failed.append(name)
        print(flush=True)
    if failed:
        print("not held: %s" % ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
