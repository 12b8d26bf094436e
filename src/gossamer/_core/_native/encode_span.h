/* The parts of a span in Datadog's two formats. Functions with the argument `v5` are compiled twice. */
#ifndef GOSSAMER_ENCODE_SPAN_H
#define GOSSAMER_ENCODE_SPAN_H

#include "encode_pieces.h"

#define EXACT ((int64_t)1 << 53) /* integers beyond are not exact as a double */

typedef struct {
    gsm_span span;
    const gsm_shape *shape;
    const gsm_facts *facts; /* or NULL */
    gsm_view resource;
    uint32_t resource_place;
    const gsm_names *names;
    uint32_t metas, metrics;
    const uint8_t *parts[PARTS];
    int url;
} gsm_state;

TWICE uint8_t *put_fixed(uint8_t *at, const gsm_chunk *chunk, const gsm_span *span, const int v5)
{
    const uint64_t most = 0x7FFFFFFFFFFFFFFFu;
    uint64_t start = span->start < 0 ? 0 : (uint64_t)span->start;
    uint64_t duration = span->duration > most ? most : span->duration;
    uint8_t error = span->flags & FLAG_ERROR ? 1 : 0;
    if (v5) {
        *at = 0xCF;
        at = gsm_put_big64(at + 1, chunk->low);
        *at = 0xCF;
        at = gsm_put_big64(at + 1, span->id);
        *at = 0xCF;
        at = gsm_put_big64(at + 1, span->parent);
        *at = 0xD3;
        at = gsm_put_big64(at + 1, start);
        *at = 0xD3;
        at = gsm_put_big64(at + 1, duration);
        *at++ = error;
        return at;
    }
    at = gsm_put_bytes(at, "\xa8trace_id\xcf", 10);
    at = gsm_put_big64(at, chunk->low);
    at = gsm_put_bytes(at, "\xa7span_id\xcf", 9);
    at = gsm_put_big64(at, span->id);
    at = gsm_put_bytes(at, "\xa9parent_id\xcf", 11);
    at = gsm_put_big64(at, span->parent);
    at = gsm_put_bytes(at, "\xa5start\xd3", 7);
    at = gsm_put_big64(at, start);
    at = gsm_put_bytes(at, "\xa8""duration\xd3", 10);
    at = gsm_put_big64(at, duration);
    at = gsm_put_bytes(at, "\xa5""error\x00\xa4meta", 12);
    at[-6] = error;
    return at;
}

/* What the key at `at` becomes. */
static inline int find_name(gsm_datadog *self, gsm_state *state, const uint8_t **at, gsm_name **found)
{
    uint64_t head;
    uint32_t number;
    *at = gsm_varint(*at, &head);
    if (GSM_UNLIKELY(head & 1))
        return ENCODE_SLOW;
    number = self->known->keys[head >> 1];
    if (GSM_LIKELY(number && number < state->names->room && state->names->names[number].known)) {
        *found = &state->names->names[number];
        return (*found)->kind == KEY_SLOW ? ENCODE_SLOW : 0;
    }
    self->needed_names = state->shape->names;
    self->needed_place = (uint32_t)(head >> 1);
    return ENCODE_KEY;
}

/* v0.5: let the names of all attributes enter the table before the values do. */
static int enter_names(gsm_datadog *self, gsm_state *state, const uint8_t *at, uint64_t count)
{
    gsm_name *name = NULL;
    int64_t index;
    int status;
    while (count--) {
        status = find_name(self, state, &at, &name);
        if (status)
            return status;
        if (name->epoch != self->epoch) {
            index = gsm_datadog_index(self, name->text, 0);
            if (index < 0)
                return ENCODE_MEMORY;
            name->index = (uint32_t)index;
            name->epoch = self->epoch;
        }
        at = gsm_skip_value(at);
    }
    return 0;
}

TWICE int put_name(gsm_datadog *self, gsm_bytes *out, const gsm_name *name, const int v5)
{
    if (gsm_reserve(out, name->piece.size + SLACK))
        return ENCODE_MEMORY;
    if (v5)
        out->size = (size_t)(put_index(out->data + out->size, name->index) - out->data);
    else
        out->size = (size_t)(gsm_put_piece(out->data + out->size, name->piece.data, name->piece.size) - out->data);
    (void)self;
    return 0;
}

TWICE int put_number(gsm_datadog *self, gsm_state *state, const gsm_name *name, double value, const int v5)
{
    gsm_bytes *out = &self->numbers;
    if (put_name(self, out, name, v5) || gsm_reserve(out, 9))
        return ENCODE_MEMORY;
    put_double(out->data + out->size, value);
    out->size += 9;
    state->metrics++;
    return 0;
}

