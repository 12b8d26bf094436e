/* OTLP's protobuf. */
#include "encode_otlp.h"
#include "protobuf.h"

enum { AGAIN = 32 };
/* What is special about a key. */
enum { KEY_NOT_SEEN, KEY_USUAL, KEY_OPERATION = 2, KEY_TYPE = 4, KEY_METHOD = 8 };

/* -- attributes -------------------------------------------------------------------------------------------------- */

static int special(gsm_view key)
{
    if (key.size == 14 && !memcmp(key.data, "operation.name", 14))
        return KEY_OPERATION;
    if (key.size == 9 && !memcmp(key.data, "span.type", 9))
        return KEY_TYPE;
    if (key.size == 19 && !memcmp(key.data, "http.request.method", 19))
        return KEY_METHOD;
    return KEY_USUAL;
}

static inline const uint8_t *read_key(gsm_otlp *self, const uint8_t *at, gsm_view *key, uint32_t *place, int *what)
{
    at = gsm_read_text(self->texts, at, &key->data, &key->size, place);
    *what = *place ? self->known->keys[*place] : KEY_NOT_SEEN;
    if (GSM_UNLIKELY(*what == KEY_NOT_SEEN)) {
        *what = special(*key);
        if (*place)
            self->known->keys[*place] = (uint8_t)*what;
    }
    return at;
}

/* A KeyValue as the field `tag`; `from` is moved behind the value. */
static inline int put_attribute(gsm_otlp *self, gsm_bytes *out, uint8_t tag, gsm_view key, uint32_t key_place,
                                const uint8_t **from)
{
    const uint8_t *at = *from;
    gsm_view text;
    uint64_t value, pair;
    uint32_t place = 0;
    uint8_t *to;
    if (GSM_LIKELY(*at == V_TEXT)) {
        *from = gsm_read_text(self->texts, at + 1, &text.data, &text.size, &place);
        value = field_size(text.size);
    } else {
        text.data = NULL;
        text.size = 0;
        value = value_size(self->texts, at, from);
    }
    pair = field_size(key.size) + field_size(value);
    if (gsm_reserve(out, pair + 12 + SLACK))
        return ENCODE_MEMORY;
    to = put_head(out->data + out->size, tag, pair);
    to = put_head(to, 0x0A, key.size);
    to = key_place ? gsm_put_piece(to, key.data, key.size) : gsm_put_bytes(to, key.data, key.size);
    to = put_head(to, 0x12, value);
    if (GSM_LIKELY(text.data)) {
        to = put_head(to, 0x0A, text.size);
        to = place ? gsm_put_piece(to, text.data, text.size) : gsm_put_bytes(to, text.data, text.size);
    } else {
        to = put_value(self->texts, to, at);
    }
    out->size = (size_t)(to - out->data);
    return 0;
}

/* Pairs as fields `tag`, whatever their keys; answers where they end, NULL without memory. */
static const uint8_t *put_pairs(gsm_otlp *self, gsm_bytes *out, uint8_t tag, const uint8_t *at)
{
    gsm_view key;
    uint64_t count;
    uint32_t place;
    for (at = gsm_varint(at, &count); count--;) {
        at = gsm_read_text(self->texts, at, &key.data, &key.size, &place);
        if (put_attribute(self, out, tag, key, place, &at))
            return NULL;
    }
    return at;
}

/* Put the length of what stands in `out` from `begin` on, before which `width` bytes were left for it; its width. */
static size_t end_field(gsm_bytes *out, size_t begin, size_t width)
{
    size_t size = out->size - begin, wanted = varint_size(size);
    if (GSM_UNLIKELY(wanted != width)) {
        memmove(out->data + begin - width + wanted, out->data + begin, size);
        out->size = begin - width + wanted + size;
    }
    gsm_put_varint(out->data + begin - width, size);
    return wanted;
}

/* -- events and links -------------------------------------------------------------------------------------------- */

static int put_events(gsm_otlp *self, gsm_bytes *out, const uint8_t **from)
{
    const uint8_t *at = *from;
    gsm_view name;
    uint64_t count, moment;
    uint32_t place;
    size_t begin;
    uint8_t *to;
    for (at = gsm_varint(at, &count); count--;) {
        at = gsm_u64(at, &moment);
        at = gsm_read_text(self->texts, at, &name.data, &name.size, &place);
        if (gsm_reserve(out, name.size + 64))
            return ENCODE_MEMORY;
        to = out->data + out->size;
        *to = 0x5A;
        begin = out->size + 3;
        to += 3;
        *to++ = 0x09;
        to = put_field(gsm_put_little64(to, moment), 0x12, name);
        out->size = (size_t)(to - out->data);
        at = put_pairs(self, out, 0x1A, at);
        if (!at || gsm_reserve(out, SLACK))
            return ENCODE_MEMORY;
        end_field(out, begin, 2);
    }
    *from = at;
    return 0;
}

