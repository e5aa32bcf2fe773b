// The kernels over whole columns. Included once for each instruction set (isa.hpp).

// What the statistics and the repetition of one document share.
struct Reader {
  Classified classified;
  Words words, script_words;

  void classify_words(const u8* begin, const u8* end) {
    classify<false>(begin, end, classified);
    strip<false>(classified.blocks, words);
    locate<false>(classified.blocks, words);
  }
  // The words of a form; where there are no script characters the two are the same.
  const Words& form(bool script) {
    if (!script || !classified.totals.script) return words;
    strip<true>(classified.blocks, script_words);
    locate<true>(classified.blocks, script_words);
    return script_words;
  }
};

// Columns lie one after another: column c of row r at out[c * rows + r].
static void store(const i64* values, i64 columns, i64 rows, i64 row, i64* out) {
  for (i64 c = 0; c < columns; ++c) out[c * rows + row] = values[c];
}

static void text_stats(const Text& text, i64* out) {
  Reader reader;
  Statistics statistics;
  for (i64 row = 0; row < text.length; ++row) {
    const u8 *begin = text.begin(row), *end = text.end(row);
    reader.classify_words(begin, end);
    statistics.run(begin, end, reader.classified, reader.words);
    store(statistics.values, STATS, text.length, row, out);
  }
}

static void repetition(const Text& text, bool script, i64* out) {
  Reader reader;
  Repetition repeats;
  for (i64 row = 0; row < text.length; ++row) {
    const u8 *begin = text.begin(row), *end = text.end(row);
    reader.classify_words(begin, end);
    repeats.run(begin, end, reader.classified, reader.form(script));
    store(repeats.values, Repetition::COLUMNS, text.length, row, out);
  }
}

static void normalize_text(const Text& text, bool digits, bool script, std::vector<i64>& offsets,
                           std::vector<u8>& bytes) {
  Normalized normal;
  offsets.assign(1, 0);
  bytes.clear();
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), digits, script, normal);
    bytes.insert(bytes.end(), normal.bytes.data(), normal.bytes.data() + normal.size);
    offsets.push_back(static_cast<i64>(bytes.size()));
  }
}

static void hash_content(const u8* begin, const u8* end, Normalized& normal, u64* out) {
  normalize(begin, end, false, true, normal);
  out[0] = xxh64(normal.bytes.data(), normal.size, 0);
  out[1] = xxh64(normal.bytes.data(), normal.size, P1);
}

static void content_hash(const Text& text, u64* out) {
  Normalized normal;
  for (i64 row = 0; row < text.length; ++row) hash_content(text.begin(row), text.end(row), normal, out + 2 * row);
}

static void minhash(const Text& text, const u32* a, const u32* b, size_t count, size_t ngram, u32* out) {
  Normalized normal;
  Shingler shingler;
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), true, true, normal);
    shingler.run(normal, ngram);
    minhash32(shingler.hashes, a, b, count, out + row * static_cast<i64>(count));
  }
}

static void minhash_compatible(const Text& text, const u64* a, const u64* b, size_t count, size_t ngram, u64* out) {
  Normalized normal;
  std::vector<u64> hashes;
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), true, true, normal);
    joined_hashes(normal, ngram, hashes);
    minhash61(hashes, a, b, count, out + row * static_cast<i64>(count));
  }
}

static void shingles(const Text& text, size_t ngram, bool digits, std::vector<i64>& offsets,
                     std::vector<u64>& values) {
  Normalized normal;
  Shingler shingler;
  std::vector<u64> scratch;
  std::vector<u32> begins;
  offsets.assign(1, 0);
  values.clear();
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), digits, true, normal);
    shingler.run(normal, ngram);
    std::vector<u64>& h = shingler.hashes;
    sort_hashes(h, scratch, begins);
    values.insert(values.end(), h.begin(), std::unique(h.begin(), h.end()));
    offsets.push_back(static_cast<i64>(values.size()));
  }
}

static void ngram_hits(const Text& text, const u64* table, u64 mask, size_t ngram, bool digits, i64* out) {
  Normalized normal;
  Shingler shingler;
  for (i64 row = 0; row < text.length; ++row) {
    normalize(text.begin(row), text.end(row), digits, true, normal);
    shingler.run(normal, ngram);
    out[row] = table_hits(shingler.hashes, table, mask);
  }
}

static void line_table(const Text& text, const PhraseList& phrases, LineColumns& out) {
  PhraseFinder finder(phrases);
  LineReader reader{finder, out, {}, {}};
  if (text.length)
    out.reserve(static_cast<size_t>(text.length + std::count(text.begin(0), text.end(text.length - 1), '\n')));
  for (i64 row = 0; row < text.length; ++row) reader.run(text.begin(row), text.end(row), static_cast<i32>(row));
}

static void screen(const Text& text, u32* out) {
  for (i64 row = 0; row < text.length; ++row) out[row] = screen_text(text.begin(row), text.end(row));
}

static void suspicious_lines(const Text& text, std::vector<Span>& out) {
  for (i64 row = 0; row < text.length; ++row) {
    const u8 *begin = text.begin(row), *end = text.end(row);
    if (!(screen_text(begin, end) & SUSPICIOUS)) continue;
    for (const u8* from = begin; from < end;) {
      const void* found = memchr(from, '\n', static_cast<size_t>(end - from));
      const u8* to = found ? static_cast<const u8*>(found) : end;
      const u8* next = found ? to + 1 : end;  // ftfy sees the newline too
      if (screen_text(from, next) & SUSPICIOUS) out.push_back({static_cast<i32>(row), from - begin, to - begin});
      from = next;
    }
  }
}

// Any of the kernels in one pass: classification and the two normalizations are done once for each document.
static void analyse(const Text& text, const Analysis& want) {
  Reader reader;
  Statistics statistics;
  Repetition repeats;
  Normalized normal;
  Shingler shingler;
  i64 rows = text.length;
  for (i64 row = 0; row < rows; ++row) {
    const u8 *begin = text.begin(row), *end = text.end(row);
    if (want.stats || want.repetition) reader.classify_words(begin, end);
    if (want.stats) {
      statistics.run(begin, end, reader.classified, reader.words);
      store(statistics.values, STATS, rows, row, want.stats);
    }
    if (want.repetition) {
      repeats.run(begin, end, reader.classified, reader.form(want.script));
      store(repeats.values, Repetition::COLUMNS, rows, row, want.repetition);
    }
    if (want.content_hash) hash_content(begin, end, normal, want.content_hash + 2 * row);
    if (want.minhash || want.shingle_count) {
      normalize(begin, end, true, true, normal);
      if (want.shingle_count)
        want.shingle_count[row] = static_cast<i64>(
            normal.words > want.ngram ? normal.words - want.ngram + 1 : std::min<size_t>(normal.words, 1));
      if (want.minhash) {
        shingler.run(normal, want.ngram);
        minhash32(shingler.hashes, want.multipliers, want.addends, want.permutations,
                  want.minhash + row * static_cast<i64>(want.permutations));
      }
    }
    if (want.screen) want.screen[row] = screen_text(begin, end);
  }
}
