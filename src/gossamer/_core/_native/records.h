/* The neutral form of finished spans: written once, when a span ends, and read by every encoder without the GIL.
 *
 * A chunk is a header and its spans, one after another:
 *
 *   chunk   u32 bytes (with this header), u32 spans, u64 trace id high, u64 trace id low,
 *           i64 base (nanoseconds since the epoch), u32 facts (place in the generation's list), u32 0
 *   span    u16 size of what follows (0xffff: a u32 size follows), then
 *           u8 flags, u64 span id, [u64 parent id], varint zigzag(start - base), varint duration, varint shape,
 *           text resource (place 0: none),
 *           [varint count, count * (text key, value)]                                            FLAG_ATTRIBUTES
 *           [text status message]                                                                FLAG_ERROR
 *           [varint count, count * (u64 time, text name, varint count, pairs)]                   FLAG_EVENTS
 *           [varint count, count * (u64 high, u64 low, u64 span id, u8 remote, value priority (V_NONE: unknown),
 *            text tracestate, varint count, pairs)]                                              FLAG_LINKS
 *   text    varint: even: place in the generation's table, times two; odd: (bytes * 2 + 1) and the UTF-8 itself
 *   value   u8 V_*, then: V_TEXT text; V_INT varint zigzag; V_DOUBLE u64 bits; V_BYTES varint size, bytes;
 *           V_ITEMS varint count, values; V_BIG (an integer beyond 64 bits) text
 *
 * Numbers of a fixed size are in the machine's byte order: records never leave the process.
 */
#ifndef GOSSAMER_RECORDS_H
#define GOSSAMER_RECORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define GSM_LIKELY(x) __builtin_expect(!!(x), 1)
#define GSM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define GSM_LIKELY(x) (x)
#define GSM_UNLIKELY(x) (x)
#endif

enum {
    FLAG_ERROR = 1,
    FLAG_PARENT = 2, /* a parent id follows */
    FLAG_ROLE = 12,  /* two bits: 0 inside, 1 entry, 2 root */
    FLAG_ROLE_SHIFT = 2,
    FLAG_ATTRIBUTES = 16,
    FLAG_EVENTS = 32,
    FLAG_LINKS = 64
};

enum { V_TEXT, V_FALSE, V_TRUE, V_INT, V_DOUBLE, V_BYTES, V_ITEMS, V_BIG, V_NONE };

#define CHUNK_HEADER ((uint32_t)sizeof(gsm_chunk))
#define TEXTS_MAX 8192        /* places in the table of a generation */
#define TEXTS_SLOTS 16384     /* of its hash table: a power of two */
#define TEXTS_CANDIDATES 4096 /* texts that were seen once */
#define TEXTS_BYTES (512 * 1024)
#define TEXT_LONGEST 160 /* bytes; longer ones seldom repeat */

/* -- growing bytes -------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *data;
    size_t size, room;
} gsm_bytes;

static inline int gsm_reserve(gsm_bytes *out, size_t more)
{
    size_t room;
    uint8_t *data;
    if (GSM_LIKELY(out->size + more <= out->room))
        return 0;
    room = out->room ? out->room * 2 : 512;
    while (room < out->size + more)
        room *= 2;
    data = (uint8_t *)realloc(out->data, room);
    if (!data)
        return -1;
    out->data = data;
    out->room = room;
    return 0;
}

static inline uint8_t *gsm_put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *gsm_put_u64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, 8);
    return at + 8;
}

static inline uint64_t gsm_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

/* -- reading: records are our own, so nothing is checked --------------------------------------------------------- */

static inline const uint8_t *gsm_varint(const uint8_t *at, uint64_t *value)
{
    uint64_t found = *at & 0x7F;
    int shift = 7;
    while (*at++ & 0x80) {
        found |= (uint64_t)(*at & 0x7F) << shift;
        shift += 7;
    }
    *value = found;
    return at;
}

static inline const uint8_t *gsm_u64(const uint8_t *at, uint64_t *value)
{
    memcpy(value, at, 8);
    return at + 8;
}

static inline int64_t gsm_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* -- the table of texts ------------------------------------------------------------------------------------------ */

typedef struct {
    const uint8_t *data;
    uint64_t hash;
    uint32_t size;
    uint32_t more; /* for the reader's own use */
} gsm_text;

/* Written under the GIL alone, and only at its end, so that readers need no lock for the places they know. */
typedef struct {
    uint32_t count; /* place 0 stands for no text */
    uint32_t used;  /* of bytes */
    gsm_text texts[TEXTS_MAX];
    uint16_t slots[TEXTS_SLOTS];
    uint32_t candidates[TEXTS_CANDIDATES];
    uint8_t bytes[TEXTS_BYTES + 16]; /* readers copy 16 bytes at once */
} gsm_texts;

