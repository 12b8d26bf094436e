/* What all encoders need: memory, and the walk over chunks. */
#include "encode.h"

uint8_t *gsm_arena_take(gsm_arena *arena, size_t size)
{
    gsm_page *page = arena->pages;
    uint8_t *found;
    size_t room;
    size = (size + SLACK + 7) & ~(size_t)7;
    if (!page || page->used + size > page->room) {
        room = size > 4096 ? size : 4096;
        page = (gsm_page *)malloc(sizeof(gsm_page) + room);
        if (!page)
            return NULL;
        page->used = 0;
        page->room = room;
        page->next = arena->pages;
        arena->pages = page;
    }
    found = (uint8_t *)page->data + page->used;
    page->used += size;
    return found;
}

int gsm_arena_copy(gsm_arena *arena, gsm_view from, gsm_view *copy)
{
    uint8_t *data = gsm_arena_take(arena, from.size);
    if (!data)
        return ENCODE_MEMORY;
    if (from.size)
        memcpy(data, from.data, from.size);
    memset(data + from.size, 0, SLACK);
    copy->data = data;
    copy->size = from.size;
    return 0;
}

void gsm_arena_free(gsm_arena *arena)
{
    gsm_page *page = arena->pages, *next;
    while (page) {
        next = page->next;
        free(page);
        page = next;
    }
    arena->pages = NULL;
}

int gsm_grow(void **list, uint32_t *room, uint32_t count, size_t entry)
{
    uint32_t wanted = *room ? *room : 16;
    uint8_t *grown;
    if (count <= *room)
        return 0;
    while (wanted < count)
        wanted *= 2;
    grown = (uint8_t *)realloc(*list, wanted * entry);
    if (!grown)
        return ENCODE_MEMORY;
    memset(grown + *room * entry, 0, (wanted - *room) * entry);
    *list = grown;
    *room = wanted;
    return 0;
}

const uint8_t *gsm_skip_value(const uint8_t *at)
{
    uint64_t number;
    switch (*at++) {
    case V_TEXT:
    case V_BIG:
        at = gsm_varint(at, &number);
        return number & 1 ? at + (number >> 1) : at;
    case V_INT:
        return gsm_varint(at, &number);
    case V_DOUBLE:
        return at + 8;
    case V_BYTES:
        at = gsm_varint(at, &number);
        return at + number;
    case V_ITEMS:
        at = gsm_varint(at, &number);
        while (number--)
            at = gsm_skip_value(at);
        return at;
    default:
        return at;
    }
}

int gsm_walk_chunk(gsm_walk *walk, int root_first)
{
    const gsm_block *block = walk->block;
    const uint8_t *span, *body;
    uint32_t size, count;
    if (walk->next >= block->data + block->size) {
        walk->chunk = NULL;
        return 0;
    }
    walk->chunk = (const gsm_chunk *)(const void *)walk->next;
    walk->at = walk->next + sizeof(gsm_chunk);
    walk->next += walk->chunk->bytes;
    walk->left = walk->chunk->spans;
    walk->first = 1;
    walk->ahead = NULL;
    if (root_first && walk->left > 1) {
        span = walk->at;
        for (count = walk->left; --count;) {
            body = gsm_read_size(span, &size);
            span = body + size;
        }
        body = gsm_read_size(span, &size);
        if ((*body & FLAG_ROLE) >> FLAG_ROLE_SHIFT == 2) {
            walk->ahead = walk->at;
            walk->at = span;
        }
    }
    return 1;
}

int gsm_walk_span(gsm_walk *walk)
{
    uint32_t size;
    if (!--walk->left)
        return 0;
    walk->first = 0;
    if (walk->ahead) {
        walk->at = walk->ahead;
        walk->ahead = NULL;
    } else {
        walk->at = gsm_read_size(walk->at, &size);
        walk->at += size;
    }
    return 1;
}
