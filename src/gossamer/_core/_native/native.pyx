# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, auto_pickle=False, always_allow_keywords=True
"""The tracing core, compiled: the same interface and the same behaviour as `pure`, which explains them.

A span is an object while it is open. When it finishes, a record of it is written (`records.h`), and the object goes
back to the freelist; the encoders read the records without the GIL. Only where somebody wants to see finished spans
(processors, the console, tests) are objects kept, or made again from records.

The parts are included below: they share their C types, and one module is loaded faster than six.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF
from cpython.dict cimport PyDict_CheckExact, PyDict_Size
from cpython.unicode cimport PyUnicode_GetLength
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

import os
from contextvars import ContextVar

from .. import _fork
from .context import SpanContext
from .errors import describe
from .events import ACTIVE, MAX_EVENTS, MAX_LINKS, MAX_MESSAGE, Event, Link, moment, plain
from .values import MAX_KEY, MAX_VALUE, coerce, text

cdef extern from "Python.h":
    int PyContextVar_Get(object var, PyObject *default, PyObject **value) except -1
    object PyContextVar_Set(object var, object value)
    Py_ssize_t Py_REFCNT(PyObject *)
    bint PyUnicode_CheckExact(object)
    bint PyLong_CheckExact(object)
    bint PyFloat_CheckExact(object)
    bint PyBool_Check(object)

cdef extern from "records.h" nogil:
    enum:
        FLAG_ERROR, FLAG_PARENT, FLAG_ROLE_SHIFT, FLAG_ATTRIBUTES, FLAG_EVENTS, FLAG_LINKS
        V_TEXT, V_FALSE, V_TRUE, V_INT, V_DOUBLE, V_BYTES, V_ITEMS, V_BIG, V_NONE
        TEXTS_MAX, TEXTS_BYTES, BLOCK_BYTES
    ctypedef struct gsm_bytes:
        uint8_t *data
        size_t size
        size_t room
    ctypedef struct gsm_text:
        const uint8_t *data
        uint64_t hash
        uint32_t size
        uint32_t more
    ctypedef struct gsm_texts:
        uint32_t count
        uint32_t used
        gsm_text texts[1]
    ctypedef struct gsm_storage:
        size_t refs
        size_t room
        void *generation
        gsm_storage *next_free
        uint64_t data[1]
    ctypedef struct gsm_block:
        gsm_block *next
        gsm_storage *storage
        void *generation
        gsm_texts *texts
        uint8_t *data
        size_t size
        uint64_t chunks
        uint64_t spans
    ctypedef struct gsm_chunk:
        uint32_t bytes
        uint32_t spans
        uint64_t high
        uint64_t low
        int64_t base
        uint32_t facts
        uint32_t unused
    ctypedef struct gsm_span:
        uint8_t flags
        uint8_t role
        uint64_t id
        uint64_t parent
        uint64_t duration
        uint64_t shape
        int64_t start
        const uint8_t *rest
        const uint8_t *end
    int gsm_reserve(gsm_bytes *out, size_t more)
    uint8_t *gsm_put_varint(uint8_t *at, uint64_t value)
    uint8_t *gsm_put_u64(uint8_t *at, uint64_t value)
    uint64_t gsm_zigzag(int64_t value)
    const uint8_t *gsm_varint(const uint8_t *at, uint64_t *value)
    const uint8_t *gsm_u64(const uint8_t *at, uint64_t *value)
    int64_t gsm_unzigzag(uint64_t value)
    const uint8_t *gsm_read_text(const gsm_texts *table, const uint8_t *at, const uint8_t **data, uint32_t *size,
                                 uint32_t *place)
    const uint8_t *gsm_read_size(const uint8_t *at, uint32_t *size)
    void gsm_read_span(const gsm_chunk *chunk, const uint8_t *at, gsm_span *span)

cdef extern from "write.h":
    int gsm_put_str(gsm_bytes *out, gsm_texts *table, PyObject *text, int admit)
    int gsm_put_byte(gsm_bytes *out, uint8_t byte)
    int gsm_put_number(gsm_bytes *out, uint64_t value)
    int gsm_put_value(gsm_bytes *out, gsm_texts *table, PyObject *value, int depth)
    int gsm_put_pairs(gsm_bytes *out, gsm_texts *table, PyObject *attributes)
    ctypedef struct gsm_few:
        int count
    int gsm_few_set(gsm_few *few, PyObject *key, PyObject *value)
    void gsm_few_clear(gsm_few *few)
    object gsm_few_dict(gsm_few *few)
    int gsm_put_few(gsm_bytes *out, gsm_texts *table, gsm_few *few)
    bint gsm_plain(PyObject *key, PyObject *value)
    int gsm_open_span(gsm_bytes *out, size_t *begin)
    int gsm_close_span(gsm_bytes *out, size_t begin)

cdef extern from "clock.h":
    int64_t gsm_now()
    int64_t gsm_wall()
    uint64_t gsm_id()
    uint64_t gsm_seed

NATIVE = True
INSIDE, ENTRY, ROOT = 0, 1, 2

cdef object _ACTIVE = ACTIVE
cdef object _context_class = SpanContext
cdef object _active_var = ContextVar("gossamer.active", default=None)
cdef object _LATE = object()  # as what encloses a span: nothing was open any more when it began

cdef object _internal = "internal"

cdef class Trace
cdef class Span
cdef class TraceScope
cdef class Recorder
cdef class Buffer
cdef class Chunk
cdef class Batch


include "time.pxi"
include "generation.pxi"
include "store.pxi"
include "trace.pxi"
include "span.pxi"
include "active.pxi"
include "recorder.pxi"
include "scope.pxi"
include "restore.pxi"
include "encode.pxi"
