// Classification of a document into bit masks, 64 bytes a block, and its words by carry arithmetic on the masks.
// Included once for each instruction set (isa.hpp).

struct Block {
  u64 solid;    // not white space
  u64 core;     // neither white space nor punctuation
  u64 alpha;    // letters, at their first byte
  u64 lead;     // first byte of a character
  u64 newline;  // LF
  u64 breaks;   // what ends a line for str.splitlines, at its first byte
  u64 dot;
  u64 script;   // characters that are words of their own, all their bytes
};
struct CaseBlock {
  u64 upper, digit;  // at their first byte
};
struct Totals {
  i64 chars, hashes, ellipses, curly, upper, alpha, digits;
  bool script;
};

struct Classified {
  std::vector<Block> blocks;
  std::vector<CaseBlock> cases;  // only where asked for
  std::vector<u32> chars_before;  // characters before each block, and in all
  Totals totals;

  // Characters before byte `at`.
  TAMIS_INLINE u32 chars(u32 at) const {
    u32 b = at >> 6;
    return b >= blocks.size() ? chars_before.back() : chars_before[b] + popcount(blocks[b].lead & below(at & 63));
  }
  // First byte in [from, to) that is not white space, or `to`.
  TAMIS_INLINE u32 first_solid(u32 from, u32 to) const {
    u32 b = from >> 6;
    u64 m = blocks[b].solid & (~u64(0) << (from & 63));
    while (!m) {
      if (++b >= blocks.size() || b * 64 >= to) return to;
      m = blocks[b].solid;
    }
    return std::min(to, b * 64 + lowest(m));
  }
  // Last byte in [from, to) that is not white space; only where there is one.
  TAMIS_INLINE u32 last_solid(u32 to) const {
    u32 b = (to - 1) >> 6;
    u64 m = blocks[b].solid & (~u64(0) >> (63 - ((to - 1) & 63)));
    while (!m) m = blocks[--b].solid;
    return b * 64 + 63 - static_cast<u32>(__builtin_clzll(m));
  }
};

template <bool Cases>
static void classify(const u8* begin, const u8* end, Classified& out) {
  size_t length = static_cast<size_t>(end - begin), count = (length + 63) / 64;
  out.blocks.resize(count);
  out.chars_before.resize(count + 1);
  if (Cases) out.cases.resize(count);
  Totals t{};
  // bytes of a character that began in the block before, by its class
  u64 spill_space = 0, spill_mark = 0, spill_script = 0;
  u64 any_script = 0;
  for (size_t b = 0; b < count; ++b) {
    const u8* p = begin + 64 * b;
    const u8* q = p;
    alignas(64) u8 tail[64];
    u64 valid = ~u64(0);
    if (size_t left = length - 64 * b; left < 64) {  // never read behind the document
      memset(tail, 32, 64);
      memcpy(tail, p, left);
      q = tail;
      valid = below(static_cast<u32>(left));
    }
    AsciiMasks a = ascii_masks(q);
    Block& k = out.blocks[b];
    u64 space = a.space, core = a.letter | a.digit | (a.control & ~a.space), alpha = a.letter, upper = a.upper;
    u64 digit = a.digit, breaks = a.breaks, lead = valid, script = 0;
    if (a.high) {
      space |= spill_space;
      core |= a.high & ~spill_space & ~spill_mark;
      script = spill_script;
      spill_space = spill_mark = spill_script = 0;
      u64 marks = 0, spaces = 0, inner = 0;
      for (u64 m = a.high; m;) {
        u32 j = lowest(m);
        if (q[j] < 0xC0) {  // belongs to a character of the block before
          inner |= u64(1) << j;
          m &= m - 1;
          continue;
        }
        Char x = decode(p + j, end);
        u32 f = flags_of(x.cp);
        u64 bytes = below(x.size), here = bytes << j, first = u64(1) << j;
        u64 spill = j + x.size > 64 ? bytes >> (64 - j) : 0;
        m &= ~here;
        inner |= here & ~first;
        alpha |= f & tables::ALPHA ? first : 0;
        upper |= f & tables::UPPER ? first : 0;
        digit |= f & tables::DIGIT ? first : 0;
        if (f & tables::SCRIPT) {
          script |= here;
          spill_script = spill;
        } else if (f & tables::SPACE) {
          spaces |= here;
          spill_space = spill;
          breaks |= f & tables::BREAK ? first : 0;
        } else if (f & tables::PUNCT) {
          marks |= here;
          spill_mark = spill;
          t.ellipses += x.cp == 0x2026;
        }
      }
      space |= spaces;
      core &= ~(spaces | marks);
      lead &= ~inner;
      any_script |= script;
    }
    k = {~space & valid, core & valid, alpha & valid, lead, a.newline, breaks & valid, a.dot, script & valid};
    if (Cases) out.cases[b] = {upper & valid, digit & valid};
    out.chars_before[b] = static_cast<u32>(t.chars);
    t.chars += popcount(lead);
    t.hashes += popcount(a.hash);
    t.curly += popcount(a.curly);
    t.upper += popcount(upper & valid);
    t.alpha += popcount(k.alpha);
    t.digits += popcount(digit & valid);
  }
  out.chars_before[count] = static_cast<u32>(t.chars);
  t.script = any_script != 0;
  out.totals = t;
}

