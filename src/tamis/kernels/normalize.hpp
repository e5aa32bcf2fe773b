// Text for comparison: lower case, no marks, numbers as 0, separators as single spaces. Included once for each
// instruction set (isa.hpp).

// Every output byte comes from at least a third of an input byte: the worst are Hangul syllables, 3 bytes to 9, which
// the generator of the tables checks for the rest.
struct Normalized {
  static constexpr size_t SLACK = 160;  // vector stores may write this far behind the text
  std::vector<u8> bytes;
  std::vector<u32> word_begin;  // of each word; one more entry, the end of the text plus 1
  size_t words = 0, size = 0;
  const u8* end() const { return bytes.data() + bytes.size(); }  // bytes up to here may be read
};

// For each byte mask of eight, the shuffle that moves the chosen bytes to the front.
struct CompressTable {
  u8 shuffle[256][8];
  CompressTable() {
    for (int m = 0; m < 256; ++m) {
      int n = 0;
      for (int j = 0; j < 8; ++j)
        if (m >> j & 1) shuffle[m][n++] = u8(j);
      while (n < 8) shuffle[m][n++] = 0x80;
    }
  }
};
static const CompressTable compress_table;

// ASCII byte -> lower case letter, digit, or space.
struct AsciiFold {
  u8 map[256];
  AsciiFold() {
    for (int c = 0; c < 256; ++c) {
      bool upper = c >= 'A' && c <= 'Z', plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      map[c] = c >= 128 ? 0 : upper ? u8(c + 32) : plain ? u8(c) : 32;
    }
  }
};
static const AsciiFold ascii_fold;

template <bool Digits, bool Script>
struct Normalizer {
  const u8* p;
  const u8* const end;
  u8* out;
  u8* const start;
  u32* word;
  bool at_space = true;  // a space, or nothing, was written last: no space is wanted, a letter starts a word

  Normalizer(const u8* begin, const u8* end_, Normalized& r)
      : p(begin), end(end_), out(prepare(begin, end_, r)), start(out), word(r.word_begin.data()) {}

  static u8* prepare(const u8* begin, const u8* end, Normalized& r) {
    size_t n = static_cast<size_t>(end - begin);
    if (r.bytes.size() < 3 * n + Normalized::SLACK) r.bytes.resize(3 * n + Normalized::SLACK);
    if (r.word_begin.size() < n / 2 + 80) r.word_begin.resize(n / 2 + 80);
    return r.bytes.data();
  }

  void run(Normalized& r) {
    while (p < end) {
#if TAMIS_ISA > 0
      size_t done = ascii_block();
      p += done;
      if (done == 64 || p >= end) continue;
#else
      ascii_run();
      if (p >= end) break;
#endif
      step();
      while (p < end && *p >= 0x80) step();
    }
    if (out > start && at_space) --out;
    r.words = static_cast<size_t>(word - r.word_begin.data());
    r.size = static_cast<size_t>(out - start);
    *word = static_cast<u32>(out - start) + 1;
  }

