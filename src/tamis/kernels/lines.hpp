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
  LineColumns& out;
  Classified classified;
  std::vector<u8> lower;

  void run(const u8* begin, const u8* end, i32 document) {
    const Classified& c = classified;
    classify<true>(begin, end, classified);
    size_t length = static_cast<size_t>(end - begin);
    lower.resize(length);
    for (size_t i = 0; i < length; ++i) lower[i] = u8(begin[i] + (u8(begin[i] - 'A') < 26 ? 32 : 0));
    size_t first = out.end.size();
    u32 from = 0;
    for (size_t b = 0; b < c.blocks.size(); ++b) {
      for (u64 m = c.blocks[b].newline; m; m &= m - 1) {
        u32 at = static_cast<u32>(b) * 64 + lowest(m);
        line(begin, document, from, at);
        from = at + 1;
      }
    }
    line(begin, document, from, static_cast<u32>(length));
    const u8* low = lower.data();
    phrases.run(low, low + length, [&](const u8* p, u32 phrase) {
      i64 at = p - low;
      auto hit = std::lower_bound(out.end.begin() + static_cast<i64>(first), out.end.end(), at);
      if (at + static_cast<i64>(phrases.phrases[phrase].size()) <= *hit)
        out.phrases[static_cast<size_t>(hit - out.end.begin())] |= u64(1) << phrase;
    });
  }

 private:
  void line(const u8* begin, i32 document, u32 from, u32 to) {
    const Classified& c = classified;
    Counts n = from < to ? count(from, to) : Counts{};
    u32 last_char = 0;
    bool ellipsis = false;
    const u8* stripped = lower.data();
    size_t size = 0;
    if (n.nonspace) {
      u32 solid = c.first_solid(from, to), last = c.last_solid(to) + 1;
      const u8* p = begin + last - 1;
      last_char = decode_before(begin, begin + last).cp;
      ellipsis = last - solid >= 3 && ((p[0] == '.' && p[-1] == '.' && p[-2] == '.') ||
                                       (p[0] == 0xA6 && p[-1] == 0x80 && p[-2] == 0xE2));
      stripped += solid;
      size = last - solid;
    }
    out.document.push_back(document);
    out.start.push_back(from);
    out.end.push_back(to);
    out.chars.push_back(n.chars);
    out.words.push_back(n.words);
    out.longest_token.push_back(n.longest);
    out.alpha_chars.push_back(n.alpha);
    out.upper_chars.push_back(n.upper);
    out.digit_chars.push_back(n.digit);
    out.nonspace_chars.push_back(n.nonspace);
    out.last_char.push_back(last_char);
    out.ends_ellipsis.push_back(ellipsis);
    out.phrases.push_back(0);
    out.hash.push_back(xxh64(stripped, size));
  }

  struct Counts {
    u32 chars, words, longest, alpha, upper, digit, nonspace;
  };

  // Sums over the blocks that the line touches.
  Counts count(u32 from, u32 to) const {
    const Classified& c = classified;
    Counts n{};
    u64 before = 0;      // whether a token is open at the end of the block before
    u32 open_chars = 0;  // its characters so far
    u32 last_block = (to - 1) >> 6;
    for (u32 b = from >> 6; b <= last_block; ++b) {
      const Block& k = c.blocks[b];
      u64 range = ~u64(0);
      if (b == from >> 6) range &= ~u64(0) << (from & 63);
      if (b == last_block) range &= ~u64(0) >> (63 - ((to - 1) & 63));
      u64 solid = k.solid & range, lead = k.lead & range;
      n.chars += popcount(lead);
      n.alpha += popcount(k.alpha & range);
      n.upper += popcount(c.cases[b].upper & range);
      n.digit += popcount(c.cases[b].digit & range);
      n.nonspace += popcount(solid & lead);
      n.words += popcount(solid & ~(solid << 1 | before));
      if (!(solid & 1)) open_chars = 0;
      for (u64 m = solid; m;) {  // one run of solid bytes after the other
        u32 start = lowest(m);
        u64 behind = ~(m >> start);
        u32 size = std::min(behind ? lowest(behind) : 64, 64 - start);
        u64 token = (size == 64 ? ~u64(0) : below(size)) << start;
        u32 chars = popcount(token & lead) + (start == 0 ? open_chars : 0);
        n.longest = std::max(n.longest, chars);
        open_chars = start + size == 64 ? chars : 0;
        m &= ~token;
      }
      before = solid >> 63;
    }
    return n;
  }
};
