# Records made into objects again: for what wants to look at them (the console, tests, odd spans of the encoders).

cdef Trace restore_trace(Generation generation, const gsm_chunk *head):
    cdef Trace trace = Trace.__new__(Trace)
    trace.high, trace.low, trace.offset = head.high, head.low, 0
    trace.priority, trace.mechanism, trace.rate, trace.origin, tags, trace.tracestate = generation.facts[head.facts]
    trace.tags = None if tags is None else dict(tags)
    trace.recorder = _restorer
    return trace


cdef object restore_text(gsm_texts *texts, const uint8_t **at):
    cdef const uint8_t *data
    cdef uint32_t size, place
    at[0] = gsm_read_text(texts, at[0], &data, &size, &place)
    if data == NULL:
        return None
    return (<const char *>data)[:size].decode("utf-8", "replace")


cdef object restore_value(gsm_texts *texts, const uint8_t **at):
    cdef uint8_t kind = at[0][0]
    cdef uint64_t number
    cdef double real
    cdef const uint8_t *data
    at[0] += 1
    if kind == V_TEXT:
        return restore_text(texts, at)
    if kind == V_INT:
        at[0] = gsm_varint(at[0], &number)
        return gsm_unzigzag(number)
    if kind == V_DOUBLE:
        memcpy(&real, at[0], 8)
        at[0] += 8
        return real
    if kind == V_TRUE:
        return True
    if kind == V_FALSE:
        return False
    if kind == V_BYTES:
        at[0] = gsm_varint(at[0], &number)
        data = at[0]
        at[0] += number
        return (<const char *>data)[:number]
    if kind == V_ITEMS:
        at[0] = gsm_varint(at[0], &number)
        return tuple([restore_value(texts, at) for _ in range(number)])
    if kind == V_BIG:
        written = restore_text(texts, at)
        try:
            return int(written)
        except ValueError:
            return written
    return None


cdef dict restore_pairs(gsm_texts *texts, const uint8_t **at):
    cdef uint64_t count
    cdef dict found = {}
    at[0] = gsm_varint(at[0], &count)
    for _ in range(count):
        key = restore_text(texts, at)
        found[key] = restore_value(texts, at)
    return found


cdef list restore_events(gsm_texts *texts, const uint8_t **at):
    cdef uint64_t count, moment
    cdef list found = []
    at[0] = gsm_varint(at[0], &count)
    for _ in range(count):
        at[0] = gsm_u64(at[0], &moment)
        name = restore_text(texts, at)
        found.append(Event(name, moment, restore_pairs(texts, at)))
    return found


cdef list restore_links(gsm_texts *texts, const uint8_t **at):
    cdef uint64_t count, high, low, span_id
    cdef bint remote
    cdef list found = []
    at[0] = gsm_varint(at[0], &count)
    for _ in range(count):
        at[0] = gsm_u64(gsm_u64(gsm_u64(at[0], &high), &low), &span_id)
        remote = at[0][0]
        at[0] += 1
        priority = restore_value(texts, at)
        tracestate = restore_text(texts, at) or ""
        context = SpanContext(<object>high << 64 | low, span_id, priority, tracestate=tracestate, is_remote=remote)
        found.append(Link(context, restore_pairs(texts, at)))
    return found


cdef Span restore_one(Generation generation, Trace trace, const gsm_chunk *head, const uint8_t *at):
    cdef gsm_span found
    cdef Span span = Span.__new__(Span)
    cdef gsm_texts *texts = generation.texts
    gsm_read_span(head, at, &found)
    span._trace, span.recorder = trace, trace.recorder
    span.span_id, span.parent_id = found.id, found.parent
    span._start, span._duration = found.start, <int64_t>found.duration
    span._role = found.role
    span.name, span.service, span.type, span.kind, span.integration = generation.shapes[found.shape]
    at = found.rest
    span.resource = restore_text(texts, &at)
    if found.flags & FLAG_ATTRIBUTES:
        span._attributes = restore_pairs(texts, &at)
    if found.flags & FLAG_ERROR:
        span._error = True
        span.status_message = restore_text(texts, &at) or ""
    if found.flags & FLAG_EVENTS:
        span.events = restore_events(texts, &at)
    if found.flags & FLAG_LINKS:
        span.links = restore_links(texts, &at)
    return span


cdef object restore_span(Generation generation, const gsm_chunk *head, const uint8_t *at):
    """The finished span whose record is at `at`, with a trace of its own; `parent` is not known, `role` is."""
    return restore_one(generation, restore_trace(generation, head), head, at)


cdef object restore_chunk(Generation generation, gsm_chunk *head):
    cdef Trace trace = restore_trace(generation, head)
    cdef const uint8_t *at = <const uint8_t *>head + sizeof(gsm_chunk)
    cdef const uint8_t *body
    cdef uint32_t size
    cdef Span span, parent
    cdef dict by_id = {}
    cdef list spans = []
    for _ in range(head.spans):
        span = restore_one(generation, trace, head, at)
        body = gsm_read_size(at, &size)
        at = body + size
        spans.append(span)
        by_id[span.span_id] = span
    for span in spans:
        if span._role != 2 and span.parent_id in by_id:
            parent = by_id[span.parent_id]
            if parent is not span:
                Py_INCREF(parent)
                span._parent = <PyObject *>parent
    return Chunk(trace, spans, head.bytes)


cdef Recorder _restorer = Recorder()
