"""Payloads of Datadog tracers: v0.3 and v0.4 (MessagePack or JSON) and v0.5 (MessagePack with a string table).

The decoder reads what is indexed and remembers where the bytes of each chunk are. Attributes are pairs, looked up by
their encoded bytes, so an attribute that was seen before costs one dictionary access. A body that is malformed raises
``ValueError`` (``Malformed`` with the offset) and yields nothing.
"""

import json
from struct import Struct
from struct import error as _StructError
from typing import Any, Callable, Dict, List, Optional, Tuple

from gossamer._wire.decoded import (
    JSON,
    LATEST,
    MAX_SPANS,
    MSGPACK,
    V05,
    Chunk,
    Op,
    Pair,
    Payload,
    Row,
    clean,
    nanoseconds,
    operation,
    span_id,
)
from gossamer._wire.msgpack import MAX_DEPTH, SIZES, Malformed, entries, items, length, number, skip, text, unpack

_u64 = Struct(">Q").unpack_from
_SMALLEST_SPAN = 20  # bytes; the two ids and their keys
_LONGEST_CACHED = 200
_CACHE_SIZE = 20000
_EMPTY_CHUNK = "a chunk without spans"
_MIXED = "spans of several traces in one chunk"
_NO_ID = "a span without trace or span id"

_FIELDS = (
    "trace_id",
    "span_id",
    "parent_id",
    "start",
    "duration",
    "error",
    "service",
    "name",
    "resource",
    "type",
    "meta",
    "metrics",
)
_FIELD = {bytes([0xA0 + len(name)]) + name.encode(): index for index, name in enumerate(_FIELDS)}
_FIELD_BY_NAME = {name: index for index, name in enumerate(_FIELDS)}
_META, _METRICS = _FIELD_BY_NAME["meta"], _FIELD_BY_NAME["metrics"]


