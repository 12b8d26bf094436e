"""From a query's tree to SQL over the narrow rows of a stretch of chunks, and to a check of what SQL cannot see.

The SQL never leaves out a span that matches; where it lets others through (attributes are found by chunk, and by a
hash) the plan is not exact, and each candidate is checked by its attributes. All literals are numbers.
"""

import sqlite3
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from gossamer._wire.decoded import Op
from gossamer.viewer import query as q
from gossamer.viewer.schema import CHUNK_N_PLUS_ONE, FIND_CHUNKS, find_tables, signed
from gossamer.viewer.tokens import SKIPPED, indexed, key_token, pair_token, plain, word_token, words, wordy

_NOTHING, _ALL = "0", "1"


class Stretch:
    """Chunks to look at: from after ``low`` to ``high``, or the given ones."""

    def __init__(self, low: int, high: int, chunks: Optional[List[int]] = None) -> None:
        self.low = low
        self.high = high
        self.chunks = chunks

    def sql(self, column: str) -> str:
        """The condition that a column is one of them."""
        if self.chunks is not None:
            return "{} in ({})".format(column, _numbers(self.chunks))
        return "{0} > {1} and {0} <= {2}".format(column, self.low, self.high)

    def tables(self) -> Tuple[int, int]:
        """First and last number of the full-text tables that cover them."""
        if self.chunks is not None:
            return min(self.chunks, default=0) // FIND_CHUNKS, max(self.chunks, default=0) // FIND_CHUNKS
        return (self.low + 1) // FIND_CHUNKS, self.high // FIND_CHUNKS


class Plan:
    """A query made ready for one connection's transaction."""

    def __init__(self, connection: sqlite3.Connection, node: q.Node, operations: Dict[int, Op], fts: bool) -> None:
        self._connection = connection
        self._node = node
        self._operations = operations
        self._tables: List[int] = find_tables(connection) if fts else []
        self._fts = fts
        self._sets: Dict[int, Tuple[Set[int], int]] = {}
        self.exact = _exact(node)
        self._facts = [leaf for leaf in _leaves(node) if _told_by_sql(leaf)]
        self.index = self._index()

    def _index(self) -> str:
        # The partial indexes serve a condition that every match must fulfil.
        items = self._node.items if isinstance(self._node, q.And) else [self._node]
        for item in items:
            if isinstance(item, q.Failed):
                return "err"
        for item in items:
            if (
                isinstance(item, q.Number)
                and item.column == "dur"
                and not item.trace
                and (item.range.low or 0) >= 100000
            ):
                return "slow"
        return ""

    def sql(self, stretch: Stretch) -> Optional[str]:
        """The statement for a stretch, newest chunk first; ``None`` when nothing in it can match."""
        condition = self._sql(self._node, stretch, over=True)
        if condition == _NOTHING:
            return None
        parts = [stretch.sql("s.chunk"), condition]
        source = "span s"
        if self.index and stretch.chunks is None:
            source = "span s indexed by span_" + self.index
            parts.append("s.err" if self.index == "err" else "s.dur >= 100000")
        columns = ["s.chunk", "s.n", "s.op", "s.err"]
        if not self.exact:
            columns += [self._sql(node, stretch, over=True) for node in self._facts]
        return "select {} from {} where {} order by s.chunk desc, s.n".format(
            ", ".join(columns), source, " and ".join(parts)
        )

    def _sql(self, node: q.Node, stretch: Stretch, over: bool) -> str:
        # `over`: a condition that lets too much through is fine; under a Not it must let through too little, and so on.
        if isinstance(node, q.And):
            return _join([self._sql(item, stretch, over) for item in node.items], "and", _ALL, _NOTHING)
        if isinstance(node, q.Or):
            return _join([self._sql(item, stretch, over) for item in node.items], "or", _NOTHING, _ALL)
        if isinstance(node, q.Not):
            inner = self._sql(node.item, stretch, not over)
            return {_ALL: _NOTHING, _NOTHING: _ALL}.get(inner) or "not {}".format(inner)
        if isinstance(node, q.Failed):
            return "(s.err <> 0)"
        if isinstance(node, q.Operation):
            return self._operation(node, stretch)
        if isinstance(node, q.Number):
            if node.trace:
                return self._by_trace(node.range.sql("t." + node.column), stretch)
            return node.range.sql("s." + node.column)
        if isinstance(node, q.Identity):
            if not node.trace:
                return "(s.id = {})".format(signed(node.low))
            more = "" if not node.high else " and t.hi in (0, {})".format(signed(node.high))
            return "(s.chunk in (select c.id from trace t join chunk c on c.trace = t.id where t.lo = {}{}))".format(
                signed(node.low), more
            )
        if isinstance(node, q.Repeats):
            return "(s.chunk in (select c.id from chunk c where {} and c.flags & {}))".format(
                stretch.sql("c.id"), CHUNK_N_PLUS_ONE
            )
        if isinstance(node, q.Words):
            operations = self._in_operations(node, "s.op")
            if not over:
                return operations
            return _join(
                [operations, self._tokens([word_token(word) for word in node.words], stretch)], "or", _NOTHING, _ALL
            )
        assert isinstance(node, q.Attribute)
        return self._attribute(node, stretch) if over else _NOTHING

    def _operation(self, node: q.Operation, stretch: Stretch) -> str:
        numbers, known = self._set(node, node.matches)
        if not node.root:
            return _in("s.op", numbers, known, self._operations)
        inside = _in("t.root", numbers, known, self._operations)
        return inside if inside in (_ALL, _NOTHING) else self._by_trace(inside, stretch)

    def _in_operations(self, node: q.Words, column: str) -> str:
        numbers, known = self._set(node, node.in_operation)
        return _in(column, numbers, known, self._operations)

    def _set(self, node: q.Node, matches: Any) -> Tuple[Set[int], int]:
        found = self._sets.get(id(node))
        if found is None:
            numbers = {number for number, op in self._operations.items() if matches(op)}
            found = self._sets[id(node)] = (numbers, len(self._operations))
        return found

    def _by_trace(self, condition: str, stretch: Stretch) -> str:
        return "(s.chunk in (select c.id from chunk c join trace t on t.id = c.trace where {} and {}))".format(
            stretch.sql("c.id"), condition
        )

    def _attribute(self, node: q.Attribute, stretch: Stretch) -> str:
        if node.key in SKIPPED:
            return _ALL
        value = node.value
        if value is not None and value.pattern is None and indexed(node.key, value.text):
            return self._tokens([pair_token(node.key, value.text)], stretch)
        return self._tokens([key_token(node.key)], stretch)

    def _tokens(self, tokens: List[str], stretch: Stretch) -> str:
        """Chunks that hold all of the tokens."""
        if not self._fts:
            return _ALL
        first, last = stretch.tables()
        found: List[int] = []
        for table in self._tables:
            if first <= table <= last:
                rows = self._connection.execute(
                    "select rowid from find_{0} where find_{0} match ? and {1}".format(table, stretch.sql("rowid")),
                    (" AND ".join(tokens),),
                )
                found += [row[0] for row in rows]
        return "(s.chunk in ({}))".format(_numbers(found)) if found else _NOTHING

    def check(self, op: Op, attributes: Dict[str, Any], facts: Tuple[Any, ...]) -> bool:
        """Whether a candidate matches; ``facts`` is what its row holds after the first four columns."""
        return _check(self._node, op, attributes, {id(node): bool(fact) for node, fact in zip(self._facts, facts)})


