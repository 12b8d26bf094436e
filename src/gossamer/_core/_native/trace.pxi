# What the spans of one trace in this process share, and the way from a finished span to a chunk.

cdef gsm_bytes _scratch  # for traces of one span: written and copied at once, under the GIL
_scratch.data = NULL
_scratch.size = _scratch.room = 0

cdef gsm_bytes _spare[32]  # memory of traces that have ended
cdef int _spare_count = 0


@cython.freelist(64)
cdef class Trace:
    """As `pure.Trace`."""

    cdef public Recorder recorder
    cdef public object origin
    cdef public object tags
    cdef public object tracestate
    cdef uint64_t high, low
    cdef int _priority, _mechanism
    cdef double _rate
    cdef public int64_t offset
    cdef public bint random
    cdef public bint recording
    cdef readonly uint32_t generation  # of forks
    cdef uint32_t open
    # Records of finished spans, while others are open.
    cdef Generation texts
    cdef gsm_bytes records
    cdef uint32_t recorded
    cdef int64_t base
    cdef list finished  # spans that processors wait for
    cdef object hex

    def __cinit__(self):
        self._priority = self._mechanism = NONE
        self._rate = NAN
        self.tracestate = ""
        self.random = self.recording = True
        self.generation = _forks

    def __init__(self, recorder, trace_id=0):
        self.recorder = recorder
        self.trace_id = trace_id

    def __dealloc__(self):
        if self.records.data != NULL:
            give_back(&self.records)

    @property
    def trace_id(self):
        """128 bits."""
        return (<object>self.high << 64 | self.low) if self.high else self.low

    @trace_id.setter
    def trace_id(self, value):
        self.high, self.low = (value >> 64) & 0xFFFFFFFFFFFFFFFF, value & 0xFFFFFFFFFFFFFFFF
        self.hex = None

    @property
    def trace_id_hex(self):
        """The trace id as 32 lower-case hexadecimal digits."""
        if self.hex is None:
            self.hex = hex_of(self.high) + hex_of(self.low)
        return self.hex

    @property
    def priority(self):
        """Sampling priority (-1, 0, 1, 2), or None."""
        return None if self._priority == NONE else self._priority

    @priority.setter
    def priority(self, value):
        self._priority = small(value)

    @property
    def mechanism(self):
        """How it was decided, or None."""
        return None if self._mechanism == NONE else self._mechanism

    @mechanism.setter
    def mechanism(self, value):
        self._mechanism = small(value)

    @property
    def rate(self):
        """The sampling rate that was applied, or None."""
        return None if self._rate != self._rate else self._rate

    @rate.setter
    def rate(self, value):
        self._rate = NAN if value is None else value

    def continued(self):
        """The part of this trace that a forked child adds."""
        return continued(self)

    def keep(self, priority=2, mechanism=4):
        """Set the sampling priority by hand: 2 keeps the trace, -1 drops it. What ended before stays as it is."""
        self.priority = priority
        self.mechanism = mechanism
        self.recording = self._priority > 0 or self.recorder.keep_unsampled

    def flush(self):
        """Hand on the finished spans as a chunk; called when no span is open, or when many have piled up."""
        flush(self)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("a trace belongs to its process and is not pickled")


cdef Trace continued(Trace trace):
    cdef Trace other = Trace.__new__(Trace)
    other.recorder = trace.recorder
    other.high, other.low, other.hex = trace.high, trace.low, trace.hex
    other._priority, other._mechanism, other._rate = trace._priority, trace._mechanism, trace._rate
    other.origin, other.tags, other.tracestate = trace.origin, trace.tags, trace.tracestate
    other.offset, other.random, other.recording = trace.offset, trace.random, trace.recording
    return other


cdef int small(value) except? -1:
    """A small number as C keeps it, None as NONE; what lies beyond stays at the end."""
    if value is None:
        return NONE
    return max(-1000000, min(1000000, int(value)))


cdef extern from *:
    """
    static PyObject *gsm_hex(uint64_t value)
    {
        char digits[16];
        int place;
        for (place = 15; place >= 0; place--, value >>= 4)
            digits[place] = "0123456789abcdef"[value & 15];
        return PyUnicode_FromStringAndSize(digits, 16);
    }
    """
    object hex_of "gsm_hex" (uint64_t value)


cdef void give_back(gsm_bytes *records):
    """Keep the memory of a trace that has ended for the next one, if it is of a usual size."""
    global _spare_count
    if _spare_count < 32 and records.room <= 16384:
        _spare[_spare_count] = records[0]
        _spare_count += 1
    else:
        free(records.data)
    records.data = NULL
    records.size = records.room = 0


