# Finished chunks: memory for them, the buffer of the program, batches for the writer.

cdef gsm_storage *_free_storages = NULL
cdef int _free_count = 0
cdef int MAX_FREE = 16  # storages of the usual size that are kept


cdef size_t STORAGE_ROOM = BLOCK_BYTES - 64


cdef gsm_storage *new_storage(Generation generation, size_t room):
    """Memory for at least `room` bytes, with one reference; NULL when there is none."""
    global _free_storages, _free_count
    cdef gsm_storage *storage
    if room <= STORAGE_ROOM and _free_storages != NULL:
        storage = _free_storages
        _free_storages = storage.next_free
        _free_count -= 1
    else:
        if room < STORAGE_ROOM:
            room = STORAGE_ROOM
        storage = <gsm_storage *>malloc(sizeof(gsm_storage) + room)
        if storage == NULL:
            return NULL
        storage.room = room
    storage.refs = 1
    storage.generation = <void *>generation
    Py_INCREF(generation)
    return storage


cdef void drop_storage(gsm_storage *storage):
    global _free_storages, _free_count
    storage.refs -= 1
    if storage.refs:
        return
    Py_DECREF(<Generation>storage.generation)
    if storage.room == STORAGE_ROOM and _free_count < MAX_FREE:
        storage.next_free = _free_storages
        _free_storages = storage
        _free_count += 1
    else:
        free(storage)


cdef gsm_block *new_block(Generation generation, size_t room):
    cdef gsm_block *block = <gsm_block *>malloc(sizeof(gsm_block))
    if block == NULL:
        return NULL
    block.storage = new_storage(generation, room)
    if block.storage == NULL:
        free(block)
        return NULL
    block.next = NULL
    block.generation = block.storage.generation
    block.texts = generation.texts
    block.data = <uint8_t *>block.storage.data
    block.size = block.chunks = block.spans = 0
    return block


cdef gsm_block *part_of(gsm_block *whole, uint8_t *data, size_t size, uint64_t chunks, uint64_t spans):
    """A block that shares the storage of another."""
    cdef gsm_block *block = <gsm_block *>malloc(sizeof(gsm_block))
    if block == NULL:
        return NULL
    block[0] = whole[0]
    block.next = NULL
    block.data, block.size, block.chunks, block.spans = data, size, chunks, spans
    whole.storage.refs += 1
    return block


cdef void drop_blocks(gsm_block *block):
    cdef gsm_block *following
    while block != NULL:
        following = block.next
        drop_storage(block.storage)
        free(block)
        block = following


@cython.final
cdef class Buffer:
    """As `buffer.Buffer`; bounded in the bytes of the records themselves."""

    cdef public int64_t max_bytes
    cdef public int64_t pending_bytes, pending_spans, pending_traces
    cdef public int64_t dropped_spans, dropped_traces
    cdef public object on_first
    cdef public object on_half_full
    cdef public bint asleep
    cdef gsm_block *first
    cdef gsm_block *last

    def __init__(self, max_bytes=20000000):
        self.max_bytes = min(max_bytes, 1 << 62)
        self.asleep = True

    def __dealloc__(self):
        drop_blocks(self.first)

    cdef int add(self, Generation generation, gsm_chunk *head, const uint8_t *data, size_t size):
        """Keep the spans at `data` as a chunk, or drop and count them. Runs no Python code; whether they were kept."""
        cdef size_t whole = (sizeof(gsm_chunk) + size + 7) & ~<size_t>7
        cdef gsm_block *block = self.last
        if self.pending_bytes + <int64_t>whole > self.max_bytes or whole > 0xFFFFFFFF:
            self.dropped_spans += head.spans
            self.dropped_traces += 1
            return 0
        if block == NULL or block.texts != generation.texts or block.size + whole > block.storage.room:
            block = new_block(generation, whole)
            if block == NULL:
                self.dropped_spans += head.spans
                self.dropped_traces += 1
                return 0
            if self.last == NULL:
                self.first = block
            else:
                self.last.next = block
            self.last = block
        head.bytes = <uint32_t>whole
        memcpy(block.data + block.size, head, sizeof(gsm_chunk))
        memcpy(block.data + block.size + sizeof(gsm_chunk), data, size)
        block.size += whole
        block.chunks += 1
        block.spans += head.spans
        self.pending_bytes += whole
        self.pending_spans += head.spans
        self.pending_traces += 1
        return 1

    cdef call(self):
        """Tell the writer what it wants to know, after something was added."""
        if self.asleep:
            self.asleep = False
            if self.on_first is not None:
                self.on_first()
        elif self.pending_bytes * 2 > self.max_bytes and self.on_half_full is not None:
            self.on_half_full()

    def put(self, Chunk chunk not None):
        """Keep `chunk` for the writer, or drop and count it when there is no room."""
        put_spans(self, chunk.trace, chunk.spans)

    def swap(self):
        """Everything that is pending, or None. One consumer at a time."""
        cdef gsm_block *first = self.first
        cdef Batch batch
        if first == NULL:
            self.pending_bytes = self.pending_spans = self.pending_traces = 0
            return None
        batch = Batch.__new__(Batch)
        batch.first = self.first  # again: making the object may have run the garbage collector, and that, anything
        batch.size = self.pending_bytes
        batch.span_count = self.pending_spans
        batch.chunk_count = self.pending_traces
        self.first = self.last = NULL
        self.pending_bytes = self.pending_spans = self.pending_traces = 0
        return batch

    def clear(self):
        """Forget what is pending: a forked child does not send what its parent will."""
        cdef gsm_block *first = self.first
        self.first = self.last = NULL
        self.pending_bytes = self.pending_spans = self.pending_traces = 0
        self.asleep = True
        drop_blocks(first)


