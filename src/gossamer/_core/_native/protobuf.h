/* The fields of protobuf, and the values of OTLP's attributes. */
#ifndef GOSSAMER_PROTOBUF_H
#define GOSSAMER_PROTOBUF_H

#include "encode.h"

static inline uint32_t varint_size(uint64_t value)
{
    uint32_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

/* Of a field with a tag of one byte. */
static inline uint64_t field_size(uint64_t body)
{
    return 1 + varint_size(body) + body;
}

static inline uint8_t *put_head(uint8_t *at, uint8_t tag, uint64_t body)
{
    *at++ = tag;
    return gsm_put_varint(at, body);
}

static inline uint8_t *put_field(uint8_t *at, uint8_t tag, gsm_view body)
{
    at = put_head(at, tag, body.size);
    return gsm_put_bytes(at, body.data, body.size);
}

static inline uint8_t *put_little32(uint8_t *at, uint32_t value)
{
    *at++ = (uint8_t)value;
    *at++ = (uint8_t)(value >> 8);
    *at++ = (uint8_t)(value >> 16);
    *at++ = (uint8_t)(value >> 24);
    return at;
}

/* -- values ------------------------------------------------------------------------------------------------------ */

/* Bytes of an AnyValue; `end` is set behind it. */
static uint64_t value_size(const gsm_texts *texts, const uint8_t *at, const uint8_t **end)
{
    gsm_view text;
    uint64_t number, size = 0;
    uint32_t place;
    switch (*at++) {
    case V_TEXT:
    case V_BIG:
        *end = gsm_read_text(texts, at, &text.data, &text.size, &place);
        return field_size(text.size);
    case V_INT:
        *end = gsm_varint(at, &number);
        return 1 + varint_size((uint64_t)gsm_unzigzag(number));
    case V_DOUBLE:
        *end = at + 8;
        return 9;
    case V_BYTES:
        at = gsm_varint(at, &number);
        *end = at + number;
        return field_size(number);
    case V_ITEMS:
        for (at = gsm_varint(at, &number); number--;)
            size += field_size(value_size(texts, at, &at));
        *end = at;
        return field_size(size);
    default: /* V_TRUE, V_FALSE */
        *end = at;
        return 2;
    }
}

static uint8_t *put_value(const gsm_texts *texts, uint8_t *to, const uint8_t *at)
{
    const uint8_t *end;
    gsm_view text;
    uint64_t number, size = 0, left;
    uint32_t place;
    uint8_t kind = *at++;
    switch (kind) {
    case V_TEXT:
    case V_BIG:
        gsm_read_text(texts, at, &text.data, &text.size, &place);
        return put_field(to, 0x0A, text);
    case V_INT:
        gsm_varint(at, &number);
        *to++ = 0x18;
        return gsm_put_varint(to, (uint64_t)gsm_unzigzag(number));
    case V_DOUBLE:
        gsm_u64(at, &number);
        *to++ = 0x21;
        return gsm_put_little64(to, number);
    case V_BYTES:
        text.data = gsm_varint(at, &number);
        text.size = (uint32_t)number;
        return put_field(to, 0x3A, text);
    case V_ITEMS:
        at = gsm_varint(at, &number);
        for (end = at, left = number; left--;)
            size += field_size(value_size(texts, end, &end));
        to = put_head(to, 0x2A, size);
        while (number--) {
            size = value_size(texts, at, &end);
            to = put_value(texts, put_head(to, 0x0A, size), at);
            at = end;
        }
        return to;
    default:
        *to++ = 0x10;
        *to++ = kind == V_TRUE;
        return to;
    }
}

#endif