/* The place of a text, or 0. `admit`: 0 only look, 1 take it in when it comes for the second time, 2 take it in. */
static inline uint32_t gsm_place(gsm_texts *table, uint64_t hash, const uint8_t *data, uint32_t size, int admit)
{
    uint32_t slot = (uint32_t)(hash ^ (hash >> 29)) & (TEXTS_SLOTS - 1), place, *candidate;
    gsm_text *found;
    while ((place = table->slots[slot])) {
        found = &table->texts[place];
        if (found->hash == hash && found->size == size && !memcmp(found->data, data, size))
            return place;
        slot = (slot + 1) & (TEXTS_SLOTS - 1);
    }
    if (!admit || table->count >= TEXTS_MAX || table->used + size > TEXTS_BYTES)
        return 0;
    if (admit == 1) {
        candidate = &table->candidates[(hash >> 20) & (TEXTS_CANDIDATES - 1)];
        if (*candidate != (uint32_t)(hash | 1)) {
            *candidate = (uint32_t)(hash | 1);
            return 0;
        }
    }
    place = table->count;
    found = &table->texts[place];
    memcpy(table->bytes + table->used, data, size);
    found->data = table->bytes + table->used;
    found->size = size;
    found->hash = hash;
    table->used += size;
    table->slots[slot] = (uint16_t)place;
    table->count = place + 1;
    return place;
}

/* A text of a record: its bytes, its place (0: it stands in the record itself, or there is none: then data is NULL). */
static inline const uint8_t *gsm_read_text(const gsm_texts *table, const uint8_t *at, const uint8_t **data, uint32_t *size,
                                           uint32_t *place)
{
    uint64_t head;
    at = gsm_varint(at, &head);
    if (head & 1) {
        *size = (uint32_t)(head >> 1);
        *data = at;
        *place = 0;
        return at + *size;
    }
    *place = (uint32_t)(head >> 1);
    if (*place) {
        *data = table->texts[*place].data;
        *size = table->texts[*place].size;
    } else {
        *data = NULL;
        *size = 0;
    }
    return at;
}

/* -- blocks of chunks -------------------------------------------------------------------------------------------- */

#define BLOCK_BYTES (64 * 1024)

/* Memory for chunks. Counted, as batches that are sent to several places, or in parts, share it; under the GIL. */
typedef struct gsm_storage {
    size_t refs, room;
    void *generation; /* a counted reference to the object that owns the texts */
    struct gsm_storage *next_free;
    uint64_t data[1];
} gsm_storage;

/* A run of whole chunks in a storage. The last one of a batch has no `next`. */
typedef struct gsm_block {
    struct gsm_block *next;
    gsm_storage *storage;
    void *generation; /* the storage's */
    gsm_texts *texts;
    uint8_t *data;    /* chunks, one after another; each begins at a multiple of 8 bytes */
    size_t size;      /* of data, in bytes */
    uint64_t chunks, spans;
} gsm_block;

typedef struct {
    uint32_t bytes, spans;
    uint64_t high, low;
    int64_t base;
    uint32_t facts;
    uint32_t unused;
} gsm_chunk;

/* The fixed part of a span, and where its texts begin. */
typedef struct {
    uint8_t flags;
    uint8_t role;
    uint64_t id, parent, duration, shape;
    int64_t start;
    const uint8_t *rest; /* the resource */
    const uint8_t *end;  /* of the span: where the next one begins */
} gsm_span;

static inline const uint8_t *gsm_read_size(const uint8_t *at, uint32_t *size)
{
    uint16_t small;
    memcpy(&small, at, 2);
    if (GSM_LIKELY(small != 0xFFFF)) {
        *size = small;
        return at + 2;
    }
    memcpy(size, at + 2, 4);
    return at + 6;
}

static inline void gsm_read_span(const gsm_chunk *chunk, const uint8_t *at, gsm_span *span)
{
    uint32_t size;
    uint64_t start;
    at = gsm_read_size(at, &size);
    span->end = at + size;
    span->flags = *at++;
    span->role = (span->flags & FLAG_ROLE) >> FLAG_ROLE_SHIFT;
    at = gsm_u64(at, &span->id);
    span->parent = 0;
    if (span->flags & FLAG_PARENT)
        at = gsm_u64(at, &span->parent);
    at = gsm_varint(at, &start);
    span->start = chunk->base + gsm_unzigzag(start);
    at = gsm_varint(at, &span->duration);
    span->rest = gsm_varint(at, &span->shape);
}

#endif
