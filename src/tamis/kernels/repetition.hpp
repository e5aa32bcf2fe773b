// Repeated word n-grams of a document. Included once for each instruction set (isa.hpp).

// n-gram numbers by doubling: number_n(i) = intern(number_{n-1}(i), number_1(i + n - 1)). Only a position whose
// (n-1)-gram repeats, and whose successor's does, can start a repeated n-gram, so later levels touch few positions.
// Exact for tuples of words (up to collisions of 64-bit word hashes).
struct Repetition {
  static constexpr int COLUMNS = 10;  // top 2 to 4, dup 5 to 10, word_chars
  i64 values[COLUMNS];
  Counter table;
  std::vector<u32> word, number, starts, chars;
  std::vector<u8> seen, repeated;
  std::vector<u64> key;

  void run(const u8* begin, const u8* end, const Classified& c, const Words& words) {
    memset(values, 0, sizeof values);
    size_t count = words.count;
    const Word* list = words.list.data();
    chars.resize(count + 1);
    chars[0] = 0;
    if (c.totals.chars == end - begin)
      for (size_t j = 0; j < count; ++j) chars[j + 1] = chars[j] + (list[j].end - list[j].begin);
    else
      for (size_t j = 0; j < count; ++j) chars[j + 1] = chars[j] + c.chars(list[j].end) - c.chars(list[j].begin);
    values[COLUMNS - 1] = chars[count];
    if (count < 2) return;
    constexpr size_t AHEAD = 12;
    word.resize(count);
    number.resize(count);
    starts.resize(count + 1);
    repeated.resize(count + 1);
    key.assign(count + AHEAD, 0);
    table.begin(count);
    for (size_t j = 0; j < count; ++j) key[j] = word_hash(begin + list[j].begin, list[j].end - list[j].begin, end);
    for (size_t j = 0; j < count; ++j) {
      table.prefetch(key[j + AHEAD]);
      word[j] = number[j] = table.add(key[j]);
    }
    for (size_t j = 0; j < count; ++j) repeated[j] = table.count(number[j]) > 1;
    size_t candidates = 0;
    for (u32 j = 0; j + 1 < count; ++j) {
      starts[candidates] = j;
      candidates += repeated[j] & repeated[j + 1];
    }
    for (u32 n = 2; n <= 10 && candidates; ++n) {
      table.begin(candidates);
      for (size_t q = 0; q < candidates; ++q) key[q] = u64(number[starts[q]]) << 32 | word[starts[q] + n - 1];
      for (size_t q = 0; q < candidates; ++q) {
        table.prefetch(key[q + AHEAD]);
        number[starts[q]] = table.add(key[q]);
      }
      u32 best = 1, at = 0;
      for (size_t q = 0; q < candidates; ++q) {
        u32 times = table.count(number[starts[q]]);
        repeated[q] = times > 1;
        at = times > best ? starts[q] : at;  // the first one seen among equals
        best = std::max(best, times);
      }
      values[n - 2] = n > 4 ? duplicate(n, candidates) : best > 1 ? best * top_size(n, at, list) : 0;
      size_t kept = 0;
      repeated[candidates] = 0;
      starts[candidates] = 0;
      for (size_t q = 0; q < candidates; ++q) {
        u32 j = starts[q];
        bool next = repeated[q] & repeated[q + 1] & (starts[q + 1] == j + 1) & (j + n < count);
        starts[kept] = j;
        kept += next;
      }
      candidates = kept;
    }
  }

 private:
  // Characters of the n-gram at word `at`, with one for each joint where something stands between two words.
  i64 top_size(u32 n, u32 at, const Word* list) const {
    i64 size = chars[at + n] - chars[at];
    for (u32 j = at + 1; j < at + n; ++j) size += list[j].begin > list[j - 1].end;
    return size;
  }
  // From left to right: an n-gram seen before counts, and the scan goes on behind it.
  i64 duplicate(u32 n, size_t candidates) {
    seen.assign(table.mask + 1, 0);
    u32 next = 0;
    i64 sum = 0;
    for (size_t q = 0; q < candidates; ++q) {
      u32 j = starts[q], id = number[j];
      if (!repeated[q] || j < next) continue;
      if (seen[id]) {
        sum += chars[j + n] - chars[j];
        next = j + n;
      } else {
        seen[id] = 1;
      }
    }
    return sum;
  }
};
