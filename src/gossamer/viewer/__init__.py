"""``gossamer viewer``: receives traces of Datadog and OpenTelemetry tracers, keeps them, and shows them in a
browser.
"""

from gossamer.viewer.app import Viewer, default_folder
from gossamer.viewer.command import main
from gossamer.viewer.limits import Limits

__all__ = ["Limits", "Viewer", "default_folder", "main"]
