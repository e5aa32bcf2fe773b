// What models of text are made of and score with: hashed word n-grams, and n-gram language models. Included once for
// each instruction set (isa.hpp).

// Hashes of all n-grams of 1 ... ngram successive words, shorter ones first: those of Shingler, size by size.
struct NgramHasher {
  std::vector<u64> word, sum, hashes;

  void run(const Normalized& text, size_t ngram) {
    size_t count = text.words, sizes = std::min(ngram, count);
    hashes.resize(sizes ? sizes * count - sizes * (sizes - 1) / 2 : 0);
    word.resize(count);
    const u8* bytes = text.bytes.data();
    const u32* at = text.word_begin.data();
    for (size_t j = 0; j < count; ++j) word[j] = word_hash(bytes + at[j], at[j + 1] - 1 - at[j], text.end());
    sum.assign(word.begin(), word.end());
    u64* out = hashes.data();
    for (size_t n = 1; n <= sizes; ++n) {
      size_t grams = count - n + 1;
      if (n > 1)
        for (size_t j = 0; j < grams; ++j) sum[j] = sum[j] * P1 + word[j + n - 1];
      for (size_t j = 0; j < grams; ++j) out[j] = avalanche(sum[j]);
      out += grams;
    }
  }
};

static TAMIS_INLINE u64 bucket_of(u64 hash, u64 buckets) { return (hash >> 32) * buckets >> 32; }  // buckets <= 2^32

static void word_ngrams(const Text& text, size_t ngram, bool distinct, NgramColumns& out) {
  Normalized normal;
  NgramHasher hasher;
  Counter seen;
  out.offsets.assign(1, 0);
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), true, true, normal);
    hasher.run(normal, ngram);
    const std::vector<u64>& h = hasher.hashes;
    if (distinct) seen.begin(h.size());
    size_t size = 1, first = 0;
    for (size_t j = 0; j < h.size(); ++j, ++first) {
      if (first == normal.words - size + 1) {
        ++size;
        first = 0;
      }
      if (distinct && seen.count(seen.add(h[j])) > 1) continue;
      out.hashes.push_back(h[j]);
      out.first.push_back(static_cast<i32>(first));
      out.size.push_back(static_cast<u8>(size));
    }
    out.offsets.push_back(static_cast<i64>(out.hashes.size()));
  }
}

// The n-grams are added in order, so that the rounding is the same everywhere.
static void ngram_sums(const Text& text, const float* weights, u64 buckets, size_t ngram, bool distinct, double* sums,
                       i64* counts) {
  constexpr size_t AHEAD = 12;
  Normalized normal;
  NgramHasher hasher;
  Counter seen;
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), true, true, normal);
    hasher.run(normal, ngram);
    const std::vector<u64>& h = hasher.hashes;
    double total = 0;
    i64 count = 0;
    if (distinct) seen.begin(h.size());
    for (size_t j = 0; j < h.size(); ++j) {
      if (j + AHEAD < h.size()) {
        __builtin_prefetch(weights + bucket_of(h[j + AHEAD], buckets));
        if (distinct) seen.prefetch(h[j + AHEAD]);
      }
      bool fresh = !distinct || seen.count(seen.add(h[j])) == 1;
      total += fresh ? static_cast<double>(weights[bucket_of(h[j], buckets)]) : 0.0;
      count += fresh;
    }
    sums[row] = total;
    counts[row] = count;
  }
}

// Calls line(begin, end) for every line as split('\n').
template <class Line>
static TAMIS_INLINE void each_line(const u8* begin, const u8* end, Line line) {
  for (const u8* from = begin;;) {
    const void* found = from < end ? memchr(from, '\n', static_cast<size_t>(end - from)) : nullptr;
    const u8* to = found ? static_cast<const u8*>(found) : end;
    line(from, to);
    if (!found) break;
    from = to + 1;
  }
}

static void sentences(const Text& text, SentenceColumns& out) {
  Normalized normal;
  out.lines.assign(1, 0);
  out.words.assign(1, 0);
  out.ends.assign(1, 0);
  for (i64 row = 0; row < text.length; ++row) {
    each_line(text.begin(row), text.end(row), [&](const u8* from, const u8* to) {
      normalize(from, to, true, true, normal);
      if (!normal.words) return;
      const u8* bytes = normal.bytes.data();
      const u32* at = normal.word_begin.data();
      for (size_t j = 0; j < normal.words; ++j) {
        size_t size = at[j + 1] - 1 - at[j];
        out.hashes.push_back(word_hash(bytes + at[j], size, normal.end()));
        out.bytes.insert(out.bytes.end(), bytes + at[j], bytes + at[j] + size);
        out.ends.push_back(static_cast<i64>(out.bytes.size()));
      }
      out.words.push_back(static_cast<i64>(out.hashes.size()));
    });
    out.lines.push_back(static_cast<i64>(out.words.size()) - 1);
  }
}

