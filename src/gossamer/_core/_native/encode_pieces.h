/* Texts and pairs as Datadog's two formats write them. Functions with the argument `v5` are compiled twice. */
#ifndef GOSSAMER_ENCODE_PIECES_H
#define GOSSAMER_ENCODE_PIECES_H

#include "msgpack.h"

#if defined(__GNUC__) || defined(__clang__)
#define TWICE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define TWICE static __forceinline
#else
#define TWICE static inline
#endif

#define LITERAL(text) {(const uint8_t *)(text), sizeof(text) - 1}

static const gsm_view TEXT_TRUE = LITERAL("true"), TEXT_FALSE = LITERAL("false"), TEXT_TID = LITERAL("_dd.p.tid"),
                      TEXT_URL = LITERAL("http.url"), TEXT_TYPE = LITERAL("error.type"),
                      TEXT_MESSAGE = LITERAL("error.message"), TEXT_STACK = LITERAL("error.stack"),
                      TEXT_NONE = LITERAL("");

static inline void fresh_indexes(gsm_datadog *self)
{
    gsm_known *known = self->known;
    if (known && known->epoch != self->epoch) {
        memset(known->indexes, 0, sizeof(known->indexes));
        known->epoch = self->epoch;
    }
}

/* A text, in full or by its index; `place`: in the generation's table, or 0. */
TWICE int put_text(gsm_datadog *self, gsm_bytes *out, gsm_view text, uint32_t place, const int v5)
{
    int64_t index;
    uint8_t *at;
    if (!v5) {
        if (gsm_reserve(out, text.size + 8 + SLACK))
            return ENCODE_MEMORY;
        at = put_text_head(out->data + out->size, text.size);
        out->size = (size_t)(gsm_put_bytes(at, text.data, text.size) - out->data);
        return 0;
    }
    index = place ? (int64_t)self->known->indexes[place] - 1 : -1;
    if (index < 0) {
        index = gsm_datadog_index(self, text, 0);
        if (index < 0)
            return ENCODE_MEMORY;
        if (place)
            self->known->indexes[place] = (uint32_t)index + 1;
    }
    if (gsm_reserve(out, 8))
        return ENCODE_MEMORY;
    out->size = (size_t)(put_index(out->data + out->size, (uint32_t)index) - out->data);
    return 0;
}

/* The same, with a text that does not live as long as the payload. */
TWICE int put_passing(gsm_datadog *self, gsm_bytes *out, gsm_view text, const int v5)
{
    if (v5 && gsm_datadog_index(self, text, 1) < 0)
        return ENCODE_MEMORY;
    return put_text(self, out, text, 0, v5);
}

TWICE int put_view(gsm_bytes *out, gsm_view piece)
{
    if (gsm_reserve(out, piece.size + SLACK))
        return ENCODE_MEMORY;
    out->size = (size_t)(gsm_put_piece(out->data + out->size, piece.data, piece.size) - out->data);
    return 0;
}

/* The pairs from `first` to `last` as one piece in `arena`. */
TWICE int pack_metas(gsm_datadog *self, gsm_arena *arena, const gsm_pairs *pairs, uint32_t first, uint32_t last,
                     gsm_view *piece, const int v5)
{
    uint32_t at;
    self->scratch.size = 0;
    for (at = 2 * first; at < 2 * last; at++)
        if (put_text(self, &self->scratch, pairs->texts[at], 0, v5))
            return ENCODE_MEMORY;
    return gsm_arena_copy(arena, gsm_make_view(self->scratch.data, (uint32_t)self->scratch.size), piece);
}

TWICE int pack_metrics(gsm_datadog *self, gsm_arena *arena, gsm_pairs *pairs, const int v5)
{
    uint32_t at;
    self->scratch.size = 0;
    for (at = 0; at < pairs->metrics; at++) {
        if (put_text(self, &self->scratch, pairs->keys[at], 0, v5) || gsm_reserve(&self->scratch, 9))
            return ENCODE_MEMORY;
        put_double(self->scratch.data + self->scratch.size, pairs->values[at]);
        self->scratch.size += 9;
    }
    return gsm_arena_copy(arena, gsm_make_view(self->scratch.data, (uint32_t)self->scratch.size), &pairs->numbers);
}