class Decoder:
    """Decodes payloads one at a time; keeps bounded tables of strings and attributes between them."""

    def __init__(self) -> None:
        self._strings: Dict[bytes, str] = {}
        self._pairs: Dict[bytes, Pair] = {}
        self._kinds: Dict[bytes, Pair] = {}  # encoded `span.kind`, kept apart, for it belongs to the operation
        self._ops: Dict[Op, Op] = {}

    def msgpack(self, body: bytes, protocol: str = "v0.4") -> Payload:
        """Decode a v0.3 or v0.4 body."""
        try:
            return self._msgpack(body, Payload(protocol))
        except (IndexError, _StructError):
            raise Malformed("the bytes end inside a value", len(body)) from None

    def _msgpack(self, body: bytes, payload: Payload) -> Payload:
        size = len(body)
        traces, pos = items(body, 0, "an array of traces")
        total = 0
        for _ in range(traces):
            start = pos
            count, pos = items(body, pos, "an array of spans")
            if count * _SMALLEST_SPAN > size - pos:
                raise Malformed("an array longer than the bytes left", start)
            total = _bounded(total + count, start)
            rows: List[Row] = []
            ids: List[int] = []
            high: List[int] = []
            for _ in range(count):
                row, trace_id, pos = self._span(body, pos, high)
                rows.append(row)
                ids.append(trace_id)
            _add(payload, MSGPACK, body[start:pos], None, ids, high, rows)
        _ended(body, pos)
        return payload

    def _span(self, body: bytes, pos: int, high: List[int]) -> Tuple[Row, int, int]:
        # The hot spot of the viewer: the usual encodings are read in line, and an attribute is one slice and one
        # look-up.
        values: List[Any] = [0, 0, 0, 0, 0, 0, "", "", "", ""]
        kind = ""
        attributes: List[Pair] = []
        append, known, sizes = attributes.append, self._pairs.get, SIZES
        strings, field_of = self._strings.get, _FIELD.get
        count, pos = entries(body, pos, "a span")
        for _ in range(count):
            end = pos + body[pos] - 159
            field = field_of(body[pos:end])
            if field is None:
                name, end = text(body, pos)
                field = _FIELD_BY_NAME.get(name)
                if field is None:
                    pos = skip(body, end)
                    continue
            pos = end
            byte = body[pos]
            if field < 6:
                if byte == 0xCF:
                    values[field] = _u64(body, pos + 1)[0]
                    pos += 9
                elif byte < 0x80:
                    values[field] = byte
                    pos += 1
                else:
                    value, pos = number(body, pos)
                    values[field] = span_id(value) if field < 3 else nanoseconds(value)
            elif field < 10:
                end = pos + sizes[byte]
                found = strings(body[pos:end])
                if found is None:
                    found, end = self._string(body, pos)
                values[field] = found
                pos = end
            else:
                inner, pos = entries(body, pos, _FIELDS[field])
                for _ in range(inner):
                    at = pos
                    pos += sizes[body[pos]] or _rest(body, pos)
                    pos += sizes[body[pos]] or _rest(body, pos)
                    pair = known(body[at:pos])
                    if pair is None:
                        pair = self._pair(body, at, pos, field, high)
                        if pair[0] == "span.kind":
                            kind = pair[1]
                    append(pair)
        trace_id, own, parent, start, duration, error, service, name, resource, type_ = values
        op = (service, name, resource, type_, kind)
        if start > LATEST or duration > LATEST:
            start, duration = nanoseconds(start), nanoseconds(duration)
        return (
            (self._ops.get(op) or self._op(op), start, duration, 1 if error else 0, own, parent, attributes),
            trace_id,
            pos,
        )

    def _op(self, op: Op) -> Op:
        if len(self._ops) >= _CACHE_SIZE:
            self._ops.clear()
        self._ops[op] = result = operation(*op)
        return result

    def _string(self, body: bytes, at: int) -> Tuple[str, int]:
        value, pos = text(body, at)
        if pos - at <= _LONGEST_CACHED and SIZES[body[at]] == pos - at:
            if len(self._strings) >= _CACHE_SIZE:
                self._strings.clear()
            self._strings[body[at:pos]] = value
        return value, pos

    def _pair(self, body: bytes, at: int, end: int, field: int, high: List[int]) -> Pair:
        raw = body[at:end]
        found = self._kinds.get(raw)
        if found is not None:
            return found
        key, pos = self._string(body, at)
        value: Any
        if field == _META:
            value, pos = text(body, pos)
        else:
            value, pos = number(body, pos)
        if pos != end:
            raise Malformed("the bytes end inside a value", at)
        pair = (key, value)
        if key == "_dd.p.tid":
            _upper_half(value, high)
        elif len(raw) > _LONGEST_CACHED:
            pass
        elif key == "span.kind":
            if len(self._kinds) < 100:
                self._kinds[raw] = pair
        else:
            if len(self._pairs) >= _CACHE_SIZE:
                self._pairs.clear()
            # A number and a string of the same key differ in their bytes, so one table holds both.
            self._pairs[raw] = pair
        return pair

    def v05(self, body: bytes) -> Payload:
        """Decode a v0.5 body: ``[strings, traces]``."""
        try:
            return self._v05(body, Payload("v0.5"))
        except (IndexError, _StructError):
            raise Malformed("the bytes end inside a value", len(body)) from None

    def _v05(self, body: bytes, payload: Payload) -> Payload:
        parts, pos = items(body, 0, "strings and traces")
        if parts != 2:
            raise Malformed("expected an array of 2", 0)
        start = pos
        count, pos = items(body, pos, "an array of strings")
        strings: List[str] = []
        for _ in range(count):
            value, pos = text(body, pos)
            strings.append(value)
        head = body[start:pos]
        traces, pos = items(body, pos, "an array of traces")
        pairs: Dict[Tuple[int, Any], Pair] = {}
        total = 0
        for _ in range(traces):
            start = pos
            count, pos = items(body, pos, "an array of spans")
            if count * 12 > len(body) - pos:
                raise Malformed("an array longer than the bytes left", start)
            total = _bounded(total + count, start)
            rows: List[Row] = []
            ids: List[int] = []
            high: List[int] = []
            for _ in range(count):
                row, trace_id, pos = self._span_v05(body, pos, strings, pairs, high)
                rows.append(row)
                ids.append(trace_id)
            _add(payload, V05, body[start:pos], head, ids, high, rows)
        _ended(body, pos)
        return payload

    def _span_v05(
        self, body: bytes, pos: int, strings: List[str], pairs: Dict[Tuple[int, Any], Pair], high: List[int]
    ) -> Tuple[Row, int, int]:
        start = pos
        count, pos = items(body, pos, "a span")
        if count != 12:
            raise Malformed("expected an array of 12", start)
        values: List[Any] = []
        for _ in range(9):
            value, pos = number(body, pos)
            values.append(value)
        attributes: List[Pair] = []
        kind = ""
        for numeric in (False, True):
            count, pos = entries(body, pos)
            for _ in range(count):
                key, pos = number(body, pos)
                value, pos = number(body, pos)
                if key.__class__ is float or (value.__class__ is float and not numeric):
                    raise Malformed("a string's number is a float", pos)
                # Keyed by sign, so that string 3 and the number 3 are two things.
                pair = pairs.get((~key if numeric else key, value))
                if pair is None:
                    pair = (_look_up(strings, key, pos), value if numeric else _look_up(strings, value, pos))
                    pairs[(~key if numeric else key, value)] = pair
                if pair[0] == "span.kind":
                    kind = str(pair[1])
                elif pair[0] == "_dd.p.tid":
                    _upper_half(pair[1], high)
                attributes.append(pair)
        type_, pos = number(body, pos)
        names = [_look_up(strings, index, pos) for index in (values[0], values[1], values[2], type_)]
        op = (names[0], names[1], names[2], names[3], kind)
        return (
            (
                self._ops.get(op) or self._op(op),
                nanoseconds(values[6]),
                nanoseconds(values[7]),
                1 if values[8] else 0,
                span_id(values[4]),
                span_id(values[5]),
                attributes,
            ),
            span_id(values[3]),
            pos,
        )


