"""What v0.4 and v0.5 share: the packed forms of whatever repeats, kept, and how the pieces of a span are joined.

There are three ways to write a span. A *layout* is for spans with the same keys and types of values: a template that
is filled in by C code of the interpreter. Pair by pair goes what has no layout (an error, too many layouts). The full
translation is for what is out of the ordinary. All three say the same, the first two in the same order.

Texts enter the table of v0.5 in this order: the facts of the trace, the span's shape, the names of its attributes,
its resource, the values. The compiled encoder keeps to it.
"""

from __future__ import annotations

from operator import getitem, itemgetter

from .._core import INSIDE, ROOT
from .datadog_span import MAX_RESOURCE, constants, plain_error, text, trace_facts, translated, url_of
from .datadog_texts import (
    MAX_CACHED,
    PLAIN,
    SLOW,
    STATUS,
    URL,
    WORDS,
    Bools,
    Doubles,
    Integers,
    Keys,
    Statuses,
)
from .names_datadog import FIXED, table
from .pack import array_header, map_header, pack_double

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from .._core.pure import Span, Trace
    from .info import Process

    ShapeKey = Tuple[str, Optional[str], Optional[str], str, Optional[str], int]

__all__ = ["MAPS", "Format", "Shape"]

MAPS = [map_header(size) for size in range(256)]
_ARRAYS = [array_header(size) for size in range(256)]
_MAX_LAYOUTS = 64  # of one shape


class Facts:
    """What stands once in a chunk, packed: texts and numbers, and how many pairs they are."""

    __slots__ = ("meta", "metas", "metrics", "metric_count")

    def __init__(self, meta: bytes, metas: int, metrics: bytes, metric_count: int) -> None:
        self.meta = meta
        self.metas = metas
        self.metrics = metrics
        self.metric_count = metric_count


_NONE = Facts(b"", 0, b"", 0)


class Shape:
    """What spans of one name, service, type, kind, integration and role have in common, packed."""

    __slots__ = ("head", "tail", "plain", "first", "facts", "fixed", "keys", "layouts")

    head: bytes
    tail: bytes
    plain: bytes  # all that follows the fixed fields of a span without attributes
    first: Dict[Facts, bytes]  # the same for the first span of a chunk
    facts: Facts  # its own
    fixed: Tuple[Dict[str, str], Dict[str, float]]
    keys: Keys
    layouts: Dict[Tuple[str, ...], Optional[Layout]]


class Layout:
    """What spans of one shape with the same keys, and values of the same types, have in common.

    Attributes:
        pick: the values, numbers first: should one of them be unfit, no text has entered the table yet.
        types: what they must be.
        sources: where the packed form of each stands.
        numbers: how many of them are numbers.
        template: every second piece is a place: of the texts, then of the numbers. `first` has templates that begin
            a chunk.
        names: packed names of the texts and of the numbers.
        words: the layout without the text of the query, where there is one.
    """

    __slots__ = ("pick", "types", "sources", "numbers", "template", "first", "names", "words")

    pick: Callable[[Dict[str, Any]], Tuple[Any, ...]]
    types: Tuple[type, ...]
    sources: Tuple[Dict[Any, bytes], ...]
    numbers: int
    template: List[bytes]
    first: Dict[Facts, List[bytes]]
    names: Tuple[List[bytes], List[bytes]]
    words: Optional[Layout]


