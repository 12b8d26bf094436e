# Payloads of the records, written by C without the GIL (`encode.h`): what C asks for comes from `gossamer._wire`.

cdef extern from "encode.h" nogil:
    enum:
        ENCODE_MEMORY, ENCODE_DONE, ENCODE_GENERATION, ENCODE_SHAPE, ENCODE_KEY, ENCODE_FACTS, ENCODE_SLOW
        PART_NONE, PART_HOST, PART_PORT, PART_SCHEME, PART_PATH, PART_QUERY, PART_FULL
    ctypedef struct gsm_view:
        const uint8_t *data
        uint32_t size
    ctypedef struct gsm_walk:
        const gsm_block *block
        const gsm_chunk *chunk
        const uint8_t *at
        int first
    ctypedef struct gsm_known:
        pass
    gsm_known *gsm_known_new(int v5)
    void gsm_known_free(gsm_known *self)
    int gsm_known_shape(gsm_known *self, uint32_t shape, uint32_t role, uint32_t names, gsm_view service,
                        gsm_view name, gsm_view type, uint32_t metas, const gsm_view *texts, uint32_t metrics,
                        const gsm_view *keys, const double *values)
    int gsm_known_facts(gsm_known *self, uint32_t facts, uint32_t split, uint32_t metas, const gsm_view *texts,
                        uint32_t metrics, const gsm_view *keys, const double *values)
    int gsm_known_key(gsm_known *self, uint32_t names, uint32_t place, int kind, int part, gsm_view name)
    ctypedef struct gsm_datadog:
        gsm_walk walk
        gsm_bytes out
        size_t result
        uint32_t needed_shape, needed_role, needed_place, needed_names, needed_facts
    gsm_datadog *gsm_datadog_new(int v5)
    void gsm_datadog_free(gsm_datadog *self)
    int gsm_datadog_begin(gsm_datadog *self, const gsm_block *first, uint64_t chunks)
    int gsm_datadog_know(gsm_datadog *self, gsm_known *known)
    int gsm_datadog_run(gsm_datadog *self)
    int gsm_datadog_put_span(gsm_datadog *self, const uint8_t *data, size_t size)
    int gsm_datadog_skip_chunk(gsm_datadog *self)
    int64_t gsm_datadog_index(gsm_datadog *self, gsm_view text, int copied)
    int gsm_datadog_end(gsm_datadog *self)
    int gsm_add_builtin(gsm_view name)

cdef extern from "Python.h":
    int PyBuffer_FillInfo(Py_buffer *view, object exporter, void *data, Py_ssize_t size, int readonly, int flags) except -1

cdef gsm_bytes _payloads[2]  # memory of payloads that were sent
cdef int _payload_count = 0
cdef size_t MAX_KEPT_PAYLOAD = 16 * 1024 * 1024


@cython.final
cdef class Payload:
    """Bytes of a payload, for whoever takes a buffer. Its memory serves the next one when nobody looks at it any more."""

    cdef gsm_bytes memory
    cdef size_t begin

    def __len__(self):
        return self.memory.size - self.begin

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.memory.data + self.begin, self.memory.size - self.begin, 1, flags)

    def __dealloc__(self):
        global _payload_count
        if _payload_count < 2 and self.memory.data != NULL and self.memory.room <= MAX_KEPT_PAYLOAD:
            self.memory.size = 0
            _payloads[_payload_count] = self.memory
            _payload_count += 1
        else:
            free(self.memory.data)


cdef Payload take_payload(gsm_bytes *out, size_t begin):
    """What an encoder has written; the encoder gets other memory."""
    global _payload_count
    cdef Payload payload = Payload.__new__(Payload)
    payload.memory, payload.begin = out[0], begin
    out.data, out.size, out.room = NULL, 0, 0
    if _payload_count:
        _payload_count -= 1
        out[0] = _payloads[_payload_count]
    return payload


