/* Datadog's v0.4 and v0.5. Functions with the argument `v5` are compiled twice, once for each. */
#include "encode_span.h"

/* -- a span ------------------------------------------------------------------------------------------------------- */

/* Shape, facts and resource: what has to be known before the first byte. */
TWICE int prepare(gsm_datadog *self, gsm_state *state, const int v5)
{
    gsm_known *known = self->known;
    const gsm_chunk *chunk = self->walk.chunk;
    gsm_span *span = &state->span;
    gsm_facts *facts = NULL;
    gsm_shape *shape;
    uint64_t number;
    gsm_read_span(chunk, self->walk.at, span);
    if (span->flags & FLAG_LINKS || (span->flags & (FLAG_EVENTS | FLAG_ERROR)) == FLAG_EVENTS)
        return ENCODE_SLOW;
    if (self->walk.first) {
        if (chunk->facts >= known->facts_room || !known->facts[chunk->facts].known) {
            self->needed_facts = chunk->facts;
            return ENCODE_FACTS;
        }
        facts = &known->facts[chunk->facts];
        if ((v5 || facts->known < 2) && pack_facts(self, facts, chunk->high, v5))
            return ENCODE_MEMORY;
    }
    number = span->shape * 3 + span->role;
    if (GSM_UNLIKELY(number >= known->shape_room || !known->shapes[number].known)) {
        self->needed_shape = (uint32_t)span->shape;
        self->needed_role = span->role;
        return ENCODE_SHAPE;
    }
    shape = &known->shapes[number];
    if (GSM_UNLIKELY(shape->known < 2 || (v5 && shape->epoch != self->epoch)) && pack_shape(self, shape, v5))
        return ENCODE_MEMORY;
    state->shape = shape;
    state->facts = facts;
    state->names = &known->names[shape->names];
    state->metas = shape->pairs.metas;
    state->metrics = shape->pairs.metrics;
    if (facts) {
        state->metas += facts->pairs.metas + (chunk->high ? 1 : 0);
        state->metrics += facts->pairs.metrics;
    }
    return 0;
}

TWICE int put_facts(gsm_datadog *self, const gsm_facts *facts, const int v5)
{
    uint64_t high = self->walk.chunk->high;
    if (put_view(&self->out, facts->pairs.before) || (high && put_tid(self, &self->out, high, v5)) ||
        put_view(&self->out, facts->pairs.after) || put_view(&self->numbers, facts->pairs.numbers))
        return ENCODE_MEMORY;
    return 0;
}

/* The header of `meta` was put with `width` bytes at `place`: put it right. */
static void end_metas(gsm_bytes *out, size_t place, size_t width, uint32_t count)
{
    uint8_t header[8];
    size_t size = (size_t)(put_count(header, count, 0x80, 0xDE) - header);
    if (GSM_UNLIKELY(size != width)) {
        memmove(out->data + place + size, out->data + place + width, out->size - place - width);
        out->size = out->size - width + size;
    }
    memcpy(out->data + place, header, size);
}

TWICE int put_span(gsm_datadog *self, const int v5)
{
    gsm_state state;
    gsm_bytes *out = &self->out;
    const uint8_t *at;
    uint8_t *to;
    uint64_t count = 0;
    size_t place, width;
    int status = prepare(self, &state, v5);
    if (GSM_UNLIKELY(status))
        return status;
    at = gsm_read_text(self->texts, state.span.rest, &state.resource.data, &state.resource.size,
                       &state.resource_place);
    if (!state.resource.size) {
        state.resource = state.shape->name;
        state.resource_place = 0;
    } else if (GSM_UNLIKELY(state.resource.size > RESOURCE_MOST)) {
        state.resource.size = gsm_cut(state.resource.data, state.resource.size, RESOURCE_MOST);
    }
    if (state.span.flags & FLAG_ATTRIBUTES) {
        at = gsm_varint(at, &count);
        if (v5) {
            status = enter_names(self, &state, at, count);
            if (status)
                return status;
        }
    }
    if (put_view(out, state.shape->head) || put_text(self, out, state.resource, state.resource_place, v5) ||
        gsm_reserve(out, 128))
        return ENCODE_MEMORY;
    to = put_fixed(out->data + out->size, self->walk.chunk, &state.span, v5);
    place = (size_t)(to - out->data);
    width = state.metas + count + 4 < 16 ? 1 : state.metas + count + 4 < 0x10000 ? 3 : 5;
    out->size = place + width;
    self->numbers.size = 0;
    if (put_view(out, state.shape->pairs.before) || put_view(&self->numbers, state.shape->pairs.numbers) ||
        (state.facts && put_facts(self, state.facts, v5)))
        return ENCODE_MEMORY;
    if (count) {
        memset(state.parts, 0, sizeof(state.parts));
        state.url = 0;
        do {
            status = put_attribute(self, &state, &at, v5);
            if (GSM_UNLIKELY(status))
                return status;
        } while (--count);
        if (state.url && !state.parts[PART_FULL]) {
            status = put_url(self, &state, v5);
            if (status)
                return status;
        }
    }
    if (GSM_UNLIKELY(state.span.flags & FLAG_ERROR)) {
        status = put_error(self, &state, at, v5);
        if (status)
            return status;
    }
    end_metas(out, place, width, state.metas);
    if (gsm_reserve(out, self->numbers.size + state.shape->tail.size + 64))
        return ENCODE_MEMORY;
    to = out->data + out->size;
    if (!v5)
        to = gsm_put_bytes(to, "\xa7metrics", 8);
    to = put_count(to, state.metrics, 0x80, 0xDE);
    to = gsm_put_bytes(to, self->numbers.data, self->numbers.size);
    if (v5)
        to = gsm_put_piece(to, state.shape->tail.data, state.shape->tail.size);
    out->size = (size_t)(to - out->data);
    return 0;
}

