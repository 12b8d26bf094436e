"""Carries a trace over process boundaries: writes headers of outgoing messages, reads those of incoming ones.

`Propagation` holds the formats in use, in their order. What reads headers is given a function from a lower-case name
to a value, so that a server looks up the few headers that matter and copies none; `headers_getter`, `environ_getter`
and `pairs_getter` make that function for mappings, WSGI environments and lists of pairs.
"""

from __future__ import annotations

from .._core import Link, SpanContext
from .propagators import PROPAGATORS
from .propagators.baggage import write as write_baggage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Mapping, Optional, Set, Tuple, Union

    from .._core import Span
    from .propagators import Getter, Propagator, Setter

    Form = Tuple[Any, ...]

DEFAULT_STYLES = ("datadog", "tracecontext", "baggage")
_LOW = 0xFFFFFFFFFFFFFFFF
_ERROR = "_dd.propagation_error"

FIELDS = tuple(field for propagator in PROPAGATORS.values() for field in propagator.fields)
"""Every header that any format reads or writes, in lower case."""


def environ_key(header: str) -> str:
    """What a WSGI environment calls a header."""
    return "HTTP_" + header.upper().replace("-", "_")


_ENVIRON_KEYS = {field: environ_key(field) for field in FIELDS}
_PAIR_KEYS: Dict[Union[str, bytes], str] = {field: field for field in FIELDS}
_PAIR_KEYS.update({field.encode("ascii"): field for field in FIELDS})

# Names of headers that are none of ours in another case of letters. Programs choose them, so there is an end to it.
_harmless: Set[str] = set(FIELDS)
_MAX_NAMES = 1024
_MAX_NAME = 64

_MAX_FORMS = 256
_NO_UPPER = "0" * 16
_MARK = 0xFEEDC0DEFEEDC0DE  # stands for an id in headers that become a form
_MARK_HEX = "%016x" % _MARK
_low = ("", "")  # the last trace id and its lower half in decimal, which is dear: most traces send more than once