@cython.final
cdef class Views:
    """Texts as C sees them."""

    cdef gsm_view *views
    cdef list kept

    def __cinit__(self, texts):
        cdef bytes data
        cdef Py_ssize_t place
        self.kept = [_utf8(one) for one in texts]
        self.views = <gsm_view *>malloc((len(self.kept) + 1) * sizeof(gsm_view))
        if self.views == NULL:
            raise MemoryError()
        for place, data in enumerate(self.kept):
            self.views[place].data, self.views[place].size = data, <uint32_t>len(data)

    def __dealloc__(self):
        free(self.views)


cdef bytes _utf8(value):
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace")


cdef gsm_view view_of(bytes data):
    """`data` as C sees it. It has to be in a variable of its own, which keeps it alive meanwhile."""
    cdef gsm_view view
    view.data, view.size = data, <uint32_t>len(data)
    return view


cdef dict _parts = {
    "server.address": PART_HOST, "server.port": PART_PORT, "url.scheme": PART_SCHEME, "url.path": PART_PATH,
    "url.query": PART_QUERY, "url.full": PART_FULL,
}


@cython.final
cdef class Known:
    """What the encoder of one format has been told of a generation."""

    cdef gsm_known *known
    cdef list names
    cdef dict name_numbers

    def __cinit__(self, bint v5):
        self.known = gsm_known_new(v5)
        if self.known == NULL:
            raise MemoryError()
        self.names, self.name_numbers = [], {}

    def __dealloc__(self):
        gsm_known_free(self.known)

    cdef int tell_shape(self, form, Generation generation, uint32_t number, uint32_t role) except -1:
        name, service, type, (meta, metrics), keys = form.describe(generation.shapes[number] + (role,))
        place = self.name_numbers.get(id(keys))
        if place is None:
            place = len(self.names)
            self.names.append(keys)  # which keeps its id its own
            self.name_numbers[id(keys)] = place
        cdef Views texts = Views([text for pair in meta.items() for text in pair])
        cdef Views names = Views(metrics)
        cdef Views three = Views((service, name, type))
        cdef double[512] values
        cdef int at
        for at, value in enumerate(metrics.values()):
            values[at] = value
        if gsm_known_shape(
            self.known, number, role, place, three.views[0], three.views[1], three.views[2],
            len(meta), texts.views, len(metrics), names.views, values,
        ):
            raise MemoryError()
        return 0

    cdef int tell_facts(self, Generation generation, uint32_t number) except -1:
        cdef double[512] values
        cdef int at
        meta, metrics = _trace_facts(_Facts(*generation.facts[number]))
        split = list(meta).index("_dd.p.tid")
        del meta["_dd.p.tid"]
        cdef Views texts = Views([text for pair in meta.items() for text in pair])
        cdef Views names = Views(metrics)
        for at, value in enumerate(metrics.values()):
            values[at] = value
        if gsm_known_facts(
            self.known, number, split, len(meta), texts.views, len(metrics), names.views, values
        ):
            raise MemoryError()
        return 0

    cdef int tell_key(self, Generation generation, uint32_t place, uint32_t names) except -1:
        cdef gsm_text *found = &generation.texts.texts[place]
        key = (<const char *>found.data)[:found.size].decode("utf-8", "replace")
        keys = self.names[names]
        kind, name = keys.kind(key)
        part = _parts.get(key, PART_NONE) if keys.server else PART_NONE
        cdef bytes data = _utf8(name)
        if gsm_known_key(self.known, names, place, kind, part, view_of(data)):
            raise MemoryError()
        return 0


class _Facts:
    """A trace as far as its facts are concerned; with an upper half of its id, whatever it is."""

    trace_id = 1 << 64

    def __init__(self, priority, mechanism, rate, origin, tags, tracestate):
        self.priority, self.mechanism, self.rate = priority, mechanism, rate
        self.origin, self.tags, self.tracestate = origin, tags, tracestate


cdef object _trace_facts = None


