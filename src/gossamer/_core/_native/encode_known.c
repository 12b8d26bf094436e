/* What an encoder has been told of a generation of texts. */
#include "msgpack.h"

gsm_known *gsm_known_new(int v5)
{
    gsm_known *self = (gsm_known *)calloc(1, sizeof(gsm_known));
    if (self)
        self->v5 = v5;
    return self;
}

void gsm_known_free(gsm_known *self)
{
    uint32_t at;
    if (!self)
        return;
    for (at = 0; at < self->names_room; at++)
        free(self->names[at].names);
    free(self->names);
    free(self->shapes);
    free(self->facts);
    gsm_arena_free(&self->arena);
    free(self);
}

static int copy_views(gsm_arena *arena, uint32_t count, const gsm_view *from, gsm_view **to)
{
    uint32_t at;
    *to = (gsm_view *)(void *)gsm_arena_take(arena, count * sizeof(gsm_view));
    if (!*to)
        return ENCODE_MEMORY;
    for (at = 0; at < count; at++)
        if (gsm_arena_copy(arena, from[at], &(*to)[at]))
            return ENCODE_MEMORY;
    return 0;
}

int gsm_known_pairs(gsm_known *self, gsm_pairs *pairs, uint32_t split, uint32_t metas, const gsm_view *texts,
                    uint32_t metrics, const gsm_view *keys, const double *values)
{
    memset(pairs, 0, sizeof(*pairs));
    pairs->split = split;
    pairs->metas = metas;
    pairs->metrics = metrics;
    pairs->values = (double *)(void *)gsm_arena_take(&self->arena, metrics * sizeof(double));
    if (!pairs->values || copy_views(&self->arena, metas * 2, texts, &pairs->texts) ||
        copy_views(&self->arena, metrics, keys, &pairs->keys))
        return ENCODE_MEMORY;
    if (metrics)
        memcpy(pairs->values, values, metrics * sizeof(double));
    return 0;
}

int gsm_known_shape(gsm_known *self, uint32_t shape, uint32_t role, uint32_t names, gsm_view service, gsm_view name,
                    gsm_view type, uint32_t metas, const gsm_view *texts, uint32_t metrics, const gsm_view *keys,
                    const double *values)
{
    uint32_t number = shape * 3 + role;
    gsm_shape *made;
    if (gsm_grow((void **)&self->shapes, &self->shape_room, number + 1, sizeof(gsm_shape)) ||
        gsm_grow((void **)&self->names, &self->names_room, names + 1, sizeof(gsm_names)))
        return ENCODE_MEMORY;
    made = &self->shapes[number];
    if (gsm_known_pairs(self, &made->pairs, metas, metas, texts, metrics, keys, values) ||
        gsm_arena_copy(&self->arena, service, &made->service) || gsm_arena_copy(&self->arena, name, &made->name) ||
        gsm_arena_copy(&self->arena, type, &made->type))
        return ENCODE_MEMORY;
    made->names = names;
    made->epoch = 0;
    made->known = 1;
    return 0;
}

int gsm_known_facts(gsm_known *self, uint32_t facts, uint32_t split, uint32_t metas, const gsm_view *texts,
                    uint32_t metrics, const gsm_view *keys, const double *values)
{
    gsm_facts *made;
    if (gsm_grow((void **)&self->facts, &self->facts_room, facts + 1, sizeof(gsm_facts)))
        return ENCODE_MEMORY;
    made = &self->facts[facts];
    if (gsm_known_pairs(self, &made->pairs, split, metas, texts, metrics, keys, values))
        return ENCODE_MEMORY;
    made->epoch = 0;
    made->known = 1;
    return 0;
}

int gsm_known_key(gsm_known *self, uint32_t names, uint32_t place, int kind, int part, gsm_view name)
{
    gsm_names *list = &self->names[names];
    uint32_t number = self->keys[place];
    gsm_name *made;
    uint8_t *packed;
    if (!number)
        number = self->keys[place] = (uint16_t)++self->key_count;
    if (gsm_grow((void **)&list->names, &list->room, number + 1, sizeof(gsm_name)))
        return ENCODE_MEMORY;
    made = &list->names[number];
    if (gsm_arena_copy(&self->arena, name, &made->text))
        return ENCODE_MEMORY;
    packed = gsm_arena_take(&self->arena, name.size + 8);
    if (!packed)
        return ENCODE_MEMORY;
    made->piece.data = packed;
    made->piece.size = (uint32_t)(gsm_put_bytes(put_text_head(packed, name.size), name.data, name.size) - packed);
    made->kind = (uint8_t)kind;
    made->part = (uint8_t)part;
    made->epoch = 0;
    made->known = 1;
    return 0;
}
