// Counts of a document. Included once for each instruction set (isa.hpp).

// Gopher's stop words, 2 to 4 letters, found by a perfect hash of their first eight bytes.
struct StopWords {
  u64 multiplier = P1;
  u64 key[64] = {};
  u32 bit[64] = {};
  StopWords() {
    const char* words[] = {"the", "be", "to", "of", "and", "that", "have", "with"};
    for (bool clash = true; clash; multiplier = multiplier * P2 | 1) {
      clash = false;
      memset(key, 0, sizeof key);
      memset(bit, 0, sizeof bit);
      for (u32 i = 0; i < 8 && !clash; ++i) {
        u64 k = 0;
        memcpy(&k, words[i], strlen(words[i]));
        u64 slot = k * multiplier >> 58;
        clash = bit[slot] != 0;
        key[slot] = k;
        bit[slot] = 1u << i;
      }
      if (!clash) break;
    }
  }
};

enum Stat {
  BYTES, CHARS, TOKENS, WORDS, WORD_CHARS, ALPHA_TOKENS, STRIPPED_MARKS, SCRIPT_WORDS, SCRIPT_WORD_CHARS, STOP_WORDS,
  HASHES, ELLIPSES, CURLY, UPPER_CHARS, ALPHA_CHARS, DIGIT_CHARS, NEWLINES, LINES, BULLET_LINES, STAR_LINES,
  ELLIPSIS_LINES, ALL_LINES, NONBLANK_LINES, TERMINAL_LINES, UNICODE_TERMINAL_LINES, SHORT_LINES, DUP_LINES,
  DUP_LINE_CHARS, PARAGRAPHS, DUP_PARAGRAPHS, DUP_PARAGRAPH_CHARS, STATS
};

struct Statistics {
  StopWords stop;
  Counter lines, paragraphs;
  Words script_words;
  i64 values[STATS];

  // `words` are the white-space words of the classified document.
  void run(const u8* begin, const u8* end, const Classified& c, const Words& words) {
    memset(values, 0, sizeof values);
    i64* v = values;
    v[BYTES] = end - begin;
    v[CHARS] = c.totals.chars;
    v[HASHES] = c.totals.hashes;
    v[ELLIPSES] = c.totals.ellipses;
    v[CURLY] = c.totals.curly;
    v[UPPER_CHARS] = c.totals.upper;
    v[ALPHA_CHARS] = c.totals.alpha;
    v[DIGIT_CHARS] = c.totals.digits;
    v[TOKENS] = words.tokens;
    v[WORDS] = static_cast<i64>(words.count);
    count_words(c, words);
    v[STOP_WORDS] = stop_words(begin, end, words);
    if (c.totals.script) {
      strip<true>(c.blocks, script_words);
      count_script(c);
    } else {
      v[SCRIPT_WORDS] = v[WORDS];
      v[SCRIPT_WORD_CHARS] = v[WORD_CHARS];
    }
    count_lines(begin, end, c);
  }

 private:
  void count_words(const Classified& c, const Words& words) {
    i64 word_chars = 0, alpha_tokens = 0, solid_chars = 0, newlines = 0, dots = 0;
    u64 carry = 0, before = 0, dot_before = 0;
    int dot_run = 0;
    for (size_t b = 0; b < c.blocks.size(); ++b) {
      const Block& k = c.blocks[b];
      u64 w = words.bits[b];
      word_chars += popcount(w & k.lead);
      solid_chars += popcount(k.solid & k.lead);
      newlines += popcount(k.newline);
      // the first bit of a word carries through what is no letter and lands on its first letter
      u64 first = w & ~(w << 1 | before), plain = w & ~k.alpha;
      before = w >> 63;
      alpha_tokens += popcount(add_carry(plain, first, carry) & ~plain & k.alpha);
      if (k.dot & (k.dot << 1 | dot_before)) {  // two dots in a row somewhere: count by steps
        for (u32 j = 0; j < 64; ++j) {
          if (!(k.dot >> j & 1)) {
            dot_run = 0;
          } else if (++dot_run == 3) {
            ++dots;
            dot_run = 0;
          }
        }
      } else if (!(k.dot >> 63)) {
        dot_run = 0;
      } else {
        dot_run = 1;
      }
      dot_before = k.dot >> 63;
    }
    values[WORD_CHARS] = word_chars;
    values[STRIPPED_MARKS] = solid_chars - word_chars;
    values[ALPHA_TOKENS] = alpha_tokens;
    values[NEWLINES] = newlines;
    values[ELLIPSES] += dots;
  }

  void count_script(const Classified& c) {
    i64 words = 0, chars = 0;
    u64 before = 0;
    for (size_t b = 0; b < c.blocks.size(); ++b) {
      const Block& k = c.blocks[b];
      u64 w = script_words.bits[b];
      words += popcount(w & ~(w << 1 | before)) + popcount(k.script & k.lead);
      chars += popcount((w | k.script) & k.lead);
      before = w >> 63;
    }
    values[SCRIPT_WORDS] = words;
    values[SCRIPT_WORD_CHARS] = chars;
  }

