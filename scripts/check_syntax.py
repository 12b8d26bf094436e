"""Compile src with CPython 3.7, the oldest that it must run on, or with that grammar where 3.7 cannot be had."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import List

from environments import ROOT, find_python, say

OLDEST = (3, 7)


def errors(paths: List[str]) -> List[str]:
    """One line for each file that does not compile."""
    found = []
    for path in paths:
        source = Path(path).read_bytes()
        try:
            if sys.version_info[:2] == OLDEST:
                compile(source, path, "exec", dont_inherit=True)
            else:
                ast.parse(source, path, feature_version=OLDEST)
        except SyntaxError as error:
            found.append(f"{error.filename}:{error.lineno}: not Python 3.7: {error.msg}")
    return found


def main() -> int:
    """Check all files, in 3.7 if this is another interpreter and 3.7 is there."""
    if sys.argv[1:]:
        found = errors(sys.argv[1:])
        print("\n".join(found), end="\n" if found else "")
        return 1 if found else 0
    paths = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "src").rglob("*.py"))]
    python = find_python("3.7", install=False)
    if python is None:
        say("Python 3.7 is not here; src is parsed with its grammar instead")
    # -S -E: this very file is run again, without anybody's site-packages.
    return subprocess.call([python or sys.executable, "-S", "-E", __file__, *paths], cwd=str(ROOT))


if __name__ == "__main__":
    sys.exit(main())