cdef inline void take_spare(gsm_bytes *records):
    global _spare_count
    if _spare_count:
        _spare_count -= 1
        records[0] = _spare[_spare_count]
        records.size = 0


cdef int record(Trace trace, Span span, bint alone) except -1:
    """Write the record of a finished span; `alone`: it is its trace's only one, and becomes a chunk at once."""
    cdef Buffer buffer = trace.recorder._buffer
    cdef Generation generation
    cdef gsm_bytes *out
    cdef gsm_chunk head
    cdef size_t size
    cdef uint64_t shape, facts = 0
    cdef int status, tries = 0
    cdef uint32_t role = role_of(span)
    cdef tuple events = None, links = None
    if span.events is not None and span.events:
        events = pack_events(span.events)
    if span.links is not None and span.links:
        links = pack_links(span.links)
    while True:
        generation = trace.texts
        if generation is None:
            generation = current_generation()
        shape = shape_of(generation, span)
        if alone:
            facts = facts_of(generation, trace)
        elif trace.texts is None:
            trace.texts = generation
        elif trace.texts is not generation:
            continue  # Python code ran meanwhile (a finalizer, an odd value) and made other records
        # From here to the last byte nothing else can run.
        if alone:
            out = &_scratch
            out.size = 0
            head.base = span._start + trace.offset
        else:
            out = &trace.records
            if out.data == NULL:
                take_spare(out)
            if not trace.recorded:
                trace.base = span._start + trace.offset
            head.base = trace.base
        size = out.size
        status = write_span(out, generation.texts, trace, span, shape, role, head.base, events, links)
        if not status:
            break
        out.size = size
        if status < 0:
            buffer.dropped_spans += 1
            return 0
        tries += 1
        if tries == 1:
            normalise(span)  # values that are none of the known types
        else:
            span.attributes = events = links = None
    if not alone:
        trace.recorded += 1
        return 0
    head.spans, head.high, head.low, head.facts, head.unused = 1, trace.high, trace.low, <uint32_t>facts, 0
    status = buffer.add(generation, &head, out.data, out.size)
    if out.room > 65536:
        free(out.data)
        out.data = NULL
        out.size = out.room = 0
    if status:
        buffer.call()
    return 0


cdef int write_span(
    gsm_bytes *out, gsm_texts *texts, Trace trace, Span span, uint64_t shape, uint32_t role, int64_t base,
    tuple events, tuple links,
):
    cdef size_t begin
    cdef int status
    cdef uint8_t *at
    cdef uint8_t flags = <uint8_t>(role << FLAG_ROLE_SHIFT)
    if span._error:
        flags |= FLAG_ERROR
    if span.parent_id:
        flags |= FLAG_PARENT
    cdef bint attributes = span.few.count > 0 if span._attributes is None else (
        not PyDict_CheckExact(span._attributes) or PyDict_Size(span._attributes) > 0
    )
    if attributes:
        flags |= FLAG_ATTRIBUTES
    if events is not None:
        flags |= FLAG_EVENTS
    if links is not None:
        flags |= FLAG_LINKS
    if gsm_open_span(out, &begin):
        return -1
    at = out.data + out.size
    at[0] = flags
    at = gsm_put_u64(at + 1, span.span_id)
    if flags & FLAG_PARENT:
        at = gsm_put_u64(at, span.parent_id)
    at = gsm_put_varint(at, gsm_zigzag(span._start + trace.offset - base))
    at = gsm_put_varint(at, <uint64_t>span._duration)
    at = gsm_put_varint(at, shape)
    out.size = at - out.data
    if span.resource is None:
        status = gsm_put_byte(out, 0)
    elif not PyUnicode_CheckExact(span.resource):
        return 1
    else:
        status = gsm_put_str(out, texts, <PyObject *>span.resource, 1)
    if status:
        return status
    if attributes:
        if span._attributes is None:
            status = gsm_put_few(out, texts, &span.few)
        else:
            status = gsm_put_pairs(out, texts, <PyObject *>span._attributes)
        if status:
            return status
    if flags & FLAG_ERROR:
        if span.status_message is None:
            status = gsm_put_byte(out, 0)
        elif not PyUnicode_CheckExact(span.status_message):
            return 1
        else:
            status = gsm_put_str(out, texts, <PyObject *>span.status_message, 1)
        if status:
            return status
    if flags & FLAG_EVENTS:
        status = write_events(out, texts, events)
        if status:
            return status
    if flags & FLAG_LINKS:
        status = write_links(out, texts, links)
        if status:
            return status
    return gsm_close_span(out, begin)