 private:
  void space() {
    *out = 32;
    out += !at_space;
    at_space = true;
  }
  void begin_word() {
    *word = static_cast<u32>(out - start);
    word += at_space;
    at_space = false;
  }

#if TAMIS_ISA == 0
  // ASCII up to the next number or other character, without branches on what is a separator.
  void ascii_run() {
    u8* o = out;
    u32* w = word;
    bool blank_before = at_space;
    for (; p < end && *p < 0x80; ++p) {
      u8 folded = ascii_fold.map[*p];
      if (Digits && u8(folded - '0') < 10) break;
      bool blank = folded == 32;
      *o = folded;
      *w = static_cast<u32>(o - start);
      w += blank_before & !blank;
      o += !(blank_before & blank);
      blank_before = blank;
    }
    out = o;
    word = w;
    at_space = blank_before;
  }
#endif

#if TAMIS_ISA > 0
  // Copies the ASCII letters, digits and separators at p, up to 64 bytes; stops before what step() must see: other
  // characters, numbers with a separator inside or that may go on behind the block. Returns how many were taken.
  TAMIS_INLINE size_t ascii_block() {
    const u8* q = p;
    alignas(64) u8 tail[64];
    u64 valid = ~u64(0);
    size_t left = static_cast<size_t>(end - p);
    if (left < 64) {
      memset(tail, 32, 64);
      memcpy(tail, p, left);
      q = tail;
      valid = below(static_cast<u32>(left));
    }
    LetterMasks m = letter_masks(q);
    u64 stop = m.high | ~valid;
    u64 keep = m.letter | m.digit;
    if (Digits && m.digit) {
      u64 d = m.digit, joint = m.number_mark & d << 1;  // a mark behind a digit
      // what comes after the number decides: a joint with a digit (or unknown byte) behind it, or a character that
      // is not ASCII and may be a digit
      u64 after = d << 1 & ~d;
      u64 open = (joint & (d >> 1 | m.high >> 1 | u64(1) << 63)) | (after & m.high) | (d & u64(1) << 63);
      if (open) {
        u32 at = lowest(open);
        // back to the first digit of its number
        u64 gaps = ~d & below(at);
        stop |= gaps ? u64(2) << (63 - static_cast<u32>(__builtin_clzll(gaps))) : 1;
      }
    }
    u32 n = stop ? lowest(stop) : 64;
    if (n == 0) return 0;
    u64 range = n == 64 ? ~u64(0) : below(n);
    keep &= range;
    u64 gap = ~keep & range;
    keep |= gap & ~(gap << 1 | u64(at_space));  // the first separator of each run
    u64 solid = (m.letter | m.digit) & range;
    if (Digits) {
      u64 d = m.digit & range, repeat = d & d << 1;
      keep &= ~repeat;
      solid &= ~repeat;
    }
    // words start at kept solid bytes behind a gap
    u64 starts = solid & (gap << 1 | u64(at_space));
    u64 packed = compact(starts, keep);
    u32 base = static_cast<u32>(out - start);
    u32* w = word;
    word += write_positions(packed, [&](size_t i, u32 bit) { w[i] = base + bit; });
    for (u32 i = 0; i < n; i += 8) {
      u32 k = static_cast<u32>(keep >> i & 0xFF);
      __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q + i));
      v = fold8<Digits>(v);
      v = _mm_shuffle_epi8(v, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(compress_table.shuffle[k])));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out), v);
      out += popcount(k);
    }
    at_space = gap >> (n - 1) & 1;
    return n;
  }
  // Bits of `bits` at the places of `mask`, moved together.
  static TAMIS_INLINE u64 compact(u64 bits, u64 mask) { return _pext_u64(bits, mask); }

  // ASCII letters to lower case, digits to 0 with Fold, the rest to spaces.
  template <bool Fold>
  static TAMIS_INLINE __m128i fold8(__m128i v) {
    __m128i lower = _mm_or_si128(v, _mm_set1_epi8(32));
    __m128i letter = _mm_sub_epi8(lower, _mm_set1_epi8('a'));
    letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
    __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
    __m128i other = _mm_blendv_epi8(_mm_set1_epi8(32), Fold ? _mm_set1_epi8('0') : v, digit);
    return _mm_blendv_epi8(other, lower, letter);
  }
#endif

  const u8* skip_digits(const u8* q) const {
    while (q < end) {
      Char x = decode(q, end);
      if (!(flags_of(x.cp) & tables::DIGIT)) break;
      q += x.size;
    }
    return q;
  }
  // Behind the number at q: digits, then once a separator with digits behind it.
  const u8* skip_number(const u8* q) const {
    q = skip_digits(q);
    if (q < end) {
      Char x = decode(q, end);
      if (flags_of(x.cp) & tables::NUMSEP) {
        const u8* more = skip_digits(q + x.size);
        if (more > q + x.size) return more;
      }
    }
    return q;
  }

  // One character or one number.
  void step() {
    u8 byte = *p;
    if (byte < 0x80) {
      u8 folded = ascii_fold.map[byte];
      if (folded == 32) {
        ++p;
        return space();
      }
      begin_word();
      if (Digits && byte <= '9') {
        p = skip_number(p);
        *out++ = '0';
      } else {
        ++p;
        *out++ = folded;
      }
      return;
    }
    Char x = decode(p, end);
    u32 f = flags_of(x.cp);
    if (Digits && f & tables::DIGIT) {
      begin_word();
      p = skip_number(p);
      *out++ = '0';
      return;
    }
    const u8* source = p;
    u32 size = x.size;
    p += x.size;
    if (x.cp - 0xAC00 < 11172) return hangul(x.cp - 0xAC00);
    if (u32 entry = fold_of(x.cp)) {
      size = tables::fold_length[entry];
      if (size == 0) return;
      source = tables::fold_pool + tables::fold_start[entry];
      if (*source == 32) return space();  // a fold is one space or holds none
    }
    if (Script && f & tables::SCRIPT) space();
    begin_word();
    for (u32 i = 0; i < size; ++i) out[i] = source[i];
    out += size;
    if (Script && f & tables::SCRIPT) space();
  }
  void hangul(u32 index) {
    begin_word();
    jamo(0x1100 + index / 588);
    jamo(0x1161 + index % 588 / 28);
    if (index % 28) jamo(0x11A7 + index % 28);
  }
  void jamo(u32 cp) {
    out[0] = u8(0xE0 | cp >> 12);
    out[1] = u8(0x80 | (cp >> 6 & 0x3F));
    out[2] = u8(0x80 | (cp & 0x3F));
    out += 3;
  }
};

template <bool Digits, bool Script>
static void normalize_as(const u8* begin, const u8* end, Normalized& r) {
  Normalizer<Digits, Script>(begin, end, r).run(r);
}
static void normalize(const u8* begin, const u8* end, bool digits, bool script, Normalized& r) {
  if (digits)
    script ? normalize_as<true, true>(begin, end, r) : normalize_as<true, false>(begin, end, r);
  else
    script ? normalize_as<false, true>(begin, end, r) : normalize_as<false, false>(begin, end, r);
}