@cython.final
cdef class Chunk:
    """As `buffer.Chunk`: the finished spans of one trace in one process."""

    cdef public object trace
    cdef public object spans
    cdef public int64_t size

    def __init__(self, trace, spans, size=0):
        self.trace = trace
        self.spans = spans
        self.size = size


@cython.final
cdef class Batch:
    """As `buffer.Batch`. Iterating makes objects of the records; the encoders read these as they are."""

    cdef gsm_block *first
    cdef readonly int64_t size
    cdef readonly int64_t span_count
    cdef readonly int64_t chunk_count

    native = True

    def __init__(self, chunks=()):
        cdef Buffer buffer = Buffer(1 << 62)
        for chunk in chunks:
            buffer.put(chunk)
        if self.first == NULL:
            self.first, self.size, self.span_count = buffer.first, buffer.pending_bytes, buffer.pending_spans
            self.chunk_count = buffer.pending_traces
            buffer.first = buffer.last = NULL

    def __dealloc__(self):
        drop_blocks(self.first)

    def __len__(self):
        return self.chunk_count

    def __iter__(self):
        cdef gsm_block *block = self.first
        cdef size_t place
        cdef gsm_chunk *head
        while block != NULL:
            place = 0
            while place < block.size:
                head = <gsm_chunk *>(block.data + place)
                place += head.bytes
                yield restore_chunk(<Generation>block.generation, head)
            block = block.next

    @property
    def payload_bytes(self):
        """About the size of the payload that it makes: what `split` compares."""
        return payload_bytes(self.size, self.span_count)

    def split(self, max_bytes):
        """The same chunks in batches for payloads of about `max_bytes` each; a larger chunk stands alone.

        Nothing is copied.
        """
        if payload_bytes(self.size, self.span_count) <= max_bytes:
            return [self]
        parts = []
        cdef int64_t limit = max_bytes
        cdef Batch part = None
        cdef gsm_block *block = self.first
        cdef gsm_block *last = NULL
        cdef gsm_block *run
        cdef uint8_t *begin
        cdef size_t place, size
        cdef uint64_t chunks, spans
        cdef int64_t room
        while block != NULL:
            place = 0
            while place < block.size:
                begin = block.data + place
                if part is not None:
                    room = limit - payload_bytes(part.size, part.span_count)
                    if payload_bytes((<gsm_chunk *>begin).bytes, (<gsm_chunk *>begin).spans) > room:
                        part = None
                if part is None:
                    part = Batch.__new__(Batch)
                    parts.append(part)
                    last = NULL
                    room = limit
                chunks = spans = 0
                size = measure_run(block, place, room, part.size == 0, &chunks, &spans)
                run = part_of(block, begin, size, chunks, spans)
                if run == NULL:
                    raise MemoryError()
                if last == NULL:
                    part.first = run
                else:
                    last.next = run
                last = run
                part.size += size
                part.chunk_count += chunks
                part.span_count += spans
                place += size
            block = block.next
        return parts

    def halves(self):
        """The same chunks in batches of about half the size, or in one if there is but one chunk."""
        if self.chunk_count < 2:
            return [self]
        return self.split(max(1, (payload_bytes(self.size, self.span_count) + 1) // 2))


cdef inline int64_t payload_bytes(int64_t records, int64_t spans):
    """About what records make in the largest of our formats, v0.4: it names each field and writes texts in full."""
    return 2 * records + 300 * spans


cdef size_t measure_run(gsm_block *block, size_t place, int64_t room, bint alone, uint64_t *chunks, uint64_t *spans):
    """Bytes of the chunks from `place` on whose payload has `room`; `alone`: the first one in any case."""
    cdef size_t begin = place
    cdef gsm_chunk *head
    if place == 0 and payload_bytes(block.size, block.spans) <= room:
        chunks[0], spans[0] = block.chunks, block.spans
        return block.size
    while place < block.size:
        head = <gsm_chunk *>(block.data + place)
        if payload_bytes(place - begin + head.bytes, spans[0] + head.spans) > room and not (alone and place == begin):
            break
        place += head.bytes
        chunks[0] += 1
        spans[0] += head.spans
    return place - begin
