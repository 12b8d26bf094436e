# The active span: what the context variable holds, what that means, and how spans begin and end.

cdef inline object load_active():
    cdef PyObject *found = NULL
    PyContextVar_Get(_active_var, NULL, &found)
    cdef object value = <object>found
    Py_XDECREF(found)
    return value


cdef inline int store_active(object value) except -1:
    PyContextVar_Set(_active_var, value)
    return 0


cdef object open_from(object enclosing):
    """The nearest that is open, from `enclosing` outwards, or None."""
    while enclosing is not None and enclosing is not _LATE:
        if not is_span(enclosing) or (<Span>enclosing).live:
            return enclosing
        enclosing = enclosing_of(<Span>enclosing)
    return None


cdef tuple late(object stored):
    """The parent of what begins although `stored` has ended, and what will enclose it: see `pure._late`."""
    cdef object found = stored
    cdef object enclosing
    while found is not None:
        if not is_span(found) or (<Span>found).live:
            return found, found
        enclosing = enclosing_of(<Span>found)
        if enclosing is _LATE:
            return (<Span>found).parent, _LATE
        found = enclosing
    return stored, _LATE


cdef inline object find_active():
    """What a span that starts now would have as its parent."""
    cdef object stored = load_active()
    if stored is None or not is_span(stored) or (<Span>stored).live:
        return stored
    return late(stored)[0]


def active():
    """What a span that starts now would have as its parent."""
    return find_active()


def current_span():
    """The span that is active here, or None."""
    cdef object found = find_active()
    return found if found is not None and is_span(found) else None


def set_active(parent):
    """Make `parent` the active span or context, unconditionally; answers what was stored before."""
    cdef object stored = load_active()
    store_active(usable(parent))
    return stored


cdef object usable(object parent):
    """A begun span or a context; None for anything else."""
    if parent is None:
        return None
    if is_span(parent):
        return parent if (<Span>parent)._trace is not None else None
    return parent if isinstance(parent, _context_class) else None


cdef int begin(Span span, object parent, bint activate) except -1:
    cdef object enclosing = None
    cdef Trace trace
    cdef int64_t now
    if parent is _ACTIVE:
        parent = load_active()
        enclosing = parent
        if parent is not None and is_span(parent) and not (<Span>parent).live:
            parent, enclosing = late(parent)
    else:
        if parent is not None:
            parent = usable(parent)
        if activate:
            enclosing = open_from(load_active())
    span.span_id = new_id()
    if parent is not None and is_span(parent):
        trace = (<Span>parent)._trace
        if trace.generation != _forks:
            trace = continued(trace)
        span._trace = trace
        Py_INCREF(parent)
        span._parent = <PyObject *>parent
        if enclosing is not parent:
            Py_INCREF(enclosing)
            span._enclosing = <PyObject *>enclosing
        span.parent_id = (<Span>parent).span_id
        span.baggage = (<Span>parent).baggage
        span._start = now_ns()
    else:
        if enclosing is not None:
            Py_INCREF(enclosing)
            span._enclosing = <PyObject *>enclosing
        span._start = now_ns()
        trace = open_trace(span.recorder, span, parent, span._start)
    span.live = True
    trace.open += 1
    if activate:
        store_active(span)
    return 0


cdef int finish(Span span, object end_time) except -1:
    cdef Trace trace
    cdef object stored
    cdef int64_t now
    if span._duration >= 0 or not span.live:
        return 0
    now = now_ns()
    trace = span._trace
    if end_time is not None:
        now = moment(end_time, now + trace.offset) - trace.offset
        if span._duration >= 0:
            return 0  # another thread was first
    span._duration = now - span._start if now > span._start else 0
    span.live = False
    trace.open -= 1
    if span._parent == NULL:
        stored = load_active()
        if stored is span:
            store_active(None if span._enclosing == NULL else open_from(<object>span._enclosing))
        elif stored is not None and is_span(stored):
            # In a forked child the same trace has a second object.
            if (<Span>stored)._trace is trace or (trace.generation != _forks and same_trace((<Span>stored)._trace, trace)):
                store_active(None if span._enclosing == NULL else open_from(<object>span._enclosing))
    if trace.generation != _forks:
        return 0  # of the process that forked this one, which will send it
    try:
        settle(trace, span)
    except Exception:  # the writer's thread could not start, or there is no memory: the program goes on
        span.recorder._buffer.dropped_spans += 1
    return 0


cdef inline bint same_trace(Trace one, Trace other):
    return one.low == other.low and one.high == other.high


cdef int settle(Trace trace, Span span) except -1:
    """Record a finished span, and hand its trace on when nothing of it is open any more."""
    cdef Recorder recorder = span.recorder
    if not trace.recording:
        if not trace.open:
            flush(trace)  # what was recorded before the decision to drop
        return 0
    if trace.finished is not None or recorder._processors:
        if trace.finished is None:
            trace.finished = []
        trace.finished.append(span)
        if not trace.open or len(trace.finished) >= recorder.partial_flush_min_spans:
            flush(trace)
    elif not trace.open and not trace.recorded:
        record(trace, span, True)
    else:
        record(trace, span, False)
        if not trace.open or trace.recorded >= recorder.partial_flush_min_spans:
            flush(trace)
    return 0