/* The value of a number that is to be a text. */
TWICE int put_status(gsm_datadog *self, gsm_state *state, const gsm_name *name, int64_t value, const int v5)
{
    uint8_t digits[20];
    uint32_t size = gsm_decimal(value, digits);
    state->metas++;
    if (put_name(self, &self->out, name, v5))
        return ENCODE_MEMORY;
    return put_passing(self, &self->out, gsm_make_view(digits, size), v5);
}

/* One attribute; answers 0 and moves `from` behind it. */
TWICE int put_attribute(gsm_datadog *self, gsm_state *state, const uint8_t **from, const int v5)
{
    const uint8_t *at = *from;
    gsm_name *name = NULL;
    gsm_bytes *out = &self->out;
    gsm_view text;
    uint64_t bits;
    uint32_t place;
    int64_t integer;
    double real;
    int status = find_name(self, state, &at, &name);
    if (GSM_UNLIKELY(status))
        return status;
    if (name->part) {
        state->parts[name->part] = at;
        if (name->kind == KEY_URL) {
            state->url = 1;
            *from = gsm_skip_value(at);
            return 0;
        }
    }
    switch (*at++) {
    case V_TEXT:
        *from = gsm_read_text(self->texts, at, &text.data, &text.size, &place);
        if (GSM_UNLIKELY(name->kind == KEY_WORDS) && gsm_same(state->resource, text.data, text.size))
            return 0;
        state->metas++;
        if (!v5) {
            if (gsm_reserve(out, name->piece.size + text.size + 8 + SLACK))
                return ENCODE_MEMORY;
            at = gsm_put_piece(out->data + out->size, name->piece.data, name->piece.size);
            at = put_text_head((uint8_t *)at, text.size);
            if (place)
                at = gsm_put_piece((uint8_t *)at, text.data, text.size);
            else
                at = gsm_put_bytes((uint8_t *)at, text.data, text.size);
            out->size = (size_t)(at - out->data);
            return 0;
        }
        if (put_name(self, out, name, v5))
            return ENCODE_MEMORY;
        return put_text(self, out, text, place, v5);
    case V_INT:
        *from = gsm_varint(at, &bits);
        integer = gsm_unzigzag(bits);
        if (name->kind == KEY_STATUS)
            return put_status(self, state, name, integer, v5);
        if (integer < -EXACT || integer > EXACT)
            return ENCODE_SLOW;
        return put_number(self, state, name, (double)integer, v5);
    case V_DOUBLE:
        *from = gsm_u64(at, &bits);
        memcpy(&real, &bits, 8);
        if (real - real != 0.0 || name->kind == KEY_STATUS)
            return ENCODE_SLOW;
        return put_number(self, state, name, real, v5);
    case V_TRUE:
    case V_FALSE:
        *from = at;
        if (name->kind == KEY_STATUS)
            return ENCODE_SLOW;
        state->metas++;
        if (put_name(self, out, name, v5))
            return ENCODE_MEMORY;
        return put_text(self, out, at[-1] == V_TRUE ? TEXT_TRUE : TEXT_FALSE, 0, v5);
    default:
        return ENCODE_SLOW;
    }
}

/* A part of the URL as text; 0, or ENCODE_SLOW for what only Python writes. `digits` has room for 20. */
static int read_part(gsm_datadog *self, const gsm_state *state, int part, uint8_t *digits, gsm_view *text)
{
    const uint8_t *at = state->parts[part];
    uint64_t bits;
    uint32_t place;
    *text = TEXT_NONE;
    if (!at)
        return 0;
    if (*at == V_TEXT) {
        gsm_read_text(self->texts, at + 1, &text->data, &text->size, &place);
        return 0;
    }
    if (*at != V_INT || part != PART_PORT)
        return ENCODE_SLOW;
    gsm_varint(at + 1, &bits);
    text->size = gsm_decimal(gsm_unzigzag(bits), digits);
    text->data = digits;
    return 0;
}