cdef int write_events(gsm_bytes *out, gsm_texts *texts, tuple events):
    """Events were made plain by `pack_events`: (time, name, attributes)."""
    cdef tuple event
    cdef int status
    cdef uint64_t moment
    if gsm_put_number(out, <uint64_t>len(events)):
        return -1
    for event in events:
        moment = <uint64_t>event[0]
        if gsm_reserve(out, 8):
            return -1
        gsm_put_u64(out.data + out.size, moment)
        out.size += 8
        status = gsm_put_str(out, texts, <PyObject *>event[1], 1)
        if status:
            return status
        status = gsm_put_pairs(out, texts, <PyObject *>event[2])
        if status:
            return status
    return 0


cdef int write_links(gsm_bytes *out, gsm_texts *texts, tuple links):
    """Links were made plain: (high, low, span id, remote, priority or None, tracestate, attributes)."""
    cdef tuple link
    cdef int status
    cdef uint8_t *at
    if gsm_put_number(out, <uint64_t>len(links)):
        return -1
    for link in links:
        if gsm_reserve(out, 26):
            return -1
        at = gsm_put_u64(out.data + out.size, <uint64_t>link[0])
        at = gsm_put_u64(at, <uint64_t>link[1])
        at = gsm_put_u64(at, <uint64_t>link[2])
        at[0] = 1 if link[3] else 0
        out.size = at + 1 - out.data
        if link[4] is None:
            status = gsm_put_byte(out, V_NONE)
        else:
            status = gsm_put_value(out, texts, <PyObject *>link[4], 0)
        if status:
            return status
        status = gsm_put_str(out, texts, <PyObject *>link[5], 1)
        if status:
            return status
        status = gsm_put_pairs(out, texts, <PyObject *>link[6])
        if status:
            return status
    return 0


cdef normalise(Span span):
    """Make what a program set on a span writable: after it, `write_span` knows every value."""
    cdef object found = attributes_of(span)
    if found is not None:
        kept = {}
        try:
            for key, value in dict(found).items():
                if value is not None:
                    value = coerce(value)
                    if type(value) is int and value.bit_length() > 1000:
                        value = text(value)
                    kept[text(key, MAX_KEY)] = value
        except Exception:
            pass
        span._attributes = kept
    if span.resource is not None:
        span.resource = text(span.resource)
    if span.status_message is not None:
        span.status_message = text(span.status_message, MAX_MESSAGE)


cdef tuple pack_events(events):
    packed = []
    try:
        for event in events:
            packed.append((int(event.time) & 0xFFFFFFFFFFFFFFFF, text(event.name, MAX_KEY), plain(event.attributes)))
    except Exception:
        pass
    return tuple(packed)


cdef tuple pack_links(links):
    packed = []
    try:
        for link in links:
            context = link.context
            trace_id = context.trace_id
            packed.append((
                (trace_id >> 64) & 0xFFFFFFFFFFFFFFFF, trace_id & 0xFFFFFFFFFFFFFFFF,
                context.span_id & 0xFFFFFFFFFFFFFFFF, bool(context.is_remote),
                None if context.priority is None else small(context.priority),
                text(context.tracestate or ""), plain(link.attributes),
            ))
    except Exception:
        pass
    return tuple(packed)


cdef int close_records(Trace trace) except -1:
    """Hand on the records of a trace as a chunk."""
    cdef gsm_chunk head
    cdef gsm_bytes records
    cdef Generation generation = trace.texts
    cdef Buffer buffer = trace.recorder._buffer
    cdef bint kept
    if not trace.recorded:
        return 0
    cdef int64_t facts = facts_of(generation, trace)
    if not trace.recorded:
        return 0  # somebody else was faster, while Python code ran
    head.spans, head.high, head.low, head.base = trace.recorded, trace.high, trace.low, trace.base
    head.facts, head.unused = <uint32_t>facts, 0
    records = trace.records
    trace.records.data = NULL
    trace.records.size = trace.records.room = 0
    trace.recorded = 0
    kept = buffer.add(generation, &head, records.data, records.size)
    give_back(&records)
    # Not the texts: spans that are still open may write the next chunk with new ones.
    trace.texts = None
    if kept:
        buffer.call()
    return 0


cdef int flush(Trace trace) except -1:
    cdef list spans
    if trace.recorded:
        close_records(trace)
    if trace.finished is not None:
        spans, trace.finished = trace.finished, None
        trace.recorder.process(trace, spans)
    return 0


cdef put_spans(Buffer buffer, Trace trace, spans):
    """Finished spans as a chunk of `buffer`."""
    cdef Trace other
    cdef Span span
    cdef Recorder recorder
    other = continued(trace)
    recorder = Recorder.__new__(Recorder)
    recorder._buffer = buffer
    recorder._processors = ()
    other.recorder = recorder
    for span in spans:
        record(other, span, False)
    close_records(other)
