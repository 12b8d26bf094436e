/* From the records of finished spans to the bytes of a payload, without the GIL.
 *
 * An encoder runs over blocks of chunks until it meets something that only Python knows: a kind of span, a key or the
 * facts of a trace that it has not seen, or a span out of the ordinary. Then it forgets what it has written of that
 * span and answers what it needs; whoever called it gives it that, under the GIL, and lets it go on. What it was told
 * is kept with the generation of texts, so that each thing is asked once.
 *
 * The bytes are those that `gossamer._wire` makes of the same spans. All texts of records are UTF-8 that can be sent.
 */
#ifndef GOSSAMER_ENCODE_H
#define GOSSAMER_ENCODE_H

#include "records.h"

enum {
    ENCODE_MEMORY = -1, /* there is none */
    ENCODE_DONE,
    ENCODE_GENERATION, /* the next block has other texts */
    ENCODE_SHAPE,      /* `needed_shape`, `needed_role` */
    ENCODE_KEY,        /* what the text `needed_place` becomes as a key in `needed_names` */
    ENCODE_FACTS,      /* `needed_facts` */
    ENCODE_SLOW        /* the span `walk.at`, written by Python */
};

/* What an attribute becomes: as in _wire/datadog_texts.py. */
enum { KEY_SLOW, KEY_PLAIN, KEY_WORDS, KEY_STATUS, KEY_URL, KEY_UNKNOWN };
/* Parts of a server's URL. */
enum { PART_NONE, PART_HOST, PART_PORT, PART_SCHEME, PART_PATH, PART_QUERY, PART_FULL, PARTS };

#define TEXT_MOST 25000    /* characters */
#define RESOURCE_MOST 5000 /* characters */
#define SLACK 16           /* bytes that may be read and written beyond a piece, so that short copies need no loop */

typedef struct {
    const uint8_t *data;
    uint32_t size;
} gsm_view;

/* -- memory that is freed at once ------------------------------------------------------------------------------- */

typedef struct gsm_page {
    struct gsm_page *next;
    size_t used, room;
    uint64_t data[1];
} gsm_page;

typedef struct {
    gsm_page *pages;
} gsm_arena;

/* Memory with SLACK bytes behind it, or NULL. */
uint8_t *gsm_arena_take(gsm_arena *arena, size_t size);
/* A copy of a view in the arena; 0, or ENCODE_MEMORY. */
int gsm_arena_copy(gsm_arena *arena, gsm_view from, gsm_view *copy);
void gsm_arena_free(gsm_arena *arena);
/* Make a list of zeroed entries hold at least `count`; 0, or ENCODE_MEMORY. */
int gsm_grow(void **list, uint32_t *room, uint32_t count, size_t entry);

/* -- bytes ------------------------------------------------------------------------------------------------------ */

/* Bytes of the first `most` characters. */
static inline uint32_t gsm_cut(const uint8_t *data, uint32_t size, uint32_t most)
{
    uint32_t at, count = 0;
    if (GSM_LIKELY(size <= most))
        return size;
    for (at = 0; at < size; at++)
        if ((data[at] & 0xC0) != 0x80 && count++ == most)
            return at;
    return size;
}

static inline int gsm_same(gsm_view one, const uint8_t *data, uint32_t size)
{
    return one.size == size && !memcmp(one.data, data, size);
}

static inline gsm_view gsm_make_view(const void *data, uint32_t size)
{
    gsm_view made;
    made.data = (const uint8_t *)data;
    made.size = size;
    return made;
}

/* For pieces with SLACK behind them, in the source and where they go. */
static inline uint8_t *gsm_put_piece(uint8_t *at, const uint8_t *data, size_t size)
{
    memcpy(at, data, 16);
    if (GSM_UNLIKELY(size > 16))
        memcpy(at + 16, data + 16, size - 16);
    return at + size;
}

static inline uint8_t *gsm_put_bytes(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static inline int gsm_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first;
}

static inline uint64_t gsm_swapped(uint64_t value)
{
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_bswap64(value);
#else
    value = ((value & 0x00FF00FF00FF00FFu) << 8) | ((value >> 8) & 0x00FF00FF00FF00FFu);
    value = ((value & 0x0000FFFF0000FFFFu) << 16) | ((value >> 16) & 0x0000FFFF0000FFFFu);
    return (value << 32) | (value >> 32);
#endif
}

static inline uint8_t *gsm_put_big64(uint8_t *at, uint64_t value)
{
    if (gsm_little_endian())
        value = gsm_swapped(value);
    return gsm_put_u64(at, value);
}

static inline uint8_t *gsm_put_little64(uint8_t *at, uint64_t value)
{
    if (!gsm_little_endian())
        value = gsm_swapped(value);
    return gsm_put_u64(at, value);
}

/* Digits of a number; their count. `digits` has room for 20. */
static inline uint32_t gsm_decimal(int64_t value, uint8_t *digits)
{
    uint8_t turned[20];
    uint32_t count = 0, size = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0)
        digits[size++] = '-';
    do
        turned[count++] = (uint8_t)('0' + rest % 10);
    while (rest /= 10);
    while (count)
        digits[size++] = turned[--count];
    return size;
}

/* The next value of a record. */
const uint8_t *gsm_skip_value(const uint8_t *at);

/* -- walking over chunks ---------------------------------------------------------------------------------------- */