// An n-gram model as an open-addressing table: entry i is the hash of an n-gram (0 free, a hash of 0 stored as 1) and
// its two floats.
struct LmEntry {
  u64 key;
  float prob, backoff;
};
struct LmTable {
  const LmEntry* entries;
  u64 mask;
  const LmEntry* find(u64 sum) const {
    u64 key = avalanche(sum);
    key = key ? key : 1;
    for (u64 s = key & mask; entries[s].key; s = (s + 1) & mask)
      if (entries[s].key == key) return entries + s;
    return nullptr;
  }
  TAMIS_INLINE void prefetch(u64 sum) const { __builtin_prefetch(entries + (avalanche(sum) & mask)); }
};

// Log10 probabilities of lines: <s> words </s>. `lengths` of the context that the model knows shrink and grow as in
// every back-off model; a model holds the suffixes and the prefixes of each of its n-grams.
struct LmScorer {
  LmTable table;
  size_t order;
  u64 begin, end, unknown;
  static constexpr size_t MAX_ORDER = 16;
  u64 power[MAX_ORDER];
  std::vector<u64> words;

  LmScorer(const u64* entries, u64 mask, size_t order_, u64 begin_, u64 end_, u64 unknown_)
      : table{reinterpret_cast<const LmEntry*>(entries), mask}, order(order_), begin(begin_), end(end_),
        unknown(unknown_) {
    power[0] = 1;
    for (size_t k = 1; k < MAX_ORDER; ++k) power[k] = power[k - 1] * P1;
  }

  void run(const Normalized& text, double& total, i64& tokens, i64& strange) {
    constexpr size_t AHEAD = 6;
    size_t count = text.words + 2;
    words.resize(count);
    const u8* bytes = text.bytes.data();
    const u32* at = text.word_begin.data();
    words[0] = begin;
    for (size_t j = 0; j + 2 < count; ++j)
      words[j + 1] = word_hash(bytes + at[j], at[j + 1] - 1 - at[j], text.end());
    words[count - 1] = end;
    float backoff[MAX_ORDER + 1], next[MAX_ORDER + 1];  // of the last 1, 2, ... words
    const LmEntry* entry = table.find(begin);
    size_t known = entry && order > 1 ? 1 : 0;
    backoff[1] = entry ? entry->backoff : 0;
    for (size_t i = 1; i < count; ++i) {
      if (i + AHEAD < count) {
        u64 sum = words[i + AHEAD];
        table.prefetch(sum);
        for (size_t k = 1; k < order && k <= i + AHEAD; ++k) {
          sum += words[i + AHEAD - k] * power[k];
          table.prefetch(sum);
        }
      }
      entry = table.find(words[i]);
      if (!entry) {
        ++strange;
        words[i] = unknown;
        entry = table.find(unknown);
      }
      float prob = entry ? entry->prob : -100.0f;
      next[1] = entry ? entry->backoff : 0;
      size_t length = 1;
      u64 sum = words[i];
      for (; length <= known; ++length) {
        sum += words[i - length] * power[length];
        entry = table.find(sum);
        if (!entry) break;
        prob = entry->prob;
        next[length + 1] = entry->backoff;
      }
      total += static_cast<double>(prob);
      for (size_t k = length; k <= known; ++k) total += static_cast<double>(backoff[k]);
      known = std::min(length, order - 1);
      for (size_t k = 1; k <= known; ++k) backoff[k] = next[k];
    }
    tokens += static_cast<i64>(count) - 1;
  }
};

static void lm_scores(const Text& text, LmScorerArguments model, double* totals, i64* tokens, i64* strange) {
  Normalized normal;
  LmScorer scorer(model.entries, model.mask, model.order, model.begin, model.end, model.unknown);
  for (i64 row = 0; row < text.length; ++row) {
    totals[row] = 0;
    tokens[row] = strange[row] = 0;
    each_line(text.begin(row), text.end(row), [&](const u8* from, const u8* to) {
      normalize(from, to, true, true, normal);
      if (normal.words) scorer.run(normal, totals[row], tokens[row], strange[row]);
    });
  }
}
