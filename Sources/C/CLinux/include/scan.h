#pragma once
#include <stdint.h>
#include <stddef.h>

/* Byte scanners of 16 bytes at a time with the compiler's vector types: including <emmintrin.h> here would break the
   importer's Glibc module. Each returns the offset of the first byte that ends the run, or n. */

typedef uint8_t roost_v16 __attribute__((vector_size(16)));

static inline int roost_first_set(roost_v16 m) {
#if defined(__x86_64__)
  int bits = __builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))m);
  return bits ? __builtin_ctz((unsigned)bits) : 16;
#else
  for (int i = 0; i < 16; i++)
    if (m[i]) return i;
  return 16;
#endif
}

/* Until c, a control byte other than tab, or DEL: a header value or a request target. */
static inline size_t scan_until(const uint8_t *p, size_t n, uint8_t c) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    roost_v16 x;
    __builtin_memcpy(&x, p + i, 16);
    roost_v16 m =
        (roost_v16)(x == c) | ((roost_v16)(x < (uint8_t)32) & (roost_v16)(x != (uint8_t)9)) | (roost_v16)(x == (uint8_t)127);
    int k = roost_first_set(m);
    if (k < 16) return i + (size_t)k;
  }
  for (; i < n; i++)
    if (p[i] == c || (p[i] < 32 && p[i] != 9) || p[i] == 127) return i;
  return n;
}

/* Until a quote, a backslash, a control byte or a byte that is not ASCII: the plain part of a JSON string. */
static inline size_t scan_json_string(const uint8_t *p, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    roost_v16 x;
    __builtin_memcpy(&x, p + i, 16);
    roost_v16 m = (roost_v16)(x == (uint8_t)'"') | (roost_v16)(x == (uint8_t)'\\') | (roost_v16)(x < (uint8_t)32) |
                  (roost_v16)(x > (uint8_t)127);
    int k = roost_first_set(m);
    if (k < 16) return i + (size_t)k;
  }
  for (; i < n; i++)
    if (p[i] == '"' || p[i] == '\\' || p[i] < 32 || p[i] > 127) return i;
  return n;
}

/* Token characters of RFC 9110: names of headers and methods. */
static inline int scan_is_token(uint8_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return 1;
  switch (c) {
    case '!': case '#': case '$': case '%': case '&': case '\'': case '*': case '+': case '-': case '.':
    case '^': case '_': case '`': case '|': case '~': return 1;
    default: return 0;
  }
}

static inline size_t scan_token(const uint8_t *p, size_t n) {
  size_t i = 0;
  while (i + 16 <= n) {
    roost_v16 x;
    __builtin_memcpy(&x, p + i, 16);
    /* Names are made of letters, digits and '-', nearly always; the byte that is none of these is looked at alone. */
    roost_v16 m = ~((roost_v16)((roost_v16)((x | (uint8_t)32) - (uint8_t)'a') < (uint8_t)26) |
                    (roost_v16)((roost_v16)(x - (uint8_t)'0') < (uint8_t)10) | (roost_v16)(x == (uint8_t)'-'));
    int k = roost_first_set(m);
    i += (size_t)k;
    if (k == 16) continue;
    if (!scan_is_token(p[i])) return i;
    i++;
  }
  while (i < n && scan_is_token(p[i])) i++;
  return i;
}

/* Until c. */
static inline size_t scan_byte(const uint8_t *p, size_t n, uint8_t c) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    roost_v16 x;
    __builtin_memcpy(&x, p + i, 16);
    int k = roost_first_set((roost_v16)(x == c));
    if (k < 16) return i + (size_t)k;
  }
  while (i < n && p[i] != c) i++;
  return i;
}

static inline uint8_t scan_lower(uint8_t c) { return (c >= 'A' && c <= 'Z') ? (uint8_t)(c | 32) : c; }

/* Whether eight bytes equal those of a lower-case text, ignoring ASCII case: where the text has a letter, the bit that tells
   the cases apart does not count. Of a text that the compiler knows these bits are a constant. */
static inline int scan_equals_lower_word(const uint8_t *p, const uint8_t *lower) {
  uint64_t x, y;
  __builtin_memcpy(&x, p, 8);
  __builtin_memcpy(&y, lower, 8);
  uint64_t low = y & 0x7f7f7f7f7f7f7f7fULL;
  uint64_t from_a = low + 0x1f1f1f1f1f1f1f1fULL, beyond_z = low + 0x0505050505050505ULL;
  uint64_t letters = from_a & ~beyond_z & ~y & 0x8080808080808080ULL;
  return ((x ^ y) & ~(letters >> 2)) == 0;
}

/* Whether n bytes equal a lower-case text, ignoring ASCII case. */
static inline int scan_equals_lower(const uint8_t *p, const uint8_t *lower, size_t n) {
  if (n >= 8) {
    for (size_t i = 0; i + 8 < n; i += 8)
      if (!scan_equals_lower_word(p + i, lower + i)) return 0;
    /* The last word may overlap the one before. */
    return scan_equals_lower_word(p + n - 8, lower + n - 8);
  }
  for (size_t i = 0; i < n; i++)
    if (scan_lower(p[i]) != lower[i]) return 0;
  return 1;
}

/* Equality whose time does not depend on where the texts differ. */
static inline int scan_equal_constant_time(const uint8_t *a, const uint8_t *b, size_t n) {
  uint64_t d = 0;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t x, y;
    __builtin_memcpy(&x, a + i, 8);
    __builtin_memcpy(&y, b + i, 8);
    d |= x ^ y;
    /* Hides the sum so far from the optimizer, which could else leave the loop at the first difference. */
    __asm__("" : "+r"(d));
  }
  for (; i < n; i++) {
    d |= (uint64_t)(a[i] ^ b[i]);
    __asm__("" : "+r"(d));
  }
  return d == 0;
}