typedef struct {
    const gsm_block *block;
    const uint8_t *next;    /* the next chunk of the block */
    const gsm_chunk *chunk; /* NULL: none begun */
    const uint8_t *at;      /* the span */
    const uint8_t *ahead;   /* the span after it, when `at` is the root, taken out of its order */
    uint32_t left;          /* spans, this one included */
    int first;              /* this is the first span of its chunk to be written */
} gsm_walk;

/* Begin the next chunk of the block; 0 at its end. `root_first`: a local root that stands last comes first. */
int gsm_walk_chunk(gsm_walk *walk, int root_first);
/* Go on to the next span of the chunk; 0 at its end. */
int gsm_walk_span(gsm_walk *walk);

/* -- Datadog: what is known of a generation of texts ------------------------------------------------------------ */

typedef struct {
    gsm_view text;
    gsm_view piece; /* v0.4: packed */
    uint64_t epoch; /* v0.5: of `index` */
    uint32_t index;
    uint8_t known, kind, part;
} gsm_name;

/* Names of the attributes of spans of one kind and type, by the numbers of the keys. */
typedef struct {
    gsm_name *names;
    uint32_t room;
} gsm_names;

/* Pairs that are said again and again. */
typedef struct {
    gsm_view *texts; /* key, value ... */
    uint32_t metas, split; /* the first `split` come before the upper half of the trace id */
    gsm_view *keys;
    double *values;
    uint32_t metrics;
    gsm_view before, after, numbers; /* packed */
} gsm_pairs;

typedef struct {
    int known;
    gsm_pairs pairs;
    uint32_t names;
    gsm_view service, name, type; /* texts */
    gsm_view head, tail;          /* packed */
    uint64_t epoch;               /* v0.5: of what is packed */
} gsm_shape;

typedef struct {
    int known;
    gsm_pairs pairs;
    uint64_t epoch;
} gsm_facts;

typedef struct {
    int v5;
    gsm_arena arena;
    gsm_shape *shapes; /* by shape * 3 + role */
    uint32_t shape_room;
    gsm_facts *facts;
    uint32_t facts_room;
    gsm_names *names;
    uint32_t names_room;
    uint32_t key_count;
    uint16_t keys[TEXTS_MAX];  /* numbers, by the places of the texts; 0: none yet */
    uint64_t epoch;            /* v0.5: of `indexes` */
    uint32_t indexes[TEXTS_MAX]; /* in the payload's table, + 1, by the places of the texts */
} gsm_known;

gsm_known *gsm_known_new(int v5);
void gsm_known_free(gsm_known *self);

/* What an encoder asked for. Each copies what it is given; 0, or ENCODE_MEMORY. */
int gsm_known_pairs(gsm_known *self, gsm_pairs *pairs, uint32_t split, uint32_t metas, const gsm_view *texts,
                    uint32_t metrics, const gsm_view *keys, const double *values);
int gsm_known_shape(gsm_known *self, uint32_t shape, uint32_t role, uint32_t names, gsm_view service, gsm_view name,
                    gsm_view type, uint32_t metas, const gsm_view *texts, uint32_t metrics, const gsm_view *keys,
                    const double *values);
int gsm_known_facts(gsm_known *self, uint32_t facts, uint32_t split, uint32_t metas, const gsm_view *texts,
                    uint32_t metrics, const gsm_view *keys, const double *values);
int gsm_known_key(gsm_known *self, uint32_t names, uint32_t place, int kind, int part, gsm_view name);

/* -- Datadog: a payload ----------------------------------------------------------------------------------------- */

typedef struct {
    gsm_view text;
    uint64_t hash;
} gsm_entry;

typedef struct {
    int v5;
    gsm_known *known; /* of the present block's generation */
    const gsm_texts *texts;
    gsm_walk walk;
    size_t chunk_start, span_start; /* in `out` */
    gsm_bytes out, numbers, scratch;
    size_t result; /* where the payload begins in `out`, at the end */

    gsm_bytes strings;  /* v0.5: the table, packed */
    gsm_arena arena;    /* what lives as long as the payload */
    gsm_entry *entries;
    uint32_t entry_count, entry_room;
    uint32_t *slots;
    uint32_t slot_room; /* a power of two */
    uint32_t entry_start;
    size_t strings_start;
    uint64_t epoch;     /* changes whenever an index becomes another text's */

    uint32_t needed_shape, needed_role, needed_place, needed_names, needed_facts;
} gsm_datadog;

gsm_datadog *gsm_datadog_new(int v5);
void gsm_datadog_free(gsm_datadog *self);
/* Begin a payload of so many chunks. */
int gsm_datadog_begin(gsm_datadog *self, const gsm_block *first, uint64_t chunks);
/* Say what is known of the present block's generation: after ENCODE_GENERATION. */
int gsm_datadog_know(gsm_datadog *self, gsm_known *known);
int gsm_datadog_run(gsm_datadog *self);
/* Write a span that Python has made, and go on. */
int gsm_datadog_put_span(gsm_datadog *self, const uint8_t *data, size_t size);
/* Write an empty trace in the place of this one, and go on. */
int gsm_datadog_skip_chunk(gsm_datadog *self);
/* The place of a text in the table of the payload, or ENCODE_MEMORY. */
int64_t gsm_datadog_index(gsm_datadog *self, gsm_view text, int copied);
/* Forget the texts that came with a span that is not to be: Python adds them in its own order. */
void gsm_datadog_take_back(gsm_datadog *self);
/* Put the parts of the payload together. It stands in `out` from `result` on. */
int gsm_datadog_end(gsm_datadog *self);

/* Whether this names an exception of the language; told once. */
int gsm_is_builtin(gsm_view name);
int gsm_add_builtin(gsm_view name);

#endif
