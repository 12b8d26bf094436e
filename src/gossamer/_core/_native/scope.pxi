# What user code starts spans with: `trace(...)` as a context manager and as a decorator.

cdef object _KINDS = frozenset(("internal", "server", "client", "producer", "consumer"))


@cython.no_gc
cdef class TraceScope(Span):
    """As `scope.TraceScope`. It adds no fields to those of a span, and so shares its freelist."""

    def __enter__(self):
        if not self.span_id:
            begin(self, self.chosen, True)
        elif self.live:
            store_active(self)
        return self

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, error_type, error, traceback):
        self.__exit__(error_type, error, traceback)

    def __call__(self, function):
        """Decorate a function, coroutine function, generator function or async generator function."""
        if not callable(function):
            raise TypeError("gossamer.trace decorates functions, not %s" % type(function).__name__)
        cdef Factory factory = Factory.__new__(Factory)
        factory.recorder = self.recorder
        factory.name = self.name
        if not factory.name:
            factory.name = getattr(function, "__qualname__", None) or type(function).__name__
        factory.resource, factory.service, factory.type, factory.kind = (
            self.resource, self.service, self.type, self.kind,
        )
        factory.attributes = attributes_of(self) or None
        factory.parent = self.chosen
        return self.starter.decorate(function, factory)


@cython.final
cdef class Factory:
    """Starts a span that is like the others it started; `factory(False)`: without making it active."""

    cdef Recorder recorder
    cdef object name, resource, service, type, kind, attributes, parent

    def __call__(self, bint activate=True):
        cdef Span span = Span.__new__(Span)
        span.recorder = self.recorder
        span.name, span.resource, span.service = self.name, self.resource, self.service
        span.type, span.kind = self.type, self.kind
        if self.attributes is not None:
            span._attributes = dict(self.attributes)
        begin(span, self.parent, activate)
        return span


cdef class Starter:
    """As `scope.Starter`: the half of `Tracer` that starts spans."""

    cdef public Recorder recorder

    def __init__(self, recorder=None):
        self.recorder = Recorder() if recorder is None else recorder

    def trace(
        self, name="", *, resource=None, service=None, type=None, kind="internal", attributes=None, parent=_ACTIVE
    ):
        """Trace a block or a function: `with trace("checkout") as span: ...`, `@trace("price")`, `@trace`.

        A block gets a span, active inside it, `async with` as well. Every call of a decorated function gets one:
        functions, coroutine functions, generator functions and async generator functions (theirs lasts until they are
        exhausted or closed). An exception that leaves the block or the call is recorded and goes on unchanged.

        Args:
            name: the operation name, the same for all calls of a kind. Default for functions: their qualified name.
            resource: what is operated on; of low cardinality. Default: the name.
            service: default: the application's (`DD_SERVICE`).
            type: Datadog's span type: "web", "http", "sql", "cache", "worker", "template" ...
            kind: "internal" (default), "server", "client", "producer" or "consumer".
            attributes: by OpenTelemetry's names where these have one.
            parent: a span or a `SpanContext`; None begins a new trace. Default: the active span.
        """
        if not PyUnicode_CheckExact(name) and callable(name) and not isinstance(name, str):
            return new_scope(self, "", None, None, None, _internal, None, _ACTIVE)(name)
        return new_scope(self, name, resource, service, type, kind, attributes, parent)

    def start_span(
        self, name, *, parent=_ACTIVE, resource=None, service=None, type=None, kind="internal", attributes=None,
        activate=False, start_time=None,
    ):
        """Begin a span that the caller finishes with `span.finish()`.

        Args:
            activate: whether spans that start after it become its children. Default False.
            start_time: nanoseconds since the epoch. Default: now.

        The other arguments are those of `trace`.
        """
        cdef TraceScope scope = new_scope(self, name, resource, service, type, kind, attributes, parent)
        begin(scope, scope.chosen, bool(activate))
        if start_time is not None:
            scope._start = moment(start_time, scope._start + scope._trace.offset) - scope._trace.offset
        return scope


cdef inline TraceScope new_scope(
    Starter starter, object name, object resource, object service, object type, object kind, object attributes,
    object parent,
):
    cdef TraceScope scope = TraceScope.__new__(TraceScope)
    scope.starter = starter
    scope.recorder = starter.recorder
    scope.name = name if PyUnicode_CheckExact(name) else text(name, MAX_KEY)
    if resource is not None:
        scope.resource = resource if PyUnicode_CheckExact(resource) else text(resource)
    if service is not None:
        scope.service = service if PyUnicode_CheckExact(service) else text(service, MAX_KEY)
    if type is not None:
        scope.type = type if PyUnicode_CheckExact(type) else text(type, MAX_KEY)
    if kind is not _internal:
        scope.kind = kind if PyUnicode_CheckExact(kind) and kind in _KINDS else _internal
    if attributes is not None and attributes:
        scope._attributes = given_attributes(attributes)
    scope.chosen = parent if parent is _ACTIVE else usable(parent)
    return scope


cdef object given_attributes(attributes):
    try:
        return {text(key, MAX_KEY): coerce(value) for key, value in attributes.items() if value is not None}
    except Exception:
        return None
