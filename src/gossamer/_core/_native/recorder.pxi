# What starts spans and receives what they recorded.

cdef class Recorder:
    """As `pure.Recorder`."""

    cdef Buffer _buffer
    cdef object _sampler
    cdef tuple _processors
    cdef public int64_t partial_flush_min_spans
    cdef public bint keep_unsampled
    cdef public bint enabled
    cdef public bint ids_128
    cdef public int64_t processor_errors
    cdef public object service
    cdef object _decision  # (priority, mechanism, rate) of every new trace, or None: ask the sampler
    cdef int decided_priority, decided_mechanism
    cdef double decided_rate
    cdef object __weakref__

    def __cinit__(self):
        self._processors = ()
        self.partial_flush_min_spans = 300
        self.keep_unsampled = self.enabled = self.ids_128 = True
        self.service = ""

    def __init__(self, buffer=None, sampler=None):
        self._buffer = Buffer() if buffer is None else buffer
        self.sampler = sampler

    @property
    def buffer(self):
        """Where finished chunks go."""
        return self._buffer

    @buffer.setter
    def buffer(self, value):
        self._buffer = value

    @property
    def sampler(self):
        """Decides on a new trace, given it and its first span; one with a `bind` tells its constant decision."""
        return self._sampler

    @sampler.setter
    def sampler(self, value):
        self._sampler = value
        self.decision = None
        bind = getattr(value, "bind", None)
        if bind is not None:
            bind(self)

    @property
    def decision(self):
        """What is decided on every new trace without asking the sampler: (priority, mechanism, rate), or None."""
        return self._decision

    @decision.setter
    def decision(self, value):
        if value is not None:
            priority, mechanism, rate = value
            self.decided_priority, self.decided_mechanism = small(priority), small(mechanism)
            self.decided_rate = NAN if rate is None else rate
        self._decision = value

    @property
    def processors(self):
        """See finished traces before they are written; may change them, or answer None to drop them."""
        return self._processors

    @processors.setter
    def processors(self, value):
        self._processors = tuple(value)

    def start(
        self, name, resource=None, service=None, type=None, kind="internal", attributes=None, integration=None,
        layer=None, parent=_ACTIVE, activate=True,
    ):
        """A begun span. The arguments are trusted: `Tracer` coerces those of user code."""
        cdef Span span = Span.__new__(Span)
        span.recorder = self
        span.name = name
        span.resource = resource
        span.service = service
        span.type = type
        span.kind = kind
        span._attributes = attributes
        span.integration = integration
        span.layer = layer
        begin(span, parent, activate)
        return span

    cdef process(self, Trace trace, list spans):
        """Run the processors over finished spans and put what is left into the buffer."""
        for processor in self._processors:
            try:
                kept = processor(list(spans))
                kept = None if kept is None else [span for span in kept if isinstance(span, Span)]
            except Exception:
                self.processor_errors += 1
                if self.processor_errors == 1:
                    from .. import _log

                    _log.get(__name__).exception("a span processor failed; its traces are sent as they were")
                continue
            if not kept:
                return
            spans = kept
        try:
            put_spans(self._buffer, trace, spans)
        except Exception:
            self._buffer.dropped_spans += len(spans)
            self._buffer.dropped_traces += 1

    def emit(self, trace, spans):
        """Run the processors over finished spans and put what is left into the buffer."""
        self.process(trace, list(spans))


cdef Trace open_trace(Recorder recorder, Span span, object parent, int64_t now):
    """A trace for its first span here: a new one, or the continuation of a remote one."""
    cdef Trace trace = Trace.__new__(Trace)
    trace.recorder = recorder
    trace.offset = offset_at(now)
    if parent is None:
        trace.low = new_id()
        if recorder.ids_128:
            trace.high = <uint64_t>((now + trace.offset) // OFFSET_NS & 0xFFFFFFFF) << 32
    else:
        continue_remote(recorder, trace, span, parent, now)
    span._trace = trace
    if not recorder.enabled:
        trace.recording = False
        return trace
    if trace._priority == NONE:
        if recorder._decision is not None:
            trace._priority, trace._mechanism = recorder.decided_priority, recorder.decided_mechanism
            trace._rate = recorder.decided_rate
        elif recorder._sampler is not None:
            try:
                recorder._sampler(trace, span)
            except Exception:
                trace._priority = 1
    if trace._priority != NONE and trace._priority <= 0:
        trace.recording = recorder.keep_unsampled
    return trace


cdef int continue_remote(Recorder recorder, Trace trace, Span span, object parent, int64_t now) except -1:
    span.baggage = parent.baggage or None
    if not parent.trace_id:
        trace.low = new_id()
        if recorder.ids_128:
            trace.high = <uint64_t>((now + trace.offset) // OFFSET_NS & 0xFFFFFFFF) << 32
        return 0
    trace.trace_id = parent.trace_id
    trace.priority = parent.priority
    trace.origin = parent.origin
    trace.tags = parent.tags
    trace.tracestate = parent.tracestate
    trace.random = parent.random
    span.parent_id = parent.span_id & 0xFFFFFFFFFFFFFFFF
    for link in parent.links:
        span.add_link(link.context, link.attributes)
    return 0