class Propagation:
    """The formats in which this process sends and understands trace contexts.

    Args:
        inject_styles: names of `PROPAGATORS`; every outgoing message carries all of them. "none" and unknown names
            are passed over.
        extract_styles: the formats that are read. The first that holds a valid context decides; a later one of the
            same trace adds its `tracestate`, one of another trace becomes a span link.
        extract_first: do not look at later formats once a context was found (baggage excepted).
    """

    def __init__(
        self,
        inject_styles: Iterable[str] = DEFAULT_STYLES,
        extract_styles: Iterable[str] = DEFAULT_STYLES,
        extract_first: bool = False,
    ) -> None:
        self.injectors = _chosen(inject_styles)
        self.extractors = _chosen(extract_styles)
        self.extract_first = extract_first
        self.leads: Tuple[str, ...] = tuple(lead for propagator in self.extractors for lead in propagator.leads)
        """Headers without which there is nothing to extract."""
        names = [propagator.name for propagator in self.injectors]
        self._usual = names == [name for name in DEFAULT_STYLES if name in names]
        self._baggage = "baggage" in names
        self._forms: Dict[Any, Form] = {}

    @property
    def fields(self) -> Tuple[str, ...]:
        """The headers that `inject` may write, in lower case."""
        return tuple(field for propagator in self.injectors for field in propagator.fields)

    def inject(self, span: Union[Span, SpanContext], carrier: Any, set: Optional[Setter] = None) -> None:
        """Write the context of `span` into `carrier`: a mutable mapping, or a list of (name, value) pairs.

        `set(name, value)`, if given, writes instead; `carrier` is not touched then. What stands in `carrier` under the
        same name goes, in any case of letters: an application that passes on the headers it received would else send
        each of them twice. Nothing is raised: a carrier that refuses the headers goes without them.
        """
        try:
            headers: Dict[str, str] = {}
            if set is None and carrier.__class__ is dict:
                if not _harmless.issuperset(carrier):
                    _drop_variants(carrier)
                headers = carrier
            if not self._usual or isinstance(span, SpanContext) or not self._fill(span, headers):
                context = span if isinstance(span, SpanContext) else context_of(span)
                for propagator in self.injectors:
                    propagator.inject(context, headers.__setitem__)
                if _ERROR in context.tags and context is not span:
                    _note_error(span, context.tags[_ERROR])
            if headers is not carrier:
                _write(headers, carrier, set)
        except Exception:
            pass

    def _fill(self, span: Span, headers: Dict[str, str]) -> bool:
        """Do as the propagators do, with what they once wrote for such a span; answers False if that cannot be."""
        trace = span.trace
        whole, last = trace.trace_id_hex, span.span_id_hex
        upper = whole[:16]
        key: Any = (trace.priority, trace.mechanism, trace.origin, trace.tracestate, trace.random, upper == _NO_UPPER)
        if trace.tags:
            key += tuple(trace.tags.items())
        form = self._forms.get(key)
        if form is None:
            form = self._form(span, upper != _NO_UPPER)
            if len(self._forms) >= _MAX_FORMS:
                self._forms.clear()
            self._forms[key] = form
        if not form:
            return False
        datadog, priority, origin, tags, flags, before, after = form
        if datadog:
            global _low
            known = _low
            if known[0] is not whole:
                known = _low = (whole, str(int(whole[16:], 16)))
            headers["x-datadog-trace-id"] = known[1]
            headers["x-datadog-parent-id"] = str(span.span_id)
            if priority is not None:
                headers["x-datadog-sampling-priority"] = priority
            if origin is not None:
                headers["x-datadog-origin"] = origin
            if tags is not None:
                headers["x-datadog-tags"] = tags if upper == _NO_UPPER else tags + upper
        if flags is not None:
            headers["traceparent"] = f"00-{whole}-{last}{flags}"
            headers["tracestate"] = f"{before}{last}{after}"
        if span.baggage and self._baggage:
            value = write_baggage(span.baggage)
            if value:
                headers["baggage"] = value
        return True

    def _form(self, span: Span, upper: bool) -> Form:
        """What the headers of all spans whose traces are like that of `span` have in common; empty: nothing usable."""
        context = context_of(span)
        context.trace_id, context.span_id = _MARK << 64 | _MARK if upper else _MARK, _MARK
        context.tags, context.baggage = dict(context.tags), {}
        found: Dict[str, str] = {}
        for propagator in self.injectors:
            propagator.inject(context, found.__setitem__)
        before, _, after = found.get("tracestate", "").partition(_MARK_HEX)
        ours = before[-2:] == "p:" and "," not in before  # else our member was cut, and the mark is somebody else's
        if _ERROR in context.tags or ("tracestate" in found and (not ours or _MARK_HEX in after)):
            return ()
        tags = found.get("x-datadog-tags")
        return (
            "x-datadog-trace-id" in found,
            found.get("x-datadog-sampling-priority"),
            found.get("x-datadog-origin"),
            tags[:-16] if tags and upper else tags,
            found["traceparent"][-3:] if "traceparent" in found else None,
            before,
            after,
        )

    def extract(self, carrier: Any) -> Optional[SpanContext]:
        """The context that `carrier` holds: a mapping in any case of names, or pairs of str or bytes; None without."""
        try:
            return self.extract_from(headers_getter(carrier))
        except Exception:
            return None

    def extract_from(self, get: Getter) -> Optional[SpanContext]:
        """The context that the headers behind `get` hold, or None. `get` takes lower-case names.

        A context whose `trace_id` is 0 has no trace, only baggage.
        """
        context: Optional[SpanContext] = None
        style = ""
        for propagator in self.extractors:
            if self.extract_first and style and propagator.name != "baggage":
                continue
            try:
                found = propagator.extract(get)
            except Exception:
                continue
            if found is None:
                continue
            if context is None:
                context = found
            elif not context.trace_id or not found.trace_id:
                context = _with_baggage(context, found)
            else:
                _merge(context, style, found, propagator.name)
            if not style and found.trace_id:
                style = propagator.name
        return context


def _chosen(styles: Iterable[str]) -> Tuple[Propagator, ...]:
    names = [styles] if isinstance(styles, str) else [str(style).strip().lower() for style in styles]
    return tuple(PROPAGATORS[name] for name in dict.fromkeys(names) if name in PROPAGATORS)


def _with_baggage(context: SpanContext, found: SpanContext) -> SpanContext:
    trace, other = (context, found) if context.trace_id else (found, context)
    trace.baggage = dict(trace.baggage, **other.baggage)
    return trace