def _told_by_sql(node: q.Node) -> bool:
    # Conditions that depend on neither the operation alone nor the attributes.
    return not isinstance(node, (q.Attribute, q.Words)) and not (isinstance(node, q.Operation) and not node.root)


def _check(node: q.Node, op: Op, attributes: Dict[str, Any], facts: Dict[int, bool]) -> bool:
    if isinstance(node, q.And):
        return all([_check(item, op, attributes, facts) for item in node.items])
    if isinstance(node, q.Or):
        return any([_check(item, op, attributes, facts) for item in node.items])
    if isinstance(node, q.Not):
        return not _check(node.item, op, attributes, facts)
    if isinstance(node, q.Attribute):
        return node.matches(attributes)
    if isinstance(node, q.Words):
        return node.in_operation(op) or _has_words(node, attributes)
    if isinstance(node, q.Operation) and not node.root:
        return node.matches(op)
    return facts[id(node)]


def _has_words(node: q.Words, attributes: Dict[str, Any]) -> bool:
    for key, value in attributes.items():
        if wordy(key):
            there = words(plain(value))
            if all([word in there for word in node.words]) and (len(node.words) == 1 or _in_order(node.words, there)):
                return True
    return False


def _in_order(wanted: List[str], there: List[str]) -> bool:
    size = len(wanted)
    return any([there[at : at + size] == wanted for at in range(len(there) - size + 1)])


def _leaves(node: q.Node) -> Iterable[q.Node]:
    if isinstance(node, (q.And, q.Or)):
        for item in node.items:
            for leaf in _leaves(item):
                yield leaf
    elif isinstance(node, q.Not):
        for leaf in _leaves(node.item):
            yield leaf
    else:
        yield node


def _exact(node: q.Node) -> bool:
    return not any([isinstance(leaf, (q.Attribute, q.Words)) for leaf in _leaves(node)])


def _numbers(values: Iterable[int]) -> str:
    return ",".join(map(str, values))


def _in(column: str, numbers: Set[int], known: int, operations: Dict[int, Op]) -> str:
    if not numbers:
        return _NOTHING
    if len(numbers) == known:
        return _ALL
    if 2 * len(numbers) > known:
        return "({} not in ({}))".format(column, _numbers(set(operations) - numbers))
    return "({} in ({}))".format(column, _numbers(numbers))


def _join(parts: List[str], word: str, neutral: str, deciding: str) -> str:
    if deciding in parts:
        return deciding
    left = [part for part in parts if part != neutral]
    if not left:
        return neutral
    return left[0] if len(left) == 1 else "(" + " {} ".format(word).join(left) + ")"
