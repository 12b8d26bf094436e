/* From Python objects to records. All of it runs under the GIL and none of it runs Python code, so that nothing can
 * come between the first and the last byte of a record.
 *
 * Functions that may meet an object they do not know answer 1 for it, -1 when there is no memory (no Python error is
 * set), 0 otherwise. */
#ifndef GOSSAMER_WRITE_H
#define GOSSAMER_WRITE_H

#include <Python.h>

#include "records.h"

#define MAX_TEXT 25000 /* characters, as values.py has it */
#define MAX_BYTES 25000
#define MAX_KEY 200
#define MAX_ITEMS 128

static inline int gsm_put_utf8(gsm_bytes *out, gsm_texts *table, Py_hash_t hash, const uint8_t *data, size_t size,
                               int admit)
{
    uint32_t place = 0;
    if (size <= TEXT_LONGEST)
        place = gsm_place(table, (uint64_t)hash, data, (uint32_t)size, admit);
    if (GSM_LIKELY(place)) {
        if (gsm_reserve(out, 10))
            return -1;
        out->size = (size_t)(gsm_put_varint(out->data + out->size, (uint64_t)place << 1) - out->data);
        return 0;
    }
    if (gsm_reserve(out, size + 10))
        return -1;
    out->size = (size_t)(gsm_put_varint(out->data + out->size, ((uint64_t)size << 1) | 1) - out->data);
    memcpy(out->data + out->size, data, size);
    out->size += size;
    return 0;
}

/* Texts that are not ASCII, or long. */
static int gsm_put_unusual_text(gsm_bytes *out, gsm_texts *table, PyObject *text, int admit)
{
    PyObject *cut = NULL, *encoded;
    Py_hash_t hash;
    int status;
    if (PyUnicode_GetLength(text) > MAX_TEXT) {
        cut = PyUnicode_Substring(text, 0, MAX_TEXT);
        if (!cut) {
            PyErr_Clear();
            return -1;
        }
        text = cut;
    }
    hash = PyObject_Hash(text);
    /* At once with the handler for lone surrogates: an exception object could start the garbage collector. */
    encoded = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (encoded) {
        status = gsm_put_utf8(out, table, hash, (const uint8_t *)PyBytes_AS_STRING(encoded),
                              (size_t)PyBytes_GET_SIZE(encoded), admit);
        Py_DECREF(encoded);
    } else {
        PyErr_Clear();
        status = -1;
    }
    Py_XDECREF(cut);
    return status;
}

/* `text` is exactly a str. */
static inline int gsm_put_str(gsm_bytes *out, gsm_texts *table, PyObject *text, int admit)
{
    Py_hash_t hash;
    Py_ssize_t size;
    if (GSM_UNLIKELY(!PyUnicode_IS_COMPACT_ASCII(text)))
        return gsm_put_unusual_text(out, table, text, admit);
    size = ((PyASCIIObject *)text)->length;
    if (GSM_UNLIKELY(size > MAX_TEXT))
        return gsm_put_unusual_text(out, table, text, admit);
    hash = ((PyASCIIObject *)text)->hash;
    if (hash == -1 && size <= TEXT_LONGEST)
        hash = PyObject_Hash(text);
    return gsm_put_utf8(out, table, hash, (const uint8_t *)((PyASCIIObject *)text + 1), (size_t)size, admit);
}

static inline int gsm_put_byte(gsm_bytes *out, uint8_t byte)
{
    if (gsm_reserve(out, 1))
        return -1;
    out->data[out->size++] = byte;
    return 0;
}

static inline int gsm_put_number(gsm_bytes *out, uint64_t value)
{
    if (gsm_reserve(out, 10))
        return -1;
    out->size = (size_t)(gsm_put_varint(out->data + out->size, value) - out->data);
    return 0;
}

static int gsm_put_value(gsm_bytes *out, gsm_texts *table, PyObject *value, int depth);

static int gsm_put_items(gsm_bytes *out, gsm_texts *table, PyObject *items, int depth)
{
    Py_ssize_t place, count = PySequence_Fast_GET_SIZE(items);
    int status = 0;
    if (depth > 2)
        return 1;
    if (count > MAX_ITEMS)
        count = MAX_ITEMS;
    if (gsm_put_byte(out, V_ITEMS) || gsm_put_number(out, (uint64_t)count))
        return -1;
    for (place = 0; place < count && !status; place++)
        status = gsm_put_value(out, table, PySequence_Fast_GET_ITEM(items, place), depth + 1);
    return status;
}

