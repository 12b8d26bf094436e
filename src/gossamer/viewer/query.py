"""The search language: text to a tree of conditions on one span, with the column where it goes wrong.

``service:shop -resource:*health* status:error duration:>500ms @http.status_code:500 "connection refused"``
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Pattern, Sequence, Tuple

from gossamer._wire.decoded import Op
from gossamer.viewer.tokens import plain

LONGEST = 2000
DEEPEST = 30

OPERATION_FIELDS = {"service": 0, "name": 1, "resource": 2, "type": 3, "kind": 4}
ALIASES = {
    "env": ("env", "deployment.environment.name", "deployment.environment"),
    "version": ("version", "service.version"),
}
TRACE_FIELDS = {"trace.duration": "dur", "trace.spans": "spans", "trace.errors": "errors"}
_FIELDS = sorted(
    list(OPERATION_FIELDS)
    + list(ALIASES)
    + list(TRACE_FIELDS)
    + ["status", "duration", "trace", "span", "root", "has", "@attribute"]
)
_UNITS = {"ns": 0.001, "us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "min": 60e6, "h": 3600e6}
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)


class QueryError(ValueError):
    """A query that cannot be understood; ``at`` is the column, from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


class Span(NamedTuple):
    """What a condition looks at: a span's row, and its attributes when they are needed."""

    op: Op
    attributes: Dict[str, Any]


class Node:
    """A condition."""


class And(Node):
    """All of several conditions."""

    def __init__(self, items: Sequence[Node]) -> None:
        self.items = items


class Or(Node):
    """Any of several conditions."""

    def __init__(self, items: Sequence[Node]) -> None:
        self.items = items


class Not(Node):
    """The opposite of a condition."""

    def __init__(self, item: Node) -> None:
        self.item = item


class Text(NamedTuple):
    """A value to compare texts with: as it is, or a pattern with ``*``. Case does not matter to ``like``."""

    text: str
    pattern: Optional[Pattern[str]]

    def like(self, value: str) -> bool:
        """Whether a name is meant."""
        return self.pattern.match(value) is not None if self.pattern else value.lower() == self.text.lower()


class Operation(Node):
    """On the operation of the span, or of its trace's root."""

    def __init__(self, field: int, value: Text, root: bool = False) -> None:
        self.field = field
        self.value = value
        self.root = root

    def matches(self, op: Op) -> bool:
        """Whether the operation is meant."""
        return self.value.like(op[self.field])


class Range(NamedTuple):
    """Bounds of a number; ``None`` is open. ``low_in`` and ``high_in`` say whether the bound itself belongs."""

    low: Optional[float]
    high: Optional[float]
    low_in: bool = True
    high_in: bool = True

    def holds(self, value: float) -> bool:
        """Whether the number is within."""
        if self.low is not None and not (value > self.low or (self.low_in and value == self.low)):
            return False
        return self.high is None or value < self.high or (self.high_in and value == self.high)

    def sql(self, column: str) -> str:
        """The same as SQL, with literals."""
        parts = []
        if self.low is not None:
            parts.append("{} {} {!r}".format(column, ">=" if self.low_in else ">", self.low))
        if self.high is not None:
            parts.append("{} {} {!r}".format(column, "<=" if self.high_in else "<", self.high))
        return "(" + " and ".join(parts) + ")"


class Number(Node):
    """On a column of the span (``dur``) or of its trace."""

    def __init__(self, column: str, range: Range, trace: bool) -> None:
        self.column = column
        self.range = range
        self.trace = trace


class Failed(Node):
    """Spans with an error."""


class Identity(Node):
    """On the id of the span or of its trace."""

    def __init__(self, trace: bool, high: Optional[int], low: int) -> None:
        self.trace = trace
        self.high = high
        self.low = low


class Repeats(Node):
    """``has:n+1``."""


class Attribute(Node):
    """On an attribute: equal, like a pattern, in a range, or there at all."""

    def __init__(self, key: str, value: Optional[Text] = None, range: Optional[Range] = None) -> None:
        self.key = key
        self.value = value
        self.range = range

    def matches(self, attributes: Dict[str, Any]) -> bool:
        """Whether the attributes fit."""
        if self.key not in attributes:
            return False
        value = attributes[self.key]
        if self.range is not None:
            try:
                return self.range.holds(float(value))
            except (TypeError, ValueError, OverflowError):
                return False
        if self.value is None:
            return True
        text = plain(value)
        return self.value.pattern.match(text) is not None if self.value.pattern else text == self.value.text