  // Without branches on the words: longer ones are cut to five bytes, which no stop word has.
  i64 stop_words(const u8* begin, const u8* end, const Words& words) const {
    static constexpr u64 keep[6] = {0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF};
    u32 found = 0;
    for (size_t j = 0; j < words.count; ++j) {
      const u8* p = begin + words.list[j].begin;
      u32 n = std::min(words.list[j].end - words.list[j].begin, 5u);
      u64 key = end - p >= 8 ? load64(p) & keep[n] : load_part(p, n, end);
      u64 slot = key * stop.multiplier >> 58;
      found |= stop.bit[slot] & (0u - u32(stop.key[slot] == key));
    }
    return popcount(found);
  }

  void count_lines(const u8* begin, const u8* end, const Classified& c) {
    i64* v = values;
    u32 length = static_cast<u32>(end - begin);
    v[ALL_LINES] = v[NEWLINES] + 1;
    lines.begin(static_cast<size_t>(v[ALL_LINES]));
    paragraphs.begin(static_cast<size_t>(v[ALL_LINES]));
    u32 break_start = 0, line_start = 0;  // of the line as splitlines and as split('\n') have it
    u32 block_start = 0, block_end = 0;   // of the paragraph: its lines are not empty
    bool block_open = false, block_blank = true;

    auto close_paragraph = [&] {
      if (block_open && !block_blank) {
        ++v[PARAGRAPHS];
        u32 slot = paragraphs.add(word_hash(begin + block_start, block_end - block_start, end));
        if (paragraphs.count(slot) > 1) {
          ++v[DUP_PARAGRAPHS];
          v[DUP_PARAGRAPH_CHARS] += c.chars(block_end) - c.chars(block_start);
        }
      }
      block_open = false;
      block_blank = true;
    };
    // both take the line's first byte that is not white space, or its end
    auto split_line = [&](u32 from, u32 to, u32 solid) {
      if (from == to) return close_paragraph();
      if (!block_open) block_start = from;
      block_open = true;
      block_end = to;
      if (solid >= to) return;
      block_blank = false;
      ++v[NONBLANK_LINES];
      u32 chars = c.chars(to) - c.chars(from);
      v[SHORT_LINES] += chars <= 30;
      u8 last = begin[to - 1];
      if (last < 0x80) {
        bool stop_mark = last == '.' || last == '!' || last == '?';
        v[UNICODE_TERMINAL_LINES] += stop_mark;
        v[TERMINAL_LINES] += stop_mark || last == '"' || last == '\'';
      } else {
        v[UNICODE_TERMINAL_LINES] += (flags_of(decode_before(begin, begin + to).cp) & tables::TERMINAL) != 0;
      }
      bool copy = lines.count(lines.add(word_hash(begin + from, to - from, end))) > 1;
      v[DUP_LINES] += copy;
      v[DUP_LINE_CHARS] += copy ? chars : 0;
    };
    auto break_line = [&](u32 to, u32 solid) {
      ++v[LINES];
      if (solid >= to) return;
      u32 last = c.last_solid(to);
      const u8* p = begin + solid;
      bool three = last - solid >= 2;
      v[STAR_LINES] += *p == '*';
      v[BULLET_LINES] += *p == '-' || *p == '*' || (three && p[0] == 0xE2 && p[1] == 0x80 && p[2] == 0xA2);
      p = begin + last;
      v[ELLIPSIS_LINES] += three && ((p[0] == '.' && p[-1] == '.' && p[-2] == '.') ||
                                     (p[0] == 0xA6 && p[-1] == 0x80 && p[-2] == 0xE2));
    };

    auto solid_in = [&](u32 from, u32 to) { return from < to ? c.first_solid(from, to) : to; };
    for (size_t b = 0; b < c.blocks.size(); ++b) {
      for (u64 m = c.blocks[b].breaks; m; m &= m - 1) {
        u32 at = static_cast<u32>(b) * 64 + lowest(m);
        u8 byte = begin[at];
        if (byte == '\n') {
          u32 solid = solid_in(line_start, at);
          split_line(line_start, at, solid);
          // CR LF is one end: the CR has closed the line already
          if (at == 0 || begin[at - 1] != '\r')
            break_line(at, break_start == line_start ? solid : solid_in(break_start, at));
          line_start = break_start = at + 1;
        } else {
          break_line(at, solid_in(break_start, at));
          break_start = at + (byte < 0x80 ? 1 : decode(begin + at, end).size);
        }
      }
    }
    if (break_start < length) break_line(length, solid_in(break_start, length));
    split_line(line_start, length, solid_in(line_start, length));
    close_paragraph();
  }
};