#if PY_VERSION_HEX >= 0x030C0000
#define GSM_DIGITS(value) ((Py_ssize_t)(((PyLongObject *)(value))->long_value.lv_tag >> 3))
#define GSM_DIGIT(value, place) (((PyLongObject *)(value))->long_value.ob_digit[place])
#define GSM_NEGATIVE(value) ((((PyLongObject *)(value))->long_value.lv_tag & 3) == 2)
#else
#define GSM_DIGITS(value) Py_ABS(Py_SIZE(value))
#define GSM_DIGIT(value, place) (((PyLongObject *)(value))->ob_digit[place])
#define GSM_NEGATIVE(value) (Py_SIZE(value) < 0)
#endif
#define MAX_DIGITS 128

/* An integer beyond 64 bits, written in decimal here: `str()` of one asks for signals on its way, and a handler in
 * Python would come between the bytes of a record. */
static int gsm_put_big(gsm_bytes *out, PyObject *value)
{
    uint32_t parts[MAX_DIGITS * PyLong_SHIFT / 29 + 2]; /* nine decimal digits each, more than 29 bits */
    char text[sizeof(parts) / sizeof(*parts) * 9 + 2], *at = text + sizeof(text);
    uint64_t carry;
    size_t size;
    int count = 0, place, decimal;
    Py_ssize_t digit;
    for (digit = GSM_DIGITS(value) - 1; digit >= 0; digit--) {
        carry = GSM_DIGIT(value, digit);
        for (place = 0; place < count; place++) {
            carry += (uint64_t)parts[place] << PyLong_SHIFT;
            parts[place] = (uint32_t)(carry % 1000000000);
            carry /= 1000000000;
        }
        for (; carry; carry /= 1000000000)
            parts[count++] = (uint32_t)(carry % 1000000000);
    }
    for (place = 0; place < count; place++)
        for (decimal = 0; decimal < 9; decimal++, parts[place] /= 10)
            *--at = (char)('0' + parts[place] % 10);
    while (*at == '0')
        at++;
    if (GSM_NEGATIVE(value))
        *--at = '-';
    size = (size_t)(text + sizeof(text) - at);
    if (gsm_put_byte(out, V_BIG) || gsm_reserve(out, size + 10))
        return -1;
    out->size = (size_t)(gsm_put_varint(out->data + out->size, ((uint64_t)size << 1) | 1) - out->data);
    memcpy(out->data + out->size, at, size);
    out->size += size;
    return 0;
}

static int gsm_put_integer(gsm_bytes *out, PyObject *value)
{
    int beyond;
    long long number = PyLong_AsLongLongAndOverflow(value, &beyond);
    if (GSM_LIKELY(!beyond)) {
        if (gsm_reserve(out, 11))
            return -1;
        out->data[out->size++] = V_INT;
        out->size = (size_t)(gsm_put_varint(out->data + out->size, gsm_zigzag(number)) - out->data);
        return 0;
    }
    return GSM_DIGITS(value) > MAX_DIGITS ? 1 : gsm_put_big(out, value);
}

static int gsm_put_value(gsm_bytes *out, gsm_texts *table, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);
    double number;
    size_t size;
    if (GSM_LIKELY(type == &PyUnicode_Type))
        return gsm_put_byte(out, V_TEXT) ? -1 : gsm_put_str(out, table, value, 1);
    if (type == &PyLong_Type)
        return gsm_put_integer(out, value);
    if (type == &PyBool_Type)
        return gsm_put_byte(out, value == Py_True ? V_TRUE : V_FALSE);
    if (type == &PyFloat_Type) {
        if (gsm_reserve(out, 9))
            return -1;
        out->data[out->size++] = V_DOUBLE;
        number = PyFloat_AS_DOUBLE(value);
        memcpy(out->data + out->size, &number, 8);
        out->size += 8;
        return 0;
    }
    if (type == &PyBytes_Type) {
        size = (size_t)PyBytes_GET_SIZE(value);
        if (size > MAX_BYTES)
            size = MAX_BYTES;
        if (gsm_reserve(out, size + 11))
            return -1;
        out->data[out->size++] = V_BYTES;
        out->size = (size_t)(gsm_put_varint(out->data + out->size, size) - out->data);
        memcpy(out->data + out->size, PyBytes_AS_STRING(value), size);
        out->size += size;
        return 0;
    }
    if (type == &PyTuple_Type || type == &PyList_Type)
        return gsm_put_items(out, table, value, depth);
    return 1;
}