class Words(Node):
    """Words of a message or URL, or part of the operation's names."""

    def __init__(self, text: str, words: List[str]) -> None:
        self.text = text.lower()
        self.words = words

    def in_operation(self, op: Op) -> bool:
        """Whether the operation's names hold the text."""
        return any([self.text in part.lower() for part in op[:3]])


Reader = Callable[["_Parser", str, str, int, bool], Node]


def parse(text: str) -> Optional[Node]:
    """The tree of a query; ``None`` for an empty one. Raises ``QueryError``."""
    if len(text) > LONGEST:
        raise QueryError("a query has at most {} characters".format(LONGEST), LONGEST)
    parser = _Parser(text)
    parser.blank()
    if parser.pos == len(text):
        return None
    node = parser.either(0)
    if parser.pos < len(text):
        raise QueryError("this parenthesis was never opened", parser.pos)
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0

    def blank(self) -> None:
        while self.pos < len(self.text) and self.text[self.pos].isspace():
            self.pos += 1

    def at_or(self) -> bool:
        after = self.text[self.pos + 2 : self.pos + 3]
        return self.text.startswith("OR", self.pos) and (not after or after.isspace() or after == "(")

    def either(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise QueryError("too many parentheses", self.pos)
        items = [self.every(depth)]
        while self.at_or():
            self.pos += 2
            self.blank()
            items.append(self.every(depth))
        return items[0] if len(items) == 1 else Or(items)

    def every(self, depth: int) -> Node:
        items: List[Node] = []
        while self.pos < len(self.text) and self.text[self.pos] != ")" and not self.at_or():
            items.append(self.unary(depth))
            self.blank()
        if not items:
            raise QueryError("a condition is missing here", self.pos)
        return items[0] if len(items) == 1 else And(items)

    def unary(self, depth: int) -> Node:
        negative = False
        while self.text.startswith("-", self.pos):
            negative = not negative
            self.pos += 1
        start = self.pos
        if self.pos >= len(self.text) or self.text[self.pos].isspace():
            raise QueryError("a condition must follow the minus", start)
        if self.text[self.pos] == "(":
            self.pos += 1
            self.blank()
            node = self.either(depth + 1)
            if not self.text.startswith(")", self.pos):
                raise QueryError("this parenthesis is never closed", start)
            self.pos += 1
        else:
            node = self.term()
        return Not(node) if negative else node

    def term(self) -> Node:
        start = self.pos
        if self.text[start] == '"':
            return _words(self.quoted(), start)
        word = self.bare(stop_at_colon=True)
        if not self.text.startswith(":", self.pos):
            return _words(word, start)
        root = word == "root"
        if root:
            self.pos += 1
            start = self.pos
            word = self.bare(stop_at_colon=True)
            if word not in OPERATION_FIELDS:
                raise QueryError("after root: expected one of {}".format(", ".join(OPERATION_FIELDS)), start)
            if not self.text.startswith(":", self.pos):
                raise QueryError("expected root:{}:VALUE".format(word), self.pos)
        field = word.lower() if not word.startswith("@") else word
        if not field.startswith("@") and field not in _FIELDS:
            raise QueryError(
                "there is no field {!r}; the fields are {}. Put quotes around text with a colon".format(
                    word, ", ".join(_FIELDS)
                ),
                start,
            )
        self.pos += 1
        at = self.pos
        quoted = self.text.startswith('"', at)
        value = self.quoted() if quoted else self.bare(stop_at_colon=False)
        if not value and not quoted:
            raise QueryError("{}: needs a value".format(field), at)
        return _term(field, value, at, quoted, root)

    def bare(self, stop_at_colon: bool) -> str:
        start = self.pos
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if char.isspace() or char in '()"' or (stop_at_colon and char == ":"):
                break
            self.pos += 1
        return self.text[start : self.pos]

    def quoted(self) -> str:
        start = self.pos
        result: List[str] = []
        self.pos += 1
        while self.pos < len(self.text):
            char = self.text[self.pos]
            self.pos += 1
            if char == '"':
                return "".join(result)
            if char == "\\" and self.pos < len(self.text):
                char = self.text[self.pos]
                self.pos += 1
            result.append(char)
        raise QueryError("this quotation mark is never closed", start)


def _words(text: str, at: int) -> Node:
    words = [word.lower() for word in re.findall(r"\w+", text)]
    if not words:
        raise QueryError("no word to search for", at)
    return Words(text, words)


def _text(value: str, quoted: bool) -> Text:
    if quoted or "*" not in value:
        return Text(value, None)
    parts = [re.escape(part) for part in re.sub(r"\*+", "*", value).split("*")]
    return Text(
        value, re.compile("".join([parts[0]] + [".*?" + part for part in parts[1:]]) + r"\Z", re.IGNORECASE | re.DOTALL)
    )


def _term(field: str, value: str, at: int, quoted: bool, root: bool) -> Node:
    if field in OPERATION_FIELDS:
        return Operation(OPERATION_FIELDS[field], _text(value, quoted), root)
    if field.startswith("@"):
        if len(field) == 1:
            raise QueryError("the name of an attribute must follow the @", at - 1)
        return _attribute(field[1:], value, at, quoted)
    if field in ALIASES:
        return Or([Attribute(key, _text(value, quoted)) for key in ALIASES[field]])
    if field == "status":
        if value.lower() not in ("error", "ok"):
            raise QueryError("a status is error or ok", at)
        return Failed() if value.lower() == "error" else Not(Failed())
    if field == "duration":
        return Number("dur", _range(value, at, _duration), trace=False)
    if field in TRACE_FIELDS:
        read = _duration if field == "trace.duration" else _plain_number
        return Number(TRACE_FIELDS[field], _range(value, at, read), trace=True)
    if field == "has":
        return _has(value, at)
    return _identity(field, value, at)


def _has(value: str, at: int) -> Node:
    if value.lower() == "n+1":
        return Repeats()
    if value.lower() == "error":
        return Failed()
    if value.startswith("@") and len(value) > 1:
        return Attribute(value[1:])
    raise QueryError("expected has:@attribute or has:n+1", at)


def _identity(field: str, value: str, at: int) -> Node:
    digits = 32 if field == "trace" else 16
    if not 1 <= len(value) <= digits or value.strip("0123456789abcdefABCDEF"):
        raise QueryError("a {} id has up to {} hexadecimal digits".format(field, digits), at)
    number = int(value, 16)
    return Identity(field == "trace", number >> 64 if len(value) > 16 else None, number & ((1 << 64) - 1))


def _attribute(key: str, value: str, at: int, quoted: bool) -> Node:
    if not quoted and (value[0] in "<>" or re.match(r"-?[\d.]+\.\.|\.\.-?[\d.]+\Z", value)):
        return Attribute(key, range=_range(value, at, _plain_number))
    return Attribute(key, _text(value, quoted))


def _range(value: str, at: int, read: Callable[[str, int], float]) -> Range:
    for sign, low in ((">=", True), ("<=", False), (">", True), ("<", False)):
        if value.startswith(sign):
            number = read(value[len(sign) :], at + len(sign))
            inside = len(sign) == 2
            return Range(number, None, low_in=inside) if low else Range(None, number, high_in=inside)
    if ".." in value:
        first, _, second = value.partition("..")
        if not first and not second:
            raise QueryError("a range needs a bound", at)
        return Range(read(first, at) if first else None, read(second, at + len(first) + 2) if second else None)
    number = read(value, at)
    return Range(number, number)


def _plain_number(text: str, at: int) -> float:
    if not _NUMBER.match(text) or _NUMBER.sub("", text, 1) or len(text) > 40:
        raise QueryError("{!r} is not a number".format(text[:40]), at)
    return _finite(float(text), at)


def _duration(text: str, at: int) -> float:
    match = _NUMBER.match(text)
    unit = text[match.end() :].lower() if match else ""
    if match is None or len(text) > 40 or (unit not in _UNITS and (unit or float(match.group()))):
        raise QueryError("{!r} is not a duration: a number and one of us, ms, s, m, h".format(text[:40]), at)
    return _finite(float(match.group()) * _UNITS.get(unit, 1.0), at)


def _finite(number: float, at: int) -> float:
    if abs(number) > 1e300:
        raise QueryError("this number is too large", at)
    return number


def describe(node: Node) -> Tuple[str, ...]:
    """Names of the kinds of condition in a tree, for tests and the log."""
    if isinstance(node, (And, Or)):
        return (type(node).__name__,) + tuple(name for item in node.items for name in describe(item))
    if isinstance(node, Not):
        return ("Not",) + describe(node.item)
    return (type(node).__name__,)
