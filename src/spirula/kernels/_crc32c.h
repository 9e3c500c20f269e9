/* CRC-32C, as far as the processor helps: for _frames.c and _blocks.c, each with tables of its own.
 *
 * `crc` takes the register as it is, without inversions, as kernels/crc32c.py does. `make_crc` has
 * to be called before.
 */

#ifndef SPIRULA_CRC32C_H
#define SPIRULA_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_INSTRUCTION 1
#if __GNUC__ >= 9 || defined(__clang__)
#define HAVE_WIDE 1
#include <immintrin.h>
#endif
#endif

#define POLYNOMIAL 0x82F63B78u

static uint32_t tables[8][256];

static void
make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t r = byte;
        for (int bit = 0; bit < 8; bit++)
            r = r >> 1 ^ (r & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = r;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            tables[k][byte] = tables[0][tables[k - 1][byte] & 0xFF] ^ tables[k - 1][byte] >> 8;
}

static uint32_t
crc_by_table(uint32_t r, const unsigned char *at, size_t left)
{
    for (; left >= 8; at += 8, left -= 8) {
        r ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        r = tables[7][r & 0xFF] ^ tables[6][r >> 8 & 0xFF] ^ tables[5][r >> 16 & 0xFF] ^
            tables[4][r >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^
            tables[0][at[7]];
    }
    for (; left; at++, left--)
        r = tables[0][(r ^ *at) & 0xFF] ^ r >> 8;
    return r;
}

#ifdef HAVE_INSTRUCTION
/* The instruction takes three cycles and begins one in each: three runs of a buffer at a time, whose
 * registers are brought together by what so many zero bytes do to one. */
#define LONG_RUN 4096
#define SHORT_RUN 256

static uint32_t behind_long[4][256], behind_short[4][256];

/* What `zeros` zero bytes make of a register is linear: tabled by each of its bytes. */
static void
make_shift(uint32_t shift[4][256], size_t zeros)
{
    static const unsigned char nothing[64];
    for (int byte = 0; byte < 4; byte++) {
        shift[byte][0] = 0;
        for (int bit = 0; bit < 8; bit++) {
            uint32_t r = (uint32_t)1 << (8 * byte + bit);
            for (size_t left = zeros; left; left -= 64)
                r = crc_by_table(r, nothing, 64);
            shift[byte][1 << bit] = r;
        }
        for (int value = 1; value < 256; value++) {
            int low = value & -value;
            shift[byte][value] = shift[byte][low] ^ shift[byte][value ^ low];
        }
    }
}

static inline uint32_t
shifted(uint32_t shift[4][256], uint32_t r)
{
    return shift[0][r & 0xFF] ^ shift[1][r >> 8 & 0xFF] ^ shift[2][r >> 16 & 0xFF] ^
           shift[3][r >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t
three_runs(uint32_t r, const unsigned char *at, size_t run, uint32_t shift[4][256])
{
    uint64_t a = r, b = 0, c = 0, word[3];
    for (size_t k = 0; k < run; k += 8) {
        memcpy(&word[0], at + k, 8);
        memcpy(&word[1], at + run + k, 8);
        memcpy(&word[2], at + 2 * run + k, 8);
        a = __builtin_ia32_crc32di(a, word[0]);
        b = __builtin_ia32_crc32di(b, word[1]);
        c = __builtin_ia32_crc32di(c, word[2]);
    }
    return shifted(shift, shifted(shift, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t r, const unsigned char *at, size_t left)
{
    for (; left >= 3 * LONG_RUN; at += 3 * LONG_RUN, left -= 3 * LONG_RUN)
        r = three_runs(r, at, LONG_RUN, behind_long);
    for (; left >= 3 * SHORT_RUN; at += 3 * SHORT_RUN, left -= 3 * SHORT_RUN)
        r = three_runs(r, at, SHORT_RUN, behind_short);
    uint64_t wide = r, word;
    for (; left >= 8; at += 8, left -= 8) {
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    r = (uint32_t)wide;
    for (; left; at++, left--)
        r = __builtin_ia32_crc32qi(r, *at);
    return r;
}
#endif

#ifdef HAVE_WIDE
/* Where 512 bits are multiplied without carries at a time, a third of that time: as polynomials,
 * four registers of a buffer are brought forward over what is behind them, again and again, and the
 * 16 bytes that are left in the end have the sum of all. */
#define WIDE 256

static uint64_t over_wide[2], over_64[2], over_16[2];

/* x to a power modulo the polynomial, both with the lowest power in the highest bit. */
static uint64_t
power(unsigned exponent)
{
    uint32_t r = 0x80000000u;
    while (exponent--)
        r = r >> 1 ^ (r & 1 ? POLYNOMIAL : 0);
    return (uint64_t)r << 1;
}

/* What brings the two halves of 128 bits forward over so many bytes. */
static void
make_over(uint64_t over[2], unsigned bytes)
{
    over[0] = power(8 * bytes + 32);
    over[1] = power(8 * bytes - 32);
}

#define WITH_WIDE __attribute__((target("sse4.2,pclmul,avx512f,avx512vl,vpclmulqdq")))

WITH_WIDE static inline __m512i
forward(__m512i r, __m512i over, __m512i next)
{
    __m512i low = _mm512_clmulepi64_epi128(r, over, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(r, over, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96); /* the three of them added */
}

WITH_WIDE static uint32_t
crc_by_wide(uint32_t r, const unsigned char *at, size_t left)
{
    if (left < 4 * WIDE)
        return crc_by_instruction(r, at, left);
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(at),
                                 _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)r)));
    __m512i b = _mm512_loadu_si512(at + 64), c = _mm512_loadu_si512(at + 128);
    __m512i d = _mm512_loadu_si512(at + 192);
    __m512i over = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)over_wide));
    for (at += WIDE, left -= WIDE; left >= WIDE; at += WIDE, left -= WIDE) {
        a = forward(a, over, _mm512_loadu_si512(at));
        b = forward(b, over, _mm512_loadu_si512(at + 64));
        c = forward(c, over, _mm512_loadu_si512(at + 128));
        d = forward(d, over, _mm512_loadu_si512(at + 192));
    }
    over = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)over_64));
    a = forward(forward(forward(a, over, b), over, c), over, d);
    __m128i part[4], one = _mm_loadu_si128((const __m128i *)over_16);
    _mm512_storeu_si512(part, a);
    for (int k = 0; k < 3; k++) {
        __m128i low = _mm_clmulepi64_si128(part[k], one, 0x00);
        __m128i high = _mm_clmulepi64_si128(part[k], one, 0x11);
        part[k + 1] = _mm_xor_si128(part[k + 1], _mm_xor_si128(low, high));
    }
    r = crc_by_instruction(0, (const unsigned char *)&part[3], sizeof part[3]);
    return crc_by_instruction(r, at, left);
}
#endif

static uint32_t (*crc)(uint32_t, const unsigned char *, size_t) = crc_by_table;

/* Makes the tables, and chooses the quickest way that there is. */
static void
make_crc(void)
{
    make_tables();
#ifdef HAVE_INSTRUCTION
    if (__builtin_cpu_supports("sse4.2")) {
        make_shift(behind_long, LONG_RUN);
        make_shift(behind_short, SHORT_RUN);
        crc = crc_by_instruction;
#ifdef HAVE_WIDE
        if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("avx512f") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vpclmulqdq")) {
            make_over(over_wide, WIDE);
            make_over(over_64, 64);
            make_over(over_16, 16);
            crc = crc_by_wide;
        }
#endif
    }
#endif
}

#endif
