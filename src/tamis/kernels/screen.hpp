// What a document could need of cleaning. Included once for each instruction set (isa.hpp).

constexpr u32 SUSPICIOUS = 1, NOT_NFC = 2, CONTROLS = 4, ODD_WHITESPACE = 8;

// Whether the neighbours (first, x, third) could fire ftfy's mojibake detector; classes of unicode_tables.
static TAMIS_INLINE bool mojibake_triple(u32 first, u32 second, u32 third) {
  u32 mask = tables::mojibake_pair[first * tables::MOJIBAKE_CLASSES + second];
  return mask && tables::mojibake_third[mask * (tables::MOJIBAKE_CLASSES + 1) + third];
}
static TAMIS_INLINE u32 mojibake_at(const u8* p, const u8* end) {
  return p < end ? mojibake_of(decode(p, end).cp) : tables::MOJIBAKE_CLASSES;
}

static TAMIS_INLINE u32 flag_bits(u32 f) {
  return (f & tables::FTFY_CHAR ? SUSPICIOUS : 0u) | (f & tables::NFC_SUSPECT ? NOT_NFC | SUSPICIOUS : 0u) |
         (f & tables::CONTROL ? CONTROLS : 0u) | (f & tables::ODD_SPACE ? ODD_WHITESPACE : 0u);
}

// Bits for one character that is not ASCII at p, which lies in [begin, end).
static TAMIS_INLINE u32 screen_character(const u8* begin, const u8* p, const u8* end, Char x) {
  constexpr u32 ALONE = tables::FTFY_CHAR | tables::NFC_SUSPECT | tables::CONTROL | tables::ODD_SPACE;
  u32 f = flags_of(x.cp);
  if (!(f & (ALONE | tables::NAMED | tables::MARK))) return 0;  // nearly all letters
  u32 bits = flag_bits(f);
  if (f & tables::MARK && p > begin && combining_of(decode_before(begin, p).cp) > combining_of(x.cp))
    bits |= NOT_NFC | SUSPICIOUS;
  // no pair fires without a named character that is not ASCII, so pairs are looked at from these
  if (f & tables::NAMED) {
    const u8* next = p + x.size;
    u32 kind = mojibake_of(x.cp), following = mojibake_at(next, end);
    if (p > begin && mojibake_triple(mojibake_of(decode_before(begin, p).cp), kind, following)) bits |= SUSPICIOUS;
    if (next < end && mojibake_triple(kind, following, mojibake_at(next + decode(next, end).size, end)))
      bits |= SUSPICIOUS;
  }
  return bits;
}

static u32 screen_text(const u8* begin, const u8* end) {
  u32 bits = 0;
  u64 space_before = 0, newlines_before = 0;  // the last bit, and the last two, of the block before
  size_t length = static_cast<size_t>(end - begin);
  for (size_t at = 0; at < length; at += 64) {
    const u8* p = begin + at;
    const u8* q = p;
    alignas(64) u8 tail[64];
    if (length - at < 64) {
      memset(tail, 'x', 64);
      memcpy(tail, p, length - at);
      q = tail;
    }
    SpaceMasks m = space_masks(q);
    u64 behind_space = m.space << 1 | space_before;
    u64 newline2 = m.newline & (m.newline << 1 | newlines_before >> 1);
    u64 newline3 = newline2 & (m.newline << 2 | newlines_before);
    if ((behind_space & (m.space | m.newline)) | newline3) bits |= ODD_WHITESPACE;
    space_before = m.space >> 63;
    newlines_before = m.newline >> 62;
    for (u64 c = m.control; c; c &= c - 1) bits |= flag_bits(flags_of(q[lowest(c)]));
    for (u64 h = m.high; h;) {
      u32 j = lowest(h);
      if (q[j] < 0xC0 && at + j > 0 && j < 3 && p[0] >= 0x80 && p[0] < 0xC0) {  // seen with the block before
        h &= h - 1;
        continue;
      }
      Char x = decode(p + j, end);
      h &= ~(below(x.size) << j);
      bits |= screen_character(begin, p + j, end, x);
    }
  }
  if (length && end[-1] == ' ') bits |= ODD_WHITESPACE;
  return bits;
}