static int put_links(gsm_otlp *self, gsm_bytes *out, const uint8_t *at)
{
    gsm_view tracestate;
    uint64_t count, high, low, id, number;
    uint32_t place, flags;
    size_t begin;
    uint8_t *to;
    for (at = gsm_varint(at, &count); count--;) {
        at = gsm_u64(gsm_u64(gsm_u64(at, &high), &low), &id);
        flags = *at++ ? 0x300 : 0x100;
        if (*at == V_INT) {
            at = gsm_varint(at + 1, &number);
            flags |= gsm_unzigzag(number) > 0;
        } else if (*at++ != V_NONE) {
            return ENCODE_SLOW;
        }
        at = gsm_read_text(self->texts, at, &tracestate.data, &tracestate.size, &place);
        if (gsm_reserve(out, tracestate.size + 64))
            return ENCODE_MEMORY;
        to = out->data + out->size;
        *to = 0x6A;
        begin = out->size + 3;
        to = gsm_put_bytes(to + 3, "\x0a\x10", 2);
        to = gsm_put_big64(gsm_put_big64(to, high), low);
        to = gsm_put_big64(gsm_put_bytes(to, "\x12\x08", 2), id);
        if (tracestate.size)
            to = put_field(to, 0x1A, tracestate);
        out->size = (size_t)(to - out->data);
        at = put_pairs(self, out, 0x22, at);
        if (!at || gsm_reserve(out, 8 + SLACK))
            return ENCODE_MEMORY;
        out->data[out->size] = 0x35;
        put_little32(out->data + out->size + 1, flags);
        out->size += 5;
        end_field(out, begin, 2);
    }
    return 0;
}

/* -- a span ------------------------------------------------------------------------------------------------------ */

/* The name of an outgoing HTTP request, whose path has many values: its method, if that is known. */
static int find_method(gsm_otlp *self, const uint8_t *at, gsm_view *name)
{
    gsm_view key;
    uint64_t count;
    uint32_t place;
    int what;
    for (at = gsm_varint(at, &count); count--; at = gsm_skip_value(at)) {
        at = read_key(self, at, &key, &place, &what);
        if (what != KEY_METHOD)
            continue;
        if (*at != V_TEXT)
            return 0;
        gsm_read_text(self->texts, at + 1, &name->data, &name->size, &place);
        return 1;
    }
    return 0;
}

static inline int put_view(gsm_bytes *out, gsm_view piece)
{
    if (gsm_reserve(out, piece.size + SLACK))
        return ENCODE_MEMORY;
    out->size = (size_t)(gsm_put_piece(out->data + out->size, piece.data, piece.size) - out->data);
    return 0;
}

static inline int put_ids(gsm_otlp *self, gsm_bytes *out, const gsm_span *span, const gsm_otlp_shape *shape,
                          gsm_view name)
{
    const gsm_chunk *chunk = self->walk.chunk;
    const uint64_t most = 0x7FFFFFFFFFFFFFFFu;
    uint64_t start = span->start < 0 ? 0 : (uint64_t)span->start;
    uint64_t duration = span->duration > most ? most : span->duration;
    gsm_view tracestate = self->known->facts[chunk->facts].tracestate;
    uint8_t *to;
    if (gsm_reserve(out, (size_t)name.size + tracestate.size + 128))
        return ENCODE_MEMORY;
    to = gsm_put_bytes(out->data + out->size, "\x0a\x10", 2);
    to = gsm_put_big64(gsm_put_big64(to, chunk->high), chunk->low);
    to = gsm_put_big64(gsm_put_bytes(to, "\x12\x08", 2), span->id);
    if (tracestate.size)
        to = gsm_put_bytes(to, tracestate.data, tracestate.size);
    if (span->parent)
        to = gsm_put_big64(gsm_put_bytes(to, "\x22\x08", 2), span->parent);
    to = put_field(to, 0x2A, name);
    *to++ = 0x30;
    *to++ = shape->kind;
    *to++ = 0x39;
    to = gsm_put_little64(to, start);
    *to++ = 0x41;
    to = gsm_put_little64(to, start + duration);
    out->size = (size_t)(to - out->data);
    return 0;
}

