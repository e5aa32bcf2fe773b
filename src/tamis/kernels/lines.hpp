// One row for each line. Included once for each instruction set (isa.hpp).

// Finds up to 64 phrases in text with ASCII letters in lower case. Those of four bytes and more share one pass: a
// bitmap of the hashes of their first four bytes lets nearly all positions go by.
struct PhraseFinder {
  std::vector<std::vector<u8>> phrases;
  std::vector<u32> by_hash[1 << 8];
  u64 filter[1 << 6] = {};
  u64 short_ones = 0;

  static TAMIS_INLINE u32 hash4(const u8* p) { return (load32(p) * 0x9E3779B1u) >> 20; }

  explicit PhraseFinder(const std::vector<std::vector<u8>>& given) : phrases(given) {
    for (u32 i = 0; i < phrases.size(); ++i) {
      if (phrases[i].size() < 4) {
        short_ones |= u64(1) << i;
        continue;
      }
      u32 h = hash4(phrases[i].data());
      filter[h >> 6] |= u64(1) << (h & 63);
      by_hash[h & 255].push_back(i);
    }
  }

  // Calls found(position, phrase) for every occurrence in [begin, end).
  template <class Found>
  void run(const u8* begin, const u8* end, Found found) const {
    for (u64 m = short_ones; m; m &= m - 1) {
      const std::vector<u8>& phrase = phrases[lowest(m)];
      for (const u8* p = begin; p < end; ++p) {
        p = static_cast<const u8*>(memchr(p, phrase[0], static_cast<size_t>(end - p)));
        if (!p) break;
        if (matches(p, end, phrase)) found(p, lowest(m));
      }
    }
    if (popcount(short_ones) == phrases.size()) return;
    for (const u8* p = begin; end - p >= 4; ++p) {
      u32 h = hash4(p);
      if (!(filter[h >> 6] >> (h & 63) & 1)) continue;
      for (u32 i : by_hash[h & 255])
        if (matches(p, end, phrases[i])) found(p, i);
    }
  }

 private:
  static bool matches(const u8* p, const u8* end, const std::vector<u8>& phrase) {
    return static_cast<size_t>(end - p) >= phrase.size() && memcmp(p, phrase.data(), phrase.size()) == 0;
  }
};

struct LineReader {
  const PhraseFinder& phrases;
  Classified classified;
  std::vector<u8> lower;

  void run(const u8* begin, const u8* end, i32 document, std::vector<Line>& out) {
    const Classified& c = classified;
    classify<true>(begin, end, classified);
    size_t length = static_cast<size_t>(end - begin);
    lower.resize(length);
    for (size_t i = 0; i < length; ++i) lower[i] = u8(begin[i] + (u8(begin[i] - 'A') < 26 ? 32 : 0));
    size_t first = out.size();
    u32 from = 0;
    for (size_t b = 0; b < c.blocks.size(); ++b) {
      for (u64 m = c.blocks[b].newline; m; m &= m - 1) {
        u32 at = static_cast<u32>(b) * 64 + lowest(m);
        out.push_back(line(begin, document, from, at));
        from = at + 1;
      }
    }
    out.push_back(line(begin, document, from, static_cast<u32>(length)));
    const u8* low = lower.data();
    phrases.run(low, low + length, [&](const u8* p, u32 phrase) {
      i64 at = p - low;
      auto hit = std::partition_point(out.begin() + static_cast<i64>(first), out.end(),
                                      [&](const Line& l) { return l.end < at; });
      if (at + static_cast<i64>(phrases.phrases[phrase].size()) <= hit->end) hit->phrases |= u64(1) << phrase;
    });
  }

 private:
  Line line(const u8* begin, i32 document, u32 from, u32 to) const {
    const Classified& c = classified;
    Line l{};
    l.document = document;
    l.start = from;
    l.end = to;
    u32 solid = from < to ? c.first_solid(from, to) : to;
    if (from < to) count(l, from, to);
    if (solid >= to) {
      l.hash = xxh64(nullptr, 0);
      return l;
    }
    u32 last = c.last_solid(to) + 1;
    l.last_char = decode_before(begin, begin + last).cp;
    const u8* p = begin + last - 1;
    l.ends_ellipsis = last - solid >= 3 && ((p[0] == '.' && p[-1] == '.' && p[-2] == '.') ||
                                            (p[0] == 0xA6 && p[-1] == 0x80 && p[-2] == 0xE2));
    l.hash = xxh64(lower.data() + solid, last - solid);
    return l;
  }

  // Sums over the blocks that the line touches.
  void count(Line& l, u32 from, u32 to) const {
    const Classified& c = classified;
    u64 before = 0;        // whether a token is open at the end of the block before
    i64 open_chars = 0;    // its characters so far
    u32 last_block = (to - 1) >> 6;
    for (u32 b = from >> 6; b <= last_block; ++b) {
      const Block& k = c.blocks[b];
      u64 range = ~u64(0);
      if (b == from >> 6) range &= ~u64(0) << (from & 63);
      if (b == last_block) range &= ~u64(0) >> (63 - ((to - 1) & 63));
      u64 solid = k.solid & range, lead = k.lead & range;
      l.chars += popcount(lead);
      l.alpha_chars += popcount(k.alpha & range);
      l.upper_chars += popcount(c.cases[b].upper & range);
      l.digit_chars += popcount(c.cases[b].digit & range);
      l.nonspace_chars += popcount(solid & lead);
      l.words += popcount(solid & ~(solid << 1 | before));
      // the longest run of solid bytes, in characters; open_chars carries it over block edges
      if (!(solid & 1)) open_chars = 0;
      for (u64 m = solid; m;) {
        u32 start = lowest(m);
        u64 rest = ~(m >> start);
        u32 size = rest ? lowest(rest) : 64;
        if (start + size > 64) size = 64 - start;
        u64 token = (size == 64 ? ~u64(0) : below(size)) << start;
        i64 chars = popcount(token & lead) + (start == 0 ? open_chars : 0);
        l.longest_token = std::max(l.longest_token, chars);
        open_chars = start + size == 64 ? chars : 0;
        m &= ~token;
      }
      before = solid >> 63;
    }
  }
};
