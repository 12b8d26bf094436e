"""``python -m gossamer.viewer``."""

import sys

from gossamer.viewer.command import main

sys.exit(main())
