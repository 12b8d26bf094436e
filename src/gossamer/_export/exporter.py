"""What a destination of spans is, to the writer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from .._core.buffer import Batch
    from .._wire.info import Process

__all__ = ["ExportError", "Exporter"]


class ExportError(Exception):
    """A batch did not arrive.

    Args:
        message: what happened, for the log.
        retry: whether the same batch may be accepted later.
        reason: one word for the counters ("unreachable", "timeout", "status_429").
        retry_after: seconds that the destination asked for, or None.
        split: whether the batch was too large; its halves may be accepted.
    """

    def __init__(
        self,
        message: str,
        retry: bool = False,
        reason: str = "error",
        retry_after: Optional[float] = None,
        split: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry = retry
        self.reason = reason
        self.retry_after = retry_after
        self.split = split


class Exporter:
    """A destination. The writer calls one method at a time, from its thread or from whoever asks for a flush."""

    name = "exporter"
    """What the log calls it, with its address."""

    def export(self, batch: Batch, process: Process, timeout: Optional[float] = None) -> None:
        """Send `batch`, in at most `timeout` seconds (None: the exporter's own limit).

        Raises:
            ExportError: it did not arrive, or not all of it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give up connections. The exporter can be used again afterwards, as in a forked child."""
