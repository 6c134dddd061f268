/* A guest's loads and stores, made by C code. They may be misaligned, and race with those of the
 * guest's other harts and threads, as the guest likes; an aligned one is one access of the host too
 * (RISC-V's memory model has naturally aligned accesses of up to 8 bytes be single-copy atomic). */
#ifndef WIRT_ENGINE_GUEST_ACCESS_H
#define WIRT_ENGINE_GUEST_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GUEST_ACCESS __attribute__((no_sanitize("thread", "alignment")))

/* size: 1, 2, 4 or 8 bytes; the value zero-extended. */
GUEST_ACCESS static inline uint64_t guest_load(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)p;
    case 2: return *(const volatile uint16_t *)p;
    case 4: return *(const volatile uint32_t *)p;
    default: return *(const volatile uint64_t *)p;
    }
}

GUEST_ACCESS static inline void guest_store(void *p, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(volatile uint8_t *)p = (uint8_t)value; break;
    case 2: *(volatile uint16_t *)p = (uint16_t)value; break;
    case 4: *(volatile uint32_t *)p = (uint32_t)value; break;
    default: *(volatile uint64_t *)p = value;
    }
}

/* Whether guest memory holds these bytes. */
GUEST_ACCESS static inline bool guest_equal(const void *guest, const void *bytes, size_t len)
{
#ifdef __SANITIZE_THREAD__ /* which looks into memcmp */
    for (size_t i = 0; i < len; i++)
        if (guest_load((const uint8_t *)guest + i, 1) != ((const uint8_t *)bytes)[i])
            return false;
    return true;
#else
    return memcmp(guest, bytes, len) == 0;
#endif
}

#endif