def _merge(context: SpanContext, style: str, found: SpanContext, found_style: str) -> None:
    """Take over from a later format what the first one could not say."""
    mine, other = context.trace_id, found.trace_id
    if mine != other and ((mine ^ other) & _LOW or (mine >> 64 and other >> 64)):
        link = Link(found, {"reason": "terminated_context", "context_headers": found_style})
        context.links += (link,)
        return
    # The upper half is lost where a tracer drops the tag that carries it.
    context.trace_id = mine | other
    if found_style != "tracecontext":
        return
    context.tracestate = found.tracestate
    context.random = found.random
    last = found.tags.get("_dd.parent_id")
    if found.span_id != context.span_id:
        # A tracer in between knows `traceparent` only: its span is the nearest, ours is the one before.
        last = last or "%016x" % context.span_id
        context.span_id = found.span_id
    if last:
        context.tags["_dd.parent_id"] = last


def context_of(span: Span) -> SpanContext:
    """What a message from `span` carries: its context and the word on how the trace was sampled."""
    context = span.context
    if not context.trace_id:
        return context
    mechanism = span.trace.mechanism
    if mechanism is not None:
        tags = context.tags = dict(context.tags)
        if context.priority is not None and context.priority > 0:
            tags["_dd.p.dm"] = "-%d" % mechanism
        else:
            tags.pop("_dd.p.dm", None)
    return context


def _note_error(span: Any, error: str) -> None:
    trace = span.trace
    trace.tags = dict(trace.tags or (), **{_ERROR: error})


def setter(carrier: Any) -> Setter:
    """The function that writes one header into `carrier`, a mutable mapping."""
    if isinstance(carrier, dict):
        _drop_variants(carrier)
    return carrier.__setitem__  # type: ignore[no-any-return]


def _drop_variants(carrier: Dict[Any, Any]) -> None:
    for key in list(carrier):
        if isinstance(key, str) and key not in _harmless:
            if not key.islower() and key.lower() in _PAIR_KEYS:
                del carrier[key]
            elif len(_harmless) < _MAX_NAMES and len(key) <= _MAX_NAME:
                _harmless.add(key)


def _write(headers: Dict[str, str], carrier: Any, set: Optional[Setter]) -> None:
    if set is None and isinstance(carrier, list):
        # Pairs are written as bytes when the list holds such.
        if carrier and isinstance(carrier[0][0], bytes):
            pairs: Any = {name.encode("ascii"): value.encode("ascii", "replace") for name, value in headers.items()}
        else:
            pairs = headers
        carrier[:] = [pair for pair in carrier if pair[0].lower() not in pairs]
        carrier.extend(pairs.items())
        return
    if set is None:
        set = setter(carrier)
    for name, value in headers.items():
        set(name, value)


def _text(value: Any) -> Optional[str]:
    """A header's value as text: str, bytes, or several of them, which are joined as HTTP prescribes."""
    if type(value) is str or value is None:
        return value
    if isinstance(value, str):
        return "".join((value,))
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("latin-1")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, (list, tuple)):
        parts = [_text(part) for part in value[:64]]
        return ",".join(part for part in parts if part)
    return None


def headers_getter(carrier: Any) -> Getter:
    """The getter over a mapping, whatever the case of its names, or a list of pairs."""
    items = getattr(carrier, "items", None)
    return pairs_getter(carrier if items is None else items())


def environ_getter(environ: Mapping[str, Any]) -> Getter:
    """The getter over a WSGI environment, whose keys are like `HTTP_TRACEPARENT`."""
    lookup = environ.get

    def get(name: str) -> Optional[str]:
        value = lookup(_ENVIRON_KEYS[name])
        return value if value.__class__ is str or value is None else _text(value)

    return get


def pairs_getter(pairs: Iterable[Tuple[Any, Any]]) -> Getter:
    """The getter over (name, value) pairs of str or bytes, as ASGI has them. Repeated headers are joined by commas."""
    found: Dict[str, Optional[str]] = {}
    for name, value in pairs:
        if not isinstance(name, (str, bytes)):
            continue
        field = _PAIR_KEYS.get(name)
        if field is None:
            if name in _harmless:
                continue
            # ASGI promises lower case, others do not.
            field = _PAIR_KEYS.get(name.lower())
            if field is None:
                continue
        if value.__class__ is not str:
            value = _text(value)
        before = found.get(field)
        found[field] = value if before is None else "%s,%s" % (before, value or "")
    return found.get
