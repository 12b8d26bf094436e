/* The heads and numbers of MessagePack. */
#ifndef GOSSAMER_MSGPACK_H
#define GOSSAMER_MSGPACK_H

#include "encode.h"

static inline uint8_t *put_text_head(uint8_t *at, uint32_t size)
{
    if (GSM_LIKELY(size < 32)) {
        *at++ = (uint8_t)(0xA0 | size);
    } else if (size < 0x100) {
        *at++ = 0xD9;
        *at++ = (uint8_t)size;
    } else {
        if (size < 0x10000) {
            *at++ = 0xDA;
        } else {
            *at++ = 0xDB;
            *at++ = (uint8_t)(size >> 24);
            *at++ = (uint8_t)(size >> 16);
        }
        *at++ = (uint8_t)(size >> 8);
        *at++ = (uint8_t)size;
    }
    return at;
}

/* As `pack_uint`. */
static inline uint8_t *put_index(uint8_t *at, uint32_t index)
{
    if (index < 0x80) {
        *at++ = (uint8_t)index;
        return at;
    }
    if (index < 0x10000) {
        *at++ = 0xCD;
    } else {
        *at++ = 0xCE;
        *at++ = (uint8_t)(index >> 24);
        *at++ = (uint8_t)(index >> 16);
    }
    *at++ = (uint8_t)(index >> 8);
    *at++ = (uint8_t)index;
    return at;
}

static inline uint8_t *put_count(uint8_t *at, uint64_t count, uint8_t small, uint8_t large)
{
    if (count < 16) {
        *at++ = (uint8_t)(small | count);
        return at;
    }
    if (count < 0x10000) {
        *at++ = large;
    } else {
        *at++ = (uint8_t)(large + 1);
        *at++ = (uint8_t)(count >> 24);
        *at++ = (uint8_t)(count >> 16);
    }
    *at++ = (uint8_t)(count >> 8);
    *at++ = (uint8_t)count;
    return at;
}

static inline uint8_t *put_double(uint8_t *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    *at = 0xCB;
    return gsm_put_big64(at + 1, bits);
}

#endif
