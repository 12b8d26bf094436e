# The span: while it is open.

@cython.freelist(256)
@cython.no_gc
cdef class Span:
    """As `pure.Span`."""

    cdef public Recorder recorder
    cdef public object name
    cdef public object resource
    cdef public object service
    cdef public object type
    cdef public object kind
    cdef public object integration
    cdef public object layer
    cdef public object status_message
    cdef public object events
    cdef public object links
    cdef public object baggage
    # Attributes are set into `few` while there are few of them and nobody has asked for the dict.
    cdef object _attributes
    cdef gsm_few few
    cdef Trace _trace
    # References of our own, so that a long chain of spans is let go one by one, not one within the other.
    cdef PyObject *_parent
    cdef PyObject *_enclosing  # NULL: the parent
    cdef object __weakref__
    cdef public uint64_t span_id
    cdef public uint64_t parent_id
    cdef public int64_t _start
    cdef int64_t _duration  # -1 while the span is open
    cdef readonly bint live
    cdef bint _error
    cdef signed char _role  # -1: to be told from the parent
    # Of a TraceScope: who made it, and the parent that it is to have.
    cdef object starter
    cdef object chosen

    def __cinit__(self):
        self._duration = -1
        self._role = -1
        self.kind = _internal
        self.status_message = ""

    def __init__(
        self, recorder, name, resource=None, service=None, type=None, kind="internal", attributes=None,
        integration=None, layer=None,
    ):
        self.recorder = recorder
        self.name = name
        self.resource = resource
        self.service = service
        self.type = type
        self.kind = kind
        self._attributes = attributes
        self.integration = integration
        self.layer = layer

    def __dealloc__(self):
        cdef PyObject *found
        if self.few.count:
            gsm_few_clear(&self.few)
        found, self._enclosing = self._enclosing, NULL
        if found != NULL:
            let_go(found)
        found, self._parent = self._parent, NULL
        if found != NULL:
            let_go(found)

    # -- life -----------------------------------------------------------------------------------------------------

    def begin(self, parent=_ACTIVE, activate=True, start_time=None):
        """Start the clock, take the place under `parent` (None: a new trace), and become the active span."""
        begin(self, parent, activate)
        if start_time is not None:
            self._start = moment(start_time, self._start + self._trace.offset) - self._trace.offset
        return self

    def finish(self, end_time=None):
        """End the span now, or at `end_time` (nanoseconds since the epoch). Only the first call counts."""
        finish(self, end_time)

    def __enter__(self):
        if not self.span_id:
            begin(self, _ACTIVE, True)
        elif self.live:
            store_active(self)
        return self

    def __exit__(self, error_type, error, traceback):
        if error is not None:
            try:
                self.fail(error)
            except Exception:  # an exception class that overrides more than one could foresee
                self._error = True
        finish(self, None)

    def detach(self):
        """Stay open, but no longer be the active span here: for work that goes on elsewhere (a streamed body)."""
        cdef object stored = load_active()
        while stored is not None and is_span(stored):
            if stored is self:
                store_active(open_from(enclosing_of(self)))
                return
            stored = enclosing_of(<Span>stored)

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def trace(self):
        """What the spans of one trace share."""
        if self._trace is None:
            raise AttributeError("trace")
        return self._trace

    @trace.setter
    def trace(self, value):
        self._trace = value

    @property
    def parent(self):
        """The span of this process that caused it, None for a local root."""
        return None if self._parent == NULL else <object>self._parent

    @property
    def enclosing(self):
        """What is active again after it."""
        return enclosing_of(self)

    @property
    def attributes(self):
        """By OpenTelemetry's names."""
        return attributes_of(self)

    @attributes.setter
    def attributes(self, value):
        gsm_few_clear(&self.few)
        self._attributes = value

    @property
    def error(self):
        """Whether the operation failed."""
        return self._error

    @error.setter
    def error(self, value):
        self._error = bool(value)

    @property
    def duration(self):
        """Nanoseconds; None while the span is open."""
        return None if self._duration < 0 else self._duration

    @duration.setter
    def duration(self, value):
        self._duration = -1 if value is None else value

    @property
    def start_time(self):
        """Nanoseconds since the epoch; 0 before the span began."""
        return self._start + self._trace.offset if self.span_id else 0

    @property
    def trace_id(self):
        """128 bits; 0 before the span began."""
        return self._trace.trace_id if self.span_id else 0

    @property
    def span_id_hex(self):
        """The span id as 16 lower-case hexadecimal digits."""
        return hex_of(self.span_id)

    @property
    def role(self):
        """`ROOT`, `ENTRY` or `INSIDE`."""
        return role_of(self)

    @property
    def local_root(self):
        """The outermost span of this trace in this process that encloses this one."""
        cdef Span span = self
        while span._parent != NULL and (<Span>span._parent)._trace is self._trace:
            span = <Span>span._parent
        return span

    @property
    def recording(self):
        """False when nothing that is set will be sent."""
        return self._duration < 0 and (not self.span_id or self._trace.recording)

    @property
    def context(self):
        """What a carrier, a link or another process needs to refer to this span; ids of 0 before it began."""
        if not self.span_id:
            return SpanContext(0, 0)
        cdef Trace trace = self._trace
        context = SpanContext(
            trace.trace_id, self.span_id, trace.priority, trace.origin, trace.tags, trace.tracestate, self.baggage
        )
        context.random = trace.random
        return context

    def __repr__(self):
        if not self.span_id:
            return "<Span %s, not begun>" % self.name
        return "<Span %s %016x of trace %032x>" % (self.name, self.span_id, self.trace_id)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("a span belongs to its process and is not pickled; its `context` is")

    # -- facts ----------------------------------------------------------------------------------------------------

    def set_attribute(self, key, value):
        """Set one attribute. Values: str, bool, int, float, bytes, sequences of them; others by their `str()`.

        `manual.keep` and `manual.drop` (with a true value) decide on the sampling of the whole trace instead.
        """
        set_attribute(self, key, value)

    def set_attributes(self, attributes):
        """Set several attributes, each as `set_attribute` does."""
        try:
            items = [(key, value) for key, value in attributes.items()]
        except Exception:
            return
        for key, value in items:
            set_attribute(self, key, value)

    def add_event(self, name, attributes=None, time=None):
        """Add an event, now or at `time` (nanoseconds since the epoch). At most 128 are kept."""
        if self._duration >= 0:
            return
        if self.events is None:
            self.events = []
        if len(self.events) < MAX_EVENTS:
            now = now_ns() + self._trace.offset if self.span_id else wall_ns()
            self.events.append(Event(text(name, MAX_KEY), now if time is None else moment(time, now), plain(attributes)))

    def add_link(self, context, attributes=None):
        """Refer to another span by its context (a `Span` will do as well). At most 128 are kept."""
        kind = type(context)
        if issubclass(kind, Span):
            context = context.context
        elif not issubclass(kind, SpanContext):
            return
        if self._duration >= 0 or not context.trace_id:
            return
        if self.links is None:
            self.links = []
        if len(self.links) < MAX_LINKS:
            self.links.append(Link(context, plain(attributes)))

    def record_exception(self, error, attributes=None):
        """Keep type, message and stack of `error` as an event; the span does not count as failed for it."""
        if self._duration < 0 and issubclass(type(error), BaseException):
            facts = describe(error)
            facts.update(plain(attributes))
            self.add_event("exception", facts)

    def set_error(self, error=None):
        """Mark the operation as failed; `error` is an exception, which is recorded, or a message."""
        if self._duration >= 0:
            return
        self._error = True
        if issubclass(type(error), BaseException):
            self.record_exception(error)
        if error is not None:
            self.status_message = text(error, MAX_MESSAGE)

    def fail(self, error):
        """Judge an exception that leaves the operation: most are errors, leaving early is not."""
        if not isinstance(error, Exception):
            if isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code):
                return
            if error.__class__.__name__ == "CancelledError":
                self.set_attribute("cancelled", True)
                return
        elif error.__class__.__name__ == "CancelledError":  # an Exception before Python 3.8
            self.set_attribute("cancelled", True)
            return
        self.set_error(error)

    def set_baggage(self, key, value):
        """Give `key` to this span's later children, here and in the processes called."""
        if self.span_id:
            baggage = dict(self.baggage) if self.baggage else {}
            baggage[text(key)] = text(value)
            self.baggage = baggage