/* What comes after the attributes. */
static int put_rest(gsm_otlp *self, gsm_bytes *out, const gsm_span *span, const uint8_t *at)
{
    gsm_view message = {NULL, 0};
    uint32_t place, flags = 0x101;
    uint8_t *to;
    int status;
    if (span->flags & FLAG_ERROR)
        at = gsm_read_text(self->texts, at, &message.data, &message.size, &place);
    if (span->flags & FLAG_EVENTS && put_events(self, out, &at))
        return ENCODE_MEMORY;
    if (span->flags & FLAG_LINKS) {
        status = put_links(self, out, at);
        if (status)
            return status;
    }
    if (gsm_reserve(out, message.size + 64))
        return ENCODE_MEMORY;
    to = out->data + out->size;
    if (span->flags & FLAG_ERROR) {
        to = put_head(to, 0x7A, (message.size ? field_size(message.size) : 0) + 2);
        if (message.size)
            to = put_field(to, 0x12, message);
        to = gsm_put_bytes(to, "\x18\x02", 2);
    }
    if (span->parent && span->role == 2)
        flags |= 0x200;
    to = put_little32(gsm_put_bytes(to, "\x85\x01", 2), flags);
    out->size = (size_t)(to - out->data);
    return 0;
}

/* The fields of a span. `without`: what its attributes say themselves; where that turns out to be more, again. */
static int put_fields(gsm_otlp *self, gsm_bytes *out, const gsm_span *span, const gsm_otlp_shape *shape, int *without)
{
    const uint8_t *at;
    gsm_view name, key;
    uint64_t count = 0;
    uint32_t place;
    int what;
    at = gsm_read_text(self->texts, span->rest, &name.data, &name.size, &place);
    if (!name.size)
        name = shape->name;
    if (shape->http_client && span->flags & FLAG_ATTRIBUTES)
        find_method(self, at, &name);
    if (put_ids(self, out, span, shape, name) ||
        (!(*without & KEY_OPERATION) && put_view(out, shape->operation)) ||
        (!(*without & KEY_TYPE) && put_view(out, shape->type)))
        return ENCODE_MEMORY;
    if (span->flags & FLAG_ATTRIBUTES)
        at = gsm_varint(at, &count);
    while (count--) {
        at = read_key(self, at, &key, &place, &what);
        if (GSM_UNLIKELY(what & (KEY_OPERATION | KEY_TYPE) & ~*without)) {
            *without |= what;
            return AGAIN;
        }
        if (put_attribute(self, out, 0x4A, key, place, &at))
            return ENCODE_MEMORY;
    }
    return put_rest(self, out, span, at);
}

static int find_scope(gsm_otlp *self, uint32_t number, gsm_scope **found)
{
    gsm_scope *scope;
    if (number >= self->scope_room || !self->scopes[number].known) {
        self->needed_scope = number;
        return ENCODE_SCOPE;
    }
    scope = &self->scopes[number];
    if (!scope->used) {
        if (gsm_grow((void **)&self->order, &self->order_room, self->scopes_used + 1, sizeof(uint32_t)))
            return ENCODE_MEMORY;
        self->order[self->scopes_used++] = number;
        scope->used = 1;
    }
    *found = scope;
    return 0;
}

static int put_span(gsm_otlp *self)
{
    gsm_otlp_known *known = self->known;
    gsm_otlp_shape *shape;
    gsm_scope *scope = NULL;
    gsm_span span;
    gsm_bytes *out;
    size_t start, width;
    int status, without = 0;
    gsm_read_span(self->walk.chunk, self->walk.at, &span);
    if (GSM_UNLIKELY(span.shape >= known->shape_room || !known->shapes[span.shape].known)) {
        self->needed_shape = (uint32_t)span.shape;
        return ENCODE_SHAPE;
    }
    shape = &known->shapes[span.shape];
    status = find_scope(self, shape->scope, &scope);
    if (GSM_UNLIKELY(status))
        return status;
    out = &scope->spans;
    start = out->size;
    do {
        width = shape->width;
        if (gsm_reserve(out, 64))
            return ENCODE_MEMORY;
        out->data[start] = 0x12;
        out->size = start + 1 + width;
        status = put_fields(self, out, &span, shape, &without);
    } while (status == AGAIN);
    if (GSM_UNLIKELY(status)) {
        out->size = start;
        return status;
    }
    if (gsm_reserve(out, SLACK)) {
        out->size = start;
        return ENCODE_MEMORY;
    }
    width = end_field(out, start + 1 + width, width);
    shape->width = (uint8_t)width;
    return 0;
}

/* -- a payload --------------------------------------------------------------------------------------------------- */

int gsm_otlp_run(gsm_otlp *self)
{
    gsm_walk *walk = &self->walk;
    const gsm_otlp_facts *facts;
    int status;
    for (;;) {
        if (!walk->chunk) {
            if (!walk->block)
                return ENCODE_DONE;
            if (!self->known)
                return ENCODE_GENERATION;
            if (!gsm_walk_chunk(walk, 0)) {
                if (walk->block->next && walk->block->next->texts != walk->block->texts)
                    self->known = NULL;
                walk->block = walk->block->next;
                walk->next = walk->block ? walk->block->data : NULL;
                continue;
            }
        }
        if (walk->chunk->facts >= self->known->facts_room || !self->known->facts[walk->chunk->facts].known) {
            self->needed_facts = walk->chunk->facts;
            return ENCODE_FACTS;
        }
        facts = &self->known->facts[walk->chunk->facts];
        if (facts->sampled) {
            do {
                status = put_span(self);
                if (GSM_UNLIKELY(status))
                    return status;
            } while (gsm_walk_span(walk));
        }
        walk->chunk = NULL;
    }
}

