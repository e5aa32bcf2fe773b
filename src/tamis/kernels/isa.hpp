// The kernels, compiled once for each instruction set and chosen when the program runs.
//
// The same source files are included in one namespace for each instruction set under a target pragma. Unlike files
// compiled with different flags, this cannot leak newer instructions into functions that are shared with the rest of
// the program, and everything in a kernel (bit counting, positions of bits) uses the instructions, not only its
// vector part. On machines other than x86-64 only the portable namespace is built; its loops vectorize well.
#pragma once
#include <string>

#include "sets.hpp"
#include "text.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define TAMIS_X86 1
#include <immintrin.h>
#endif

namespace tamis {

using PhraseList = std::vector<std::vector<u8>>;
// The line table, column by column.
struct LineColumns {
  std::vector<i32> document;
  std::vector<i64> start, end, chars, words, longest_token, alpha_chars, upper_chars, digit_chars, nonspace_chars;
  std::vector<u32> last_char;
  std::vector<u8> ends_ellipsis;
  std::vector<u64> phrases, hash;

  void reserve(size_t lines) {
    document.reserve(lines);
    for (auto* c : {&start, &end, &chars, &words, &longest_token, &alpha_chars, &upper_chars, &digit_chars, &nonspace_chars})
      c->reserve(lines);
    last_char.reserve(lines);
    ends_ellipsis.reserve(lines);
    phrases.reserve(lines);
    hash.reserve(lines);
  }
};

struct Span {
  i32 document;
  i64 start, end;
};

// Hashed n-grams of documents: document i has those from offsets[i] on.
struct NgramColumns {
  std::vector<i64> offsets;
  std::vector<u64> hashes;
  std::vector<i32> first;
  std::vector<u8> size;
};
// Lines that hold words: document i has lines lines[i] ... lines[i + 1], line l the words words[l] ... words[l + 1].
struct SentenceColumns {
  std::vector<i64> lines, words, ends;
  std::vector<u64> hashes;
  std::vector<u8> bytes;
};
// An n-gram model, see models.hpp.
struct LmScorerArguments {
  const u64* entries;
  u64 mask;
  size_t order;
  u64 begin, end, unknown;
};

// What analyse() is to fill; null is not wanted.
struct Analysis {
  i64* stats = nullptr;
  i64* repetition = nullptr;
  u32* minhash = nullptr;
  u64* content_hash = nullptr;
  i64* shingle_count = nullptr;
  u32* screen = nullptr;
  bool script = true;
  const u32* multipliers = nullptr;
  const u32* addends = nullptr;
  size_t permutations = 0, ngram = 5;
};

struct Kernels {
  void (*text_stats)(const Text&, i64* out);
  void (*repetition)(const Text&, bool script, i64* out);
  void (*normalize)(const Text&, bool digits, bool script, std::vector<i64>& offsets, std::vector<u8>& bytes);
  void (*content_hash)(const Text&, u64* out);
  void (*minhash)(const Text&, const u32* a, const u32* b, size_t count, size_t ngram, u32* out);
  void (*minhash64)(const Text&, const u64* a, const u64* b, size_t count, size_t ngram, u64* out);
  void (*shingles)(const Text&, size_t ngram, bool digits, std::vector<i64>& offsets, std::vector<u64>& values);
  void (*ngram_hits)(const Text&, const u64* table, u64 mask, size_t ngram, bool digits, i64* out);
  void (*line_table)(const Text&, const PhraseList& phrases, LineColumns& out);
  void (*screen)(const Text&, u32* out);
  void (*suspicious_lines)(const Text&, std::vector<Span>& out);
  void (*analyse)(const Text&, const Analysis& want);
  void (*word_ngrams)(const Text&, size_t ngram, bool distinct, NgramColumns& out);
  void (*ngram_sums)(const Text&, const float* weights, u64 buckets, size_t ngram, bool distinct, double* sums,
                     i64* counts);
  void (*sentences)(const Text&, SentenceColumns& out);
  void (*lm_scores)(const Text&, LmScorerArguments model, double* totals, i64* tokens, i64* strange);
};

// clang-format off
#if TAMIS_X86
#define TAMIS_ISA 2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,popcnt,lzcnt")
#endif
namespace avx512 {
#include "kernels.inc"
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef TAMIS_ISA

#define TAMIS_ISA 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt,lzcnt")
#endif
namespace avx2 {
#include "kernels.inc"
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef TAMIS_ISA
#endif

#define TAMIS_ISA 0
namespace portable {
#include "kernels.inc"
}
#undef TAMIS_ISA
// clang-format on

struct Isa {
  const char* name;
  const Kernels* kernels;
};

// Those that this machine can run, the best first.
inline std::vector<Isa> available_isas() {
  std::vector<Isa> out;
#if TAMIS_X86
  bool bmi = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  if (bmi && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    out.push_back({"avx512", &avx512::kernels});
  if (bmi && __builtin_cpu_supports("avx2")) out.push_back({"avx2", &avx2::kernels});
#endif
  out.push_back({"portable", &portable::kernels});
  return out;
}

}  // namespace tamis
