"""The compiled core, where it can be built; all the rest stands in pyproject.toml.

GOSSAMER_BUILD_NATIVE=0 leaves it out; GOSSAMER_BUILD_NATIVE=require makes it an error that it cannot be built.
"""

from __future__ import annotations

import glob
import os
import sys
from typing import List

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NAME = "gossamer._core.native"
FOLDER = "src/gossamer/_core/_native"
WANTED = os.environ.get("GOSSAMER_BUILD_NATIVE", "") or "1"
FLAGS = [] if sys.platform == "win32" else ["-O2", "-g0", "-fwrapv", "-fno-strict-aliasing"]


class BuildNative(build_ext):
    """Builds the extension, or says in one line why there is none."""

    def run(self) -> None:
        """Translate, compile, link."""
        inplace = self.inplace
        try:
            self.extensions = [self.translated(extension) for extension in self.extensions]
            super().run()
        except Exception as error:
            if WANTED == "require":
                raise
            self.inplace = inplace
            self.extensions = []  # nothing to install, nothing to copy beside the sources
            reason = "{}: {}".format(type(error).__name__, " ".join(str(error).split())[:300])
            print("gossamer: no compiled core; the one in plain Python does its work (%s)" % reason, file=sys.stderr)

    def translated(self, extension: Extension) -> Extension:
        """The extension with C in the place of Cython, written apart from the sources."""
        from Cython.Build import cythonize

        extension.sources = [FOLDER + "/native.pyx", *c_files()]
        (made,) = cythonize([extension], build_dir=self.build_temp, quiet=True, force=True)
        made._needs_stub = False  # what setuptools sets on an extension that it has seen
        made._links_to_dynamic = False
        for name in ("_full_name", "_file_name", "_needs_stub", "_links_to_dynamic", "ext_object"):
            if hasattr(extension, name):
                setattr(made, name, getattr(extension, name))
        return made


def c_files() -> List[str]:
    """What is written in C."""
    found = [path.replace(os.sep, "/") for path in sorted(glob.glob(FOLDER + "/*.c"))]
    return [path for path in found if not path.endswith("/native.c")]


def extensions() -> List[Extension]:
    """The compiled core, where it is wanted and there is one for this interpreter."""
    if WANTED.lower() in ("0", "false", "no") or sys.implementation.name != "cpython":
        return []
    if not os.path.exists(FOLDER + "/native.pyx"):
        return []
    headers = sorted(glob.glob(FOLDER + "/*.[hp]*"))
    # Its source is named when it is built: without Cython, setuptools would look for a native.c that there is not.
    return [Extension(NAME, c_files(), include_dirs=[FOLDER], depends=headers, extra_compile_args=FLAGS)]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildNative})
