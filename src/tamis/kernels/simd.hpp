// The primitives that differ between instruction sets. Included once in each of the namespaces that isa.hpp makes;
// TAMIS_ISA is 2 for AVX-512 (F, BW, DQ, VL), 1 for AVX2, 0 for any machine.

// One bit for each of 64 bytes.
struct AsciiMasks {
  u64 high;     // not ASCII
  u64 space;    // tab to CR, FS to US, space
  u64 breaks;   // LF VT FF CR FS GS RS: ends of lines for str.splitlines
  u64 letter, upper, digit, control;  // control: below 32, and DEL
  u64 newline, dot, hash, curly;
};
struct SpaceMasks {
  u64 high, control, space, newline;  // here space is U+0020 alone, control without newline
};
struct LetterMasks {
  u64 high, letter, digit, number_mark;  // number_mark: '.' and ','
};

#if TAMIS_ISA == 2
static TAMIS_INLINE u64 less(__m512i v, int k) { return _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(char(k))); }
static TAMIS_INLINE u64 in_range(__m512i v, int low, int count) {
  return less(_mm512_sub_epi8(v, _mm512_set1_epi8(char(low))), count);
}
static TAMIS_INLINE u64 equal(__m512i v, int k) { return _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(char(k))); }
static TAMIS_INLINE u64 high(__m512i v) { return _mm512_movepi8_mask(v); }
static TAMIS_INLINE __m512i lower_bit(__m512i v) { return _mm512_or_si512(v, _mm512_set1_epi8(32)); }
struct Bytes {
  __m512i v;
  explicit Bytes(const u8* p) : v(_mm512_loadu_si512(p)) {}
  template <class F>
  TAMIS_INLINE u64 mask(F f) const { return f(v); }
};
#elif TAMIS_ISA == 1
static TAMIS_INLINE u64 bits(__m256i v) { return u32(_mm256_movemask_epi8(v)); }
static TAMIS_INLINE u64 less(__m256i v, int k) {
  return bits(_mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(char(k - 1))), v));
}
static TAMIS_INLINE u64 in_range(__m256i v, int low, int count) {
  return less(_mm256_sub_epi8(v, _mm256_set1_epi8(char(low))), count);
}
static TAMIS_INLINE u64 equal(__m256i v, int k) { return bits(_mm256_cmpeq_epi8(v, _mm256_set1_epi8(char(k)))); }
static TAMIS_INLINE u64 high(__m256i v) { return bits(v); }
static TAMIS_INLINE __m256i lower_bit(__m256i v) { return _mm256_or_si256(v, _mm256_set1_epi8(32)); }
struct Bytes {
  __m256i a, b;
  explicit Bytes(const u8* p)
      : a(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
        b(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))) {}
  template <class F>
  TAMIS_INLINE u64 mask(F f) const { return f(a) | f(b) << 32; }
};
#else
// Portable: a class byte for each byte, then one multiplication gathers one bit of eight class bytes.
struct AsciiClasses {
  u8 first[256], second[256], third[256];
  AsciiClasses() {
    for (int c = 0; c < 256; ++c) {
      bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
      bool space = c == 32 || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
      bool breaks = (c >= 10 && c <= 13) || (c >= 28 && c <= 30), control = c < 32 || c == 127;
      first[c] = u8((c >= 128) | space << 1 | breaks << 2 | (lower || upper) << 3 | upper << 4 | digit << 5 |
                    control << 6 | (c == '\n') << 7);
      second[c] = u8((c == '.') | (c == '#') << 1 | (c == '{' || c == '}') << 2 | (c == ' ') << 3 |
                     (c == '.' || c == ',') << 4);
      third[c] = 0;
    }
  }
};
static const AsciiClasses ascii_classes;
template <int N>
static TAMIS_INLINE void gather(const u8* p, const u8* table, u64* out) {
  for (int i = 0; i < N; ++i) out[i] = 0;
  for (int group = 0; group < 8; ++group) {
    u64 v = 0;
    for (int j = 0; j < 8; ++j) v |= u64(table[p[8 * group + j]]) << (8 * j);
    for (int i = 0; i < N; ++i)
      out[i] |= ((v >> i & 0x0101010101010101) * 0x0102040810204080 >> 56) << (8 * group);
  }
}
#endif

#if TAMIS_ISA > 0
static TAMIS_INLINE AsciiMasks ascii_masks(const u8* p) {
  Bytes x(p);
  AsciiMasks m;
  m.high = x.mask([](auto v) { return high(v); });
  m.space = x.mask([](auto v) { return equal(v, 32) | in_range(v, 9, 5) | in_range(v, 28, 4); });
  m.breaks = x.mask([](auto v) { return in_range(v, 10, 4) | in_range(v, 28, 3); });
  m.letter = x.mask([](auto v) { return in_range(lower_bit(v), 'a', 26); });
  m.upper = x.mask([](auto v) { return in_range(v, 'A', 26); });
  m.digit = x.mask([](auto v) { return in_range(v, '0', 10); });
  m.control = x.mask([](auto v) { return less(v, 32) | equal(v, 127); });
  m.newline = x.mask([](auto v) { return equal(v, 10); });
  m.dot = x.mask([](auto v) { return equal(v, '.'); });
  m.hash = x.mask([](auto v) { return equal(v, '#'); });
  m.curly = x.mask([](auto v) { return equal(v, '{') | equal(v, '}'); });
  return m;
}
static TAMIS_INLINE SpaceMasks space_masks(const u8* p) {
  Bytes x(p);
  u64 newline = x.mask([](auto v) { return equal(v, 10); });
  return {x.mask([](auto v) { return high(v); }),
          x.mask([](auto v) { return less(v, 32) | equal(v, 127); }) & ~newline,
          x.mask([](auto v) { return equal(v, 32); }), newline};
}
static TAMIS_INLINE LetterMasks letter_masks(const u8* p) {
  Bytes x(p);
  return {x.mask([](auto v) { return high(v); }), x.mask([](auto v) { return in_range(lower_bit(v), 'a', 26); }),
          x.mask([](auto v) { return in_range(v, '0', 10); }),
          x.mask([](auto v) { return equal(v, '.') | equal(v, ','); })};
}
#else
static TAMIS_INLINE AsciiMasks ascii_masks(const u8* p) {
  u64 a[8], b[3];
  gather<8>(p, ascii_classes.first, a);
  gather<3>(p, ascii_classes.second, b);
  return {a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1], b[2]};
}
static TAMIS_INLINE SpaceMasks space_masks(const u8* p) {
  u64 a[8], b[4];
  gather<8>(p, ascii_classes.first, a);
  gather<4>(p, ascii_classes.second, b);
  return {a[0], a[6] & ~a[7], b[3], a[7]};
}
#endif

// Positions of the set bits, written eight at a time: no loop exit depends on the data. Up to 7 entries behind the
// last one are overwritten.
template <class Write>
static TAMIS_INLINE size_t write_positions(u64 mask, Write write) {
  size_t count = popcount(mask);
  for (size_t j = 0; j < count; j += 8)
    for (size_t u = 0; u < 8; ++u, mask &= mask - 1) write(j + u, lowest(mask | u64(1) << 63));
  return count;
}
