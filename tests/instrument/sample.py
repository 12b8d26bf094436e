"""A library to be instrumented: one of each kind of callable."""

import asyncio
import functools
from contextlib import asynccontextmanager, contextmanager

SEEN = []


def function(a, b=2, *rest, c: int = 3, **options) -> str:
    """Adds up."""
    SEEN.append((a, b, rest, c, options))
    if a == "fail":
        raise ValueError("asked for")
    return "%s-%s" % (a, b)


function.mark = "kept"


async def coroutine(a, fail=False):
    """Waits."""
    await asyncio.sleep(0)
    if fail:
        raise ValueError("asked for")
    return a * 2


def generator(n, fail=False):
    """Counts."""
    try:
        for i in range(n):
            got = yield i
            if got is not None:
                SEEN.append(got)
    except KeyError as error:
        SEEN.append(error)
        yield "recovered"
    finally:
        SEEN.append("closed")
    if fail:
        raise ValueError("asked for")
    return "returned"


async def async_generator(n, fail=False):
    """Counts, and waits."""
    try:
        for i in range(n):
            await asyncio.sleep(0)
            got = yield i
            if got is not None:
                SEEN.append(got)
    finally:
        SEEN.append("closed")
    if fail:
        raise ValueError("asked for")


def awaitable(a, kind="coroutine"):
    """Answers something to wait for."""
    if kind == "coroutine":
        return coroutine(a)
    if kind == "fail":
        return coroutine(a, fail=True)
    if kind == "future":
        return asyncio.ensure_future(coroutine(a))
    return a


@contextmanager
def context(fail=False):
    SEEN.append("enter")
    try:
        yield "value"
    finally:
        SEEN.append("exit")


@asynccontextmanager
async def async_context():
    yield "value"


def iterator(n):
    return iter(range(n))


def outer(a):
    return function(a)


class Base:
    def inherited(self, a):
        return ("inherited", a)


class Thing(Base):
    """Has methods."""

    size = 1

    def method(self, a, b=1):
        """Answers itself."""
        if a == "fail":
            raise ValueError("asked for")
        return (self, a, b)

    async def amethod(self, a):
        return (self, a)

    @staticmethod
    def static(a):
        return ("static", a)

    @classmethod
    def of_class(cls, a):
        return (cls, a)

    partial = functools.partialmethod(method, b=9)


class Derived(Thing):
    def method(self, a, b=1):
        return super().method(a, b)


class Listy(list):
    """Its append is a C function."""


def carries(headers=None):
    return dict(headers)