/* The pairs of a dict: their number and each of them. */
static int gsm_put_pairs(gsm_bytes *out, gsm_texts *table, PyObject *attributes)
{
    Py_ssize_t place = 0;
    PyObject *key, *value;
    int status;
    if (!PyDict_CheckExact(attributes))
        return 1;
    if (gsm_put_number(out, (uint64_t)PyDict_Size(attributes)))
        return -1;
    while (PyDict_Next(attributes, &place, &key, &value)) {
        if (GSM_UNLIKELY(!PyUnicode_CheckExact(key) || PyUnicode_GetLength(key) > MAX_KEY))
            return 1;
        status = gsm_put_str(out, table, key, 2);
        if (GSM_UNLIKELY(status))
            return status;
        status = gsm_put_value(out, table, value, 0);
        if (GSM_UNLIKELY(status))
            return status;
    }
    return 0;
}

/* Attributes of a span that nobody has asked for as a dict yet: pairs of references, the keys exactly str. */
#define FEW_PAIRS 8

typedef struct {
    int count;
    PyObject *items[2 * FEW_PAIRS];
} gsm_few;

/* Set one; 0 when there is no room. */
static inline int gsm_few_set(gsm_few *few, PyObject *key, PyObject *value)
{
    PyObject *old, *known;
    Py_hash_t hash;
    int place, count = few->count;
    for (place = 0; place < count; place++)
        if (few->items[2 * place] == key)
            goto replace;
    hash = ((PyASCIIObject *)key)->hash;
    if (hash == -1)
        hash = PyObject_Hash(key);
    for (place = 0; place < count; place++) {
        known = few->items[2 * place]; /* hashed when it came */
        if (GSM_UNLIKELY(((PyASCIIObject *)known)->hash == hash) && PyUnicode_Compare(known, key) == 0)
            goto replace;
    }
    if (count == FEW_PAIRS)
        return 0;
    Py_INCREF(key);
    Py_INCREF(value);
    few->items[2 * count] = key;
    few->items[2 * count + 1] = value;
    few->count = count + 1;
    return 1;
replace:
    old = few->items[2 * place + 1];
    Py_INCREF(value);
    few->items[2 * place + 1] = value;
    Py_DECREF(old);
    return 1;
}

static inline void gsm_few_clear(gsm_few *few)
{
    PyObject *key, *value;
    while (few->count) {
        few->count--;
        key = few->items[2 * few->count];
        value = few->items[2 * few->count + 1];
        Py_DECREF(key);
        Py_DECREF(value);
    }
}

static inline PyObject *gsm_few_dict(gsm_few *few)
{
    PyObject *found = PyDict_New();
    int place;
    if (!found)
        return NULL;
    for (place = 0; place < few->count; place++)
        if (PyDict_SetItem(found, few->items[2 * place], few->items[2 * place + 1]) < 0) {
            Py_DECREF(found);
            return NULL;
        }
    return found;
}

static int gsm_put_few(gsm_bytes *out, gsm_texts *table, gsm_few *few)
{
    int place, status;
    if (gsm_put_number(out, (uint64_t)few->count))
        return -1;
    for (place = 0; place < few->count; place++) {
        status = gsm_put_str(out, table, few->items[2 * place], 2);
        if (!status)
            status = gsm_put_value(out, table, few->items[2 * place + 1], 0);
        if (GSM_UNLIKELY(status))
            return status;
    }
    return 0;
}

/* What `set_attribute` may keep as it is: 1; 0: to be looked at. */
static inline int gsm_plain(PyObject *key, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    if (!PyUnicode_CheckExact(key) || PyUnicode_GET_LENGTH(key) > MAX_KEY ||
        (PyUnicode_GET_LENGTH(key) >= 11 && PyUnicode_READ_CHAR(key, 0) == 'm'))
        return 0;
    if (type == &PyUnicode_Type)
        return PyUnicode_GET_LENGTH(value) <= MAX_TEXT;
    return type == &PyLong_Type || type == &PyBool_Type || type == &PyFloat_Type;
}

/* Room for the size before a span, and what it was once the span is written. */
static inline int gsm_open_span(gsm_bytes *out, size_t *begin)
{
    if (gsm_reserve(out, 64))
        return -1;
    *begin = out->size;
    out->size += 2;
    return 0;
}

static inline int gsm_close_span(gsm_bytes *out, size_t begin)
{
    size_t size = out->size - begin - 2;
    uint16_t small = 0xFFFF;
    uint32_t large = (uint32_t)size;
    if (GSM_LIKELY(size < 0xFFFF)) {
        small = (uint16_t)size;
        memcpy(out->data + begin, &small, 2);
        return 0;
    }
    if (gsm_reserve(out, 4))
        return -1;
    memmove(out->data + begin + 6, out->data + begin + 2, size);
    memcpy(out->data + begin, &small, 2);
    memcpy(out->data + begin + 2, &large, 4);
    out->size += 4;
    return 0;
}

#endif
