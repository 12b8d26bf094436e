# OTLP's protobuf of the records, written by C without the GIL (`encode_otlp.h`).

cdef extern from "encode_otlp.h" nogil:
    enum:
        ENCODE_SCOPE
    ctypedef struct gsm_otlp_known:
        pass
    gsm_otlp_known *gsm_otlp_known_new()
    void gsm_otlp_known_free(gsm_otlp_known *self)
    int gsm_otlp_known_shape(gsm_otlp_known *self, uint32_t shape, uint32_t scope, int kind, int http_client,
                             gsm_view name, gsm_view operation, gsm_view type)
    int gsm_otlp_known_facts(gsm_otlp_known *self, uint32_t facts, int sampled, gsm_view tracestate)
    ctypedef struct gsm_otlp:
        gsm_walk walk
        gsm_bytes out
        uint32_t needed_shape, needed_facts, needed_scope
    gsm_otlp *gsm_otlp_new()
    void gsm_otlp_free(gsm_otlp *self)
    void gsm_otlp_begin(gsm_otlp *self, const gsm_block *first)
    void gsm_otlp_know(gsm_otlp *self, gsm_otlp_known *known)
    int gsm_otlp_run(gsm_otlp *self)
    int gsm_otlp_scope(gsm_otlp *self, uint32_t scope, uint32_t service, gsm_view head, gsm_view service_head)
    int gsm_otlp_put_span(gsm_otlp *self, const uint8_t *data, size_t size)
    void gsm_otlp_skip_span(gsm_otlp *self)
    int gsm_otlp_end(gsm_otlp *self)


@cython.final
cdef class OTLPKnown:
    """What the encoder has been told of a generation."""

    cdef gsm_otlp_known *known

    def __cinit__(self):
        self.known = gsm_otlp_known_new()
        if self.known == NULL:
            raise MemoryError()

    def __dealloc__(self):
        gsm_otlp_known_free(self.known)


@cython.final
cdef class OTLPEncoder:
    """Writes requests, one after another."""

    cdef gsm_otlp *c
    cdef object form  # of `gossamer._wire.otlp`

    def __cinit__(self, form):
        self.form = form
        self.c = gsm_otlp_new()
        if self.c == NULL:
            raise MemoryError()

    def __dealloc__(self):
        gsm_otlp_free(self.c)

    cdef Payload encode(self, Batch batch):
        cdef int status
        cdef OTLPKnown known = None
        cdef Generation generation = None
        gsm_otlp_begin(self.c, batch.first)
        try:
            while True:
                with nogil:
                    status = gsm_otlp_run(self.c)
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
                        known = OTLPKnown()
                    gsm_otlp_know(self.c, known.known)
                else:
                    self.answer(status, generation, known)
            with nogil:
                status = gsm_otlp_end(self.c)
            if status:
                raise MemoryError()
            return take_payload(&self.c.out, 0)
        finally:
            if known is not None:
                generation.encoders[self.form] = known

    cdef int answer(self, int status, Generation generation, OTLPKnown known) except -1:
        """Give C what it needs. A span that cannot be written is left out."""
        cdef gsm_otlp *c = self.c
        cdef bytes name, operation, type, written
        try:
            if status == ENCODE_SHAPE:
                scope, kind, http_client, name, operation, type = self.form.describe(generation.shapes[c.needed_shape])
                status = gsm_otlp_known_shape(
                    known.known, c.needed_shape, scope, kind, http_client, view_of(name), view_of(operation), view_of(type)
                )
            elif status == ENCODE_SCOPE:
                service, name, operation = self.form.scope(c.needed_scope)
                status = gsm_otlp_scope(c, c.needed_scope, service, view_of(name), view_of(operation))
            elif status == ENCODE_FACTS:
                facts = generation.facts[c.needed_facts]
                written = self.form.tracestate(facts[5])
                status = gsm_otlp_known_facts(
                    known.known, c.needed_facts, facts[0] is None or facts[0] > 0, view_of(written)
                )
            elif status == ENCODE_SLOW:
                written = self.form.span(restore_span(generation, c.walk.chunk, c.walk.at))
                status = gsm_otlp_put_span(c, written, len(written))
            if status:
                raise MemoryError()
        except Exception:
            gsm_otlp_skip_span(c)
        return 0


def encode_protobuf(Batch batch not None, form):
    """An OTLP request; `form` is of `gossamer._wire.otlp`."""
    cdef OTLPEncoder encoder = form.native
    form.native = None  # another thread that encodes meanwhile makes its own
    if encoder is None:
        encoder = OTLPEncoder(form)
    cdef Payload payload = encoder.encode(batch)
    form.native = encoder
    return payload


def sampled(Batch batch not None):
    """How many traces and spans of `batch` an OTLP request will hold."""
    cdef gsm_block *block = batch.first
    cdef gsm_chunk *head
    cdef size_t place
    cdef int64_t traces = 0, spans = 0, last = -1
    cdef bint kept = False
    while block != NULL:
        place = 0
        last = -1
        while place < block.size:
            head = <gsm_chunk *>(block.data + place)
            place += head.bytes
            if head.facts != last:
                last = head.facts
                priority = (<Generation>block.generation).facts[last][0]
                kept = priority is None or priority > 0
            if kept:
                traces += 1
                spans += head.spans
        block = block.next
    return traces, spans
