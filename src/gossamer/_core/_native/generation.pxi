# A generation: what records refer to by number. Texts that come again, shapes (what spans of one kind share) and facts
# (what a trace says once). When one is full, traces that begin later use a new one; it lives as long as its records.

cdef extern from *:
    """
    #define GSM_SHAPE_SLOTS 256
    typedef struct {
        PyObject *name, *service, *type, *kind, *integration;
        uint32_t shape;
    } gsm_shape_slot;
    """
    enum:
        GSM_SHAPE_SLOTS
    ctypedef struct gsm_shape_slot:
        PyObject *name
        PyObject *service
        PyObject *type
        PyObject *kind
        PyObject *integration
        uint32_t shape

cdef int NONE = -2147483648  # as an optional small number
cdef uint32_t MAX_SHAPES = 4000


@cython.final
cdef class Generation:
    """Texts, shapes and facts by their numbers."""

    cdef gsm_texts *texts
    cdef list shapes  # (name, service, type, kind, integration)
    cdef dict shape_numbers
    cdef gsm_shape_slot *slots
    cdef list facts  # (priority, mechanism, rate, origin, tags or None, tracestate)
    cdef dict facts_numbers
    cdef int last_priority, last_mechanism
    cdef double last_rate
    cdef int64_t last_facts
    cdef readonly object encoders  # what the encoders know of this generation

    def __cinit__(self):
        self.texts = <gsm_texts *>calloc(1, sizeof_texts())
        self.slots = <gsm_shape_slot *>calloc(GSM_SHAPE_SLOTS, sizeof(gsm_shape_slot))
        if self.texts == NULL or self.slots == NULL:
            raise MemoryError()
        self.texts.count = 1
        self.shapes = []
        self.shape_numbers = {}
        self.facts = []
        self.facts_numbers = {}
        self.last_facts = -1
        self.encoders = {}

    def __dealloc__(self):
        cdef int place
        cdef gsm_shape_slot *slot
        if self.slots != NULL:
            for place in range(GSM_SHAPE_SLOTS):
                slot = &self.slots[place]
                if slot.name != NULL:
                    drop_slot(slot)
        free(self.slots)
        free(self.texts)

    cdef inline bint full(self):
        return (
            self.texts.count > TEXTS_MAX - 256
            or self.texts.used > TEXTS_BYTES - 16384
            or len(self.shapes) > MAX_SHAPES
            or len(self.facts) > MAX_SHAPES
        )

    cdef int64_t find_shape(self, Span span, gsm_shape_slot *slot) except -1:
        """The number of a shape that is not in its slot. May run Python code, if the program set odd values."""
        cdef object name = span.name, service = span.service, type = span.type, kind = span.kind
        cdef object integration = span.integration
        key = (_str(name), _str_or_none(service), _str_or_none(type), _str(kind), _str_or_none(integration))
        number = self.shape_numbers.get(key)
        if number is None:
            number = len(self.shapes)
            self.shapes.append(key)
            self.shape_numbers[key] = number
        if slot.name != NULL:
            drop_slot(slot)
        slot.name, slot.service, slot.type = <PyObject *>name, <PyObject *>service, <PyObject *>type
        slot.kind, slot.integration = <PyObject *>kind, <PyObject *>integration
        Py_INCREF(name)
        Py_INCREF(service)
        Py_INCREF(type)
        Py_INCREF(kind)
        Py_INCREF(integration)
        slot.shape = number
        return number

    cdef int64_t find_facts(self, Trace trace) except -1:
        """The number of what the trace says once."""
        tags = trace.tags
        if type(tags) is not dict or not tags:
            tags = None
        key = (
            trace.priority, trace.mechanism, trace.rate, _str_or_none(trace.origin),
            None if tags is None else tuple(tags.items()), _str(trace.tracestate or ""),
        )
        try:
            number = self.facts_numbers.get(key)
        except TypeError:  # tags that are no texts
            tags = {text(name): text(value) for name, value in tags.items()}
            key = key[:4] + (tuple(tags.items()), key[5])
            number = self.facts_numbers.get(key)
        if number is None:
            number = len(self.facts)
            self.facts.append(key[:4] + (None if tags is None else dict(tags), key[5]))
            self.facts_numbers[key] = number
        if tags is None and trace.origin is None and not trace.tracestate:
            self.last_priority, self.last_mechanism = trace._priority, trace._mechanism
            self.last_rate, self.last_facts = trace._rate, number
        return number


cdef extern from *:
    """
    #define sizeof_texts() sizeof(gsm_texts)
    """
    size_t sizeof_texts()


cdef void drop_slot(gsm_shape_slot *slot):
    Py_DECREF(<object>slot.name)
    Py_DECREF(<object>slot.service)
    Py_DECREF(<object>slot.type)
    Py_DECREF(<object>slot.kind)
    Py_DECREF(<object>slot.integration)
    slot.name = NULL


cdef object _str(value):
    return value if type(value) is str else text(value)


cdef object _str_or_none(value):
    return value if value is None or type(value) is str else text(value)


cdef inline int64_t shape_of(Generation generation, Span span) except -1:
    cdef PyObject *name = <PyObject *>span.name
    cdef PyObject *service = <PyObject *>span.service
    cdef PyObject *type = <PyObject *>span.type
    cdef PyObject *kind = <PyObject *>span.kind
    cdef PyObject *integration = <PyObject *>span.integration
    cdef size_t place = (<size_t>name >> 4) ^ (<size_t>service >> 3) ^ (<size_t>type >> 5) ^ (<size_t>kind >> 6)
    cdef gsm_shape_slot *slot = &generation.slots[(place ^ (place >> 8)) & (GSM_SHAPE_SLOTS - 1)]
    if (
        slot.name == name and slot.service == service and slot.type == type and slot.kind == kind
        and slot.integration == integration
    ):
        return slot.shape
    return generation.find_shape(span, slot)


cdef inline int64_t facts_of(Generation generation, Trace trace) except -1:
    if (
        generation.last_facts >= 0
        and trace._priority == generation.last_priority
        and trace._mechanism == generation.last_mechanism
        and (trace._rate == generation.last_rate
             or (trace._rate != trace._rate and generation.last_rate != generation.last_rate))
        and trace.origin is None
        and (trace.tags is None or not trace.tags)
        and (trace.tracestate is None or not trace.tracestate)
    ):
        return generation.last_facts
    return generation.find_facts(trace)


cdef Generation _generation = Generation()


cdef inline Generation current_generation():
    global _generation
    if _generation.full():
        _generation = Generation()
    return _generation
