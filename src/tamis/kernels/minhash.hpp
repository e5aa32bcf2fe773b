// Shingle hashes and MinHash signatures. Included once for each instruction set (isa.hpp).

// Hashes of all word n-grams in order, of all words together where there are fewer: a polynomial in the word hashes
// that rolls in constant time whatever n is, then the finalizer of XXH64.
struct Shingler {
  std::vector<u64> word, hashes;

  void run(const Normalized& text, size_t ngram) {
    size_t count = text.words, n = std::min(ngram, count);
    hashes.resize(n ? count - n + 1 : 0);
    if (!n) return;
    word.resize(count);
    const u8* bytes = text.bytes.data();
    const u32* at = text.word_begin.data();
    for (size_t j = 0; j < count; ++j) word[j] = word_hash(bytes + at[j], at[j + 1] - 1 - at[j], text.end());
    u64 top = 1, sum = 0;
    for (size_t j = 0; j < n; ++j) {
      sum = sum * P1 + word[j];
      top *= P1;
    }
    for (size_t j = 0;; ++j) {
      hashes[j] = avalanche(sum);
      if (j + 1 == hashes.size()) break;
      sum = sum * P1 + word[j + n] - top * word[j];
    }
  }
};

// One vector register of lanes.
#if TAMIS_ISA == 2
constexpr size_t VECTOR = 64;
#elif TAMIS_ISA == 1
constexpr size_t VECTOR = 32;
#else
constexpr size_t VECTOR = 16;
#endif
typedef u32 Lanes32 __attribute__((vector_size(VECTOR)));
typedef u64 Lanes64 __attribute__((vector_size(VECTOR)));

template <class Lanes, class Value>
static TAMIS_INLINE Lanes load_lanes(const Value* p, size_t left) {
  Lanes v{};
  memcpy(&v, p, std::min(left * sizeof(Value), sizeof v));
  return v;
}

// least[k] = min over hashes of a[k] * (hash mod 2^32) + b[k], mod 2^32. Several registers of permutations at a time
// stay in registers while the hashes stream past.
static void minhash32(const std::vector<u64>& hashes, const u32* a, const u32* b, size_t count, u32* least) {
  constexpr size_t LANES = VECTOR / 4, GROUP = TAMIS_ISA == 2 ? 7 : 3;
  for (size_t k = 0; k < count; k += GROUP * LANES) {
    Lanes32 times[GROUP], plus[GROUP], low[GROUP];
    for (size_t g = 0; g < GROUP; ++g) {
      size_t at = std::min(k + g * LANES, count);
      times[g] = load_lanes<Lanes32>(a + at, count - at);
      plus[g] = load_lanes<Lanes32>(b + at, count - at);
      low[g] = ~Lanes32{};
    }
    for (u64 hash : hashes) {
      Lanes32 h = Lanes32{} + static_cast<u32>(hash);
#pragma GCC unroll 8
      for (size_t g = 0; g < GROUP; ++g) {
        Lanes32 v = h * times[g] + plus[g];
        low[g] = v < low[g] ? v : low[g];
      }
    }
    for (size_t g = 0; g < GROUP; ++g) {
      size_t at = std::min(k + g * LANES, count);
      memcpy(least + at, &low[g], std::min((count - at) * sizeof(u32), sizeof low[g]));
    }
  }
}

// least[k] = min over hashes of (a[k] * hash + b[k] mod 2^64) mod (2^61 - 1); 2^64 - 1 without hashes.
static void minhash61(const std::vector<u64>& hashes, const u64* a, const u64* b, size_t count, u64* least) {
  constexpr u64 P61 = (u64(1) << 61) - 1;
  constexpr size_t LANES = VECTOR / 8, GROUP = TAMIS_ISA == 2 ? 4 : 2;
  for (size_t k = 0; k < count; k += GROUP * LANES) {
    Lanes64 times[GROUP], plus[GROUP], low[GROUP];
    for (size_t g = 0; g < GROUP; ++g) {
      size_t at = std::min(k + g * LANES, count);
      times[g] = load_lanes<Lanes64>(a + at, count - at);
      plus[g] = load_lanes<Lanes64>(b + at, count - at);
      low[g] = ~Lanes64{};
    }
    for (u64 hash : hashes) {
      Lanes64 h = Lanes64{} + hash;
#pragma GCC unroll 8
      for (size_t g = 0; g < GROUP; ++g) {
        Lanes64 v = h * times[g] + plus[g];
        v = (v & P61) + (v >> 61);  // below 2^61 + 7
        Lanes64 reduced = v - P61;
        v = reduced < v ? reduced : v;  // wraps to a large number where v was below
        low[g] = v < low[g] ? v : low[g];
      }
    }
    for (size_t g = 0; g < GROUP; ++g) {
      size_t at = std::min(k + g * LANES, count);
      memcpy(least + at, &low[g], std::min((count - at) * sizeof(u64), sizeof low[g]));
    }
  }
}

// XXH64 of the n-grams joined by single spaces: they lie so in the normalized text already.
static void joined_hashes(const Normalized& text, size_t ngram, std::vector<u64>& hashes) {
  hashes.resize(text.words >= ngram ? text.words - ngram + 1 : 0);
  const u32* at = text.word_begin.data();
  for (size_t j = 0; j < hashes.size(); ++j)
    hashes[j] = xxh64(text.bytes.data() + at[j], at[j + ngram] - 1 - at[j]);
}

// Numbers of hits in an open-addressing table with linear probing, 0 free, a hash of 0 stored as 1.
static i64 table_hits(const std::vector<u64>& hashes, const u64* table, u64 mask) {
  constexpr size_t AHEAD = 12;
  i64 hits = 0;
  for (size_t j = 0; j < hashes.size(); ++j) {
    if (j + AHEAD < hashes.size()) __builtin_prefetch(table + (hashes[j + AHEAD] & mask));
    u64 h = hashes[j] ? hashes[j] : 1;
    for (u64 s = h & mask; table[s]; s = (s + 1) & mask) {
      if (table[s] == h) {
        ++hits;
        break;
      }
    }
  }
  return hits;
}