/* -- a payload ----------------------------------------------------------------------------------------------------- */

static int open_chunk(gsm_datadog *self)
{
    self->chunk_start = self->out.size;
    if (gsm_reserve(&self->out, 8 + SLACK))
        return ENCODE_MEMORY;
    self->out.size = (size_t)(put_count(self->out.data + self->out.size, self->walk.left, 0x90, 0xDC) - self->out.data);
    return 0;
}

/* Run over the spans of a chunk. */
TWICE int run_chunk(gsm_datadog *self, const int v5)
{
    int status;
    do {
        self->span_start = self->out.size;
        if (v5) {
            fresh_indexes(self);
            self->entry_start = self->entry_count;
            self->strings_start = self->strings.size;
        }
        status = put_span(self, v5);
        if (GSM_UNLIKELY(status)) {
            self->out.size = self->span_start;
            if (v5)
                gsm_datadog_take_back(self);
            return status;
        }
    } while (gsm_walk_span(&self->walk));
    self->walk.chunk = NULL;
    return 0;
}

int gsm_datadog_run(gsm_datadog *self)
{
    gsm_walk *walk = &self->walk;
    int status;
    for (;;) {
        while (!walk->chunk) {
            if (!walk->block)
                return ENCODE_DONE;
            if (!self->known)
                return ENCODE_GENERATION;
            if (gsm_walk_chunk(walk, 1)) {
                if (open_chunk(self)) {
                    self->span_start = self->out.size;
                    return ENCODE_MEMORY;
                }
                break;
            }
            if (walk->block->next && walk->block->next->texts != walk->block->texts)
                self->known = NULL;
            walk->block = walk->block->next;
            walk->next = walk->block ? walk->block->data : NULL;
        }
        status = self->v5 ? run_chunk(self, 1) : run_chunk(self, 0);
        if (status)
            return status;
    }
}

int gsm_datadog_know(gsm_datadog *self, gsm_known *known)
{
    self->known = known;
    self->texts = self->walk.block->texts;
    return 0;
}

int gsm_datadog_put_span(gsm_datadog *self, const uint8_t *data, size_t size)
{
    if (gsm_reserve(&self->out, size + SLACK))
        return ENCODE_MEMORY;
    memcpy(self->out.data + self->out.size, data, size);
    self->out.size += size;
    if (!gsm_walk_span(&self->walk))
        self->walk.chunk = NULL;
    return 0;
}

int gsm_datadog_skip_chunk(gsm_datadog *self)
{
    self->out.size = self->chunk_start;
    if (gsm_reserve(&self->out, 8))
        return ENCODE_MEMORY;
    self->out.data[self->out.size++] = 0x90;
    self->walk.chunk = NULL;
    return 0;
}

#define STRINGS_AT 16       /* room for what comes before the table */
#define MOST_SLOTS (1 << 17) /* that are kept for the next payload */

static uint64_t epochs; /* under the GIL alone */

int gsm_datadog_begin(gsm_datadog *self, const gsm_block *first, uint64_t chunks)
{
    memset(&self->walk, 0, sizeof(self->walk));
    self->walk.block = first;
    self->walk.next = first ? first->data : NULL;
    self->known = NULL;
    self->result = 0;
    self->out.size = 0;
    if (gsm_reserve(&self->out, 64))
        return ENCODE_MEMORY;
    self->out.size = (size_t)(put_count(self->out.data, chunks, 0x90, 0xDC) - self->out.data);
    if (self->v5) {
        epochs += (uint64_t)1 << 32; /* a payload has so many of its own */
        self->epoch = epochs;
        gsm_arena_free(&self->arena);
        self->entry_count = 0;
        if (self->slot_room > MOST_SLOTS) {
            free(self->slots);
            free(self->entries);
            self->slots = NULL;
            self->entries = NULL;
            self->slot_room = self->entry_room = 0;
        } else if (self->slots) {
            memset(self->slots, 0, self->slot_room * sizeof(uint32_t));
        }
        self->strings.size = 0;
        if (gsm_reserve(&self->strings, STRINGS_AT))
            return ENCODE_MEMORY;
        self->strings.size = STRINGS_AT;
        if (gsm_datadog_index(self, TEXT_NONE, 0) < 0)
            return ENCODE_MEMORY;
    }
    return 0;
}

int gsm_datadog_end(gsm_datadog *self)
{
    uint8_t header[16];
    size_t size;
    gsm_bytes swap;
    if (!self->v5)
        return 0;
    header[0] = 0x92;
    size = (size_t)(put_count(header + 1, self->entry_count, 0x90, 0xDC) - header);
    if (gsm_reserve(&self->strings, self->out.size))
        return ENCODE_MEMORY;
    memcpy(self->strings.data + self->strings.size, self->out.data, self->out.size);
    self->strings.size += self->out.size;
    self->result = STRINGS_AT - size;
    memcpy(self->strings.data + self->result, header, size);
    swap = self->out;
    self->out = self->strings;
    self->strings = swap;
    return 0;
}

gsm_datadog *gsm_datadog_new(int v5)
{
    gsm_datadog *self = (gsm_datadog *)calloc(1, sizeof(gsm_datadog));
    if (self)
        self->v5 = v5;
    return self;
}

void gsm_datadog_free(gsm_datadog *self)
{
    if (!self)
        return;
    free(self->out.data);
    free(self->numbers.data);
    free(self->scratch.data);
    free(self->strings.data);
    free(self->entries);
    free(self->slots);
    gsm_arena_free(&self->arena);
    free(self);
}