def _look_up(strings: List[str], index: Any, pos: int) -> str:
    if not isinstance(index, int) or not 0 <= index < len(strings):
        raise Malformed("no string {} in the table".format(index), pos)
    return strings[index]


def _rest(body: bytes, pos: int) -> int:
    # Size of what has no fixed one. Only strings and numbers are attributes, so it is a long string.
    more, start = length(body, pos)
    return start + more - pos


def _bounded(spans: int, at: int) -> int:
    if spans > MAX_SPANS:
        raise Malformed("more than {} spans in one payload".format(MAX_SPANS), at)
    return spans


def _ended(body: bytes, pos: int) -> None:
    if pos != len(body):
        raise Malformed(
            "the bytes end inside a value" if pos > len(body) else "bytes after the payload", min(pos, len(body))
        )


def _upper_half(value: Any, high: List[int]) -> None:
    try:
        if len(value) == 16:
            high.append(int(value, 16))
    except (TypeError, ValueError):
        pass


def _add(
    payload: Payload, format: int, data: bytes, head: Optional[bytes], ids: List[int], high: List[int], rows: List[Row]
) -> None:
    if not rows:
        payload.refuse(_EMPTY_CHUNK, 0)
    elif ids.count(ids[0]) != len(ids):
        payload.refuse(_MIXED, len(rows))
    elif not ids[0] or not all([row[4] for row in rows]):
        payload.refuse(_NO_ID, len(rows))
    else:
        payload.add(Chunk(format, data, head, high[0] if high else 0, ids[0], rows))


# -- JSON