static TAMIS_INLINE u64 reverse_bits(u64 x) {
  x = __builtin_bswap64(x);
  x = (x & 0x0F0F0F0F0F0F0F0F) << 4 | (x >> 4 & 0x0F0F0F0F0F0F0F0F);
  x = (x & 0x3333333333333333) << 2 | (x >> 2 & 0x3333333333333333);
  return (x & 0x5555555555555555) << 1 | (x >> 1 & 0x5555555555555555);
}

struct Word {
  u32 begin, end;
};
struct Words {
  std::vector<u64> bits;  // bytes of stripped words (without script characters), and one block of zeros
  std::vector<Word> list;
  size_t count = 0;
  i64 tokens = 0;
};

// Strips punctuation from both edges of every run of solid bytes. Adding a token's first bit to the punctuation bits
// carries through exactly the run of marks that starts it; the same on reversed bits strips the other edge. With
// Script, script characters end runs.
template <bool Script>
static void strip(const std::vector<Block>& blocks, Words& out) {
  size_t count = blocks.size();
  out.bits.resize(count + 1);
  u64 carry = 0, before = 0;
  i64 tokens = 0;
  for (size_t b = 0; b < count; ++b) {
    u64 run = Script ? blocks[b].solid & ~blocks[b].script : blocks[b].solid;
    u64 first = run & ~(run << 1 | before), marks = run & ~blocks[b].core;
    before = run >> 63;
    tokens += popcount(first);
    out.bits[b] = run & ~(marks & ~add_carry(marks, first, carry));
  }
  carry = before = 0;
  for (size_t b = count; b-- > 0;) {
    u64 run = Script ? blocks[b].solid & ~blocks[b].script : blocks[b].solid;
    u64 marks = run & ~blocks[b].core;
    if (!(marks | carry)) {  // nothing to strip here, and nothing arrives
      before = run & 1;
      continue;
    }
    u64 r = reverse_bits(run), first = r & ~(r << 1 | before), m = reverse_bits(marks);
    before = r >> 63;
    out.bits[b] &= ~reverse_bits(m & ~add_carry(m, first, carry));
  }
  out.bits[count] = 0;
  out.tokens = tokens;
}

// Begin and end of all words, in bytes of the document.
template <bool Script>
static void locate(const std::vector<Block>& blocks, Words& out) {
  size_t count = blocks.size();
  // a word needs two bytes with its separator, a script character three
  if (out.list.size() < count * 33 + 72) out.list.resize(count * 33 + 72);
  Word* words = out.list.data();
  size_t begins = 0, ends = 0;
  u64 before = 0;
  for (size_t b = 0; b < count; ++b) {
    u64 x = out.bits[b], begin = x & ~(x << 1 | before), end = x & ~(x >> 1 | out.bits[b + 1] << 63);
    before = x >> 63;
    if (Script) {
      u64 inner = blocks[b].script & ~blocks[b].lead;
      u64 next = b + 1 < count ? blocks[b + 1].script & ~blocks[b + 1].lead : 0;
      begin |= blocks[b].script & blocks[b].lead;
      end |= blocks[b].script & ~(inner >> 1 | next << 63);
    }
    u32 base = static_cast<u32>(b) * 64;
    begins += write_positions(begin, [&](size_t i, u32 bit) { words[begins + i].begin = base + bit; });
    ends += write_positions(end, [&](size_t i, u32 bit) { words[ends + i].end = base + bit + 1; });
  }
  out.count = begins;
}