cdef void let_go(PyObject *found):
    """Give up a reference; where it was the last one of a span, those of the spans outwards of it as well."""
    cdef PyObject *outwards
    while found != NULL:
        outwards = NULL
        if Py_REFCNT(found) == 1 and is_span(<object>found):
            outwards = take_outwards(found)
        Py_XDECREF(found)
        found = outwards


cdef inline PyObject *take_outwards(PyObject *found):
    cdef PyObject *outwards = (<Span>found)._enclosing
    if outwards != NULL and outwards != <PyObject *>None:
        (<Span>found)._enclosing = NULL
        return outwards
    outwards = (<Span>found)._parent
    (<Span>found)._parent = NULL
    return outwards


cdef inline bint is_span(object found):
    return type(found) is Span or type(found) is TraceScope or isinstance(found, Span)


cdef inline object enclosing_of(Span span):
    if span._enclosing != NULL:
        return <object>span._enclosing
    return None if span._parent == NULL else <object>span._parent


cdef inline uint32_t role_of(Span span) except? 99:
    cdef Span parent
    if span._role >= 0:
        return span._role
    if span._parent == NULL:
        return 2
    parent = <Span>span._parent
    if parent._trace is not span._trace:
        return 2
    if parent.service is span.service:
        return 0
    return compare_services(parent, span)


cdef uint32_t compare_services(Span parent, Span span) except? 99:
    default = span.recorder.service
    return 0 if (parent.service or default) == (span.service or default) else 1


cdef object attributes_of(Span span):
    """The attributes as a dict, which from now on is where they are."""
    if span._attributes is None:
        span._attributes = gsm_few_dict(&span.few)
        gsm_few_clear(&span.few)
    return span._attributes


cdef inline int set_attribute(Span span, object key, object value) except -1:
    if span._duration >= 0:
        return 0
    if gsm_plain(<PyObject *>key, <PyObject *>value):
        if span._attributes is None and gsm_few_set(&span.few, <PyObject *>key, <PyObject *>value):
            return 0
        attributes_of(span)[key] = value
        return 0
    return set_odd_attribute(span, key, value)


cdef int set_odd_attribute(Span span, object key, object value) except -1:
    if type(key) is not str or len(key) > MAX_KEY:
        key = text(key, MAX_KEY)
    if value is None:
        return 0
    value = coerce(value)
    if key[:7] == "manual." and decide(span, key, value):
        return 0
    attributes_of(span)[key] = value
    return 0


cdef bint decide(Span span, key, value) except -1:
    if key not in ("manual.keep", "manual.drop") or not span.span_id:
        return False
    if value and value != "false":
        span._trace.keep(2 if key == "manual.keep" else -1)
    return True
