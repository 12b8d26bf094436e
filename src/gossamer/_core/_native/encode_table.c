/* The table of texts of a v0.5 payload, and the names of the language's exceptions. */
#include "msgpack.h"

static uint64_t hash_of(const uint8_t *data, uint32_t size)
{
    uint64_t hash = 0x9E3779B97F4A7C15u ^ size, part;
    while (size >= 8) {
        memcpy(&part, data, 8);
        hash = (hash ^ part) * 0xFF51AFD7ED558CCDu;
        hash ^= hash >> 32;
        data += 8;
        size -= 8;
    }
    part = 0;
    memcpy(&part, data, size);
    hash = (hash ^ part) * 0xC4CEB9FE1A85EC53u;
    return hash ^ (hash >> 29);
}

static int more_slots(gsm_datadog *self)
{
    uint32_t room = self->slot_room ? self->slot_room * 2 : 1024, place, slot;
    uint32_t *slots = (uint32_t *)calloc(room, sizeof(uint32_t));
    if (!slots)
        return ENCODE_MEMORY;
    for (place = 0; place < self->entry_count; place++) {
        slot = (uint32_t)self->entries[place].hash & (room - 1);
        while (slots[slot])
            slot = (slot + 1) & (room - 1);
        slots[slot] = place + 1;
    }
    free(self->slots);
    self->slots = slots;
    self->slot_room = room;
    return 0;
}

int64_t gsm_datadog_index(gsm_datadog *self, gsm_view text, int copied)
{
    uint64_t hash = hash_of(text.data, text.size);
    uint32_t slot, place;
    gsm_entry *entry;
    uint8_t *at;
    if (self->entry_count * 2 >= self->slot_room && more_slots(self))
        return ENCODE_MEMORY;
    slot = (uint32_t)hash & (self->slot_room - 1);
    while ((place = self->slots[slot])) {
        entry = &self->entries[place - 1];
        if (entry->hash == hash && gsm_same(entry->text, text.data, text.size))
            return place - 1;
        slot = (slot + 1) & (self->slot_room - 1);
    }
    if (gsm_grow((void **)&self->entries, &self->entry_room, self->entry_count + 1, sizeof(gsm_entry)) ||
        gsm_reserve(&self->strings, text.size + 8))
        return ENCODE_MEMORY;
    if (copied && gsm_arena_copy(&self->arena, text, &text))
        return ENCODE_MEMORY;
    at = put_text_head(self->strings.data + self->strings.size, text.size);
    at = gsm_put_bytes(at, text.data, text.size);
    self->strings.size = (size_t)(at - self->strings.data);
    entry = &self->entries[self->entry_count];
    entry->text = text;
    entry->hash = hash;
    self->slots[slot] = ++self->entry_count;
    return self->entry_count - 1;
}

void gsm_datadog_take_back(gsm_datadog *self)
{
    uint32_t slot, place;
    if (self->entry_count == self->entry_start)
        return;
    for (place = self->entry_count; place > self->entry_start; place--) {
        slot = (uint32_t)self->entries[place - 1].hash & (self->slot_room - 1);
        while (self->slots[slot] != place)
            slot = (slot + 1) & (self->slot_room - 1);
        self->slots[slot] = 0;
    }
    self->entry_count = self->entry_start;
    self->strings.size = self->strings_start;
    self->epoch += 2; /* whoever kept an index looks it up again */
}

/* -- exceptions of the language --------------------------------------------------------------------------------- */

#define BUILTINS 512
static struct {
    uint8_t size, name[39];
} builtins[BUILTINS];
static int builtin_count;

static uint32_t builtin_slot(gsm_view name)
{
    uint32_t hash = 2166136261u, at;
    for (at = 0; at < name.size; at++)
        hash = (hash ^ name.data[at]) * 16777619u;
    for (hash ^= hash >> 15;; hash++) {
        hash &= BUILTINS - 1;
        if (!builtins[hash].size ||
            (builtins[hash].size == name.size && !memcmp(builtins[hash].name, name.data, name.size)))
            return hash;
    }
}

int gsm_is_builtin(gsm_view name)
{
    return name.size && name.size <= 39 && builtins[builtin_slot(name)].size;
}

int gsm_add_builtin(gsm_view name)
{
    uint32_t slot;
    if (!name.size || name.size > 39 || builtin_count > BUILTINS / 2)
        return ENCODE_MEMORY;
    slot = builtin_slot(name);
    memcpy(builtins[slot].name, name.data, name.size);
    builtins[slot].size = (uint8_t)name.size;
    builtin_count++;
    return 0;
}