class Format:
    """The packed forms of one payload format for one process; v0.4 keeps it from payload to payload."""

    meta_headers: List[bytes]
    metrics_headers: List[bytes]

    def __init__(self, process: Process, texts: Dict[str, bytes]) -> None:
        self.process = process
        self.texts = texts
        self.integers = Integers()
        self.doubles = Doubles()
        self.bools = Bools(texts)
        self.statuses = Statuses(texts)
        self.shapes: Dict[ShapeKey, Shape] = {}
        self.layouts = 0
        self.facts: Dict[Tuple[Any, ...], Facts] = {}
        self.keys: Dict[Tuple[str, Optional[str]], Keys] = {}
        self.reserved = FIXED.union(process.tags, ("process_id",))
        self.native: Any = None  # what the compiled encoder keeps

    # -- what repeats ---------------------------------------------------------------------------------------------

    def describe(self, key: ShapeKey) -> Tuple[str, str, str, Tuple[Dict[str, str], Dict[str, float]], Keys]:
        """Name, service, type, the fixed pairs and the names of the attributes of spans that agree in `key`."""
        name, service, type, kind, integration, role = key
        keys = self.keys.get((kind, type))
        if keys is None:
            if len(self.keys) >= 256:
                self.keys.clear()
            keys = self.keys[kind, type] = Keys(table(kind, type), self.reserved, self.texts, kind == "server")
        fixed = constants(service, kind, integration, role, self.process)
        service = text(service or self.process.service)
        return text(name)[:MAX_RESOURCE], service, text(type) if type else "", fixed, keys

    def shape(self, key: ShapeKey) -> Shape:
        """The common part of spans that agree in `key`, made and kept."""
        if len(self.shapes) >= MAX_CACHED:
            self.shapes.clear()
        shape = Shape()
        name, service, type, shape.fixed, shape.keys = self.describe(key)
        shape.facts = self.pairs(*shape.fixed)
        self.frame(shape, name, service, type)
        shape.layouts = {}
        shape.first = {}
        shape.plain = self.body(shape, _NONE)
        self.shapes[key] = shape
        return shape

    def body(self, shape: Shape, facts: Facts) -> bytes:
        """What follows the fixed fields of a span without attributes."""
        own = shape.facts
        metas = self.header(self.meta_headers, own.metas + facts.metas)
        metrics = self.header(self.metrics_headers, own.metric_count + facts.metric_count)
        return b"".join((metas, own.meta, facts.meta, metrics, own.metrics, facts.metrics, shape.tail))

    def pairs(self, meta: Dict[str, str], metrics: Dict[str, float]) -> Facts:
        """Packed texts and numbers."""
        texts = self.texts
        packed = b"".join([texts[key] + texts[value] for key, value in meta.items()])
        numbers = b"".join([texts[key] + pack_double(0xCB, value) for key, value in metrics.items()])
        return Facts(packed, len(meta), numbers, len(metrics))

    def trace(self, trace: Trace) -> Facts:
        """The packed facts of a trace; most traces of a second share them."""
        tags = trace.tags
        key: Tuple[Any, ...] = (trace.trace_id >> 64, trace.priority, trace.mechanism, trace.rate, trace.origin)
        if tags:
            key += tuple(tags.items())
        found = self.facts.get(key)
        if found is None:
            if len(self.facts) >= 256:
                self.facts.clear()
            found = self.facts[key] = self.pairs(*trace_facts(trace))
        return found

    # -- what v0.4 and v0.5 write each in their own way -----------------------------------------------------------

    def frame(self, shape: Shape, name: str, service: str, type: str) -> None:
        """Set what comes before and after the changing fields."""
        raise NotImplementedError

    def numbers(self, trace: Trace, span: Span) -> bytes:
        """The fields of a fixed size."""
        raise NotImplementedError

    def extras(self, span: Span, shape: Shape, meta: Dict[str, str]) -> Tuple[bytes, bytes]:
        """Head and tail of a span with links or events, which go into `meta` where the format has no place for them."""
        raise NotImplementedError

    def writer(self, index: Callable[[bytes], int]) -> Format:
        """What writes single spans of a payload of the compiled encoder, which answers the places of texts."""
        raise NotImplementedError

    # -- spans ----------------------------------------------------------------------------------------------------

    def chunk(self, trace: Trace, spans: List[Span], out: List[bytes], restored: bool) -> None:
        """Append the packed spans of a chunk: the local root first, as it carries what is said once."""
        count = len(spans)
        out.append(_ARRAYS[count] if count < 256 else array_header(count))
        if count > 1 and spans[-1].role == ROOT:
            spans = spans[-1:] + spans[:-1]
        self.spans(trace, spans, self.trace(trace), out, restored)

    def one(self, trace: Trace, span: Span, first: bool) -> bytes:
        """A span by itself, for the compiled encoder; `first`: of its chunk."""
        out: List[bytes] = []
        self.spans(trace, [span], self.trace(trace) if first else None, out, True)
        return b"".join(out)

    def spans(
        self, trace: Trace, spans: List[Span], facts: Optional[Facts], out: List[bytes], restored: bool
    ) -> None:
        """Append packed spans of one trace, whose `facts` the first one carries.

        Calls are what a plain span would cost most, so there are few. `restored`: spans of the compiled core.
        """
        texts, shapes, numbers = self.texts, self.shapes, self.numbers
        for span in spans:
            name, service, parent = span.name, span.service, span.parent
            if restored:
                role = span.role
            elif parent is None:
                role = ROOT
            else:
                role = INSIDE if parent.service == service and parent.trace is trace else span.role
            key = (name, service, span.type, span.kind, span.integration, role)
            shape = shapes.get(key) or self.shape(key)
            resource = span.resource or name
            if len(resource) > MAX_RESOURCE:
                resource = resource[:MAX_RESOURCE]
            attributes = span.attributes
            if span.events is not None or span.links is not None or span.error:
                self.pair_by_pair(trace, span, shape, resource, facts, out)
            elif not attributes:
                if facts is None:
                    plain = shape.plain
                else:
                    plain = shape.first.get(facts) or self.first(shape, facts)
                out += (shape.head, texts[resource], numbers(trace, span), plain)
            else:
                names = tuple(attributes)
                layout = shape.layouts.get(names)
                if layout is None and names not in shape.layouts:
                    layout = self.layout(shape, attributes)
                if layout is None or not self.fill(layout, trace, span, shape, resource, facts, out):
                    self.pair_by_pair(trace, span, shape, resource, facts, out)
            facts = None

    def fill(
        self,
        layout: Layout,
        trace: Trace,
        span: Span,
        shape: Shape,
        resource: str,
        facts: Optional[Facts],
        out: List[bytes],
    ) -> bool:
        """Append a span by its layout; False where its values are of other types."""
        attributes = span.attributes
        if layout.words is not None and attributes["db.query.text"] == resource:
            layout = layout.words
        values = layout.pick(attributes)
        if tuple(map(type, values)) != layout.types:
            return False
        head = shape.head, self.texts[resource], self.numbers(trace, span)
        if facts is None:
            pieces = layout.template[:]
        else:
            pieces = (layout.first.get(facts) or self.first_of(shape, layout, facts))[:]
        try:
            packed = list(map(getitem, layout.sources, values))
            pieces[1::2] = packed[layout.numbers :] + packed[: layout.numbers]
        except OverflowError:
            return False
        out += head
        out += pieces
        return True

    def first(self, shape: Shape, facts: Facts) -> bytes:
        """What follows the fixed fields of a span without attributes that begins a chunk, made and kept."""
        if len(shape.first) >= 8:
            shape.first.clear()
        made = shape.first[facts] = self.body(shape, facts)
        return made

    def pair_by_pair(
        self, trace: Trace, span: Span, shape: Shape, resource: str, facts: Optional[Facts], out: List[bytes]
    ) -> None:
        """Append a span that has no layout."""
        mark = len(out)
        out += (shape.head, b"", b"")
        exception = None
        usual = span.links is None
        if span.events is not None or span.error:
            exception = plain_error(span)
            usual = usual and exception is not None
        if not usual or not self.attributes(span, shape, resource, facts, exception or {}, out):
            del out[mark + 3 :]
            out[mark] = self.unusual(span, shape, resource, facts is not None, out)
        out[mark + 1] = self.texts[resource]
        out[mark + 2] = self.numbers(trace, span)

    def attributes(
        self,
        span: Span,
        shape: Shape,
        resource: str,
        facts: Optional[Facts],
        error: Dict[str, str],
        out: List[bytes],
    ) -> bool:
        """Append `meta`, `metrics` and what follows for a span with nothing unusual; False where there is."""
        attributes = span.attributes
        known = list(map(shape.keys.__getitem__, attributes))
        texts = self.texts
        texts[resource]
        own = shape.facts
        facts = facts or _NONE
        place = len(out)
        out += (b"", own.meta, facts.meta)
        numbers = [own.metrics, facts.metrics]
        before, url = len(out), False
        for (kind, name), value in zip(known, attributes.values()):
            if kind is not PLAIN:
                if kind is URL:
                    url = True
                    continue
                if kind is SLOW:
                    return False
                if kind is WORDS and value == resource:
                    continue
            packed, number = self.packed(kind, value)
            if packed is None:
                return False
            (numbers if number else out).extend((name, packed))
        if url and "url.full" not in attributes:
            out += (texts["http.url"], texts[url_of(attributes)])
        for key, value in error.items():
            out += (texts[key], texts[value])
        metas = own.metas + facts.metas + ((len(out) - before) >> 1)
        count = own.metric_count + facts.metric_count + ((len(numbers) - 2) >> 1)
        out[place] = self.header(self.meta_headers, metas)
        out.append(self.header(self.metrics_headers, count))
        out += numbers
        out.append(shape.tail)
        return True

    def packed(self, kind: int, value: Any) -> Tuple[Optional[bytes], bool]:
        """A value, packed (None: only the full translation can), and whether it is a number."""
        source, number = self.source(kind, type(value))
        if source is None:
            return None, False
        try:
            return source[value], number
        except OverflowError:
            return None, False

    def source(self, kind: int, of: type) -> Tuple[Optional[Dict[Any, bytes]], bool]:
        """Where the packed values of a type stand (None: nowhere), and whether they are numbers."""
        if of is str:
            return self.texts, False
        if kind == STATUS:
            return (self.statuses if of is int else None), False
        if of is bool:
            return self.bools, False
        return (self.integers if of is int else self.doubles if of is float else None), True

    # -- layouts --------------------------------------------------------------------------------------------------

    def layout(self, shape: Shape, attributes: Dict[str, Any]) -> Optional[Layout]:
        """A layout for spans with these attributes, made and kept; None: there can be none."""
        if len(shape.layouts) >= _MAX_LAYOUTS:
            return None
        self.layouts += 1
        if self.layouts > MAX_CACHED:
            self.layouts = 0
            for other in self.shapes.values():
                other.layouts.clear()
        known = list(map(shape.keys.__getitem__, attributes))
        made = None
        if all(kind for kind, _ in known):
            items = [(key, value, *found) for (key, value), found in zip(attributes.items(), known)]
            made = self._layout(shape, items)
            if made is not None and WORDS in [item[2] for item in items]:
                made.words = self._layout(shape, [item for item in items if item[2] != WORDS])
                if made.words is None:
                    made = None
        shape.layouts[tuple(attributes)] = made
        return made

    def _layout(self, shape: Shape, items: List[Tuple[str, Any, int, Any]]) -> Optional[Layout]:
        texts: List[Tuple[str, type, Any, bytes]] = []
        numbers: List[Tuple[str, type, Any, bytes]] = []
        url = False
        for key, value, kind, name in items:
            if kind == URL:
                url = True
                continue
            source, number = self.source(kind, type(value))
            if source is None:
                return None
            (numbers if number else texts).append((key, type(value), source, name))
        made = Layout()
        made.names = [name for *_, name in texts], [name for *_, name in numbers]
        made.numbers = len(numbers)
        made.types = tuple(item[1] for item in numbers + texts)
        made.sources = tuple(item[2] for item in numbers + texts)
        made.pick = _picker([item[0] for item in numbers + texts])
        if url and "url.full" not in [item[0] for item in items]:
            made.names[0].append(self.texts["http.url"])
            made.types += (str,)
            made.sources += (self.texts,)
            made.pick = _with_url(made.pick)
        made.template = self.template(shape, made, _NONE)
        made.first = {}
        made.words = None
        return made

    def first_of(self, shape: Shape, layout: Layout, facts: Facts) -> List[bytes]:
        """The template of a layout for the first span of a chunk, made and kept."""
        if len(layout.first) >= 8:
            layout.first.clear()
        made = layout.first[facts] = self.template(shape, layout, facts)
        return made

    def template(self, shape: Shape, layout: Layout, facts: Facts) -> List[bytes]:
        """What follows the fixed fields: each second piece is the place of a value."""
        own = shape.facts
        metas, numbers = layout.names
        literal = self.header(self.meta_headers, own.metas + facts.metas + len(metas)) + own.meta + facts.meta
        pieces: List[bytes] = []
        for name in metas:
            pieces += (literal + name, b"")
            literal = b""
        literal += self.header(self.metrics_headers, own.metric_count + facts.metric_count + len(numbers))
        literal += own.metrics + facts.metrics
        for name in numbers:
            pieces += (literal + name, b"")
            literal = b""
        return [*pieces, literal + shape.tail]

    # -- the rest -------------------------------------------------------------------------------------------------

    def unusual(self, span: Span, shape: Shape, resource: str, first: bool, out: List[bytes]) -> bytes:
        """Append what follows the fixed fields by the full translation; answers the span's head."""
        fixed = shape.fixed
        if first:
            meta, metrics = trace_facts(span.trace)
            fixed = dict(fixed[0], **meta), dict(fixed[1], **metrics)
        meta, metrics = translated(span, resource, shape.keys.names, fixed)
        head, tail = self.extras(span, shape, meta)
        packed = self.pairs(meta, metrics)
        out += (self.header(self.meta_headers, packed.metas), packed.meta)
        out += (self.header(self.metrics_headers, packed.metric_count), packed.metrics, tail)
        return head

    @staticmethod
    def header(headers: List[bytes], size: int) -> bytes:
        """The header of a map of any size: large ones are not in the list."""
        return headers[size] if size < len(headers) else headers[0][:-1] + map_header(size)


def _picker(keys: List[str]) -> Callable[[Dict[str, Any]], Tuple[Any, ...]]:
    """Takes the values of `keys` as a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    if keys:
        key = keys[0]
        return lambda attributes: (attributes[key],)
    return lambda attributes: ()


def _with_url(pick: Callable[[Dict[str, Any]], Tuple[Any, ...]]) -> Callable[[Dict[str, Any]], Tuple[Any, ...]]:
    """The same, with the URL at the end."""
    return lambda attributes: (*pick(attributes), url_of(attributes))
