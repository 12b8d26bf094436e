/* From records to OTLP's protobuf; see encode.h for how an encoder is used. */
#ifndef GOSSAMER_ENCODE_OTLP_H
#define GOSSAMER_ENCODE_OTLP_H

#include "encode.h"

enum { ENCODE_SCOPE = 16 /* the heads of `needed_scope` */ };

/* -- what is known of a generation of texts --------------------------------------------------------------------- */

typedef struct {
    gsm_view name;            /* the text */
    gsm_view operation, type; /* packed: attributes for what OpenTelemetry has no field for */
    uint32_t scope;
    uint8_t known, kind, http_client;
    uint8_t width; /* of the length of the last span */
} gsm_otlp_shape;

typedef struct {
    gsm_view tracestate; /* packed */
    uint8_t known, sampled;
} gsm_otlp_facts;

typedef struct {
    gsm_arena arena;
    gsm_otlp_shape *shapes;
    uint32_t shape_room;
    gsm_otlp_facts *facts;
    uint32_t facts_room;
    uint8_t keys[TEXTS_MAX]; /* what is special about a key, by the place of its text */
} gsm_otlp_known;

gsm_otlp_known *gsm_otlp_known_new(void);
void gsm_otlp_known_free(gsm_otlp_known *self);
/* What an encoder asked for. Each copies what it is given; 0, or ENCODE_MEMORY. */
int gsm_otlp_known_shape(gsm_otlp_known *self, uint32_t shape, uint32_t scope, int kind, int http_client,
                         gsm_view name, gsm_view operation, gsm_view type);
int gsm_otlp_known_facts(gsm_otlp_known *self, uint32_t facts, int sampled, gsm_view tracestate);

/* -- a payload -------------------------------------------------------------------------------------------------- */

/* Spans of one service and integration. */
typedef struct {
    gsm_bytes spans;
    gsm_view head; /* packed */
    uint32_t service;
    int known, used;
} gsm_scope;

typedef struct {
    gsm_view head; /* packed: the attributes of the resource */
    int known, used;
} gsm_service;

typedef struct {
    gsm_arena arena;
    gsm_scope *scopes;
    uint32_t scope_room;
    gsm_service *services;
    uint32_t service_room;
    uint32_t *order; /* scopes, as they were first used */
    uint32_t order_room, scopes_used;
    gsm_otlp_known *known;
    const gsm_texts *texts;
    gsm_walk walk;
    gsm_bytes out;
    uint32_t needed_shape, needed_facts, needed_scope;
} gsm_otlp;

gsm_otlp *gsm_otlp_new(void);
void gsm_otlp_free(gsm_otlp *self);
void gsm_otlp_begin(gsm_otlp *self, const gsm_block *first);
void gsm_otlp_know(gsm_otlp *self, gsm_otlp_known *known);
int gsm_otlp_run(gsm_otlp *self);
int gsm_otlp_scope(gsm_otlp *self, uint32_t scope, uint32_t service, gsm_view head, gsm_view service_head);
/* Write a span that Python has made, and go on. */
int gsm_otlp_put_span(gsm_otlp *self, const uint8_t *data, size_t size);
/* Leave a span out, and go on. */
void gsm_otlp_skip_span(gsm_otlp *self);
int gsm_otlp_end(gsm_otlp *self);

#endif
