/* Times and ids. */
#ifndef GOSSAMER_CLOCK_H
#define GOSSAMER_CLOCK_H

#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <time.h>
#endif

#if defined(_MSC_VER)
#define GSM_THREAD __declspec(thread)
#else
#define GSM_THREAD __thread
#endif

/* Nanoseconds of a clock that never goes back. */
static inline int64_t gsm_now(void)
{
#ifdef _WIN32
    static int64_t frequency;
    LARGE_INTEGER ticks;
    if (!frequency) {
        LARGE_INTEGER found;
        QueryPerformanceFrequency(&found);
        frequency = found.QuadPart;
    }
    QueryPerformanceCounter(&ticks);
    return ticks.QuadPart / frequency * 1000000000 + ticks.QuadPart % frequency * 1000000000 / frequency;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

/* Nanoseconds since the epoch. */
static inline int64_t gsm_wall(void)
{
#ifdef _WIN32
    FILETIME found;
    ULARGE_INTEGER ticks;
    GetSystemTimePreciseAsFileTime(&found);
    ticks.LowPart = found.dwLowDateTime;
    ticks.HighPart = found.dwHighDateTime;
    return (int64_t)(ticks.QuadPart - 116444736000000000ULL) * 100;
#else
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

/* Ids come from a generator of each thread (xoroshiro128+), seeded from the process's own random bytes and a count of
 * threads; a forked child has other random bytes and so seeds its threads anew. */
typedef struct {
    uint64_t a, b;
    uint64_t seed; /* of the process, that this one came from */
} gsm_random;

static GSM_THREAD gsm_random gsm_ids;
static uint64_t gsm_seed, gsm_threads;

static inline uint64_t gsm_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* A number of 64 bits that is not 0. Called under the GIL, as it counts threads. */
static inline uint64_t gsm_id(void)
{
    gsm_random *ids = &gsm_ids;
    uint64_t a, b, found;
    if (ids->seed != gsm_seed) {
        uint64_t state = gsm_seed ^ (++gsm_threads * 0xD1B54A32D192ED03ULL);
        ids->a = gsm_mix(&state);
        ids->b = gsm_mix(&state) | 1;
        ids->seed = gsm_seed;
    }
    do {
        a = ids->a;
        b = ids->b;
        found = a + b;
        b ^= a;
        ids->a = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
        ids->b = (b << 37) | (b >> 27);
    } while (!found);
    return found;
}

#endif
