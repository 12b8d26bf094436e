/* What the encoder of OTLP has been told of a generation of texts. */
#include "encode_otlp.h"

gsm_otlp_known *gsm_otlp_known_new(void)
{
    return (gsm_otlp_known *)calloc(1, sizeof(gsm_otlp_known));
}

void gsm_otlp_known_free(gsm_otlp_known *self)
{
    if (!self)
        return;
    free(self->shapes);
    free(self->facts);
    gsm_arena_free(&self->arena);
    free(self);
}

int gsm_otlp_known_shape(gsm_otlp_known *self, uint32_t shape, uint32_t scope, int kind, int http_client,
                         gsm_view name, gsm_view operation, gsm_view type)
{
    gsm_otlp_shape *made;
    if (gsm_grow((void **)&self->shapes, &self->shape_room, shape + 1, sizeof(gsm_otlp_shape)))
        return ENCODE_MEMORY;
    made = &self->shapes[shape];
    if (gsm_arena_copy(&self->arena, name, &made->name) ||
        gsm_arena_copy(&self->arena, operation, &made->operation) || gsm_arena_copy(&self->arena, type, &made->type))
        return ENCODE_MEMORY;
    made->scope = scope;
    made->kind = (uint8_t)kind;
    made->http_client = (uint8_t)http_client;
    made->width = 2;
    made->known = 1;
    return 0;
}

int gsm_otlp_known_facts(gsm_otlp_known *self, uint32_t facts, int sampled, gsm_view tracestate)
{
    gsm_otlp_facts *made;
    if (gsm_grow((void **)&self->facts, &self->facts_room, facts + 1, sizeof(gsm_otlp_facts)))
        return ENCODE_MEMORY;
    made = &self->facts[facts];
    if (gsm_arena_copy(&self->arena, tracestate, &made->tracestate))
        return ENCODE_MEMORY;
    made->sampled = (uint8_t)(sampled != 0);
    made->known = 1;
    return 0;
}