void gsm_otlp_begin(gsm_otlp *self, const gsm_block *first)
{
    uint32_t at;
    for (at = 0; at < self->scope_room; at++) {
        self->scopes[at].used = 0;
        self->scopes[at].spans.size = 0;
    }
    self->scopes_used = 0;
    memset(&self->walk, 0, sizeof(self->walk));
    self->walk.block = first;
    self->walk.next = first ? first->data : NULL;
    self->known = NULL;
    self->out.size = 0;
}

void gsm_otlp_know(gsm_otlp *self, gsm_otlp_known *known)
{
    self->known = known;
    self->texts = self->walk.block->texts;
}

void gsm_otlp_skip_span(gsm_otlp *self)
{
    if (!gsm_walk_span(&self->walk))
        self->walk.chunk = NULL;
}

int gsm_otlp_put_span(gsm_otlp *self, const uint8_t *data, size_t size)
{
    gsm_span span;
    gsm_bytes *out;
    uint8_t *to;
    gsm_read_span(self->walk.chunk, self->walk.at, &span);
    out = &self->scopes[self->known->shapes[span.shape].scope].spans;
    if (gsm_reserve(out, size + 16))
        return ENCODE_MEMORY;
    to = gsm_put_bytes(put_head(out->data + out->size, 0x12, size), data, size);
    out->size = (size_t)(to - out->data);
    gsm_otlp_skip_span(self);
    return 0;
}

int gsm_otlp_end(gsm_otlp *self)
{
    const uint64_t kept = 16 * 1024 * 1024;
    uint64_t size, room = 0;
    uint32_t at, other, number;
    gsm_service *service;
    gsm_scope *scope;
    uint8_t *to;
    for (at = 0; at < self->service_room; at++)
        self->services[at].used = 0;
    for (at = 0; at < self->scopes_used; at++) {
        number = self->scopes[self->order[at]].service;
        service = &self->services[number];
        if (service->used)
            continue;
        service->used = 1;
        size = service->head.size;
        for (other = at; other < self->scopes_used; other++) {
            scope = &self->scopes[self->order[other]];
            if (scope->service == number)
                size += field_size(scope->head.size + scope->spans.size);
        }
        if (gsm_reserve(&self->out, size + 64))
            return ENCODE_MEMORY;
        to = put_head(self->out.data + self->out.size, 0x0A, size);
        to = gsm_put_bytes(to, service->head.data, service->head.size);
        for (other = at; other < self->scopes_used; other++) {
            scope = &self->scopes[self->order[other]];
            if (scope->service != number)
                continue;
            to = put_head(to, 0x12, scope->head.size + scope->spans.size);
            to = gsm_put_bytes(to, scope->head.data, scope->head.size);
            to = gsm_put_bytes(to, scope->spans.data, scope->spans.size);
        }
        self->out.size = (size_t)(to - self->out.data);
    }
    for (at = 0; at < self->scope_room; at++) {
        scope = &self->scopes[at];
        room += scope->spans.room;
        if (room > kept) {
            room -= scope->spans.room;
            free(scope->spans.data);
            memset(&scope->spans, 0, sizeof(scope->spans));
        }
    }
    return 0;
}

int gsm_otlp_scope(gsm_otlp *self, uint32_t scope, uint32_t service, gsm_view head, gsm_view service_head)
{
    if (gsm_grow((void **)&self->scopes, &self->scope_room, scope + 1, sizeof(gsm_scope)) ||
        gsm_grow((void **)&self->services, &self->service_room, service + 1, sizeof(gsm_service)) ||
        gsm_arena_copy(&self->arena, head, &self->scopes[scope].head))
        return ENCODE_MEMORY;
    if (!self->services[service].known && gsm_arena_copy(&self->arena, service_head, &self->services[service].head))
        return ENCODE_MEMORY;
    self->services[service].known = 1;
    self->scopes[scope].service = service;
    self->scopes[scope].known = 1;
    return 0;
}

gsm_otlp *gsm_otlp_new(void)
{
    return (gsm_otlp *)calloc(1, sizeof(gsm_otlp));
}

void gsm_otlp_free(gsm_otlp *self)
{
    uint32_t at;
    if (!self)
        return;
    for (at = 0; at < self->scope_room; at++)
        free(self->scopes[at].spans.data);
    free(self->scopes);
    free(self->services);
    free(self->order);
    free(self->out.data);
    gsm_arena_free(&self->arena);
    free(self);
}