def parse_json(data: bytes) -> Any:
    """The JSON text's value. Too deep, not UTF-8 or not JSON: ``ValueError``."""
    try:
        value = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise Malformed("nested too deeply", 0) from None
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8", error.start) from None
    except json.JSONDecodeError as error:
        raise Malformed(error.msg, len(error.doc[: error.pos].encode("utf-8"))) from None
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise ``ValueError`` where JSON is nested deeper than allowed."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = (
            [
                inner
                for outer in level
                for inner in (outer.values() if isinstance(outer, dict) else outer)
                if isinstance(inner, (dict, list))
            ]
            if isinstance(level[0], (dict, list))
            else []
        )
        if not level:
            return
    raise Malformed("nested too deeply", 0)


def decode_json(body: bytes, protocol: str = "v0.4") -> Payload:
    """Decode a v0.3 or v0.4 body in JSON."""
    value = parse_json(body)
    payload = Payload(protocol + "-json")
    if value is None:
        return payload
    for trace in _typed(value, list, "an array of traces"):
        rows: List[Row] = []
        ids: List[int] = []
        high: List[int] = []
        spans = _typed(trace or [], list, "an array of spans")
        for span in spans:
            rows.append(_row(_typed(span, dict, "a span"), high))
            ids.append(span_id(_number(span, "trace_id")))
        _bounded(payload.spans + len(rows), 0)
        data = json.dumps(spans, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        _add(payload, JSON, data, None, ids, high, rows)
    return payload


def _typed(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise Malformed("expected {}, found {}".format(what, type(value).__name__), 0)
    return value


def _number(span: Dict[str, Any], key: str) -> Any:
    value = span.get(key) or 0
    if not isinstance(value, (int, float)):
        raise Malformed("{} is not a number".format(key), 0)
    return value


def _row(span: Dict[str, Any], high: List[int]) -> Row:
    names = []
    for key in ("service", "name", "resource", "type"):
        names.append(clean(_typed(span.get(key) or "", str, key)))
    attributes: List[Pair] = []
    for key, value in _typed(span.get("meta") or {}, dict, "meta").items():
        attributes.append((clean(key), clean(_typed(value, str, "a string in meta"))))
    for key, value in _typed(span.get("metrics") or {}, dict, "metrics").items():
        if not isinstance(value, (int, float)):
            raise Malformed("a value in metrics is not a number", 0)
        attributes.append((clean(key), value))
    kind = ""
    for key, value in attributes:
        if key == "span.kind":
            kind = str(value)
        elif key == "_dd.p.tid":
            _upper_half(value, high)
    return (
        operation(names[0], names[1], names[2], names[3], kind),
        nanoseconds(_number(span, "start")),
        nanoseconds(_number(span, "duration")),
        1 if _number(span, "error") else 0,
        span_id(_number(span, "span_id")),
        span_id(_number(span, "parent_id")),
        attributes,
    )


# -- reading one span again


def raw_spans(
    format: int, data: bytes, head: Optional[bytes], wanted: Callable[[int], bool]
) -> Dict[int, Dict[str, Any]]:
    """The wanted spans of a chunk's bytes, by number, with everything they carried and the names of v0.4."""
    if format == JSON:
        return {n: span for n, span in enumerate(json.loads(data.decode("ascii"))) if wanted(n)}
    strings: List[str] = []
    if format == V05:
        strings = unpack(head or b"\x90")[0]
    count, pos = items(data, 0)
    result: Dict[int, Dict[str, Any]] = {}
    for n in range(count):
        if wanted(n):
            value, pos = unpack(data, pos)
            result[n] = _v05_as_v04(value, strings) if format == V05 else value
        else:
            pos = skip(data, pos)
    return result


def _v05_as_v04(span: List[Any], strings: List[str]) -> Dict[str, Any]:
    def named(index: Any) -> str:
        return strings[index] or "" if index is not None else ""

    return {
        "service": named(span[0]),
        "name": named(span[1]),
        "resource": named(span[2]),
        "trace_id": span[3],
        "span_id": span[4],
        "parent_id": span[5],
        "start": span[6],
        "duration": span[7],
        "error": span[8],
        "meta": {named(key): named(value) for key, value in (span[9] or {}).items()},
        "metrics": {named(key): value for key, value in (span[10] or {}).items()},
        "type": named(span[11]),
    }