/* As `url_of`. */
TWICE int put_url(gsm_datadog *self, gsm_state *state, const int v5)
{
    gsm_view host, port, scheme, path, query;
    gsm_bytes *url = &self->scratch;
    uint8_t digits[20], *at;
    if (read_part(self, state, PART_HOST, digits, &host) || read_part(self, state, PART_PORT, digits, &port) ||
        read_part(self, state, PART_SCHEME, digits, &scheme) || read_part(self, state, PART_PATH, digits, &path) ||
        read_part(self, state, PART_QUERY, digits, &query))
        return ENCODE_SLOW;
    if (!scheme.size)
        scheme = gsm_make_view("http", 4);
    url->size = 0;
    if (gsm_reserve(url, (size_t)host.size + port.size + scheme.size + path.size + query.size + 16))
        return ENCODE_MEMORY;
    at = gsm_put_bytes(url->data, scheme.data, scheme.size);
    at = gsm_put_bytes(at, "://", 3);
    if (host.size && host.data[0] != '[' && memchr(host.data, ':', host.size)) {
        *at++ = '[';
        at = gsm_put_bytes(at, host.data, host.size);
        *at++ = ']';
    } else {
        at = gsm_put_bytes(at, host.data, host.size);
    }
    if (port.size && !(gsm_same(port, (const uint8_t *)"80", 2) && gsm_same(scheme, (const uint8_t *)"http", 4)) &&
        !(gsm_same(port, (const uint8_t *)"443", 3) && gsm_same(scheme, (const uint8_t *)"https", 5))) {
        *at++ = ':';
        at = gsm_put_bytes(at, port.data, port.size);
    }
    at = gsm_put_bytes(at, path.data, path.size);
    if (query.size) {
        *at++ = '?';
        at = gsm_put_bytes(at, query.data, query.size);
    }
    url->size = (size_t)(at - url->data);
    if (url->size > TEXT_MOST)
        return ENCODE_SLOW;
    state->metas++;
    if (put_text(self, &self->out, TEXT_URL, 0, v5))
        return ENCODE_MEMORY;
    return put_passing(self, &self->out, gsm_make_view(url->data, (uint32_t)url->size), v5);
}

TWICE int put_pair(gsm_datadog *self, gsm_state *state, gsm_view key, gsm_view value, const int v5)
{
    state->metas++;
    return put_text(self, &self->out, key, 0, v5) || put_text(self, &self->out, value, 0, v5) ? ENCODE_MEMORY : 0;
}

/* Why a span failed: its message, or its one event, if that is an exception. */
TWICE int put_error(gsm_datadog *self, gsm_state *state, const uint8_t *at, const int v5)
{
    gsm_view message, name, kind = TEXT_NONE, stack = TEXT_NONE, found;
    uint64_t count;
    uint32_t place;
    int status;
    at = gsm_read_text(self->texts, at, &message.data, &message.size, &place);
    if (!(state->span.flags & FLAG_EVENTS))
        return message.size ? put_pair(self, state, TEXT_MESSAGE, message, v5) : 0;
    at = gsm_varint(at, &count);
    if (count != 1)
        return ENCODE_SLOW;
    at = gsm_read_text(self->texts, at + 8, &name.data, &name.size, &place);
    if (!gsm_same(name, (const uint8_t *)"exception", 9))
        return ENCODE_SLOW;
    message = TEXT_NONE;
    for (at = gsm_varint(at, &count); count--; at = gsm_skip_value(at)) {
        at = gsm_read_text(self->texts, at, &name.data, &name.size, &place);
        if (name.size < 14 || memcmp(name.data, "exception.", 10))
            continue;
        status = *at;
        if (status == V_TEXT)
            gsm_read_text(self->texts, at + 1, &found.data, &found.size, &place);
        else
            found = TEXT_NONE;
        if (gsm_same(name, (const uint8_t *)"exception.type", 14))
            kind = found;
        else if (gsm_same(name, (const uint8_t *)"exception.message", 17))
            message = found;
        else if (gsm_same(name, (const uint8_t *)"exception.stacktrace", 20))
            stack = found;
        else
            continue;
        if (status != V_TEXT)
            return ENCODE_SLOW;
    }
    if (gsm_is_builtin(kind)) {
        self->scratch.size = 0;
        if (gsm_reserve(&self->scratch, kind.size + 16))
            return ENCODE_MEMORY;
        memcpy(self->scratch.data, "builtins.", 9);
        memcpy(self->scratch.data + 9, kind.data, kind.size);
        state->metas++;
        if (put_text(self, &self->out, TEXT_TYPE, 0, v5) ||
            put_passing(self, &self->out, gsm_make_view(self->scratch.data, kind.size + 9), v5))
            return ENCODE_MEMORY;
    } else if (put_pair(self, state, TEXT_TYPE, kind, v5)) {
        return ENCODE_MEMORY;
    }
    if (put_pair(self, state, TEXT_MESSAGE, message, v5))
        return ENCODE_MEMORY;
    return stack.size ? put_pair(self, state, TEXT_STACK, stack, v5) : 0;
}

#endif
