// What all kernels share: the view of an Arrow column, UTF-8, Unicode tables, hashes and a counting table.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "unicode_tables.hpp"

#if defined(__GNUC__)
#define TAMIS_INLINE inline __attribute__((always_inline))
#else
#define TAMIS_INLINE inline
#endif

namespace tamis {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i32 = int32_t;
using i64 = int64_t;

// Zero-copy view of a column of strings. The bytes need not be valid UTF-8: no kernel reads outside a document
// whatever it holds, but what it says about broken text is then unspecified.
struct Text {
  const u8* data;
  const void* offsets;
  bool large;  // 64-bit offsets
  i64 length;
  i64 offset;
  i64 at(i64 row) const {
    return large ? static_cast<const i64*>(offsets)[offset + row] : static_cast<const i32*>(offsets)[offset + row];
  }
  const u8* begin(i64 row) const { return data + at(row); }
  const u8* end(i64 row) const { return data + at(row + 1); }
};

// --- UTF-8 ---

struct Char {
  u32 cp;
  u32 size;
};

// The character at s < end. A byte that starts nothing whole counts as one character U+FFFD.
static TAMIS_INLINE Char decode(const u8* s, const u8* end) {
  u32 c = s[0];
  if (c < 0x80) return {c, 1};
  if (c < 0xE0) {
    if (c < 0xC0 || end - s < 2) return {0xFFFD, 1};
    return {(c & 0x1F) << 6 | (s[1] & 0x3Fu), 2};
  }
  if (c < 0xF0) {
    if (end - s < 3) return {0xFFFD, 1};
    return {(c & 0xF) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu), 3};
  }
  if (end - s < 4) return {0xFFFD, 1};
  u32 cp = (c & 7) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
  return {cp < 0x110000 ? cp : 0xFFFD, cp < 0x110000 ? 4u : 1u};
}

// The character that ends before s > begin.
static TAMIS_INLINE Char decode_before(const u8* begin, const u8* s) {
  const u8* p = s - 1;
  while (p > begin && s - p < 4 && (*p & 0xC0) == 0x80) --p;
  return decode(p, s);
}

// Two-stage tables: block number of every 128 code points, then the blocks.
#define TAMIS_LOOKUP(name) \
  tables::name##_data[static_cast<u32>(tables::name##_index[cp >> tables::BLOCK_BITS]) << tables::BLOCK_BITS | \
                      (cp & ((1u << tables::BLOCK_BITS) - 1))]
static TAMIS_INLINE u32 flags_of(u32 cp) { return TAMIS_LOOKUP(flags); }
static TAMIS_INLINE u32 fold_of(u32 cp) { return TAMIS_LOOKUP(fold); }
static TAMIS_INLINE u32 combining_of(u32 cp) { return TAMIS_LOOKUP(combining); }
static TAMIS_INLINE u32 mojibake_of(u32 cp) { return TAMIS_LOOKUP(mojibake); }
#undef TAMIS_LOOKUP

// --- hashes; reference.py has them in words ---

constexpr u64 P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9;
constexpr u64 P4 = 0x85EBCA77C2B2AE63, P5 = 0x27D4EB2F165667C5;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "hashes are defined on little-endian reads; use the reference backend on this machine"
#endif
static TAMIS_INLINE u64 load64(const u8* p) {
  u64 v;
  memcpy(&v, p, 8);
  return v;
}
static TAMIS_INLINE u32 load32(const u8* p) {
  u32 v;
  memcpy(&v, p, 4);
  return v;
}
// The first n < 8 bytes at p, padded with zeros, without reading at or behind `end` (the end of a foreign buffer).
static TAMIS_INLINE u64 load_part(const u8* p, size_t n, const u8* end) {
  if (end - p >= 8) return load64(p) & ((u64(1) << (8 * n)) - 1);
  u64 v = 0;
  for (size_t i = 0; i < n; ++i) v |= u64(p[i]) << (8 * i);
  return v;
}