cdef load_wire():
    """What the encoders need of `gossamer._wire`, which this module may not import before it is used."""
    global _trace_facts
    from .._wire.datadog_span import trace_facts
    from .._wire.names_datadog import EXCEPTIONS

    cdef bytes data
    for name in EXCEPTIONS:
        data = _utf8(name)
        gsm_add_builtin(view_of(data))
    _trace_facts = trace_facts


@cython.final
cdef class DatadogEncoder:
    """Writes payloads of one format, one after another."""

    cdef gsm_datadog *c
    cdef bint v5
    cdef object form  # knows names and writes what is unusual
    cdef object writer  # the same for this payload

    def __cinit__(self, form, bint v5):
        if _trace_facts is None:
            load_wire()
        self.form, self.v5 = form, v5
        self.c = gsm_datadog_new(v5)
        if self.c == NULL:
            raise MemoryError()

    def __dealloc__(self):
        gsm_datadog_free(self.c)

    def index(self, bytes text):
        """The place of a text in the table of this payload."""
        cdef int64_t found = gsm_datadog_index(self.c, view_of(text), 1)
        if found < 0:
            raise MemoryError()
        return found

    cdef Payload encode(self, Batch batch):
        cdef int status
        cdef Known known = None
        cdef Generation generation = None
        self.writer = None
        try:
            if gsm_datadog_begin(self.c, batch.first, batch.chunk_count):
                raise MemoryError()
            while True:
                with nogil:
                    status = gsm_datadog_run(self.c)
                if status == ENCODE_DONE:
                    break
                if status == ENCODE_GENERATION:
                    if known is not None:
                        generation.encoders[self.form] = known
                    generation = <Generation>self.c.walk.block.generation
                    known = generation.encoders.pop(self.form, None)
                    if known is None:
                        if len(generation.encoders) > 8:
                            generation.encoders.clear()
                        known = Known(self.v5)
                    gsm_datadog_know(self.c, known.known)
                else:
                    self.answer(status, generation, known)
            with nogil:
                status = gsm_datadog_end(self.c)
            if status:
                raise MemoryError()
            return take_payload(&self.c.out, self.c.result)
        finally:
            self.writer = None
            if known is not None:
                generation.encoders[self.form] = known

    cdef int answer(self, int status, Generation generation, Known known) except -1:
        """Give C what it needs. A chunk that cannot be written leaves an empty trace, its neighbours are sent."""
        cdef gsm_datadog *c = self.c
        cdef bytes written
        try:
            if status == ENCODE_SHAPE:
                known.tell_shape(self.form, generation, c.needed_shape, c.needed_role)
            elif status == ENCODE_KEY:
                known.tell_key(generation, c.needed_place, c.needed_names)
            elif status == ENCODE_FACTS:
                known.tell_facts(generation, c.needed_facts)
            elif status == ENCODE_SLOW:
                if self.writer is None:
                    self.writer = self.form.writer(self.index)
                span = restore_span(generation, c.walk.chunk, c.walk.at)
                written = self.writer.one(span.trace, span, c.walk.first)
                if gsm_datadog_put_span(c, written, len(written)):
                    raise MemoryError()
            else:
                raise MemoryError()
        except Exception:
            if gsm_datadog_skip_chunk(c):
                raise MemoryError() from None
        return 0


cdef Payload encode_datadog(Batch batch, form, bint v5):
    cdef DatadogEncoder encoder = form.native
    form.native = None  # another thread that encodes meanwhile makes its own
    if encoder is None:
        encoder = DatadogEncoder(form, v5)
    cdef Payload payload = encoder.encode(batch)
    form.native = encoder
    return payload


def encode_v04(Batch batch not None, form):
    """A v0.4 payload; `form` is of `gossamer._wire.datadog`."""
    return encode_datadog(batch, form, False)


def encode_v05(Batch batch not None, form):
    """A v0.5 payload."""
    return encode_datadog(batch, form, True)


include "encode_otlp.pxi"