TWICE int pack_shape(gsm_datadog *self, gsm_shape *shape, const int v5)
{
    gsm_arena *arena = v5 ? &self->arena : &self->known->arena;
    gsm_bytes *out = &self->scratch;
    gsm_pairs *pairs = &shape->pairs;
    if (pack_metas(self, arena, pairs, 0, pairs->metas, &pairs->before, v5) || pack_metrics(self, arena, pairs, v5))
        return ENCODE_MEMORY;
    out->size = 0;
    if (gsm_reserve(out, 64))
        return ENCODE_MEMORY;
    if (v5) {
        out->data[out->size++] = 0x9C;
        if (put_text(self, out, shape->service, 0, v5) || put_text(self, out, shape->name, 0, v5) ||
            gsm_arena_copy(arena, gsm_make_view(out->data, (uint32_t)out->size), &shape->head))
            return ENCODE_MEMORY;
        out->size = 0;
        if (put_text(self, out, shape->type, 0, v5) ||
            gsm_arena_copy(arena, gsm_make_view(out->data, (uint32_t)out->size), &shape->tail))
            return ENCODE_MEMORY;
    } else {
        out->data[out->size++] = shape->type.size ? 0x8C : 0x8B;
        if (put_view(out, gsm_make_view("\xa7service\0\0\0\0\0\0\0\0\0", 8)) || put_text(self, out, shape->service, 0, v5) ||
            put_view(out, gsm_make_view("\xa4name\0\0\0\0\0\0\0\0\0\0\0\0", 5)) || put_text(self, out, shape->name, 0, v5))
            return ENCODE_MEMORY;
        if (shape->type.size && (put_view(out, gsm_make_view("\xa4type\0\0\0\0\0\0\0\0\0\0\0\0", 5)) ||
                                 put_text(self, out, shape->type, 0, v5)))
            return ENCODE_MEMORY;
        if (put_view(out, gsm_make_view("\xa8resource\0\0\0\0\0\0\0\0", 9)) ||
            gsm_arena_copy(arena, gsm_make_view(out->data, (uint32_t)out->size), &shape->head))
            return ENCODE_MEMORY;
        shape->tail = TEXT_NONE;
    }
    shape->epoch = self->epoch;
    shape->known = 2;
    return 0;
}

/* The text of the trace id's upper half. */
TWICE int put_tid(gsm_datadog *self, gsm_bytes *out, uint64_t high, const int v5)
{
    uint8_t digits[16];
    int at;
    for (at = 15; at >= 0; at--, high >>= 4)
        digits[at] = (uint8_t)"0123456789abcdef"[high & 15];
    if (put_text(self, out, TEXT_TID, 0, v5))
        return ENCODE_MEMORY;
    return put_passing(self, out, gsm_make_view(digits, 16), v5);
}

/* What the trace says: `numbers` is packed for later, the texts are put. In v0.5 its texts enter the table first. */
TWICE int pack_facts(gsm_datadog *self, gsm_facts *facts, uint64_t high, const int v5)
{
    gsm_arena *arena = v5 ? &self->arena : &self->known->arena;
    gsm_pairs *pairs = &facts->pairs;
    if (facts->known < 2 || (v5 && facts->epoch != self->epoch)) {
        if (pack_metas(self, arena, pairs, 0, pairs->split, &pairs->before, v5))
            return ENCODE_MEMORY;
        self->scratch.size = 0;
        if (v5 && high && put_tid(self, &self->scratch, high, v5))
            return ENCODE_MEMORY;
        if (pack_metas(self, arena, pairs, pairs->split, pairs->metas, &pairs->after, v5) ||
            pack_metrics(self, arena, pairs, v5))
            return ENCODE_MEMORY;
        facts->epoch = self->epoch;
        facts->known = 2;
    } else if (v5 && high) {
        self->scratch.size = 0;
        if (put_tid(self, &self->scratch, high, v5))
            return ENCODE_MEMORY;
    }
    return 0;
}

#endif
