// SPDX-License-Identifier: Apache-2.0
//
// Two implementations of one function. The portable one walks eight tables at once (slicing by 8).
// The other uses the processor's crc32 instruction, which takes 3 cycles but may start one every
// cycle: long inputs are therefore cut into three streams whose checksums are joined by a
// carry-less multiplication.
//
// Joining: with reflected bits, appending k zero bytes multiplies a checksum by x^(8k) modulo the
// polynomial. crc32 of a 64-bit product reduces it and multiplies by x^33 on the way, so the
// factor is x^(8k-33), found once before main.
#include "log/crc32c.h"

#include <endian.h>
#include <string.h>

#if defined(__SSE4_2__) && defined(__PCLMUL__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#define CRC32C_HARDWARE 1
#else
#define CRC32C_HARDWARE 0
#endif

static const uint32_t POLYNOMIAL = 0x82f63b78; // Castagnoli's, bits reflected

static uint32_t tables[8][256];

static void tables_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ ((c & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xff];
    }
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t c = ~crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t lo, hi;
        memcpy(&lo, p, 4);
        memcpy(&hi, p + 4, 4);
        lo = le32toh(lo) ^ c;
        hi = le32toh(hi);
        c = tables[7][lo & 0xff] ^ tables[6][(lo >> 8) & 0xff] ^ tables[5][(lo >> 16) & 0xff] ^
            tables[4][lo >> 24] ^ tables[3][hi & 0xff] ^ tables[2][(hi >> 8) & 0xff] ^
            tables[1][(hi >> 16) & 0xff] ^ tables[0][hi >> 24];
    }
    for (; n > 0; p++, n--)
        c = (c >> 8) ^ tables[0][(c ^ *p) & 0xff];
    return ~c;
}

#if CRC32C_HARDWARE

enum { LONG_RUN = 1024, SHORT_RUN = 128 }; // bytes per stream

// Factors that move a checksum over one and over two runs.
static uint32_t long_once, long_twice, short_once, short_twice;

static uint32_t factor_of(uint32_t bytes)
{
    uint32_t k = 0x80000000; // x^0
    for (uint32_t i = 0; i < 8 * bytes - 33; i++)
        k = (k >> 1) ^ ((k & 1) != 0 ? POLYNOMIAL : 0);
    return k;
}

static inline uint32_t moved(uint32_t crc, uint32_t factor)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)factor), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static inline uint64_t lane(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t three_runs(uint32_t crc, const uint8_t *p, uint32_t run, uint32_t once,
                                  uint32_t twice)
{
    uint64_t a = crc, b = 0, c = 0;
    for (uint32_t i = 0; i < run; i += 8) {
        a = _mm_crc32_u64(a, lane(p + i));
        b = _mm_crc32_u64(b, lane(p + run + i));
        c = _mm_crc32_u64(c, lane(p + 2 * run + i));
    }
    return moved((uint32_t)a, twice) ^ moved((uint32_t)b, once) ^ (uint32_t)c;
}

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t c = ~crc;
    for (; n >= 3 * LONG_RUN; p += 3 * LONG_RUN, n -= 3 * LONG_RUN)
        c = three_runs(c, p, LONG_RUN, long_once, long_twice);
    for (; n >= 3 * SHORT_RUN; p += 3 * SHORT_RUN, n -= 3 * SHORT_RUN)
        c = three_runs(c, p, SHORT_RUN, short_once, short_twice);
    uint64_t wide = c;
    for (; n >= 8; p += 8, n -= 8)
        wide = _mm_crc32_u64(wide, lane(p));
    c = (uint32_t)wide;
    for (; n > 0; p++, n--)
        c = _mm_crc32_u8(c, *p);
    return ~c;
}

#else

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t n)
{
    return crc32c_portable(crc, data, n);
}

#endif

uint32_t crc32c(const void *p, size_t n)
{
    return crc32c_extend(0, p, n);
}

__attribute__((constructor)) static void crc32c_init(void)
{
    tables_make();
#if CRC32C_HARDWARE
    long_once = factor_of(LONG_RUN);
    long_twice = factor_of(2 * LONG_RUN);
    short_once = factor_of(SHORT_RUN);
    short_twice = factor_of(2 * SHORT_RUN);
#endif
}
