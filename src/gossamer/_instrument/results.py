"""Results that keep a span open: context managers and iterators that a traced function returned."""

from __future__ import annotations

from .._core import set_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from .._core import Span


def finish_with(span: Span) -> Callable[..., None]:
    """`done(error=None)` for a streamed result; only its first call counts."""

    def done(error: Optional[BaseException] = None) -> None:
        if error is not None:
            span.fail(error)
        span.finish()

    return done


class ContextResult:
    """Stands for a returned context manager; the span ends when it is left. Everything else goes to the original."""

    __slots__ = ("__wrapped__", "_span")

    def __init__(self, wrapped: Any, span: Span) -> None:
        self.__wrapped__ = wrapped
        self._span = span

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __enter__(self) -> Any:
        set_active(self._span)
        try:
            return self.__wrapped__.__enter__()
        except BaseException as error:
            self._leave(error)
            raise

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        try:
            answer = self.__wrapped__.__exit__(kind, error, traceback)
        except BaseException as raised:
            self._leave(raised)
            raise
        self._leave(None if answer else error)
        return answer

    async def __aenter__(self) -> Any:
        set_active(self._span)
        try:
            return await self.__wrapped__.__aenter__()
        except BaseException as error:
            self._leave(error)
            raise

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        try:
            answer = await self.__wrapped__.__aexit__(kind, error, traceback)
        except BaseException as raised:
            self._leave(raised)
            raise
        self._leave(None if answer else error)
        return answer

    def __await__(self) -> Any:
        set_active(self._span)
        try:
            result = yield from self.__wrapped__.__await__()
        except BaseException as error:
            self._leave(error)
            raise
        self._leave(None)
        return result

    def _leave(self, error: Optional[BaseException]) -> None:
        if error is not None:
            self._span.fail(error)
        self._span.finish()


class IteratorResult:
    """Stands for a returned iterator; the span is active while it is asked, and ends with it."""

    __slots__ = ("__wrapped__", "_iterator", "_span")

    def __init__(self, wrapped: Any, span: Span) -> None:
        self.__wrapped__ = wrapped
        self._iterator: Any = None
        self._span = span

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __iter__(self) -> IteratorResult:
        if self._iterator is None:
            self._iterator = iter(self.__wrapped__)
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self.__wrapped__)
        before = set_active(self._span)
        try:
            return next(self._iterator)
        except StopIteration:
            self._span.finish()
            raise
        except BaseException as error:
            self._span.fail(error)
            self._span.finish()
            raise
        finally:
            set_active(before)

    def close(self) -> None:
        """End the span and close what it wraps, if that can be closed."""
        self._span.finish()
        close = getattr(self._iterator if self._iterator is not None else self.__wrapped__, "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        self._span.finish()
