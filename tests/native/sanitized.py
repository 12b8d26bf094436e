"""A plugin for pytest (`-p tests.native.sanitized`): the compiled core comes from $TEST_NATIVE_FILE.

That file is linked with AddressSanitizer, and must not lie where other runs would find it. Child processes of tests
import this module as well.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys

NAME = "gossamer._core.native"


class Finder:
    """Answers for the compiled core alone."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """The spec of the sanitized file."""
        if name != NAME:
            return None
        file = os.environ["TEST_NATIVE_FILE"]
        loader = importlib.machinery.ExtensionFileLoader(name, file)
        return importlib.util.spec_from_file_location(name, file, loader=loader)


if os.environ.get("TEST_NATIVE_FILE"):
    sys.meta_path.insert(0, Finder)