static TAMIS_INLINE u64 rotl(u64 x, int r) { return x << r | x >> (64 - r); }
static TAMIS_INLINE u64 xxh_round(u64 acc, u64 lane) { return rotl(acc + lane * P2, 31) * P1; }
static TAMIS_INLINE u64 avalanche(u64 h) {
  h ^= h >> 33;
  h *= P2;
  h ^= h >> 29;
  h *= P3;
  return h ^ h >> 32;
}
static inline u64 xxh64(const u8* p, size_t n, u64 seed = 0) {
  const u8* end = p + n;
  u64 h;
  if (n >= 32) {
    u64 a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
    do {
      a = xxh_round(a, load64(p));
      b = xxh_round(b, load64(p + 8));
      c = xxh_round(c, load64(p + 16));
      d = xxh_round(d, load64(p + 24));
      p += 32;
    } while (end - p >= 32);
    h = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
    for (u64 lane : {a, b, c, d}) h = (h ^ xxh_round(0, lane)) * P1 + P4;
  } else {
    h = seed + P5;
  }
  h += n;
  for (; end - p >= 8; p += 8) h = rotl(h ^ xxh_round(0, load64(p)), 27) * P1 + P4;
  if (end - p >= 4) {
    h = rotl(h ^ (u64(load32(p)) * P1), 23) * P2 + P3;
    p += 4;
  }
  for (; p < end; ++p) h = rotl(h ^ (*p * P5), 11) * P1;
  return avalanche(h);
}
static TAMIS_INLINE u64 fold_product(u64 a, u64 b) {
  __uint128_t m = static_cast<__uint128_t>(a) * b;
  return static_cast<u64>(m) ^ static_cast<u64>(m >> 64);
}
// Hash of the n bytes at p; bytes up to `end` may be read.
static TAMIS_INLINE u64 word_hash(const u8* p, size_t n, const u8* end) {
  u64 s = n * P1;
  const u8* last = p + n;
  while (last - p > 16) {
    s = fold_product(load64(p) ^ P2, load64(p + 8) ^ s);
    p += 16;
  }
  // p moved in sixteens, so a long word always has 8 bytes before its end
  size_t left = static_cast<size_t>(last - p);
  u64 first = left >= 8 ? load64(p) : load_part(p, left, end);
  u64 tail = n > 8 ? load64(last - 8) : 0;
  return fold_product(first ^ P2 ^ s, tail ^ P3);
}

// Counts 64-bit keys by open addressing. A generation tag makes clearing between documents free; add() has no branch
// that depends on whether the key is new, since on text that branch is a coin toss.
struct Counter {
  struct Entry {
    u64 key;
    u32 generation;
    u32 count;
  };
  std::vector<Entry> entries;
  u32 generation = 0;
  u64 mask = 0;

  void begin(size_t items) {
    size_t capacity = 64;
    while (capacity < items * 2) capacity *= 2;
    if (capacity > entries.size()) {
      entries.assign(capacity, Entry{0, 0, 0});
      generation = 0;
    }
    mask = capacity - 1;
    if (++generation == 0) {
      std::fill(entries.begin(), entries.end(), Entry{0, 0, 0});
      generation = 1;
    }
  }
  // Slot of the key: its identity until the next begin().
  TAMIS_INLINE u32 add(u64 key) {
    u64 s = (key * P1) >> 32 & mask;
    while ((entries[s].generation == generation) & (entries[s].key != key)) s = (s + 1) & mask;
    Entry& entry = entries[s];
    entry.count = (entry.generation == generation ? entry.count : 0) + 1;
    entry.generation = generation;
    entry.key = key;
    return static_cast<u32>(s);
  }
  TAMIS_INLINE void prefetch(u64 key) const { __builtin_prefetch(&entries[(key * P1) >> 32 & mask], 1); }
  TAMIS_INLINE u32 count(u32 slot) const { return entries[slot].count; }
};

static TAMIS_INLINE u32 popcount(u64 x) { return static_cast<u32>(__builtin_popcountll(x)); }
static TAMIS_INLINE u32 lowest(u64 x) { return static_cast<u32>(__builtin_ctzll(x)); }
static TAMIS_INLINE u64 below(u32 bit) { return (u64(1) << bit) - 1; }  // bit < 64
// a + b + carry; the carry out replaces the carry in
static TAMIS_INLINE u64 add_carry(u64 a, u64 b, u64& carry) {
  __uint128_t s = static_cast<__uint128_t>(a) + b + carry;
  carry = static_cast<u64>(s >> 64);
  return static_cast<u64>(s);
}

}  // namespace tamis
